package viewstore_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
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

const patience = eventlogtest.Patience

func testContext(t *testing.T) context.Context {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	t.Cleanup(cancel)
	return ctx
}

func open(t *testing.T, js jetstream.JetStream, c viewstore.Config) *viewstore.Store {
	t.Helper()
	if c.Timeout == 0 {
		c.Timeout = patience / 4 // longer than a machine stands still, and not for ever where a message is lost
	}
	s, err := viewstore.Open(testContext(t), js, c)
	if err != nil {
		t.Fatalf("Open() = %v; want no error", err)
	}
	return s
}

func acquire(t *testing.T, s *viewstore.Store, c projector.LeaseRequest) *projector.Lease {
	t.Helper()
	if c.View == "" {
		c.View = "toy"
	}
	if c.Version == "" {
		c.Version = "v1"
	}
	o, err := s.Acquire(testContext(t), c)
	if err != nil {
		t.Fatalf("Acquire(%+v) = %v; want no error", c, err)
	}
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Second)
		defer cancel()
		_ = o.Release(ctx)
	})
	return o
}

// write makes a commit of documents given as key, value, key, value; the value
// "-" deletes.
func write(o *projector.Lease, seq eventlog.Seq, pairs ...string) *projector.Commit {
	e := projector.EntityWrite{Entity: "e"}
	for i := 0; i < len(pairs); i += 2 {
		d := projector.Put{Key: pairs[i], Value: []byte(pairs[i+1])}
		if pairs[i+1] == "-" {
			d.Value = nil
		}
		e.Documents = append(e.Documents, d)
	}
	return &projector.Commit{
		Entities: []projector.EntityWrite{e},
		Checkpoint: projector.Checkpoint{
			Incarnation: "log", Sequence: seq, Epoch: o.Checkpoint.Epoch,
			Commit: fmt.Sprintf("%d-%d", o.Checkpoint.Epoch, seq),
		},
	}
}

func commit(t *testing.T, o *projector.Lease, seq eventlog.Seq, pairs ...string) {
	t.Helper()
	if err := o.Commit(testContext(t), write(o, seq, pairs...)); err != nil {
		t.Fatalf("Commit(%d) = %v; want no error", seq, err)
	}
}

// ready stages a generation of view toy, commits to it, and enters that it is ready.
func ready(t *testing.T, s *viewstore.Store, seq eventlog.Seq, pairs ...string) projector.Generation {
	t.Helper()
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	commit(t, acquire(t, s, projector.LeaseRequest{Generation: g.Number}), seq, pairs...)
	g.State = projector.GenerationReady
	if g, err = s.Save(testContext(t), g); err != nil {
		t.Fatal(err)
	}
	return g
}

func wantGet(t *testing.T, s *viewstore.Store, key, want string) {
	t.Helper()
	e, err := s.Get(testContext(t), "toy", key)
	if want == "-" {
		if !errors.Is(err, viewstore.ErrNotFound) {
			t.Errorf("Get(%s) = %q, %v; want ErrNotFound", key, e.Value, err)
		}
		return
	}
	if err != nil || string(e.Value) != want {
		t.Errorf("Get(%s) = %q, %v; want %q", key, e.Value, err, want)
	}
}

// TestKeyThatCannotBeHeld: a document whose key NATS can't hold is not left out of a commit.
func TestKeyThatCannotBeHeld(t *testing.T) {
	t.Parallel()
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	if err := o.Commit(testContext(t), write(o, 1, "a", "1", "b c", "2")); !errors.Is(err, projector.ErrState) {
		t.Errorf("Commit of the key %q = %v; want %v", "b c", err, projector.ErrState)
	}
	wantGet(t, s, "a", "-")
}

func TestCommitAndGet(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	if _, err := s.Get(testContext(t), "toy", "a"); !errors.Is(err, viewstore.ErrNoView) {
		t.Errorf("Get before the first start = %v; want ErrNoView", err)
	}
	o := acquire(t, s, projector.LeaseRequest{})
	if o.Bucket != "toy_g1" || o.Generation != 1 || !o.Empty || o.Checkpoint.Epoch != 1 {
		t.Errorf("Acquire() = %+v; want an empty toy_g1 at epoch 1", o)
	}
	commit(t, o, 1, "a", "1", "b.x", "2", "b.y", "3")
	commit(t, o, 2, "a", "10", "b.x", "-")
	wantGet(t, s, "a", "10")
	wantGet(t, s, "b.x", "-")
	wantGet(t, s, "b.y", "3")
	wantGet(t, s, "no such", "-")
	var keys []string
	for key, err := range s.Keys(testContext(t), "toy", "b.") {
		if err != nil {
			t.Fatalf("Keys() = %v; want no error", err)
		}
		keys = append(keys, key)
	}
	if len(keys) != 1 || keys[0] != "b.y" {
		t.Errorf("Keys(b.) = %v; want [b.y]", keys)
	}
	cp, err := s.Checkpoint(testContext(t), "toy_g1")
	if err != nil || cp.Sequence != 2 {
		t.Errorf("Checkpoint() = %+v, %v; want sequence 2", cp, err)
	}
}

// Whoever was overtaken stores nothing: not by a commit that fits one message,
// not by a batch, not by a commit of many batches.
func TestStaleWriterStoresNothing(t *testing.T) {
	js := eventlogtest.Connect(t)
	first, second := open(t, js, viewstore.Config{Holder: "a"}), open(t, js, viewstore.Config{Holder: "b"})
	old := acquire(t, first, projector.LeaseRequest{})
	commit(t, old, 1, "a", "1")
	fresh := acquire(t, second, projector.LeaseRequest{Steal: true})
	if fresh.Checkpoint.Epoch != old.Checkpoint.Epoch+1 || fresh.Checkpoint.Sequence != 1 {
		t.Errorf("checkpoint after take-over = %+v; want sequence 1 and the next epoch", fresh.Checkpoint)
	}
	big := make([]string, 0, 5000)
	for i := range 2500 {
		big = append(big, "k"+strconv.Itoa(i), "stale")
	}
	for _, pairs := range [][]string{nil, {"a", "stale", "b", "stale"}, big} {
		err := old.Commit(testContext(t), write(old, 2, pairs...))
		if !errors.Is(err, projector.ErrFenced) {
			t.Errorf("Commit of %d documents by a stale writer = %v; want ErrFenced", len(pairs)/2, err)
		}
	}
	wantGet(t, second, "a", "1")
	wantGet(t, second, "b", "-")
	wantGet(t, second, "k0", "-")
	commit(t, fresh, 2, "a", "2")
	wantGet(t, first, "a", "2")
}

// A commit beyond the batch limit stores an entity's documents before its
// parts, and the checkpoint last.
func TestSplitCommit(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	c := write(o, 7)
	for e := range 4 {
		w := projector.EntityWrite{Entity: fmt.Sprintf("entity %d", e)}
		for i := range 400 * (e + 1) {
			w.Documents = append(w.Documents, projector.Put{Key: fmt.Sprintf("e%d.k%d", e, i), Value: []byte("v")})
		}
		for i := range 300 * e {
			w.Parts = append(w.Parts, projector.Part{Name: fmt.Sprintf("p%d", i), Value: []byte{byte(i)}})
		}
		c.Entities = append(c.Entities, w)
	}
	if err := o.Commit(testContext(t), c); err != nil {
		t.Fatalf("Commit() = %v; want no error", err)
	}
	stream, err := js.Stream(testContext(t), "KV_toy_g1")
	if err != nil {
		t.Fatal(err)
	}
	last := func(subject string) uint64 {
		t.Helper()
		m, err := stream.GetLastMsgForSubject(testContext(t), subject)
		if err != nil {
			t.Fatalf("GetLastMsgForSubject(%s) = %v", subject, err)
		}
		return m.Sequence
	}
	for e := 1; e < 4; e++ {
		docs := last(fmt.Sprintf("$KV.toy_g1.e%d.k%d", e, 400*(e+1)-1))
		parts := last("rollcall.state.toy_g1.e." + eventlog.EscapeID(fmt.Sprintf("entity %d", e)) + ".p0")
		if docs > parts {
			t.Errorf("entity %d: last document at %d, first part at %d; want documents first", e, docs, parts)
		}
	}
	if end := stream.CachedInfo().State.LastSeq; last("rollcall.state.toy_g1.checkpoint") < end {
		t.Errorf("checkpoint is not the last message")
	}
	parts, err := o.Load(testContext(t), []string{"entity 3", "entity 0", "entity 2", "nobody", "entity 1"})
	if err != nil {
		t.Fatalf("Load() = %v; want no error", err)
	}
	for i, want := range []int{900, 0, 600, 0, 300} {
		if len(parts[i]) != want {
			t.Errorf("Load()[%d] has %d parts; want %d", i, len(parts[i]), want)
		}
	}
}

// An entity may have more parts than one request returns.
func TestLoadOfManyParts(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	c := write(o, 1)
	for i := range 2100 {
		c.Entities[0].Parts = append(c.Entities[0].Parts, projector.Part{Name: fmt.Sprintf("p%d", i), Value: []byte("v")})
	}
	c.Entities = append(c.Entities, projector.EntityWrite{Entity: "small", Parts: []projector.Part{{Name: "p", Value: []byte("w")}}})
	if err := o.Commit(testContext(t), c); err != nil {
		t.Fatalf("Commit() = %v; want no error", err)
	}
	parts, err := o.Load(testContext(t), []string{"small", "e"})
	if err != nil || len(parts[0]) != 1 || len(parts[1]) != 2100 {
		t.Errorf("Load() = %d and %d parts, %v; want 1 and 2100", len(parts[0]), len(parts[1]), err)
	}
}

func TestStandby(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	ttl := time.Second
	first := open(t, js, viewstore.Config{Holder: "a", LeaseTTL: ttl})
	second := open(t, js, viewstore.Config{Holder: "b", LeaseTTL: ttl})
	o := acquire(t, first, projector.LeaseRequest{})
	holders := make(chan string, 2)
	got := make(chan *projector.Lease, 1)
	go func() {
		o, err := second.Acquire(t.Context(), projector.LeaseRequest{View: "toy", Version: "v1", OnStandby: func(h string) { holders <- h }})
		if err != nil {
			t.Errorf("Acquire() = %v; want no error", err)
		}
		got <- o
	}()
	if h := <-holders; !strings.HasPrefix(h, "a/") {
		t.Errorf("standby got holder %q; want a", h)
	}
	// The holder renews, so it keeps the lease for longer than its TTL.
	select {
	case <-got:
		t.Fatal("standby took over from a living holder")
	case <-time.After(2 * ttl):
	}
	if err := o.Release(testContext(t)); err != nil {
		t.Errorf("Release() = %v; want nil", err)
	}
	select {
	case o := <-got:
		if len(holders) != 0 {
			t.Error("standby was notified more than once")
		}
		_ = o.Release(testContext(t))
	case <-time.After(patience):
		t.Fatal("standby did not take over")
	}
}

// A holder that died without a word is followed when its lease runs out.
func TestStandbyAfterKill(t *testing.T) {
	node := eventlogtest.Server(t)
	nc := node.Connect(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	first := open(t, js, viewstore.Config{Holder: "a", LeaseTTL: time.Second})
	acquire(t, first, projector.LeaseRequest{})
	nc.Close()
	second := open(t, node.JetStream(t), viewstore.Config{Holder: "b", LeaseTTL: time.Second})
	began := time.Now()
	acquire(t, second, projector.LeaseRequest{})
	if took := time.Since(began); took > patience/2 {
		t.Errorf("take-over took %v; want it when the lease of a second has run out", took)
	}
}

// The process with the embedded server waits for a repair of another process
// like anybody else; only what a process before it left behind is free at once.
func TestExclusive(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	acquire(t, open(t, js, viewstore.Config{Holder: "dead", LeaseTTL: time.Minute}), projector.LeaseRequest{})
	config := viewstore.Config{Holder: "server", LeaseTTL: time.Second, Exclusive: true}
	server := open(t, js, config)
	began := time.Now()
	acquire(t, server, projector.LeaseRequest{})
	if took := time.Since(began); took > patience/2 {
		t.Errorf("taking over from a process that died before took %v; want it at once", took)
	}
	repair := acquire(t, open(t, js, viewstore.Config{Holder: "repair", LeaseTTL: time.Second}), projector.LeaseRequest{Steal: true})
	got := make(chan error, 1)
	go func() {
		_, err := server.Acquire(t.Context(), projector.LeaseRequest{View: "toy", Version: "v1"})
		got <- err
	}()
	select {
	case err := <-got:
		t.Fatalf("Acquire() = %v while a repair holds the lease; want it to wait", err)
	case <-time.After(2 * time.Second):
	}
	if err := repair.Release(testContext(t)); err != nil {
		t.Fatalf("Release() = %v", err)
	}
	select {
	case err := <-got:
		if err != nil {
			t.Errorf("Acquire() after the repair = %v; want no error", err)
		}
	case <-time.After(patience):
		t.Error("Acquire() does not return after the repair")
	}
}

func TestLostLeaseIsReported(t *testing.T) {
	js := eventlogtest.Connect(t)
	first := open(t, js, viewstore.Config{Holder: "a", LeaseTTL: 200 * time.Millisecond})
	o := acquire(t, first, projector.LeaseRequest{})
	acquire(t, open(t, js, viewstore.Config{Holder: "b"}), projector.LeaseRequest{Steal: true})
	select {
	case <-o.Lost:
	case <-time.After(patience):
		t.Error("Lost was not closed after the lease was taken")
	}
}

func TestPlainSubjects(t *testing.T) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	nc := node.Connect(t)
	sub, err := nc.SubscribeSync("rollcall.views.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := nc.Flush(); err != nil {
		t.Fatal(err)
	}
	commit(t, o, 41, "a", "1", "b", "2", "c", "-")
	for _, want := range []struct{ key, data, op string }{{"a", "1", ""}, {"b", "2", ""}, {"c", "", "DEL"}} {
		m, err := sub.NextMsg(patience)
		if err != nil {
			t.Fatalf("NextMsg() = %v", err)
		}
		if m.Subject != "rollcall.views.toy."+want.key || string(m.Data) != want.data || m.Header.Get("KV-Operation") != want.op {
			t.Errorf("plain message = %s %q %v; want %+v", m.Subject, m.Data, m.Header, want)
		}
		if got := m.Header.Get("Rollcall-Sequence"); got != "41" {
			t.Errorf("Rollcall-Sequence = %s; want 41", got)
		}
		if want.op == "" {
			e, err := s.Get(testContext(t), "toy", want.key)
			if err != nil || m.Header.Get("Rollcall-Revision") != strconv.FormatUint(e.Revision, 10) {
				t.Errorf("Rollcall-Revision = %s; want %d (%v)", m.Header.Get("Rollcall-Revision"), e.Revision, err)
			}
		}
	}
	if m, err := sub.NextMsg(50 * time.Millisecond); !errors.Is(err, nats.ErrTimeout) {
		t.Errorf("another plain message %v, %v; want none", m, err)
	}
}

// A bucket is an ordinary KV bucket for everybody else.
func TestReadAsKV(t *testing.T) {
	js := eventlogtest.Connect(t)
	o := acquire(t, open(t, js, viewstore.Config{}), projector.LeaseRequest{})
	commit(t, o, 1, "live.s", "1", "ended.t", "2")
	commit(t, o, 2, "live.s", "-", "ended.s", "3")
	kv, err := js.KeyValue(testContext(t), "toy_g1")
	if err != nil {
		t.Fatalf("KeyValue() = %v", err)
	}
	keys, err := kv.Keys(testContext(t))
	slices.Sort(keys)
	if err != nil || strings.Join(keys, " ") != "ended.s ended.t" {
		t.Errorf("Keys() = %v, %v; want ended.s ended.t", keys, err)
	}
	e, err := kv.Get(testContext(t), "ended.s")
	if err != nil || string(e.Value()) != "3" {
		t.Errorf("kv.Get(ended.s) = %v, %v; want 3", e, err)
	}
}

func TestOpenErrors(t *testing.T) {
	t.Run("no JetStream", func(t *testing.T) {
		nc := eventlogtest.Server(t, eventlogtest.Options{NoJetStream: true}).Connect(t)
		js, err := jetstream.New(nc)
		if err != nil {
			t.Fatal(err)
		}
		if _, err := viewstore.Open(testContext(t), js, viewstore.Config{}); !errors.Is(err, projector.ErrSettings) {
			t.Errorf("Open() = %v; want ErrSettings", err)
		}
	})
	t.Run("bucket made by hand", func(t *testing.T) {
		js := eventlogtest.Connect(t)
		if _, err := js.CreateKeyValue(testContext(t), jetstream.KeyValueConfig{Bucket: "toy_g1"}); err != nil {
			t.Fatal(err)
		}
		_, err := open(t, js, viewstore.Config{}).Acquire(testContext(t), projector.LeaseRequest{View: "toy", Version: "v1"})
		if !errors.Is(err, projector.ErrSettings) || strings.Contains(err.Error(), "\n") {
			t.Errorf("Acquire() = %v; want ErrSettings on one line", err)
		}
	})
	t.Run("another version", func(t *testing.T) {
		s := open(t, eventlogtest.Connect(t), viewstore.Config{})
		acquire(t, s, projector.LeaseRequest{Version: "v1"})
		_, err := s.Acquire(testContext(t), projector.LeaseRequest{View: "toy", Version: "v2"})
		if !errors.Is(err, projector.ErrVersion) {
			t.Errorf("Acquire() = %v; want ErrVersion", err)
		}
	})
}

// TestAllMissesNoKeyThatIsWritten changes keys while All yields others: they
// move past what was the stream's end when it began.
func TestAllMissesNoKeyThatIsWritten(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	o := acquire(t, s, projector.LeaseRequest{})
	const keys = 2500 // more than is asked for at a time
	for from := 0; from < keys; from += 500 {
		var pairs []string
		for i := from; i < from+500; i++ {
			pairs = append(pairs, fmt.Sprintf("k%d", i), "1")
		}
		commit(t, o, eventlog.Seq(from+1), pairs...)
	}
	seen := map[string]string{}
	for e, err := range s.All(testContext(t), "toy", "") {
		if err != nil {
			t.Fatalf("All() = %v; want no error", err)
		}
		if len(seen) == 0 {
			commit(t, o, keys+1, "k2498", "2", "k2499", "2", "k2497", "2")
		}
		seen[e.Key] = string(e.Value)
	}
	if len(seen) != keys {
		t.Errorf("All() yields %d keys; want %d", len(seen), keys)
	}
	for _, key := range []string{"k2497", "k2498", "k2499"} {
		if seen[key] == "" {
			t.Errorf("All() leaves out %s, which was there all the time", key)
		}
	}
}
