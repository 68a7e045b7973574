package viewstore_test

import (
	"context"
	"errors"
	"maps"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// failing opens a store whose requests on some subjects fail, at a moment, while
// broken is set.
func failing(t *testing.T, node *eventlogtest.Node, at eventlogtest.Moment, request func(subject string) bool) (s *viewstore.Store, broken *atomic.Bool) {
	t.Helper()
	broken = new(atomic.Bool)
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if broken.Load() && request(subject) {
			return at
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire)))
	if err != nil {
		t.Fatal(err)
	}
	return open(t, js, viewstore.Config{}), broken
}

// TestAnnounceWithoutACheckpoint: what a promotion changed is published with the
// sequence that it is of. Where that can't be read nothing is published: a
// subscriber keeps the message with the highest sequence of each key, so that it
// would never take one without.
func TestAnnounceWithoutACheckpoint(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	s, broken := failing(t, node, eventlogtest.Lost, func(subject string) bool { return subject == "$JS.API.DIRECT.GET.KV_toy_g1" })
	commit(t, acquire(t, s, projector.LeaseRequest{}), 3, "a", "1")
	g := ready(t, s, 3, "a", "2")
	p, err := s.Promote(testContext(t), "toy", g.Number)
	if err != nil {
		t.Fatal(err)
	}
	nc := node.Connect(t)
	sub, err := nc.SubscribeSync("rollcall.views.toy.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	broken.Store(true)
	if n, err := s.Announce(testContext(t), p); err == nil || n != 0 {
		t.Errorf("Announce() without an answer = %d, %v; want 0 and an error", n, err)
	}
	broken.Store(false)
	if n, err := s.Announce(testContext(t), p); err != nil || n != 1 {
		t.Errorf("Announce() again = %d, %v; want 1", n, err)
	}
	m, err := sub.NextMsgWithContext(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	if got := m.Header.Get("Rollcall-Sequence"); string(m.Data) != "2" || got != "3" {
		t.Errorf("first published = %q of sequence %q; want 2 of 3", m.Data, got)
	}
}

// TestCarryOverWhatCanNotBeRead: what an earlier carry left is deleted first. A
// carry that can't read it ends; it would leave documents that the view does not
// have any more.
func TestCarryOverWhatCanNotBeRead(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	reads := 0
	s, broken := failing(t, node, eventlogtest.Before, func(subject string) bool {
		if !strings.HasPrefix(subject, "$JS.API.CONSUMER.CREATE.KV_toy_g2") {
			return false
		}
		reads++
		return reads > 1 // the first is the take-over's, of the parked records
	})
	all, err := s.Ensure(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "live.s", "1")
	next, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Carry(testContext(t), all[0], next); err != nil {
		t.Fatal(err)
	}
	commit(t, o, 2, "live.s", "-", "ended.s", "2")
	broken.Store(true)
	if _, err := s.Carry(testContext(t), all[0], next); err == nil || !strings.Contains(err.Error(), "carry toy_g1") {
		t.Errorf("Carry() over what can't be read = %v; want an error that names toy_g1", err)
	}
	broken.Store(false)
	if _, err := s.Carry(testContext(t), all[0], next); err != nil {
		t.Fatalf("Carry() again = %v", err)
	}
	got := map[string]string{}
	for e, err := range s.AllFrom(testContext(t), viewstore.Alias{Bucket: next.Bucket}, "") {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Key] = string(e.Value)
	}
	if want := map[string]string{"ended.s": "2"}; !maps.Equal(got, want) {
		t.Errorf("the carried view = %v; want %v", got, want)
	}
}

// TestParkedOfNoView: which view there is none of is said, as by a read of it.
func TestParkedOfNoView(t *testing.T) {
	t.Parallel()
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	_, want := s.Alias(testContext(t), "nobodys")
	if _, err := s.Parked(testContext(t), "nobodys"); !errors.Is(err, viewstore.ErrNoView) || err.Error() != want.Error() {
		t.Errorf("Parked(nobodys) = %v; want %v", err, want)
	}
}

// TestFollowWithoutAnAnswer: a server that is no longer the leader, and doesn't know
// yet, drops a request without a word. A follower that asks whether a take-over went
// on from what it has read asks again.
func TestFollowWithoutAnAnswer(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	lost := new(atomic.Int64)
	reading, broken := failing(t, node, eventlogtest.Lost, func(subject string) bool {
		return strings.HasPrefix(subject, "$JS.API.STREAM.MSG.GET.KV_toy_g1") && lost.Add(1) == 1
	})
	writing := open(t, node.JetStream(t), viewstore.Config{})
	commit(t, acquire(t, writing, projector.LeaseRequest{}), 1, "a", "1")
	f := follow(t, reading, viewstore.Position{})
	f.until(1)
	broken.Store(true)
	commit(t, acquire(t, writing, projector.LeaseRequest{Steal: true}), 2, "a", "2")
	if f.until(2) || lost.Load() < 2 {
		t.Errorf("a follower whose question was lost began again, or asked %d times; want that it asks again and goes on", lost.Load())
	}
}

// TestFollowPastAGenerationThatDoesNotAnswer: a follower that asks in vain where a
// generation ends goes on with the one that becomes live meanwhile.
func TestFollowPastAGenerationThatDoesNotAnswer(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	asked, unanswered := 0, make(chan struct{})
	reading, broken := failing(t, node, eventlogtest.Lost, func(subject string) bool {
		if subject != "$JS.API.STREAM.MSG.GET.KV_toy_g1" {
			return false
		}
		if asked++; asked == 2 {
			close(unanswered)
		}
		return asked > 1 // the first asks under which take-over it begins
	})
	writing := open(t, node.JetStream(t), viewstore.Config{})
	commit(t, acquire(t, writing, projector.LeaseRequest{}), 1, "a", "1")
	g := ready(t, writing, 1, "a", "2")
	promoted := make(chan error, 1)
	go func() {
		<-unanswered
		_, err := writing.Promote(context.WithoutCancel(t.Context()), "toy", g.Number)
		promoted <- err
	}()
	broken.Store(true)
	f := follow(t, reading, viewstore.Position{})
	f.until(1)
	if err := <-promoted; err != nil || f.last.Bucket != g.Bucket || f.view["a"] != "2" {
		t.Errorf("first whole view = %v of %s, %v; want that of %s", f.view, f.last.Bucket, err, g.Bucket)
	}
}

// TestTakeOverBesideAnother: two that take a view over at the same instant; the one
// that comes second does so after the first.
func TestTakeOverBesideAnother(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	other := open(t, node.JetStream(t), viewstore.Config{})
	first := acquire(t, other, projector.LeaseRequest{})
	commit(t, first, 1, "a", "1")
	var between *projector.Lease
	s, broken := failing(t, node, eventlogtest.Never, func(subject string) bool {
		if between == nil && strings.HasPrefix(subject, "rollcall.state.toy_g1.takeover.") {
			between = acquire(t, other, projector.LeaseRequest{Steal: true})
		}
		return false
	})
	broken.Store(true)
	last := acquire(t, s, projector.LeaseRequest{Steal: true})
	if between == nil || last.Checkpoint.Epoch != between.Checkpoint.Epoch+1 {
		t.Errorf("epochs of two that take over at once are %+v and %d; want one after the other", between, last.Checkpoint.Epoch)
	}
}
