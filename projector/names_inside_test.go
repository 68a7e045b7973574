package projector

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"

	"rollcall/eventlog"
)

// TestNamesAtTheirEdges: what a store takes as a key and as a part's name, to the
// letter.
func TestNamesAtTheirEdges(t *testing.T) {
	for c := range byte(0x80) {
		lower := 'a' <= c && c <= 'z' || '0' <= c && c <= '9' || c == '_' || c == '-'
		if got := validPart("x" + string(rune(c))); got != lower {
			t.Errorf("validPart(%q) = %v; want %v", "x"+string(rune(c)), got, lower)
		}
		key := lower || 'A' <= c && c <= 'Z' || c == '=' || c == '/'
		if got := ValidKey(string(rune(c)) + "x"); got != key {
			t.Errorf("ValidKey(%q) = %v; want %v", string(rune(c))+"x", got, key)
		}
	}
	for name, want := range map[string]bool{"": false, strings.Repeat("p", 32): true, strings.Repeat("p", 33): false} {
		if got := validPart(name); got != want {
			t.Errorf("validPart of %d letters = %v; want %v", len(name), got, want)
		}
	}
	for key, want := range map[string]bool{
		"": false, "a": true, "a.b": true, ".a": false, "a.": false, "a..b": false, ".": false, "a.b.c": true,
		strings.Repeat("k", 512): true, strings.Repeat("k", 513): false,
	} {
		if got := ValidKey(key); got != want {
			t.Errorf("ValidKey(%.20q of %d) = %v; want %v", key, len(key), got, want)
		}
	}
}

// TestOneLine: what a panic says is kept on one line, and short.
func TestOneLine(t *testing.T) {
	for text, want := range map[string]string{
		"a\n\tb  c": "a b c", strings.Repeat("x", 200): strings.Repeat("x", 200), strings.Repeat("x", 201): strings.Repeat("x", 200) + "…",
		strings.Repeat("x", 199) + "é": strings.Repeat("x", 199) + "…",
	} {
		if got := oneLine(errors.New(text)); got != want {
			t.Errorf("oneLine(%.20q of %d) = %q; want %q", text, len(text), got, want)
		}
	}
}

// TestParkedSet: an entity is degraded since its earliest parked record, until the
// last of them is settled.
func TestParkedSet(t *testing.T) {
	s := newParkedSet([]Parked{{Sequence: 5, Entity: "a", ReceivedAt: 50}, {Sequence: 3, Entity: "a", ReceivedAt: 70}, {Sequence: 4, Entity: "b", ReceivedAt: 40}})
	if s.since("a") != 50 || s.since("b") != 40 || s.since("c") != 0 || s.count() != 3 {
		t.Errorf("since = %d, %d, %d of %d; want 50, 40, 0 of 3", s.since("a"), s.since("b"), s.since("c"), s.count())
	}
	if got := s.list(4); len(got) != 2 || got[0].Sequence != 3 || got[1].Sequence != 4 {
		t.Errorf("list(4) = %v; want records 3 and 4", got)
	}
	s.remove(5)
	if s.since("a") != 70 {
		t.Errorf("since = %d once the earliest is settled; want 70", s.since("a"))
	}
	s.remove(3)
	if s.since("a") != 0 || s.count() != 1 || len(s.list(100)) != 1 {
		t.Errorf("since = %d, %d records; want none of a, and one", s.since("a"), s.count())
	}
}

// lostRecord is a log whose record at a checkpoint can't be read, for some reason.
type lostRecord struct {
	Source
	err  error
	head eventlog.Head
}

func (l lostRecord) Head(context.Context) (eventlog.Head, error) { return l.head, nil }

func (l lostRecord) Record(context.Context, eventlog.Seq) (eventlog.Record, error) {
	return eventlog.Record{}, l.err
}

// unreadLog is a log that can't be read.
type unreadLog struct{ Source }

func (unreadLog) Read(context.Context, eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) { yield(eventlog.Record{}, eventlog.ErrUnavailable) }
}

// TestReaderAloneYieldsItsError: a reader that lags the shared read has the log's error.
func TestReaderAloneYieldsItsError(t *testing.T) {
	var got error
	goesOn := Share(unreadLog{}).alone(t.Context(), new(cursor), 5, func(_ *input, err error) bool { got = err; return true })
	if goesOn || !errors.Is(got, eventlog.ErrUnavailable) {
		t.Errorf("a reader of a log that can't be read yields %v, and goes on: %t; want %v, and that it ends", got, goesOn, eventlog.ErrUnavailable)
	}
}

// TestCheckpointOfALostRecord: a record that is gone from the log's middle is damage,
// which no retry mends; a log that does not answer is not.
func TestCheckpointOfALostRecord(t *testing.T) {
	head := eventlog.Head{Incarnation: "log", First: 1, Last: 9}
	for cause, final := range map[error]bool{eventlog.ErrNotFound: true, eventlog.ErrUnavailable: false} {
		err := checkPoint(t.Context(), lostRecord{err: cause, head: head}, "usage", Checkpoint{Incarnation: "log", Sequence: 7}, head)
		if err == nil || errors.Is(err, eventlog.ErrDamaged) != final || fatal(err) != final {
			t.Errorf("checkPoint where record 7 is %v = %v; want damage: %v", cause, err, final)
		}
	}
}
