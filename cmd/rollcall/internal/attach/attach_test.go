package attach

import (
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
	"rollcall/projections"
	"rollcall/projector/viewstore"
)

// terminal is where a command runs.
func terminal(t *testing.T) *console.IO {
	return &console.IO{Ctx: t.Context(), Stdout: io.Discard, Stderr: io.Discard, Logger: zerolog.Nop()}
}

// gone waits until a server has no connection but those that were there.
func gone(t *testing.T, node *eventlogtest.Node, were int) {
	t.Helper()
	for deadline := time.Now().Add(eventlogtest.Patience); node.NATS().NumClients() > were; {
		if time.Now().After(deadline) || wire.Pause(t.Context(), time.Millisecond) != nil {
			t.Fatalf("%d connections are left; want %d", node.NATS().NumClients(), were)
		}
	}
}

// attaching are the ways to the log of a server that runs.
func attaching(t *testing.T, url string, auth Auth) map[string]func() (*Attached, error) {
	client := ClientFlags{NATSURL: url, Auth: auth}
	return map[string]func() (*Attached, error){
		"a client":    func() (*Attached, error) { return client.Attach(t.Context()) },
		"an operator": func() (*Attached, error) { return OperatorFlags{client}.Attach(t.Context()) },
		"which log":   func() (*Attached, error) { return WhichLog{NATSURL: url, Auth: auth}.Attach(terminal(t)) },
	}
}

// TestAttach: the log that is there is read, and no connection is left after it,
// nor where there is none.
func TestAttach(t *testing.T) {
	node := eventlogtest.Server(t)
	for how, attach := range attaching(t, node.URL(), Auth{}) {
		if l, err := attach(); l != nil || console.ExitCode(err) != console.ExitNotFound || !strings.Contains(err.Error(), "has no log yet") {
			t.Errorf("%s attaches to a server without a log = %v; want that it has none yet", how, err)
		}
		gone(t, node, 0)
	}
	js := node.JetStream(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	were := node.NATS().NumClients()
	for how, attach := range attaching(t, node.URL(), Auth{}) {
		l, err := attach()
		if err != nil {
			t.Fatalf("%s: %v", how, err)
		}
		if head, err := l.Log.Head(t.Context()); err != nil || head.Last != 0 {
			t.Errorf("%s reads the head of the log = %+v, %v", how, head, err)
		}
		if err := l.Close(); err != nil {
			t.Error(err)
		}
		gone(t, node, were)
	}
	missing := Auth{NATSCreds: filepath.Join(t.TempDir(), "missing")}
	for how, attach := range attaching(t, node.URL(), missing) {
		if l, err := attach(); l != nil || err == nil || !strings.Contains(err.Error(), "--nats-creds") {
			t.Errorf("%s with credentials that are missing = %v; want an error of --nats-creds", how, err)
		}
	}
	gone(t, node, were)
}

// TestDial: no server, and a command that was ended, are errors, and leave no connection.
func TestDial(t *testing.T) {
	node := eventlogtest.Server(t)
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if nc, _, err := Dial(ended, node.URL()); nc != nil || !errors.Is(err, context.Canceled) {
		t.Errorf("Dial of a command that was ended = %v; want %v", err, context.Canceled)
	}
	gone(t, node, 0)
	node.Stop(t)
	if nc, js, err := Dial(t.Context(), node.URL()); nc != nil || js != nil || console.ExitCode(err) != console.ExitUnreachable || !strings.Contains(err.Error(), "no NATS server at") {
		t.Errorf("Dial of a server that is stopped = %v; want that there is none", err)
	}
}

// TestWhichLog: a directory or a server is named, the directory is there, and what
// else would be taken is taken where neither is named.
func TestWhichLog(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	if _, _, _, err := (WhichLog{DataDir: missing, NATSURL: "nats://127.0.0.1:1"}).Open(terminal(t), WhichLog{}); console.ExitCode(err) != console.ExitUsage {
		t.Errorf("Open(directory and server) = %v; want that they can't be used together", err)
	}
	if _, _, _, err := (WhichLog{DataDir: missing}).Open(terminal(t), WhichLog{}); console.ExitCode(err) != console.ExitNotFound {
		t.Errorf("Open(missing directory) = %v; want that there is none", err)
	}
	if _, err := os.Stat(missing); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a missing directory was made: %v", err)
	}
	node := eventlogtest.Server(t)
	js, dir, closeAll, err := WhichLog{}.Open(terminal(t), WhichLog{NATSURL: node.URL()})
	if err != nil || dir != "" || js.Conn().ConnectedUrl() != node.URL() {
		t.Fatalf("Open(neither) = directory %q, %v; want the server %s", dir, err, node.URL())
	}
	if err := closeAll(); err != nil {
		t.Error(err)
	}
	gone(t, node, 0)
	_, dir, closeAll, err = WhichLog{}.Open(terminal(t), WhichLog{DataDir: missing})
	if err != nil || dir != missing {
		t.Fatalf("Open(neither) of an import = directory %q, %v; want %s, which is made", dir, err, missing)
	}
	if _, _, _, err := (WhichLog{DataDir: missing}).Open(terminal(t), WhichLog{}); err == nil || !strings.Contains(err.Error(), "--nats-url works on the log of a server that runs") {
		t.Errorf("Open(directory that is in use) = %v; want what works there", err)
	}
	if err := closeAll(); err != nil {
		t.Error(err)
	}
}

// TestExistingViews: those that have an alias; without one, or where they can't be
// read, it is an error.
func TestExistingViews(t *testing.T) {
	js := eventlogtest.Connect(t)
	r := viewstore.NewReader(js)
	if views, err := ExistingViews(t.Context(), r); console.ExitCode(err) != console.ExitNotFound {
		t.Errorf("ExistingViews() of a new server = %v, %v; want that there is none yet", views, err)
	}
	store, err := viewstore.Open(t.Context(), js, viewstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	fold := projections.All()[1]
	if _, err := store.Ensure(t.Context(), fold.Name(), fold.Version()); err != nil {
		t.Fatal(err)
	}
	if views, err := ExistingViews(t.Context(), r); err != nil || len(views) != 1 || views[0] != fold.Name() {
		t.Errorf("ExistingViews() = %v, %v; want %s", views, err, fold.Name())
	}
	js.Conn().Close()
	if views, err := ExistingViews(t.Context(), r); err == nil || console.ExitCode(err) == console.ExitNotFound {
		t.Errorf("ExistingViews() without a connection = %v, %v; want that they can't be read", views, err)
	}
}

// TestWithStore: what a command does with views, and its errors, come back.
func TestWithStore(t *testing.T) {
	node := eventlogtest.Server(t)
	f := OperatorFlags{ClientFlags{NATSURL: node.URL()}}
	fails := errors.New("fails")
	err := f.WithStore(terminal(t), func(_ jetstream.JetStream, s *viewstore.Store) error {
		_, err := s.Ensure(t.Context(), "sessions", "1")
		return errors.Join(err, fails)
	})
	if !errors.Is(err, fails) {
		t.Errorf("WithStore of a command that fails = %v; want %v", err, fails)
	}
	gone(t, node, 0)
	if err := f.WithReader(t.Context(), func(r *viewstore.Reader) error {
		_, err := r.Alias(t.Context(), "sessions")
		return err
	}); err != nil {
		t.Errorf("WithReader = %v; want the view that was made", err)
	}
	gone(t, node, 0)
	node.Stop(t)
	called := false
	for _, err := range []error{
		f.WithReader(t.Context(), func(*viewstore.Reader) error { called = true; return nil }),
		f.WithStore(terminal(t), func(jetstream.JetStream, *viewstore.Store) error { called = true; return nil }),
	} {
		if console.ExitCode(err) != console.ExitUnreachable || called {
			t.Errorf("without a server = %v, called %v; want that there is none", err, called)
		}
	}
}
