package main

import (
	"context"
	"errors"
	"fmt"
	"sync/atomic"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// startProject starts a projector for each view, and waits until each has begun
// or stands by: what it refuses, it refuses by then.
func (n *node) startProject(ctx context.Context) error {
	_, js, err := n.connect(ctx, "project")
	if err != nil {
		return err
	}
	store, err := viewstore.Open(ctx, js, viewstore.Config{
		Replicas: n.Replicas, Exclusive: n.embedded != nil && len(n.users) == 0, Logger: n.logger.With().Str(keyPart, "viewstore").Logger(),
	})
	if err != nil {
		return err
	}
	source := projector.Share(n.log)
	if n.audit, err = n.newAuditor(js); err != nil {
		return err
	}
	var all []*projector.Projector
	for _, fold := range n.folds {
		p, err := projector.New(projector.Config{
			Projection: fold, Source: source, Store: store, CacheBytes: n.cacheBytes / int64(len(n.folds)), MaxAge: n.ViewMaxAge,
			Logger: n.logger.With().Str(keyPart, "project").Logger(), Registerer: n.registry,
		})
		if err != nil {
			return err
		}
		all = append(all, p)
		w := &viewRole{node: n, fold: fold, projector: p, source: source, store: store}
		n.views = append(n.views, w)
		n.health.add(check{"project " + fold.Name(), w.check})
		n.serve(stageProject, w.run)
		if n.AuditInterval > 0 {
			n.serve(stageProject, func(ctx context.Context) error { n.audit.run(ctx, p, fold); return nil })
		}
	}
	for _, p := range all {
		if err := n.begun(ctx, p); err != nil {
			return err
		}
	}
	return nil
}

// begun waits until a projector has begun, stands by or, where it will not
// begin by itself, has failed.
func (n *node) begun(ctx context.Context, p *projector.Projector) error {
	for {
		s := p.Status()
		if s.State != projector.StateStarting && (s.State != projector.StateFailed || n.AutoRebuild) {
			return nil
		}
		select {
		case err := <-n.failed:
			return err
		default:
		}
		if err := pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// viewRole projects one view.
type viewRole struct {
	node      *node
	fold      eventlog.Fold
	projector *projector.Projector
	source    projector.Source
	store     *viewstore.Store
	// rebuilding is how far a rebuild of its own is; nil: none is under way.
	rebuilding atomic.Pointer[projector.Progress]
}

// run runs one view. What it can't go on with ends a process that does nothing
// else, or that has just started; a process that takes webhooks goes on taking
// them, and says so.
func (w *viewRole) run(ctx context.Context) error {
	err := w.project(ctx)
	if err == nil || ctx.Err() != nil {
		return err
	}
	n := w.node
	if !n.doIngest || n.health.isStarting() {
		return err
	}
	n.logger.Error().Err(err).Str(keyView, w.fold.Name()).Msg("projection stopped; the others and the log go on")
	return nil
}

// rebuildRetry is the pause before a rebuild that somebody else does is looked
// at again.
const rebuildRetry = 2 * time.Second

// project follows the log. Where the view was made by another version of the
// fold, and --auto-rebuild is given, it makes the view anew first.
func (w *viewRole) project(ctx context.Context) error {
	for {
		err := w.projector.Run(ctx)
		if !w.node.AutoRebuild || !errors.Is(err, projector.ErrVersion) {
			return err
		}
		log := w.node.logger.With().Str(keyPart, "project").Str(keyView, w.fold.Name()).Logger()
		log.Warn().Err(err).Msg("rebuilding: the view in force goes on serving as it is")
		w.rebuilding.Store(&projector.Progress{State: projector.StateStaging})
		done, err := projector.Rebuild(ctx, projector.RebuildConfig{
			Projection: w.fold, Source: w.source, Registry: w.store, Logger: log,
			Progress: func(p projector.Progress) { w.rebuilding.Store(&p) },
		})
		w.rebuilding.Store(nil)
		switch {
		case err == nil:
			log.Info().Str("bucket", done.After.Bucket).Int64(keyElapsed, done.Elapsed.Milliseconds()).AnErr("untold", done.Untold).Msg("rebuilt, and in force")
		case errors.Is(err, projector.ErrBusy), errors.Is(err, projector.ErrMoved), errors.Is(err, projector.ErrAborted):
			log.Info().Err(err).Msg("somebody else rebuilds or removes the generation; looking again")
			if err := pause(ctx, rebuildRetry); err != nil {
				return nil
			}
		default:
			return err
		}
	}
}

// check is a note where other roles run in the process: a projection that
// stands must not refuse webhooks.
func (w *viewRole) check(context.Context) (string, error) {
	if p := w.rebuilding.Load(); p != nil {
		return fmt.Sprintf("rebuilding, %s, %.0f %%", p.State, 100*p.Share), nil
	}
	s := w.projector.Status()
	if s.State == projector.StateFailed {
		if !w.node.doIngest {
			return "", errors.New(s.Error)
		}
		return "failed: " + s.Error, nil
	}
	return fmt.Sprintf("%s, sequence %d of %d, lag %d", s.State, s.Sequence, s.HeadSequence, s.Lag), nil
}
