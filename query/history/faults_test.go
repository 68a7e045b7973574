package history_test

import (
	"context"
	"errors"
	"iter"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/history"
)

// failingLog is an empty log whose reads fail from the nth on, and that has no record.
type failingLog struct {
	history.Log
	fails, reads int
}

var errFailing = errors.New("the log fails")

func (l *failingLog) Read(context.Context, eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		if l.reads++; l.reads >= l.fails {
			yield(eventlog.Record{}, errFailing)
		}
	}
}

func (*failingLog) Record(context.Context, eventlog.Seq) (eventlog.Record, error) {
	return eventlog.Record{}, eventlog.ErrNotFound
}

// TestPastFails: a log that can't be read is never one that does not hold the session.
func TestPastFails(t *testing.T) {
	t.Parallel()
	ask := func(fails int) error {
		left := 0
		q := history.Question{Session: "s", Folds: projections.All(), Enter: func(context.Context) (func(), error) { return func() { left++ }, nil }}
		q.Seq = 7
		p, err := history.NewReader(&failingLog{fails: fails}, time.Minute).Past(t.Context(), eventlog.Head{First: 1, Last: 7}, q)
		if p != nil {
			t.Errorf("Past = %+v; want none", p)
		}
		if fails > 1 && left != 1 {
			t.Errorf("places that were left = %d; want 1", left)
		}
		return err
	}
	for fails := 1; fails <= 2; fails++ {
		if err := ask(fails); !errors.Is(err, errFailing) {
			t.Errorf("Past where read %d fails = %v; want %v", fails, err, errFailing)
		}
	}
	var notYet *history.NotYetError
	if err := ask(3); !errors.As(err, &notYet) {
		t.Errorf("Past of no session = %v; want a NotYetError", err)
	}
}

// TestReceivedAtOfNoRecord: what "now" meant is now where the record is gone.
func TestReceivedAtOfNoRecord(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	reader := history.NewReader(&failingLog{}, time.Minute)
	for _, seq := range []eventlog.Seq{0, 7} {
		if got := reader.ReceivedAt(t.Context(), seq, now); !got.Equal(now) {
			t.Errorf("ReceivedAt(%d) of a log without it = %v; want %v", seq, got, now)
		}
	}
}

// slowLog takes some time for each record.
type slowLog struct {
	history.Log
	each time.Duration
}

func (l slowLog) Read(_ context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for seq := opts.After + 1; seq <= opts.UpTo; seq++ {
			if <-time.After(l.each); !yield(eventlog.Record{Seq: seq}, nil) {
				return
			}
		}
	}
}

// TestCutPassIsNotWhole: a pass whose time is up while it rests is an error, and not a
// log that ends there.
func TestCutPassIsNotWhole(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		reader, seen := history.NewReader(slowLog{each: 5 * time.Millisecond}, 7*time.Millisecond), 0
		err := reader.Scan(t.Context(), eventlog.ReadOptions{UpTo: 3}, func(*eventlog.Record) bool { seen++; return true })
		if !errors.Is(err, context.DeadlineExceeded) || seen != 1 {
			t.Errorf("Scan of a pass whose time is up = %v after %d of 3 records; want %v after 1", err, seen, context.DeadlineExceeded)
		}
	})
}
