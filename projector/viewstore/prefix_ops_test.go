package viewstore_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// prefixesOfSurgery parks a record and settles it, damages the view and repairs it.
// Whoever breaks off in between, the same commands again finish the work.
func prefixesOfSurgery(t *testing.T, stride func(*prefixBed, *recording) int) {
	all := records(32, 5)
	b := newPrefixBed(t)
	for i := range all {
		b.append(t, all[i])
	}
	fold, ctx := sessionsFold(), testContext(t)
	at := slices.IndexFunc(all, func(r eventlog.Record) bool { return r.Type == "meeting.participantLeft" })
	if _, err := b.store.Ensure(ctx, fold.Name(), fold.Version()); err != nil {
		t.Fatal(err)
	}
	r := record(t, b.js, viewstore.Bucket(fold.Name(), 1))
	if err := b.project(ctx, projector.Config{Projection: touchy{fold, all[at].EventID}, BatchEntities: 2}); err != nil {
		t.Fatal(err)
	}
	surgery := func(v eventlog.Fold) projector.MaintenanceConfig {
		return projector.MaintenanceConfig{Projection: v, Source: b.log, Store: b.store}
	}
	if n, err := projector.RetryParked(ctx, surgery(fold)); n != 1 || err != nil {
		t.Fatalf("RetryParked() = %d, %v; want 1", n, err)
	}
	want := plain(fold, all)
	r.end(t, b.js)
	whole := len(r.all)
	keys := slices.Sorted(maps.Keys(want))
	for key, value := range map[string]string{keys[0]: `{"wrong":1}`, keys[1]: "", "live.nobody": `{}`} {
		if _, err := b.js.Publish(ctx, "$KV."+r.bucket+"."+key, []byte(value)); err != nil {
			t.Fatal(err)
		}
	}
	repair := func(ctx context.Context, v eventlog.Fold) error {
		found, err := projector.Verify(ctx, projector.VerifyConfig{Projection: v, Source: b.log, Viewer: b.store})
		if err == nil {
			_, err = projector.Repair(ctx, surgery(v), found.Differences)
		}
		return err
	}
	if err := repair(ctx, fold); err != nil {
		t.Fatal(err)
	}
	for what, from := range map[string]int{"parked": 0, "repair": whole} {
		to := whole
		if from > 0 {
			to = 0
		}
		t.Run(what, func(t *testing.T) {
			b.every(t, r, prefixes{fold: named{fold, what}, from: from, to: to, stride: stride(b, r)}, func(ctx context.Context, v eventlog.Fold) error {
				if err := b.project(ctx, projector.Config{Projection: v}); err != nil {
					return err
				}
				if _, err := projector.RetryParked(ctx, surgery(v)); err != nil || from == 0 {
					return err
				}
				return repair(ctx, v)
			}, want)
		})
	}
}

// prefixesOfDrops has sessions leave the view by their age.
func prefixesOfDrops(t *testing.T, stride func(*prefixBed, *recording) int) {
	now := time.Now()
	all, _ := aged(t, 6, now)
	const age = 150 * time.Minute
	b := newPrefixBed(t)
	for i := range all {
		b.append(t, all[i])
	}
	fold, ctx := sessionsFold(), testContext(t)
	settle := func(ctx context.Context, v eventlog.Fold) error {
		p, err := projector.New(projector.Config{Projection: v, Source: b.log, Store: b.store, MaxAge: age})
		if err != nil {
			return err
		}
		inner, cancel := context.WithCancel(ctx)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- p.Run(inner) }()
		for tick(ctx, 5*time.Millisecond) {
			cp, err := b.store.Checkpoint(ctx, viewstore.Bucket(v.Name(), 1))
			if err == nil && cp.Sequence >= b.last && cp.Horizon >= eventlog.TimeOf(now.Add(-age-4*time.Minute)) && cp.Sweeping == 0 {
				cancel()
				return <-done
			}
		}
		return ctx.Err()
	}
	if _, err := b.store.Ensure(ctx, fold.Name(), fold.Version()); err != nil {
		t.Fatal(err)
	}
	r := record(t, b.js, viewstore.Bucket(fold.Name(), 1))
	if err := b.project(ctx, projector.Config{Projection: fold, BatchEntities: 2}); err != nil {
		t.Fatal(err)
	}
	if err := settle(ctx, fold); err != nil {
		t.Fatal(err)
	}
	want, err := b.documents(ctx, fold.Name())
	if err != nil || len(want) == 0 || len(want) == 6 {
		t.Fatalf("%d sessions stay, %v; want some of 6", len(want), err)
	}
	b.every(t, r, prefixes{fold: fold, stride: stride(b, r)}, settle, want)
}

// prefixesOfCarry begins a rebuild with --carry again, wherever it broke off.
func prefixesOfCarry(t *testing.T, stride func(*prefixBed, *recording) int) {
	all := records(33, 5)
	b := newPrefixBed(t)
	fold, ctx := sessionsFold(), testContext(t)
	if _, err := b.store.Ensure(ctx, fold.Name(), fold.Version()); err != nil {
		t.Fatal(err)
	}
	live := record(t, b.js, viewstore.Bucket(fold.Name(), 1))
	for i := range all {
		b.append(t, all[i])
	}
	if err := b.project(ctx, projector.Config{Projection: fold}); err != nil {
		t.Fatal(err)
	}
	live.end(t, b.js)
	half := b.last / 2
	log, err := b.js.Stream(ctx, eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	config := log.CachedInfo().Config
	config.MaxMsgs = int64(b.last - half)
	if _, err := b.js.UpdateStream(ctx, config); err != nil {
		t.Fatal(err)
	}
	stage := func(ctx context.Context, v eventlog.Fold) (projector.Generation, error) {
		return b.store.Stage(ctx, v.Name(), v.Version())
	}
	carry := func(ctx context.Context, v eventlog.Fold) error {
		_, err := projector.Rebuild(ctx, projector.RebuildConfig{Projection: v, Source: b.log, Registry: b.store, Carry: true, ColdAfter: 3, CacheBytes: 1})
		return err
	}
	next, err := stage(ctx, fold)
	if err != nil {
		t.Fatal(err)
	}
	r := record(t, b.js, next.Bucket)
	if err := carry(ctx, fold); err != nil {
		t.Fatal(err)
	}
	r.end(t, b.js)
	carried := slices.IndexFunc(r.all, func(m *nats.Msg) bool {
		return strings.HasSuffix(m.Subject, ".checkpoint") && strings.Contains(string(m.Data), fmt.Sprintf(`"sequence":%d,`, half))
	})
	if carried < 0 {
		t.Fatal("no checkpoint of the carry")
	}
	b.every(t, live, prefixes{fold: fold, stride: 1, plays: len(r.all) / stride(b, r)}, func(ctx context.Context, v eventlog.Fold) error {
		g, err := stage(ctx, v)
		if err != nil {
			return err
		}
		n := prefixOf(v) * stride(b, r)
		if err := r.replay(ctx, b.js, g.Bucket, n); err != nil {
			return err
		}
		if n > carried {
			g.State, g.Sealed = projector.GenerationCatchingUp, half
			if _, err := b.store.Save(ctx, g); err != nil {
				return err
			}
		}
		return carry(ctx, v)
	}, plain(fold, all))
}
