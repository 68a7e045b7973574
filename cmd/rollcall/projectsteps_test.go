package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// stepBed is a server of its own, a log that grows, and projectors that nobody
// kills: they stand for whoever goes on after a kill.
type stepBed struct {
	url   string
	js    jetstream.JetStream
	log   *natslog.Log
	store *viewstore.Store
	next  func() (eventlog.Record, bool)
	last  eventlog.Seq
	types map[string]bool // of events that the log holds
	dice  *rand.Rand
}

func newStepBed(t *testing.T, seed uint64) *stepBed {
	t.Helper()
	t.Logf("seed %d", seed)
	b := &stepBed{dice: rand.New(rand.NewPCG(seed, 0))}
	b.url, _ = plainNATS(t, t.TempDir(), "0")
	_, b.js = dial(t, b.url)
	var err error
	if b.log, err = eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), b.js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(b.log.Close)
	if b.store, err = viewstore.Open(t.Context(), b.js, viewstore.Config{LeaseTTL: stepLease, Timeout: time.Minute}); err != nil {
		t.Fatal(err)
	}
	next, stop := iter.Pull(traffic.Records(traffic.Config{Seed: seed, Shuffle: true, Duplicates: 0.1, SessionsPerMinute: 60}))
	t.Cleanup(stop)
	b.next, b.types = next, map[string]bool{}
	// Of every view there is something to lose.
	for b.feed(t, 100); !b.types["livestreaming.statusUpdate"] || !b.types["recording.statusUpdate"] || !b.types["meeting.chatSynced"]; {
		b.feed(t, 50)
	}
	return b
}

// feed appends records to the log.
func (b *stepBed) feed(t *testing.T, n int) {
	t.Helper()
	for range n {
		r, _ := b.next()
		a, err := eventlogtest.Made(func() (eventlog.Appended, error) { return b.log.Append(t.Context(), &r) })
		if err != nil {
			t.Fatal(err)
		}
		b.last, b.types[r.Type] = max(b.last, a.Seq), true
	}
}

// team starts the projectors that go on; stop ends them in order.
func (b *stepBed) team(t *testing.T) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() {
		done <- runTeam(ctx, b.log, b.store, func(f eventlog.Fold) eventlog.Fold { return f })
	}()
	return func() {
		cancel()
		if err := <-done; err != nil {
			t.Errorf("projectors that go on: %v; want no error", err)
		}
	}
}

// settled waits until every view holds every record and verifies all of them.
// It returns how many are wrong, and their take-overs.
func (b *stepBed) settled(t *testing.T) (wrong int, epochs uint64) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for _, fold := range allFolds() {
		for {
			alias, err := b.store.Alias(ctx, fold.Name())
			var cp projector.Checkpoint
			if err == nil {
				cp, err = b.store.Checkpoint(ctx, alias.Bucket)
			}
			if err == nil && cp.Sequence >= b.last {
				epochs += cp.Epoch
				break
			}
			if wire.Pause(ctx, 10*time.Millisecond) != nil {
				t.Fatalf("view %s is at record %d, %v; want %d", fold.Name(), cp.Sequence, err, b.last)
			}
		}
		v := b.verify(t, fold)
		if len(v.Differences) > 0 || v.Parked > 0 {
			wrong++
			t.Errorf("view %s: %d parked, differences %+v; want none", v.View, v.Parked, v.Differences)
		}
	}
	return wrong, epochs
}

func (b *stepBed) verify(t *testing.T, fold eventlog.Fold) projector.Verified {
	t.Helper()
	v, err := eventlogtest.Made(func() (projector.Verified, error) {
		return projector.Verify(t.Context(), projector.VerifyConfig{Projection: fold, Source: b.log, Viewer: b.store})
	})
	if err != nil {
		t.Fatalf("verify %s: %v", fold.Name(), err)
	}
	return v
}

// kill runs the task in a process of its own until it has killed itself.
func (b *stepBed) kill(t *testing.T, s projectStep, view string, growing bool) {
	t.Helper()
	at := s.first + b.dice.IntN(max(1, s.spread))
	if err := eventlogtest.Steadily(func() error { return b.killed(t, s, view, growing, at) }); err != nil {
		t.Fatal(err)
	}
}

// killed is kill at one time that the step is reached.
func (b *stepBed) killed(t *testing.T, s projectStep, view string, growing bool, at int) error {
	t.Helper()
	p := start(t, s.String(), "failing-projector", b.url, view, s.String(), fmt.Sprint(at))
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for wire.Pause(ctx, 30*time.Millisecond) == nil {
		select {
		case <-p.ended:
			if status, ok := p.cmd.ProcessState.Sys().(syscall.WaitStatus); !ok || status.Signal() != syscall.SIGKILL {
				return fmt.Errorf("%s, at time %d: the process ended with %v; want it killed\n%s", s, at, p.cmd.ProcessState, p.log)
			}
			return nil
		default:
		}
		if growing {
			b.feed(t, 5)
		}
	}
	return fmt.Errorf("%s: step was not reached %d times", s, at)
}

// hit kills a process at a step, does what an operator does next, and verifies
// every view.
func (b *stepBed) hit(t *testing.T, s projectStep, view string) (wrong int, epochs uint64) {
	t.Helper()
	if s.task == "project" {
		b.kill(t, s, view, true)
		defer b.team(t)()
		return b.settled(t)
	}
	defer b.team(t)()
	b.settled(t)
	before := b.prepare(t, s, view)
	b.kill(t, s, view, false)
	b.resume(t, s, view, before)
	return b.settled(t)
}

// prepare makes what the task works on and returns the active generation.
func (b *stepBed) prepare(t *testing.T, s projectStep, view string) int {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	fold, err := foldOf(view)
	if err != nil {
		t.Fatal(err)
	}
	c := projector.RebuildConfig{Projection: fold, Source: b.log, Registry: b.store}
	switch s.task {
	case "promote", "abort":
		c.Hold = true
		c.Progress = func(p projector.Progress) {
			if p.State == projector.GenerationReady {
				cancel()
			}
		}
		_, err = projector.Rebuild(ctx, c)
		if errors.Is(err, context.Canceled) {
			err = nil
		}
	case "rollback", "drop":
		_, err = projector.Rebuild(ctx, c)
	case "repair":
		err = b.tamper(t.Context(), view)
	}
	if err != nil {
		t.Fatalf("prepare %s: %v", s, err)
	}
	alias, err := b.store.Alias(t.Context(), view)
	if err != nil {
		t.Fatal(err)
	}
	return alias.Generation
}

// tamper spoils a document of the active view.
func (b *stepBed) tamper(ctx context.Context, view string) error {
	alias, err := b.store.Alias(ctx, view)
	if err != nil {
		return err
	}
	kv, err := b.js.KeyValue(ctx, alias.Bucket)
	if err != nil {
		return err
	}
	keys, err := kv.Keys(ctx)
	if err != nil {
		return err
	}
	_, err = kv.PutString(ctx, slices.Min(keys), `{"tampered":true}`)
	return err
}

// resume is the operator who finds what the kill left: the same command again
// works, or says that nothing is left to do where that is so.
func (b *stepBed) resume(t *testing.T, s projectStep, view string, before int) {
	t.Helper()
	alias, err := b.store.Alias(t.Context(), view)
	if err != nil {
		t.Fatal(err)
	}
	switch s.task {
	case "promote", "rollback": // the kill came when the alias was written
		if alias.Generation == before {
			t.Errorf("%s: generation %d is active; want the other one", s, before)
		}
	default:
		if err := operate(t.Context(), s.task, view, b.log, b.store); err != nil {
			t.Errorf("%s: the command again = %v; want no error", s, err)
		}
	}
	all, err := b.store.Generations(t.Context(), view)
	if err != nil {
		t.Fatal(err)
	}
	if len(all) > 1 {
		if err := operate(t.Context(), "drop", view, b.log, b.store); err != nil {
			t.Errorf("%s: drop afterwards = %v; want no error", s, err)
		}
	}
	if all, err = b.store.Generations(t.Context(), view); err != nil || len(all) != 1 {
		t.Errorf("%s: generations = %+v, %v; want one", s, all, err)
	}
}

// TestProjectorSteps kills a projector at the steps that are hardest to get
// right; TestChaosProjectorSteps does it at all of them, again and again.
func TestProjectorSteps(t *testing.T) {
	if testing.Short() {
		t.Skip("starts six processes")
	}
	t.Parallel()
	b := newStepBed(t, 1)
	hard := "project: commit half published, project: commit acknowledged, rebuild: bucket made, " +
		"rebuild: alias written, the old one not yet retired, abort: registry says failed, repair: half published"
	for _, s := range projectSteps() {
		if strings.Contains(hard, s.String()) {
			b.hit(t, s, "sessions")
		}
	}
}
