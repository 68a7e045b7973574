package docs

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

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
	staged.State = projector.GenerationReady
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

// TestFollowExampleProvesItsPast: the example goes on across a restart, and begins
// again where the view's stream lost what it has read: its tail, or all of it.
func TestFollowExampleProvesItsPast(t *testing.T) {
	python, err := exec.LookPath("python3")
	if err != nil {
		t.Skip("python3 is not installed")
	}
	const streams = "jetstream/$G/streams/KV_sessions_g1"
	for how, lose := range map[string]func(t *testing.T, node *eventlogtest.Node, saved string){
		"restart": func(t *testing.T, node *eventlogtest.Node, _ string) { node.Restart(t) },
		"lost tail": func(t *testing.T, node *eventlogtest.Node, saved string) {
			node.Stop(t)
			if err := errors.Join(os.RemoveAll(filepath.Join(node.Dir(), streams)), os.CopyFS(filepath.Join(node.Dir(), streams), os.DirFS(saved))); err != nil {
				t.Fatal(err)
			}
			node.Start(t)
		},
		"made again": func(t *testing.T, node *eventlogtest.Node, _ string) {
			if err := node.JetStream(t).DeleteStream(t.Context(), "KV_sessions_g1"); err != nil {
				t.Fatal(err)
			}
		},
		"purged": func(t *testing.T, node *eventlogtest.Node, _ string) {
			stream, err := node.JetStream(t).Stream(t.Context(), "KV_sessions_g1")
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			node := eventlogtest.Server(t)
			opened := func() *viewstore.Store {
				store, err := viewstore.Open(t.Context(), node.JetStream(t), viewstore.Config{Exclusive: true})
				if err != nil {
					t.Fatal(err)
				}
				return store
			}
			commit(t, acquire(t, opened(), 0), 1, projector.Put{Key: "live.a", Value: []byte(`{"n":1}`)})
			saved := t.TempDir()
			node.Stop(t)
			if err := os.CopyFS(saved, os.DirFS(filepath.Join(node.Dir(), streams))); err != nil {
				t.Fatal(err)
			}
			node.Start(t)
			first := acquire(t, opened(), 0)
			commit(t, first, 2, projector.Put{Key: "live.b", Value: []byte(`{"n":1}`)})
			commit(t, first, 3, projector.Put{Key: "live.c", Value: []byte(`{"n":1}`)})
			lines := run(t, python, "examples/follow.py", strings.TrimPrefix(node.URL(), "nats://"), "sessions")
			want(t, lines, `{"reset":"sessions_g1"}`, `{"key":"live.a"}`, `{"key":"live.b"}`, `{"key":"live.c"}`, `{"commit":3}`)

			lose(t, node, saved)
			// In fewer commits than before, so that their revisions were read as others.
			again := acquire(t, opened(), 0)
			commit(t, again, 3, projector.Put{Key: "live.b", Value: []byte(`{"n":2}`)}, projector.Put{Key: "live.c", Value: []byte(`{"n":2}`)})
			for n := range uint64(5) {
				commit(t, again, 4+n, projector.Put{Key: "live.d", Value: fmt.Appendf(nil, `{"n":%d}`, n)})
			}
			held, reset := map[string]string{}, false
			for {
				line := next(t, lines)
				if line["reset"] != nil {
					held, reset = map[string]string{}, true
				}
				if line["key"] != nil {
					held[string(line["key"])] = compact(line["document"])
				}
				if string(line["commit"]) == "8" {
					break
				}
			}
			all := map[string]string{`"live.b"`: `{"n":2}`, `"live.c"`: `{"n":2}`, `"live.d"`: `{"n":4}`}
			if again.Checkpoint.Sequence == 1 { // what the restored stream holds
				all[`"live.a"`] = `{"n":1}`
			}
			if !maps.Equal(held, all) || reset != (how != "restart") {
				t.Errorf("the client holds %v, reset %v; want %v, %v", held, reset, all, how != "restart")
			}
		})
	}
}

func acquire(t *testing.T, store *viewstore.Store, generation int) *projector.Lease {
	t.Helper()
	opened, err := store.Acquire(t.Context(), projector.LeaseRequest{View: "sessions", Version: "test", Generation: generation, Steal: true})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = opened.Release(t.Context()) })
	return opened
}

func commit(t *testing.T, opened *projector.Lease, sequence uint64, documents ...projector.Put) {
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
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience) // a client that hangs ends, and its lines with it
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
		got := next(t, lines)
		var want map[string]json.RawMessage
		if err := json.Unmarshal([]byte(text), &want); err != nil {
			t.Fatal(err)
		}
		for name, value := range want {
			if compact(got[name]) != compact(value) {
				t.Fatalf("the client printed %s; want %s", got, text)
			}
		}
	}
}

// next is the client's next line.
func next(t *testing.T, lines <-chan string) (line map[string]json.RawMessage) {
	t.Helper()
	text, ok := <-lines
	if !ok {
		t.Fatal("the client ended; want another line")
	}
	if err := json.Unmarshal([]byte(text), &line); err != nil {
		t.Fatalf("the client printed %q: %v", text, err)
	}
	return line
}

func compact(value json.RawMessage) string { return strings.ReplaceAll(string(value), " ", "") }
