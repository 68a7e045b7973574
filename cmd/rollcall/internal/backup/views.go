package backup

import (
	"context"
	"fmt"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// Build makes views of a log that was just filled, all in one pass.
type Build struct {
	Log        *natslog.Log
	Store      *viewstore.Store
	Folds      []eventlog.Fold
	CacheBytes int64 // for all views together
	Logger     zerolog.Logger
	Progress   func(view string, p projector.Progress)
}

// Run builds each view as a new generation, removes the empty one that was before
// it, and makes sure that each holds the log up to its record to. It returns how
// many records views left out, as they did in the views that are restored.
func (b Build) Run(ctx context.Context, to eventlog.Seq) (parked int, err error) {
	source := projector.Share(b.Log)
	group, inner := errgroup.WithContext(ctx)
	for _, fold := range b.Folds {
		group.Go(func() error { return b.build(inner, source, fold) })
	}
	if err := group.Wait(); err != nil {
		return 0, err
	}
	for _, fold := range b.Folds {
		alias, err := b.Store.Alias(ctx, fold.Name())
		if err != nil {
			return 0, err
		}
		at, err := b.Store.Checkpoint(ctx, alias.Bucket)
		if err != nil {
			return 0, err
		}
		if at.Sequence < to {
			return 0, fmt.Errorf("view %s stands at record %d of %d; run `rollcall rebuild %[1]s`", fold.Name(), at.Sequence, to)
		}
		parked += at.Parked
	}
	return parked, nil
}

func (b Build) build(ctx context.Context, source projector.Source, fold eventlog.Fold) error {
	_, err := projector.Rebuild(ctx, projector.RebuildConfig{
		Projection: fold, Source: source, Registry: b.Store, Logger: b.Logger, CacheBytes: b.CacheBytes / int64(len(b.Folds)),
		Progress: func(p projector.Progress) { b.Progress(fold.Name(), p) },
	})
	if err != nil {
		return err
	}
	_, err = projector.Drop(ctx, b.Store, fold.Name(), fold.Version()) // the one that the rebuild replaced
	return err
}
