package projector

import (
	"context"
	"errors"
	"time"

	"rollcall/eventlog"
)

// Sentinels of generations.
var (
	// ErrBusy: another rebuild of the view is under way.
	ErrBusy = errors.New("another rebuild is under way")
	// ErrNoGeneration: the view has no such generation, or none in that state.
	ErrNoGeneration = errors.New("no such generation")
	// ErrBehind: the generation holds less of the log than the one in force.
	ErrBehind = errors.New("generation is behind the one in force")
	// ErrMoved: somebody else moved the alias meanwhile.
	ErrMoved = errors.New("alias was moved by somebody else")
)

// Generation is one stored result of a view's fold.
type Generation struct {
	View    string `json:"view"`
	Number  int    `json:"generation"`
	Bucket  string `json:"bucket"`
	Version string `json:"version"`
	// State is staging, catching-up, ready, live, retired or failed. Live is
	// what the alias names; the stored word follows it.
	State     State     `json:"state"`
	StartedAt time.Time `json:"startedAt"`
	ChangedAt time.Time `json:"changedAt"`
	Error     string    `json:"error,omitempty"`
	// Sealed is the last sequence that a trimmed log had lost when the
	// generation was made with --carry: what it holds of earlier records was
	// copied. 0: all of it was folded.
	Sealed eventlog.Seq `json:"sealed,omitempty"`
	// Held: it is ready, and waits for somebody to promote it.
	Held bool `json:"held,omitempty"`

	// Revision is the entry's in the store.
	Revision uint64 `json:"-"`
}

// Registry is a Store that keeps several generations of a view.
type Registry interface {
	Store
	// Ensure returns a view's generations by number, and makes the first one,
	// in force, with the given version, where there is none.
	Ensure(ctx context.Context, view, version string) ([]Generation, error)
	// Stage makes the next generation's bucket and entry. ErrBusy where an
	// unfinished one exists.
	Stage(ctx context.Context, view, version string) (Generation, error)
	// Save writes an entry, fenced by its Revision, and returns it as saved.
	Save(ctx context.Context, g Generation) (Generation, error)
	// Promote moves the alias to a generation that is ready or retired, in one
	// fenced write. It waits a while for a moment at which that generation holds
	// no less than the one in force, so that readers meet no step back.
	Promote(ctx context.Context, view string, number int) (Promotion, error)
	// Drop removes a generation that is not in force, with its bucket.
	Drop(ctx context.Context, view string, number int) error
	// Announce publishes on the plain subjects in what the two generations of a
	// promotion differ, and what the old one changed after it. changed counts the
	// keys that differ.
	Announce(ctx context.Context, p Promotion) (changed int, err error)
	// Checkpoint says how far a bucket is; zero where nothing was committed.
	Checkpoint(ctx context.Context, bucket string) (Checkpoint, error)
	// Carry copies what a generation holds into another one's bucket: states
	// too where both have the same version, else documents and the marks of
	// what was dropped alone.
	Carry(ctx context.Context, from, to Generation) (copied int, err error)
}

// Promotion is a move of the alias.
type Promotion struct {
	Before, After Generation
	// Revision is how far Before was written when the alias moved, and Commit the
	// last commit in it: whether its changes were told is not known.
	Revision uint64
	Commit   string
	// Pause is how long the write took.
	Pause time.Duration
}
