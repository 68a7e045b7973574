package main

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// versioned is a fold under another version.
type versioned struct {
	eventlog.Fold
	version string
}

func (v versioned) Version() string { return v.version }

// testNode is `rollcall serve` in this process, on free ports, not started.
func testNode(t *testing.T, dir string, args ...string) *node.Node {
	t.Helper()
	c, err := configOf(t, dir, args...)
	if err != nil {
		t.Fatal(err)
	}
	n := node.New(c, zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.ErrorLevel))
	return n
}

// configOf is what serve makes of its flags.
func configOf(t *testing.T, dir string, args ...string) (node.Config, error) {
	t.Helper()
	file, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	var grammar cli
	a := &app{file: file, IO: &console.IO{Ctx: t.Context(), Stdout: os.Stdout, Stderr: os.Stderr,
		Env: func(string) (string, bool) { return "", false }}}
	parser, err := newParser(&grammar, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse(append([]string{"serve", "--data-dir", dir, "--source", "test=none", "--ingest-addr", "127.0.0.1:0",
		"--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--nats-listen", ""}, args...)); err != nil {
		t.Fatal(err)
	}
	return grammar.Serve.config(a)
}

// runNode runs a node until it is ready or ends; stop ends it.
func runNode(t *testing.T, n *node.Node) (stop func() error) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.Run(ctx) }()
	select {
	case <-n.Ready:
	case err := <-done: // the caller may want to know why
		t.Logf("the node ended before it was ready: %v", err)
		done <- err
	case <-time.After(eventlogtest.Patience):
		t.Fatalf("node is not ready within %v", eventlogtest.Patience)
	}
	var err error
	stopped := false
	stop = func() error {
		if !stopped {
			stopped = true
			cancel()
			err = <-done
		}
		return err
	}
	t.Cleanup(func() { _ = stop() })
	return stop
}

func postStarted(t *testing.T, n *node.Node, session string) {
	t.Helper()
	postEvent(t, n, "meeting.started", session)
}

func postEvent(t *testing.T, n *node.Node, event, session string) {
	t.Helper()
	if status := webhook(t, n.Addresses().Ingest, `{"event":"`+event+`","meeting":{"id":"m","sessionId":"`+session+`","title":"t"}}`); status != http.StatusOK {
		t.Fatalf("POST = %d; want 200", status)
	}
}

// document waits for a key of the view sessions.
func document(t *testing.T, n *node.Node, key string) viewstore.Entry {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	nc, err := n.Embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for {
		e, err := viewstore.NewReader(js).Get(ctx, "sessions", key)
		if err == nil {
			return e
		}
		if wire.Pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("Get(%s) = %v; want the document", key, err)
		}
	}
}

func TestAutoRebuild(t *testing.T) {
	dir := t.TempDir()
	old := testNode(t, dir)
	old.Folds[0] = versioned{old.Folds[0], "0-before"}
	stop := runNode(t, old)
	postStarted(t, old, "a")
	if e := document(t, old, "live.a"); e.Generation != 1 {
		t.Errorf("generation at first = %d; want 1", e.Generation)
	}
	if err := stop(); err != nil {
		t.Fatalf("run() = %v; want no error", err)
	}

	refusing := testNode(t, dir)
	stop = runNode(t, refusing)
	postStarted(t, refusing, "b") // a view is no reason to refuse webhooks
	if said := readyNote(t, refusing, "sessions", "failed: "); !strings.Contains(said, "failed: ") || !strings.Contains(said, projector.ErrVersion.Error()) ||
		!strings.Contains(said, "rollcall rebuild sessions") || !strings.Contains(said, "--auto-rebuild") {
		t.Errorf("/readyz of a newer fold says %q of sessions; want %v and what to run", said, projector.ErrVersion)
	}
	if err := stop(); err != nil {
		t.Fatalf("run() = %v; want no error", err)
	}

	rebuilding := testNode(t, dir, "--auto-rebuild")
	stop = runNode(t, rebuilding)
	for _, key := range []string{"live.a", "live.b"} {
		e := document(t, rebuilding, key)
		for ctx := t.Context(); e.Generation != 2; e = document(t, rebuilding, key) { // generation 1 serves until then
			if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := stop(); err != nil {
		t.Fatalf("run() = %v; want no error", err)
	}

	// Back to the old program: its generation is retired, and it says so.
	back := testNode(t, dir)
	back.Folds[0] = versioned{back.Folds[0], "0-before"}
	runNode(t, back)
	if said := readyNote(t, back, "sessions", "failed: "); !strings.Contains(said, projector.ErrVersion.Error()) {
		t.Errorf("/readyz of the older fold says %q of sessions; want %v", said, projector.ErrVersion)
	}
}

// readyNote is what /readyz?verbose says of a view, once it begins so: a view that
// failed is tried again, and starts then for a moment.
func readyNote(t *testing.T, n *node.Node, view, begin string) string {
	t.Helper()
	for end := time.Now().Add(eventlogtest.Patience); ; {
		note := noteOf(t, n, view)
		if strings.HasPrefix(note, begin) || time.Now().After(end) || wire.Pause(t.Context(), 10*time.Millisecond) != nil {
			return note
		}
	}
}

// noteOf is what /readyz?verbose says of a view now.
func noteOf(t *testing.T, n *node.Node, view string) string {
	t.Helper()
	for line := range strings.Lines(string(bodyOf(t, "http://"+n.Addresses().Admin+"/readyz?verbose"))) {
		if _, note, ok := strings.Cut(line, "project "+view+": "); ok {
			return strings.TrimSpace(note)
		}
	}
	return ""
}

// bodyOf is the body of the answer to a GET.
func bodyOf(t *testing.T, url string) []byte {
	t.Helper()
	res, err := client.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// waitMetric waits until a node's metrics hold a line that begins so.
func waitMetric(t *testing.T, n *node.Node, want string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b := bodyOf(t, "http://"+n.Addresses().Admin+"/metrics")
		if bytes.Contains(b, []byte("\n"+want)) {
			return
		}
		if wire.Pause(ctx, 10*time.Millisecond) != nil {
			t.Fatalf("metrics:\n%s\nwant %s", b, want)
		}
	}
}

func TestViewMaxAge(t *testing.T) {
	n := testNode(t, t.TempDir(), "--view-max-age", "1s")
	stop := runNode(t, n)
	postStarted(t, n, "open")
	postStarted(t, n, "over")
	postEvent(t, n, "meeting.ended", "over")
	for _, view := range []string{"sessions", "attendance", "usage"} {
		waitMetric(t, n, `rollcall_projector_dropped_total{view="`+view+`"} 1`)
	}
	postStarted(t, n, "over") // late: it stays where it is
	postStarted(t, n, "last")
	document(t, n, "live.last")
	document(t, n, "live.open")
	for ctx := t.Context(); ; {
		b := bodyOf(t, "http://"+n.Addresses().API+"/v1/sessions?sort=sessionId&minSequence=5&wait=30s")
		if bytes.Contains(b, []byte(`"sessionId":"over"`)) {
			if wire.Pause(ctx, 10*time.Millisecond) != nil {
				t.Fatal("the dropped session is still in the read API")
			}
			continue // the change is on its way
		}
		if !bytes.Contains(b, []byte(`"sessionId":"last"`)) || !bytes.Contains(b, []byte(`"sessionId":"open"`)) {
			t.Errorf("GET /v1/sessions = %s; want the sessions last and open", b)
		}
		break
	}
	if err := stop(); err != nil {
		t.Fatalf("run() = %v; want no error", err)
	}
}

func TestAudit(t *testing.T) {
	n := testNode(t, t.TempDir(), "--audit-interval", "10ms", "--audit-sample", "1")
	var log lockedBuffer
	n.Logger = zerolog.New(&log)
	n.Folds = n.Folds[:1]
	stop := runNode(t, n)
	postStarted(t, n, "a")
	document(t, n, "live.a")
	waitMetric(t, n, `rollcall_audit_differing_keys{view="sessions"} 0`)
	waitMetric(t, n, `rollcall_audit_last_success_timestamp_seconds{view="sessions"}`)
	nc, err := n.Embedded.Connect()
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	if err := nc.Publish("$KV.sessions_g1.live.planted", []byte(`{"sessionId":"planted"}`)); err != nil {
		t.Fatal(err)
	}
	waitMetric(t, n, `rollcall_audit_differing_keys{view="sessions"} 1`)
	if err := stop(); err != nil {
		t.Fatalf("run() = %v; want no error", err)
	}
	if !strings.Contains(log.String(), "rollcall verify sessions --repair") {
		t.Errorf("log lacks a line on the difference:\n%s", log.String())
	}
}
