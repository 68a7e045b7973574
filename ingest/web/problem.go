package web

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"
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
	b = appendText(append(b, `{"type":`...), kind)
	b = appendText(append(b, `,"title":`...), http.StatusText(p.Status))
	b = strconv.AppendInt(append(b, `,"status":`...), int64(p.Status), 10)
	if p.Detail != "" {
		b = appendText(append(b, `,"detail":`...), p.Detail)
	}
	return append(b, '}')
}

// appendText appends a JSON string. What is no UTF-8 becomes U+FFFD, so that it
// can't fail.
func appendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	return b
}

// RetrySeconds is the value of Retry-After, rounded up; 0: the header is not sent.
func (p *Problem) RetrySeconds() int {
	return int(math.Ceil(p.RetryAfter.Seconds()))
}
