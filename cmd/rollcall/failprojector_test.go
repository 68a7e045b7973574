package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// projectStep is a step of a task at which the failing projector ends itself,
// as kill -9 does: at a message on its connection, or at one of the two seams
// that have a name of their own. The program itself knows of none.
type projectStep struct {
	task   string // project, or an operator's command
	name   string
	prefix string // of the message's subject; %s is the view
	suffix string
	moment eventlogtest.Moment
	first  int // the earliest time at which it is reached that counts
	spread int // and how many later ones may be taken as well
}

// The seams that are no message.
const (
	seamFetched = "record fetched"
	seamFolded  = "record folded"
)

// projectSteps are the steps of a projector and of what an operator does.
func projectSteps() []projectStep {
	const state, documents, plain = "rollcall.state.", "$KV.%s_g", "rollcall.views."
	const lease, registry, alias = "$KV.rollcall.lease.", "$KV.rollcall.generation.%s.", "$KV.rollcall.alias.%s"
	const half, sent, answered = eventlogtest.Half, eventlogtest.Sent, eventlogtest.Answered
	return []projectStep{
		{task: "project", name: seamFetched, first: 1, spread: 60},
		{task: "project", name: seamFolded, first: 1, spread: 60},
		{task: "project", name: "lease taken", prefix: lease, moment: answered, first: 1, spread: 6},
		{task: "project", name: "take-over written", prefix: state, suffix: ".checkpoint", moment: answered, first: 1, spread: 6},
		{task: "project", name: "commit half published", prefix: state, moment: half, first: 7, spread: 80},
		{task: "project", name: "commit published", prefix: state, suffix: ".checkpoint", moment: sent, first: 7, spread: 12},
		{task: "project", name: "commit acknowledged", prefix: state, suffix: ".checkpoint", moment: answered, first: 7, spread: 12},
		{task: "project", name: "plain subjects half published", prefix: plain, moment: half, first: 2, spread: 40},
		{task: "rebuild", name: "bucket made", prefix: "$JS.API.STREAM.CREATE.KV_%s_g", moment: answered, first: 1},
		{task: "rebuild", name: "registry says staging", prefix: registry, moment: answered, first: 1},
		{task: "rebuild", name: "registry says catching-up", prefix: registry, moment: answered, first: 2},
		{task: "rebuild", name: "documents half published", prefix: documents, moment: half, first: 1, spread: 2},
		{task: "rebuild", name: "registry says ready", prefix: registry, moment: answered, first: 3},
		{task: "rebuild", name: "alias written, the old one not yet retired", prefix: alias, moment: answered, first: 1},
		{task: "rebuild", name: "the old one retired", prefix: registry, moment: answered, first: 4},
		{task: "promote", name: "alias written", prefix: alias, moment: answered, first: 1},
		{task: "rollback", name: "alias written", prefix: alias, moment: answered, first: 1},
		{task: "drop", name: "registry says failed", prefix: registry, moment: answered, first: 1},
		{task: "drop", name: "bucket gone", prefix: "$JS.API.STREAM.DELETE.KV_%s_g", moment: answered, first: 1},
		{task: "abort", name: "registry says failed", prefix: registry, moment: answered, first: 1},
		{task: "abort", name: "bucket gone", prefix: "$JS.API.STREAM.DELETE.KV_%s_g", moment: answered, first: 1},
		{task: "repair", name: "half published", prefix: documents, moment: half, first: 1},
		{task: "repair", name: "acknowledged", prefix: state, suffix: ".checkpoint", moment: answered, first: 2},
	}
}

// String names a step; the child finds it by that.
func (s projectStep) String() string { return s.task + ": " + s.name }

// stepLease is short, so that a test of many kills does not wait for most of it.
const stepLease = time.Second

// failingProjector does a task, wired as the program does, and ends itself at a
// step: failing-projector URL VIEW STEP AT.
func failingProjector() {
	if err := runFailingProjector(context.Background(), os.Args[1], os.Args[2], os.Args[3], os.Args[4]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runFailingProjector(ctx context.Context, url, view, name, at string) error {
	after, err := strconv.ParseInt(at, 10, 64)
	if err != nil {
		return err
	}
	var step projectStep
	for _, s := range projectSteps() {
		if s.String() == name {
			step = s
		}
	}
	f := &failpoint{step: step.name, after: after}
	wire := &eventlogtest.Wire{Harm: f.die, Plan: func(subject string) eventlogtest.Moment {
		prefix := strings.ReplaceAll(step.prefix, "%s", view)
		if step.moment == eventlogtest.Never || !strings.HasPrefix(subject, prefix) || !strings.HasSuffix(subject, step.suffix) || !f.reached(step.name) {
			return eventlogtest.Never
		}
		return step.moment
	}}
	nc, err := nats.Connect(url, nats.SetCustomDialer(wire))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	log, err := natslog.Attach(ctx, js)
	if err != nil {
		return err
	}
	store, err := viewstore.Open(ctx, js, viewstore.Config{LeaseTTL: stepLease})
	if err != nil {
		return err
	}
	if step.task == "project" {
		return runTeam(ctx, failSource{log, f}, store, func(fold eventlog.Fold) eventlog.Fold { return failFold{fold, f} })
	}
	return operate(ctx, step.task, view, log, store)
}

// runTeam projects every view, until ctx ends.
func runTeam(ctx context.Context, source projector.Source, store *viewstore.Store, wrap func(eventlog.Fold) eventlog.Fold) error {
	shared := projector.Share(source)
	group, ctx := errgroup.WithContext(ctx)
	for _, fold := range allFolds() {
		p, err := projector.New(projector.Config{Projection: wrap(fold), Source: shared, Store: store})
		if err != nil {
			return err
		}
		group.Go(func() error { return p.Run(ctx) })
	}
	return group.Wait()
}

// operate is an operator's command.
func operate(ctx context.Context, task, view string, log *natslog.Log, store *viewstore.Store) error {
	fold, err := foldOf(view)
	if err != nil {
		return err
	}
	switch task {
	case "rebuild":
		_, err = projector.Rebuild(ctx, projector.RebuildConfig{Projection: fold, Source: log, Registry: store})
	case "promote":
		_, err = projector.Promote(ctx, store, view, fold.Version())
	case "rollback":
		_, err = projector.Rollback(ctx, store, view, fold.Version())
	case "drop":
		_, err = projector.Drop(ctx, store, view, fold.Version())
	case "abort":
		_, err = projector.Abort(ctx, store, view, fold.Version())
	case "repair":
		var v projector.Verified
		if v, err = projector.Verify(ctx, projector.VerifyConfig{Projection: fold, Source: log, Viewer: store}); err == nil {
			_, err = projector.Repair(ctx, projector.MaintenanceConfig{Projection: fold, Source: log, Store: store}, v.Differences)
		}
	default:
		err = errors.New("no such task: " + task)
	}
	return err
}

// failSource fails when a record was fetched.
type failSource struct {
	*natslog.Log
	f *failpoint
}

func (s failSource) Read(ctx context.Context, o eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range s.Log.Read(ctx, o) {
			if err == nil {
				s.f.pass(seamFetched)
			}
			if !yield(r, err) {
				return
			}
		}
	}
}

// failFold fails when a record was folded.
type failFold struct {
	eventlog.Fold
	f *failpoint
}

func (f failFold) New(key string) eventlog.State {
	s := failState{f.Fold.New(key), f.f}
	if d, ok := s.State.(projector.Degradable); ok {
		return struct {
			failState
			projector.Degradable
		}{s, d}
	}
	return s
}

type failState struct {
	eventlog.State
	f *failpoint
}

func (s failState) Apply(ev *eventlog.Event) {
	s.State.Apply(ev)
	s.f.pass(seamFolded)
}
