package natslog_test

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/blocks"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// harmed is a log of n records whose block was changed while its server was
// stopped, in order.
func harmed(t *testing.T, n int, harm func(t *testing.T, block []byte) []byte) *natslog.Log {
	t.Helper()
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, l, 0, n)
	l.Close()
	node.Stop(t)
	path := filepath.Join(node.Dir(), "jetstream", "$G", "streams", eventlog.Stream, "msgs", "1.blk")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, harm(t, b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	node.Start(t)
	return open(t, node.JetStream(t), natslog.Config{})
}

// flipBit flips a bit of rec(n)'s event id.
func flipBit(n int) func(t *testing.T, block []byte) []byte {
	return func(t *testing.T, block []byte) []byte {
		t.Helper()
		at := bytes.Index(block, []byte(rec(n).EventID))
		if at < 0 {
			t.Fatalf("record %d is not in its block", n)
		}
		block[at] ^= 1
		return block
	}
}

func cutEnd(_ *testing.T, block []byte) []byte { return block[:len(block)-30] }

// TestReadDamaged: a record that can't be read ends the read with its name, or
// is passed by where the caller asks for that.
func TestReadDamaged(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 4000} { // read by one reader and by the other
		for name, c := range map[string]struct {
			harm func(*testing.T, []byte) []byte
			lost int
		}{"a bit": {flipBit(10), 11}, "the last one": {cutEnd, n}} {
			t.Run(fmt.Sprintf("%s of %d", name, n), func(t *testing.T) {
				l := harmed(t, n, c.harm)
				got, err := sequences(t, l, eventlog.ReadOptions{})
				if !errors.Is(err, eventlog.ErrDamaged) || !slices.Equal(got, between(0, eventlog.Seq(c.lost-1))) {
					t.Errorf("Read = %d records, %v; want %d and ErrDamaged", len(got), err, c.lost-1)
				}
				var lost []eventlog.Seq
				got, err = sequences(t, l, eventlog.ReadOptions{Damaged: func(from, to eventlog.Seq) { lost = append(lost, from, to) }})
				want := slices.Concat(between(0, eventlog.Seq(c.lost-1)), between(eventlog.Seq(c.lost), eventlog.Seq(n)))
				if err != nil || !slices.Equal(got, want) || !slices.Equal(lost, []eventlog.Seq{eventlog.Seq(c.lost), eventlog.Seq(c.lost)}) {
					t.Errorf("Read that skips = %d records, lost %v, %v; want %d, lost %d", len(got), lost, err, len(want), c.lost)
				}
			})
		}
	}
}

// TestLost has a mark stand for a record that was damaged: a log like any other.
func TestLost(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, l, 0, 20)
	l.Close()
	node.Stop(t)
	all, err := blocks.Streams(node.Dir())
	if err != nil || len(all) != 1 {
		t.Fatalf("Streams = %v, %v", all, err)
	}
	path := filepath.Join(all[0].Dir, "msgs", "1.blk")
	b, err := os.ReadFile(path)
	if err == nil {
		err = os.WriteFile(path, flipBit(10)(t, b), 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	report, err := blocks.Scan(t.Context(), all[0], true)
	if err == nil {
		err = blocks.Mend(all[0], report, t.TempDir(), func(sequence uint64, after time.Time) (m blocks.Message) {
			m.Subject, m.Headers, m.Body = natslog.Lost(sequence, after)
			return m
		})
	}
	if err != nil {
		t.Fatal(err)
	}
	node.Start(t)
	l = open(t, node.JetStream(t), natslog.Config{})
	before, err := l.Record(t.Context(), 10)
	if err != nil {
		t.Fatal(err)
	}
	mark, err := l.Record(t.Context(), 11)
	if err != nil || mark.Type != natslog.LostType || mark.Source != natslog.LostSource || mark.EventID == "" || !mark.StoredAt.Equal(before.StoredAt) {
		t.Errorf("Record(11) = %+v, %v; want a mark, stored with record 10", mark, err)
	}
	if ev := eventlog.Decode(&mark); ev.SessionID != "" || ev.MeetingID != "" {
		t.Errorf("Decode of a mark = %+v; want an event that folds nothing", ev)
	}
	got, err := sequences(t, l, eventlog.ReadOptions{})
	if err != nil || !slices.Equal(got, between(0, 20)) {
		t.Errorf("Read = %v, %v; want 1 to 20", got, err)
	}
	if a, err := l.Append(t.Context(), rec(10)); err != nil || a.Duplicate || a.Seq != 21 {
		t.Errorf("Append of the lost record again = %+v, %v; want it stored", a, err)
	}
}
