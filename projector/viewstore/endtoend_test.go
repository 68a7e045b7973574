package viewstore_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// records makes realistic traffic with duplicates and reordering.
func records(seed uint64, sessions int) []eventlog.Record {
	return slices.Collect(traffic.Records(traffic.Config{Seed: seed, Sessions: sessions, Duplicates: 0.1, Shuffle: true}))
}

// fill opens the log of a server and puts records into it.
func fill(t *testing.T, js jetstream.JetStream, all []eventlog.Record) *natslog.Log {
	t.Helper()
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(testContext(t), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatalf("natslog.Open() = %v", err)
	}
	t.Cleanup(log.Close)
	seq := func(yield func(eventlog.Record, error) bool) {
		for _, r := range all {
			if !yield(r, nil) {
				return
			}
		}
	}
	if _, err := log.Import(testContext(t), iter.Seq2[eventlog.Record, error](seq)); err != nil {
		t.Fatalf("Import() = %v", err)
	}
	return log
}

// plain folds records without any of the projector's machinery.
func plain(fold eventlog.Fold, all []eventlog.Record) map[string]string {
	states := map[string]eventlog.State{}
	for i := range all {
		ev := eventlog.Decode(&all[i])
		key := fold.Key(&ev)
		if key == "" {
			continue
		}
		if states[key] == nil {
			states[key] = fold.New(key)
		}
		states[key].Apply(&ev)
	}
	out := documents{}
	for _, s := range states {
		s.Flush(out)
	}
	return out
}

type documents map[string]string

func (d documents) Put(key string, doc []byte) { d[key] = string(doc) }
func (d documents) Delete(key string)          { delete(d, key) }
func (documents) PutPart(string, []byte)       {}

// wantView compares a stored view with what it must be.
func wantView(t *testing.T, s *viewstore.Store, view string, want map[string]string) {
	t.Helper()
	got := map[string]string{}
	for e, err := range s.All(testContext(t), view, "") {
		if err != nil {
			t.Fatalf("All(%s) = %v", view, err)
		}
		got[e.Key] = string(e.Value)
	}
	if maps.Equal(got, want) {
		return
	}
	n := 0
	for k := range want {
		if got[k] != want[k] && n < 5 {
			n++
			t.Errorf("%s[%s] = %.300s; want %.300s", view, k, got[k], want[k])
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && n < 10 {
			n++
			t.Errorf("%s has %s; want no such key", view, k)
		}
	}
}

// run starts a projector and returns how to stop it.
func run(t *testing.T, c projector.Config) (*projector.Projector, func() error) {
	t.Helper()
	p, err := projector.New(c)
	if err != nil {
		t.Fatalf("New() = %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	stop := func() error { cancel(); return <-done }
	return p, stop
}

// reached waits until a bucket's checkpoint is at seq.
func reached(t *testing.T, s *viewstore.Store, view string, seq eventlog.Seq) {
	t.Helper()
	ctx := testContext(t)
	for ctx.Err() == nil {
		if a, err := s.Alias(ctx, view); err == nil {
			if cp, err := s.Checkpoint(ctx, a.Bucket); err == nil && cp.Sequence >= seq {
				return
			}
		}
		<-time.After(5 * time.Millisecond)
	}
	t.Fatalf("view %s did not reach %d", view, seq)
}

func TestAllViewsOnARealServer(t *testing.T) {
	t.Parallel()
	all := records(1, 120)
	js := eventlogtest.Connect(t)
	log, s := fill(t, js, all), open(t, js, viewstore.Config{})
	for _, fold := range projections.All() {
		t.Run(fold.Name(), func(t *testing.T) {
			_, stop := run(t, projector.Config{Projection: fold, Source: log, Store: s, CacheBytes: 256 << 10, BatchEntities: 50})
			reached(t, s, fold.Name(), eventlog.Seq(len(all)))
			if err := stop(); err != nil {
				t.Errorf("Run() = %v; want nil", err)
			}
			wantView(t, s, fold.Name(), plain(fold, all))
		})
	}
}

// thief takes the lease whoever holds it.
type thief struct{ *viewstore.Store }

func (s thief) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	c.Steal = true
	return s.Store.Acquire(ctx, c)
}

// Two projectors of one view that take the lease from each other all the time,
// while records come in, and the server restarts: nothing is lost or doubled.
func TestProjectorsFight(t *testing.T) {
	t.Parallel()
	all := records(2, 150)
	half := len(all) / 2
	node := eventlogtest.Server(t)
	log := fill(t, node.JetStream(t), all[:half])
	s := open(t, node.JetStream(t), viewstore.Config{})
	fold := projections.All()[0]
	for _, holder := range []string{"a", "b"} {
		store := thief{open(t, node.JetStream(t), viewstore.Config{Holder: holder, LeaseTTL: 50 * time.Millisecond})}
		_, stop := run(t, projector.Config{Projection: fold, Source: log, Store: store, BatchEntities: 5, CacheBytes: 20_000})
		t.Cleanup(func() {
			if err := stop(); err != nil {
				t.Errorf("Run() = %v; want nil", err)
			}
		})
	}
	for i, r := range all[half:] {
		if i == 200 {
			node.Restart(t)
		}
		for {
			_, err := log.Append(testContext(t), &r)
			if err == nil {
				break
			}
			if !errors.Is(err, eventlog.ErrUnavailable) {
				t.Fatalf("Append() = %v", err)
			}
		}
	}
	head, err := log.Head(testContext(t))
	if err != nil {
		t.Fatal(err)
	}
	reached(t, s, fold.Name(), head.Last)
	a, err := s.Alias(testContext(t), fold.Name())
	if err != nil {
		t.Fatal(err)
	}
	for ctx := testContext(t); ; { // a fast one is done before the other steps in: they go on fighting
		cp, err := s.Checkpoint(ctx, a.Bucket)
		if err != nil {
			t.Fatalf("Checkpoint() at epoch %d = %v; want several take-overs", cp.Epoch, err)
		}
		if cp.Epoch >= 4 {
			break
		}
	}
	wantView(t, s, fold.Name(), plain(fold, all))
}
