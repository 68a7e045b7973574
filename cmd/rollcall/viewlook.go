package main

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query/pipeline"
)

// viewLook looks at views from outside, as any process may.
type viewLook struct {
	js     jetstream.JetStream
	reader *viewstore.Reader
	log    *natslog.Log
	head   eventlog.Head
}

// stateAbsent is a view that nobody has made.
const stateAbsent = "absent"

// at looks at one view. What is wrong with the view is no error.
func (l viewLook) at(ctx context.Context, fold eventlog.Fold) (v viewStatus, err error) {
	v = viewStatus{Name: fold.Name(), State: stateAbsent, HeadSequence: l.head.Last, Lag: uint64(l.head.Last), Generations: []generationStatus{}}
	alias, err := l.reader.Alias(ctx, fold.Name())
	if errors.Is(err, viewstore.ErrNoView) {
		v.Problem = console.OneLine(err)
		return v, nil
	}
	if err != nil {
		return v, err
	}
	v.Version, v.Bucket = alias.Version, alias.Bucket
	if v.Generations, err = l.generations(ctx, fold.Name()); err != nil {
		return v, err
	}
	cp, err := l.reader.Checkpoint(ctx, alias.Bucket)
	switch {
	case errors.Is(err, viewstore.ErrGone):
		v.State, v.Problem = string(projector.RunFailed), fmt.Sprintf("%v: %s; a projector that runs makes it again from the log, else run `rollcall rebuild %s`",
			viewstore.ErrGone, viewstore.StreamOf(alias.Bucket), fold.Name())
		return v, nil
	case errors.Is(err, projector.ErrState):
		v.State, v.Problem = string(projector.RunFailed), console.OneLine(err)+"; run `rollcall rebuild "+fold.Name()+"`"
		return v, nil
	case err != nil:
		return v, err
	}
	if cp.Sequence > l.head.Last { // what it holds may have come since the log was looked at
		if l.head, err = l.log.Head(ctx); err != nil {
			return v, err
		}
		v.HeadSequence = l.head.Last
	}
	v.Sequence, v.Parked = cp.Sequence, cp.Parked
	v.Lag = uint64(l.head.Last - min(cp.Sequence, l.head.Last))
	if v.LagSeconds, err = l.age(ctx, cp.Sequence); err != nil {
		return v, err
	}
	v.State, v.Problem = l.judge(fold, cp, alias, v.LagSeconds)
	return v, nil
}

// behindSeconds is how old the oldest record may be that a live view lacks.
const behindSeconds = 5

// judge returns a view's state as a projector would report it.
func (l viewLook) judge(fold eventlog.Fold, cp projector.Checkpoint, alias viewstore.Alias, lagSeconds float64) (state, problem string) {
	var err error
	next := fmt.Sprintf("run `rollcall rebuild %s`", fold.Name())
	switch {
	case alias.Version != fold.Version():
		err = fmt.Errorf("%w: it holds version %s, this program folds version %s; with a newer program %s", projector.ErrVersion, alias.Version, fold.Version(), next)
	case cp.Incarnation != "" && cp.Incarnation != l.head.Incarnation:
		err = fmt.Errorf("%w: it was folded from log %s; %s", eventlog.ErrIncarnation, cp.Incarnation, next)
	case cp.Sequence > l.head.Last:
		err = fmt.Errorf("%w: it holds record %d, the log ends at %d; %s", eventlog.ErrLostTail, cp.Sequence, l.head.Last, next)
	case l.head.First > cp.Sequence+1:
		err = fmt.Errorf("%w: it ends at record %d, the log begins at %d; run `rollcall rebuild %s --carry`", eventlog.ErrTrimmed, cp.Sequence, l.head.First, fold.Name())
	case lagSeconds > behindSeconds:
		return string(projector.RunCatchingUp), ""
	default:
		return string(projector.RunLive), ""
	}
	return string(projector.RunFailed), err.Error()
}

// age is how long the record after a sequence has waited.
func (l viewLook) age(ctx context.Context, at eventlog.Seq) (seconds float64, err error) {
	if at >= l.head.Last {
		return 0, nil
	}
	next, err := l.log.Record(ctx, at+1)
	if errors.Is(err, eventlog.ErrNotFound) {
		return 0, nil
	}
	if err != nil {
		return 0, err
	}
	return max(0, time.Since(next.StoredAt).Round(time.Millisecond).Seconds()), nil
}

func (l viewLook) generations(ctx context.Context, view string) (list []generationStatus, err error) {
	all, err := l.reader.Generations(ctx, view)
	if err != nil {
		return nil, err
	}
	for _, g := range all {
		s := generationStatus{Generation: g.Number, Bucket: g.Bucket, State: string(g.State), Version: g.Version}
		if !g.ChangedAt.IsZero() {
			s.ChangedAt = &g.ChangedAt
		}
		if cp, err := l.reader.Checkpoint(ctx, g.Bucket); err == nil {
			s.Sequence = cp.Sequence
		}
		list = append(list, s)
	}
	return list, nil
}

// listen collects the statuses that processes publish until stop is called. It stays
// empty for a user who may not subscribe.
func listen(ctx context.Context, nc *nats.Conn) (p *pipeline.Monitor, stop func()) {
	nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	p = pipeline.New(nil)
	ctx, cancel := context.WithCancel(ctx)
	var hearing sync.WaitGroup
	hearing.Go(func() { _ = p.Run(ctx, nc) })
	return p, func() {
		cancel()
		hearing.Wait()
	}
}

func processesOf(s pipeline.Overview) []processStatus {
	list := []processStatus{}
	for _, p := range s.Processes {
		x := processStatus{p.Process, p.Host, p.Roles, append([]string{}, p.Problems...)}
		for _, v := range p.Projections {
			if v.State == string(projector.RunFailed) {
				x.Problems = append(x.Problems, "it can't go on folding "+v.Name+"; its log and its /readyz?verbose say why")
			}
		}
		if p.Lost {
			x.Problems = append(x.Problems, "it has not reported lately")
		}
		list = append(list, x)
	}
	return list
}
