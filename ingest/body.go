package ingest

import (
	"errors"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"
)

const (
	// firstRead is what is allocated for a body before a byte of it came.
	firstRead = 1 << 10
	// freeBody is how much of each body is read whatever the budget: nearly all
	// bodies are smaller, so slow large ones can't block them.
	freeBody = 8 << 10
)

// budget bounds the memory of bodies under way, over all connections.
type budget struct{ left atomic.Int64 }

// share is one body's part of a budget.
type share struct {
	of *budget
	n  int64
}

// grow makes the share that of a body of size bytes, or reports false.
func (s *share) grow(size int64) bool {
	more := max(0, size-freeBody) - s.n
	if more <= 0 {
		return true
	}
	if s.of.left.Add(-more) < 0 {
		s.of.left.Add(more)
		return false
	}
	s.n += more
	return true
}

// release gives the share back.
func (s *share) release() {
	s.of.left.Add(s.n)
	s.n = 0
}

// read takes the raw body, as long as the provider waits. Memory grows with what
// arrives, not with what was announced.
func (h *Handler) read(w http.ResponseWriter, r *http.Request, held *share) ([]byte, *refusal) {
	tooLarge := &refusal{
		status: http.StatusRequestEntityTooLarge, reason: "too-large",
		detail: "a body has at most " + strconv.FormatInt(h.config.MaxBody, 10) + " bytes",
	}
	if r.ContentLength > h.config.MaxBody {
		return nil, tooLarge
	}
	// Not every ResponseWriter can set a deadline; the server has one of its own.
	_ = http.NewResponseController(w).SetReadDeadline(time.Now().Add(h.config.Timeout))
	most := h.config.MaxBody
	if r.ContentLength >= 0 {
		most = r.ContentLength
	}
	body, err := grown(http.MaxBytesReader(w, r.Body, h.config.MaxBody), most, held)
	var over *http.MaxBytesError
	switch {
	case errors.As(err, &over):
		return nil, tooLarge
	case errors.Is(err, errNoRoom):
		return nil, &refusal{status: http.StatusServiceUnavailable, reason: "bodies-full", detail: "too many large bodies are under way", retryAfter: busyRetry}
	case err != nil || r.ContentLength > int64(len(body)):
		return nil, &refusal{status: http.StatusServiceUnavailable, reason: "body-incomplete", detail: "the body did not come whole", retryAfter: busyRetry}
	}
	return body, nil
}

// errNoRoom: the budget has nothing left.
var errNoRoom = errors.New("no room for the body")

// grown reads all of r. It stops at most bytes without waiting for the end.
func grown(r io.Reader, most int64, held *share) ([]byte, error) {
	body := make([]byte, 0, min(firstRead, most+1))
	for {
		n, err := r.Read(body[len(body):cap(body)])
		body = body[:len(body)+n]
		switch {
		case errors.Is(err, io.EOF):
			return body, nil
		case err != nil:
			return nil, err
		case len(body) < cap(body):
			continue
		}
		size := min(2*int64(cap(body)), most+1) // one more, to see the end
		if !held.grow(size) {
			return nil, errNoRoom
		}
		body = append(make([]byte, 0, size), body...)
	}
}

// encodingOf is the delivery's Content-Encoding as records have it.
func encodingOf(h http.Header) string {
	encoding := strings.ToLower(strings.Join(h.Values("Content-Encoding"), ","))
	if encoding == "identity" {
		return ""
	}
	return cleanID(encoding)
}
