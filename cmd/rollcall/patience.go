package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
)

const (
	// sayAfter is after how long a command says what it waits for.
	sayAfter = 2 * time.Second
	// giveUpAfter is how long a command waits for a consumer that the server
	// refuses it. A server that is away is waited for without an end, as before.
	giveUpAfter = time.Minute
	// lookEvery is how often it is looked whether reads go on.
	lookEvery = 500 * time.Millisecond
	// codeConsumers is JetStream's error for a stream with all the consumers that
	// it may have.
	codeConsumers jetstream.ErrorCode = 10026
)

// stuckText says what a read waits for, and what to do.
func stuckText(s wire.Stuck) string {
	text := fmt.Sprintf("stream %s can't be read: %v", s.Stream, s.Err)
	if apiCode(s.Err) == codeConsumers {
		text += "; others hold them: `nats consumer ls " + s.Stream + "` shows which"
	}
	return text
}

// apiCode is the error code that the server answered with; 0: none.
func apiCode(err error) jetstream.ErrorCode {
	var api jetstream.JetStreamError
	if errors.As(err, &api) && api.APIError() != nil {
		return api.APIError().ErrorCode
	}
	return 0
}

// patiently runs a command. It says on stderr what the command waits for, and ends
// it where the server goes on refusing.
func (a *app) patiently(run func() error) error {
	watch := &wire.Watch{}
	ctx, cancel := context.WithCancelCause(wire.WithWatch(a.ctx, watch))
	outer := a.ctx
	a.ctx = ctx
	ended := make(chan struct{})
	defer func() {
		cancel(nil)
		<-ended
		a.ctx = outer
	}()
	go func() {
		defer close(ended)
		for said := false; pause(ctx, lookEvery) == nil; {
			stuck := watch.Stuck(sayAfter)
			if len(stuck) == 0 {
				said = false
				continue
			}
			if s := stuck[0]; apiCode(s.Err) != 0 && time.Since(s.Since) > a.giveUp() {
				cancel(&tooLongError{s, a.giveUp()})
				return
			}
			if !said {
				said = true
				fmt.Fprintln(a.stderr, "rollcall: waiting: "+oneLine(errors.New(stuckText(stuck[0]))))
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

func (a *app) giveUp() time.Duration {
	if a.patience > 0 {
		return a.patience
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
	return fmt.Sprintf("%s; given up after %v", stuckText(e.stuck), e.waited)
}

// Unwrap is why the last try failed.
func (e *tooLongError) Unwrap() error { return e.stuck.Err }

// watchReads logs which streams can't be read, and when they can again.
func (n *node) watchReads(ctx context.Context) error {
	for said := map[string]bool{}; pause(ctx, lookEvery) == nil; {
		now := map[string]bool{}
		for _, s := range n.reads.Stuck(sayAfter) {
			if now[s.Stream] {
				continue
			}
			if now[s.Stream] = true; !said[s.Stream] {
				n.logger.Error().Err(s.Err).Str(keyStream, s.Stream).Msg("a stream can't be read")
			}
		}
		for stream := range said {
			if !now[stream] {
				n.logger.Info().Str(keyStream, stream).Msg("the stream can be read again")
			}
		}
		said = now
	}
	return nil
}

// checkReads fails readiness of a process that can't read what it must. Beside an
// ingester it is a note: webhooks are taken all the same.
func (n *node) checkReads(context.Context) (string, error) {
	stuck := n.reads.Stuck(sayAfter)
	if len(stuck) == 0 {
		return "", nil
	}
	if n.doIngest {
		return stuckText(stuck[0]), nil
	}
	return "", errors.New(stuckText(stuck[0]))
}
