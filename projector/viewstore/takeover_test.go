package viewstore_test

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"os"
	"path/filepath"
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
	js   jetstream.JetStream
	dir  string
}

// save stops a server, copies its disk and starts it again; js is connected then.
func save(t *testing.T, node *eventlogtest.Node, js jetstream.JetStream) saved {
	t.Helper()
	s := saved{node, js, filepath.Join(t.TempDir(), "saved")}
	defer reconnected(t, js.Conn(), js.Conn().Stats().Reconnects)
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
	defer reconnected(t, s.js.Conn(), s.js.Conn().Stats().Reconnects)
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

// reconnected waits until a connection has come back once more.
func reconnected(t *testing.T, nc *nats.Conn, before uint64) {
	t.Helper()
	for nc.Stats().Reconnects == before {
		if !tick(testContext(t), time.Millisecond) {
			t.Fatal("the client does not come back")
		}
	}
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
func commitUntil(t *testing.T, js jetstream.JetStream, o *projector.Lease, seq eventlog.Seq, after uint64) eventlog.Seq {
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
	t.Parallel()
	for _, running := range []bool{false, true} {
		t.Run(fmt.Sprintf("running=%v", running), func(t *testing.T) {
			node := eventlogtest.Server(t)
			js := node.JetStream(t)
			s := open(t, js, viewstore.Config{Exclusive: true})
			o := acquire(t, s, projector.LeaseRequest{})
			commit(t, o, 1, "a", "1")
			before := save(t, node, js)
			for n := eventlog.Seq(2); n < 10; n++ {
				commit(t, o, n, fmt.Sprintf("k%d", n), "1")
			}
			f := follow(t, s, viewstore.Position{})
			f.until(9)

			before.restore(t, "KV_toy_g1")
			again := acquire(t, s, projector.LeaseRequest{Steal: true})
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
			o := acquire(t, s, projector.LeaseRequest{})
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
			again := acquire(t, s, projector.LeaseRequest{Steal: true})
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
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "a", "1")
	f := follow(t, s, viewstore.Position{})
	f.until(1)
	for n := eventlog.Seq(2); n < 8; n++ {
		o = acquire(t, s, projector.LeaseRequest{Steal: true})
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
	o := acquire(t, s, projector.LeaseRequest{})
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

// The control bucket is away for longer than a stream may be missing: followers
// stay with their generation, and see where the alias is when it is back.
func TestFollowWithoutTheControlBucket(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{Exclusive: true})
	viewstore.SetGoneAfter(s.Reader, 100*time.Millisecond)
	o := acquire(t, s, projector.LeaseRequest{})
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
	next := acquire(t, s, projector.LeaseRequest{Generation: g.Number})
	commit(t, next, 3, "a", "3")
	g.State = projector.GenerationReady
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
		o := acquire(t, s, projector.LeaseRequest{Steal: true})
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
