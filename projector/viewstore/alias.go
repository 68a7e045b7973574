package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// firstAlias returns the view's alias, and makes it where the view has none: with
// generation 1 or, where somebody deleted the alias, or the whole control bucket,
// with the generation that was live.
func (s *Store) firstAlias(ctx context.Context, c projector.LeaseRequest) (Alias, error) {
	alias, err := s.Alias(ctx, c.View)
	if !errors.Is(err, ErrNoView) {
		return alias, err
	}
	if err := s.control(ctx); err != nil {
		return Alias{}, err
	}
	// A delete marker is the subject's last message, which the write must expect;
	// and its sequence is above every epoch that there was.
	marker := alias.revision
	alias = Alias{Bucket: Bucket(c.View, 1), Generation: 1, Version: c.Version, Epoch: marker + 1}
	known, err := s.recallEntries(ctx, c.View, &alias)
	if err == nil && !known {
		err = s.recallStreams(ctx, c.View, &alias)
	}
	if err != nil {
		return Alias{}, err
	}
	if _, err := s.ensure(ctx, s.bucketConfig(alias.Bucket, stateRoot(alias.Bucket)+">")); err != nil {
		return Alias{}, err
	}
	_, err = s.putControl(ctx, documentSubject(Control, aliasPrefix+c.View), alias, marker)
	if wire.IsConflict(err) {
		return s.Alias(ctx, c.View)
	}
	if err != nil {
		return Alias{}, fmt.Errorf("write alias of view %s: %w", c.View, err)
	}
	return s.Alias(ctx, c.View)
}

// recallEntries sets the generation that was live before the alias was deleted,
// if the registry knows it.
func (s *Store) recallEntries(ctx context.Context, view string, alias *Alias) (known bool, err error) {
	all, _, err := s.entries(ctx, view)
	if err != nil {
		return false, err
	}
	last := uint64(0)
	for _, g := range all {
		if g.State == projector.GenerationLive && g.Revision > last {
			last, known = g.Revision, true
			alias.Bucket, alias.Generation, alias.Version = g.Bucket, g.Number, g.Version
		}
	}
	if known {
		s.config.Logger.Warn().Str("view", view).Str("bucket", alias.Bucket).Msg("the view's alias was deleted, and is made again")
	}
	return known, nil
}

// found is a generation whose stream exists.
type found struct {
	number   int
	version  string // "" where no take-over says
	sequence uint64 // of the log, in its checkpoint
	begun    bool   // it has a checkpoint
}

// recallStreams sets the generation that was live before the control bucket
// was deleted, by the streams that are left: the one that holds most of the log,
// and the newest of equals. A generation that does not say which version of the fold
// made it can't be continued; if there are no others, the next number is used.
// All are entered in the registry again, so that they can be dropped.
func (s *Store) recallStreams(ctx context.Context, view string, alias *Alias) error {
	all, err := s.found(ctx, view)
	if err != nil {
		return err
	}
	best := -1
	for i, f := range all {
		if f.version != "" && (best < 0 || f.sequence >= all[best].sequence) {
			best = i
		}
	}
	switch {
	case best >= 0:
		alias.Generation, alias.Version = all[best].number, all[best].version
	case slices.ContainsFunc(all, func(f found) bool { return f.begun }):
		alias.Generation = all[len(all)-1].number + 1
	}
	alias.Bucket = Bucket(view, alias.Generation)
	// The live one first: if this is interrupted, it is what the registry knows.
	if best > 0 {
		all[0], all[best] = all[best], all[0]
	}
	for _, f := range all {
		g := projector.Generation{View: view, Number: f.number, Bucket: Bucket(view, f.number), Version: f.version, State: projector.GenerationRetired, StartedAt: s.now()}
		switch {
		case f.number == alias.Generation:
			g.State, g.Version = projector.GenerationLive, alias.Version
		case f.version == "":
			g.State = projector.GenerationFailed
		}
		if _, err := s.Save(ctx, g); err != nil && !errors.Is(err, projector.ErrMoved) {
			return err
		}
	}
	if best >= 0 {
		s.config.Logger.Warn().Str("view", view).Str("bucket", alias.Bucket).Msg("the control bucket was deleted; the view's alias is made again from the buckets that are left")
	}
	return nil
}

// found lists a view's generations by the streams that exist, by number.
func (s *Store) found(ctx context.Context, view string) ([]found, error) {
	var all []found
	names := s.js.StreamNames(ctx)
	for name := range names.Name() {
		digits, ok := strings.CutPrefix(name, StreamOf(view+"_g"))
		n, err := strconv.Atoi(digits)
		if !ok || err != nil || StreamOf(Bucket(view, n)) != name {
			continue
		}
		f := found{number: n}
		if err := s.identify(ctx, &f, Bucket(view, n)); err != nil {
			return nil, err
		}
		all = append(all, f)
	}
	if err := names.Err(); err != nil && !errors.Is(err, jetstream.ErrEndOfData) {
		return nil, fmt.Errorf("list streams of view %s: %w", view, err)
	}
	slices.SortFunc(all, func(a, b found) int { return a.number - b.number })
	return all, nil
}

// identify reads how far a generation is, and by which version.
func (s *Store) identify(ctx context.Context, f *found, bucket string) error {
	cp, revision, err := s.checkpoint(ctx, bucket)
	if err != nil || revision == 0 {
		return err
	}
	f.begun, f.sequence = true, uint64(cp.Sequence)
	if cp.Takeover == "" {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	m, err := s.last(ctx, StreamOf(bucket), takeoverSubject(bucket, cp.Takeover))
	if err != nil || m == nil {
		return err
	}
	var t takeover
	if err := json.Unmarshal(m.Data, &t); err != nil {
		return fmt.Errorf("%w: take-over of %s: %w", projector.ErrState, bucket, err)
	}
	f.version = t.Version
	return nil
}
