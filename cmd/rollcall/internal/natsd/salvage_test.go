package natsd

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
)

// harmed is a data directory whose server was stopped, with harm done to the first
// block of a stream.
func harmed(t *testing.T, stream string, harm func(block []byte) []byte) (dir string) {
	t.Helper()
	dir = t.TempDir()
	s, err := Start(t.Context(), Config{Dir: dir, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := s.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for name, subject := range map[string]string{eventlog.Stream: "meetings", "KV_sessions_g1": "$KV.sessions_g1"} {
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{subject + ".>"}}); err != nil {
			t.Fatal(err)
		}
		for i := range 20 {
			if _, err := js.Publish(t.Context(), subject+".a", bytes.Repeat(fmt.Appendf(nil, "%07d ", i), 50)); err != nil {
				t.Fatal(err)
			}
		}
	}
	nc.Close()
	if err := s.Stop(); err != nil {
		t.Fatal(err)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", stream, "msgs", "1.blk"))
	if err != nil || len(blocks) != 1 {
		t.Fatalf("blocks of %s = %v, %v; want one", stream, blocks, err)
	}
	b, err := os.ReadFile(blocks[0])
	if err == nil {
		err = os.WriteFile(blocks[0], harm(b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dir
}

// TestSalvageAtStart: what the files lost while the server was stopped is said once
// it runs, by what it costs, with a copy of what they were; and not again after the
// next start.
func TestSalvageAtStart(t *testing.T) {
	t.Parallel()
	flip := func(b []byte) []byte { b[len(b)/2] ^= 0x10; return b }
	cut := func(b []byte) []byte { return b[:len(b)-3] }
	torn := func(b []byte) []byte { return append(b, b[:40]...) }
	for _, c := range []struct {
		stream string
		harm   func([]byte) []byte
		note   string
		lost   uint64
		moved  int
	}{
		{eventlog.Stream, flip, `^record 1[01] lost in block 1\.blk$`, 1, 0},
		{eventlog.Stream, cut, `^record 20 lost in block 1\.blk$`, 1, 0},
		{eventlog.Stream, torn, `^the end of block 1\.blk was not written whole: 40 bytes cut$`, 0, 0},
		{"KV_sessions_g1", flip, `^KV_sessions_g1 was damaged and moved aside, to be made again$`, 0, 1},
	} {
		dir := harmed(t, c.stream, c.harm)
		for _, again := range []bool{false, true} {
			s, err := Start(t.Context(), Config{Dir: dir, Logger: zerolog.Nop()})
			if err != nil {
				t.Fatal(err)
			}
			note, err := s.Files.Check(t.Context())
			if err != nil || again && note != "" || !again && !regexp.MustCompile(c.note).MatchString(note) {
				t.Errorf("%s, started again %v: Check() = %q, %v; want %s once", c.stream, again, note, err, c.note)
			}
			if !again && (s.Files.lost != c.lost || s.Files.moved != c.moved) {
				t.Errorf("%s: %d records lost, %d streams moved; want %d, %d", c.stream, s.Files.lost, s.Files.moved, c.lost, c.moved)
			}
			if err := s.Stop(); err != nil {
				t.Fatal(err)
			}
		}
		if kept, err := filepath.Glob(filepath.Join(dir, "salvage", "*", "*")); err != nil || len(kept) == 0 {
			t.Errorf("%s: copies = %v, %v; want one", c.stream, kept, err)
		}
	}
}
