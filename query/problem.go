package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// problem is an RFC 9457 problem detail, and the error of a refused request.
type problem struct {
	Type   string `json:"type"`
	Title  string `json:"title"`
	Status int    `json:"status"`
	Detail string `json:"detail,omitzero"`
	// retryAfter, in seconds, goes into the header; 0: none.
	retryAfter int
}

func (p *problem) Error() string { return p.Detail }

func (p *problem) body() []byte {
	b, err := json.Marshal(p, json.Deterministic(true))
	if err != nil {
		return []byte(`{"type":"about:blank","title":"Internal Server Error","status":500}`)
	}
	return b
}

func newProblem(status int, format string, args ...any) *problem {
	return &problem{Type: "about:blank", Title: http.StatusText(status), Status: status, Detail: fmt.Sprintf(format, args...)}
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
	var row *damagedRow
	switch {
	case errors.As(err, &p):
		return p
	case errors.Is(err, errBehind):
		return newProblem(http.StatusGatewayTimeout, "%v", err)
	case errors.Is(err, errNotLoaded), errors.Is(err, eventlog.ErrNoLog), errors.Is(err, eventlog.ErrUnavailable):
		p := newProblem(http.StatusServiceUnavailable, "%v", err)
		p.retryAfter = 1
		return p
	case errors.As(err, &row), errors.Is(err, errRemade):
		text := errRemade.Error()
		if row != nil {
			text = row.Error()
		}
		p := newProblem(http.StatusServiceUnavailable, "%s", text)
		p.retryAfter = 1
		return p
	case errors.Is(err, context.DeadlineExceeded), errors.Is(err, context.Canceled):
		p := newProblem(http.StatusServiceUnavailable, "the answer took too long; ask for less")
		p.retryAfter = 1
		return p
	}
	return newProblem(http.StatusInternalServerError, "internal error, see the log")
}
