package query_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// worn is a log whose first records are gone, or that can't be read.
type worn struct {
	*natslog.Log
	first  eventlog.Seq
	broken error
}

func (l *worn) Head(ctx context.Context) (eventlog.Head, error) {
	h, err := l.Log.Head(ctx)
	h.First = max(h.First, l.first)
	return h, err
}

func (l *worn) Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	if l.broken != nil {
		return eventlog.Record{}, l.broken
	}
	if seq < l.first {
		return eventlog.Record{}, eventlog.ErrNotFound
	}
	return l.Log.Record(ctx, seq)
}

// TestProjectionsBehind holds the log ahead of the views. How many records are
// missing, and how long the oldest of them has waited, is in the answer; a view
// is live for as long as that is no more than five seconds.
func TestProjectionsBehind(t *testing.T) {
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	s, l := newScript(), &worn{Log: log}
	w := &world{t: t, clock: &clock{now: epoch}, replica: openReplica(t, t.TempDir(), s), log: log}
	w.serveLog(l)
	for range 4 {
		w.post(`{"event":"meeting.started"}`)
	}
	w.last = s.commit("sessions", nil)
	stored := func(seq eventlog.Seq) time.Time {
		r, err := log.Record(t.Context(), seq)
		if err != nil {
			t.Fatal(err)
		}
		return r.StoredAt
	}
	for _, c := range []struct {
		now   time.Time
		first eventlog.Seq
		want  string
	}{
		{stored(2).Add(2 * time.Second), 1, "live, 3 records for 2s"},
		{stored(2).Add(5 * time.Second), 1, "live, 3 records for 5s"},
		{stored(2).Add(6 * time.Second), 1, "catching-up, 3 records for 6s"},
		{stored(2).Add(-time.Hour), 1, "live, 3 records for 0s"},
		{stored(4).Add(6 * time.Second), 4, "catching-up, 3 records for 6s"}, // the oldest that there is
		{stored(4).Add(6 * time.Second), 5, "live, 3 records for 0s"},        // none is left
	} {
		w.clock.Set(c.now)
		l.first = c.first
		for _, p := range w.items("/v1/projections").Items {
			seconds := time.Duration(p["lagSeconds"].(float64) * float64(time.Second))
			got := fmt.Sprintf("%v, %v records for %v", p["state"], p["lag"], seconds.Round(time.Millisecond))
			if got != c.want || fmt.Sprint(p["sequence"], p["headSequence"]) != "1 4" {
				t.Errorf("projection %v of a log from %d = %s (%v of %v); want %s (1 of 4)", p["name"], c.first, got, p["sequence"], p["headSequence"], c.want)
			}
		}
	}
	l.first, l.broken = 1, errors.New("no answer")
	if a := w.get("/v1/projections"); a.status != http.StatusOK {
		t.Errorf("GET /v1/projections beside a record that can't be read = %d %s; want 200", a.status, a.body)
	}
}

// TestProjectionsWithoutTheLog: how far a view is can't be known without the
// log, and no view counts as missing for it.
func TestProjectionsWithoutTheLog(t *testing.T) {
	s := newScript()
	w := &world{t: t, clock: &clock{now: epoch}, replica: openReplica(t, t.TempDir(), s)}
	l := &dark{heads: 1}
	w.serveLog(l)
	w.last = s.commit("sessions", nil)
	if a := w.get("/v1/projections"); a.status != http.StatusServiceUnavailable {
		t.Errorf("GET /v1/projections of a log that goes away = %d %s; want 503", a.status, a.body)
	}
}

// dark is a log of nine records that answers a few questions after its end, and
// then no more.
type dark struct {
	noLog
	heads int
}

func (l *dark) Head(context.Context) (eventlog.Head, error) {
	if l.heads--; l.heads < 0 {
		return eventlog.Head{}, eventlog.ErrUnavailable
	}
	return eventlog.Head{First: 1, Last: 9}, nil
}
