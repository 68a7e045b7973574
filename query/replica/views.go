package replica

import (
	"context"
	"iter"

	"rollcall/projector/viewstore"
)

// Views is where the replica gets the views from; a viewstore.Reader is one.
type Views interface {
	// Follow yields a view's changes: from the zero Position everything that the
	// view holds, then what changes; from a Position what changed after it. It
	// goes on after reconnects by itself and ends with ctx. Values are not reused.
	Follow(ctx context.Context, view string, from viewstore.Position) iter.Seq2[viewstore.Change, error]
}
