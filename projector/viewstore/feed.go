package viewstore

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// heartbeat is how often the server says that a quiet consumer still
	// exists: two that stay away make the consumer anew.
	heartbeat = time.Second
	// feedBuffer is how many messages wait for a slow reader.
	feedBuffer = 256
	// goneAfter is how long a stream may be missing, as while a server starts.
	goneAfter = 5 * time.Second
	// feedRetry is the wait between tries to make a consumer.
	feedRetry = 100 * time.Millisecond
)

// feed is what a stream holds behind a sequence, then what comes.
type feed struct {
	messages chan stored
	failed   chan error
	stop     func()
}

// feed starts a reader of its own on a stream. Each consumer that breaks, with
// the connection or the server, is followed by one that starts behind the last
// message delivered.
func (r *Reader) feed(ctx context.Context, stream string, after uint64, filters ...string) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{messages: make(chan stored, feedBuffer), failed: make(chan error, 1)}
	done := make(chan struct{})
	f.stop = func() { cancel(); <-done }
	go func() {
		defer close(done)
		var missing time.Time
		for ctx.Err() == nil {
			err := f.consume(ctx, r.js, stream, &after, filters)
			if !errors.Is(err, jetstream.ErrStreamNotFound) {
				missing = time.Time{}
			} else if missing.IsZero() {
				missing = time.Now()
			} else if time.Since(missing) > goneAfter {
				f.failed <- fmt.Errorf("%w: stream %s is gone", ErrNoView, stream)
				return
			}
			if wait(ctx, feedRetry) != nil {
				return
			}
		}
	}()
	return f
}

// consume reads through one consumer until it breaks.
func (f *feed) consume(ctx context.Context, js jetstream.JetStream, stream string, after *uint64, filters []string) error {
	setup, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	consumer, err := js.CreateConsumer(setup, stream, jetstream.ConsumerConfig{
		FilterSubjects: filters, DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: *after + 1,
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, Replicas: 1, InactiveThreshold: consumerIdle,
	})
	if err != nil {
		return fmt.Errorf("make consumer on %s: %w", stream, err)
	}
	defer func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeat)
		defer cancel()
		_ = js.DeleteConsumer(c, stream, consumer.CachedInfo().Name) // else it goes away when it is idle
	}()
	messages, err := consumer.Messages(jetstream.PullMaxMessages(scanBuffer), jetstream.PullHeartbeat(heartbeat))
	if err != nil {
		return fmt.Errorf("read %s: %w", stream, err)
	}
	defer messages.Stop()
	ctx, stop := untilDisconnected(ctx, js.Conn())
	defer stop()
	for delivery := uint64(1); ; delivery++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("read %s: %w", stream, err)
		}
		if meta.Sequence.Consumer != delivery {
			return fmt.Errorf("read %s: delivery %d came as %d", stream, delivery, meta.Sequence.Consumer)
		}
		select {
		case f.messages <- stored{m.Subject(), meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data()}:
			*after = meta.Sequence.Stream
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// untilDisconnected ends the context it returns when the connection breaks: the
// server's consumer outlives that, and goes on behind messages that were lost.
func untilDisconnected(ctx context.Context, nc *nats.Conn) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	changed := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
		nc.RemoveStatusListener(changed)
	}()
	return ctx, func() { cancel(); <-ended }
}
