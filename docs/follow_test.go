package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"os/exec"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// TestFollowExample runs the client that FORMAT.md shows to other languages: a
// view as it is, a delete, and a move to another generation.
func TestFollowExample(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	store, err := viewstore.Open(t.Context(), js, viewstore.Config{Exclusive: true})
	if err != nil {
		t.Fatal(err)
	}
	first := acquire(t, store, 0)
	commit(t, first, 1, projector.Put{Key: "live.a", Value: []byte(`{"n":1}`)}, projector.Put{Key: "live.b", Value: []byte(`{"n":1}`)})

	lines := run(t, python, "examples/follow.py", strings.TrimPrefix(node.URL(), "nats://"), "sessions")
	want(t, lines, `{"reset":"sessions_g1"}`, `{"key":"live.a","document":{"n":1}}`, `{"key":"live.b","document":{"n":1}}`, `{"commit":1}`)

	commit(t, first, 2, projector.Put{Key: "live.a"}, projector.Put{Key: "ended.a", Value: []byte(`{"n":2}`)})
	want(t, lines, `{"key":"live.a","document":null}`, `{"key":"ended.a","document":{"n":2}}`, `{"commit":2}`)

	staged, err := store.Stage(t.Context(), "sessions", "test")
	if err != nil {
		t.Fatal(err)
	}
	second := acquire(t, store, staged.Number)
	commit(t, second, 2, projector.Put{Key: "ended.a", Value: []byte(`{"n":3}`)})
	staged.State = projector.StateReady
	if _, err = store.Save(t.Context(), staged); err != nil {
		t.Fatal(err)
	}
	if _, err = store.Promote(t.Context(), "sessions", staged.Number); err != nil {
		t.Fatal(err)
	}
	want(t, lines, `{"reset":"sessions_g2"}`, `{"key":"ended.a","document":{"n":3}}`, `{"commit":2}`)
	commit(t, first, 3, projector.Put{Key: "live.old", Value: []byte(`{}`)}) // nobody listens to it any more
	commit(t, second, 3, projector.Put{Key: "live.new", Value: []byte(`{}`)})
	want(t, lines, `{"key":"live.new","document":{}}`, `{"commit":3}`)
}

func acquire(t *testing.T, store *viewstore.Store, generation int) *projector.Opened {
	t.Helper()
	opened, err := store.Acquire(t.Context(), projector.Claim{View: "sessions", Version: "test", Generation: generation})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Release(t.Context()) })
	return opened
}

func commit(t *testing.T, opened *projector.Opened, sequence uint64, documents ...projector.Put) {
	t.Helper()
	cp := opened.Checkpoint
	cp.Sequence = eventlog.Seq(sequence)
	cp.Commit = "test"
	err := opened.Commit(t.Context(), &projector.Commit{Checkpoint: cp, Entities: []projector.EntityWrite{{
		Entity: "a", Documents: documents, Parts: []projector.Part{{Name: "s", Value: []byte("state")}},
	}}})
	if err != nil {
		t.Fatal(err)
	}
}

// run starts a program that ends with the test, and returns its lines.
func run(t *testing.T, name string, args ...string) <-chan string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute) // a client that hangs ends, and its lines with it
	t.Cleanup(cancel)
	command := exec.CommandContext(ctx, name, args...)
	out, err := command.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	var problems strings.Builder
	command.Stderr = &problems
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	lines := make(chan string)
	done := make(chan struct{})
	go func() {
		defer close(done)
		defer close(lines)
		for scanner := bufio.NewScanner(out); scanner.Scan(); {
			select {
			case lines <- scanner.Text():
			case <-ctx.Done():
				return
			}
		}
	}()
	t.Cleanup(func() {
		cancel()
		<-done
		_ = command.Wait() // it was killed
		if t.Failed() {
			t.Logf("%s: %s", name, problems.String())
		}
	})
	return lines
}

// want reads as many lines as it is given, and compares the members that it names.
// A commit that moves nothing but the checkpoint is passed over.
func want(t *testing.T, lines <-chan string, all ...string) {
	t.Helper()
	for _, text := range all {
		line, ok := <-lines
		if !ok {
			t.Fatalf("the client ended; want a line %s", text)
		}
		var got, want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(line), &got); err != nil {
			t.Fatalf("the client printed %q: %v", line, err)
		}
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if compact(got[name]) != compact(value) {
				t.Fatalf("the client printed %s; want %s", line, text)
			}
		}
	}
}

func compact(value json.RawMessage) string { return strings.ReplaceAll(string(value), " ", "") }
