package viewstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"slices"
	"strings"
	"testing"
	"time"
)

// sessionsFold is the fold that these tests rebuild.
func sessionsFold() eventlog.Fold { return projections.All()[0] }

// deployment is a server with a log, a live projector and a store.
type deployment struct {
	node  *eventlogtest.Node
	log   *natslog.Log
	store *viewstore.Store
	fold  eventlog.Fold
	live  *projector.Projector
	stop  func() error
}

func deploy(t *testing.T, all []eventlog.Record) *deployment {
	t.Helper()
	return deployWith(t, all, sessionsFold(), 0)
}

func deployWith(t *testing.T, all []eventlog.Record, fold eventlog.Fold, lease time.Duration) *deployment {
	t.Helper()
	d := &deployment{node: eventlogtest.Server(t), fold: fold}
	d.log = fill(t, d.node.JetStream(t), all)
	d.store = open(t, d.node.JetStream(t), viewstore.Config{Exclusive: true, LeaseTTL: lease})
	d.live, d.stop = run(t, projector.Config{Projection: d.fold, Source: d.log, Store: d.store})
	t.Cleanup(func() { _ = d.stop() })
	reached(t, d.store, d.fold.Name(), eventlog.Seq(len(all)))
	return d
}

func (d *deployment) rebuild(t *testing.T, ctx context.Context, change func(*projector.RebuildConfig)) (projector.Rebuilt, error) {
	t.Helper()
	c := projector.RebuildConfig{Projection: d.fold, Source: d.log, Registry: d.store}
	if change != nil {
		change(&c)
	}
	return projector.Rebuild(ctx, c)
}

func (d *deployment) append(t *testing.T, all []eventlog.Record) eventlog.Seq {
	t.Helper()
	var last eventlog.Seq
	for i := range all {
		a, err := d.log.Append(testContext(t), &all[i])
		if err != nil {
			t.Fatalf("Append() = %v", err)
		}
		last = max(last, a.Seq)
	}
	return last
}

// generations are those of the view.
func (d *deployment) generations(t *testing.T) []projector.Generation {
	t.Helper()
	all, err := d.store.Generations(testContext(t), d.fold.Name())
	if err != nil {
		t.Fatalf("Generations() = %v", err)
	}
	return all
}

// states are a view's generations as number:state.
func (d *deployment) states(t *testing.T) map[int]projector.GenerationState {
	t.Helper()
	out := map[int]projector.GenerationState{}
	for _, g := range d.generations(t) {
		out[g.Number] = g.State
	}
	return out
}

func (d *deployment) wantStates(t *testing.T, want map[int]projector.GenerationState) {
	t.Helper()
	if got := d.states(t); !maps.Equal(got, want) {
		t.Errorf("generations = %v; want %v", got, want)
	}
}

// A rebuild under live traffic, the roll-back, and the drop, with a reader that
// follows all the time.
func TestRebuildUnderTraffic(t *testing.T) {
	t.Parallel()
	all := records(3, 200)
	cut := len(all) - 300
	d := deploy(t, all[:cut])
	done := make(chan eventlog.Seq, 1)
	go func() { done <- d.append(t, all[cut:]) }()
	var seen []projector.GenerationState
	out, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) {
		c.Progress = func(p projector.Progress) {
			if n := len(seen); n == 0 || seen[n-1] != p.State {
				seen = append(seen, p.State)
			}
		}
	})
	if err != nil {
		t.Fatalf("Rebuild() = %v", err)
	}
	t.Logf("pause %v, %d records, %d keys announced, states %v", out.Pause, out.Records, out.Changed, seen)
	last := <-done
	reached(t, d.store, d.fold.Name(), last)
	want := plain(d.fold, all)
	wantView(t, d.store, d.fold.Name(), want)
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationRetired, 2: projector.GenerationLive})

	// The one before is still followed, so a roll-back loses nothing.
	more := records(4, 20)
	last = d.append(t, more)
	reached(t, d.store, d.fold.Name(), last)
	if _, err := projector.Rollback(testContext(t), d.store, d.fold.Name(), d.fold.Version()); err != nil {
		t.Fatalf("Rollback() = %v", err)
	}
	reached(t, d.store, d.fold.Name(), last)
	wantView(t, d.store, d.fold.Name(), plain(d.fold, append(all, more...)))
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationLive, 2: projector.GenerationRetired})
	if gone, err := projector.Drop(testContext(t), d.store, d.fold.Name(), d.fold.Version()); err != nil || len(gone) != 1 || gone[0].Number != 2 {
		t.Errorf("Drop() = %v, %v; want generation 2", gone, err)
	}
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationLive})
	if _, err := projector.Rollback(testContext(t), d.store, d.fold.Name(), d.fold.Version()); !errors.Is(err, projector.ErrNoGeneration) {
		t.Errorf("Rollback() without another generation = %v; want ErrNoGeneration", err)
	}
}

// counting is a fold that counts the states it was asked for, by key.
type counting struct {
	eventlog.Fold
	made map[string]int
}

func (f counting) New(key string) eventlog.State {
	f.made[key]++
	return f.Fold.New(key)
}

// What a rebuild has written and nothing changes any more it does not hold: its
// memory would grow with the log. A record that comes later still counts.
func TestRebuildDropsWhatIsCold(t *testing.T) {
	t.Parallel()
	all := records(7, 200)
	d := deploy(t, all)
	for _, cache := range []int64{0, 1} {
		fold := counting{d.fold, map[string]int{}}
		_, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) {
			c.Projection, c.CacheBytes, c.ColdAfter = fold, cache, 50
		})
		if err != nil {
			t.Fatalf("Rebuild(CacheBytes %d) = %v", cache, err)
		}
		made := 0
		for _, n := range fold.made {
			made += n
		}
		t.Logf("%d records, %d entities, %d states", len(all), len(fold.made), made)
		if made == len(fold.made) {
			t.Errorf("Rebuild(CacheBytes %d) made a state for each of %d entities once; want those dropped that are cold", cache, made)
		}
		wantView(t, d.store, d.fold.Name(), plain(d.fold, all))
	}
}

// A rebuild that ends in the middle is resumed, wherever that was; a second one
// beside it is refused.
func TestRebuildResumes(t *testing.T) {
	t.Parallel()
	all := records(5, 200)
	d := deploy(t, all)
	for i := range 4 {
		ctx, cancel := context.WithCancel(testContext(t))
		_, err := d.rebuild(t, ctx, func(c *projector.RebuildConfig) {
			c.MaxPerSecond = len(all) / 2
			c.CacheBytes = 64 << 10
			c.Progress = func(p projector.Progress) {
				if p.Sequence > eventlog.Seq(len(all)*i/6) && ctx.Err() == nil {
					if i == 2 {
						_, err := d.rebuild(t, ctx, nil)
						if !errors.Is(err, projector.ErrBusy) {
							t.Errorf("second Rebuild() = %v; want ErrBusy", err)
						}
					}
					cancel()
				}
			}
		})
		cancel()
		if !errors.Is(err, context.Canceled) {
			t.Errorf("Rebuild() = %v; want context.Canceled", err)
		}
	}
	if got := d.states(t)[2]; got != projector.GenerationCatchingUp {
		t.Errorf("generation 2 is %s; want catching-up", got)
	}
	out, err := d.rebuild(t, testContext(t), nil)
	if err != nil || out.After.Number != 2 {
		t.Fatalf("Rebuild() = %+v, %v; want generation 2 live", out, err)
	}
	wantView(t, d.store, d.fold.Name(), plain(d.fold, all))
}

func TestRebuildHoldAndPromote(t *testing.T) {
	t.Parallel()
	all := records(6, 50)
	d := deploy(t, all)
	ready := make(chan struct{})
	done := make(chan error, 1)
	go func() {
		published := false
		_, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) {
			c.Hold = true
			c.Progress = func(p projector.Progress) {
				if p.State == projector.GenerationReady && !published {
					published = true
					close(ready)
				}
			}
		})
		done <- err
	}()
	<-ready
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationLive, 2: projector.GenerationReady})
	if _, err := projector.Promote(testContext(t), d.store, d.fold.Name(), d.fold.Version()); err != nil {
		t.Errorf("Promote() = %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Rebuild() = %v; want nil after the promotion", err)
	}
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationRetired, 2: projector.GenerationLive})
	last := d.append(t, records(7, 5))
	reached(t, d.store, d.fold.Name(), last)
}

func TestRebuildAbort(t *testing.T) {
	t.Parallel()
	d := deploy(t, records(8, 100))
	_, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) {
		c.MaxPerSecond = 300
		aborted := false
		c.Progress = func(p projector.Progress) {
			if p.State == projector.GenerationCatchingUp && !aborted {
				aborted = true
				if _, err := projector.Abort(testContext(t), d.store, d.fold.Name(), d.fold.Version()); err != nil {
					t.Errorf("Abort() = %v", err)
				}
			}
		}
	})
	if !errors.Is(err, projector.ErrAborted) {
		t.Errorf("Rebuild() = %v; want ErrAborted", err)
	}
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationLive})
}

// trim leaves the log its last n records.
func trim(t *testing.T, d *deployment, n int) {
	t.Helper()
	eventlogtest.Limit(t, d.node.JetStream(t), eventlog.Stream, int64(n))
}

// A log that lost its beginning is not enough for a new generation.
func TestRebuildOfATrimmedLog(t *testing.T) {
	t.Parallel()
	all := records(9, 80)
	d := deploy(t, all)
	trim(t, d, len(all)-len(all)/2+1)
	if _, err := d.rebuild(t, testContext(t), nil); !errors.Is(err, eventlog.ErrTrimmed) {
		t.Fatalf("Rebuild() = %v; want ErrTrimmed", err)
	}
	out, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) { c.Carry = true })
	if err != nil {
		t.Fatalf("Rebuild(Carry) = %v", err)
	}
	if out.Carried == 0 || out.After.Sealed != eventlog.Seq(len(all)/2-1) {
		t.Errorf("Rebuild(Carry) = %d values, sealed to %d; want some, to %d", out.Carried, out.After.Sealed, len(all)/2-1)
	}
	wantView(t, d.store, d.fold.Name(), plain(d.fold, all))
}

// TestDeletedAlias deletes and purges the alias: the projector puts the same
// live generation again, also where that is not the first.
func TestDeletedAlias(t *testing.T) {
	t.Parallel()
	all := records(3, 8)
	d := deploy(t, all)
	if _, err := d.rebuild(t, testContext(t), nil); err != nil {
		t.Fatalf("Rebuild() = %v; want no error", err)
	}
	before, err := d.store.Alias(testContext(t), d.fold.Name())
	if err != nil || before.Generation != 2 {
		t.Fatalf("Alias() = %+v, %v; want generation 2", before, err)
	}
	kv, err := d.node.JetStream(t).KeyValue(testContext(t), viewstore.Control)
	if err != nil {
		t.Fatal(err)
	}
	for i, remove := range []func() error{
		func() error { return kv.Delete(testContext(t), "alias."+d.fold.Name()) },
		func() error { return kv.Purge(testContext(t), "alias."+d.fold.Name()) },
	} {
		if err := remove(); err != nil {
			t.Fatal(err)
		}
		var after viewstore.Alias
		ctx := testContext(t)
		for after, err = d.store.Alias(ctx, d.fold.Name()); errors.Is(err, viewstore.ErrNoView) && tick(ctx, time.Millisecond); {
			after, err = d.store.Alias(ctx, d.fold.Name())
		}
		if err != nil || after.Bucket != before.Bucket || after.Version != before.Version || after.Epoch <= before.Epoch {
			t.Errorf("removal %d: Alias() = %+v, %v; want %s again, of a later epoch than %d", i, after, err, before.Bucket, before.Epoch)
		}
		before = after
	}
	more := records(4, 3)
	last := d.append(t, more)
	reached(t, d.store, d.fold.Name(), last)
}

// TestRebuildAfterDropAndAbort stages again after the highest generation was
// dropped, and after it was aborted.
func TestRebuildAfterDropAndAbort(t *testing.T) {
	t.Parallel()
	d := deploy(t, records(3, 8))
	view, version := d.fold.Name(), d.fold.Version()
	if _, err := d.rebuild(t, testContext(t), nil); err != nil {
		t.Fatalf("Rebuild() = %v; want no error", err)
	}
	if _, err := projector.Rollback(testContext(t), d.store, view, version); err != nil {
		t.Fatalf("Rollback() = %v; want no error", err)
	}
	if _, err := projector.Drop(testContext(t), d.store, view, version); err != nil {
		t.Fatalf("Drop() = %v; want no error", err)
	}
	g, err := d.store.Stage(testContext(t), view, version)
	if err != nil || g.Number != 3 {
		t.Fatalf("Stage() after a drop = %d, %v; want generation 3", g.Number, err)
	}
	if _, err := projector.Abort(testContext(t), d.store, view, version); err != nil {
		t.Fatalf("Abort() = %v; want no error", err)
	}
	done, err := d.rebuild(t, testContext(t), nil)
	if err != nil || done.After.Number != 4 {
		t.Fatalf("Rebuild() after an abort = %d, %v; want generation 4", done.After.Number, err)
	}
}

// TestDropRightAfterARebuild drops the generation that was live before its
// projector has seen that another one is.
func TestDropRightAfterARebuild(t *testing.T) {
	t.Parallel()
	d := deployWith(t, records(3, 8), sessionsFold(), 300*time.Millisecond)
	for i := range 3 {
		if _, err := d.rebuild(t, testContext(t), nil); err != nil {
			t.Fatalf("Rebuild() = %v; want no error", err)
		}
		if _, err := projector.Drop(testContext(t), d.store, d.fold.Name(), d.fold.Version()); err != nil {
			t.Fatalf("Drop() = %v; want no error", err)
		}
		last := d.append(t, records(uint64(30+i), 2))
		ctx, cancel := context.WithTimeout(testContext(t), patience)
		defer cancel()
		for {
			alias, err := d.store.Alias(ctx, d.fold.Name())
			if err != nil {
				t.Fatal(err)
			}
			if cp, err := d.store.Checkpoint(ctx, alias.Bucket); err == nil && cp.Sequence >= last {
				break
			}
			if !tick(ctx, 5*time.Millisecond) {
				t.Fatalf("the view's projector is %+v; want it to follow %s", d.live.Status(), alias.Bucket)
			}
		}
	}
}

// TestAnnounceTellsTheLastCommitAgain: the writer of a generation asks after a
// commit whether it is live; where the alias moved in between it publishes
// nobody, so that the one who moved it must, of deleted keys too.
func TestAnnounceTellsTheLastCommitAgain(t *testing.T) {
	t.Parallel()
	for _, keys := range []int{0, 1} { // in one pass, and in as many as there are keys
		t.Run(fmt.Sprintf("AnnounceKeys=%d", keys), func(t *testing.T) { announceLastCommit(t, keys) })
	}
}

func announceLastCommit(t *testing.T, keys int) {
	node := eventlogtest.Server(t)
	s := open(t, node.JetStream(t), viewstore.Config{AnnounceKeys: keys})
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatal(err)
	}
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	for _, number := range []int{1, g.Number} {
		o := acquire(t, s, projector.LeaseRequest{Generation: number})
		commit(t, o, 1, "a", "1", "b", "1", "c", "1", "d", "1")
		commit(t, o, 2, "d", "-")
		commit(t, o, 3, "b", "2", "c", "-")
	}
	g.State = projector.GenerationReady
	if g, err = s.Save(testContext(t), g); err != nil {
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
	p, err := s.Promote(testContext(t), "toy", g.Number)
	if err != nil {
		t.Fatalf("Promote() = %v; want no error", err)
	}
	if n, err := s.Announce(testContext(t), p); err != nil || n != 0 {
		t.Errorf("Announce() = %d, %v; want 0: no key differs", n, err)
	}
	published := map[string]string{}
	for range 2 {
		m, err := sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatal(err)
		}
		published[m.Subject] = string(m.Data) + m.Header.Get("KV-Operation")
	}
	if want := map[string]string{"rollcall.views.toy.b": "2", "rollcall.views.toy.c": "DEL"}; !maps.Equal(published, want) {
		t.Errorf("published = %v; want %v", published, want)
	}
}

// A rebuild does not go on with what another version of the fold has begun.
func TestRebuildOfAnotherVersion(t *testing.T) {
	d := deploy(t, records(12, 20))
	if _, err := d.store.Stage(testContext(t), d.fold.Name(), "another"); err != nil {
		t.Fatal(err)
	}
	if _, err := d.rebuild(t, testContext(t), nil); !errors.Is(err, projector.ErrBusy) || !strings.Contains(err.Error(), "rollcall abort") {
		t.Errorf("Rebuild() beside the staging of another version = %v; want %v that says how to end it", err, projector.ErrBusy)
	}
	d.wantStates(t, map[int]projector.GenerationState{1: projector.GenerationLive, 2: projector.GenerationStaging})
}

// trimmedMeanwhile is a registry beside a log that a limit shortens: carry and
// begin say by how many records while it is carried, and when a generation is acquired.
type trimmedMeanwhile struct {
	projector.Registry
	trim         func(records int)
	carry, begin []int // of each time
}

func (r *trimmedMeanwhile) next(times *[]int) {
	if len(*times) > 0 {
		r.trim((*times)[0])
		*times = (*times)[1:]
	}
}

func (r *trimmedMeanwhile) Carry(ctx context.Context, from, to projector.Generation) (int, error) {
	n, err := r.Registry.Carry(ctx, from, to)
	r.next(&r.carry)
	return n, err
}

func (r *trimmedMeanwhile) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	r.next(&r.begin)
	return r.Registry.Acquire(ctx, c)
}

// TestCarryWhileTheLogIsTrimmed: a limit that removes records all the time keeps
// nobody from copying what the view holds of them.
func TestCarryWhileTheLogIsTrimmed(t *testing.T) {
	t.Parallel()
	all := records(9, 80)
	for name, c := range map[string]struct {
		carry, begin []int
		sealed       int // records after those that were gone before
	}{
		"while it is copied":            {carry: []int{7}, sealed: 14},
		"and before the fold begins":    {carry: []int{7}, begin: []int{0, 7}, sealed: 14},
		"more than while it was copied": {carry: []int{7, 1}, begin: []int{0, 20, 0}, sealed: 7 + 20 + 1 + 1},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deploy(t, all)
			left := len(all) / 2
			trim(t, d, left)
			_, err := d.rebuild(t, testContext(t), func(b *projector.RebuildConfig) {
				b.Carry = true
				b.Registry = &trimmedMeanwhile{Registry: b.Registry, carry: c.carry, begin: c.begin, trim: func(n int) {
					left -= n
					trim(t, d, left)
				}}
			})
			if err != nil {
				t.Fatalf("Rebuild(Carry) = %v", err)
			}
			live := slices.MaxFunc(d.generations(t), func(a, b projector.Generation) int { return a.Number - b.Number })
			if want := eventlog.Seq(len(all) - len(all)/2 + c.sealed); live.State != projector.GenerationLive || live.Sealed != want {
				t.Errorf("generation %d is %s, sealed to %d; want live, to %d", live.Number, live.State, live.Sealed, want)
			}
			wantView(t, d.store, d.fold.Name(), plain(d.fold, all))
		})
	}
}

// TestCarryOfALogThatIsGone: where the log is removed faster than it is read, a
// rebuild ends, and says so.
func TestCarryOfALogThatIsGone(t *testing.T) {
	t.Parallel()
	all := records(9, 80)
	d := deploy(t, all)
	left := len(all) / 2
	trim(t, d, left)
	registry := &trimmedMeanwhile{Registry: d.store, begin: []int{0, 9, 0, 9, 0, 9, 0, 9, 0, 9, 0, 9}, trim: func(n int) {
		left -= n
		trim(t, d, left)
	}}
	_, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) { c.Carry, c.Registry = true, registry })
	if !errors.Is(err, eventlog.ErrTrimmed) {
		t.Errorf("Rebuild(Carry) of a log that is always gone before it is read = %v; want %v", err, eventlog.ErrTrimmed)
	}
}
