package query_test

import (
	"context"
	"iter"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"

	"rollcall/eventlog"
	"rollcall/query"
)

// slowLog is a log whose reads stop until they are let go.
type slowLog struct {
	query.Log
	open, most atomic.Int64
	entered    chan struct{}
	letGo      chan struct{}
}

func (l *slowLog) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		n := l.open.Add(1)
		defer l.open.Add(-1)
		for most := l.most.Load(); n > most && !l.most.CompareAndSwap(most, n); most = l.most.Load() {
		}
		l.entered <- struct{}{}
		select {
		case <-l.letGo:
			l.Log.Read(ctx, opts)(yield)
		case <-ctx.Done():
			yield(eventlog.Record{}, ctx.Err())
		}
	}
}

// Requests for the past each fold a part of the log. However many come, those
// that want the same part share a pass, and few passes are under way.
func TestReadsOfTheLogTakeTurns(t *testing.T) {
	t.Parallel()
	const requests = 40
	slow := &slowLog{entered: make(chan struct{}, requests), letGo: make(chan struct{})}
	w := newWorld(t, func(c *query.Config) { slow.Log, c.Log = c.Log, slow })
	w.post(`{"event":"meeting.started","meeting":{"id":"m1","sessionId":"s1"}}`)
	if got := w.get("/v1/sessions/s1"); got.status != http.StatusOK {
		t.Fatalf("GET /v1/sessions/s1 = %d; want 200", got.status)
	}
	var wg sync.WaitGroup
	codes := make(chan int, requests)
	ask := func() {
		resp, err := http.Get(w.server.URL + "/v1/sessions/s1?asOf=1")
		if err != nil {
			t.Error(err)
			return
		}
		codes <- resp.StatusCode
		_ = resp.Body.Close()
	}
	wg.Go(ask)
	<-slow.entered // it reads, and whoever comes now shares the next pass
	for range requests - 1 {
		wg.Go(ask)
	}
	close(slow.letGo)
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("GET /v1/sessions/s1?asOf=1 = %d; want 200", code)
		}
	}
	if n := slow.most.Load(); n > int64(2*query.LogReads()) {
		t.Errorf("%d requests for the past: at most %d reads of the log at once; want %d", requests, n, 2*query.LogReads())
	}
}

// memoryLog is a log of as many records as are asked for.
type memoryLog struct {
	query.Log
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
	turns := query.NewTurns(log)
	var wg sync.WaitGroup
	sum := func(upTo eventlog.Seq, stop eventlog.Seq) func() {
		return func() {
			var got, want eventlog.Seq
			err := turns.Scan(t.Context(), eventlog.ReadOptions{UpTo: upTo, Slices: []int{1}}, func(r *eventlog.Record) bool {
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
		err := turns.Scan(left, eventlog.ReadOptions{UpTo: 100, Slices: []int{1}}, func(*eventlog.Record) bool { called <- struct{}{}; return true })
		if query.StatusOf(err) != http.StatusServiceUnavailable {
			t.Errorf("Scan() that was left = %v; want 503", err)
		}
	})
	leave()
	for _, w := range []struct{ upTo, stop eventlog.Seq }{{100, 0}, {50, 0}, {100, 7}, {1, 0}} {
		wg.Go(sum(w.upTo, w.stop))
	}
	turns.WaitForRiders(4)
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
	slow := &slowLog{entered: make(chan struct{}, query.LogWaits), letGo: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	turns := query.NewTurns(slow)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	for range query.LogWaits {
		wg.Go(func() { _, _ = turns.Reach(ctx, eventlog.Head{}, 9) })
	}
	turns.WaitForWaits(query.LogWaits)
	if _, err := turns.Reach(ctx, eventlog.Head{}, 9); query.StatusOf(err) != http.StatusServiceUnavailable {
		t.Errorf("one wait more than %d: %v, status %d; want 503", query.LogWaits, err, query.StatusOf(err))
	}
	if n := slow.open.Load() + int64(len(slow.entered)); n > 2 {
		t.Errorf("%d waits hold %d readers of the log; want 1", query.LogWaits, n)
	}
}

// What panics for one request fails that one, and neither the others of its pass
// nor the process.
func TestPassSurvivesAPanic(t *testing.T) {
	t.Parallel()
	log := &memoryLog{entered: make(chan struct{}), gate: make(chan struct{})}
	turns := query.NewTurns(log)
	all := eventlog.ReadOptions{UpTo: 10, Slices: []int{1}}
	var wg sync.WaitGroup
	wg.Go(func() { _ = turns.Scan(t.Context(), all, func(*eventlog.Record) bool { return false }) })
	<-log.entered
	wg.Go(func() {
		err := turns.Scan(t.Context(), all, func(r *eventlog.Record) bool { panic("a fold's") })
		if query.StatusOf(err) != http.StatusInternalServerError {
			t.Errorf("Scan() that panics = %v; want an internal error", err)
		}
	})
	seen := 0
	wg.Go(func() {
		if err := turns.Scan(t.Context(), all, func(*eventlog.Record) bool { seen++; return true }); err != nil {
			t.Errorf("Scan() beside it = %v; want nil", err)
		}
	})
	turns.WaitForRiders(2)
	close(log.gate)
	wg.Wait()
	if seen != 10 {
		t.Errorf("Scan() beside a panic saw %d records; want 10", seen)
	}
}
