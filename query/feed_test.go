package query_test

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/micro"

	"rollcall/eventlog/eventlogtest"
	"rollcall/query"
)

// stream is an open change feed.
type stream struct {
	t      *testing.T
	cancel context.CancelFunc
	events chan sse
	status int
}

type sse struct{ event, id, data string }

// watch opens the change feed.
func (w *world) watch(t *testing.T, path, last string) *stream {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	if last != "" {
		req.Header.Set("Last-Event-ID", last)
	}
	resp, err := w.server.Client().Do(req) //nolint:bodyclose // the reader below closes it
	if err != nil {
		t.Fatal(err)
	}
	s := &stream{t: t, cancel: cancel, events: make(chan sse, 1000), status: resp.StatusCode}
	go func() {
		defer close(s.events)
		defer resp.Body.Close()
		var e sse
		for sc := bufio.NewScanner(resp.Body); sc.Scan(); {
			name, value, _ := strings.Cut(sc.Text(), ": ")
			switch name {
			case "event":
				e.event = value
			case "id":
				e.id = value
			case "data":
				e.data = value
			case "":
				s.events <- e
				e = sse{id: e.id}
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		for range s.events {
		}
	})
	return s
}

// next waits for an event that has data, or the first id.
func (s *stream) next() sse {
	s.t.Helper()
	select {
	case e, ok := <-s.events:
		if !ok {
			s.t.Fatal("the feed ended")
		}
		return e
	case <-time.After(eventlogtest.Patience):
		s.t.Fatalf("nothing came within %v", eventlogtest.Patience)
	}
	return sse{}
}

// until reads changes until one of key, and returns it and all keys on the way.
func (s *stream) until(key string) (sse, []string) {
	s.t.Helper()
	var keys []string
	for {
		e := s.next()
		if e.event != "change" {
			continue
		}
		var c struct {
			View, Key string
			Sequence  uint64
		}
		if err := json.Unmarshal([]byte(e.data), &c); err != nil || c.Sequence == 0 {
			s.t.Fatalf("change = %s, %v; want view, key and sequence", e.data, err)
		}
		keys = append(keys, c.View+" "+c.Key)
		if c.View+" "+c.Key == key {
			return e, keys
		}
	}
}

func TestChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "T", 0))
	w.get("/v1/sessions")
	s := w.watch(t, "/v1/changes", "")
	if s.status != 200 {
		t.Fatalf("GET /v1/changes = %d; want 200", s.status)
	}
	if first := s.next(); first.id == "" || first.event != "start" || !strings.HasPrefix(first.data, `{"sequence":`) {
		t.Errorf("first event = %+v; want a start with an id and data", first)
	}
	w.post(started("s2", "m1", "T", 10))
	at, _ := s.until("sessions live.s2")
	s.cancel()

	// While nobody listens, one session changes twice, another ends.
	w.post(joined("s2", "m1", "p1", "ann", 20))
	w.post(joined("s2", "m1", "p2", "bob", 30))
	w.post(ended("s1", "m1", 0, 40))
	w.get("/v1/projections") // which waits for all views
	again := w.watch(t, "/v1/changes", at.id)
	_, keys := again.until("usage s1")
	seen := strings.Join(keys, ",")
	for _, want := range []string{"sessions live.s2", "sessions live.s1", "sessions ended.s1", "attendance s2.ann", "attendance s2.bob"} {
		if strings.Count(seen, want) != 1 {
			t.Errorf("after the cut came %s; want %s once", seen, want)
		}
	}
	w.post(started("s3", "m1", "T", 50))
	again.until("sessions live.s3")

	only := w.watch(t, "/v1/changes?views=recordings", "")
	only.next()
	w.post(joined("s3", "m1", "p1", "ann", 60))
	w.post(recording("r1", "s3", "RECORDING"))
	if _, keys := only.until("recordings r1"); len(keys) != 1 {
		t.Errorf("feed of recordings alone = %v; want one change", keys)
	}

	// A place from another generation: everything may be different.
	other := w.watch(t, "/v1/changes?views=sessions", "sessions_g7:12")
	for e := other.next(); e.event != "reset"; e = other.next() {
		if e.event == "change" {
			t.Errorf("change %s before the reset", e.data)
		}
	}
	_, keys = other.until("sessions live.s3")
	if got := strings.Join(keys, ","); !strings.Contains(got, "live.s2") || !strings.Contains(got, "ended.s1") {
		t.Errorf("after a reset came %s; want all keys", got)
	}
	if a := w.do("/v1/changes", "Last-Event-ID", "nonsense"); a.status != http.StatusBadRequest {
		t.Errorf("GET /v1/changes after nonsense = %d; want 400", a.status)
	}
	if a := w.do("/v1/changes?views=nope"); a.status != http.StatusBadRequest {
		t.Errorf("GET /v1/changes?views=nope = %d; want 400", a.status)
	}
}

func TestService(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "T", 0))
	w.post(joined("s1", "m1", "p1", "ann", 0))
	w.post(recording("r1", "s1", "RECORDING"))
	w.get("/v1/sessions/s1")
	w.get("/v1/sessions/s1/participants") // the attendance view is there too
	background(t, "service", func(ctx context.Context) error { return w.api.RunService(ctx, w.node.Connect(t)) })
	nc := w.node.Connect(t)
	ask := func(subject, request string) *nats.Msg {
		t.Helper()
		for {
			m, err := nc.Request("rollcall.query."+subject, []byte(request), eventlogtest.Patience)
			if errors.Is(err, nats.ErrNoResponders) && t.Context().Err() == nil {
				continue // the service is still subscribing
			}
			if err != nil {
				t.Fatalf("request %s: %v", subject, err)
			}
			return m
		}
	}
	for _, c := range []struct{ subject, request, path string }{
		{"session.get", `{"sessionId":"s1"}`, "/v1/sessions/s1"},
		{"session.get", `{"sessionId":"s1","asOf":1}`, "/v1/sessions/s1?asOf=1"},
		{"participant.list", `{"sessionId":"s1","limit":10}`, "/v1/sessions/s1/participants?limit=10"},
		{"recording.get", `{"recordingId":"r1"}`, "/v1/recordings/r1"},
	} {
		m := ask(c.subject, c.request)
		a := w.get(c.path)
		if people(m.Data) != people(a.body) {
			t.Errorf("%s %s = %s; want %s", c.subject, c.request, m.Data, a.body)
		}
		if m.Header.Get("Rollcall-Sequence") == "" {
			t.Errorf("%s: no Rollcall-Sequence", c.subject)
		}
	}
	if got, want := people(ask("session.list", "").Data), people(w.get("/v1/sessions").body); got != want {
		t.Errorf("session.list = %s; want %s", got, want)
	}
	for _, c := range []struct{ subject, request, code string }{
		{"session.get", `{"sessionId":"nope"}`, "404"}, {"session.get", `{}`, "400"}, {"session.get", `[`, "400"},
		{"session.list", `{"nope":1}`, "400"}, {"session.list", `{"limit":{}}`, "400"}, {"session.list", `{"minSequence":99999,"wait":"1ms"}`, "504"},
	} {
		m := ask(c.subject, c.request)
		if got := m.Header.Get(micro.ErrorCodeHeader); got != c.code || m.Header.Get(micro.ErrorHeader) == "" {
			t.Errorf("%s %s: error %s %q; want %s", c.subject, c.request, got, m.Header.Get(micro.ErrorHeader), c.code)
		}
	}
	// Read your own write, through a request that has to wait.
	seq := w.post(ended("s1", "m1", 0, 60))
	if m := ask("session.get", fmt.Sprintf(`{"sessionId":"s1","minSequence":%d,"wait":"20s"}`, seq)); !strings.Contains(string(m.Data), `"status":"ENDED"`) {
		t.Errorf("session.get with minSequence = %v %s; want it ENDED", m.Header, m.Data)
	}
}

func TestGuard(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef"
	w := newWorld(t, func(c *query.Config) { c.Tokens = []query.Token{{Secret: "another-token-here"}, {Secret: token}} })
	for _, c := range []struct {
		path, auth string
		want       int
	}{
		{"/v1/sessions", "", 401}, {"/v1/sessions", "Bearer wrong", 401}, {"/v1/sessions", "Basic " + token, 401}, {"/nope", "", 401},
		{"/v1/sessions?wait=20s", "Bearer " + token, 200}, {"/v1/sessions", "bearer another-token-here", 200}, {"/", "", 200}, {"/v1/changes", "", 401}, {"/openapi.json", "", 401},
	} {
		a := w.do(c.path, "Authorization", c.auth)
		if a.status != c.want {
			t.Errorf("GET %s with %q = %d; want %d", c.path, c.auth, a.status, c.want)
		}
		if c.want == 401 && a.header.Get("WWW-Authenticate") == "" {
			t.Errorf("GET %s: no WWW-Authenticate", c.path)
		}
		if a.header.Get("X-Content-Type-Options") != "nosniff" || a.header.Get("Content-Security-Policy") == "" {
			t.Errorf("GET %s: security headers are missing: %v", c.path, a.header)
		}
	}
}

func TestHosts(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Hosts = []string{"rollcall.example"} })
	for host, want := range map[string]int{
		"localhost": 200, "localhost:8081": 200, "127.0.0.1:1": 200, "[::1]:8081": 200, "rollcall.example": 200, "ROLLCALL.example:80": 200,
		"evil.example": 421, "localhost.evil.example": 421, "": 200,
	} {
		if a := w.do("/v1/sessions?wait=20s", "Host", host); a.status != want {
			t.Errorf("GET with Host %q = %d %s; want %d", host, a.status, a.body, want)
		}
	}
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, w.server.URL+"/v1/sessions", nil)
	if err != nil {
		t.Fatal(err)
	}
	resp, err := w.server.Client().Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if resp.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST /v1/sessions = %d; want 405", resp.StatusCode)
	}
}

func TestCheckAddr(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		addr     string
		tokens   []query.Token
		insecure bool
		ok       bool
	}{
		{"127.0.0.1:8081", nil, false, true}, {"[::1]:0", nil, false, true}, {"localhost:1", nil, false, true},
		{"0.0.0.0:8081", nil, false, false}, {":8081", nil, false, false}, {"10.0.0.1:1", nil, false, false}, {"rollcall.example:1", nil, false, false},
		{"0.0.0.0:8081", []query.Token{{Secret: "t"}}, false, true}, {":8081", nil, true, true}, {"nonsense", nil, false, false},
	} {
		if err := query.CheckAddr(c.addr, c.tokens, c.insecure); (err == nil) != c.ok {
			t.Errorf("CheckAddr(%q, %v, %v) = %v; want ok %v", c.addr, c.tokens, c.insecure, err, c.ok)
		}
	}
}
