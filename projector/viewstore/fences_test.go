package viewstore_test

import (
	"context"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// inBulk is a commit in bulk of entities with a document each.
func inBulk(o *projector.Lease, names ...string) *projector.Commit {
	c := write(o, 99)
	c.Bulk, c.Entities = true, nil
	for _, name := range names {
		c.Entities = append(c.Entities, projector.EntityWrite{
			Entity: name, Documents: []projector.Put{{Key: name, Value: []byte("stale")}},
			Parts: []projector.Part{{Name: "core", Value: []byte("stale")}},
		})
	}
	return c
}

// A commit in bulk has two fences. Each alone holds off a writer that another one
// took over from: after the message that has it nothing is stored.
func TestBulkIsFenced(t *testing.T) {
	t.Run("checkpoint", func(t *testing.T) {
		js := eventlogtest.Connect(t)
		s := open(t, js, viewstore.Config{Exclusive: true})
		old := acquire(t, s, projector.LeaseRequest{})
		// A program that knows no markers wrote a checkpoint.
		if _, err := js.Publish(testContext(t), "rollcall.state.toy_g1.checkpoint", []byte(`{"epoch":9}`)); err != nil {
			t.Fatal(err)
		}
		if err := old.Commit(testContext(t), inBulk(old, "b", "c", "d")); !errors.Is(err, projector.ErrFenced) {
			t.Errorf("Commit() of a stale writer = %v; want %v", err, projector.ErrFenced)
		}
		wantGet(t, s, "c", "-")
		wantGet(t, s, "d", "-")
	})
	t.Run("take-over", func(t *testing.T) {
		js := eventlogtest.Connect(t)
		s := open(t, js, viewstore.Config{Exclusive: true})
		o := acquire(t, s, projector.LeaseRequest{})
		commit(t, o, 1, "a", "1")
		stream, err := js.Stream(testContext(t), "KV_toy_g1")
		if err != nil {
			t.Fatal(err)
		}
		// The checkpoint stays as it is; the marker of the take-over is gone, as in
		// a stream that was made again.
		if err := stream.Purge(testContext(t), jetstream.WithPurgeSubject("rollcall.state.toy_g1.takeover.*")); err != nil {
			t.Fatal(err)
		}
		if err := o.Commit(testContext(t), inBulk(o, "b", "c")); !errors.Is(err, projector.ErrFenced) {
			t.Errorf("Commit() without the marker = %v; want %v", err, projector.ErrFenced)
		}
		for _, key := range []string{"b", "c"} {
			wantGet(t, s, key, "-")
		}
	})
}

// A commit whose answer is lost with the connection is found again, and published to
// the plain subjects once, with the revisions that it got.
func TestAnswerLostIsPublished(t *testing.T) {
	node := eventlogtest.Server(t)
	armed := make(chan struct{})
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		select {
		case <-armed:
			if subject == "rollcall.state.toy_g1.checkpoint" {
				armed = nil
				return eventlogtest.Answered
			}
		default:
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire), nats.ReconnectWait(time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, js, viewstore.Config{Exclusive: true})
	o := acquire(t, s, projector.LeaseRequest{})
	nc := node.Connect(t)
	published, err := nc.SubscribeSync("rollcall.views.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	close(armed)
	c := write(o, 41, "a", "1", "b", "2")
	if err := o.Commit(testContext(t), c); err == nil {
		t.Fatal("Commit() = nil; want an error, since its answer was lost")
	}
	for {
		cp, err := o.GenerationWriter.Checkpoint(testContext(t))
		if err == nil {
			if cp.Commit != c.Checkpoint.Commit {
				t.Errorf("Checkpoint() = %+v; want that of the commit", cp)
			}
			break
		}
		if !tick(testContext(t), time.Millisecond) {
			t.Fatal(err)
		}
	}
	for _, key := range []string{"a", "b"} {
		m, err := published.NextMsg(patience)
		if err != nil {
			t.Fatalf("NextMsg() = %v; want the change of %s", err, key)
		}
		e, err := s.Get(testContext(t), "toy", key)
		if m.Subject != "rollcall.views.toy."+key || err != nil || m.Header.Get("Rollcall-Revision") != strconv.FormatUint(e.Revision, 10) {
			t.Errorf("published %s at revision %s; want %s at %d (%v)", m.Subject, m.Header.Get("Rollcall-Revision"), key, e.Revision, err)
		}
	}
}

// Plain subjects carry what the live generation holds, and nothing of one
// that is made beside it.
func TestOnlyTheActiveIsPublished(t *testing.T) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{Exclusive: true})
	live := acquire(t, s, projector.LeaseRequest{})
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	staged := acquire(t, s, projector.LeaseRequest{Generation: g.Number})
	nc := node.Connect(t)
	published, err := nc.SubscribeSync("rollcall.views.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	commit(t, staged, 1, "staged", "1")
	commit(t, live, 1, "live", "1")
	if m, err := published.NextMsg(patience); err != nil || m.Subject != "rollcall.views.toy.live" {
		t.Errorf("the first plain message is %v, %v; want that of the live generation", m, err)
	}
}

// An answer that the server cut, since it would be too large, is not taken for
// all that there is. No view that is stored makes a server of default settings do
// that, so its answer stands in here.
func TestCutAnswerIsNotWhole(t *testing.T) {
	node := eventlogtest.Server(t, eventlogtest.Options{NoJetStream: true})
	nc := node.Connect(t)
	for _, pending := range []string{"0", "3"} {
		sub, err := nc.Subscribe("$JS.API.DIRECT.GET.KV_rollcall", func(m *nats.Msg) {
			entry := nats.NewMsg(m.Reply)
			entry.Data = []byte(`{"view":"toy","number":1,"bucket":"toy_g1"}`)
			entry.Header = nats.Header{
				"Nats-Sequence": {"1"}, "Nats-Time-Stamp": {"2026-01-02T03:04:05Z"}, "Nats-Subject": {"$KV.rollcall.alias.toy"},
			}
			end := nats.NewMsg(m.Reply)
			end.Header = nats.Header{"Status": {"204"}, "Nats-Num-Pending": {pending}}
			for _, answer := range []*nats.Msg{entry, end} {
				if err := nc.PublishMsg(answer); err != nil {
					t.Error(err)
				}
			}
		})
		if err != nil {
			t.Fatal(err)
		}
		_, err = viewstore.NewReader(node.JetStream(t)).Generations(testContext(t), "toy")
		if whole := pending == "0"; (err == nil) != whole {
			t.Errorf("Generations() of an answer with %s pending = %v; want an error: %v", pending, err, !whole)
		}
		if err := sub.Unsubscribe(); err != nil {
			t.Fatal(err)
		}
	}
}

// The alias moves once the generation holds no less of the log than the one in
// force.
func TestPromotionWaits(t *testing.T) {
	t.Parallel()
	s := open(t, eventlogtest.Connect(t), viewstore.Config{Exclusive: true})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 10, "a", "1")
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	next := acquire(t, s, projector.LeaseRequest{Generation: g.Number})
	commit(t, next, 5, "a", "1")
	g.State = projector.GenerationReady
	if _, err := s.Save(testContext(t), g); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() {
		_, err := s.Promote(testContext(t), "toy", g.Number)
		done <- err
	}()
	select {
	case err := <-done:
		t.Fatalf("Promote() = %v while the generation is at record 5 of 10; want it to wait", err)
	case <-time.After(time.Second):
	}
	commit(t, next, 10, "a", "1")
	if err := <-done; err != nil {
		t.Errorf("Promote() = %v", err)
	}
	if alias, err := s.Alias(testContext(t), "toy"); err != nil || alias.Bucket != g.Bucket {
		t.Errorf("Alias() = %+v, %v; want %s", alias, err, g.Bucket)
	}
}

// A follower goes over to the generation that comes into force.
func TestFollowMovesWithTheAlias(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{Exclusive: true})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 1, "a", "1")
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	held, moved := map[string]string{}, false
	for c, err := range s.Follow(ctx, "toy", viewstore.Position{}) {
		if err != nil {
			t.Fatalf("Follow() = %v", err)
		}
		switch c.Kind {
		case viewstore.Reset:
			clear(held)
		case viewstore.Put:
			held[c.Key] = c.Bucket + " " + string(c.Value)
		case viewstore.Commit:
			if moved {
				cancel()
				continue
			}
			moved = true
			g := ready(t, s, 1, "b", "2")
			if _, err := s.Promote(ctx, "toy", g.Number); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(held) != 1 || held["b"] != "toy_g2 2" {
		t.Errorf("the follower holds %v; want b of toy_g2 alone", held)
	}
}

// A commit of several batches is under way, and has overwritten a document of the
// one before: a follower that begins now gets no commit until the view is
// whole.
func TestFollowerMeetsHalfACommit(t *testing.T) {
	node := eventlogtest.Server(t)
	checkpoints := 0
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if subject == "rollcall.state.toy_g1.checkpoint" {
			if checkpoints++; checkpoints == 3 { // of the take-over, of commit 1, of commit 2
				return eventlogtest.Before
			}
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire), nats.ReconnectWait(time.Millisecond)))
	if err != nil {
		t.Fatal(err)
	}
	o := acquire(t, open(t, js, viewstore.Config{Exclusive: true}), projector.LeaseRequest{})
	commit(t, o, 1, "a", "1", "b", "1")
	pairs := []string{"a", "2"}
	for n := range 1500 {
		pairs = append(pairs, "k"+strconv.Itoa(n), "2")
	}
	if err := o.Commit(testContext(t), write(o, 2, pairs...)); err == nil {
		t.Fatal("Commit() = nil; want an error, since it broke off after its first batch")
	}
	finish := func() {
		for o.Commit(testContext(t), write(o, 2, pairs...)) != nil {
			if _, err := o.GenerationWriter.Checkpoint(testContext(t)); err != nil && testContext(t).Err() != nil {
				t.Fatal(err)
			}
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	held := map[string]string{}
	for c, err := range viewstore.NewReader(node.JetStream(t)).Follow(ctx, "toy", viewstore.Position{}) {
		if err != nil {
			t.Fatalf("Follow() = %v", err)
		}
		switch c.Kind {
		case viewstore.Put:
			held[c.Key] = string(c.Value)
			if c.Key == "k900" && finish != nil {
				finish()
				finish = nil
			}
		case viewstore.Commit:
			if held["a"] != "2" || held["b"] != "1" || len(held) != 1502 {
				t.Errorf("at the first commit the follower holds a = %q, b = %q and %d keys; want 2, 1 and 1502", held["a"], held["b"], len(held))
			}
			cancel()
		}
	}
}

// The live generation is not dropped, whoever asks for it.
func TestWhatIsLiveIsNotDropped(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{Exclusive: true})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 1, "a", "1")
	if err := s.Drop(testContext(t), "toy", 1); !errors.Is(err, projector.ErrNoGeneration) {
		t.Errorf("Drop() of the live generation = %v; want %v", err, projector.ErrNoGeneration)
	}
	wantGet(t, s, "a", "1")
}

// A projector that stops in order leaves its lease free, however long it would
// hold.
func TestReleaseFreesTheLease(t *testing.T) {
	js := eventlogtest.Connect(t)
	o := acquire(t, open(t, js, viewstore.Config{Holder: "a", LeaseTTL: time.Hour}), projector.LeaseRequest{})
	if err := o.Release(testContext(t)); err != nil {
		t.Fatalf("Release() = %v", err)
	}
	acquire(t, open(t, js, viewstore.Config{Holder: "b", LeaseTTL: time.Hour}), projector.LeaseRequest{MaxWait: 10 * time.Second})
}

// A follower gets the reason why it can't go on.
func TestFollowYieldsItsError(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 1, "a", "1")
	reader := viewstore.NewReader(js)
	viewstore.SetGoneAfter(reader, time.Millisecond)
	ctx, cancel := context.WithTimeout(testContext(t), time.Minute)
	defer cancel()
	var last error
	for c, err := range reader.Follow(ctx, "toy", viewstore.Position{}) {
		if last = err; err == nil && c.Kind == viewstore.Commit {
			if err := js.DeleteStream(testContext(t), "KV_toy_g1"); err != nil {
				t.Fatal(err)
			}
		}
	}
	if !errors.Is(last, viewstore.ErrNoView) {
		t.Errorf("Follow() of a view that is gone ends with %v; want %v", last, viewstore.ErrNoView)
	}
	last = nil
	for c, err := range reader.Follow(ctx, "toy", viewstore.Position{}) {
		if last = err; err == nil {
			t.Errorf("Follow() of a view that was gone before yields %+v; want an error", c)
		}
	}
	if !errors.Is(last, viewstore.ErrNoView) {
		t.Errorf("Follow() of a view that was gone before ends with %v; want %v", last, viewstore.ErrNoView)
	}
}
