package viewstore_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// named is a fold under a name of its own, so that many cells share a server.
type named struct {
	eventlog.Fold
	name string
}

func (n named) Name() string { return n.name }

// faultCell is a step of an operation that goes wrong in one way.
type faultCell struct {
	operation string
	step      string // what is written
	subject   string // where it begins; %s is the view, and after * is how it ends
	nth       int    // at which write of it
	moment    eventlogtest.Moment
}

func (c faultCell) String() string {
	how := map[eventlogtest.Moment]string{
		eventlogtest.Never: "works", eventlogtest.Before: "fails", eventlogtest.Answered: "fails but happened", eventlogtest.Lost: "hangs",
	}
	return fmt.Sprintf("%s: %s %s", c.operation, c.step, how[c.moment])
}

// faultCells are the writes of each operation on generations, in their order,
// times what can go wrong.
func faultCells() (all []faultCell) {
	const registry, alias = "$KV.rollcall.generation.%s.", "$KV.rollcall.alias.%s"
	const create, remove = "$JS.API.STREAM.CREATE.KV_%s_g", "$JS.API.STREAM.DELETE.KV_%s_g"
	const lease, checkpoint, consumer = "$KV.rollcall.lease.%s_g", "rollcall.state.%s_g*.checkpoint", "$JS.API.CONSUMER.CREATE.KV_%s_g"
	for operation, steps := range map[string][]faultCell{
		"first start": {
			{step: "bucket", subject: create, nth: 1}, {step: "alias", subject: alias, nth: 1}, {step: "registry (live)", subject: registry, nth: 1},
			{step: "lease", subject: lease, nth: 1}, {step: "take-over", subject: checkpoint, nth: 1}, {step: "commit", subject: checkpoint, nth: 2},
		},
		"rebuild": {
			{step: "bucket", subject: create, nth: 1}, {step: "registry (staging)", subject: registry, nth: 1}, {step: "registry (catching-up)", subject: registry, nth: 2},
			{step: "lease", subject: lease, nth: 1}, {step: "take-over", subject: checkpoint, nth: 1}, {step: "commit", subject: checkpoint, nth: 2},
			{step: "registry (ready)", subject: registry, nth: 3}, {step: "alias", subject: alias, nth: 1},
			{step: "registry (retired)", subject: registry, nth: 4}, {step: "registry (live)", subject: registry, nth: 5},
		},
		"promote": {
			{step: "alias", subject: alias, nth: 1}, {step: "registry (retired)", subject: registry, nth: 1},
			{step: "registry (live)", subject: registry, nth: 2}, {step: "telling", subject: consumer, nth: 1},
		},
		"rollback": {
			{step: "alias", subject: alias, nth: 1}, {step: "registry (retired)", subject: registry, nth: 1},
			{step: "registry (live)", subject: registry, nth: 2}, {step: "telling", subject: consumer, nth: 1},
		},
		"drop": {
			{step: "registry (failed)", subject: registry, nth: 1}, {step: "bucket", subject: remove, nth: 1},
			{step: "lease", subject: lease, nth: 1}, {step: "registry (gone)", subject: registry, nth: 2},
		},
		"abort": {
			{step: "registry (failed)", subject: registry, nth: 1}, {step: "bucket", subject: remove, nth: 1},
			{step: "lease", subject: lease, nth: 1}, {step: "registry (gone)", subject: registry, nth: 2},
		},
	} {
		all = append(all, faultCell{operation: operation, step: "all", subject: "nothing"})
		for _, c := range steps {
			c.operation = operation
			for _, c.moment = range []eventlogtest.Moment{eventlogtest.Before, eventlogtest.Answered, eventlogtest.Lost} {
				all = append(all, c)
			}
		}
	}
	return all
}

// faultBed is what the cells share: a server and a log.
type faultBed struct {
	node *eventlogtest.Node
	log  *natslog.Log
	last eventlog.Seq
}

// cellRun is one cell at work on a view of its own.
type cellRun struct {
	*faultBed
	faultCell
	fold    eventlog.Fold
	healthy *viewstore.Store
	faulty  *viewstore.Store
	more    bool
	hit     atomic.Bool
	failed  func(format string, args ...any)
}

// store opens a store on a connection of its own.
func (r *cellRun) store(ctx context.Context, nc *nats.Conn, timeout time.Duration) (*viewstore.Store, error) {
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(timeout))
	if err != nil {
		return nil, err
	}
	return viewstore.Open(ctx, js, viewstore.Config{Timeout: timeout, LeaseTTL: 2 * time.Second})
}

const (
	// hangTimeout is how long a write that hangs is waited for; it must be enough
	// for one that does not.
	hangTimeout = 2 * time.Second
	// cellPatience is far more than a cell takes: some seconds.
	cellPatience = 90 * time.Second
	// cellsAtOnce is how many run side by side: most of a cell is waiting.
	cellsAtOnce = 16
)

// TestOperationFaults is the fault matrix of what an operator does: each write
// of a first start, a rebuild, a promotion, a rollback, a drop and an abort
// works, fails, fails although it happened, or is never answered. Whatever the
// command then says, the next one works, the view is right, and no reader meets
// an alias that names a generation which is not there, or not whole.
//
// It is a part of the matrix; TestChaosOperationFaults is all of it.
func TestOperationFaults(t *testing.T) {
	t.Parallel()
	runFaultCells(t, false, func(c faultCell) bool {
		switch c.step {
		case "alias":
			return true
		case "bucket":
			return c.moment == eventlogtest.Before
		case "telling":
			return c.moment == eventlogtest.Lost
		}
		return c.moment == eventlogtest.Answered && strings.HasPrefix(c.step, "registry")
	})
}

// runFaultCells runs cells side by side, and with more a rebuild after each.
func runFaultCells(t *testing.T, more bool, take func(faultCell) bool) {
	t.Helper()
	all := records(21, 4)
	bed := &faultBed{node: eventlogtest.Server(t), last: eventlog.Seq(len(all))}
	bed.log = fill(t, bed.node.JetStream(t), all)
	var wg sync.WaitGroup
	room, ran := make(chan struct{}, cellsAtOnce), 0
	for i, c := range faultCells() {
		if !take(c) {
			continue
		}
		ran++
		r := &cellRun{faultBed: bed, faultCell: c, more: more, fold: named{sessionsFold(), fmt.Sprintf("v%d", i)}}
		r.failed = func(format string, args ...any) { t.Errorf("%s: %s", c, fmt.Sprintf(format, args...)) }
		subject, suffix, _ := strings.Cut(strings.ReplaceAll(c.subject, "%s", r.fold.Name()), "*")
		count := 0
		wire := &eventlogtest.Wire{Plan: func(s string) eventlogtest.Moment {
			if !strings.HasPrefix(s, subject) || !strings.HasSuffix(s, suffix) || c.moment == eventlogtest.Never {
				return eventlogtest.Never
			}
			if count++; count != c.nth {
				return eventlogtest.Never
			}
			r.hit.Store(true)
			return c.moment
		}}
		healthy, faulty := bed.node.Connect(t), bed.node.ConnectTCP(t, nats.SetCustomDialer(wire))
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			// Like a command's, this context has no deadline of its own.
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			defer time.AfterFunc(cellPatience, cancel).Stop()
			var err1, err2 error
			timeout := cellPatience
			if c.moment == eventlogtest.Lost || c.step == "bucket" || c.step == "telling" { // whose loss shows by its time alone
				timeout = hangTimeout
			}
			r.healthy, err1 = r.store(ctx, healthy, cellPatience)
			r.faulty, err2 = r.store(ctx, faulty, timeout)
			if err := errors.Join(err1, err2); err != nil {
				r.failed("%v", err)
				return
			}
			r.run(ctx)
		})
	}
	wg.Wait()
	t.Logf("%d cells", ran)
}

// run prepares the view, lets the operation meet its fault, and looks at what
// is left.
func (r *cellRun) run(ctx context.Context) {
	followed := r.healthy
	if r.operation == "first start" {
		followed = r.faulty
	}
	live, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	wg.Go(func() { r.follow(live, followed) })
	if !r.reached(ctx) || !r.prepare(ctx) {
		return
	}
	wg.Go(func() { r.read(live) })

	before := r.states(ctx)
	err := r.operate(ctx, r.faulty)
	for err != nil && !r.hit.Load() && ctx.Err() == nil { // another request was too slow
		err = r.operate(ctx, r.faulty)
	}
	if r.moment != eventlogtest.Never && !r.hit.Load() {
		r.failed("the write was never made; want a fault at it")
	}
	if r.moment == eventlogtest.Never && err != nil {
		r.failed("the command = %v; want no error", err)
	}
	// The next command is the same one, by an operator who saw it fail.
	if err != nil {
		if again := r.operate(ctx, r.healthy); again != nil {
			r.failed("the command again = %v, after %v; want no error", again, err)
		}
	}
	if got, want := r.states(ctx), r.want(); got != want {
		r.failed("generations = %s; want %s (before: %s; the command: %v)", got, want, before, err)
	}
	if r.more {
		if _, err := projector.Rebuild(ctx, r.rebuilding(r.healthy, nil)); err != nil {
			r.failed("Rebuild() afterwards = %v; want no error", err)
		}
	}
	v, err := projector.Verify(ctx, projector.VerifyConfig{Projection: r.fold, Source: r.log, Viewer: r.healthy})
	if err != nil || len(v.Differences) > 0 || v.Parked > 0 || v.Sequence != r.last {
		r.failed("Verify() = %+v, %v; want no difference up to record %d", v, err, r.last)
	}
}

// follow is the view's projector.
func (r *cellRun) follow(ctx context.Context, s *viewstore.Store) {
	p, err := projector.New(projector.Config{Projection: r.fold, Source: r.log, Store: s})
	if err == nil {
		err = p.Run(ctx)
	}
	if err != nil {
		r.failed("Run() of the view's projector = %v; want no error", err)
	}
}

// reached waits until the view holds every record.
func (r *cellRun) reached(ctx context.Context) bool {
	for {
		if alias, err := r.healthy.Alias(ctx, r.fold.Name()); err == nil {
			if cp, err := r.healthy.Checkpoint(ctx, alias.Bucket); err == nil && cp.Sequence >= r.last {
				return true
			}
		}
		if !tick(ctx, 25*time.Millisecond) {
			r.failed("the view does not come up to record %d", r.last)
			return false
		}
	}
}

// tick waits between two looks.
func tick(ctx context.Context, d time.Duration) bool {
	select {
	case <-ctx.Done():
		return false
	case <-time.After(d):
		return true
	}
}

func (r *cellRun) rebuilding(s *viewstore.Store, progress func(projector.Progress)) projector.RebuildConfig {
	return projector.RebuildConfig{Projection: r.fold, Source: r.log, Registry: s, Progress: progress, Hold: progress != nil}
}

// prepare makes the generation that the operation is about.
func (r *cellRun) prepare(ctx context.Context) bool {
	var err error
	switch r.operation {
	case "promote", "abort":
		c, cancel := context.WithCancel(ctx)
		defer cancel()
		_, err = projector.Rebuild(c, r.rebuilding(r.healthy, func(p projector.Progress) {
			if p.State == projector.GenerationReady {
				cancel()
			}
		}))
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	case "rollback", "drop":
		_, err = projector.Rebuild(ctx, r.rebuilding(r.healthy, nil))
	}
	if err != nil {
		r.failed("prepare: %v", err)
	}
	return err == nil
}

func (r *cellRun) operate(ctx context.Context, s *viewstore.Store) (err error) {
	view, version := r.fold.Name(), r.fold.Version()
	switch r.operation {
	case "rebuild":
		_, err = projector.Rebuild(ctx, r.rebuilding(s, nil))
	case "promote":
		_, err = projector.Promote(ctx, s, view, version)
	case "rollback":
		_, err = projector.Rollback(ctx, s, view, version)
	case "drop":
		_, err = projector.Drop(ctx, s, view, version)
	case "abort":
		_, err = projector.Abort(ctx, s, view, version)
	}
	return err
}

// want are the generations after the operation.
func (r *cellRun) want() string {
	return map[string]string{
		"first start": "1 live", "rebuild": "1 retired, 2 live", "promote": "1 retired, 2 live", "rollback": "1 live, 2 retired", "drop": "2 live", "abort": "1 live",
	}[r.operation]
}

func (r *cellRun) states(ctx context.Context) string {
	all, err := r.healthy.Generations(ctx, r.fold.Name())
	if err != nil {
		return err.Error()
	}
	var texts []string
	for _, g := range all {
		texts = append(texts, fmt.Sprintf("%d %s", g.Number, g.State))
	}
	return strings.Join(texts, ", ")
}

// read is a reader that follows the alias: what it names is there, and whole.
func (r *cellRun) read(ctx context.Context) {
	for tick(ctx, 25*time.Millisecond) {
		alias, err := r.healthy.Alias(ctx, r.fold.Name())
		if err != nil {
			if ctx.Err() == nil {
				r.failed("Alias() = %v; want no error", err)
			}
			return
		}
		cp, err := r.healthy.Checkpoint(ctx, alias.Bucket)
		if err == nil && cp.Sequence >= r.last || ctx.Err() != nil {
			continue
		}
		// It may have been dropped after it was no longer live.
		now, aerr := r.healthy.Alias(ctx, r.fold.Name())
		if ctx.Err() == nil && (aerr != nil || now.Epoch == alias.Epoch) {
			r.failed("the alias names %s, which is at record %d, %v; want it at %d", alias.Bucket, cp.Sequence, err, r.last)
			return
		}
	}
}

// TestRegistryFollowsTheAlias: whoever moved the alias was killed before the
// registry knew. The next projector that looks puts that right, so that an
// alias that is deleted later comes back as it was.
func TestRegistryFollowsTheAlias(t *testing.T) {
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{})
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatal(err)
	}
	g, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	g.State = projector.GenerationReady
	if _, err := s.Save(testContext(t), g); err != nil {
		t.Fatal(err)
	}
	kv, err := js.KeyValue(testContext(t), viewstore.Control)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := kv.PutString(testContext(t), "alias.toy", `{"bucket":"toy_g2","generation":2,"version":"v1","epoch":9}`); err != nil {
		t.Fatal(err)
	}
	for key, want := range map[string]string{"generation.toy.1": `"state":"retired"`, "generation.toy.2": `"state":"live"`} {
		if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
			t.Fatal(err)
		}
		if e, err := kv.Get(testContext(t), key); err != nil || !strings.Contains(string(e.Value()), want) {
			t.Errorf("entry %s = %s, %v; want %s", key, e.Value(), err, want)
		}
	}
	if err := kv.Delete(testContext(t), "alias.toy"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Ensure(testContext(t), "toy", "v1"); err != nil {
		t.Fatal(err)
	}
	if alias, err := s.Alias(testContext(t), "toy"); err != nil || alias.Bucket != "toy_g2" {
		t.Errorf("Alias() after it was deleted = %+v, %v; want toy_g2 again", alias, err)
	}
}

// TestCarryAgain: a rebuild with --carry was killed when it had copied the
// view, which goes on changing until the rebuild is called again.
func TestCarryAgain(t *testing.T) {
	s := open(t, eventlogtest.Connect(t), viewstore.Config{})
	all, err := s.Ensure(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	next, err := s.Stage(testContext(t), "toy", "v1")
	if err != nil {
		t.Fatal(err)
	}
	o := acquire(t, s, projector.LeaseRequest{})
	commit(t, o, 1, "live.s", "1", "live.t", "1")
	for range 2 {
		if n, err := s.Carry(testContext(t), all[0], next); n != 2 || err != nil {
			t.Errorf("Carry() = %d, %v; want 2", n, err)
		}
		commit(t, o, 2, "live.s", "-", "ended.s", "2")
	}
	got := map[string]string{}
	for e, err := range s.AllFrom(testContext(t), viewstore.Alias{Bucket: next.Bucket}, "") {
		if err != nil {
			t.Fatal(err)
		}
		got[e.Key] = string(e.Value)
	}
	if want := map[string]string{"ended.s": "2", "live.t": "1"}; !maps.Equal(got, want) {
		t.Errorf("the carried view = %v; want %v", got, want)
	}
}
