package node

import (
	"net"
	"strconv"
	"sync"

	"github.com/rs/zerolog"
)

// Connections is how many connections each listener has open at a time. 0: the
// process has no such listener.
type Connections struct{ Ingest, API, NATS, Admin int }

// MarshalZerologObject states the limits in a log line.
func (c Connections) MarshalZerologObject(e *zerolog.Event) {
	for _, l := range []struct {
		name string
		n    int
	}{{"webhooks", c.Ingest}, {"api", c.API}, {"nats", c.NATS}, {"admin", c.Admin}} {
		if l.n > 0 {
			e.Str(l.name, strconv.Itoa(l.n))
		}
	}
}

// bounded is a listener with a maximum of open connections. One more is
// closed at once: to let it wait would hold a descriptor all the same.
type bounded struct {
	net.Listener
	slots   chan struct{}
	headers *headerBudget
}

func bound(l net.Listener, most int) net.Listener {
	return &bounded{l, make(chan struct{}, most), newHeaderBudget(headerMemory)}
}

// Accept returns the next connection within the limit.
func (b *bounded) Accept() (net.Conn, error) {
	for {
		conn, err := b.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case b.slots <- struct{}{}:
			return &boundedConn{conn, sync.OnceFunc(func() { <-b.slots }), headerShare{of: b.headers}}, nil
		default:
			_ = conn.Close()
		}
	}
}

// boundedConn is a connection that counts against the limit of its listener, and
// whose headers count against what the listener may hold.
type boundedConn struct {
	net.Conn
	release func()
	headers headerShare
}

// Close closes the connection and frees its place, once.
func (c *boundedConn) Close() error {
	defer c.release()
	c.headers.mu.Lock()
	c.headers.reset()
	c.headers.mu.Unlock()
	return c.Conn.Close()
}
