package viewstore

import (
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// Sentinels of the reading side.
var (
	// ErrNotFound: the view holds no such key.
	ErrNotFound = errors.New("key not found")
	// ErrNoView: no projector has ever run for the view.
	ErrNoView = errors.New("view does not exist")
	// ErrGone: the server says that the stream of a view was removed.
	ErrGone = errors.New("bucket was removed")
)

// requestTimeout bounds a request where the context has no end of its own.
const requestTimeout = 5 * time.Second

// codeTooLarge is the server's refusal of a message above its limit.
const codeTooLarge jetstream.ErrorCode = 10054

// refused reports whether the server answered a write with an error, so that it
// is known not to have happened.
func refused(err error) bool {
	var api jetstream.JetStreamError
	return errors.As(err, &api)
}

// asCommitError makes a server's refusal one of the projector's sentinels.
func asCommitError(err error, bucket string) error {
	if err == nil {
		return nil
	}
	if wire.IsConflict(err) {
		return fmt.Errorf("%w: %s was written by another process: %w", projector.ErrFenced, bucket, err)
	}
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil && api.APIError().ErrorCode == codeTooLarge {
		return fmt.Errorf("%w: %w", projector.ErrTooLarge, err)
	}
	return fmt.Errorf("write to %s: %w", bucket, err)
}
