package wire

import (
	"context"
	"time"

	"github.com/nats-io/nats.go"
)

// UntilDisconnected ends the context it returns when the connection breaks. The
// server's consumer outlives that, and an answer that was lost with the
// connection never comes. The caller calls the function when it is done.
func UntilDisconnected(ctx context.Context, nc *nats.Conn) (context.Context, context.CancelFunc) {
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

// Pause waits for d, or until ctx ends and returns its error.
func Pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
