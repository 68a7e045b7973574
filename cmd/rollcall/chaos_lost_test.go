//go:build chaos

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector/viewstore"
)

// copyOf is a view as a follower holds it: whole commits, by the protocol of
// viewstore.Follow, kept through every fault.
type copyOf struct {
	reader *viewstore.Reader
	view   string

	mu        sync.Mutex
	documents map[string]string
	at        viewstore.Position
	sequence  eventlog.Seq
	resets    int
}

// follow runs until ctx ends. Where following ends with an error it resumes at
// the position of the last commit, as a service with a database would.
func (c *copyOf) follow(ctx context.Context) {
	for ctx.Err() == nil {
		var pending []viewstore.Change
		reset := false
		for change, err := range c.reader.Follow(ctx, c.view, c.at) {
			if err != nil {
				break
			}
			switch change.Kind {
			case viewstore.Reset:
				pending, reset = nil, true
			case viewstore.Commit:
				c.apply(change, pending, reset)
				pending, reset = nil, false
			default:
				pending = append(pending, change)
			}
		}
		_ = wire.Pause(ctx, 100*time.Millisecond) // ctx is asked above
	}
}

func (c *copyOf) apply(commit viewstore.Change, changes []viewstore.Change, reset bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if reset {
		clear(c.documents)
		c.resets++
	}
	for _, change := range changes {
		if change.Kind == viewstore.Delete {
			delete(c.documents, change.Key)
		} else {
			c.documents[change.Key] = string(change.Value)
		}
	}
	c.at, c.sequence = commit.Position(), commit.Checkpoint.Sequence
}

// differs waits until the copy holds the record seq, and returns the keys in
// which it then differs from the view.
func (c *copyOf) differs(t *testing.T, seq eventlog.Seq) (keys []string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		c.mu.Lock()
		at, documents, resets := c.sequence, maps.Clone(c.documents), c.resets
		c.mu.Unlock()
		if at < seq {
			if err := wire.Pause(ctx, 20*time.Millisecond); err != nil {
				t.Errorf("the follower of %s is at %d after a minute; want %d", c.view, at, seq)
				return nil
			}
			continue
		}
		for e, err := range c.reader.All(ctx, c.view, "") {
			if err != nil {
				t.Fatal(err)
			}
			if documents[e.Key] != string(e.Value) {
				keys = append(keys, e.Key)
			}
			delete(documents, e.Key)
		}
		t.Logf("follower of %s: %d resets", c.view, resets)
		return append(keys, slices.Sorted(maps.Keys(documents))...)
	}
}

// lostBed is a bed with a follower of each view and a query process, all of
// which live through the faults.
type lostBed struct {
	*chaosBed
	copies []*copyOf
	query  *process
}

func newLostBed(t *testing.T) *lostBed {
	t.Helper()
	b := &lostBed{chaosBed: newBed(t, 200)}
	b.project(t, "project-1")
	b.project(t, "project-2")
	b.query = startServe(t, "query", "--target=query", "--nats-url", b.url, "--data-dir", t.TempDir())
	for _, view := range viewNames() {
		c := &copyOf{reader: viewstore.NewReader(b.js(t)), view: view, documents: map[string]string{}}
		b.copies = append(b.copies, c)
		ctx, cancel := context.WithCancel(context.Background())
		done := make(chan struct{})
		go func() { defer close(done); c.follow(ctx) }()
		t.Cleanup(func() { cancel(); <-done })
	}
	return b
}

// stream is the directory of a stream's files.
func (b *lostBed) stream(name string) string {
	return filepath.Join(b.dir, "jetstream", "$G", "streams", name)
}

// loseTail sets some streams back to what their files were a moment ago, as a
// power cut does to what was not synced, under a server that is killed.
func (b *lostBed) loseTail(t *testing.T, names ...string) {
	t.Helper()
	kept := t.TempDir()
	if err := b.server.cmd.Process.Signal(syscall.SIGSTOP); err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		copyTree(t, b.stream(name), filepath.Join(kept, name))
	}
	if err := b.server.cmd.Process.Signal(syscall.SIGCONT); err != nil {
		t.Fatal(err)
	}
	sometime(t, 1500*time.Millisecond)
	b.server.kill()
	for _, name := range names {
		if err := os.RemoveAll(b.stream(name)); err != nil {
			t.Fatal(err)
		}
		copyTree(t, filepath.Join(kept, name), b.stream(name))
	}
	_, b.server = plainNATS(t, b.dir, b.port)
}

// settleAll ends the traffic, and holds views, followers and the query process
// against the log.
func (b *lostBed) settleAll(t *testing.T, fault string, runs int) {
	t.Helper()
	b.settle(t, fault, runs)
	head := b.head(t)
	for _, c := range b.copies {
		if keys := c.differs(t, head); len(keys) > 0 {
			t.Errorf("after %q the follower of %s differs in %d keys, such as %s", fault, c.view, len(keys), keys[0])
		}
	}
	b.compareReplica(t, head)
}

// head is the last sequence that the sessions hold, which settle has seen to be the log's.
func (b *lostBed) head(t *testing.T) eventlog.Seq {
	t.Helper()
	reader := viewstore.NewReader(b.js(t))
	alias, err := reader.Alias(t.Context(), "sessions")
	if err != nil {
		t.Fatal(err)
	}
	cp, err := reader.Checkpoint(t.Context(), alias.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	return cp.Sequence
}

// compareReplica compares every recording that the query process answers with,
// whose answer is the document as it is stored.
func (b *lostBed) compareReplica(t *testing.T, head eventlog.Seq) {
	t.Helper()
	for e, err := range viewstore.NewReader(b.js(t)).All(t.Context(), "recordings", "") {
		if err != nil {
			t.Fatal(err)
		}
		var d struct{ RecordingID string }
		if err := json.Unmarshal(e.Value, &d); err != nil {
			t.Fatal(err)
		}
		resp, err := client.Get(fmt.Sprintf("http://%s/v1/recordings/%s?minSequence=%d&wait=20s", b.query.at.API, d.RecordingID, head))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		_ = resp.Body.Close() // it was read
		if err != nil {
			t.Fatal(err)
		}
		if got := bytes.TrimSpace(body); string(got) != string(e.Value) {
			t.Fatalf("the query process answers %s; the view has %s", got, e.Value)
		}
	}
}

// TestChaosViewsLoseTheirTail sets the streams of views back under live
// projectors, followers and a replica: by design a power cut takes up to a
// second of views, and the log none.
func TestChaosViewsLoseTheirTail(t *testing.T) {
	b := newLostBed(t)
	for range *projectorRuns {
		sometime(t, 2*time.Second)
		names := slices.DeleteFunc(viewStreams(), func(string) bool { return rand.IntN(2) == 0 })
		if len(names) == 0 {
			names = viewStreams()
		}
		b.loseTail(t, names...)
	}
	b.settleAll(t, "streams of views lose their tail", *projectorRuns)
}

func viewStreams() (names []string) {
	for _, view := range viewNames() {
		names = append(names, viewstore.StreamOf(viewstore.Bucket(view, 1)))
	}
	return names
}

// TestChaosViewsDeleted purges and deletes streams of views, and the control
// bucket, while everything runs. The projectors make them again.
func TestChaosViewsDeleted(t *testing.T) {
	b := newLostBed(t)
	js := b.js(t)
	runs := 0
	for range *projectorRuns {
		for _, what := range []string{"purge", "delete", "control"} {
			sometime(t, 2*time.Second)
			name := viewStreams()[rand.IntN(len(viewNames()))]
			var err error
			switch what {
			case "purge":
				err = purge(t.Context(), js, name)
			case "delete":
				err = js.DeleteStream(t.Context(), name)
			case "control":
				err = js.DeleteStream(t.Context(), viewstore.StreamOf(viewstore.Control))
			}
			if err != nil && !strings.Contains(err.Error(), "not found") { // the one before is not made again yet
				t.Fatalf("%s %s: %v", what, name, err)
			}
			runs++
		}
	}
	b.settleAll(t, "streams of views purged and deleted, control bucket deleted", runs)
}

func purge(ctx context.Context, js jetstream.JetStream, name string) error {
	stream, err := js.Stream(ctx, name)
	if err != nil {
		return err
	}
	return stream.Purge(ctx)
}

// TestChaosLogLosesItsTail sets the log back below its views, as a power cut
// does on an external server that does not sync always. No view goes on
// silently: the projectors end and name the command, which repairs it.
func TestChaosLogLosesItsTail(t *testing.T) {
	b := newLostBed(t)
	runs := max(1, *projectorRuns/5)
	for range runs {
		sometime(t, 2*time.Second)
		b.loseTail(t, eventlog.Stream)
		ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
		for _, view := range viewNames() {
			// The view may hold no record that was lost: then there is nothing to repair.
			out, err := exec.CommandContext(ctx, "rollcall", "rebuild", view, "--nats-url", b.url).CombinedOutput()
			if err != nil {
				t.Fatalf("rebuild %s after the log lost its tail: %v\n%s", view, err, out)
			}
		}
		cancel()
		b.project(t, "project")
	}
	b.settleAll(t, "the log loses its tail, rebuild of all views", runs)
}
