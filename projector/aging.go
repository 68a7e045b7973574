package projector

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"rollcall/eventlog"
)

// Aging is a State of an entity that comes to an end, and may leave the view some
// time later. Dropping is a law like the fold itself: of a generation whose
// checkpoint says [Checkpoint].Horizon, an entity is there unless it was over
// before that. Over can only become earlier and a horizon only later, so nothing
// that was dropped would have to come back, in whatever order records come.
type Aging interface {
	eventlog.State
	// Over is the earliest received time of a record that ended the entity, the
	// zero Time while there is none. It is known once the part AgingPart is loaded.
	Over() eventlog.Time
	// Erase deletes all documents that the entity ever flushed. All parts have
	// been loaded, and nothing but Erase is called afterwards.
	Erase(w eventlog.Writer)
}

// AgingPart is the part of a state that Over needs.
const AgingPart = "core"

// MarkPart is all that is left of an entity that was dropped: records that come
// late for it change nothing. Its value is the entity's Over, in microseconds
// since 1970, as text.
const MarkPart = "dropped"

// aged is a fold whose entities leave the view once they were over before the
// horizon. All that folds into a stored view goes through it.
type aged struct {
	Projection
	horizon *eventlog.Time // belongs to the fold's goroutine
}

func age(p Projection, horizon *eventlog.Time) aged { return aged{p, horizon} }

// New returns the state of an entity that has seen no event.
func (f aged) New(key string) eventlog.State {
	s := f.Projection.New(key)
	if a, ok := s.(Aging); ok {
		return &agedState{Aging: a, horizon: f.horizon}
	}
	return s
}

// agedState is an Aging that drops itself by the horizon.
type agedState struct {
	Aging   // dropped once nothing is left but the mark
	horizon *eventlog.Time
	leaving bool // the last Flush dropped it
}

// Load takes a part, or the mark.
func (s *agedState) Load(part string, value []byte) error {
	if part == MarkPart {
		s.Aging = dropped{}
		return nil
	}
	return s.Aging.Load(part, value)
}

// Park and Unpark pass on to what is degradable.
func (s *agedState) Park(at eventlog.Time) {
	if d, ok := s.Aging.(Degradable); ok {
		d.Park(at)
	}
}

// Unpark implements Degradable.
func (s *agedState) Unpark() {
	if d, ok := s.Aging.(Degradable); ok {
		d.Unpark()
	}
}

// Flush writes what changed, or that the entity leaves.
func (s *agedState) Flush(w eventlog.Writer) {
	over := s.Over()
	if over.IsZero() || over >= *s.horizon {
		s.Aging.Flush(w)
		return
	}
	s.Erase(w)
	w.PutPart(MarkPart, fmt.Append(nil, over.UnixMicro()))
	s.Aging, s.leaving = dropped{}, true
}

// dropped is an entity of which nothing is left: nothing changes it.
type dropped struct{}

func (dropped) Load(string, []byte) error { return nil }
func (dropped) Apply(*eventlog.Event)     {}
func (dropped) Flush(eventlog.Writer)     {}
func (dropped) Erase(eventlog.Writer)     {}
func (dropped) Over() eventlog.Time       { return 0 }
func (dropped) Size() int                 { return 64 }

// over reports whether a state was over in [from, to).
func over(state eventlog.State, from, to eventlog.Time) bool {
	s, ok := state.(*agedState)
	return ok && !s.Over().IsZero() && from <= s.Over() && s.Over() < to
}

// left reports whether the last Flush dropped the state, once.
func left(state eventlog.State) bool {
	s, ok := state.(*agedState)
	if !ok || !s.leaving {
		return false
	}
	s.leaving = false
	return true
}

// write makes an EntityWrite of what a state has flushed into w.
func (w *writes) write(entity string, state eventlog.State, fresh bool) EntityWrite {
	e := EntityWrite{Entity: entity, Documents: w.documents, Parts: w.parts, Fresh: fresh}
	if left(state) {
		e.Parts, e.Replace = w.parts[len(w.parts)-1:], !fresh // the mark comes last
	}
	return e
}

// leaves reports whether the write drops its entity.
func (e *EntityWrite) leaves() bool { return len(e.Parts) > 0 && e.Parts[0].Name == MarkPart }

const (
	// maxAgeStep bounds how often a view is swept: each sweep reads a part of
	// every entity.
	maxAgeStep = time.Hour
	minAgeStep = time.Second
	// sweepChunk is how many entities a sweep hands to the fold at a time.
	sweepChunk = 128
)

// ageStep is by how much a horizon moves at a time: a hundredth of the age.
func ageStep(maxAge time.Duration) time.Duration {
	if maxAge <= 0 {
		return maxAgeStep
	}
	return min(max(maxAge/100, minAgeStep), maxAgeStep)
}

// aging moves the horizon of one task. A new horizon is first written into the
// checkpoint. From then on flushes apply it, while a sweep hands over what is
// stored and due. When all of that is gone the checkpoint says that it is settled.
type aging struct {
	// horizon is what states apply, settled what the whole view has reached, and
	// next where it is to go: settled <= horizon <= next.
	horizon, settled, next eventlog.Time
	// wanted: a sweep shall begin. due is the one under way; nil while there is
	// none. err is why it ended, set before due is closed.
	wanted bool
	due    chan []string
	err    error
	// swept: the sweep reached its end, and the fold has what it found.
	swept bool
}

func newAging(cp Checkpoint, floor eventlog.Time, empty bool) aging {
	if empty {
		// Nothing is stored, so nothing has to be swept.
		h := max(cp.Horizon, cp.Sweeping, floor)
		return aging{horizon: h, settled: h, next: h}
	}
	h := max(cp.Horizon, cp.Sweeping)
	return aging{horizon: h, settled: cp.Horizon, next: h, wanted: h != cp.Horizon}
}

// advance moves the next horizon when it is due. The first commit stores it.
func (t *task) advance(now time.Time) {
	maxAge := t.p.config.MaxAge
	a := &t.aging
	if maxAge <= 0 || t.bulk || t.at.seq < t.target || a.next != a.horizon || a.settled != a.horizon {
		return
	}
	step := ageStep(maxAge)
	if to := eventlog.TimeOf(now.Add(-maxAge).Truncate(step)); to > a.next {
		a.next = to
		t.mustMove(now)
	}
}

// mustMove has the checkpoint written although no record asks for it.
func (t *task) mustMove(now time.Time) {
	if !t.moved {
		t.moved, t.movedSince = true, now
	}
}

// stamp writes into a checkpoint how far dropping has come. all says that the
// commit holds everything that has changed.
func (a *aging) stamp(cp *Checkpoint, all bool) {
	if all && a.swept {
		a.swept, a.settled = false, a.horizon
	}
	cp.Horizon = a.settled
	if a.next != a.settled {
		cp.Sweeping = a.next
	}
}

// adopt applies a horizon that the checkpoint holds now. What was flushed before
// has been stored, so a sweep will find it.
func (a *aging) adopt(cp Checkpoint) {
	if cp.Sweeping > a.horizon {
		a.horizon, a.wanted = cp.Sweeping, true
	}
}

// again asks for another sweep where the last one was broken off.
func (a *aging) again() { a.wanted = a.horizon != a.settled && a.due == nil && !a.swept }

// sweep starts to look for entities that are due, where that is called for.
func (t *task) sweep(ctx context.Context, wg *sync.WaitGroup) {
	a := &t.aging
	if !a.wanted || t.bulk {
		return
	}
	due, horizon := make(chan []string), a.horizon
	a.wanted, a.due = false, due
	wg.Go(func() {
		defer close(due)
		a.err = t.findDue(ctx, horizon, due)
	})
}

// findDue sends the keys of entities that are stored and were over before the
// horizon. It reads all of the store, and holds nothing.
func (t *task) findDue(ctx context.Context, horizon eventlog.Time, due chan<- []string) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var chunk []string
	send := func() bool {
		select {
		case <-ctx.Done():
			return false
		case due <- chunk:
			chunk = nil
			return true
		}
	}
	stalled := time.AfterFunc(sweepTimeout, cancel)
	defer stalled.Stop()
	for e, err := range t.Entities(ctx, AgingPart) {
		if err != nil {
			return err
		}
		stalled.Reset(sweepTimeout)
		ages := true
		var over eventlog.Time
		if err := guard(func() {
			var s Aging
			if s, ages = t.fold.Projection.New(e.Entity).(Aging); ages && s.Load(AgingPart, e.Value) == nil {
				over = s.Over()
			}
		}); err != nil || over.IsZero() || over >= horizon {
			if !ages {
				return nil // this view keeps everything
			}
			continue // a state that can't be read is found when it is needed
		}
		if chunk = append(chunk, e.Entity); len(chunk) == sweepChunk && !send() {
			return ctx.Err()
		}
	}
	if len(chunk) > 0 && !send() {
		return ctx.Err()
	}
	return nil
}

// dueKeys is the sweep's channel while the fold can take more.
func (t *task) dueKeys() <-chan []string {
	if t.dirty.Len() >= sweepChunk {
		return nil
	}
	return t.aging.due
}

// drop takes what a sweep found, or its end.
func (t *task) drop(ctx context.Context, keys []string, more bool) error {
	now := t.p.config.Now()
	keys = slices.DeleteFunc(keys, func(key string) bool { return t.poison.broken[key] != "" })
	if !more {
		t.aging.due = nil
		if err := t.aging.err; err != nil {
			t.p.logger.Warn().Err(err).Str(keyBucket, t.Bucket).Msg("search for entities to drop was interrupted; trying again")
			return nil
		}
		t.aging.swept = true
		t.mustMove(now)
		return nil
	}
	if err := t.fetch(ctx, keys); err != nil {
		return err
	}
	for _, e := range t.targets {
		t.touch(e, now)
	}
	clear(t.targets)
	t.cache.evict()
	return nil
}
