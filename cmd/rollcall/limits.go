package main

import (
	"cmp"
	"fmt"
	"net"
	"strconv"
	"strings"
	"sync"

	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
)

// connections is how many connections each listener has open at a time. 0: the
// process has no such listener.
type connections struct{ ingest, api, nats, admin int }

const (
	// ownFiles is how many descriptors are for what is no client: the streams'
	// files, the replica, the process's own connections. A small limit gives a
	// quarter of it.
	ownFiles = 512
	// leastConns is what a listener can't do without.
	leastConns = 8
)

// share is a listener's part of the descriptors.
type share struct {
	flag string
	to   *int
	// given is the flag's value, 0: none. most is what is enough without one.
	given, most, weight int
	used                bool
}

// setConnections divides the descriptors that the process may open among its
// listeners. Webhooks have the greatest part, and no reader can take it: each
// listener has its own.
func (c *nodeConfig) setConnections(descriptors uint64) error {
	limit := int(min(descriptors, 1<<30))
	left := limit - min(ownFiles, limit/4)
	shares := []share{
		{"--max-connections", &c.connections.ingest, c.MaxConnections, 20_000, 12, c.doIngest},
		{"--api-max-connections", &c.connections.api, c.APIMaxConnections, 4096, 4, c.doQuery},
		{"--nats-max-connections", &c.connections.nats, c.NATSMaxConnections, 4096, 3, c.NATSURL == "" && c.NATSListen != ""},
		{"", &c.connections.admin, 0, 128, 1, true},
	}
	var asked []string
	weights, least := 0, 0
	for _, s := range shares {
		switch {
		case !s.used:
		case s.given > 0:
			*s.to = s.given
			left -= s.given
			asked = append(asked, fmt.Sprintf("%s %d", s.flag, s.given))
		default:
			weights += s.weight
			least += leastConns
		}
	}
	if left < least {
		return console.Usagef("%s: too many for a process that may open %d files (ulimit -n), some of which are its own and the other listeners'; want at least %d fewer, or raise that limit",
			cmp.Or(strings.Join(asked, ", "), "connections"), limit, least-left)
	}
	for _, s := range shares {
		if s.used && s.given == 0 {
			*s.to = max(leastConns, min(s.most, left*s.weight/weights))
		}
	}
	return nil
}

// MarshalZerologObject states the limits in a log line.
func (c connections) MarshalZerologObject(e *zerolog.Event) {
	for _, l := range []struct {
		name string
		n    int
	}{{"webhooks", c.ingest}, {"api", c.api}, {"nats", c.nats}, {"admin", c.admin}} {
		if l.n > 0 {
			e.Str(l.name, strconv.Itoa(l.n))
		}
	}
}

// bounded is a listener with at most so many connections open. One more is
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
