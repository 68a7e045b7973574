package node

import (
	"errors"
	"sync"
	"sync/atomic"
)

const (
	// freeHeaders is what a request may send before it counts: nearly all requests
	// are smaller. An id or a cursor can be a few hundred KiB.
	freeHeaders = 16 << 10
	// headerMemory bounds the rest, over all connections of a listener.
	headerMemory = 32 << 20
)

// errHeaders ends a connection; its client sees it closed.
var errHeaders = errors.New("requests under way send more headers than this listener holds")

// headerBudget is what the requests of a listener may still hold, in bytes.
type headerBudget struct{ left atomic.Int64 }

func newHeaderBudget(size int64) *headerBudget {
	b := new(headerBudget)
	b.left.Store(size)
	return b
}

// headerShare counts what a connection's request sent, from its first byte until
// the next request's: a change feed holds its headers for as long as it runs.
type headerShare struct {
	of *headerBudget

	mu         sync.Mutex
	sent, held int64
	answered   bool
}

// take counts n bytes, and reports whether they may be held.
func (s *headerShare) take(n int) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.answered { // these are the next request's
		s.reset()
	}
	s.sent += int64(n)
	more := max(0, s.sent-freeHeaders) - s.held
	if s.of.left.Add(-more) < 0 {
		s.of.left.Add(more)
		return false
	}
	s.held += more
	return true
}

func (s *headerShare) reset() {
	s.of.left.Add(s.held)
	s.sent, s.held, s.answered = 0, 0, false
}

// Read returns what the client sends, as long as there is room for it.
func (c *boundedConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	if n > 0 && !c.headers.take(n) {
		return 0, errors.Join(errHeaders, c.Close())
	}
	return n, err
}

// Idle is called when a request was answered (web.Serve). That the server wrote says
// nothing: over TLS a client can make it write in the middle of a request.
func (c *boundedConn) Idle() {
	c.headers.mu.Lock()
	defer c.headers.mu.Unlock()
	c.headers.answered = true
}
