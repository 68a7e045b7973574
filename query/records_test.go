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
	"rollcall/query/history"
	"rollcall/query/pace"
)

// slowLog is a log whose reads stop until they are let go.
type slowLog struct {
	history.Log
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
	if n := slow.most.Load(); n > int64(2*pace.SpareCores()) {
		t.Errorf("%d requests for the past: at most %d reads of the log at once; want %d", requests, n, 2*pace.SpareCores())
	}
}

// TestProblemsOfTheLog: what the log can't give is the client's to know.
func TestProblemsOfTheLog(t *testing.T) {
	for err, want := range map[error]int{
		history.ErrBusy:                      http.StatusServiceUnavailable,
		&history.TrimmedError{After: 7}:      http.StatusGone,
		&history.StartedLaterError{First: 7}: http.StatusGone,
		eventlog.ErrNoLog:                    http.StatusServiceUnavailable,
		context.DeadlineExceeded:             http.StatusServiceUnavailable,
	} {
		if got := query.StatusOf(err); got != want {
			t.Errorf("status of %v = %d; want %d", err, got, want)
		}
	}
}
