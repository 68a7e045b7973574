package viewstore_test

import (
	"context"
	"fmt"
	"iter"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// follower pulls changes one by one.
type follower struct {
	t    *testing.T
	next func() (viewstore.Change, error, bool)
	view map[string]string
	last viewstore.Position // of the last Commit
}

func follow(t *testing.T, s *viewstore.Store, from viewstore.Position) *follower {
	t.Helper()
	return followReader(t, s.Reader, from)
}

func followReader(t *testing.T, s *viewstore.Reader, from viewstore.Position) *follower {
	t.Helper()
	next, stop := iter.Pull2(s.Follow(testContext(t), "toy", from))
	t.Cleanup(stop)
	return &follower{t: t, next: next, view: map[string]string{}}
}

// commit takes changes up to and including the next Commit, and says whether a
// Reset was among them.
func (f *follower) commit() (cp projector.Checkpoint, reset bool) {
	f.t.Helper()
	for {
		c, err, ok := f.next()
		if !ok || err != nil {
			f.t.Fatalf("Follow ended with %v; want another commit", err)
		}
		switch c.Kind {
		case viewstore.Reset:
			clear(f.view)
			reset = true
		case viewstore.Put:
			f.view[c.Key] = string(c.Value)
		case viewstore.Delete:
			delete(f.view, c.Key)
		case viewstore.Commit:
			f.last = c.Position()
			return c.Checkpoint, reset
		}
	}
}

// until takes commits until a sequence is reached.
func (f *follower) until(seq eventlog.Seq) (reset bool) {
	f.t.Helper()
	for {
		cp, r := f.commit()
		reset = reset || r
		if cp.Sequence >= seq {
			return reset
		}
	}
}

func TestFollow(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "a", "1", "b", "1")
	commit(t, o, 2, "a", "2", "c", "2")
	f := follow(t, s, viewstore.Position{})
	if cp, reset := f.commit(); cp.Sequence != 2 || !reset {
		t.Errorf("first commit = %d, reset %v; want 2, true", cp.Sequence, reset)
	}
	if got, want := fmt.Sprint(f.view), "map[a:2 b:1 c:2]"; got != want {
		t.Errorf("snapshot = %s; want %s", got, want)
	}
	commit(t, o, 3, "b", "-")
	if f.until(3) {
		t.Error("Reset while following; want none")
	}
	if got, want := fmt.Sprint(f.view), "map[a:2 c:2]"; got != want {
		t.Errorf("view = %s; want %s", got, want)
	}

	// A reader that comes back gets what it missed, deletes too.
	commit(t, o, 4, "c", "-", "d", "4")
	back := follow(t, s, f.last)
	back.view = f.view
	if back.until(4) {
		t.Error("Reset after a resume; want none")
	}
	if got, want := fmt.Sprint(back.view), "map[a:2 d:4]"; got != want {
		t.Errorf("view after resume = %s; want %s", got, want)
	}

	// A position too old for the delete markers, or of another bucket, begins again.
	old := f.last
	old.StoredAt = old.StoredAt.Add(-viewstore.MarkerTTL)
	for _, from := range []viewstore.Position{old, {Bucket: "toy_g0", Revision: 3, StoredAt: time.Now()}} {
		if _, reset := follow(t, s, from).commit(); !reset {
			t.Errorf("Follow(%+v) did not begin with a Reset", from)
		}
	}
}

// At every Commit that a follower sees, wherever it began, all keys of each
// commit are there together.
func TestFollowIsNeverTorn(t *testing.T) {
	t.Parallel()
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	const commits, keys = 60, 30
	pairs := func(n int) []string {
		var p []string
		for k := range keys {
			p = append(p, fmt.Sprintf("k%d", k), fmt.Sprint(n))
		}
		return p
	}
	commit(t, o, 1, pairs(1)...)
	done := make(chan error, 1)
	go func() {
		for n := 2; n <= commits; n++ {
			if err := o.Commit(t.Context(), write(o, eventlog.Seq(n), pairs(n)...)); err != nil {
				done <- err
				return
			}
		}
		done <- nil
	}()
	started := 0
	for writing := true; writing; {
		select {
		case err := <-done:
			if err != nil {
				t.Fatalf("Commit() = %v", err)
			}
			writing = false
		default:
		}
		f := follow(t, s, viewstore.Position{})
		for range 3 {
			cp, _ := f.commit()
			for k := range keys {
				if got := f.view[fmt.Sprintf("k%d", k)]; got != fmt.Sprint(cp.Sequence) {
					t.Fatalf("at commit %d k%d = %s; want %d", cp.Sequence, k, got, cp.Sequence)
				}
			}
			if cp.Sequence == commits {
				break
			}
		}
		started++
	}
	t.Logf("%d followers started during %d commits", started, commits)
}

func TestFollowAcrossServerRestart(t *testing.T) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "a", "1")
	f := follow(t, s, viewstore.Position{})
	f.until(1)
	for n := 2; n < 5; n++ {
		node.Restart(t)
		c := write(o, eventlog.Seq(n), "a", fmt.Sprint(n), fmt.Sprintf("k%d", n), "x")
		// The connection may still be coming back.
		for err := o.Commit(testContext(t), c); err != nil; err = o.Commit(testContext(t), c) {
			if cp, cerr := o.GenerationWriter.Checkpoint(testContext(t)); cerr == nil && cp.Commit == c.Checkpoint.Commit {
				break
			}
			if testContext(t).Err() != nil {
				t.Fatalf("Commit() = %v", err)
			}
		}
		if f.until(eventlog.Seq(n)) {
			t.Error("Reset after a restart; want none")
		}
	}
	if got, want := fmt.Sprint(f.view), "map[a:4 k2:x k3:x k4:x]"; got != want {
		t.Errorf("view = %s; want %s", got, want)
	}
}

func TestFollowEndsWithContext(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 1, "a", "1")
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range s.Follow(ctx, "toy", viewstore.Position{}) {
		if err != nil {
			t.Errorf("Follow yielded %v; want nothing after cancel", err)
		}
		n++
		cancel()
	}
	if n == 0 {
		t.Error("Follow yielded nothing; want the view")
	}
}

// TestFollowPastAStandingConsumer: a consumer may be alive, and say so, and deliver nothing,
// such as one that is paused, or whose replica of the stream lags. A follower looks whether
// the view has gone on, and goes on with another consumer.
func TestFollowPastAStandingConsumer(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "a", "1")
	f := follow(t, s, viewstore.Position{})
	f.until(1)
	stream, err := js.Stream(testContext(t), "KV_toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	paused := 0
	for name := range stream.ConsumerNames(testContext(t)).Name() {
		if _, err := stream.PauseConsumer(testContext(t), name, time.Now().Add(time.Hour)); err != nil {
			t.Fatal(err)
		}
		paused++
	}
	commit(t, o, 2, "a", "2")
	if reset := f.until(2); reset || paused != 1 {
		t.Errorf("behind %d paused consumers it began again: %v; want that it goes on past one", paused, reset)
	}
	if f.view["a"] != "2" {
		t.Errorf("view = %v; want a:2", f.view)
	}
}
