//go:build browser

package page_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"rollcall/query/page"
)

// doc is a document as the API answers it.
type doc = map[string]any

// standIn serves the page and the part of the read API that it uses, from
// documents that a test puts there: what no log of real records brings about on
// demand (a feed that is cut, an answer that fails, 5,000 connections) is here.
// real_test.go has the page against the real thing.
type standIn struct {
	*httptest.Server
	mu       sync.Mutex
	sequence int
	docs     map[string]map[string]doc // by view, then id; attendance by session/participant
	events   map[string][]doc
	token    string
	failing  int           // status that every list answers, 0: none
	cut      chan struct{} // closed: the feeds end
	refuse   bool          // new feeds are refused
	changed  chan struct{}
	changes  []doc
	requests map[string]int // by path
}

func newStandIn(t *testing.T) *standIn {
	s := &standIn{docs: map[string]map[string]doc{}, events: map[string][]doc{}, cut: make(chan struct{}), changed: make(chan struct{}), requests: map[string]int{}}
	mux := http.NewServeMux()
	front := page.Handler(page.Config{Version: "test"})
	mux.Handle("/", front)
	mux.Handle("/assets/", front)
	mux.HandleFunc("/v1/", s.api)
	mux.HandleFunc("/v1/changes", s.feed)
	s.Server = httptest.NewServer(mux)
	t.Cleanup(func() {
		s.drop(true)
		s.CloseClientConnections()
		s.Close()
	})
	return s
}

// put stores a document and publishes the change. It returns the change's sequence.
func (s *standIn) put(view, id string, d doc) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.store(view, id, d)
	key := id
	switch view {
	case "sessions":
		key = strings.ToLower(d["status"].(string)) + "." + id
	case "attendance":
		key = strings.Replace(id, "/", ".", 1)
	}
	s.sequence++
	s.changes = append(s.changes, doc{"view": view, "key": key, "sequence": s.sequence})
	close(s.changed)
	s.changed = make(chan struct{})
	return s.sequence
}

// fill stores documents that were there before.
func (s *standIn) fill(view string, docs map[string]doc) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, d := range docs {
		s.store(view, id, d)
	}
	s.sequence += len(docs)
}

func (s *standIn) store(view, id string, d doc) {
	if s.docs[view] == nil {
		s.docs[view] = map[string]doc{}
	}
	s.docs[view][id] = d
}

// drop ends the feeds; with refuse no new one is taken.
func (s *standIn) drop(refuse bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = refuse
	close(s.cut)
	s.cut = make(chan struct{})
}

func (s *standIn) accept() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.refuse = false
}

func (s *standIn) fail(status int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.failing = status
}

func (s *standIn) asked(path string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.requests[path]
}

func problem(w http.ResponseWriter, status int, detail string) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(doc{"title": http.StatusText(status), "status": status, "detail": detail})
}

// let answers 401 without the token.
func (s *standIn) let(w http.ResponseWriter, r *http.Request) bool {
	if s.token == "" || r.Header.Get("Authorization") == "Bearer "+s.token {
		return true
	}
	problem(w, http.StatusUnauthorized, "a token, please")
	return false
}

func (s *standIn) api(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.requests[r.URL.Path]++
	if !s.let(w, r) {
		return
	}
	if s.failing != 0 {
		problem(w, s.failing, "the view can't be read now; look at /readyz")
		return
	}
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/v1/"), "/")
	for i := range parts {
		parts[i], _ = url.PathUnescape(parts[i])
	}
	items, single := s.find(parts, r.URL.Query())
	switch {
	case items == nil && single == nil:
		problem(w, http.StatusNotFound, "no such item")
	case single != nil:
		w.Header().Set("Rollcall-Sequence", strconv.Itoa(s.sequence))
		_ = json.NewEncoder(w).Encode(single)
	default:
		s.list(w, r.URL.Query(), items)
	}
}

// find answers a list, or one document.
func (s *standIn) find(parts []string, q url.Values) (items []doc, single doc) {
	path := strings.Join(parts, "/")
	switch {
	case path == "meetings/live":
		return s.only("sessions", func(d doc) bool { return d["status"] == "LIVE" && (q.Get("stale") == "true" || d["stale"] != true) }), nil
	case path == "sessions":
		return s.only("sessions", func(d doc) bool {
			return strings.Contains(fmt.Sprint(d["title"]), q.Get("q")) && (q.Get("meetingId") == "" || d["meetingId"] == q.Get("meetingId"))
		}), nil
	case path == "recordings":
		return s.only("recordings", func(d doc) bool { return q.Get("sessionId") == "" || d["sessionId"] == q.Get("sessionId") }), nil
	case path == "pipeline":
		return nil, s.docs["pipeline"]["now"]
	case path == "participants":
		return s.people(q.Get("q")), nil
	case path == "events":
		return s.only("events", func(d doc) bool { return fmt.Sprint(d["sequence"]) > q.Get("after") }), nil
	case path == "usage":
		return s.usage(q), nil
	case path == "usage/cases":
		return nil, usageCasesDoc(len(s.docs["usage"]))
	case len(parts) == 1:
		return s.only(parts[0], func(doc) bool { return true }), nil
	case parts[0] == "participants":
		items = s.only("attendance", func(d doc) bool { return d["participantId"] == parts[1] })
		for i, d := range items {
			items[i] = maps.Clone(d)
			items[i]["session"] = s.docs["sessions"][d["sessionId"].(string)]
		}
		return items, nil
	case len(parts) == 3 && parts[2] == "participants":
		items = s.only("attendance", func(d doc) bool { return d["sessionId"] == parts[1] })
		slices.SortStableFunc(items, func(a, b doc) int { return cmp.Compare(fmt.Sprint(a["firstJoinedAt"]), fmt.Sprint(b["firstJoinedAt"])) })
		return items, nil
	case len(parts) == 3 && parts[2] == "events":
		for _, e := range s.events[parts[1]] {
			if (q.Get("type") == "" || e["type"] == q.Get("type")) && (q.Get("participantId") == "" || e["participantId"] == q.Get("participantId")) {
				items = append(items, e)
			}
		}
		return append([]doc{}, items...), nil
	case q.Get("asOf") != "":
		return nil, s.docs["asOf"][parts[1]]
	default:
		return nil, s.docs[parts[0]][parts[1]]
	}
}

func (s *standIn) only(view string, keep func(doc) bool) []doc {
	items := []doc{}
	for _, id := range slices.Sorted(maps.Keys(s.docs[view])) {
		if d := s.docs[view][id]; keep(d) {
			items = append(items, d)
		}
	}
	return items
}

// people lists each participant of the attendance documents once.
func (s *standIn) people(q string) []doc {
	found := map[string]doc{}
	for _, d := range s.only("attendance", func(doc) bool { return true }) {
		id, name := d["participantId"].(string), d["displayName"].(string)
		p := found[id]
		if p == nil {
			p = doc{"participantId": id, "displayName": name, "names": []string{}, "sessions": 0, "lastJoinedAt": d["firstJoinedAt"]}
			found[id] = p
		}
		p["sessions"] = p["sessions"].(int) + 1
		if names := p["names"].([]string); name != "" && !slices.Contains(names, name) {
			p["names"] = append(names, name)
		}
	}
	items := []doc{}
	for _, id := range slices.Sorted(maps.Keys(found)) {
		if strings.Contains(strings.ToLower(fmt.Sprint(id, found[id]["names"])), strings.ToLower(q)) {
			items = append(items, found[id])
		}
	}
	return items
}

// list answers a page of items; the cursor is the number of the first.
func (s *standIn) list(w http.ResponseWriter, q url.Values, items []doc) {
	limit, err := strconv.Atoi(q.Get("limit"))
	if err != nil || limit > 1000 {
		limit = 100
	}
	from, _ := strconv.Atoi(q.Get("cursor"))
	to := min(len(items), from+limit)
	var next any
	if to < len(items) {
		next = strconv.Itoa(to)
	}
	_ = json.NewEncoder(w).Encode(doc{"items": items[from:to], "nextCursor": next, "asOf": doc{"sequence": s.sequence}})
}

// feed sends what changed after Last-Event-ID, and then what changes.
func (s *standIn) feed(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	s.requests[r.URL.Path]++
	if !s.let(w, r) {
		s.mu.Unlock()
		return
	}
	if s.refuse {
		s.mu.Unlock()
		problem(w, http.StatusServiceUnavailable, "not now")
		return
	}
	cut, sent := s.cut, len(s.changes)
	if last, err := strconv.Atoi(r.Header.Get("Last-Event-ID")); err == nil {
		sent = last
	}
	s.mu.Unlock()
	w.Header().Set("Content-Type", "text/event-stream")
	fmt.Fprintf(w, "retry: 200\nid: %d\n\n", sent)
	for {
		s.mu.Lock()
		news, changed := s.changes[sent:], s.changed
		s.mu.Unlock()
		for _, c := range news {
			sent++
			b, _ := json.Marshal(c)
			fmt.Fprintf(w, "event: change\nid: %d\ndata: %s\n\n", sent, b)
		}
		if http.NewResponseController(w).Flush() != nil {
			return
		}
		select {
		case <-changed:
		case <-cut:
			return
		case <-r.Context().Done():
			return
		}
	}
}
