//go:build browser

package page_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query"
	"rollcall/query/closing"
	"rollcall/query/replica"
)

// product is everything behind the page, on a real server: the ingester that a
// provider posts to, the log, the projectors and the read API with the page.
type product struct {
	t    *testing.T
	js   jetstream.JetStream
	api  *httptest.Server
	hook *httptest.Server
	n    int
}

func newProduct(t *testing.T, tokens ...string) *product { return newProductBelow(t, "", tokens...) }

// newProductBelow serves the API and the page below a path.
func newProductBelow(t *testing.T, base string, tokens ...string) *product {
	t.Helper()
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	store, err := eventlogtest.Made(func() (*viewstore.Store, error) {
		return viewstore.Open(t.Context(), js, viewstore.Config{Exclusive: true})
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, fold := range projections.All() {
		p, err := projector.New(projector.Config{Projection: fold, Source: log, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		background(t, p.Run)
	}
	tables, err := query.Tables()
	if err != nil {
		t.Fatal(err)
	}
	replica, err := replica.Open(t.Context(), replica.Config{Dir: t.TempDir(), Views: viewstore.NewReader(js), Tables: tables, Log: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := replica.Close(); err != nil {
			t.Errorf("close replica: %v", err)
		}
	})
	background(t, replica.Run)
	var named []query.Token
	for _, secret := range tokens {
		named = append(named, query.Token{Name: "reader", Role: query.RoleReader, Secret: secret})
	}
	api, err := query.New(query.Config{Replica: replica, Log: log, Folds: projections.All(), Tokens: named, BasePath: base, Closings: closing.NewStore(js), Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	source, err := ingest.ParseSource("prod=none")
	if err != nil {
		t.Fatal(err)
	}
	hook, err := ingest.New(ingest.Config{Log: log, Sources: []ingest.Source{source}, Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	p := &product{t: t, js: js, api: httptest.NewServer(api.Handler()), hook: httptest.NewServer(hook)}
	t.Cleanup(func() {
		p.api.CloseClientConnections()
		p.api.Close()
		p.hook.Close()
	})
	return p
}

// background runs f until the test ends, and waits for it.
func background(t *testing.T, f func(context.Context) error) {
	ctx, cancel := context.WithCancel(context.Background())
	var running sync.WaitGroup
	running.Go(func() {
		if err := f(ctx); err != nil && !errors.Is(err, context.Canceled) {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
	t.Cleanup(func() { cancel(); running.Wait() })
}

// post sends a webhook, as a provider does.
func (p *product) post(body string) {
	p.t.Helper()
	p.n++
	request, err := http.NewRequestWithContext(p.t.Context(), http.MethodPost, p.hook.URL+"/webhooks/prod", bytes.NewReader([]byte(body)))
	if err != nil {
		p.t.Fatal(err)
	}
	request.Header.Set("rtk-uuid", fmt.Sprintf("delivery-%d", p.n))
	response, err := (&http.Client{Transport: eventlogtest.Transport{}}).Do(request)
	if err != nil {
		p.t.Fatal(err)
	}
	defer response.Body.Close()
	if answer, _ := io.ReadAll(response.Body); response.StatusCode != http.StatusOK {
		p.t.Fatalf("POST = %d %s; want 200", response.StatusCode, answer)
	}
}

// until waits for something that the product comes to by itself.
func (p *product) until(what string, done func() bool) {
	p.t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	for limit := time.After(patience); !done(); {
		select {
		case <-tick.C:
		case <-limit:
			p.t.Fatalf("%s: waited in vain", what)
		}
	}
}

// TestWebhookAppears: from a provider's POST to the words on the page, through
// ingester, log, projectors, views, replica, API and feed, each within a second.
func TestWebhookAppears(t *testing.T) {
	world := newProduct(t)
	start := time.Now().UTC().Add(-time.Minute)
	meeting := fmt.Sprintf(`"meeting":{"id":"m-1","sessionId":"s-1","title":"Thesis defence","status":"LIVE","startedAt":%q,"organizedBy":{"id":"o-1","name":"City College"}}`, stamp(start))
	person := func(event, peer, name, more string) string {
		return fmt.Sprintf(`{"event":"meeting.participant%s",%s,"participant":{"peerId":%q,"userDisplayName":%q,"customParticipantId":%q,"joinedAt":%q%s}}`, event, meeting, peer, name, "c-"+peer, stamp(start.Add(5*time.Second)), more)
	}
	recording := func(status string) string {
		return fmt.Sprintf(`{"event":"recording.statusUpdate","meeting":{"id":"m-1","sessionId":"s-1","title":"Thesis defence"},"recording":{"recordingId":"rec-77","roomUUID":"s-1","meetingId":"m-1","status":%q,"invokedTime":%q}}`, status, stamp(start))
	}
	world.post(`{"event":"meeting.started",` + meeting + `}`)
	p := open(t, world.api.URL+"/#/live")
	p.text("Thesis defence")
	connected(p)
	var took []time.Duration
	// appears posts a webhook and waits for what it changes.
	appears := func(body, shown string) {
		t.Helper()
		begin := time.Now()
		world.post(body)
		p.wait(shown)
		took = append(took, time.Since(begin))
	}
	row := func(cell int, text string) string {
		return fmt.Sprintf(`document.querySelector("tbody tr").cells[%d].innerText.includes(%q)`, cell, text)
	}
	appears(person("Joined", "p-1", "Ada", ""), row(4, "1"))
	appears(person("Joined", "p-2", "Grace", ""), row(4, "2"))
	appears(recording("RECORDING"), row(7, "RECORDING"))
	p.route("#/session/s-1")
	p.text("Grace")
	appears(person("Joined", "p-3", "Barbara", ""), `document.querySelector(".gantt").innerText.includes("Barbara")`)
	appears(person("Left", "p-2", "Grace", fmt.Sprintf(`,"leftAt":%q`, stamp(start.Add(30*time.Second)))), `document.querySelectorAll(".gantt tbody .bar.left").length === 1`)
	appears(recording("UPLOADED"), `document.querySelector(".cards").innerText.includes("UPLOADED")`)
	p.eval(`[...document.querySelectorAll("summary")].at(-1).click()`, nil)
	p.text("recording.statusUpdate")
	p.route("#/attendance/s-1")
	p.text("c-p-3")
	ended := fmt.Sprintf(`{"event":"meeting.ended",%s,"reason":"HOST_ENDED_MEETING"}`, meeting[:len(meeting)-1]+fmt.Sprintf(`,"endedAt":%q}`, stamp(start.Add(50*time.Second))))
	appears(ended, `document.querySelector("tbody").innerText.includes("meeting end")`)
	within(t, took)
	for _, v := range []struct{ route, shown string }{{"#/people?q=GRÁCE", "c-p-2"}, {"#/person/c-p-2", "Thesis defence"}, {"#/attendance/s-1/c-p-2?records=open", "0:00:25 of 0:00:50 while the session ran: 50 %."}, {"#/session/s-1?records=open&person=c-p-2&type=meeting.participantLeft", "c-p-2"}, {"#/recordings", "rec-77"}, {"#/usage", "City College"}, {"#/pipeline", "all up to date"}, {"#/livestreams", "No livestreams yet."}, {"#/attendance", "Thesis defence"}, {"#/list/recordings", "rec-77"}, {"#/list/sessions", "Thesis defence"}} {
		p.route(v.route)
		p.text(v.shown)
		// What a link to CSV promises is what the API answers.
		var files []string
		p.eval(`Promise.all([...document.querySelectorAll("a[download]")].map((a) => fetch(a.href).then((r) => r.status + " " + r.headers.get("Content-Type"))))`, &files)
		if len(files) < 2 || strings.Count(strings.Join(files, "\n"), "200 text/csv") != len(files) {
			t.Errorf("CSV and spreadsheet of %s = %q; want 200 text/csv", v.route, files)
		}
	}
	// Every view is listed, or says that it has no list; Pipeline leads there.
	p.route("#/pipeline")
	p.wait(`document.querySelector('a[href="#/list/artifacts"]')`)
	p.eval(`document.querySelector('a[href="#/list/artifacts"]').click()`, nil)
	p.text("This view has no list")
	p.route("#/live")
	p.text("No meeting is live.")
}

// TestTokenOfAPI: the page itself is open to everybody; what it shows, and the
// feed, come with the token that the real API wants.
func TestTokenOfAPI(t *testing.T) {
	t.Parallel()
	const token = "0123456789abcdef0123456789abcdef"
	world := newProduct(t, token)
	world.post(fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s","title":"Closed meeting","startedAt":%q}}`, stamp(time.Now())))
	p := open(t, world.api.URL)
	p.expect("401")
	p.wait(`document.querySelector("dialog[open] input")`)
	p.eval(`document.querySelector("dialog[open] input").focus()`, nil)
	p.call("Input.insertText", map[string]any{"text": token}, nil)
	p.press("Enter", "Enter", 13)
	p.text("Closed meeting")
	connected(p)
	world.post(fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m2","sessionId":"s2","title":"Seen by the feed","startedAt":%q}}`, stamp(time.Now())))
	p.text("Seen by the feed")
}
