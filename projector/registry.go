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
	// ErrBehind: the generation holds less of the log than the live one.
	ErrBehind = errors.New("generation is behind the current one")
	// ErrMoved: another process moved the alias meanwhile.
	ErrMoved = errors.New("alias was moved by somebody else")
)

// GenerationState is how far a generation has come.
type GenerationState string

// States of a generation.
const (
	// GenerationStaging: its bucket exists, and is empty.
	GenerationStaging GenerationState = "staging"
	// GenerationCatchingUp: a rebuild folds the log into it.
	GenerationCatchingUp GenerationState = "catching-up"
	// GenerationReady: it has caught up, and waits for promotion.
	GenerationReady GenerationState = "ready"
	// GenerationLive: the alias names it.
	GenerationLive GenerationState = "live"
	// GenerationRetired: the alias named it before, and it is kept for a rollback.
	GenerationRetired GenerationState = "retired"
	// GenerationFailed: its rebuild was aborted, or it is being removed.
	GenerationFailed GenerationState = "failed"
)

// Generation is one stored result of a view's fold.
type Generation struct {
	View    string `json:"view"`
	Number  int    `json:"generation"`
	Bucket  string `json:"bucket"`
	Version string `json:"version"`
	// State is live for what the alias names; the stored entry follows the alias.
	State     GenerationState `json:"state"`
	StartedAt time.Time       `json:"startedAt"`
	ChangedAt time.Time       `json:"changedAt"`
	Error     string          `json:"error,omitempty"`
	// Sealed is the last sequence that a trimmed log had lost when the
	// generation was made with --carry: what it holds of earlier records was
	// copied. 0: all of it was folded.
	Sealed eventlog.Seq `json:"sealed,omitempty"`
	// Held: it is ready, and waits for somebody to promote it.
	Held bool `json:"held,omitempty"`

	// Revision is the entry's in the store, which a change makes greater.
	Revision uint64 `json:"-"`
}

// Catalog lists the generations of views.
type Catalog interface {
	// Ensure returns a view's generations by number. Where there is none it makes
	// the first one, with the given version, and points the alias at it.
	Ensure(ctx context.Context, view, version string) ([]Generation, error)
}

// Switch moves a view's alias: what Promote and Rollback need.
type Switch interface {
	Catalog
	// Checkpoint returns the checkpoint of a bucket; zero if nothing was committed.
	Checkpoint(ctx context.Context, bucket string) (Checkpoint, error)
	// Promote moves the alias to a generation that is ready or retired, in one
	// fenced write. It waits a while for a moment at which that generation holds
	// no less than the live one, so that readers see no step back.
	Promote(ctx context.Context, view string, number int) (Promotion, error)
	// Announce publishes on the plain subjects in which keys the two generations of
	// a promotion differ, and what the old one changed after it. changed counts the
	// keys that differ.
	Announce(ctx context.Context, p Promotion) (changed int, err error)
}

// Remover removes generations: what Drop and Abort need.
type Remover interface {
	Catalog
	// Drop removes a generation that the alias does not name, with its bucket.
	Drop(ctx context.Context, view string, number int) error
}

// Registry keeps several generations of a view: what Rebuild needs.
type Registry interface {
	Store
	Switch
	Remover
	// Stage makes the next generation's bucket and entry. ErrBusy if an unfinished
	// one exists.
	Stage(ctx context.Context, view, version string) (Generation, error)
	// Save writes an entry, fenced by its Revision, and returns it as saved.
	Save(ctx context.Context, g Generation) (Generation, error)
	// Carry copies what a generation holds into another one's bucket: states
	// too if both have the same version, otherwise only documents and the marks of
	// what was dropped.
	Carry(ctx context.Context, from, to Generation) (copied int, err error)
}

// Promotion is a move of the alias.
type Promotion struct {
	Before, After Generation
	// Revision is how far Before was written when the alias moved, and Commit the
	// last commit in it: whether its changes were published is not known.
	Revision uint64
	Commit   string
	// Pause is how long the write took.
	Pause time.Duration
}
