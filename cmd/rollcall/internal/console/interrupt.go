package console

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"syscall"
)

// exitSignal is added to a signal's number: 130 after SIGINT, 143 after SIGTERM.
const exitSignal = 128

// interruption is the signal that ended a command's context.
type interruption struct{ signal syscall.Signal }

func (i *interruption) Error() string {
	if i.signal == syscall.SIGTERM {
		return "interrupted by SIGTERM"
	}
	return "interrupted by SIGINT"
}

// WithSignals returns a context that the first SIGINT or SIGTERM ends. A second
// one ends the process at once.
func WithSignals(ctx context.Context) context.Context {
	ctx, cancel := context.WithCancelCause(ctx)
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		s, _ := (<-signals).(syscall.Signal)
		signal.Stop(signals)
		cancel(&interruption{s})
	}()
	return ctx
}

// interruptionOf is what ended ctx; a context that was ended in another way
// counts as SIGINT.
func interruptionOf(ctx context.Context) *interruption {
	i := &interruption{syscall.SIGINT}
	errors.As(context.Cause(ctx), &i)
	return i
}

// leftError says what an interrupted command left behind.
type leftError struct {
	left string
	err  error
}

func (e *leftError) Error() string { return e.left }
func (e *leftError) Unwrap() error { return e.err }

// Left makes an error of a command that was interrupted say what it left, and
// what to do next. Any other error stays as it is.
func (c *IO) Left(err error, format string, args ...any) error {
	if err == nil || c.Ctx.Err() == nil || errors.As(err, new(*leftError)) {
		return err
	}
	return &leftError{fmt.Sprintf(format, args...), err}
}

// Interrupted prints what an interrupted command left, and returns its exit
// code; ok is false where err has another cause. A command that changes
// something says itself what it left.
func (c *IO) Interrupted(err error) (code int, ok bool) {
	if c.Ctx.Err() == nil {
		return 0, false
	}
	said := "nothing was changed"
	if left := (*leftError)(nil); errors.As(err, &left) {
		said = left.left
	} else if !errors.Is(err, context.Canceled) {
		return 0, false
	}
	by := interruptionOf(c.Ctx)
	fmt.Fprintf(c.Stderr, "rollcall: %v: %s\n", by, Printable(said))
	return exitSignal + int(by.signal), true
}

// Input is stdin until the command is interrupted: a read that waits for a
// terminal or a pipe would keep the command from ending.
func (c *IO) Input() io.Reader {
	r, w := io.Pipe()
	go func() {
		_, err := io.Copy(w, c.Stdin)
		w.CloseWithError(err)
	}()
	context.AfterFunc(c.Ctx, func() { w.CloseWithError(context.Canceled) })
	return r
}
