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

func Usagef(format string, args ...any) error {
	return &codedError{ExitUsage, fmt.Errorf(format, args...)}
}

func NotFoundf(format string, args ...any) error {
	return &codedError{ExitNotFound, fmt.Errorf(format, args...)}
}

func Unreachablef(format string, args ...any) error {
	return &codedError{ExitUnreachable, fmt.Errorf(format, args...)}
}

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
			return ExitFailed // it was reached, and will not do
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
