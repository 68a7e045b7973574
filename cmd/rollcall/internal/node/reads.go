package node

import (
	"context"
	"errors"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/wire"
)

// watchReads logs which streams can't be read, and when they can again.
func (n *Node) watchReads(ctx context.Context) error {
	for said := map[string]bool{}; wire.Pause(ctx, console.LookEvery) == nil; {
		now := map[string]bool{}
		for _, s := range n.Reads.Stuck(console.SayAfter) {
			if now[s.Stream] {
				continue
			}
			if now[s.Stream] = true; !said[s.Stream] {
				n.Logger.Error().Err(s.Err).Str(console.KeyStream, s.Stream).Msg("a stream can't be read")
			}
		}
		for stream := range said {
			if !now[stream] {
				n.Logger.Info().Str(console.KeyStream, stream).Msg("the stream can be read again")
			}
		}
		said = now
	}
	return nil
}

// checkReads fails readiness of a process that can't read what it must. Beside an
// ingester it is a note: webhooks are taken all the same.
func (n *Node) checkReads(context.Context) (string, error) {
	stuck := n.Reads.Stuck(console.SayAfter)
	if len(stuck) == 0 {
		return "", nil
	}
	if n.Roles.Ingest {
		return console.StuckText(stuck[0]), nil
	}
	return "", errors.New(console.StuckText(stuck[0]))
}
