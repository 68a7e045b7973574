package natslog

import (
	"context"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
)

// troubleFor is how long a failed append counts if none came after it: a process
// that is not ready gets no deliveries that could show that it is ready again.
const troubleFor = 5 * time.Second

// Health is Info with an error where records can't be taken now: the server
// does not answer, the stream has no leader or is no log any more, a sync of its
// files failed, which is for good, or the last append failed a moment ago.
func (l *Log) Health(ctx context.Context) (Info, error) {
	if err := l.committer.trouble(); err != nil {
		return Info{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	si, err := ask(ctx, l.info)
	if err != nil {
		return Info{}, fmt.Errorf("read log info: %w", classify(err))
	}
	if err := usable(si); err != nil {
		return Info{}, err
	}
	return l.summary(si), nil
}

// trouble is why appends fail now; nil: they don't.
func (c *committer) trouble() error {
	if c.disk != nil {
		if err := c.disk.failed(); err != nil {
			return err
		}
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.failed != nil && c.config.Now().Sub(c.failedAt) < troubleFor {
		return fmt.Errorf("the last append failed: %w", c.failed)
	}
	return nil
}

// usable says why a stream can't be appended to.
func usable(si *jetstream.StreamInfo) error {
	if si.Cluster != nil && si.Config.Replicas > 1 && si.Cluster.Leader == "" {
		return fmt.Errorf("%w: stream %s has no leader; see that most of its %d servers run", eventlog.ErrUnavailable, eventlog.Stream, si.Config.Replicas)
	}
	if what := difference(si.Config); what != "" {
		return fmt.Errorf("%w: %s; was it made again while Rollcall ran? remove it and restart", ErrSettings, what)
	}
	return nil
}
