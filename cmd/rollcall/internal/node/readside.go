package node

import (
	"context"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/wire"
)

const (
	// readPauseFirst and readPauseLast bound the pause before a part of the read
	// side that failed is started again.
	readPauseFirst = 250 * time.Millisecond
	readPauseLast  = 10 * time.Second
)

// readSide are the parts that answer readers. Beside an ingester none of them
// may end the process: one that fails is noted and started again.
type readSide struct {
	node *Node

	mu     sync.Mutex
	failed map[string]string // by part
}

// serve runs a part of the read side until the stage ends.
func (s *readSide) serve(part string, fn func(ctx context.Context) error) {
	if !s.node.Roles.Ingest {
		s.node.serve(stageQuery, fn)
		return
	}
	s.node.serve(stageQuery, func(ctx context.Context) error {
		for wait := readPauseFirst; ; wait = min(2*wait, readPauseLast) {
			begin := time.Now()
			recovered := time.AfterFunc(readPauseLast, func() { s.note(part, "") })
			err := fn(ctx)
			recovered.Stop()
			if ctx.Err() != nil || err == nil {
				return nil
			}
			s.note(part, console.OneLine(err))
			s.node.Logger.Error().Str(console.KeyPart, part).Err(err).Msg("a part of the read side failed and is started again; ingest goes on")
			if time.Since(begin) > readPauseLast {
				wait = readPauseFirst
			}
			if wire.Pause(ctx, wait) != nil {
				return nil
			}
		}
	})
}

func (s *readSide) note(part, text string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if text == "" {
		delete(s.failed, part)
		return
	}
	s.failed[part] = text
}

// notes reports the last error of each failed part, and what the replica waits
// for.
func (s *readSide) notes(all ...string) string {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, part := range slices.Sorted(maps.Keys(s.failed)) {
		all = append(all, part+" failed: "+s.failed[part])
	}
	all = slices.DeleteFunc(all, func(s string) bool { return s == "" })
	return console.Printable(strings.Join(all, "; "))
}

// api serves the read API on the listener that was opened at the start, and
// after a failure on a new one at the same address.
func (s *readSide) api(serve func(ctx context.Context, l net.Listener) error) func(ctx context.Context) error {
	first := true
	return func(ctx context.Context) error {
		n := s.node
		l := n.Listeners.API
		if !first {
			var err error
			if l, err = listenTLS("--api-addr", l.Addr().String(), n.Connections.API, n.TLS.API); err != nil {
				return err
			}
		}
		first = false
		return serve(ctx, l)
	}
}
