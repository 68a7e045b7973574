package console

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// The exit codes: part of what scripts rely on.
const (
	ExitDone        = 0
	ExitFailed      = 1
	ExitUsage       = 2
	ExitNotFound    = 3
	ExitUnreachable = 4
	ExitDifference  = 5
)

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

// Usagef makes an error of how the command was called: exit code 2.
func Usagef(format string, args ...any) error {
	return &codedError{ExitUsage, fmt.Errorf(format, args...)}
}

// NotFoundf makes an error of something that does not exist: exit code 3.
func NotFoundf(format string, args ...any) error {
	return &codedError{ExitNotFound, fmt.Errorf(format, args...)}
}

// Unreachablef makes an error of a server that can't be reached: exit code 4.
func Unreachablef(format string, args ...any) error {
	return &codedError{ExitUnreachable, fmt.Errorf(format, args...)}
}

// Differencef makes an error of a check that found a difference: exit code 5.
func Differencef(format string, args ...any) error {
	return &codedError{ExitDifference, fmt.Errorf(format, args...)}
}

// ExitCode is the code for an error that a command returned.
func ExitCode(err error) int {
	if err == nil {
		return ExitDone
	}
	if coded := (*codedError)(nil); errors.As(err, &coded) {
		return coded.code
	}
	for _, unsuitable := range []error{natslog.ErrServer, natslog.ErrSettings} {
		if errors.Is(err, unsuitable) {
			return ExitFailed // it was reached, but is unsuitable
		}
	}
	for _, missing := range []error{eventlog.ErrNotFound, eventlog.ErrNoLog, projector.ErrNoGeneration, viewstore.ErrGone} {
		if errors.Is(err, missing) {
			return ExitNotFound
		}
	}
	for _, lost := range []error{nats.ErrNoServers, nats.ErrConnectionClosed, nats.ErrTimeout, nats.ErrNoResponders,
		nats.ErrAuthorization, context.DeadlineExceeded, eventlog.ErrUnavailable} {
		if errors.Is(err, lost) {
			return ExitUnreachable
		}
	}
	return ExitFailed
}

// OneLine keeps an error on one line: that is what the reader of a terminal and
// of a journal gets.
func OneLine(err error) string {
	return Printable(strings.Join(strings.Fields(err.Error()), " "))
}
