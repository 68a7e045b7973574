package projector

import (
	"bytes"
	"context"
	"hash/maphash"
	"maps"
	"slices"

	"rollcall/eventlog"
)

// KindState is the kind of a [Difference] whose documents may be right, while the
// stored state that the next record is folded into is not.
const KindState = "state"

// StoredState is what a view holds of one entity's state.
type StoredState struct {
	Parts []Part
	// Sequence is the last record that is in it.
	Sequence eventlog.Seq
	// Err says that the parts can't be distinguished; nil: they can.
	Err error
}

const (
	// stateChunk is how many entities' states are asked for at a time.
	stateChunk = 64
	// judgeChunk is how many entities are folded again at a time.
	judgeChunk = 1000
	// maxProvoked bounds the records of an entity that are tried on its state.
	maxProvoked = 64
)

// compareStates compares the stored parts of up to stateChunk entities with those
// that the log gives, by their hashes. A difference need not be an error: parts may
// have been split in another order, or be ahead of the checkpoint.
func (v *verifier) compareStates(ctx context.Context, flushed map[string]map[string]uint64) error {
	if len(flushed) == 0 {
		return nil
	}
	keys := slices.Sorted(maps.Keys(flushed))
	stored, err := v.Viewer.States(ctx, v.out.Bucket, keys)
	if err != nil {
		return err
	}
	for i, key := range keys {
		if !v.sameParts(&stored[i], flushed[key]) {
			v.suspects = append(v.suspects, key)
		}
	}
	return nil
}

func (v *verifier) sameParts(s *StoredState, want map[string]uint64) bool {
	if s.Err != nil || len(s.Parts) != len(want) {
		return false
	}
	for _, p := range s.Parts {
		if hash, ok := want[p.Name]; !ok || hash != maphash.Bytes(v.seed, p.Value) {
			return false
		}
	}
	return true
}

// stateCase is an entity whose stored state is judged by what it does.
type stateCase struct {
	fresh, loaded eventlog.State
	stored        StoredState
	events        []*eventlog.Event
	bad           bool
}

// judgeStates finds out which suspects are wrong: their state can't be loaded;
// or records that it should hold already change it; or new ones give other
// documents than they give on the state that the log makes.
func (v *verifier) judgeStates(ctx context.Context) error {
	known := make(map[string]bool) // entities whose documents differ
	for _, f := range v.found {
		known[f.Entity] = true
	}
	v.suspects = slices.DeleteFunc(v.suspects, func(key string) bool { return known[key] })
	for keys := range slices.Chunk(v.suspects, judgeChunk) {
		cases, last, err := v.stateCases(ctx, keys)
		if err != nil {
			return err
		}
		err = v.replayTo(ctx, last, v.out.Passes+1, func(ev *eventlog.Event, key string) {
			if c := cases[key]; c != nil && ev.Seq <= c.stored.Sequence {
				v.apply(c.fresh, ev)
				v.apply(c.loaded, ev)
				// One that is parked makes the fold fail, and so says nothing of the state.
				if _, parked := v.parked[ev.Seq]; !parked && len(c.events) < maxProvoked {
					c.events = append(c.events, ev)
				}
			}
		})
		if err != nil {
			return err
		}
		for _, key := range keys {
			if c := cases[key]; c.bad || c.changed() || c.astray() {
				v.found = append(v.found, &finding{Difference: Difference{Key: eventlog.EscapeID(key), Entity: key, Kind: KindState}})
			}
		}
	}
	return nil
}

// stateCases loads what is stored of entities.
func (v *verifier) stateCases(ctx context.Context, keys []string) (cases map[string]*stateCase, last eventlog.Seq, err error) {
	cases = make(map[string]*stateCase, len(keys))
	for some := range slices.Chunk(keys, stateChunk) {
		stored, err := v.Viewer.States(ctx, v.out.Bucket, some)
		if err != nil {
			return nil, 0, err
		}
		for i, key := range some {
			c := &stateCase{fresh: v.Projection.New(key), loaded: v.Projection.New(key), stored: stored[i], bad: stored[i].Err != nil}
			for _, p := range c.stored.Parts {
				err := error(nil)
				c.bad = c.bad || guard(func() { err = c.loaded.Load(p.Name, p.Value) }) != nil || err != nil
			}
			cases[key] = c
			last = max(last, c.stored.Sequence)
		}
	}
	return cases, last, nil
}

// changed reports whether the loaded state changed by records that it holds.
func (c *stateCase) changed() bool {
	var w captured
	if guard(func() { c.loaded.Flush(&w) }) != nil {
		return true
	}
	for _, p := range c.stored.Parts {
		if value, ok := w.parts[p.Name]; ok && bytes.Equal(value, p.Value) {
			delete(w.parts, p.Name)
		}
	}
	return len(w.parts) > 0
}

// astray reports whether the two states answer new records with other documents:
// copies of those that made them, received an hour later.
func (c *stateCase) astray() bool {
	const later = 3_600_000_000 // microseconds
	var fresh, loaded captured
	if guard(func() { c.fresh.Flush(&fresh) }) != nil {
		return false // its documents differ already
	}
	fresh = captured{}
	for i, ev := range c.events {
		e := *ev
		e.Repeat, e.Order.At = eventlog.RepeatKey{0: 1, 1: byte(i)}, ev.Order.At+later
		if guard(func() { c.fresh.Apply(&e) }) != nil || guard(func() { c.loaded.Apply(&e) }) != nil {
			continue
		}
	}
	if guard(func() { c.fresh.Flush(&fresh) }) != nil || guard(func() { c.loaded.Flush(&loaded) }) != nil {
		return true
	}
	return !maps.EqualFunc(fresh.documents, loaded.documents, bytes.Equal)
}

// captured keeps what a state flushes.
type captured struct{ documents, parts map[string][]byte }

// Put, Delete and PutPart implement eventlog.Writer.
func (w *captured) Put(key string, document []byte) { put(&w.documents, key, document) }

// Delete keeps that the document is gone.
func (w *captured) Delete(key string) { put(&w.documents, key, nil) }

// PutPart keeps the part.
func (w *captured) PutPart(part string, value []byte) { put(&w.parts, part, value) }

func put(m *map[string][]byte, key string, value []byte) {
	if *m == nil {
		*m = make(map[string][]byte)
	}
	(*m)[key] = value
}
