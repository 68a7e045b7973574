package closing_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/query/closing"
)

// faulty is a log whose head can't be read, or whose nth read fails after a record.
type faulty struct {
	memory
	noHead bool
	fails  int
	reads  *int
}

var errFaulty = errors.New("the log fails")

func (f faulty) Head(ctx context.Context) (eventlog.Head, error) {
	if f.noHead {
		return eventlog.Head{}, errFaulty
	}
	return f.memory.Head(ctx)
}

func (f faulty) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	*f.reads++
	if *f.reads != f.fails {
		return f.memory.Read(ctx, opts)
	}
	return func(yield func(eventlog.Record, error) bool) {
		if yield(f.memory[0], nil) {
			yield(eventlog.Record{}, errFaulty)
		}
	}
}

// TestVerifyFails: what can't be read is never taken for what is not there.
func TestVerifyFails(t *testing.T) {
	log, folds := simulated(t)
	end := eventlog.Seq(len(log))
	c := &closing.Closing{Head: closing.Head{Month: "2026-01", Incarnation: "log", Sequence: end, Sequences: map[string]eventlog.Seq{"usage": end, "recordings": end}}}
	verify := func(f faulty) error {
		f.memory, f.reads = log, new(int)
		_, err := closing.Verify(t.Context(), f, folds, c, time.UTC, 1<<30)
		return err
	}
	for what, f := range map[string]faulty{"the head": {noHead: true}, "the recordings": {fails: 1}, "the usage": {fails: 2}} {
		if err := verify(f); !errors.Is(err, errFaulty) {
			t.Errorf("Verify() where the read of %s fails = %v; want %v", what, err, errFaulty)
		}
	}
	if err := verify(faulty{}); err != nil {
		t.Errorf("Verify() of a closing at the log's end = %v", err)
	}
	c.Month = "2026-1"
	if err := verify(faulty{}); err == nil || !strings.Contains(err.Error(), "want YYYY-MM") {
		t.Errorf("Verify() of month 2026-1 = %v; want what a month is", err)
	}
}

// TestHeadCheck: the log must be the same, whole, and as long as the closing says.
func TestHeadCheck(t *testing.T) {
	h := closing.Head{Incarnation: "log", Sequence: 7}
	for what, c := range map[string]struct {
		head eventlog.Head
		want error
	}{
		"the same":   {eventlog.Head{Incarnation: "log", First: 1, Last: 7}, nil},
		"a longer":   {eventlog.Head{Incarnation: "log", First: 1, Last: 8}, nil},
		"a shorter":  {eventlog.Head{Incarnation: "log", First: 1, Last: 6}, eventlog.ErrLostTail},
		"a trimmed":  {eventlog.Head{Incarnation: "log", First: 2, Last: 7}, eventlog.ErrTrimmed},
		"an emptied": {eventlog.Head{Incarnation: "log", First: 8, Last: 7}, eventlog.ErrTrimmed},
		"another":    {eventlog.Head{Incarnation: "other", First: 1, Last: 7}, closing.ErrOtherLog},
	} {
		if err := h.Check(c.head); !errors.Is(err, c.want) {
			t.Errorf("Check of %s log = %v; want %v", what, err, c.want)
		}
	}
}

// TestStoreFails: each step that fails is an error, and nothing is stored by halves.
func TestStoreFails(t *testing.T) {
	if _, err := closing.NewStore(eventlogtest.Connect(t)).Save(t.Context(), month(t, 3), false); err == nil || !strings.Contains(err.Error(), eventlog.Stream) {
		t.Errorf("Save() on a server without a log = %v; want an error that names %s", err, eventlog.Stream)
	}
	s, js := store(t)
	c := month(t, 3)
	if _, err := s.Save(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "KV_"+closing.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	full := stream.CachedInfo().Config
	full.MaxBytes = int64(stream.CachedInfo().State.Bytes)
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if existing, err := s.Save(t.Context(), month(t, 900), true); err == nil || errors.Is(err, closing.ErrMoved) || existing != nil {
		t.Errorf("Save() into a full bucket = %v, %v; want an error", existing, err)
	}
	if heads, err := s.List(t.Context()); err != nil || len(heads) != 1 {
		t.Errorf("List() after that = %d closings, %v; want the first alone", len(heads), err)
	}
	missing := c.Head
	missing.Parts++
	if got, err := s.LoadRows(t.Context(), missing); err == nil || !strings.Contains(err.Error(), "part 2 of 2") {
		t.Errorf("LoadRows() without a part = %v, %v; want an error that names the part", got, err)
	}
	full.MaxBytes = -1
	if _, err := js.UpdateStream(t.Context(), full); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(t.Context(), "$KV."+closing.Bucket+".index", []byte("{")); err != nil {
		t.Fatal(err)
	}
	if heads, err := s.List(t.Context()); err == nil {
		t.Errorf("List() of a damaged index = %v; want an error", heads)
	}
	js.Conn().Close()
	if heads, err := s.List(t.Context()); err == nil {
		t.Errorf("List() without a connection = %v; want an error", heads)
	}
	if got, err := s.LoadRows(t.Context(), c.Head); err == nil {
		t.Errorf("LoadRows() without a connection = %v; want an error", got)
	}
	if _, err := s.Load(t.Context(), c.ID); err == nil || errors.Is(err, closing.ErrNotFound) {
		t.Errorf("Load() without a connection = %v; want that it can't be read", err)
	}
	if _, err := s.Save(t.Context(), month(t, 3), true); err == nil {
		t.Error("Save() without a connection = nil; want an error")
	}
}
