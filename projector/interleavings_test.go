package projector_test

import (
	"context"
	"errors"
	"iter"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/eventlog"
	"rollcall/projector"
)

// slowLog is a log whose first reader has the last record in hand when it is asked to
// end, and yields it a second later, and whose second one is in its midst then.
type slowLog struct {
	*memLog
	reads int
}

func (l *slowLog) Read(ctx context.Context, o eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	l.reads++
	read := l.reads
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range l.memLog.Read(ctx, o) {
			switch {
			case read == 1 && err != nil:
				<-time.After(time.Second)
				last, _ := l.Record(ctx, eventlog.Seq(len(l.records)))
				yield(last, nil)
				return
			case read == 2 && r.Seq == 300:
				<-time.After(2 * time.Second)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// A reader that joins while the pump of those that have left still has a record in
// hand gets its own records, all of them.
func TestLateRecordOfAnEndedPump(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(1000, 20)
		log, first, second := newMemLog(records...), newMemStore(), newMemStore()
		shared := projector.Share(&slowLog{memLog: log})
		_, stop := start(t, projector.Config{Source: shared, Store: first})
		reach(t, first, 1000)
		left := make(chan error, 1)
		go func() { left <- stop() }()
		synctest.Wait() // it has left; its pump has not ended
		start(t, projector.Config{Source: shared, Store: second})
		reach(t, second, 1000)
		sameView(t, second.view(), expect(records))
		if err := <-left; err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// losingStore is a store that loses its commits behind the projector's back.
type losingStore struct{ *memStore }

func (s losingStore) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	o, err := s.memStore.Acquire(ctx, c)
	if err == nil {
		o.GenerationWriter = losingWriter{o.GenerationWriter.(*memWriter)}
	}
	return o, err
}

type losingWriter struct{ *memWriter }

func (t losingWriter) Checkpoint(ctx context.Context) (projector.Checkpoint, error) {
	cp, err := t.memWriter.Checkpoint(ctx)
	if err == nil && cp.Epoch < t.epoch {
		return cp, projector.ErrLostView
	}
	return cp, err
}

// purge is what an operator, or a restore, does to a view's stream.
func (s losingStore) purge() {
	s.mu.Lock()
	defer s.mu.Unlock()
	clear(s.docs)
	clear(s.parts)
	s.cp = projector.Checkpoint{}
}

// A view that lost what was committed is folded again, whether records come or not.
func TestViewIsLost(t *testing.T) {
	for _, more := range []int{0, 20} {
		synctest.Test(t, func(t *testing.T) {
			records := script(100, 5)
			log, store := newMemLog(records[:80]...), losingStore{newMemStore()}
			p, _ := start(t, projector.Config{Source: log, Store: store})
			reach(t, store.memStore, 80)
			store.purge()
			log.append(records[80 : 80+more]...)
			reach(t, store.memStore, eventlog.Seq(80+more))
			sameView(t, store.view(), expect(records[:80+more]))
			synctest.Wait()
			if s := p.Status(); s.State != projector.RunLive {
				t.Errorf("Status() = %+v; want live", s)
			}
		})
	}
}

// A store that gives no answer any more ends the lease, so that another process
// may try, and the status says what is waited for.
func TestStoreWithoutAnswer(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(100, 5)
		log, store := newMemLog(records[:50]...), newMemStore()
		p, _ := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 50)
		store.mu.Lock()
		store.plan = func(step string, n int) fault {
			if step == "commit" || step == "checkpoint" {
				return hangs
			}
			return works
		}
		store.mu.Unlock()
		log.append(records[50:]...)
		<-time.After(8 * time.Second)
		if s := p.Status(); s.State == projector.RunLive || s.Waiting == "" || s.WaitingSeconds < 5 {
			t.Errorf("Status() after 8 s without an answer = %+v; want not live, and what is waited for", s)
		}
		<-time.After(60 * time.Second)
		store.mu.Lock()
		n := store.counts["acquire"]
		store.plan = nil
		store.mu.Unlock()
		if n < 2 {
			t.Errorf("the store was acquired %d times; want again after a minute without an answer", n)
		}
		reach(t, store, 100)
		sameView(t, store.view(), expect(records))
	})
}

// An entity that can't leave the view stays as it is, and costs a few refolds.
func TestEraseFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		log, store, registry := newMemLog(), newMemStore(), prometheus.NewRegistry()
		for i, session := range []string{"bad", "good"} {
			log.append(at(began, record(2*i, session, "started")), at(began, record(2*i+1, session, "ended")))
		}
		start(t, projector.Config{Projection: toy{eraseOn: "bad"}, Source: log, Store: store, MaxAge: time.Minute, Registerer: registry})
		reach(t, store, 4)
		settled(t, store, began.Add(time.Second))
		<-time.After(time.Minute)
		if !gone(store, "good") || gone(store, "bad") {
			t.Errorf("view = %v; want the session alone that can't be erased", store.view())
		}
		log.append(at(time.Now(), record(4, "bad", "joined:p")), at(time.Now(), record(5, "new", "started")))
		reach(t, store, 6)
		if _, ok := store.parked[5]; !ok || len(store.parked) != 1 {
			t.Errorf("parked = %+v; want the late record of the session that can't be written", store.parked)
		}
		for name, most := range map[string]float64{"rollcall_projector_refolds_total": 5, "rollcall_projector_broken_entities_total": 1} {
			if got := counter(t, registry, name); got < 1 || got > most {
				t.Errorf("%s = %v; want between 1 and %v", name, got, most)
			}
		}
	})
}

func counter(t *testing.T, r *prometheus.Registry, name string) float64 {
	t.Helper()
	all, err := r.Gather()
	if err != nil {
		t.Fatalf("Gather() = %v", err)
	}
	for _, m := range all {
		if m.GetName() == name {
			return m.GetMetric()[0].GetCounter().GetValue()
		}
	}
	return 0
}

// A generation that failed while it was kept for a rollback is followed again.
func TestFailedGenerationIsFollowedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		m := &machine{id: "p"}
		store, source, fold := scriptedStore{w, m}, scriptedSource{w, m}, twin{name: "v"}
		w.append(script(50, 5)...)
		if _, err := store.Ensure(t.Context(), "v", "v1"); err != nil {
			t.Fatal(err)
		}
		w.views["v"].add("v1", projector.GenerationRetired).ill = time.Now().Add(2 * time.Second)
		p, err := projector.New(projector.Config{Projection: fold, Source: source, Store: store})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		<-time.After(3 * time.Second) // it has failed, and would not any more
		if _, err := store.Promote(t.Context(), "v", 2); err != nil {
			t.Fatalf("Promote() = %v", err)
		}
		<-time.After(3 * time.Second)
		if got := w.views["v"].generations[2].sequence(); got != 50 || p.Status().State != projector.RunLive {
			t.Errorf("generation 2 holds record %d, Status() = %+v; want 50, live", got, p.Status())
		}
		cancel()
		if err := <-done; err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// A generation that is behind is not promoted unless that is asked for.
func TestBehind(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		m := &machine{id: "p"}
		store, source, fold := scriptedStore{w, m}, scriptedSource{w, m}, twin{name: "v"}
		w.append(script(50, 5)...)
		if _, err := projector.Rebuild(t.Context(), projector.RebuildConfig{Projection: fold, Source: source, Registry: store}); err != nil {
			t.Fatalf("Rebuild() = %v", err)
		}
		for _, c := range []struct {
			name string
			do   func(context.Context, projector.Switch, string, string) (projector.Rebuilt, error)
			want error
		}{{"Rollback", projector.Rollback, projector.ErrBehind}, {"ForceRollback", projector.ForceRollback, nil}} {
			_, err := c.do(t.Context(), store, "v", "v1")
			if !errors.Is(err, c.want) {
				t.Errorf("%s() to a generation that nobody follows = %v; want %v", c.name, err, c.want)
			}
			if err != nil && !strings.Contains(err.Error(), "--force") {
				t.Errorf("%s() = %v; want it to name the way out", c.name, err)
			}
		}
		if v := w.views["v"]; v.alias != 1 {
			t.Errorf("live generation = %d; want 1", v.alias)
		}
	})
}

// An unfinished generation that was folded from a past that the log has lost does
// not stand in the way of a rebuild.
func TestRebuildOverLostTail(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		m := &machine{id: "p"}
		store, source, fold := scriptedStore{w, m}, scriptedSource{w, m}, twin{name: "v"}
		records := script(60, 5)
		w.append(records[:50]...)
		held, cancel := context.WithTimeout(t.Context(), 5*time.Second)
		defer cancel()
		if _, err := projector.Rebuild(held, projector.RebuildConfig{Projection: fold, Source: source, Registry: store, Hold: true}); !errors.Is(err, context.DeadlineExceeded) {
			t.Fatalf("Rebuild() with Hold = %v; want to be stopped while it waits", err)
		}
		w.loseTail(10)
		w.append(records[50:]...)
		if _, err := projector.Rebuild(t.Context(), projector.RebuildConfig{Projection: fold, Source: source, Registry: store}); err != nil {
			t.Fatalf("Rebuild() after a lost tail = %v; want nil", err)
		}
		v := w.views["v"]
		if got := v.generations[v.alias].stream.now().docs; !maps.Equal(got, expect(w.records())) {
			t.Errorf("view = %v; want a fold of the log", got)
		}
	})
}

// A record that took the sequence of one that failed its fold is folded.
func TestPoisonIsOfAnEvent(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		w := newWorld(1)
		m := &machine{id: "p"}
		records := script(21, 1)
		w.append(records[:5]...)
		fold := twin{toy: toy{panicOn: records[9].EventID}, name: "v"}
		p, err := projector.New(projector.Config{Projection: fold, Source: scriptedSource{w, m}, Store: scriptedStore{w, m}})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		done := make(chan error, 1)
		go func() { done <- p.Run(ctx) }()
		<-time.After(time.Second)
		// The failure is known, and no lease comes to a commit for a while.
		w.trouble("p/load", window{until: time.Now().Add(10 * time.Second), percent: 100, only: fails})
		w.append(records[5:10]...)
		<-time.After(9 * time.Second)
		w.loseTail(1)
		w.append(records[10])
		<-time.After(time.Minute)
		cancel()
		err = <-done
		if s := w.views["v"].generations[1].stream.now(); err != nil || len(s.parked) != 0 || s.cp.Sequence != 10 {
			t.Errorf("Run() = %v, parked = %v at record %d; want none at 10, which is another record now", err, s.parked, s.cp.Sequence)
		}
	})
}
