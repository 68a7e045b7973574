package replica

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"rollcall/projector/viewstore"
	"rollcall/query/pace"
)

const (
	// defaultLoadRows is how many rows a load writes in one transaction.
	defaultLoadRows = 4096
	// pendingBytes bounds the changes held in memory until their commit ends. A
	// copy that lags more is loaded again into another table.
	pendingBytes = 64 << 20
	// retryFirst and retryLast bound the pause after a failed read.
	retryFirst = 100 * time.Millisecond
	retryLast  = time.Second
)

// errTooFarBehind: what changed does not fit into memory as one commit.
var errTooFarBehind = errors.New("too far behind")

// errReload: the copy of a view was found to be wrong.
var errReload = errors.New("is loaded again")

// batch is what the writer applies in one transaction.
type batch struct {
	table *Table
	// load: the rows belong to a table that is being filled next to the current
	// one; start: it is empty.
	load, start bool
	changes     []viewstore.Change
	// commit, where set, ends the batch: the rows so far are whole.
	commit *viewstore.Change
}

// follow copies one view until ctx ends.
func (c *copier) follow(ctx context.Context, t *Table) error {
	from := c.resume(t.View)
	pause := retryFirst
	for {
		progress, err := c.followFrom(ctx, t, from)
		if ctx.Err() != nil {
			return ctx.Err()
		}
		if progress {
			pause = retryFirst
		}
		from = viewstore.Position{}
		if !errors.Is(err, errTooFarBehind) && !errors.Is(err, errReload) {
			// What was queued before is applied: the writer is in order, and the
			// position is only read once the queue is through.
			if from, err = c.settled(ctx, t, err); err != nil && !errors.Is(err, viewstore.ErrNoView) {
				c.config.Log.Warn().Err(err).Str(keyView, t.View).Msg("following a view broke off")
			}
		}
		c.await(t.View, fmt.Sprintf("view %s: %v", t.View, err))
		if pace.Wait(ctx, pause) != nil {
			return ctx.Err()
		}
		pause = min(2*pause, retryLast)
	}
}

// settled waits until the writer has taken everything sent so far, and returns
// the position to resume from. It passes cause on.
func (c *copier) settled(ctx context.Context, t *Table, cause error) (viewstore.Position, error) {
	done := make(chan struct{})
	if err := c.send(ctx, batch{table: t, commit: nil, changes: nil}, done); err != nil {
		return viewstore.Position{}, err
	}
	return c.resume(t.View), cause
}

// resume is the position to follow a view from: the stored one or, where the view is
// to be loaded again, or a load of it was interrupted, its beginning.
func (c *copier) resume(view string) viewstore.Position {
	c.mu.Lock()
	defer c.mu.Unlock()
	if s := c.states[view]; !c.reloading[view] && s.Loading == 0 {
		return s.position()
	}
	return viewstore.Position{}
}

// send queues a batch. With done it waits until it is applied.
func (c *copier) send(ctx context.Context, b batch, done chan struct{}) error {
	item := queued{batch: b, done: done}
	select {
	case c.queue <- item:
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

// followFrom copies one view from a position until following breaks off, or the
// view is to be loaded again. It reports whether a commit came through.
func (c *copier) followFrom(ctx context.Context, t *Table, from viewstore.Position) (progress bool, err error) {
	f := follower{replica: c, table: t, load: from == (viewstore.Position{}), start: true}
	following, cancel := context.WithCancel(ctx)
	defer cancel()
	if f.load { // as was asked for so far
		select {
		case <-c.reloads[t.View]:
		default:
		}
	}
	reload, stop := make(chan struct{}), make(chan struct{})
	go func() {
		select {
		case <-c.reloads[t.View]:
			close(reload)
			cancel()
		case <-stop:
		}
	}()
	defer close(stop)
	err = fmt.Errorf("follow view %s: ended", t.View)
	for change, failed := range c.config.Views.Follow(following, t.View, from) {
		if failed == nil {
			failed = f.take(following, change)
		}
		if failed != nil {
			err = failed
			break
		}
	}
	select {
	case <-reload:
		return f.progress, errReload
	default:
		return f.progress, cmp.Or(ctx.Err(), err)
	}
}

// follower gathers the changes of a commit.
type follower struct {
	replica  *copier
	table    *Table
	load     bool // into a table next to the current one
	start    bool // that table is still to be made
	progress bool
	pending  []viewstore.Change
	bytes    int
}

// take gathers changes until their commit, so that one transaction holds all of
// it. A load is flushed in pieces: nobody reads its table yet.
func (f *follower) take(ctx context.Context, c viewstore.Change) error {
	switch c.Kind {
	case viewstore.Put, viewstore.Delete:
		f.pending = append(f.pending, c)
		f.bytes += len(c.Value) + len(c.Key) + 128
		if f.load && len(f.pending) >= f.replica.config.LoadRows {
			return f.flush(ctx, nil)
		}
		if !f.load && f.bytes > pendingBytes {
			return errTooFarBehind
		}
	case viewstore.Commit:
		if !f.progress {
			f.replica.await(f.table.View, "")
		}
		f.progress = true
		if err := f.flush(ctx, &c); err != nil {
			return err
		}
		f.load = false
	case viewstore.Reset:
		f.pending, f.bytes = nil, 0
		f.load, f.start = true, true
		f.replica.config.Log.Info().Str(keyView, f.table.View).Str(keyBucket, c.Bucket).Msg("loading view")
	}
	return nil
}

func (f *follower) flush(ctx context.Context, commit *viewstore.Change) error {
	b := batch{table: f.table, load: f.load, start: f.load && f.start, changes: f.pending, commit: commit}
	f.start = false
	f.pending, f.bytes = nil, 0
	return f.replica.send(ctx, b, nil)
}
