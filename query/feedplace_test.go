package query_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projector/viewstore"
)

// late are views of which a reader gets nothing after a revision until release.
type late struct {
	*script
	mu      sync.Mutex
	revised chan struct{}
	last    uint64
}

func (l *late) release(revision uint64) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.last = revision
	close(l.revised)
	l.revised = make(chan struct{})
}

func (l *late) hold(ctx context.Context, revision uint64) {
	for ctx.Err() == nil {
		l.mu.Lock()
		open, revised := revision <= l.last, l.revised
		l.mu.Unlock()
		if open {
			return
		}
		select {
		case <-revised:
		case <-ctx.Done():
		}
	}
}

// Follow implements replica.Views.
func (l *late) Follow(ctx context.Context, view string, from viewstore.Position) iter.Seq2[viewstore.Change, error] {
	return func(yield func(viewstore.Change, error) bool) {
		for c, err := range l.script.Follow(ctx, view, from) {
			if view == "sessions" {
				l.hold(ctx, c.Revision)
			}
			if ctx.Err() != nil || !yield(c, err) {
				return
			}
		}
	}
}

// TestFeedOfAReplicaBehind: a client that comes from another process, whose
// replica was a commit further, waits for this one; it gets nothing twice.
func TestFeedOfAReplicaBehind(t *testing.T) {
	t.Parallel()
	s := newScript()
	session := func(id string) map[string][]byte {
		return map[string][]byte{"live." + id: sessionDoc(id, "m", id, "LIVE", 0)}
	}
	s.commit("sessions", session("a"))
	ahead := scripted(t, s)
	held := &late{script: s, revised: make(chan struct{}), last: 2}
	behind := &world{t: t, clock: &clock{now: epoch}, replica: openReplica(t, t.TempDir(), held)}
	behind.serve()
	behind.items("/v1/sessions")
	from := ahead.watch(t, "/v1/changes?views=sessions", "")
	from.next()
	ahead.last = s.commit("sessions", session("b"))
	ahead.items("/v1/sessions")
	at, _ := from.until("sessions live.b")
	ahead.last = s.commit("attendance", nil)
	ahead.items("/v1/sessions")

	to := behind.watch(t, "/v1/changes?views=sessions", at.id)
	if e := to.next(); e.event != "start" || e.id != at.id {
		t.Fatalf("first event = %+v; want a start with the id that the client came with, %s", e, at.id)
	}
	held.release(1 << 40)
	s.commit("sessions", session("c"))
	if e := to.next(); e.event != "change" || !strings.Contains(e.data, "live.c") {
		t.Errorf("first event after the replica came up = %+v; want the change of live.c", e)
	}
}

// TestFeedOfALostTail: a client at a revision that the view no longer reaches
// begins again, after a while.
func TestFeedOfALostTail(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	w.last = s.commit("sessions", map[string][]byte{"live.a": sessionDoc("a", "m", "t", "LIVE", 0)})
	w.items("/v1/sessions")
	w.api.FeedAhead(time.Millisecond)
	feed := w.watch(t, "/v1/changes?views=sessions", "sessions_g1:99999999")
	feed.next()
	background(t, "commits", func(ctx context.Context) error {
		for ctx.Err() == nil {
			s.commit("attendance", nil)
		}
		return nil
	})
	if e := feed.next(); e.event != "reset" {
		t.Fatalf("event = %+v; want a reset", e)
	}
	feed.until("sessions live.a")
}

// TestFeedOfAnotherPast: a revision is a place only with the take-over that it
// belongs to, since a view that lost its tail gives the same revisions again.
func TestFeedOfAnotherPast(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	put := func(takeover, id string) (revision uint64) {
		s.mu.Lock()
		s.buckets["sessions"].takeover = takeover
		s.mu.Unlock()
		w.last = s.commit("sessions", map[string][]byte{"live." + id: sessionDoc(id, "m", id, "LIVE", 0)})
		w.items("/v1/sessions")
		return s.buckets["sessions"].revision
	}
	loaded := put("one", "a")
	first := put("one", "b")
	second := put("two", "c")
	last := put("three", "d")
	for id, want := range map[string]string{
		fmt.Sprintf("sessions_g1:%d:one", loaded): "change b,change c,change d", fmt.Sprintf("sessions_g1:%d:one", first): "change c,change d",
		fmt.Sprintf("sessions_g1:%d:two", first+1): "change d", // cut within the commit
		fmt.Sprintf("sessions_g1:%d:two", second):  "change d", fmt.Sprintf("sessions_g1:%d", second): "change d", fmt.Sprintf("sessions_g1:%d:three", last): "",
		fmt.Sprintf("sessions_g1:%d:one", second): "reset,change a,change b,change c,change d", fmt.Sprintf("sessions_g1:%d:lost", second): "reset,change a,change b,change c,change d",
		fmt.Sprintf("sessions_g1:%d:two", last): "reset,change a,change b,change c,change d",
	} {
		feed := w.watch(t, "/v1/changes?views=sessions", id)
		feed.next()
		var got []string
		for range strings.Count(want+",", ",") {
			if want == "" {
				break
			}
			e := feed.next()
			text := e.event
			if _, key, ok := strings.Cut(e.data, "live."); ok {
				text += " " + key[:1]
			}
			got = append(got, text)
		}
		if text := strings.Join(got, ","); text != want {
			t.Errorf("after %s came %s; want %s", id, text, want)
		}
	}
}

// brokenWriter is an answer whose client is gone after some writes, though
// nothing ends the request.
type brokenWriter struct {
	httptest.ResponseRecorder
	left int
}

func (w *brokenWriter) Write(b []byte) (int, error) {
	if w.left--; w.left < 0 {
		return 0, errors.New("the client is gone")
	}
	return w.ResponseRecorder.Write(b)
}

func (w *brokenWriter) SetWriteDeadline(time.Time) error { return nil }

// TestFeedEndsWithItsClient: a feed whose writes fail ends, whichever of them it is.
func TestFeedEndsWithItsClient(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	docs := map[string][]byte{}
	for i := range 1600 {
		id := fmt.Sprintf("s%04d", i)
		docs["live."+id] = sessionDoc(id, "m", id, "LIVE", 0)
	}
	w.last = s.commit("sessions", docs)
	w.items("/v1/sessions")
	for left := range 5 {
		req := httptest.NewRequestWithContext(t.Context(), http.MethodGet, "http://localhost/v1/changes?views=sessions", nil)
		req.Header.Set("Last-Event-ID", "sessions_g1:0")
		if left == 4 { // nothing but the start
			left = 0
			req.Header.Del("Last-Event-ID")
		}
		answer := &brokenWriter{ResponseRecorder: httptest.ResponseRecorder{Body: nil}, left: left}
		done := make(chan struct{})
		go func() {
			defer close(done)
			w.api.Handler().ServeHTTP(answer, req)
		}()
		select {
		case <-done:
		case <-time.After(eventlogtest.Patience):
			t.Fatalf("the feed went on after write %d had failed", left)
		}
		if answer.left < -1 {
			t.Errorf("after write %d had failed the feed wrote %d times more", left, -1-answer.left)
		}
	}
}

// TestFeedOfManyKeys: a client that begins at nothing gets each key of a view
// once, though there are more than are read at a time, and then what comes.
func TestFeedOfManyKeys(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	docs := map[string][]byte{}
	for i := range 1600 {
		id := fmt.Sprintf("s%04d", i)
		docs["live."+id] = sessionDoc(id, "m", id, "LIVE", 0)
	}
	w.last = s.commit("sessions", docs)
	w.items("/v1/sessions")
	for range 2 { // the second is sent what the first had read
		feed := w.watch(t, "/v1/changes?views=sessions", "sessions_g1:0")
		feed.next()
		seen := map[string]bool{}
		for len(seen) < len(docs) {
			e := feed.next()
			if e.event != "change" || seen[e.data] {
				t.Fatalf("event %d = %+v; want a change that did not come before", len(seen)+1, e)
			}
			seen[e.data] = true
		}
	}
	feed := w.watch(t, "/v1/changes?views=sessions", "sessions_g1:0")
	w.last = s.commit("sessions", map[string][]byte{"live.new": sessionDoc("new", "m", "new", "LIVE", 0)})
	feed.until("sessions live.new")
}
