package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest/web"
	"rollcall/query/feed"
	"rollcall/query/replica"
)

// problem is the error of a refused request.
type problem struct{ web.Problem }

func (p *problem) Error() string { return p.Detail }

func newProblem(status int, format string, args ...any) *problem {
	return &problem{web.Problem{Status: status, Detail: fmt.Sprintf(format, args...)}}
}

// retryLater is a 503 that a client can ask again after a second.
func retryLater(format string, args ...any) *problem {
	p := newProblem(http.StatusServiceUnavailable, format, args...)
	p.RetryAfter = time.Second
	return p
}

func badRequest(format string, args ...any) *problem {
	return newProblem(http.StatusBadRequest, format, args...)
}

func notFound(format string, args ...any) *problem {
	return newProblem(http.StatusNotFound, format, args...)
}

// problemOf says what an error means to the client. What it does not know is an
// internal error, whose text is not shown.
func problemOf(err error) *problem {
	var p *problem
	var row *replica.DamagedRowError
	if h := historyProblem(err); h != nil {
		return h
	}
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, feed.ErrPlace):
		return badRequest("%v", feed.ErrPlace)
	case errors.Is(err, replica.ErrBehind):
		return newProblem(http.StatusGatewayTimeout, "%v", err)
	case errors.Is(err, replica.ErrNotLoaded), errors.Is(err, eventlog.ErrNoLog), errors.Is(err, eventlog.ErrUnavailable):
		return retryLater("%v", err)
	case errors.As(err, &row):
		return retryLater("%v", row)
	case errors.Is(err, replica.ErrRemade):
		return retryLater("%v", replica.ErrRemade)
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		return retryLater("the answer took too long; ask for less")
	}
	return newProblem(http.StatusInternalServerError, "internal error, see the log")
}
