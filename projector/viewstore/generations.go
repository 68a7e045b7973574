package viewstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// The registry is generation.<view>.<n> in the control bucket. The alias
// alone decides which generation is live, in one write, with the entry of that
// generation; those of others follow.

func generationSubject(view string, number int) string {
	return documentSubject(Control, generationPrefix+view+"."+strconv.Itoa(number))
}

// Generations lists a view's generations by number.
func (r *Reader) Generations(ctx context.Context, view string) ([]projector.Generation, error) {
	_, all, _, err := r.generations(ctx, view)
	return all, err
}

// generations is Generations with the alias it is based on, and the places of
// those whose entry says another state.
func (r *Reader) generations(ctx context.Context, view string) (alias Alias, all []projector.Generation, stale []int, err error) {
	if alias, err = r.Alias(ctx, view); err != nil {
		return alias, nil, nil, err
	}
	if all, _, err = r.entries(ctx, view); err != nil {
		return alias, nil, nil, err
	}
	if !slices.ContainsFunc(all, func(g projector.Generation) bool { return g.Number == alias.Generation }) {
		// The first start was killed between writing alias and entry.
		all = append(all, projector.Generation{View: view, Number: alias.Generation, Bucket: alias.Bucket, Version: alias.Version})
	}
	slices.SortFunc(all, func(a, b projector.Generation) int { return a.Number - b.Number })
	for i := range all {
		g := &all[i]
		stored := g.State
		switch {
		case g.Number == alias.Generation:
			g.State = projector.GenerationLive
		case g.State == projector.GenerationLive:
			g.State = projector.GenerationRetired
		}
		if g.State != stored {
			stale = append(stale, i)
		}
	}
	return alias, all, stale, nil
}

// entries reads the registry's entries for a view. highest is the
// highest number that it knows, including those that were dropped lately.
func (r *Reader) entries(ctx context.Context, view string) (all []projector.Generation, highest int, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	subjects := []string{documentSubject(Control, generationPrefix+view+".*")}
	messages, err := r.lastMessages(ctx, StreamOf(Control), subjects)
	if errors.Is(err, errOneMessage) {
		messages, err = r.collect(ctx, Control, subjects)
	}
	if err != nil {
		return nil, 0, fmt.Errorf("read generations of view %s: %w", view, err)
	}
	prefix := documentSubject(Control, generationPrefix+view+".")
	for _, m := range messages {
		if n, err := strconv.Atoi(strings.TrimPrefix(m.Subject, prefix)); err == nil {
			highest = max(highest, n)
		}
		if deleted(m.Header) {
			continue
		}
		g := projector.Generation{Revision: m.Sequence}
		if err := json.Unmarshal(m.Data, &g); err != nil {
			return nil, 0, fmt.Errorf("%w: %s: %w", projector.ErrState, m.Subject, err)
		}
		all = append(all, g)
	}
	return all, highest, nil
}

// Ensure implements projector.Registry.
func (s *Store) Ensure(ctx context.Context, view, version string) ([]projector.Generation, error) {
	if err := validView(view); err != nil {
		return nil, err
	}
	alias, all, stale, err := s.generations(ctx, view)
	if len(stale) > 0 {
		s.correct(ctx, alias, all, stale)
	}
	if !errors.Is(err, ErrNoView) {
		return all, err
	}
	alias, err = s.firstAlias(ctx, projector.LeaseRequest{View: view, Version: version})
	if err != nil {
		return nil, err
	}
	now := s.now()
	g := projector.Generation{
		View: view, Number: alias.Generation, Bucket: alias.Bucket, Version: alias.Version,
		State: projector.GenerationLive, StartedAt: now, ChangedAt: now,
	}
	if _, err := s.Save(ctx, g); err != nil && !errors.Is(err, projector.ErrMoved) {
		return nil, err
	}
	return s.Generations(ctx, view)
}

// correct updates the entries to the alias, if whoever moved it was interrupted
// after that: if the alias is deleted one day, they are all that is known. What
// fails here is corrected the next time.
func (s *Store) correct(ctx context.Context, alias Alias, all []projector.Generation, stale []int) {
	// Only entries that were read while nobody moved the alias can be trusted.
	if now, err := s.Alias(ctx, all[0].View); err != nil || now.revision != alias.revision {
		return
	}
	for _, i := range stale {
		if g, err := s.Save(ctx, all[i]); err == nil {
			all[i] = g
		} else if !errors.Is(err, projector.ErrMoved) {
			s.config.Logger.Warn().Err(err).Msg("registry entry does not follow the alias yet")
		}
	}
}

func (s *Store) now() time.Time { return time.Now().UTC().Truncate(time.Microsecond) }

// Save implements projector.Registry.
func (s *Store) Save(ctx context.Context, g projector.Generation) (projector.Generation, error) {
	g.ChangedAt = s.now()
	revision, err := s.putControl(ctx, generationSubject(g.View, g.Number), g, g.Revision)
	if wire.IsConflict(err) {
		return g, fmt.Errorf("%w: entry of %s was changed by somebody else", projector.ErrMoved, g.Bucket)
	}
	if err != nil {
		return g, fmt.Errorf("write entry of %s: %w", g.Bucket, err)
	}
	g.Revision = revision
	return g, nil
}

// Stage implements projector.Registry.
func (s *Store) Stage(ctx context.Context, view, version string) (projector.Generation, error) {
	all, err := s.Ensure(ctx, view, version)
	if err != nil {
		return projector.Generation{}, err
	}
	// A number is never reused: the registry still has the marker of a dropped
	// generation, and a follower that was away would not see that the bucket is
	// another one.
	_, number, err := s.entries(ctx, view)
	if err != nil {
		return projector.Generation{}, err
	}
	number = max(number, 1) + 1
	for _, g := range all {
		number = max(number, g.Number+1)
		if g.State == projector.GenerationStaging || g.State == projector.GenerationCatchingUp {
			return g, fmt.Errorf("%w: %s is %s; wait for it, or run `rollcall abort %s`", projector.ErrBusy, g.Bucket, g.State, view)
		}
	}
	now := s.now()
	g := projector.Generation{
		View: view, Number: number, Bucket: Bucket(view, number), Version: version,
		State: projector.GenerationStaging, StartedAt: now,
	}
	// The bucket first: whoever reads the entry, such as a rebuild that resumes
	// another that was killed, can count on it. Of two that stage at once, one
	// gets the entry.
	if _, err := s.ensure(ctx, s.bucketConfig(g.Bucket, stateRoot(g.Bucket)+">")); err != nil {
		return g, err
	}
	g, err = s.Save(ctx, g)
	if errors.Is(err, projector.ErrMoved) {
		return g, fmt.Errorf("%w: %s is being staged", projector.ErrBusy, g.Bucket)
	}
	return g, err
}

// Promote implements projector.Registry.
func (s *Store) Promote(ctx context.Context, view string, number int) (projector.Promotion, error) {
	var p projector.Promotion
	all, err := s.Generations(ctx, view)
	if err != nil {
		return p, err
	}
	alias, err := s.Alias(ctx, view)
	if err != nil {
		return p, err
	}
	var before, next *projector.Generation
	for i := range all {
		switch all[i].Number {
		case alias.Generation:
			before = &all[i]
		case number:
			next = &all[i]
		}
	}
	switch {
	case before == nil:
		return p, fmt.Errorf("%w: alias of %s was moved meanwhile", projector.ErrMoved, view)
	case next == nil:
		return p, fmt.Errorf("%w: %s does not exist, or is live already", projector.ErrNoGeneration, Bucket(view, number))
	case next.State != projector.GenerationReady && next.State != projector.GenerationRetired:
		return p, fmt.Errorf("%w: %s is %s, not ready", projector.ErrNoGeneration, next.Bucket, next.State)
	}
	cp, revision, err := s.moment(ctx, alias.Bucket, next.Bucket)
	if err != nil {
		return p, err
	}
	p.Revision, p.Commit = revision, cp.Commit
	began := time.Now()
	moved := Alias{Bucket: next.Bucket, Generation: next.Number, Version: next.Version, Epoch: alias.Epoch + 1}
	if p.After, err = s.move(ctx, moved, *next, alias.revision); err != nil {
		return p, err
	}
	p.Pause = time.Since(began)
	old := *before
	old.State = projector.GenerationRetired
	if p.Before, err = s.Save(ctx, old); err != nil && !errors.Is(err, projector.ErrMoved) {
		s.config.Logger.Warn().Err(err).Str("view", view).Msg("alias moved; the entry of the generation before follows later")
	}
	return p, nil
}

// move points a view's alias at a generation and enters that it is live, in one
// write: it is refused if somebody drops the generation meanwhile.
func (s *Store) move(ctx context.Context, to Alias, g projector.Generation, revision uint64) (projector.Generation, error) {
	view := g.View
	g.State, g.ChangedAt = projector.GenerationLive, s.now()
	entry, err1 := encode(generationSubject(view, g.Number), g)
	alias, err2 := encode(documentSubject(Control, aliasPrefix+view), to)
	if err := errors.Join(err1, err2); err != nil {
		return g, err
	}
	fence(entry, entry.Subject, g.Revision)
	fence(alias, alias.Subject, revision)
	next, err := s.publishAll(ctx, []*nats.Msg{entry, alias})
	next, err = s.settle(ctx, alias.Subject, next, err, func(m *wire.Message) bool {
		return m.Sequence > revision && bytes.Equal(m.Data, alias.Data)
	})
	if wire.IsConflict(err) {
		return g, fmt.Errorf("%w: alias of %s is at another epoch than %d, or %s was changed meanwhile", projector.ErrMoved, view, to.Epoch-1, g.Bucket)
	}
	if err != nil {
		return g, fmt.Errorf("move alias of %s: %w; look at `rollcall status` before you run this again", view, err)
	}
	g.Revision = next - 1
	return g, nil
}

const (
	// promotePatience is how long Promote waits for its moment, momentPoll how
	// often it checks, and momentIdle after how long without a commit it assumes
	// that none is near.
	promotePatience = 5 * time.Second
	momentPoll      = 2 * time.Millisecond
	momentIdle      = 250 * time.Millisecond
)

// Checkpoint implements projector.Registry. A bucket that was removed holds
// nothing.
func (s *Store) Checkpoint(ctx context.Context, bucket string) (projector.Checkpoint, error) {
	cp, err := s.Reader.Checkpoint(ctx, bucket)
	if errors.Is(err, ErrGone) {
		return projector.Checkpoint{}, nil
	}
	return cp, err
}

// moment waits until the bucket next holds no less of the log than the live one,
// right after a commit of the latter: its next one is a window away, which
// is longer than the alias takes to move. It returns the live checkpoint.
// If next does not catch up, since nobody follows it, moment returns in the end
// anyway: the caller has decided.
func (s *Store) moment(ctx context.Context, live, next string) (projector.Checkpoint, uint64, error) {
	began := time.Now()
	last, since := uint64(0), began
	for {
		cp, revision, err := s.checkpoint(ctx, live)
		if errors.Is(err, ErrGone) {
			return cp, 0, nil // there is nothing to wait for
		}
		if err != nil {
			return cp, revision, err
		}
		to, _, err := s.checkpoint(ctx, next)
		if err != nil {
			return cp, revision, err
		}
		now := time.Now()
		fresh := last != 0 && revision != last
		if revision != last {
			last, since = revision, now
		}
		if to.Sequence >= cp.Sequence && (fresh || now.Sub(since) > momentIdle) || now.Sub(began) > promotePatience {
			return cp, revision, nil
		}
		if err := wire.Pause(ctx, momentPoll); err != nil {
			return cp, revision, err
		}
	}
}

// Drop implements projector.Registry.
func (s *Store) Drop(ctx context.Context, view string, number int) error {
	all, err := s.Generations(ctx, view)
	if err != nil {
		return err
	}
	at := slices.IndexFunc(all, func(g projector.Generation) bool { return g.Number == number })
	if at < 0 {
		return fmt.Errorf("%w: %s", projector.ErrNoGeneration, Bucket(view, number))
	}
	g := all[at]
	if g.State != projector.GenerationLive {
		// First it is no longer followed, and can't become live any more, then it is deleted.
		g.State = projector.GenerationFailed
		if g, err = s.Save(ctx, g); err != nil {
			return err
		}
	}
	alias, err := s.Alias(ctx, view)
	if err != nil {
		return err
	}
	if alias.Generation == number { // whoever reads the entry next corrects it
		return fmt.Errorf("%w: %s is live; run `rollcall rollback %s` first", projector.ErrNoGeneration, alias.Bucket, view)
	}
	if err := s.deleteBucket(ctx, g.Bucket); err != nil {
		return err
	}
	for _, subject := range []string{documentSubject(Control, leasePrefix+g.Bucket), generationSubject(view, number)} {
		if err := s.removeControl(ctx, subject); err != nil {
			return fmt.Errorf("remove entry of %s: %w", g.Bucket, err)
		}
	}
	return nil
}

func (s *Store) deleteBucket(ctx context.Context, bucket string) error {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	if err := s.js.DeleteStream(ctx, StreamOf(bucket)); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("delete stream %s: %w", StreamOf(bucket), err)
	}
	return nil
}
