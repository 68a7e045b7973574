package viewstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// A writer that stood still commits nothing when it goes on, even where the
// stream was made again and its checkpoint has come to the same revision.
func TestStaleWriterInAnotherStream(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true, LeaseTTL: 50 * time.Millisecond})
	for _, c := range []struct {
		name  string
		pairs []string
		bulk  bool
		back  time.Duration // by how much its clock went back
	}{
		{"batch", []string{"stale", "1"}, false, 0},
		{"bulk", []string{"stale", "1", "stale2", "1"}, true, 0},
		{"checkpoint", nil, false, 0},
		{"checkpoint, with a clock that went back", nil, false, time.Hour},
	} {
		t.Run(c.name, func(t *testing.T) {
			old := acquire(t, s, projector.LeaseRequest{Steal: true})
			for n := eventlog.Seq(1); n < 10; n++ {
				commit(t, old, n, "a", "1", fmt.Sprintf("k%d", n), "1")
			}
			at := revision(t, js)
			fresh := anotherStream(t, js, s, at)
			for revision(t, js) != at { // a slow machine's commit wrote the lease as well
				fresh = anotherStream(t, js, s, at)
			}
			<-time.After(60 * time.Millisecond) // longer than its lease lives
			w := write(old, 99, c.pairs...)
			if len(c.pairs) == 0 {
				w.Entities = nil
			}
			w.Bulk = c.bulk
			viewstore.SetClockBack(old, c.back)
			if err := old.Commit(testContext(t), w); !errors.Is(err, projector.ErrFenced) {
				t.Errorf("Commit() of a stale writer = %v; want %v", err, projector.ErrFenced)
			}
			if cp, err := s.Checkpoint(testContext(t), "toy_g1"); err != nil || cp.Sequence == 99 {
				t.Errorf("checkpoint = %+v, %v; want the other writer's", cp, err)
			}
			wantGet(t, s, "stale", "-")
			if _, err := old.GenerationWriter.Checkpoint(testContext(t)); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Checkpoint() of the stale writer = %v; want %v", err, projector.ErrLostView)
			}
			commit(t, fresh, 100, "a", "3")
		})
	}
}

// anotherStream makes the view's stream again, and brings its checkpoint to a
// revision, or beyond it.
func anotherStream(t *testing.T, js jetstream.JetStream, s *viewstore.Store, at uint64) *projector.Lease {
	t.Helper()
	if err := js.DeleteStream(testContext(t), "KV_toy_g1"); err != nil {
		t.Fatal(err)
	}
	fresh := acquire(t, s, projector.LeaseRequest{Steal: true})
	for n := eventlog.Seq(1); revision(t, js) < at; n++ {
		if at-revision(t, js) == 1 {
			commit(t, fresh, n)
		} else {
			commit(t, fresh, n, "a", "2")
		}
	}
	return fresh
}

// What a tenure has committed is gone: it gets an error, instead of waiting forever,
// and the next one begins with what is left.
func TestLostView(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	for how, lose := range map[string]func(t *testing.T, before saved){
		"tail":   func(t *testing.T, before saved) { before.restore(t, "KV_toy_g1") },
		"purged": func(t *testing.T, _ saved) { purge(t, js) },
		"deleted": func(t *testing.T, _ saved) {
			if err := js.DeleteStream(testContext(t), "KV_toy_g1"); err != nil {
				t.Fatal(err)
			}
		},
	} {
		t.Run(how, func(t *testing.T) {
			s := open(t, js, viewstore.Config{Exclusive: true})
			o := acquire(t, s, projector.LeaseRequest{Steal: true})
			commit(t, o, 1, "a", "1")
			before := save(t, node, js)
			commit(t, o, 2, "a", "2", "b", "2")
			lose(t, before)

			err := o.Commit(testContext(t), write(o, 3, "a", "3"))
			if err == nil {
				t.Error("Commit() = nil; want an error")
			}
			if _, err := o.GenerationWriter.Checkpoint(testContext(t)); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Checkpoint() = %v; want %v", err, projector.ErrLostView)
			}
			if _, err := o.Load(testContext(t), []string{"e"}); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Load() = %v; want %v", err, projector.ErrLostView)
			}
			again := acquire(t, s, projector.LeaseRequest{Steal: true})
			want := eventlog.Seq(0)
			if how == "tail" {
				want = 1
			}
			if again.Checkpoint.Sequence != want || again.Empty != (want == 0) {
				t.Errorf("Acquire() = %+v; want it at record %d", again, want)
			}
			commit(t, again, 3, "a", "3")
			wantGet(t, s, "a", "3")
			wantGet(t, s, "b", "-")
		})
	}
}

func purge(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(testContext(t), "KV_toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(testContext(t)); err != nil {
		t.Fatal(err)
	}
}

// A server that is away is no lost view.
func TestServerAwayIsNoLostView(t *testing.T) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{Timeout: 200 * time.Millisecond})
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "a", "1")
	node.Stop(t)
	away, cancel := context.WithTimeout(testContext(t), 300*time.Millisecond)
	defer cancel()
	if _, err := o.GenerationWriter.Checkpoint(away); err == nil || errors.Is(err, projector.ErrLostView) {
		t.Errorf("Checkpoint() without a server = %v; want another error than %v", err, projector.ErrLostView)
	}
	node.Start(t)
	for ctx := testContext(t); ; {
		cp, err := o.GenerationWriter.Checkpoint(ctx)
		if err == nil && cp.Sequence == 1 {
			return
		}
		if errors.Is(err, projector.ErrLostView) || !tick(ctx, time.Millisecond) {
			t.Fatalf("Checkpoint() once the server is back = %+v, %v; want record 1", cp, err)
		}
	}
}

// The control bucket is deleted, with the registry: the live generation is
// found by the streams that are left, and the others are known again.
func TestDeletedControlBucket(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true})
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatal(err)
	}
	for g := 1; g < 4; g++ {
		if g > 1 {
			if _, err := s.Stage(testContext(t), "toy", "v1"); err != nil {
				t.Fatal(err)
			}
		}
		o := acquire(t, s, projector.LeaseRequest{Generation: g})
		commit(t, o, eventlog.Seq([]int{1: 5, 2: 9, 3: 2}[g]), "a", fmt.Sprint(g))
		state := projector.GenerationReady
		if g == 3 {
			state = projector.GenerationCatchingUp
		}
		all, err := s.Generations(testContext(t), "toy")
		if err != nil {
			t.Fatal(err)
		}
		all[g-1].State = state
		if _, err := s.Save(testContext(t), all[g-1]); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := s.Promote(testContext(t), "toy", 2); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(testContext(t), "KV_rollcall"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatalf("Ensure() = %v; want no error", err)
	}
	wantGet(t, s, "a", "2")
	o := acquire(t, s, projector.LeaseRequest{})
	if o.Bucket != "toy_g2" || o.Checkpoint.Sequence != 9 {
		t.Errorf("Acquire() = %+v; want toy_g2 at record 9", o)
	}
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil || g.Number != 4 {
		t.Errorf("Stage() = %+v, %v; want generation 4", g, err)
	}
}

// A message in bulk is lost on the way, as with a connection that breaks while
// others go on over the next one. Nothing after it is stored: the state of an
// entity without its documents would change nothing when it is folded again.
func TestBulkStoresNothingBehindAGap(t *testing.T) {
	node := eventlogtest.Server(t)
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if subject == "$KV.toy_g1.k3" {
			return eventlogtest.Lost
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire)))
	if err != nil {
		t.Fatal(err)
	}
	o := acquire(t, open(t, js, viewstore.Config{Exclusive: true}), projector.LeaseRequest{})
	c := write(o, 1)
	c.Bulk, c.Entities = true, nil
	for i := range 9 {
		c.Entities = append(c.Entities, projector.EntityWrite{
			Entity: fmt.Sprintf("e%d", i), Documents: []projector.Put{{Key: fmt.Sprintf("k%d", i), Value: []byte("1")}},
			Parts: []projector.Part{{Name: "core", Value: []byte("1")}},
		})
	}
	if err := o.Commit(testContext(t), c); err == nil {
		t.Error("Commit() = nil; want an error, since a message was lost")
	}
	parts, err := o.Load(testContext(t), []string{"e2", "e3", "e4"})
	if err != nil || len(parts[0]) != 1 || len(parts[1])+len(parts[2]) != 0 {
		t.Errorf("Load() = %v, %v; want the state of e2 alone", parts, err)
	}
	if cp, err := o.GenerationWriter.Checkpoint(testContext(t)); err != nil || cp.Sequence != 0 {
		t.Errorf("Checkpoint() = %+v, %v; want the one before", cp, err)
	}
}

// Records are committed while a generation is carried, at each of the moments at
// which a carry asks for something. What was carried is one moment of the view:
// of no entity the state is newer than the documents.
func TestCarryUnderTraffic(t *testing.T) {
	t.Parallel()
	for moment := 1; ; moment++ {
		node := eventlogtest.Server(t)
		js := node.JetStream(t)
		s := open(t, js, viewstore.Config{Exclusive: true})
		all, err := s.Ensure(testContext(t), "toy", "v1")
		if err != nil {
			t.Fatal(err)
		}
		o := acquire(t, s, projector.LeaseRequest{})
		next, err := s.Stage(testContext(t), "toy", "v1")
		if err != nil {
			t.Fatal(err)
		}
		set := func(seq eventlog.Seq, from, to string) {
			c := write(o, seq, from+".s", "-", to+".s", fmt.Sprint(seq))
			c.Entities[0].Parts = []projector.Part{{Name: "core", Value: fmt.Append(nil, seq)}}
			if err := o.Commit(testContext(t), c); err != nil {
				t.Errorf("Commit() = %v", err)
			}
		}
		set(1, "ended", "live")
		asked := 0
		wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
			if strings.Contains(subject, ".KV_toy_g1") {
				if asked++; asked == moment {
					set(2, "live", "ended")
				}
			}
			return eventlogtest.Never
		}}
		faulty, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := open(t, faulty, viewstore.Config{Exclusive: true, Holder: "carrier"}).Carry(testContext(t), all[0], next); err != nil {
			t.Fatalf("Carry() = %v", err)
		}
		if asked < moment {
			t.Logf("%d moments", moment-1)
			return
		}
		got := map[string]string{}
		for e, err := range s.AllFrom(testContext(t), viewstore.Alias{Bucket: next.Bucket}, "") {
			if err != nil {
				t.Fatal(err)
			}
			got[e.Key] = string(e.Value)
		}
		carried := acquire(t, s, projector.LeaseRequest{Generation: next.Number, Steal: true})
		parts, err := carried.Load(testContext(t), []string{"e"})
		if err != nil || len(parts[0]) != 1 {
			t.Fatalf("Load() = %v, %v; want a part", parts, err)
		}
		state := string(parts[0][0].Value)
		if want := map[string]map[string]string{"1": {"live.s": "1"}, "2": {"ended.s": "2"}}[state]; !maps.Equal(got, want) {
			t.Errorf("committed at moment %d, the state is of record %s and the documents are %v; want %v", moment, state, got, want)
		}
	}
}

// A lease that was written since it was read, as a replica that lags makes it
// look for a while, is looked at again after a pause.
func TestLeaseConflictWaits(t *testing.T) {
	node := eventlogtest.Server(t)
	healthy := node.JetStream(t)
	open(t, healthy, viewstore.Config{})
	var writes []time.Time
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if subject == "$KV.rollcall.lease.toy_g1" && len(writes) < 3 {
			writes = append(writes, time.Now())
			if _, err := healthy.Publish(t.Context(), subject, []byte(`{"holder":""}`)); err != nil {
				t.Error(err)
			}
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire)))
	if err != nil {
		t.Fatal(err)
	}
	acquire(t, open(t, js, viewstore.Config{}), projector.LeaseRequest{})
	for i := 1; i < len(writes); i++ {
		if pause := writes[i].Sub(writes[i-1]); pause < 100*time.Millisecond {
			t.Errorf("write %d of the lease came %v after a conflict; want a pause", i+1, pause)
		}
	}
	if len(writes) < 3 {
		t.Errorf("%d writes of the lease; want more than the conflicts", len(writes))
	}
}
