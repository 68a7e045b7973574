package web

import (
	"math"
	"net/http"
	"strconv"
	"time"

	"rollcall/eventlog"
)

// ProblemType is the media type of a [Problem].
const ProblemType = "application/problem+json"

// Problem is an RFC 9457 problem detail: the body of every refusal.
type Problem struct {
	// Type is a URI that names the reason; "" stands for about:blank.
	Type   string
	Status int
	Detail string
	// RetryAfter is sent with a 503, in whole seconds.
	RetryAfter time.Duration
}

// AppendJSON appends the body.
func (p *Problem) AppendJSON(b []byte) []byte {
	kind := p.Type
	if kind == "" {
		kind = "about:blank"
	}
	b = eventlog.AppendText(append(b, `{"type":`...), kind)
	b = eventlog.AppendText(append(b, `,"title":`...), http.StatusText(p.Status))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	if p.Detail != "" {
		b = eventlog.AppendText(append(b, `,"detail":`...), p.Detail)
	}
	return append(b, '}')
}

// RetrySeconds is the value of Retry-After, rounded up; 0: the header is not sent.
func (p *Problem) RetrySeconds() int {
	return int(math.Ceil(p.RetryAfter.Seconds()))
}
