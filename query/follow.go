package query

import (
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/projector/viewstore"
)

const (
	// loadRows is how many rows a first load writes in one transaction.
	loadRows = 4096
	// pendingBytes bounds the changes held in memory until their commit ends. A
	// copy that is further behind is loaded anew beside the old one.
	pendingBytes = 64 << 20
	// retryFirst and retryLast bound the pause after a failed read.
	retryFirst = 100 * time.Millisecond
	retryLast  = time.Second
)

// errTooFarBehind: what changed does not fit into memory as one commit.
var errTooFarBehind = errors.New("too far behind")

// batch is what the writer applies in one transaction.
type batch struct {
	table *table
	// load: the rows belong to a table that is being filled beside the one in
	// force; start: with an empty one.
	load, start bool
	changes     []viewstore.Change
	// commit, where set, ends the batch: the rows so far are whole.
	commit *viewstore.Change
}

// follow copies one view until ctx ends.
func (r *Replica) follow(ctx context.Context, t *table) error {
	states, _ := r.current()
	from := states[t.view].position()
	pause := retryFirst
	for {
		progress, err := r.followFrom(ctx, t, from)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			pause = retryFirst
		}
		from = viewstore.Position{}
		if !errors.Is(err, errTooFarBehind) {
			// What was queued before is applied: the writer is in order, and the
			// position is only read once the queue is through.
			if from, err = r.settled(ctx, t, err); err != nil && !errors.Is(err, viewstore.ErrNoView) {
				r.config.Log.Warn().Err(err).Str(keyView, t.view).Msg("following a view broke off")
			}
		}
		select {
		case <-time.After(pause):
			pause = min(2*pause, retryLast)
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// settled waits until the writer has taken everything sent so far, and returns
// the position to resume from. It passes cause on.
func (r *Replica) settled(ctx context.Context, t *table, cause error) (viewstore.Position, error) {
	done := make(chan struct{})
	if err := r.send(ctx, batch{table: t, commit: nil, changes: nil}, done); err != nil {
		return viewstore.Position{}, err
	}
	states, _ := r.current()
	return states[t.view].position(), cause
}

// send queues a batch. With done it waits until it is applied.
func (r *Replica) send(ctx context.Context, b batch, done chan struct{}) error {
	item := queued{batch: b, done: done}
	select {
	case r.queue <- item:
	case <-ctx.Done():
		return ctx.Err()
	}
	if done == nil {
		return nil
	}
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// followFrom copies one view from a position until following breaks off. It
// reports whether a commit came through.
func (r *Replica) followFrom(ctx context.Context, t *table, from viewstore.Position) (progress bool, err error) {
	f := follower{replica: r, table: t, load: from == (viewstore.Position{}), start: true}
	for c, err := range r.config.Views.Follow(ctx, t.view, from) {
		if err != nil {
			return f.progress, err
		}
		if err := f.take(ctx, c); err != nil {
			return f.progress, err
		}
	}
	if ctx.Err() != nil {
		return f.progress, ctx.Err()
	}
	return f.progress, fmt.Errorf("follow view %s: ended", t.view)
}

// follower gathers the changes of a commit.
type follower struct {
	replica  *Replica
	table    *table
	load     bool // into a table beside the one in force
	start    bool // the table beside is still to be made
	progress bool
	pending  []viewstore.Change
	bytes    int
}

func (f *follower) take(ctx context.Context, c viewstore.Change) error {
	switch c.Kind {
	case viewstore.Put, viewstore.Delete:
		f.pending = append(f.pending, c)
		f.bytes += len(c.Value) + len(c.Key) + 128
		if f.load && len(f.pending) >= loadRows {
			return f.flush(ctx, nil)
		}
		if !f.load && f.bytes > pendingBytes {
			return errTooFarBehind
		}
	case viewstore.Commit:
		f.progress = true
		if err := f.flush(ctx, &c); err != nil {
			return err
		}
		f.load = false
	case viewstore.Reset:
		f.pending, f.bytes = nil, 0
		f.load, f.start = true, true
		f.replica.config.Log.Info().Str(keyView, f.table.view).Str(keyBucket, c.Bucket).Msg("loading a view anew, beside the one in force")
	}
	return nil
}

func (f *follower) flush(ctx context.Context, commit *viewstore.Change) error {
	b := batch{table: f.table, load: f.load, start: f.load && f.start, changes: f.pending, commit: commit}
	f.start = false
	f.pending, f.bytes = nil, 0
	return f.replica.send(ctx, b, nil)
}
