package history_test

import (
	"context"
	"errors"
	"iter"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/query/history"
)

// silentLog is a log in which nothing comes.
type silentLog struct {
	history.Log
	open atomic.Int64
}

func (l *silentLog) Read(ctx context.Context, _ eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(func(eventlog.Record, error) bool) {
		l.open.Add(1)
		defer l.open.Add(-1)
		<-ctx.Done()
	}
}

// memoryLog is a log of as many records as are asked for.
type memoryLog struct {
	history.Log
	reads atomic.Int64
	// gate, where not nil, lets the first read go on.
	entered, gate chan struct{}
}

func (l *memoryLog) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		if l.reads.Add(1) == 1 {
			close(l.entered)
			<-l.gate
		}
		for seq := opts.After + 1; seq <= opts.UpTo; seq++ {
			if !yield(eventlog.Record{Seq: seq}, nil) {
				return
			}
		}
	}
}

// What came while a pass was under way shares the next one, each up to its own
// end, and who leaves is not called again.
func TestPassIsShared(t *testing.T) {
	t.Parallel()
	log := &memoryLog{entered: make(chan struct{}), gate: make(chan struct{})}
	reader := history.NewReader(log, time.Minute)
	var wg sync.WaitGroup
	sum := func(upTo eventlog.Seq, stop eventlog.Seq) func() {
		return func() {
			var got, want eventlog.Seq
			err := reader.Scan(t.Context(), eventlog.ReadOptions{UpTo: upTo, Slices: []int{1}}, func(r *eventlog.Record) bool {
				got += r.Seq
				return r.Seq != stop
			})
			if stop > 0 {
				upTo = stop
			}
			if want = upTo * (upTo + 1) / 2; err != nil || got != want {
				t.Errorf("Scan(up to %d) = sum %d, %v; want %d", upTo, got, err, want)
			}
		}
	}
	wg.Go(sum(100, 0))
	<-log.entered
	left, leave := context.WithCancel(t.Context())
	called := make(chan struct{}, 200)
	wg.Go(func() {
		err := reader.Scan(left, eventlog.ReadOptions{UpTo: 100, Slices: []int{1}}, func(*eventlog.Record) bool { called <- struct{}{}; return true })
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Scan() that was left = %v; want %v", err, context.Canceled)
		}
	})
	leave()
	for _, w := range []struct{ upTo, stop eventlog.Seq }{{100, 0}, {50, 0}, {100, 7}, {1, 0}} {
		wg.Go(sum(w.upTo, w.stop))
	}
	reader.WaitForScans(4)
	close(log.gate)
	wg.Wait()
	if n := log.reads.Load(); n != 2 {
		t.Errorf("6 scans of the same part: %d reads of the log; want 2", n)
	}
	if len(called) > 0 {
		t.Errorf("a scan that was left was shown %d records; want none", len(called))
	}
}

// All requests that wait for a record share one reader. One more than the bound
// is asked to come again.
func TestWaitsForTheLogAreBounded(t *testing.T) {
	t.Parallel()
	silent := &silentLog{}
	ctx, cancel := context.WithCancel(t.Context())
	reader := history.NewReader(silent, time.Minute)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range history.MaxWaits {
		wg.Go(func() { _, _ = reader.Reach(ctx, eventlog.Head{}, 9) })
	}
	reader.WaitForWaits(history.MaxWaits)
	gone, leave := context.WithCancel(ctx)
	leave() // so that it does not wait, should it be let in
	if _, err := reader.Reach(gone, eventlog.Head{}, 9); !errors.Is(err, history.ErrBusy) {
		t.Errorf("one wait more than %d: %v; want %v", history.MaxWaits, err, history.ErrBusy)
	}
	if n := silent.open.Load(); n > 1 {
		t.Errorf("%d waits hold %d readers of the log; want 1", history.MaxWaits, n)
	}
}

// What panics for one request fails that one, and neither the others of its pass
// nor the process.
func TestPassSurvivesAPanic(t *testing.T) {
	t.Parallel()
	log := &memoryLog{entered: make(chan struct{}), gate: make(chan struct{})}
	reader := history.NewReader(log, time.Minute)
	all := eventlog.ReadOptions{UpTo: 10, Slices: []int{1}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = reader.Scan(t.Context(), all, func(*eventlog.Record) bool { return false }) })
	<-log.entered
	wg.Go(func() {
		err := reader.Scan(t.Context(), all, func(r *eventlog.Record) bool { panic("a fold's") })
		if err == nil || !strings.Contains(err.Error(), "panic: a fold's") {
			t.Errorf("Scan() that panics = %v; want an error that says so", err)
		}
	})
	seen := 0
	wg.Go(func() {
		if err := reader.Scan(t.Context(), all, func(*eventlog.Record) bool { seen++; return true }); err != nil {
			t.Errorf("Scan() beside it = %v; want nil", err)
		}
	})
	reader.WaitForScans(2)
	close(log.gate)
	wg.Wait()
	if seen != 10 {
		t.Errorf("Scan() beside a panic saw %d records; want 10", seen)
	}
}
