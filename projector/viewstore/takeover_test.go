package viewstore_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// saved is the disk of a server at some moment.
type saved struct {
	node *eventlogtest.Node
	dir  string
}

// save stops a server, copies its disk and starts it again.
func save(t *testing.T, node *eventlogtest.Node) saved {
	t.Helper()
	s := saved{node, filepath.Join(t.TempDir(), "saved")}
	node.Stop(t)
	if err := os.CopyFS(s.dir, os.DirFS(node.Dir())); err != nil {
		t.Fatal(err)
	}
	node.Start(t)
	return s
}

// restore is a power cut that takes back what a stream was written since: the
// others keep it.
func (s saved) restore(t *testing.T, stream string) {
	t.Helper()
	s.node.Stop(t)
	const streams = "jetstream/$G/streams"
	to := filepath.Join(s.node.Dir(), streams, stream)
	if err := os.RemoveAll(to); err != nil {
		t.Fatal(err)
	}
	if err := os.CopyFS(to, os.DirFS(filepath.Join(s.dir, streams, stream))); err != nil {
		t.Fatal(err)
	}
	s.node.Start(t)
}

// stored is what a view holds.
func stored(t *testing.T, s *viewstore.Store) map[string]string {
	t.Helper()
	got := map[string]string{}
	for e, err := range s.All(testContext(t), "toy", "") {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Key] = string(e.Value)
	}
	return got
}

// revision is where a bucket's checkpoint stands.
func revision(t *testing.T, js jetstream.JetStream) uint64 {
	t.Helper()
	s, err := js.Stream(testContext(t), "KV_toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	m, err := s.GetLastMsgForSubject(testContext(t), "rollcall.state.toy_g1.checkpoint")
	if err != nil {
		t.Fatal(err)
	}
	return m.Sequence
}

// commitUntil commits until the stream is past a revision.
func commitUntil(t *testing.T, js jetstream.JetStream, o *projector.Opened, seq eventlog.Seq, after uint64) eventlog.Seq {
	t.Helper()
	for ; revision(t, js) <= after; seq++ {
		commit(t, o, seq, "last", fmt.Sprint(seq))
	}
	return seq - 1
}

// A view's stream loses its tail, as in a power cut, while the log does not. The
// projector folds again, in fewer commits, so that what it stores stands at
// revisions that followers have read as something else.
func TestFollowAfterALostTail(t *testing.T) {
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			node := eventlogtest.Server(t)
			js := node.JetStream(t)
			s := open(t, js, viewstore.Config{Exclusive: true})
			o := acquire(t, s, projector.Claim{})
			commit(t, o, 1, "a", "1")
			before := save(t, node)
			for n := eventlog.Seq(2); n < 10; n++ {
				commit(t, o, n, fmt.Sprintf("k%d", n), "1")
			}
			f := follow(t, s, viewstore.Position{})
			f.until(9)

			before.restore(t, "KV_toy_g1")
			again := acquire(t, s, projector.Claim{Steal: true})
			var pairs []string
			for n := 2; n < 10; n++ {
				pairs = append(pairs, fmt.Sprintf("k%d", n), "2")
			}
			commit(t, again, 9, pairs...)
			last := commitUntil(t, js, again, 10, f.last.Revision)
			if !running {
				held := f.view
				f = follow(t, s, f.last)
				f.view = held
			}
			if !f.until(last) {
				t.Error("no Reset; want one, since what was read is lost")
			}
			if want := stored(t, s); !maps.Equal(f.view, want) {
				t.Errorf("the follower holds %v; want %v", f.view, want)
			}
		})
	}
}

// A stream that is deleted and made again at once, or purged, is not the one that
// was read, whatever its name and its sequences.
func TestFollowAfterADeletedStream(t *testing.T) {
	for _, how := range []string{"deleted", "purged"} {
		t.Run(how, func(t *testing.T) {
			js := eventlogtest.Connect(t)
			s := open(t, js, viewstore.Config{Exclusive: true})
			o := acquire(t, s, projector.Claim{})
			for n := eventlog.Seq(1); n < 5; n++ {
				commit(t, o, n, fmt.Sprintf("k%d", n), "1")
			}
			f := follow(t, s, viewstore.Position{})
			f.until(4)
			if how == "purged" {
				purge(t, js)
			} else if err := js.DeleteStream(testContext(t), "KV_toy_g1"); err != nil {
				t.Fatal(err)
			}
			again := acquire(t, s, projector.Claim{Steal: true})
			if again.Checkpoint.Sequence != 0 || !again.Empty {
				t.Errorf("Acquire() = %+v; want an empty generation", again)
			}
			commit(t, again, 2, "k1", "2", "k2", "2")
			last := commitUntil(t, js, again, 3, f.last.Revision)
			if !f.until(last) {
				t.Error("no Reset; want one, since what was read is gone")
			}
			if want := stored(t, s); !maps.Equal(f.view, want) {
				t.Errorf("the follower holds %v; want %v", f.view, want)
			}
		})
	}
}

// Take-overs alone are no reason to begin again, not even for a follower that
// meets none of their checkpoints, since it was slow or away.
func TestFollowAcrossTakeOvers(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{Exclusive: true})
	o := acquire(t, s, projector.Claim{})
	commit(t, o, 1, "a", "1")
	f := follow(t, s, viewstore.Position{})
	f.until(1)
	for n := eventlog.Seq(2); n < 8; n++ {
		o = acquire(t, s, projector.Claim{Steal: true})
		commit(t, o, n, "a", fmt.Sprint(n), fmt.Sprintf("k%d", n), "1")
		commit(t, o, n, "b", fmt.Sprint(n))
		if n == 5 { // another one comes back
			held := f.view
			f = follow(t, s, f.last)
			f.view = held
		}
	}
	if f.until(7) {
		t.Error("Reset after take-overs; want none")
	}
	if want := stored(t, s); !maps.Equal(f.view, want) {
		t.Errorf("the follower holds %v; want %v", f.view, want)
	}
}

// Delete markers expire, also while a follower that runs has no connection.
func TestFollowAwayForTooLong(t *testing.T) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{Exclusive: true})
	o := acquire(t, s, projector.Claim{})
	commit(t, o, 1, "a", "1")
	gate := new(gate)
	remote, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(gate)))
	if err != nil {
		t.Fatal(err)
	}
	reader := viewstore.NewReader(remote)
	for seq, ttl := range []time.Duration{1: time.Hour, 2: time.Nanosecond} {
		if ttl == 0 {
			continue
		}
		viewstore.SetFollowTTL(reader, ttl)
		f := followReader(t, reader, viewstore.Position{})
		f.until(eventlog.Seq(seq))
		gate.set(true)
		commit(t, o, eventlog.Seq(seq+1), "b", "1")
		gate.set(false)
		if got, want := f.until(eventlog.Seq(seq+1)), ttl < time.Second; got != want {
			t.Errorf("Reset after an absence, with markers of %v = %v; want %v", ttl, got, want)
		}
	}
}

// A writer that stood still commits nothing when it goes on, even where the
// stream was made again and its checkpoint has come to the same revision.
func TestStaleWriterInAnotherStream(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true, LeaseTTL: 50 * time.Millisecond})
	for _, c := range []struct {
		name  string
		pairs []string
		bulk  bool
	}{{"batch", []string{"stale", "1"}, false}, {"bulk", []string{"stale", "1", "stale2", "1"}, true}, {"checkpoint", nil, false}} {
		t.Run(c.name, func(t *testing.T) {
			old := acquire(t, s, projector.Claim{Steal: true})
			for n := eventlog.Seq(1); n < 10; n++ {
				commit(t, old, n, "a", "1", fmt.Sprintf("k%d", n), "1")
			}
			at := revision(t, js)
			if err := js.DeleteStream(testContext(t), "KV_toy_g1"); err != nil {
				t.Fatal(err)
			}
			fresh := acquire(t, s, projector.Claim{Steal: true})
			for n := eventlog.Seq(1); revision(t, js) < at; n++ {
				if at-revision(t, js) == 1 {
					commit(t, fresh, n)
				} else {
					commit(t, fresh, n, "a", "2")
				}
			}
			if got := revision(t, js); got != at {
				t.Fatalf("checkpoint at revision %d; want %d", got, at)
			}
			<-time.After(60 * time.Millisecond) // longer than its lease lives
			w := write(old, 99, c.pairs...)
			if len(c.pairs) == 0 {
				w.Entities = nil
			}
			w.Bulk = c.bulk
			if err := old.Commit(testContext(t), w); !errors.Is(err, projector.ErrFenced) {
				t.Errorf("Commit() of a stale writer = %v; want %v", err, projector.ErrFenced)
			}
			if cp, err := s.Checkpoint(testContext(t), "toy_g1"); err != nil || cp.Sequence == 99 {
				t.Errorf("checkpoint = %+v, %v; want the other writer's", cp, err)
			}
			wantGet(t, s, "stale", "-")
			if _, err := old.Tenure.Checkpoint(testContext(t)); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Checkpoint() of the stale writer = %v; want %v", err, projector.ErrLostView)
			}
			commit(t, fresh, 100, "a", "3")
		})
	}
}

// What a tenure has committed is gone: it hears so, instead of waiting for ever,
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
			o := acquire(t, s, projector.Claim{Steal: true})
			commit(t, o, 1, "a", "1")
			before := save(t, node)
			commit(t, o, 2, "a", "2", "b", "2")
			lose(t, before)

			err := o.Commit(testContext(t), write(o, 3, "a", "3"))
			if err == nil {
				t.Error("Commit() = nil; want an error")
			}
			if _, err := o.Tenure.Checkpoint(testContext(t)); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Checkpoint() = %v; want %v", err, projector.ErrLostView)
			}
			if _, err := o.Load(testContext(t), []string{"e"}); !errors.Is(err, projector.ErrLostView) {
				t.Errorf("Load() = %v; want %v", err, projector.ErrLostView)
			}
			again := acquire(t, s, projector.Claim{Steal: true})
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
	o := acquire(t, s, projector.Claim{})
	commit(t, o, 1, "a", "1")
	node.Stop(t)
	if _, err := o.Tenure.Checkpoint(testContext(t)); err == nil || errors.Is(err, projector.ErrLostView) {
		t.Errorf("Checkpoint() without a server = %v; want another error than %v", err, projector.ErrLostView)
	}
	node.Start(t)
	for ctx := testContext(t); ; {
		cp, err := o.Tenure.Checkpoint(ctx)
		if err == nil && cp.Sequence == 1 {
			return
		}
		if errors.Is(err, projector.ErrLostView) || ctx.Err() != nil {
			t.Fatalf("Checkpoint() once the server is back = %+v, %v; want record 1", cp, err)
		}
	}
}

// The control bucket is deleted, with the registry: the generation in force is
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
		o := acquire(t, s, projector.Claim{Generation: g})
		commit(t, o, eventlog.Seq([]int{1: 5, 2: 9, 3: 2}[g]), "a", fmt.Sprint(g))
		state := projector.StateReady
		if g == 3 {
			state = projector.StateCatchingUp
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
	o := acquire(t, s, projector.Claim{})
	if o.Bucket != "toy_g2" || o.Checkpoint.Sequence != 9 {
		t.Errorf("Acquire() = %+v; want toy_g2 at record 9", o)
	}
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil || g.Number != 4 {
		t.Errorf("Stage() = %+v, %v; want generation 4", g, err)
	}
}

// The control bucket is away for longer than a stream may be missing: followers
// stay with their generation, and see where the alias is when it is back.
func TestFollowWithoutTheControlBucket(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true})
	viewstore.SetGoneAfter(s.Reader, 100*time.Millisecond)
	o := acquire(t, s, projector.Claim{})
	commit(t, o, 1, "a", "1")
	f := follow(t, s, viewstore.Position{})
	f.until(1)
	if err := js.DeleteStream(testContext(t), "KV_rollcall"); err != nil {
		t.Fatal(err)
	}
	<-time.After(time.Second)
	commit(t, o, 2, "a", "2")
	if f.until(2) {
		t.Error("Reset without the control bucket; want none")
	}
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatal(err)
	}
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	next := acquire(t, s, projector.Claim{Generation: g.Number})
	commit(t, next, 3, "a", "3")
	g.State = projector.StateReady
	if _, err := s.Save(testContext(t), g); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Promote(testContext(t), "toy", g.Number); err != nil {
		t.Fatal(err)
	}
	if !f.until(3) || f.last.Bucket != "toy_g2" {
		t.Errorf("the follower is at %+v; want it moved to toy_g2", f.last)
	}
}

// Markers of take-overs go with the positions that they prove.
func TestTakeOverMarkers(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true})
	for range 3 {
		o := acquire(t, s, projector.Claim{Steal: true})
		if !o.Empty {
			t.Error("Acquire() of a generation of markers alone says that it is not empty")
		}
	}
	stream, err := js.Stream(testContext(t), "KV_toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(testContext(t), jetstream.WithSubjectFilter("rollcall.state.toy_g1.takeover.*"))
	if err != nil || len(info.State.Subjects) != 3 {
		t.Fatalf("take-overs = %v, %v; want 3", info.State.Subjects, err)
	}
	cp, err := s.Checkpoint(testContext(t), "toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	for subject := range info.State.Subjects {
		m, err := stream.GetLastMsgForSubject(testContext(t), subject)
		if err != nil {
			t.Fatal(err)
		}
		current := subject == "rollcall.state.toy_g1.takeover."+cp.Takeover
		if ttl := m.Header.Get(jetstream.MsgTTLHeader); (ttl == "") != current {
			t.Errorf("%s = %s expires after %q; want the current one alone to stay", subject, m.Data, ttl)
		}
	}
}

// gate is a dialer that can be shut, with all connections made through it.
type gate struct {
	mu    sync.Mutex
	shut  bool
	conns []net.Conn
}

// Dial implements nats.CustomDialer.
func (g *gate) Dial(network, address string) (net.Conn, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.shut {
		return nil, errors.New("gate is shut")
	}
	c, err := net.Dial(network, address)
	if err == nil {
		g.conns = append(g.conns, c)
	}
	return c, err
}

func (g *gate) set(shut bool) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.shut = shut
	for _, c := range g.conns {
		_ = c.Close()
	}
	g.conns = nil
}

// A message in bulk is lost on the way, as with a connection that breaks while
// others go on over the next one. Nothing behind it is stored: the state of an
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
	o := acquire(t, open(t, js, viewstore.Config{Exclusive: true}), projector.Claim{})
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
	if cp, err := o.Tenure.Checkpoint(testContext(t)); err != nil || cp.Sequence != 0 {
		t.Errorf("Checkpoint() = %+v, %v; want the one before", cp, err)
	}
}

// Records are committed while a generation is carried, at each of the moments at
// which a carry asks for something. What was carried is one moment of the view:
// of no entity the state is newer than the documents.
func TestCarryUnderTraffic(t *testing.T) {
	for moment := 1; ; moment++ {
		node := eventlogtest.Server(t)
		js := node.JetStream(t)
		s := open(t, js, viewstore.Config{Exclusive: true})
		all, err := s.Ensure(testContext(t), "toy", "v1")
		if err != nil {
			t.Fatal(err)
		}
		o := acquire(t, s, projector.Claim{})
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
		carried := acquire(t, s, projector.Claim{Generation: next.Number, Steal: true})
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
	acquire(t, open(t, js, viewstore.Config{}), projector.Claim{})
	for i := 1; i < len(writes); i++ {
		if pause := writes[i].Sub(writes[i-1]); pause < 100*time.Millisecond {
			t.Errorf("write %d of the lease came %v after a conflict; want a pause", i+1, pause)
		}
	}
	if len(writes) < 3 {
		t.Errorf("%d writes of the lease; want more than the conflicts", len(writes))
	}
}
