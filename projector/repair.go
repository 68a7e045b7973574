package projector

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/rs/zerolog"

	"rollcall/eventlog"
)

// MaintenanceConfig is what short work on a live view needs: Repair, RetryParked
// and DropParked. Each takes the view's lease from its projector, which stands by
// meanwhile, and releases it.
type MaintenanceConfig struct {
	Projection Projection
	Source     Source
	Store      Store
	Logger     zerolog.Logger
}

// maintenance is a view under a lease of its own: nobody else can write it meanwhile.
type maintenance struct {
	MaintenanceConfig
	*Lease
	parked  *parkedSet
	commits int
}

// repairEntities bounds the entities of one commit.
const repairEntities = 200

func (c MaintenanceConfig) open(ctx context.Context) (*maintenance, error) {
	lease, err := c.Store.Acquire(ctx, LeaseRequest{View: c.Projection.Name(), Version: c.Projection.Version(), Steal: true})
	if err != nil {
		return nil, err
	}
	c.Projection = age(c.Projection, &lease.Checkpoint.Horizon)
	return &maintenance{MaintenanceConfig: c, Lease: lease, parked: newParkedSet(lease.Parked)}, nil
}

func (s *maintenance) close(ctx context.Context) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), defaultStopTimeout)
	defer cancel()
	if err := s.Release(ctx); err != nil {
		s.Logger.Warn().Err(err).Msg("lease not released; the projector continues when it expires")
	}
}

// fits checks that the log still is the one that the view was folded from.
func (s *maintenance) fits(ctx context.Context) error {
	head, err := s.Source.Head(ctx)
	if err != nil {
		return fmt.Errorf("read head of log: %w", err)
	}
	return checkPoint(ctx, s.Source, s.Projection.Name(), s.Checkpoint, head)
}

// store commits without moving the view's sequence.
func (s *maintenance) store(ctx context.Context, c *Commit) error {
	s.commits++
	cp := s.Checkpoint
	cp.Commit = fmt.Sprintf("%d-maintenance.%d", cp.Epoch, s.commits)
	cp.Parked = s.parked.count()
	c.Checkpoint = cp
	if err := s.Commit(ctx, c); err != nil {
		stored, rerr := s.GenerationWriter.Checkpoint(ctx)
		if rerr != nil || stored.Commit != cp.Commit {
			return err
		}
	}
	s.Checkpoint = cp
	return nil
}

// Repair folds the entities of differences again from the whole log and stores
// them, all of their documents and parts. It returns how many entities it wrote.
// Keys that belong to no entity are removed.
func Repair(ctx context.Context, c MaintenanceConfig, differences []Difference) (int, error) {
	head, err := c.Source.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	if head.First > 1 {
		return 0, fmt.Errorf("%w: it begins at record %d, so what came before can't be folded again; run `rollcall rebuild %s --carry`",
			eventlog.ErrTrimmed, head.First, c.Projection.Name())
	}
	extra := make(map[string][]Put)
	states := make(map[string]eventlog.State)
	s, err := c.open(ctx)
	if err != nil {
		return 0, fmt.Errorf("repair view %s: %w", c.Projection.Name(), err)
	}
	defer s.close(ctx)
	if err := s.fits(ctx); err != nil {
		return 0, fmt.Errorf("repair view %s: %w", c.Projection.Name(), err)
	}
	for _, d := range differences {
		if d.Kind == "extra" {
			extra[d.Entity] = append(extra[d.Entity], Put{Key: d.Key})
		}
		if d.Entity != "" && states[d.Entity] == nil {
			states[d.Entity] = s.Projection.New(d.Entity)
		}
	}
	if err := s.refold(ctx, states); err != nil {
		return 0, fmt.Errorf("repair view %s: %w", c.Projection.Name(), err)
	}
	n, err := s.replace(ctx, states, extra)
	if err != nil {
		return n, fmt.Errorf("repair view %s: %w", c.Projection.Name(), err)
	}
	return n, nil
}

// refold folds the entities from the log's first record to the checkpoint.
func (s *maintenance) refold(ctx context.Context, states map[string]eventlog.State) error {
	if len(states) == 0 || s.Checkpoint.Sequence == 0 {
		return nil
	}
	for r, err := range s.Source.Read(ctx, eventlog.ReadOptions{UpTo: s.Checkpoint.Sequence}) {
		if err != nil {
			return err
		}
		ev := eventlog.Decode(&r)
		p, parked := s.parked.records[r.Seq]
		key := p.Entity
		if key == "" && guard(func() { key = s.Projection.Key(&ev) }) != nil {
			continue
		}
		state := states[key]
		if state == nil {
			continue
		}
		if parked {
			if d, ok := state.(Degradable); ok {
				d.Park(p.ReceivedAt)
			}
			continue
		}
		if err := guard(func() { state.Apply(&ev) }); err != nil {
			return fmt.Errorf("record %d fails its fold: %s", r.Seq, oneLine(err))
		}
	}
	return ctx.Err()
}

// replace stores states that were folded again, each with all of its parts, and
// deletes the keys in extra that their flush does not write. It returns how many
// entities it wrote.
func (s *maintenance) replace(ctx context.Context, states map[string]eventlog.State, extra map[string][]Put) (int, error) {
	c := &Commit{}
	if keys := extra[""]; len(keys) > 0 {
		c.Entities = append(c.Entities, EntityWrite{Documents: keys})
	}
	n := 0
	for key, state := range states {
		w := &writes{limit: defaultMaxValueBytes, index: make(map[string]int)}
		if err := guard(func() { state.Flush(w) }); err != nil || w.err != nil {
			return n, fmt.Errorf("flush entity %s: %w", eventlog.EscapeID(key), errors.Join(err, w.err))
		}
		for _, d := range extra[key] {
			if _, ok := w.index["d/"+d.Key]; !ok {
				w.document(d)
			}
		}
		c.Entities = append(c.Entities, EntityWrite{Entity: key, Documents: w.documents, Parts: w.parts, Replace: true})
		n++
		if len(c.Entities) >= repairEntities {
			if err := s.store(ctx, c); err != nil {
				return n, err
			}
			c = &Commit{}
		}
	}
	if len(c.Entities) == 0 {
		return n, nil
	}
	return n, s.store(ctx, c)
}

// RetryParked folds parked records again, with the fold as it is now. Those
// that succeed are in the view afterwards, those that fail stay parked, with the
// new error. No sequences means all. It returns how many are settled.
func RetryParked(ctx context.Context, c MaintenanceConfig, sequences ...eventlog.Seq) (settled int, err error) {
	return settle(ctx, c, true, sequences)
}

// DropParked forgets parked records for good: they stay left out, and the
// entity no longer says that something is missing.
func DropParked(ctx context.Context, c MaintenanceConfig, sequences ...eventlog.Seq) (dropped int, err error) {
	return settle(ctx, c, false, sequences)
}

// settle settles the parked records that are named, or all: with again it folds
// them, without it forgets them. A record that is named and not parked is
// ErrNotFound only where no other was settled, so that a command that was
// interrupted can be called again.
func settle(ctx context.Context, c MaintenanceConfig, again bool, sequences []eventlog.Seq) (n int, err error) {
	s, err := c.open(ctx)
	if err != nil {
		return 0, fmt.Errorf("settle parked records of view %s: %w", c.Projection.Name(), err)
	}
	defer s.close(ctx)
	if again {
		if err := s.fits(ctx); err != nil {
			return 0, fmt.Errorf("settle parked records of view %s: %w", c.Projection.Name(), err)
		}
	}
	for _, r := range s.parked.list(s.Checkpoint.Sequence) {
		if len(sequences) > 0 && !slices.Contains(sequences, r.Sequence) {
			continue
		}
		ok, err := s.settleOne(ctx, r, again)
		if err != nil {
			return n, fmt.Errorf("settle parked record %d of view %s: %w", r.Sequence, c.Projection.Name(), err)
		}
		if ok {
			n++
		}
	}
	if n == 0 && len(sequences) > 0 {
		for _, seq := range sequences {
			if _, ok := s.parked.records[seq]; !ok {
				return 0, fmt.Errorf("%w: record %d is not parked in view %s", eventlog.ErrNotFound, seq, c.Projection.Name())
			}
		}
	}
	return n, nil
}

// settleOne takes one record out of the parked ones: folded if again is set,
// otherwise forgotten.
func (s *maintenance) settleOne(ctx context.Context, r Parked, again bool) (bool, error) {
	record, err := s.Source.Record(ctx, r.Sequence)
	if err != nil && (again || !errors.Is(err, eventlog.ErrNotFound)) {
		return false, fmt.Errorf("read record: %w", err)
	}
	ev := eventlog.Decode(&record)
	key := r.Entity
	if key == "" && again {
		if err := guard(func() { key = s.Projection.Key(&ev) }); err != nil {
			return false, s.stillParked(ctx, r, err)
		}
	}
	c := &Commit{Unpark: []eventlog.Seq{r.Sequence}}
	s.parked.remove(r.Sequence)
	if key != "" {
		write, err := s.refoldOne(ctx, key, &ev, again)
		if err != nil {
			s.parked.add(r)
			if errors.Is(err, errStillFails) {
				return false, s.stillParked(ctx, r, err)
			}
			return false, err
		}
		c.Entities = []EntityWrite{write}
	}
	return true, s.store(ctx, c)
}

var errStillFails = errors.New("record still fails its fold")

// refoldOne loads an entity, folds the record where asked to, and flushes.
func (s *maintenance) refoldOne(ctx context.Context, key string, ev *eventlog.Event, again bool) (EntityWrite, error) {
	parts, err := s.Load(ctx, []string{key})
	if err != nil {
		return EntityWrite{}, err
	}
	state := s.Projection.New(key)
	for _, p := range parts[0] {
		if err := state.Load(p.Name, p.Value); err != nil {
			return EntityWrite{}, fmt.Errorf("%w: part %s of entity %s: %w", ErrState, p.Name, eventlog.EscapeID(key), err)
		}
	}
	w := &writes{limit: defaultMaxValueBytes, index: make(map[string]int)}
	err = guard(func() {
		if d, ok := state.(Degradable); ok {
			d.Unpark()
			if since := s.parked.since(key); !since.IsZero() {
				d.Park(since)
			}
		}
		if again {
			state.Apply(ev)
		}
		state.Flush(w)
	})
	if err = errors.Join(err, w.err); err != nil {
		return EntityWrite{}, fmt.Errorf("%w: %w", errStillFails, err)
	}
	return w.write(key, state, len(parts[0]) == 0), nil
}

func (s *maintenance) stillParked(ctx context.Context, r Parked, err error) error {
	r.Error = oneLine(err)
	return s.store(ctx, &Commit{Park: []Parked{r}})
}
