package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// appendTries bounds how often a record is appended again because its first
	// one is lost: known here, known to the server, and one more.
	appendTries = 3
	// maxLooks bounds the repeats that are looked up at a time, so that a storm
	// of them is not one of requests.
	maxLooks = 32
)

// checkRepeat looks for the record that a is about, and reads its event id. It
// is lost if the log holds another record at its sequence, or none and no limit
// explains that.
func (l *Log) checkRepeat(ctx context.Context, id string, a *eventlog.Appended) (lost bool, err error) {
	c := l.committer
	select {
	case c.looks <- struct{}{}:
		defer func() { <-c.looks }()
	case <-ctx.Done():
		return false, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, ctx.Err())
	}
	m, err := ask(ctx, func(ctx context.Context) (*wire.Message, error) { return l.message(ctx, a.Seq) })
	switch {
	case err == nil:
		first := record(m.Sequence, m.Time, m.Header, m.Data)
		if m.Header.Get(jetstream.MsgIDHeader) == id || messageID(&first) == id {
			a.EventID = first.EventID
			c.remember(id, *a, first.StoredAt)
			return false, nil
		}
	case errors.Is(err, jetstream.ErrMsgNotFound):
		if trimmed, err := l.trimmed(ctx, a.Seq); err != nil || trimmed {
			return false, err
		}
	default:
		return false, fmt.Errorf("read the first of a repeat: %w: %w", eventlog.ErrUnavailable, err)
	}
	c.forget(id, a.Seq)
	return true, nil
}

// trimmed reports whether a limit removed the record at a sequence: then it was
// stored, and that is all that can be said.
func (l *Log) trimmed(ctx context.Context, seq eventlog.Seq) (bool, error) {
	h, err := l.Head(ctx)
	if err != nil {
		return false, fmt.Errorf("read the first of a repeat: %w: %w", eventlog.ErrUnavailable, err)
	}
	c := l.committer
	c.mu.Lock()
	defer c.mu.Unlock()
	if h.Incarnation != c.incarnation {
		c.doubt = true
		return false, nil
	}
	return h.First > seq, nil
}

// remember keeps the answer to a repeat that the server recognised, for as long
// as the server will, so that a storm of repeats after a restart does not have
// batch after batch refused.
func (c *committer) remember(id string, a eventlog.Appended, stored time.Time) {
	if a.EventID == "" {
		return
	}
	a.Duplicate = false
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent.add(id, a, stored)
}

// forget drops the answer to a repeat whose first record is lost.
func (c *committer) forget(id string, seq eventlog.Seq) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.recent.drop(id, seq)
}

// confirm asks what the stream is now. If it was made again it may have settings
// that keep no record.
func (l *Log) confirm(ctx context.Context) (incarnation string, err error) {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	info, err := l.info(ctx)
	if err != nil {
		return "", fmt.Errorf("look at the log again: %w", classify(err))
	}
	if err := usable(info); err != nil {
		return "", err
	}
	return info.Config.Metadata[incarnationKey], nil
}
