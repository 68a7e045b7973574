package query_test

import (
	"context"
	"encoding/json"
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query"
	"rollcall/query/history"
	"rollcall/query/replica"
)

// script is a source of views that the test writes, commit by commit.
type script struct {
	mu      sync.Mutex
	grown   chan struct{}
	buckets map[string]*bucket // the active one, by view
	seq     eventlog.Seq
}

// bucket is one generation: the latest of each key, and the checkpoint.
type bucket struct {
	name       string
	generation int
	changes    []viewstore.Change // in order of revision, overtaken ones left out
	revision   uint64
	takeover   string // of the commits to come
}

func newScript() *script {
	s := &script{grown: make(chan struct{}), buckets: map[string]*bucket{}}
	for _, fold := range projections.All() {
		s.buckets[fold.Name()] = &bucket{name: fold.Name() + "_g1", generation: 1}
	}
	return s
}

// commit puts documents (nil deletes) into a view, and moves all checkpoints.
func (s *script) commit(view string, docs map[string][]byte) eventlog.Seq {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seq++
	for v, b := range s.buckets {
		if v == view {
			b.put(docs)
		}
		b.checkpoint(s.seq)
	}
	close(s.grown)
	s.grown = make(chan struct{})
	return s.seq
}

// regenerate activates another generation, with these documents.
func (s *script) regenerate(view string, docs map[string][]byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	n := s.buckets[view].generation + 1
	b := &bucket{name: fmt.Sprintf("%s_g%d", view, n), generation: n}
	b.put(docs)
	b.checkpoint(s.seq)
	s.buckets[view] = b
	close(s.grown)
	s.grown = make(chan struct{})
}

func (b *bucket) put(docs map[string][]byte) {
	b.changes = slices.DeleteFunc(b.changes, func(c viewstore.Change) bool { _, ok := docs[c.Key]; return ok })
	for key, doc := range docs {
		b.revision++
		kind := viewstore.Put
		if doc == nil {
			kind = viewstore.Delete
		}
		b.changes = append(b.changes, viewstore.Change{Kind: kind, Key: key, Value: doc, Revision: b.revision})
	}
}

func (b *bucket) checkpoint(seq eventlog.Seq) {
	b.changes = slices.DeleteFunc(b.changes, func(c viewstore.Change) bool { return c.Kind == viewstore.Commit })
	b.revision++
	b.changes = append(b.changes, viewstore.Change{Kind: viewstore.Commit, Revision: b.revision,
		StoredAt: time.Unix(int64(b.revision), 0), Checkpoint: projector.Checkpoint{Sequence: seq, Takeover: b.takeover}})
}

// Follow implements replica.Views.
func (s *script) Follow(ctx context.Context, view string, from viewstore.Position) iter.Seq2[viewstore.Change, error] {
	return func(yield func(viewstore.Change, error) bool) {
		for {
			s.mu.Lock()
			b, grown := s.buckets[view], s.grown
			changes, name, generation := slices.Clone(b.changes), b.name, b.generation
			s.mu.Unlock()
			if from.Bucket != name {
				from = viewstore.Position{Bucket: name}
				if !yield(viewstore.Change{Kind: viewstore.Reset, View: view, Bucket: name, Generation: generation}, nil) {
					return
				}
			}
			for _, c := range changes {
				if c.Revision <= from.Revision {
					continue
				}
				c.View, c.Bucket, c.Generation, c.Version = view, name, generation, "1"
				from.Revision = c.Revision
				if !yield(c, nil) {
					return
				}
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}
}

// noLog is a log that holds nothing.
type noLog struct{}

func (noLog) Head(context.Context) (eventlog.Head, error) { return eventlog.Head{First: 1}, nil }
func (noLog) Record(context.Context, eventlog.Seq) (eventlog.Record, error) {
	return eventlog.Record{}, eventlog.ErrNotFound
}
func (noLog) Read(context.Context, eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(func(eventlog.Record, error) bool) {}
}

// scripted is an API over a script.
func scripted(t testing.TB, s *script) *world {
	w := &world{t: t, clock: &clock{now: epoch}, replica: openReplica(t, t.TempDir(), s)}
	w.serve()
	return w
}

func (w *world) serve() { w.serveLog(noLog{}) }

func (w *world) serveLog(l history.Log) {
	var err error
	w.api, err = query.New(query.Config{Replica: w.replica, Log: l, Folds: projections.All(), Now: w.clock.Now})
	if err != nil {
		w.t.Fatal(err)
	}
	w.server = httptest.NewServer(w.api.Handler())
	w.t.Cleanup(w.server.Close)
}

// sessionDoc is a Session's JSON.
func sessionDoc(id, meeting, title, status string, startedAt int) []byte {
	b, err := json.Marshal(map[string]any{
		"sessionId": id, "meetingId": meeting, "title": title, "roomName": nil, "organizer": nil, "status": status, "startedAt": stamp(startedAt),
		"endedAt": nil, "endReason": nil, "durationSeconds": nil, "liveParticipants": 0, "uniqueParticipants": 0, "connections": 0,
		"maxConcurrentParticipants": 0, "participantSeconds": 0, "implicit": false, "lastEventAt": stamp(startedAt), "anomalies": []string{}, "degradedSince": nil,
	})
	if err != nil {
		panic(err)
	}
	return b
}

// TestCursor walks lists while sessions come, change and go: each session that
// stays as it is comes exactly once, in order.
func TestCursor(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	all := map[string][]byte{} // keys of the run before, to be deleted
	rapid.Check(t, func(rt *rapid.T) {
		s.commit("sessions", all)
		clear(all)
		n := rapid.IntRange(1, 24).Draw(rt, "sessions")
		stable := map[string][]byte{}
		for i := range n {
			id := fmt.Sprintf("s%02d", i)
			stable["live."+id] = sessionDoc(id, id, fmt.Sprintf("t%d", rapid.IntRange(0, 3).Draw(rt, "title")), "LIVE", rapid.IntRange(0, 5).Draw(rt, "start"))
			all["live."+id] = nil
		}
		w.last = s.commit("sessions", stable)
		sort := rapid.SampledFrom([]string{"", "startedAt", "-startedAt", "title", "-title", "sessionId", "-sessionId", "status", "-implicit", "stale"}).Draw(rt, "sort")
		limit := rapid.IntRange(2, 9).Draw(rt, "limit")
		path := fmt.Sprintf("/v1/sessions?limit=%d", limit)
		if sort != "" {
			path += "&sort=" + sort
		}
		want := w.items(strings.Replace(path, fmt.Sprintf("limit=%d", limit), "limit=1000", 1)).column("sessionId")
		var got []string
		for cursor := ""; ; {
			l := w.items(path + cursor)
			for _, it := range l.Items {
				if id := it["sessionId"].(string); id[0] == 's' {
					got = append(got, id)
				}
			}
			if l.NextCursor == nil {
				break
			}
			if len(l.Items) != limit {
				rt.Fatalf("a page that is not the last has %d items; want %d", len(l.Items), limit)
			}
			cursor = "&cursor=" + *l.NextCursor
			if !rapid.Bool().Draw(rt, "churn") {
				continue
			}
			churn := map[string][]byte{}
			for range rapid.IntRange(1, 5).Draw(rt, "changes") {
				id := fmt.Sprintf("%s%d", rapid.SampledFrom([]string{"a", "z"}).Draw(rt, "side"), rapid.IntRange(0, 5).Draw(rt, "which"))
				churn["live."+id], all["live."+id] = nil, nil
				if rapid.Bool().Draw(rt, "put") {
					churn["live."+id] = sessionDoc(id, "m", fmt.Sprintf("t%d", rapid.IntRange(0, 3).Draw(rt, "title")), "LIVE", rapid.IntRange(0, 5).Draw(rt, "start"))
				}
			}
			w.last = s.commit("sessions", churn)
		}
		if strings.Join(got, ",") != want {
			rt.Fatalf("walk of %s = %s; want %s", path, strings.Join(got, ","), want)
		}
	})
}

func TestCursorIsHeld(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	w.last = s.commit("sessions", map[string][]byte{"live.a": sessionDoc("a", "m", "t", "LIVE", 0), "live.b": sessionDoc("b", "m", "t", "LIVE", 1)})
	cursor := *w.items("/v1/sessions?limit=1").NextCursor
	for path, want := range map[string]int{
		"/v1/sessions?cursor=" + cursor: 200, "/v1/sessions?limit=7&cursor=" + cursor: 200, "/v1/sessions?sort=-startedAt&cursor=" + cursor: 200,
		"/v1/sessions?sort=startedAt&cursor=" + cursor: 400, "/v1/sessions?status=LIVE&cursor=" + cursor: 400, "/v1/meetings/live?cursor=" + cursor: 400,
		"/v1/sessions?cursor=" + cursor[:len(cursor)-1]: 400, "/v1/sessions?cursor=A" + cursor[1:]: 400, "/v1/sessions?cursor=" + cursor + "AAAA": 400,
	} {
		if a := w.do(path); a.status != want && cursor[0] != 'A' {
			t.Errorf("GET %s = %d %s; want %d", path, a.status, a.body, want)
		}
	}
}

// TestGenerations switches a view's generation while readers read: they see the
// old one whole or the new one whole, never a mixture or nothing.
func TestGenerations(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	generation := func(n int) map[string][]byte {
		docs := map[string][]byte{}
		for i := range 300 {
			docs[fmt.Sprintf("live.s%d", i)] = sessionDoc(fmt.Sprintf("s%d", i), "m", fmt.Sprintf("generation %d", n), "LIVE", i)
		}
		return docs
	}
	w.last = s.commit("sessions", generation(1))
	w.items("/v1/sessions")
	for n := 2; n <= 6; n++ {
		s.regenerate("sessions", generation(n))
		want := fmt.Sprintf("generation %d", n)
		for {
			l := w.items("/v1/sessions?limit=1000")
			if len(l.Items) != 300 || l.Items[0]["title"] != l.Items[299]["title"] {
				t.Fatalf("a reader saw %d sessions of %v and %v; want 300 of one generation", len(l.Items), l.Items[0]["title"], l.Items[299]["title"])
			}
			if l.Items[0]["title"] == want {
				break
			}
		}
		if got := w.items("/v1/sessions?q=" + strings.ReplaceAll(want, " ", "%20")); len(got.Items) != 100 {
			t.Errorf("search in %s = %d sessions; want a page of 100", want, len(got.Items))
		}
	}
}

// TestResume opens a replica again: it goes on where it stood.
func TestResume(t *testing.T) {
	t.Parallel()
	s, dir := newScript(), t.TempDir()
	open := func() (*replica.Replica, func()) {
		r, err := replica.Open(t.Context(), replica.Config{Dir: dir, Views: s, Tables: tables(t)})
		if err != nil {
			t.Fatal(err)
		}
		stop := background(t, "replica", r.Run)
		return r, func() {
			stop()
			if err := r.Close(); err != nil {
				t.Error(err)
			}
		}
	}
	ask := func(r *replica.Replica, seq eventlog.Seq) string {
		w := &world{t: t, clock: &clock{now: epoch}, replica: r, last: seq}
		w.serve()
		defer w.server.Close()
		return w.items("/v1/sessions?sort=sessionId").column("sessionId")
	}
	seq := s.commit("sessions", map[string][]byte{"live.a": sessionDoc("a", "m", "t", "LIVE", 0), "live.b": sessionDoc("b", "m", "t", "LIVE", 0)})
	r, stop := open()
	if got := ask(r, seq); got != "a,b" {
		t.Errorf("sessions = %s; want a,b", got)
	}
	if _, err := replica.Open(t.Context(), replica.Config{Dir: dir, Views: s, Tables: tables(t)}); err == nil || !strings.Contains(err.Error(), "--data-dir") {
		t.Errorf("OpenReplica on a directory in use = %v; want an error that names --data-dir", err)
	}
	stop()

	// What changed meanwhile comes; what did not is still there without loading.
	seq = s.commit("sessions", map[string][]byte{"live.a": nil, "ended.a": sessionDoc("a", "m", "t", "ENDED", 0), "live.c": sessionDoc("c", "m", "t", "LIVE", 0)})
	r, stop = open()
	if !r.Loaded() {
		t.Error("Loaded() after a restart = false; want true at once")
	}
	if got := ask(r, seq); got != "a,b,c" {
		t.Errorf("sessions = %s; want a,b,c", got)
	}
	stop()

	// The file is a cache: gone, or garbage, it is made again.
	for _, spoil := range []func() error{
		func() error { return os.RemoveAll(dir) },
		func() error {
			return os.WriteFile(filepath.Join(dir, "replica.db"), []byte(strings.Repeat("garbage ", 4096)), 0o600)
		},
	} {
		if err := spoil(); err != nil {
			t.Fatal(err)
		}
		r, stop = open()
		if got := ask(r, seq); got != "a,b,c" {
			t.Errorf("sessions = %s; want a,b,c", got)
		}
		stop()
	}
}

// TestUnreadableDocument: a document that is no JSON is left out, as it comes and
// when its view is loaded, and the view goes on.
func TestUnreadableDocument(t *testing.T) {
	s := newScript()
	s.commit("sessions", map[string][]byte{"live.a": sessionDoc("a", "m", "A", "LIVE", 1), "live.b": []byte(`{"sessionId":"b"`)})
	w := scripted(t, s)
	w.last = s.commit("sessions", map[string][]byte{"live.c": sessionDoc("c", "m", "C", "LIVE", 3), "live.d": []byte(`[]`)})
	if got := w.items("/v1/sessions?sort=sessionId").column("sessionId"); got != "a,c" {
		t.Errorf("sessions beside unreadable ones = %s; want a,c", got)
	}
	w.last = s.commit("sessions", map[string][]byte{"live.d": sessionDoc("d", "m", "D", "LIVE", 4)})
	if got := w.items("/v1/sessions?sort=sessionId").column("sessionId"); got != "a,c,d" {
		t.Errorf("sessions once one can be read = %s; want a,c,d", got)
	}
}

// TestNotLoaded: a view that no projector has made is a 503, not an empty list,
// and does not hold a record that is asked for.
func TestNotLoaded(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	a := w.do("/v1/sessions?wait=1ms")
	if a.status != http.StatusServiceUnavailable || a.header.Get("Retry-After") == "" {
		t.Errorf("GET /v1/sessions of no view = %d %s; want 503 with Retry-After", a.status, a.body)
	}
	if a := w.do("/v1/sessions?minSequence=1&wait=1ms"); a.status != http.StatusGatewayTimeout {
		t.Errorf("GET /v1/sessions?minSequence=1 of no view = %d %s; want 504", a.status, a.body)
	}
	s.commit("sessions", nil)
	if a := w.do("/v1/sessions?wait=20s"); a.status != 200 {
		t.Errorf("GET /v1/sessions of an empty view = %d %s; want 200", a.status, a.body)
	}
}

// TestRandomViews compares the replica with a map after random commits.
func TestRandomViews(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	r := rand.New(rand.NewPCG(3, 0))
	want := map[string]string{}
	for range 60 {
		docs := map[string][]byte{}
		for range 1 + r.IntN(30) {
			id := fmt.Sprintf("s%02d", r.IntN(50))
			live, ended := "live."+id, "ended."+id
			switch r.IntN(3) {
			case 0:
				docs[live], docs[ended] = sessionDoc(id, "m", "live", "LIVE", 0), nil
				want[id] = "live"
			case 1:
				docs[live], docs[ended] = nil, sessionDoc(id, "m", "ended", "ENDED", 0)
				want[id] = "ended"
			case 2:
				docs[live], docs[ended] = nil, nil
				delete(want, id)
			}
		}
		w.last = s.commit("sessions", docs)
		for _, title := range []string{"live", "ended"} {
			var ids []string
			for id, t := range want {
				if t == title {
					ids = append(ids, id)
				}
			}
			slices.Sort(ids)
			if got := w.items("/v1/sessions?limit=1000&sort=sessionId&q=" + title).column("sessionId"); got != strings.Join(ids, ",") {
				t.Fatalf("sessions titled %s = %s; want %s", title, got, strings.Join(ids, ","))
			}
		}
	}
}
