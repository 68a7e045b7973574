package history

import (
	"context"
	"errors"
	"fmt"

	"rollcall/eventlog"
)

// maxWaits bounds the requests that wait for a record of the log at once.
const maxWaits = 1024

// ErrBusy says that as many requests wait for a record as may.
var ErrBusy = errors.New("too many requests wait for a record; try again")

// tail is the log's end, as those who wait for it see it.
type tail struct {
	waiting int
	last    eventlog.Seq
	err     error
	changed chan struct{} // closed and replaced when last or err changes
	stop    context.CancelFunc
}

// Reach returns how far the log is once it holds the record least; head is how
// far it was. Where ctx ends first that is the error; ErrBusy comes at once where
// too many wait.
func (l *Reader) Reach(ctx context.Context, head eventlog.Head, least eventlog.Seq) (eventlog.Head, error) {
	if err := l.follow(ctx, head.Last); err != nil {
		return head, err
	}
	defer l.unfollow()
	for {
		l.mu.Lock()
		last, err, changed := l.tail.last, l.tail.err, l.tail.changed
		l.mu.Unlock()
		if last >= least {
			head.Last = last
			return head, nil
		}
		if err != nil {
			return head, fmt.Errorf("read log: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return head, ctx.Err()
		}
	}
}

// follow starts the one reader that all who wait share.
func (l *Reader) follow(ctx context.Context, after eventlog.Seq) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.tail
	if t.waiting >= maxWaits {
		return ErrBusy
	}
	if t.waiting++; t.waiting > 1 {
		return nil
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	*t = tail{waiting: 1, last: after, changed: make(chan struct{}), stop: stop}
	go func() {
		for r, err := range l.Log.Read(ctx, eventlog.ReadOptions{After: after, Follow: true}) {
			if ctx.Err() != nil {
				return
			}
			l.mu.Lock()
			t.last, t.err = max(t.last, r.Seq), err
			close(t.changed)
			t.changed = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return nil
}

// unfollow ends the reader with the last who waits.
func (l *Reader) unfollow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail.waiting--; l.tail.waiting == 0 {
		l.tail.stop()
	}
}
