package query

import (
	"context"
	"fmt"
	"iter"
	"net/http"

	"rollcall/eventlog"
)

const (
	// logReads bounds the reads of records at once. Each has megabytes on their
	// way, and a core to decode them; one more waits for its turn, and longer than
	// answerTimeout is a 503.
	logReads = 8
	// logWaits bounds the requests that wait for a record of the log at once. Each
	// has a consumer, to which the server sends all that is appended.
	logWaits = 1024
)

// turns is a log whose reads take turns, so that no number of requests takes
// the memory and the cores from everything else in the process.
type turns struct {
	Log
	reads, waits chan struct{}
}

func newTurns(l Log) turns {
	return turns{Log: l, reads: make(chan struct{}, logReads), waits: make(chan struct{}, logWaits)}
}

// Read is the log's, once it is the caller's turn.
func (l turns) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		leave, err := l.enter(ctx, opts.Follow)
		if err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		defer leave()
		l.Log.Read(ctx, opts)(yield)
	}
}

// enter waits for the turn of a read; one that follows the log has it at once or
// not at all, since nobody knows when the others are done.
func (l turns) enter(ctx context.Context, follow bool) (leave func(), err error) {
	if follow {
		select {
		case l.waits <- struct{}{}:
			return func() { <-l.waits }, nil
		default:
			p := newProblem(http.StatusServiceUnavailable, "too many requests wait for a record; try again")
			p.retryAfter = 1
			return nil, p
		}
	}
	select {
	case l.reads <- struct{}{}:
		return func() { <-l.reads }, nil
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to read the log: %w", ctx.Err())
	}
}
