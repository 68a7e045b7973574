package main

import (
	"cmp"
	"fmt"
	"strings"

	"rollcall/cmd/rollcall/internal/console"
)

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
func (c *settings) setConnections(descriptors uint64) error {
	limit := int(min(descriptors, 1<<30))
	left := limit - min(ownFiles, limit/4)
	shares := []share{
		{"--max-connections", &c.node.Connections.Ingest, c.MaxConnections, 20_000, 12, c.node.Roles.Ingest},
		{"--api-max-connections", &c.node.Connections.API, c.APIMaxConnections, 4096, 4, c.node.Roles.Query},
		{"--nats-max-connections", &c.node.Connections.NATS, c.NATSMaxConnections, 4096, 3, c.NATSURL == "" && c.NATSListen != ""},
		{"", &c.node.Connections.Admin, 0, 128, 1, true},
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
