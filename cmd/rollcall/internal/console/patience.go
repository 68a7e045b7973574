package console

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
)

const (
	// SayAfter is the wait after which a command says what it waits for.
	SayAfter = 2 * time.Second
	// giveUpAfter is how long a command waits for a consumer that the server
	// refuses. For a server that is away it waits without limit.
	giveUpAfter = time.Minute
	// LookEvery is how often reads are checked for progress.
	LookEvery = 500 * time.Millisecond
	// CodeConsumers is JetStream's error for a stream with all the consumers that
	// it may have.
	CodeConsumers jetstream.ErrorCode = 10026
)

// StuckText says what a read waits for, and what to do.
func StuckText(s wire.Stuck) string {
	text := fmt.Sprintf("stream %s can't be read: %v", s.Stream, s.Err)
	if APICode(s.Err) == CodeConsumers {
		text += "; others hold them: `nats consumer ls " + s.Stream + "` shows which"
	}
	return text
}

// APICode is the error code that the server answered with; 0: none.
func APICode(err error) jetstream.ErrorCode {
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil {
		return api.APIError().ErrorCode
	}
	return 0
}

// Patiently runs a command. It says on stderr what the command waits for, and ends
// it where the server goes on refusing.
func (c *IO) Patiently(run func() error) error {
	watch := &wire.Watch{}
	ctx, cancel := context.WithCancelCause(wire.WithWatch(c.Ctx, watch))
	outer := c.Ctx
	c.Ctx = ctx
	ended := make(chan struct{})
	defer func() {
		cancel(nil)
		<-ended
		c.Ctx = outer
	}()
	go func() {
		defer close(ended)
		for said := false; wire.Pause(ctx, LookEvery) == nil; {
			stuck := watch.Stuck(SayAfter)
			if len(stuck) == 0 {
				said = false
				continue
			}
			if s := stuck[0]; APICode(s.Err) != 0 && time.Since(s.Since) > c.giveUp() {
				cancel(&tooLongError{s, c.giveUp()})
				return
			}
			if !said {
				said = true
				fmt.Fprintln(c.Stderr, "rollcall: waiting: "+OneLine(errors.New(StuckText(stuck[0]))))
			}
		}
	}()
	err := run()
	late, left := (*tooLongError)(nil), (*leftError)(nil)
	switch {
	case !errors.As(context.Cause(ctx), &late):
		return err
	case errors.As(err, &left):
		return fmt.Errorf("%w: %s", late, left.left)
	}
	return late
}

func (c *IO) giveUp() time.Duration {
	if c.Patience > 0 {
		return c.Patience
	}
	return giveUpAfter
}

// tooLongError ends a command that waited for long enough.
type tooLongError struct {
	stuck  wire.Stuck
	waited time.Duration
}

// Error names the stream, the reason and the wait.
func (e *tooLongError) Error() string {
	return fmt.Sprintf("%s; given up after %v", StuckText(e.stuck), e.waited)
}

// Unwrap is why the last try failed.
func (e *tooLongError) Unwrap() error { return e.stuck.Err }
