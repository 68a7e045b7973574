package viewstore

import (
	"context"
	"errors"
	"slices"

	"rollcall/projector"
)

// View implements projector.Viewer: what a follower holds at its first Commit.
func (r *Reader) View(ctx context.Context, view string, reset func(), put func(key string, value []byte)) (projector.Generation, projector.Checkpoint, error) {
	var g projector.Generation
	for c, err := range r.Follow(ctx, view, Position{}) {
		if err != nil {
			return g, projector.Checkpoint{}, err
		}
		switch c.Kind {
		case Reset:
			reset()
		case Put:
			put(c.Key, c.Value)
		case Delete:
			put(c.Key, nil)
		case Commit:
			g = projector.Generation{View: view, Number: c.Generation, Bucket: c.Bucket, Version: c.Version, State: projector.StateLive}
			all, err := r.Generations(ctx, view)
			if err != nil {
				return g, c.Checkpoint, err
			}
			if at := slices.IndexFunc(all, func(o projector.Generation) bool { return o.Number == c.Generation }); at >= 0 {
				g.Sealed = all[at].Sealed
			}
			return g, c.Checkpoint, nil
		}
	}
	return g, projector.Checkpoint{}, ctx.Err()
}

// Document implements projector.Viewer.
func (r *Reader) Document(ctx context.Context, bucket, key string) ([]byte, error) {
	e, err := r.GetFrom(ctx, Alias{Bucket: bucket}, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return e.Value, err
}
