package node

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// viewRetry is between two looks at whether a view that failed can go on. A
// failed projector is run again when its alias has moved, as after a rebuild,
// and at the latest after viewRetryMost.
const (
	viewRetry     = time.Second
	viewRetryMost = 30 * time.Second
)

// startProject starts a projector for each view, and waits until each has begun,
// stands by or has failed. A view that fails is no reason to end: whoever takes
// webhooks must go on taking them, and the other views are folded on.
func (n *Node) startProject(ctx context.Context) error {
	_, js, err := n.connect(ctx, "project")
	if err != nil {
		return err
	}
	if n.audit, err = n.newAuditor(js); err != nil {
		return err
	}
	source := projector.Share(n.Log)
	for _, fold := range n.Folds {
		w := &viewRole{node: n, fold: fold, source: source, reader: viewstore.NewReader(js)}
		n.views = append(n.views, w)
		n.Health.Add(Check{"project " + fold.Name(), w.check})
	}
	if err := n.openViews(ctx, js); err != nil {
		if !n.Roles.Ingest {
			return err
		}
		n.Logger.Error().Err(err).Msg("views can't be opened; the log goes on, and opening is retried")
		n.serve(stageProject, func(ctx context.Context) error { n.openViewsLater(ctx, js, err); return nil })
	}
	for _, w := range n.views {
		if err := w.begun(ctx); err != nil {
			return err
		}
	}
	return nil
}

// openViews opens the store of the views and runs their projectors.
func (n *Node) openViews(ctx context.Context, js jetstream.JetStream) error {
	store, err := viewstore.Open(ctx, js, viewstore.Config{
		Replicas: n.Stream.Replicas, Exclusive: n.Embedded != nil && len(n.NATS.Users) == 0, Logger: n.Logger.With().Str(console.KeyPart, "viewstore").Logger(),
	})
	if err != nil {
		return err
	}
	for _, w := range n.views {
		p, err := projector.New(projector.Config{
			Projection: w.fold, Source: w.source, Store: store, CacheBytes: n.CacheBytes / int64(len(n.Folds)), MaxAge: n.ViewMaxAge,
			Logger: n.Logger.With().Str(console.KeyPart, "project").Logger(), Registerer: n.registry, Traced: n.commits(),
		})
		if err != nil {
			return err
		}
		w.set(p, nil)
		n.serve(stageProject, func(ctx context.Context) error { w.run(ctx, p, store); return nil })
		if n.AuditInterval > 0 {
			n.serve(stageProject, func(ctx context.Context) error { n.audit.run(ctx, p, w.fold); return nil })
		}
	}
	return nil
}

// openViewsLater tries openViews until it succeeds.
func (n *Node) openViewsLater(ctx context.Context, js jetstream.JetStream, err error) {
	for wait := viewRetry; err != nil; wait = min(2*wait, viewRetryMost) {
		for _, w := range n.views {
			w.set(nil, err)
		}
		if wire.Pause(ctx, wait) != nil {
			return
		}
		err = n.openViews(ctx, js)
	}
	n.Logger.Info().Msg("views are open")
}

// viewRole projects one view.
type viewRole struct {
	node   *Node
	fold   eventlog.Fold
	source projector.Source
	reader *viewstore.Reader

	mu        sync.Mutex
	projector *projector.Projector // nil until the store was opened; guarded by mu
	failure   error                // why it does not run now; guarded by mu
	// rebuilding is how far a rebuild of its own is; nil: none is under way.
	// Guarded by mu.
	rebuilding *projector.Progress
}

func (w *viewRole) set(p *projector.Projector, failure error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	if p != nil {
		w.projector = p
	}
	w.failure = failure
}

func (w *viewRole) progress(p *projector.Progress) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.rebuilding = p
}

// status is the projector's, and what it is not about: a rebuild under way, and
// why nothing is projected.
func (w *viewRole) status() (s projector.Status, rebuilding *projector.Progress) {
	w.mu.Lock()
	p, failure, rebuilding := w.projector, w.failure, w.rebuilding
	w.mu.Unlock()
	if p != nil {
		s = p.Status()
	}
	if failure != nil {
		s.State, s.Error = projector.RunFailed, failure.Error()
	}
	return s, rebuilding
}

// begun waits until the projector has begun, stands by, or has failed.
func (w *viewRole) begun(ctx context.Context) error {
	for {
		if s, _ := w.status(); s.State != "" && s.State != projector.RunStarting {
			return nil
		}
		select {
		case err := <-w.node.failed:
			return err
		default:
		}
		if err := wire.Pause(ctx, 5*time.Millisecond); err != nil {
			return err
		}
	}
}

// run projects one view until ctx ends. A failure is logged, repaired by a rebuild
// with --auto-rebuild where that helps, and retried.
func (w *viewRole) run(ctx context.Context, p *projector.Projector, store *viewstore.Store) {
	log := w.node.Logger.With().Str(console.KeyPart, "project").Str(console.KeyView, w.fold.Name()).Logger()
	said := ""
	for {
		alias, _ := w.reader.Alias(ctx, w.fold.Name()) // no alias compares just as well
		w.set(p, nil)
		err := p.Run(ctx)
		if err == nil || ctx.Err() != nil {
			return
		}
		if errors.Is(err, projector.ErrState) || errors.Is(err, projector.ErrSettings) {
			err = fmt.Errorf("%w; run `rollcall rebuild %s`", err, w.fold.Name())
		}
		w.set(p, err)
		if err.Error() != said {
			log.Error().Err(err).Msg("projection stopped; the other views and the log go on, and it is tried again")
			said = err.Error()
		}
		if w.node.AutoRebuild && rebuildMends(err) {
			if err := w.rebuild(ctx, store, errors.Is(err, eventlog.ErrTrimmed)); err != nil {
				w.set(p, err)
				log.Error().Err(err).Msg("view could not be rebuilt; the rebuild is retried")
			}
		}
		if w.await(ctx, alias) != nil {
			return
		}
	}
}

// rebuildMends reports whether a new generation is the remedy.
func rebuildMends(err error) bool {
	for _, e := range []error{
		projector.ErrVersion, projector.ErrState, projector.ErrSettings,
		eventlog.ErrIncarnation, eventlog.ErrLostTail, eventlog.ErrTrimmed,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// rebuild makes the view again from the log. One that somebody else is making is
// not an error.
func (w *viewRole) rebuild(ctx context.Context, store *viewstore.Store, carry bool) error {
	log := w.node.Logger.With().Str(console.KeyPart, "project").Str(console.KeyView, w.fold.Name()).Logger()
	log.Warn().Msg("rebuilding: the current view goes on serving as it is")
	w.progress(&projector.Progress{State: projector.GenerationStaging})
	defer w.progress(nil)
	done, err := projector.Rebuild(ctx, projector.RebuildConfig{
		Projection: w.fold, Source: w.source, Registry: store, Logger: log, Carry: carry,
		Progress: func(p projector.Progress) { w.progress(&p) },
	})
	switch {
	case err == nil:
		log.Info().Str("bucket", done.After.Bucket).Int64(console.KeyElapsed, done.Elapsed.Milliseconds()).AnErr("unpublished", done.AnnounceErr).Msg("rebuilt, and current")
	case errors.Is(err, projector.ErrBusy), errors.Is(err, projector.ErrMoved), errors.Is(err, projector.ErrAborted):
		log.Info().Err(err).Msg("somebody else rebuilds or removes the generation; looking again")
	default:
		return err
	}
	return nil
}

// await waits until the alias changes, for a limited time.
func (w *viewRole) await(ctx context.Context, was viewstore.Alias) error {
	for began := time.Now(); time.Since(began) < viewRetryMost; {
		if now, err := w.reader.Alias(ctx, w.fold.Name()); err == nil && now != was {
			return nil
		}
		if err := wire.Pause(ctx, viewRetry); err != nil {
			return err
		}
	}
	return nil
}

// check is a note where the process takes webhooks: a view that failed must not
// refuse them.
func (w *viewRole) check(context.Context) (string, error) {
	s, rebuilding := w.status()
	if rebuilding != nil {
		return fmt.Sprintf("rebuilding, %s, %.0f %%", rebuilding.State, 100*rebuilding.Share), nil
	}
	if s.State == projector.RunFailed {
		if !w.node.Roles.Ingest {
			return "", errors.New(s.Error)
		}
		return "failed: " + console.OneLine(errors.New(s.Error)), nil
	}
	note := fmt.Sprintf("%s, sequence %d of %d, lag %d", s.State, s.Sequence, s.HeadSequence, s.Lag)
	if s.Waiting != "" {
		note += fmt.Sprintf(", waiting %.0f s for %s", s.WaitingSeconds, s.Waiting)
	}
	return note, nil
}
