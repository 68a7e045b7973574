package projector

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"
)

// pick returns the view's generation that has one of the states and was changed
// last: by the store's order, since the clocks of those who changed them may differ.
func pick(ctx context.Context, registry Catalog, view, version string, states ...GenerationState) (Generation, error) {
	all, err := registry.Ensure(ctx, view, version)
	if err != nil {
		return Generation{}, err
	}
	all = slices.DeleteFunc(all, func(g Generation) bool { return !slices.Contains(states, g.State) })
	if len(all) == 0 {
		return Generation{}, noneIs(view, states)
	}
	return slices.MaxFunc(all, func(a, b Generation) int { return cmp.Compare(a.Revision, b.Revision) }), nil
}

func noneIs(view string, states []GenerationState) error {
	names := make([]string, len(states))
	for i, s := range states {
		names[i] = string(s)
	}
	return fmt.Errorf("%w: no generation of %s is %s; see `rollcall status`", ErrNoGeneration, view, strings.Join(names, " or "))
}

// Promote makes the view's ready generation the live one, and publishes the
// difference on the plain subjects. version is the fold's, for a view without any
// generation. ErrBehind: within 5 s that generation did not reach the checkpoint
// that the live one had when Promote was called.
func Promote(ctx context.Context, registry Switch, view, version string) (Rebuilt, error) {
	return move(ctx, registry, view, version, GenerationReady, false)
}

// Rollback makes the generation live again that was retired last. ErrBehind
// as for Promote.
func Rollback(ctx context.Context, registry Switch, view, version string) (Rebuilt, error) {
	return move(ctx, registry, view, version, GenerationRetired, false)
}

// ForcePromote is Promote of a generation that may lag: readers step back
// to what it holds, until a projector of its version has caught up.
func ForcePromote(ctx context.Context, registry Switch, view, version string) (Rebuilt, error) {
	return move(ctx, registry, view, version, GenerationReady, true)
}

// ForceRollback is Rollback as ForcePromote is Promote.
func ForceRollback(ctx context.Context, registry Switch, view, version string) (Rebuilt, error) {
	return move(ctx, registry, view, version, GenerationRetired, true)
}

func move(ctx context.Context, registry Switch, view, version string, from GenerationState, force bool) (out Rebuilt, err error) {
	g, err := pick(ctx, registry, view, version, from)
	if err != nil {
		return out, err
	}
	if !force {
		if err := awaitCatchUp(ctx, registry, g, version); err != nil {
			return out, err
		}
	}
	if out.Promotion, err = registry.Promote(ctx, view, g.Number); err != nil {
		return out, err
	}
	out.Changed, out.AnnounceErr = registry.Announce(ctx, out.Promotion)
	return out, nil
}

const (
	// catchUpTimeout is how long a generation may take to reach the live one's
	// checkpoint, and catchUpPoll how often that is checked. One that is followed
	// takes a commit's time, one that nobody follows never gets there.
	catchUpTimeout = 5 * time.Second
	catchUpPoll    = 50 * time.Millisecond
)

// awaitCatchUp waits until a generation holds what the live one holds now.
func awaitCatchUp(ctx context.Context, registry Switch, g Generation, version string) error {
	live, err := pick(ctx, registry, g.View, version, GenerationLive)
	if err != nil {
		return err
	}
	target, err := registry.Checkpoint(ctx, live.Bucket)
	if err != nil {
		return err
	}
	for left := catchUpTimeout; ; left -= catchUpPoll {
		cp, err := registry.Checkpoint(ctx, g.Bucket)
		if err != nil || cp.Sequence >= target.Sequence {
			return err
		}
		if left <= 0 {
			return fmt.Errorf("%w: %s holds the log up to record %d, the current %s up to %d; start a projector of version %s and see `rollcall status`, or add --force: then readers step back to record %d until one has caught up",
				ErrBehind, g.Bucket, cp.Sequence, live.Bucket, target.Sequence, g.Version, cp.Sequence)
		}
		if err := pause(ctx, catchUpPoll); err != nil {
			return err
		}
	}
}

// Drop removes every retired or failed generation of the view, and returns them.
func Drop(ctx context.Context, registry Remover, view, version string) ([]Generation, error) {
	return remove(ctx, registry, view, version, GenerationRetired, GenerationFailed)
}

// Abort removes the generation that a rebuild is making, or has made ready, and
// what an earlier Abort left half removed. A running rebuild ends with ErrAborted.
func Abort(ctx context.Context, registry Remover, view, version string) ([]Generation, error) {
	return remove(ctx, registry, view, version, GenerationStaging, GenerationCatchingUp, GenerationReady, GenerationFailed)
}

// remove drops the view's generations that are in one of the states, and returns
// them; it is an error where there are none.
func remove(ctx context.Context, registry Remover, view, version string, states ...GenerationState) ([]Generation, error) {
	all, err := registry.Ensure(ctx, view, version)
	if err != nil {
		return nil, err
	}
	var gone []Generation
	for _, g := range all {
		if !slices.Contains(states, g.State) {
			continue
		}
		if err := registry.Drop(ctx, view, g.Number); err != nil {
			return gone, err
		}
		gone = append(gone, g)
	}
	if len(gone) == 0 {
		return nil, noneIs(view, states)
	}
	return gone, nil
}
