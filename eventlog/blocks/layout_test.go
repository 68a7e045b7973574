package blocks_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/blocks"
	"rollcall/eventlog/eventlogtest"
)

const streamName = "DENSE"

// secondAt is where the second message of the second block begins.
const secondAt = 2800 + 22 + 3 + 4 + 24 + 8

// maxBytes is more than the messages take. With so little the server makes its
// smallest blocks, of 32,000 bytes, which hold eleven.
const maxBytes = 126_000

// filled is a stopped server's stream of n messages of 2,800 bytes, with and
// without headers.
func filled(t *testing.T, n int) (*eventlogtest.Node, blocks.Stream) {
	t.Helper()
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	_, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: streamName, Subjects: []string{"d.>"}, Storage: jetstream.FileStorage, MaxBytes: maxBytes})
	if err != nil {
		t.Fatal(err)
	}
	for i := 1; i <= n; i++ {
		publish(t, js, i)
	}
	node.Stop(t)
	return node, find(t, node)
}

func publish(t *testing.T, js jetstream.JetStream, i int) {
	t.Helper()
	m := &nats.Msg{Subject: fmt.Sprintf("d.%d", i%7), Data: body(i)}
	if i%2 == 0 {
		m.Header = nats.Header{"Number": {fmt.Sprint(i)}}
	}
	if _, err := js.PublishMsg(t.Context(), m); err != nil {
		t.Fatal(err)
	}
}

func body(i int) []byte { return bytes.Repeat([]byte(fmt.Sprintf("%07d ", i)), 350) }

func find(t *testing.T, node *eventlogtest.Node) blocks.Stream {
	t.Helper()
	all, err := blocks.Streams(node.Dir())
	if err != nil || len(all) != 1 || all[0].Name != streamName {
		t.Fatalf("Streams = %v, %v; want the one", all, err)
	}
	return all[0]
}

func scan(t *testing.T, s blocks.Stream) *blocks.Report {
	t.Helper()
	r, err := blocks.Scan(t.Context(), s, true)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// holds fails the test where the running server's stream is not 1 to n, each
// message as it was published, or the mark where lost says so.
func holds(t *testing.T, node *eventlogtest.Node, n int, lost func(i int) bool) {
	t.Helper()
	s, err := node.JetStream(t).Stream(t.Context(), streamName)
	if err != nil {
		t.Fatal(err)
	}
	if in := s.CachedInfo().State; in.FirstSeq != 1 || in.LastSeq != uint64(n) || in.Msgs != uint64(n) {
		t.Errorf("stream holds %d messages, %d to %d; want %d from 1 on", in.Msgs, in.FirstSeq, in.LastSeq, n)
	}
	for i := 1; i <= n; i++ {
		m, err := s.GetMsg(t.Context(), uint64(i))
		if err != nil {
			t.Fatalf("GetMsg(%d): %v", i, err)
		}
		want := body(i)
		if lost(i) {
			want = fmt.Appendf(nil, "lost %d", i)
		}
		if !bytes.Equal(m.Data, want) {
			t.Fatalf("GetMsg(%d) = %.20q…; want %.20q…", i, m.Data, want)
		}
	}
}

func mark(sequence uint64, _ time.Time) blocks.Message {
	return blocks.Message{Subject: "d.lost", Headers: []byte("NATS/1.0\r\nLost: yes\r\n\r\n"), Body: fmt.Appendf(nil, "lost %d", sequence)}
}

func never(int) bool { return false }

// TestLayout holds what this package knows of the files against what the server
// writes, and what it writes against what the server reads.
func TestLayout(t *testing.T) {
	node, s := filled(t, 40)
	r := scan(t, s)
	if r.Messages != 40 || r.First != 1 || r.Last != 40 || r.Indexed != 40 || r.Blocks < 3 || len(r.Damage) != 0 {
		t.Errorf("Scan of a whole stream = %+v; want 40 messages in several blocks", r)
	}
	if ok, err := s.Trusted(); !ok || err != nil {
		t.Errorf("Trusted after a clean stop = %v, %v; want true", ok, err)
	}
	if !s.SettingsFit() {
		t.Error("SettingsFit of what the server wrote = false")
	}
	if err := os.Remove(filepath.Join(s.Dir, "msgs", "index.db")); err != nil {
		t.Fatal(err)
	}
	if ok, err := s.Trusted(); ok || err != nil {
		t.Errorf("Trusted without an index = %v, %v; want false", ok, err)
	}
	node.Start(t)
	holds(t, node, 40, never)
}

// damages are what a disk may do to the second of several blocks, each of
// eleven messages, and which of them are lost by it.
var damages = []struct {
	name        string
	harm        func(path string, b []byte) error
	first, last int // of what is lost
}{
	{"a bit of a body", flip(1000), 12, 12},
	{"a bit of a length", flip(secondAt + 3), 13, 13},
	{"a bit of a sequence", flip(6), 12, 12},
	{"a zeroed page", zero(1024, 1024), 12, 12},
	{"a zeroed page over two messages", zero(secondAt-512, 1024), 12, 13},
	{"noise", noise(500, 4000), 12, 13},
	{"a cut end", func(path string, b []byte) error { return os.Truncate(path, int64(len(b))-100) }, 22, 22},
	{"a missing block", func(path string, _ []byte) error { return os.Remove(path) }, 12, 22},
	{"an empty block", func(path string, _ []byte) error { return os.Truncate(path, 0) }, 12, 22},
}

func change(at int, with func(b []byte)) func(string, []byte) error {
	return func(path string, b []byte) error {
		with(b[at:])
		return os.WriteFile(path, b, 0o600)
	}
}

func flip(at int) func(string, []byte) error { return change(at, func(b []byte) { b[0] ^= 0x10 }) }

func zero(at, n int) func(string, []byte) error { return change(at, func(b []byte) { clear(b[:n]) }) }

func noise(at, n int) func(string, []byte) error {
	return change(at, func(b []byte) {
		for i := range n {
			b[i] = byte(i * i >> 3)
		}
	})
}

// TestMend damages a block in each way, with and without an index that hides
// it, and has nothing lost but what was damaged.
func TestMend(t *testing.T) {
	for _, d := range damages {
		t.Run(d.name, func(t *testing.T) {
			t.Parallel()
			node, s := filled(t, 40)
			second := filepath.Join(s.Dir, "msgs", "2.blk")
			old, err := os.ReadFile(second)
			if err != nil {
				t.Fatal(err)
			}
			if err := d.harm(second, bytes.Clone(old)); err != nil {
				t.Fatal(err)
			}
			r := scan(t, s)
			if len(r.Damage) != 1 || int(r.Damage[0].From) != d.first || int(r.Damage[0].To) != d.last {
				t.Fatalf("Scan = %+v; want records %d to %d lost", r.Damage, d.first, d.last)
			}
			keep := t.TempDir()
			for range 2 { // the second time there is nothing to do
				if err := blocks.Mend(s, scan(t, s), keep, mark); err != nil {
					t.Fatal(err)
				}
			}
			if r := scan(t, s); len(r.Damage) != 0 || r.Messages != 40 {
				t.Errorf("Scan of the repaired stream = %+v; want 40 messages, no damage", r)
			}
			if kept, err := filepath.Glob(filepath.Join(keep, streamName, "*")); err != nil || len(kept) < 3 {
				t.Errorf("kept %v, %v; want index, settings and what there was of the block", kept, err)
			}
			node.Start(t)
			holds(t, node, 40, func(i int) bool { return i >= d.first && i <= d.last })
			node.Restart(t)
			holds(t, node, 40, func(i int) bool { return i >= d.first && i <= d.last })
		})
	}
}

// TestTornEnd has the last block cut: known to be lost is what the index
// remembers, and whose sequence can still be read. Where neither says anything
// the server goes on after what is whole.
func TestTornEnd(t *testing.T) {
	for _, c := range []struct {
		indexed bool
		cut     int64
		known   bool
	}{{true, 100, true}, {true, secondAt - 10, true}, {false, 100, true}, {false, secondAt - 12, true}, {false, secondAt - 11, false}} {
		t.Run(fmt.Sprintf("index %v, %d bytes", c.indexed, c.cut), func(t *testing.T) {
			node, s := filled(t, 40)
			path := filepath.Join(s.Dir, "msgs", "4.blk")
			info, err := os.Stat(path)
			if err != nil {
				t.Fatal(err)
			}
			if !c.indexed {
				if err := os.Remove(filepath.Join(s.Dir, "msgs", "index.db")); err != nil {
					t.Fatal(err)
				}
			}
			if err := os.Truncate(path, info.Size()-c.cut); err != nil {
				t.Fatal(err)
			}
			if ok, err := s.Trusted(); ok || err != nil {
				t.Errorf("Trusted of a cut end = %v, %v; want false", ok, err)
			}
			r := scan(t, s)
			if len(r.Damage) != 1 || (r.Damage[0].From == 40) != c.known {
				t.Fatalf("Scan = %+v; want record 40 lost: %v", r.Damage, c.known)
			}
			if err := blocks.Mend(s, r, t.TempDir(), mark); err != nil {
				t.Fatal(err)
			}
			node.Start(t)
			if c.known {
				holds(t, node, 40, func(i int) bool { return i == 40 })
			} else {
				holds(t, node, 39, never)
			}
			publish(t, node.JetStream(t), 41)
		})
	}
}

// TestNothingLeft removes all blocks.
func TestNothingLeft(t *testing.T) {
	node, s := filled(t, 20)
	found, err := filepath.Glob(filepath.Join(s.Dir, "msgs", "*.blk"))
	if err != nil || len(found) == 0 {
		t.Fatalf("blocks = %v, %v", found, err)
	}
	for _, path := range found {
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
	}
	r := scan(t, s)
	if r.Lost() != 20 {
		t.Fatalf("Scan = %+v; want 20 lost", r.Damage)
	}
	if err := blocks.Mend(s, r, t.TempDir(), mark); err != nil {
		t.Fatal(err)
	}
	node.Start(t)
	holds(t, node, 20, func(int) bool { return true })
}

// TestSettingsFit changes a byte of each file.
func TestSettingsFit(t *testing.T) {
	_, s := filled(t, 1)
	for _, name := range []string{"meta.inf", "meta.sum"} {
		path := filepath.Join(s.Dir, name)
		b, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(strings.Replace(string(b), string(b[3]), "~", 1)), 0o600); err != nil {
			t.Fatal(err)
		}
		if s.SettingsFit() {
			t.Errorf("SettingsFit with %s damaged = true", name)
		}
		if err := os.WriteFile(path, b, 0o600); err != nil {
			t.Fatal(err)
		}
	}
}

// TestTooMuchIsNotMended: more messages than marks can stand for are an error, and
// nothing is changed.
func TestTooMuchIsNotMended(t *testing.T) {
	_, s := filled(t, 1)
	keep := t.TempDir()
	r := &blocks.Report{Damage: []blocks.Damage{{From: 1, To: blocks.MaxMarks + 1}}}
	if err := blocks.Mend(s, r, keep, mark); !errors.Is(err, blocks.ErrTooMuch) {
		t.Errorf("Mend of %d lost messages = %v; want %v", r.Lost(), err, blocks.ErrTooMuch)
	}
	if left, err := os.ReadDir(keep); err != nil || len(left) != 0 {
		t.Errorf("a Mend that was refused keeps %d files, %v; want none", len(left), err)
	}
}

// TestFolderThatCanNotBeRead: what its blocks are is not known then.
func TestFolderThatCanNotBeRead(t *testing.T) {
	s := blocks.Stream{Name: "X", Dir: t.TempDir()}
	if err := os.WriteFile(filepath.Join(s.Dir, "msgs"), nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if trusted, err := s.Trusted(); trusted || err == nil {
		t.Errorf("Trusted() = %v, %v; want an error", trusted, err)
	}
	if n, err := s.Size(); err == nil {
		t.Errorf("Size() = %d; want an error", n)
	}
}
