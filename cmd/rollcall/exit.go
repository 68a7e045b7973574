package main

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
	exitDone        = 0
	exitFailed      = 1
	exitUsage       = 2
	exitNotFound    = 3
	exitUnreachable = 4
	exitDifference  = 5
)

// codedError is an error that knows its exit code.
type codedError struct {
	code int
	err  error
}

func (e *codedError) Error() string { return e.err.Error() }
func (e *codedError) Unwrap() error { return e.err }

func usagef(format string, args ...any) error {
	return &codedError{exitUsage, fmt.Errorf(format, args...)}
}

func notFoundf(format string, args ...any) error {
	return &codedError{exitNotFound, fmt.Errorf(format, args...)}
}

func unreachablef(format string, args ...any) error {
	return &codedError{exitUnreachable, fmt.Errorf(format, args...)}
}

func differencef(format string, args ...any) error {
	return &codedError{exitDifference, fmt.Errorf(format, args...)}
}

// exitCode is the code for an error that a command returned.
func exitCode(err error) int {
	if err == nil {
		return exitDone
	}
	if coded := (*codedError)(nil); errors.As(err, &coded) {
		return coded.code
	}
	for _, unsuitable := range []error{natslog.ErrServer, natslog.ErrSettings} {
		if errors.Is(err, unsuitable) {
			return exitFailed // it was reached, and will not do
		}
	}
	for _, missing := range []error{eventlog.ErrNotFound, eventlog.ErrNoLog, projector.ErrNoGeneration, viewstore.ErrGone} {
		if errors.Is(err, missing) {
			return exitNotFound
		}
	}
	for _, lost := range []error{nats.ErrNoServers, nats.ErrConnectionClosed, nats.ErrTimeout, nats.ErrNoResponders,
		nats.ErrAuthorization, context.DeadlineExceeded, eventlog.ErrUnavailable} {
		if errors.Is(err, lost) {
			return exitUnreachable
		}
	}
	return exitFailed
}

// oneLine keeps an error on one line: that is what the reader of a terminal and
// of a journal gets.
func oneLine(err error) string {
	return printable(strings.Join(strings.Fields(err.Error()), " "))
}
