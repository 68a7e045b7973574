package query_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query"
	"rollcall/query/closing"
	"rollcall/query/replica"
)

// world is everything from the log to the API, on a real server.
type world struct {
	t       testing.TB
	node    *eventlogtest.Node
	js      jetstream.JetStream
	log     *natslog.Log
	replica *replica.Replica
	api     *query.API
	server  *httptest.Server
	clock   *clock
	n       int
	last    eventlog.Seq
}

// clock is a clock that a test sets.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) Set(t time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = t
}

var epoch = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

// newWorld starts a log, the six projectors, a replica and the API.
func newWorld(t testing.TB, change ...func(*query.Config)) *world {
	t.Helper()
	w := &world{t: t, node: eventlogtest.Server(t), clock: &clock{now: epoch}}
	w.js = w.node.JetStream(t)
	ctx := t.Context()
	var err error
	if w.log, err = eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(ctx, w.js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(w.log.Close)
	store, err := eventlogtest.Made(func() (*viewstore.Store, error) { return viewstore.Open(ctx, w.js, viewstore.Config{Exclusive: true}) })
	if err != nil {
		t.Fatal(err)
	}
	for _, fold := range projections.All() {
		p, err := projector.New(projector.Config{Projection: fold, Source: w.log, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		background(t, "projector "+fold.Name(), p.Run)
	}
	w.replica = openReplica(t, t.TempDir(), viewstore.NewReader(w.js))
	config := query.Config{Replica: w.replica, Log: w.log, Folds: projections.All(), Closings: closing.NewStore(w.js), Now: w.clock.Now, Logger: zerolog.New(zerolog.NewTestWriter(t))}
	for _, f := range change {
		f(&config)
	}
	if w.api, err = query.New(config); err != nil {
		t.Fatal(err)
	}
	w.server = httptest.NewServer(w.api.Handler())
	t.Cleanup(w.server.Close)
	return w
}

func openReplica(t testing.TB, dir string, views replica.Views) *replica.Replica {
	t.Helper()
	r, _ := runReplica(t, replica.Config{Dir: dir, Views: views})
	return r
}

// tables are those of all views.
func tables(t testing.TB) []replica.Table {
	t.Helper()
	all, err := query.Tables()
	if err != nil {
		t.Fatal(err)
	}
	return all
}

// runReplica opens a replica and runs it until stop, or the test's end.
func runReplica(t testing.TB, c replica.Config) (r *replica.Replica, stop func()) {
	t.Helper()
	c.Log = zerolog.New(zerolog.NewTestWriter(t))
	c.Tables = tables(t)
	r, err := replica.Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	end := background(t, "replica", r.Run)
	stop = sync.OnceFunc(func() {
		end()
		if err := r.Close(); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	})
	t.Cleanup(stop)
	return r, stop
}

// background runs f until the test ends, and waits for it.
func background(t testing.TB, name string, f func(context.Context) error) (stop func()) {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("%s: Run() = %v; want nil", name, err)
		}
	}()
	var once sync.Once
	stop = func() { once.Do(func() { cancel(); <-done }) }
	t.Cleanup(stop)
	return stop
}

// post appends a delivery, received a second after the one before.
func (w *world) post(body string) eventlog.Seq {
	w.t.Helper()
	w.n++
	return w.postAt(epoch.Add(time.Duration(w.n)*time.Second), body)
}

// everywhere waits until every view holds everything that was posted.
func (w *world) everywhere() {
	w.t.Helper()
	for _, fold := range projections.All() {
		for w.replica.Sequences()[fold.Name()] < w.last {
			select {
			case <-w.t.Context().Done():
				w.t.Fatalf("view %s is at %d; want %d", fold.Name(), w.replica.Sequences()[fold.Name()], w.last)
			case <-time.After(5 * time.Millisecond):
			}
		}
	}
}

func (w *world) postAt(at time.Time, body string) eventlog.Seq {
	w.t.Helper()
	w.n++
	id := eventlog.Identify([]byte(body))
	r := &eventlog.Record{
		EventID: fmt.Sprintf("01HX%022d", w.n), ReceivedAt: eventlog.TimeOf(at), Source: "test",
		DeliveryID: strconv.Itoa(w.n), Type: id.Name, Body: []byte(body),
	}
	a, err := eventlogtest.Made(func() (eventlog.Appended, error) { return w.log.Append(w.t.Context(), r) })
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = a.Seq
	return a.Seq
}

// client asks again where the machine stood still.
var client = http.Client{Transport: eventlogtest.Transport{}}

// answer is an HTTP answer, read.
type answer struct {
	status int
	header http.Header
	body   []byte
}

// get asks for a path; it waits for everything that was posted.
func (w *world) get(path string, headers ...string) answer {
	w.t.Helper()
	sep := "?"
	if strings.Contains(path, "?") {
		sep = "&"
	}
	return w.do(path+sep+"wait=30s&minSequence="+strconv.FormatUint(uint64(w.last), 10), headers...)
}

// do asks for a path as it is.
func (w *world) do(path string, headers ...string) answer {
	w.t.Helper()
	a, err := eventlogtest.Made(func() (answer, error) { return w.ask(path, headers) }) // an answer may be cut, too
	if err != nil {
		w.t.Fatal(err)
	}
	return a
}

// ask is do once.
func (w *world) ask(path string, headers []string) (a answer, err error) {
	req, err := http.NewRequestWithContext(w.t.Context(), http.MethodGet, w.server.URL+path, nil)
	if err != nil {
		return a, err
	}
	for i := 0; i < len(headers); i += 2 {
		if headers[i] == "Host" {
			req.Host = headers[i+1]
		}
		req.Header.Set(headers[i], headers[i+1])
	}
	resp, err := client.Do(req)
	if err != nil {
		return a, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return answer{resp.StatusCode, resp.Header, body}, err
}

// list is a list's answer.
type list struct {
	Items      []map[string]any `json:"items"`
	NextCursor *string          `json:"nextCursor"`
	AsOf       struct {
		Sequence eventlog.Seq `json:"sequence"`
	} `json:"asOf"`
}

// items asks for a list.
func (w *world) items(path string) list {
	w.t.Helper()
	a := w.get(path)
	if a.status != http.StatusOK {
		w.t.Fatalf("GET %s = %d %s; want 200", path, a.status, a.body)
	}
	var l list
	if err := json.Unmarshal(a.body, &l); err != nil {
		w.t.Fatalf("GET %s = %s: %v", path, a.body, err)
	}
	return l
}

// column gives one member of each item, in order, with commas.
func (l list) column(name string) string {
	var all []string
	for _, it := range l.Items {
		all = append(all, fmt.Sprint(it[name]))
	}
	return strings.Join(all, ",")
}

// stamp is a time so many seconds after the epoch.
func stamp(seconds int) string {
	return epoch.Add(time.Duration(seconds) * time.Second).Format(time.RFC3339)
}

func started(session, meeting, title string, at int) string {
	return fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":%q,"sessionId":%q,"title":%q,"startedAt":%q,"organizedBy":{"id":"org-%s","name":"Org %s"}}}`,
		meeting, session, title, stamp(at), meeting, meeting)
}

func ended(session, meeting string, from, to int) string {
	return fmt.Sprintf(`{"event":"meeting.ended","meeting":{"id":%q,"sessionId":%q,"status":"LIVE","startedAt":%q,"endedAt":%q},"reason":"ALL_PARTICIPANTS_LEFT"}`,
		meeting, session, stamp(from), stamp(to))
}

func joined(session, meeting, peer, who string, at int) string {
	return fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":%q,"sessionId":%q},"participant":{"peerId":%q,"customParticipantId":%q,"userDisplayName":"Name %s","joinedAt":%q}}`,
		meeting, session, peer, who, who, stamp(at))
}

func left(session, meeting, peer, who string, from, to int) string {
	return fmt.Sprintf(`{"event":"meeting.participantLeft","meeting":{"id":%q,"sessionId":%q},"participant":{"peerId":%q,"customParticipantId":%q,"userDisplayName":"Name %s","joinedAt":%q,"leftAt":%q}}`,
		meeting, session, peer, who, who, stamp(from), stamp(to))
}

func recording(id, session, status string) string {
	return fmt.Sprintf(`{"event":"recording.statusUpdate","meeting":{"id":"m","sessionId":%q},"recording":{"recordingId":%q,"status":%q}}`, session, id, status)
}

// writeFile writes a file in a fresh directory.
func writeFile(t testing.TB, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}
