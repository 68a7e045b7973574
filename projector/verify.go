package projector

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"hash/maphash"
	"maps"
	"slices"

	"rollcall/eventlog"
)

// Viewer reads a stored view for [Verify].
type Viewer interface {
	// View passes every document of the live generation to put as of one
	// commit, and returns that. A document may come again with a newer value,
	// and nil where it is gone; the last one counts. reset voids what came before.
	View(ctx context.Context, view string, reset func(), put func(key string, value []byte)) (Generation, Checkpoint, error)
	// Document returns a document of a bucket as it is now; nil where there is none.
	Document(ctx context.Context, bucket, key string) ([]byte, error)
	// States returns what a bucket holds of each entity's state now, in the order
	// of the entities.
	States(ctx context.Context, bucket string, entities []string) ([]StoredState, error)
	// Parked lists the records that the live generation leaves out.
	Parked(ctx context.Context, view string) ([]Parked, error)
}

// VerifyConfig says what to verify. The zero value of all but the first three
// fields is a default.
type VerifyConfig struct {
	Projection Projection
	Source     Source
	Viewer     Viewer

	// Sample is the share of the entities to look at, in (0, 1]; 0 means all.
	Sample float64
	// Seed chooses the sample.
	Seed uint64
	// MaxBytes bounds the shadow in memory: 256 MiB. More takes more passes
	// over the log.
	MaxBytes int64
	// MaxDetails bounds the differences that are looked into: 100.
	MaxDetails int
	// Progress, if set, is called with the records read and the pass they belong to.
	Progress func(pass int, seq, of eventlog.Seq)
}

// Verified is what Verify found.
type Verified struct {
	View     string       `json:"view"`
	Bucket   string       `json:"bucket"`
	Version  string       `json:"version"`
	Sequence eventlog.Seq `json:"sequence"`
	// Records were replayed, in Passes passes, into Entities; Keys were
	// compared, of which Equal were equal.
	Records  uint64 `json:"records"`
	Passes   int    `json:"passes"`
	Entities int    `json:"entities"`
	Keys     int    `json:"keys"`
	Equal    int    `json:"equal"`
	// Sealed keys can't be judged: the log no longer has all their records.
	Sealed int `json:"sealed"`
	// Leaving keys are of entities that are being dropped because of their age:
	// they may be there or not.
	Leaving int `json:"leaving"`
	// Parked records were left out, as the view leaves them out.
	Parked      int          `json:"parked"`
	Differences []Difference `json:"differences"`
}

// Difference is a key whose stored document is not what the log says.
type Difference struct {
	Key    string `json:"key"`
	Entity string `json:"entity"`
	// Kind is wrong, missing (the view lacks it), extra (the log knows no such key)
	// or state ([KindState]; Key is the entity's, escaped).
	Kind string `json:"kind"`
	// First is the first record after which log and view differ; 0 where no
	// record can be named.
	First     eventlog.Seq `json:"first"`
	FirstType string       `json:"firstType"`
	Fields    []FieldDiff  `json:"fields"`
}

// FieldDiff is a member in which two documents differ; "" where it is absent.
type FieldDiff struct {
	Name string          `json:"name"`
	View json.RawMessage `json:"view"`
	Log  json.RawMessage `json:"log"`
}

// verifier is one run of Verify.
type verifier struct {
	VerifyConfig
	out    Verified
	seed   maphash.Seed
	live   map[string]uint64 // hash of each key's document in the view
	parked map[eventlog.Seq]Parked
	found  []*finding
	sealed bool
	// suspects are entities whose stored state is not the bytes that the log gives.
	suspects []string
	// horizon and sweeping are those of the view's checkpoint.
	horizon, sweeping eventlog.Time
}

// Verify replays the log into a shadow up to the view's checkpoint and compares
// every document with the stored one. It changes nothing, and may run beside
// live traffic.
func Verify(ctx context.Context, c VerifyConfig) (Verified, error) {
	orDefault(&c.MaxBytes, defaultRebuildCache)
	orDefault(&c.MaxDetails, 100)
	v := &verifier{VerifyConfig: c, seed: maphash.MakeSeed(), live: make(map[string]uint64)}
	v.Projection = age(c.Projection, &v.horizon)
	if err := v.run(ctx); err != nil {
		return v.out, fmt.Errorf("verify view %s: %w", c.Projection.Name(), err)
	}
	return v.out, nil
}

// run reads the view as of one commit, then folds the log up to that commit's
// sequence in as many passes as the memory needs. Each pass takes out of live what
// it has compared: what is left at the end is extra.
func (v *verifier) run(ctx context.Context) error {
	view := v.Projection.Name()
	g, cp, err := v.read(ctx, view)
	if err != nil {
		return err
	}
	v.out = Verified{View: view, Bucket: g.Bucket, Version: g.Version, Sequence: cp.Sequence}
	v.horizon, v.sweeping = cp.Horizon, cp.Sweeping
	if g.Version != v.Projection.Version() {
		return fmt.Errorf("%w: %s holds version %s, this program folds version %s; verify with the program that made it",
			ErrVersion, g.Bucket, g.Version, v.Projection.Version())
	}
	head, err := v.Source.Head(ctx)
	if err != nil {
		return fmt.Errorf("read head of log: %w", err)
	}
	if err := checkPoint(ctx, v.Source, view, cp, head); err != nil && !errors.Is(err, eventlog.ErrTrimmed) {
		return err
	}
	v.sealed = head.First > 1
	v.out.Parked = len(v.parked)
	for passes := []part{{}}; len(passes) > 0; passes = passes[1:] {
		more, err := v.pass(ctx, passes[0])
		if err != nil {
			return err
		}
		passes = append(passes, more...)
	}
	if err := v.judgeStates(ctx); err != nil {
		return err
	}
	if err := v.excuse(ctx); err != nil {
		return err
	}
	if v.Sample == 0 || v.Sample >= 1 {
		for _, key := range slices.Sorted(maps.Keys(v.live)) {
			v.out.Keys++
			v.differs(key, "", "extra")
		}
	}
	return v.explain(ctx)
}

// maxReads bounds how often a view is read because what it leaves out changes.
const maxReads = 10

// read takes the view's documents, and the records that they leave out. The two are
// read apart: if a record was settled meanwhile, or another generation became live,
// both are read again.
func (v *verifier) read(ctx context.Context, view string) (g Generation, cp Checkpoint, err error) {
	before, err := v.Viewer.Parked(ctx, view)
	for n := 1; err == nil; n++ {
		g, cp, err = v.Viewer.View(ctx, view, func() { clear(v.live) }, func(key string, value []byte) {
			if value == nil {
				delete(v.live, key)
			} else {
				v.live[key] = maphash.Bytes(v.seed, value)
			}
		})
		if err != nil {
			return g, cp, err
		}
		var now []Parked
		if now, err = v.Viewer.Parked(ctx, view); err != nil {
			return g, cp, err
		}
		was := leftOut(before, cp.Sequence)
		v.parked = leftOut(now, cp.Sequence)
		if n == maxReads || maps.EqualFunc(was, v.parked, func(a, b Parked) bool { return a.EventID == b.EventID }) {
			return g, cp, nil
		}
		before = now
		clear(v.live)
	}
	return g, cp, err
}

// leftOut are the parked records up to a sequence.
func leftOut(all []Parked, upTo eventlog.Seq) map[eventlog.Seq]Parked {
	m := make(map[eventlog.Seq]Parked)
	for _, r := range all {
		if r.Sequence <= upTo {
			m[r.Sequence] = r
		}
	}
	return m
}

// part is the part of all entities whose hash has the low bits given.
type part struct {
	bits uint
	mask uint64
}

func (p part) has(hash uint64) bool { return hash&(1<<p.bits-1) == p.mask }

// pass folds one part of the entities. When they are too many for the memory it
// leaves half of them to another pass.
func (v *verifier) pass(ctx context.Context, p part) (more []part, err error) {
	v.out.Passes++
	pass := v.out.Passes
	states := make(map[string]eventlog.State)
	hashes := make(map[string]uint64)
	sizes := make(map[string]int)
	total := int64(0)
	err = v.replay(ctx, pass, func(ev *eventlog.Event, key string) {
		hash := fnv(key, v.Seed)
		if !p.has(hash) || !v.sampled(hash) {
			return
		}
		s := states[key]
		if s == nil {
			s = v.Projection.New(key)
			states[key], hashes[key] = s, hash
		}
		v.apply(s, ev)
		n := s.Size() + entityOverhead
		total += int64(n - sizes[key])
		sizes[key] = n
		for total > v.MaxBytes && len(states) > 1 && p.bits < 40 {
			other := part{p.bits + 1, p.mask | 1<<p.bits}
			p.bits++
			more = append(more, other)
			for key, hash := range hashes {
				if !p.has(hash) {
					total -= int64(sizes[key])
					delete(states, key)
					delete(hashes, key)
					delete(sizes, key)
				}
			}
		}
	})
	if err != nil {
		return nil, err
	}
	v.out.Entities += len(states)
	for keys := range slices.Chunk(slices.Sorted(maps.Keys(states)), stateChunk) {
		if err := v.compare(ctx, keys, states); err != nil {
			return nil, err
		}
	}
	return more, nil
}

// compare compares what the view has of some entities with what their states give,
// and then drops the states.
func (v *verifier) compare(ctx context.Context, keys []string, states map[string]eventlog.State) error {
	flushed := make(map[string]map[string]uint64, len(keys))
	for _, key := range keys {
		s := states[key]
		w := &comparer{v: v, entity: key, leaving: over(s, v.horizon, v.sweeping)}
		if !v.sealed { // what the log gives lacks what was trimmed
			w.parts = make(map[string]uint64)
		}
		if err := guard(func() { s.Flush(w) }); err != nil {
			return fmt.Errorf("flush entity %s: %w", eventlog.EscapeID(key), err)
		}
		if w.parts != nil && !left(s) && !w.leaving {
			flushed[key] = w.parts
		}
		delete(states, key)
	}
	return v.compareStates(ctx, flushed)
}

// replay decodes the records up to the view's checkpoint, with the entity that
// each folds into.
func (v *verifier) replay(ctx context.Context, pass int, each func(ev *eventlog.Event, key string)) error {
	return v.replayTo(ctx, v.out.Sequence, pass, each)
}

// replayTo calls each for the records up to a sequence, with the entity that the
// record folds into. A parked record has the entity that it was parked for: asking
// the fold again could fail.
func (v *verifier) replayTo(ctx context.Context, upTo eventlog.Seq, pass int, each func(ev *eventlog.Event, key string)) error {
	if upTo == 0 {
		return nil // which is no end to Read
	}
	for r, err := range v.Source.Read(ctx, eventlog.ReadOptions{Oldest: true, UpTo: upTo}) {
		if err != nil {
			return err
		}
		if pass == 1 {
			v.out.Records++
		}
		ev := eventlog.Decode(&r)
		key := v.parked[r.Seq].Entity
		if key == "" {
			if guard(func() { key = v.Projection.Key(&ev) }) != nil || key == "" {
				continue
			}
		}
		each(&ev, key)
		if v.Progress != nil && r.Seq%4096 == 0 {
			v.Progress(pass, r.Seq, upTo)
		}
	}
	return ctx.Err()
}

// apply folds as the projector does: parked records are left out. A record that
// fails here and did not in the view shows as a difference.
func (v *verifier) apply(s eventlog.State, ev *eventlog.Event) {
	if r, ok := v.parked[ev.Seq]; ok {
		if d, ok := s.(Degradable); ok {
			_ = guard(func() { d.Park(r.ReceivedAt) })
		}
		return
	}
	_ = guard(func() { s.Apply(ev) })
}

func (v *verifier) sampled(hash uint64) bool {
	return v.Sample == 0 || v.Sample >= 1 || float64(hash>>32)/(1<<32) < v.Sample
}

// fnv is FNV-1a with a finish that spreads it, the same in every run.
func fnv(s string, seed uint64) uint64 {
	h := 14695981039346656037 ^ seed
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	h ^= h >> 33
	h *= 0xff51afd7ed558ccd
	return h ^ h>>33
}

// comparer compares what a state flushes with the view.
type comparer struct {
	v       *verifier
	entity  string
	leaving bool              // the entity may be there or not
	parts   map[string]uint64 // hashes by name; nil: they are not compared
}

// Put, Delete and PutPart implement eventlog.Writer.
func (w *comparer) Put(key string, document []byte) {
	w.v.out.Keys++
	hash, ok := w.v.live[key]
	delete(w.v.live, key)
	switch {
	case !ok && w.leaving:
		w.v.out.Leaving++
	case !ok:
		w.v.differs(key, w.entity, "missing")
	case hash != maphash.Bytes(w.v.seed, document):
		w.v.differs(key, w.entity, "wrong")
	default:
		w.v.out.Equal++
	}
}

// Delete says whose key it is that the view should not have.
func (w *comparer) Delete(key string) {
	if _, ok := w.v.live[key]; ok {
		delete(w.v.live, key)
		w.v.out.Keys++
		w.v.differs(key, w.entity, "extra")
	}
}

// PutPart keeps the hash of the part.
func (w *comparer) PutPart(part string, value []byte) {
	if w.parts != nil {
		w.parts[part] = maphash.Bytes(w.v.seed, value)
	}
}

// excuse takes back, of a log that was trimmed, what is missing of an entity whose
// state the view holds: a record that is gone may have moved the document to another key.
func (v *verifier) excuse(ctx context.Context) error {
	if !v.sealed {
		return nil
	}
	var found []*finding
	for some := range slices.Chunk(v.found, stateChunk) {
		entities := make([]string, len(some))
		for i, f := range some {
			entities[i] = f.Entity
		}
		stored, err := v.Viewer.States(ctx, v.out.Bucket, entities)
		if err != nil {
			return err
		}
		for i, f := range some {
			if f.Kind == "missing" && len(stored[i].Parts) > 0 {
				v.out.Sealed++
			} else {
				found = append(found, f)
			}
		}
	}
	v.found = found
	return nil
}

func (v *verifier) differs(key, entity, kind string) {
	if v.sealed && kind != "missing" {
		v.out.Sealed++
		return
	}
	v.found = append(v.found, &finding{Difference: Difference{Key: key, Entity: entity, Kind: kind}})
}
