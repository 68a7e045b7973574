package query

import (
	"context"
	"iter"

	"rollcall/eventlog"
	"rollcall/projector/viewstore"
)

// Views is where the replica gets the views from; a viewstore.Reader is one.
type Views interface {
	// Follow yields a view's changes: from the zero Position everything that the
	// view holds, then what changes; from a Position what changed behind it. It
	// goes over reconnects by itself and ends with ctx. Values are not reused.
	Follow(ctx context.Context, view string, from viewstore.Position) iter.Seq2[viewstore.Change, error]
}

// Log is what the API reads records from; a natslog.Log is one.
type Log interface {
	// Head says how far the log is.
	Head(ctx context.Context) (eventlog.Head, error)
	// Record returns one record; eventlog.ErrNotFound where there is none.
	Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error)
	// Read yields records in log order.
	Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error]
}
