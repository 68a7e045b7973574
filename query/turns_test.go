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

// Requests for the past each fold a part of the log. However many come, a few
// are at work, and all get their answer.
func TestReadsOfTheLogTakeTurns(t *testing.T) {
	const requests = 40
	slow := &slowLog{entered: make(chan struct{}, requests), letGo: make(chan struct{})}
	w := newWorld(t, func(c *query.Config) { slow.Log, c.Log = c.Log, slow })
	w.post(`{"event":"meeting.started","meeting":{"id":"m1","sessionId":"s1"}}`)
	if got := w.get("/v1/sessions/s1"); got.status != http.StatusOK {
		t.Fatalf("GET /v1/sessions/s1 = %d; want 200", got.status)
	}
	var wg sync.WaitGroup
	codes := make(chan int, requests)
	for range requests {
		wg.Go(func() {
			resp, err := http.Get(w.server.URL + "/v1/sessions/s1?asOf=1")
			if err != nil {
				t.Error(err)
				return
			}
			codes <- resp.StatusCode
			_ = resp.Body.Close()
		})
	}
	for range query.LogReads {
		<-slow.entered
	}
	if n := slow.open.Load(); n != query.LogReads {
		t.Errorf("%d requests for the past: %d reads of the log at once; want %d", requests, n, query.LogReads)
	}
	close(slow.letGo)
	wg.Wait()
	close(codes)
	for code := range codes {
		if code != http.StatusOK {
			t.Errorf("GET /v1/sessions/s1?asOf=1 = %d; want 200", code)
		}
	}
	if n := slow.most.Load(); n != query.LogReads {
		t.Errorf("%d requests for the past: at most %d reads of the log at once; want %d", requests, n, query.LogReads)
	}
}

// Each request that waits for a record has a consumer of its own. One more than
// the bound is told to come again.
func TestWaitsForTheLogAreBounded(t *testing.T) {
	slow := &slowLog{entered: make(chan struct{}, query.LogWaits), letGo: make(chan struct{})}
	ctx, cancel := context.WithCancel(t.Context())
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	read := query.NewTurns(slow).Read
	for range query.LogWaits {
		wg.Go(func() {
			for range read(ctx, eventlog.ReadOptions{UpTo: 9, Follow: true}) {
			}
		})
	}
	for range query.LogWaits {
		<-slow.entered
	}
	for _, err := range read(ctx, eventlog.ReadOptions{UpTo: 9, Follow: true}) {
		if got := query.StatusOf(err); got != http.StatusServiceUnavailable {
			t.Errorf("one read that follows more than %d: %v, status %d; want 503", query.LogWaits, err, got)
		}
	}
}
