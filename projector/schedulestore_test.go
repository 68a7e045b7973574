package projector_test

import (
	"context"
	"fmt"
	"iter"
	"maps"
	"slices"
	"sync"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// scriptedView is a view's registry and its generations.
type scriptedView struct {
	name        string
	alias       int
	revision    uint64
	generations map[int]*scriptedGeneration
	last        int
}

type scriptedGeneration struct {
	entry  projector.Generation
	stream *scriptedStream // nil: gone
	holder *scriptedWriter
	ill    time.Time // until then nobody can read what is stored
}

// scriptedStream is what is stored, with its past: a tail of it may be lost.
type scriptedStream struct {
	history  []scriptedState
	revision uint64 // of the checkpoint, used again after a lost tail
	writer   *scriptedWriter
}

type scriptedState struct {
	cp     projector.Checkpoint
	docs   map[string]string
	parts  map[string][]projector.Part
	parked map[eventlog.Seq]projector.Parked
}

// pastCommits is how many commits may be lost.
const pastCommits = 40

func (s *scriptedStream) now() scriptedState {
	if len(s.history) == 0 {
		return scriptedState{}
	}
	return s.history[len(s.history)-1]
}

func (s *scriptedStream) push(next scriptedState) {
	s.history = append(s.history, next)
	if len(s.history) > pastCommits {
		s.history = slices.Delete(s.history, 0, 1)
	}
	s.revision++
}

// lose takes the last n commits away, or all for good.
func (s *scriptedStream) lose(n int) {
	n = min(n, len(s.history))
	s.history = s.history[:len(s.history)-n]
	s.revision -= uint64(n)
	if len(s.history) == 0 {
		s.revision = 0
	}
	if s.writer != nil && s.writer.revision > s.revision {
		s.writer.lost = true
	}
}

// scriptedStore is the stores as one process sees them.
type scriptedStore struct {
	w *world
	m *machine
}

var _ projector.Registry = scriptedStore{}

func (s scriptedStore) view(name string) *scriptedView {
	v := s.w.views[name]
	if v == nil {
		v = &scriptedView{name: name, generations: map[int]*scriptedGeneration{}}
		s.w.views[name] = v
	}
	return v
}

func (v *scriptedView) add(version string, state projector.GenerationState) *scriptedGeneration {
	v.last++
	v.revision++
	g := &scriptedGeneration{stream: &scriptedStream{}, entry: projector.Generation{
		View: v.name, Number: v.last, Bucket: fmt.Sprintf("%s_g%d", v.name, v.last), Version: version,
		State: state, ChangedAt: time.Now(), Revision: v.revision,
	}}
	v.generations[v.last] = g
	return g
}

func (v *scriptedView) list() (all []projector.Generation) {
	for _, n := range slices.Sorted(maps.Keys(v.generations)) {
		all = append(all, v.generations[n].entry)
	}
	return all
}

func (v *scriptedView) bucket(name string) *scriptedGeneration {
	for _, g := range v.generations {
		if g.entry.Bucket == name {
			return g
		}
	}
	return nil
}

func (s scriptedStore) Ensure(ctx context.Context, view, version string) ([]projector.Generation, error) {
	if err := s.w.simply(ctx, s.m, "registry"); err != nil {
		return nil, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.view(view)
	if v.alias == 0 {
		v.alias = v.add(version, projector.GenerationLive).entry.Number
	}
	return v.list(), nil
}

func (s scriptedStore) Stage(ctx context.Context, view, version string) (projector.Generation, error) {
	if err := s.w.simply(ctx, s.m, "registry"); err != nil {
		return projector.Generation{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.view(view)
	for _, g := range v.generations {
		if g.entry.State == projector.GenerationStaging || g.entry.State == projector.GenerationCatchingUp {
			return g.entry, projector.ErrBusy
		}
	}
	return v.add(version, projector.GenerationStaging).entry, nil
}

func (s scriptedStore) Save(ctx context.Context, g projector.Generation) (projector.Generation, error) {
	if err := s.w.simply(ctx, s.m, "registry"); err != nil {
		return g, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.view(g.View)
	stored := v.generations[g.Number]
	if stored == nil || stored.entry.Revision != g.Revision {
		return g, projector.ErrMoved
	}
	return v.save(stored, g.State), nil
}

func (v *scriptedView) save(g *scriptedGeneration, state projector.GenerationState) projector.Generation {
	v.revision++
	g.entry.State, g.entry.Revision, g.entry.ChangedAt = state, v.revision, time.Now()
	return g.entry
}

// Promote waits for its moment and moves the alias in the end all the same.
func (s scriptedStore) Promote(ctx context.Context, view string, number int) (p projector.Promotion, err error) {
	for began := time.Now(); ; hang(ctx, 10*time.Millisecond) {
		if err := s.w.simply(ctx, s.m, "registry"); err != nil {
			return p, err
		}
		s.w.mu.Lock()
		v := s.view(view)
		next, force := v.generations[number], v.generations[v.alias]
		if next == nil || next.entry.State != projector.GenerationReady && next.entry.State != projector.GenerationRetired {
			s.w.mu.Unlock()
			return p, projector.ErrNoGeneration
		}
		if next.sequence() >= force.sequence() || time.Since(began) > 5*time.Second {
			p.Before, p.After = v.save(force, projector.GenerationRetired), v.save(next, projector.GenerationLive)
			v.alias = number
			s.w.mu.Unlock()
			return p, nil
		}
		s.w.mu.Unlock()
	}
}

func (g *scriptedGeneration) sequence() eventlog.Seq {
	if g.stream == nil {
		return 0
	}
	return g.stream.now().cp.Sequence
}

func (s scriptedStore) Drop(ctx context.Context, view string, number int) error {
	if err := s.w.simply(ctx, s.m, "registry"); err != nil {
		return err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.view(view)
	if v.alias == number || v.generations[number] == nil {
		return projector.ErrNoGeneration
	}
	v.generations[number].stream = nil
	delete(v.generations, number)
	return nil
}

func (scriptedStore) Announce(context.Context, projector.Promotion) (int, error) { return 0, nil }

func (scriptedStore) Carry(context.Context, projector.Generation, projector.Generation) (int, error) {
	return 0, nil
}

func (s scriptedStore) Checkpoint(ctx context.Context, bucket string) (cp projector.Checkpoint, err error) {
	if err := s.w.simply(ctx, s.m, "registry"); err != nil {
		return cp, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	for _, v := range s.w.views {
		if g := v.bucket(bucket); g != nil && g.stream != nil {
			cp = g.stream.now().cp
		}
	}
	return cp, nil
}

// scriptedWriter is a process's right to write a stream. expected is what the
// process takes for the revision of its last commit.
type scriptedWriter struct {
	scriptedStore
	generation *scriptedGeneration
	stream     *scriptedStream
	epoch      uint64
	revision   uint64
	lost       bool      // the store lost what this writer has seen stored
	quit       time.Time // since when it is not renewed
	gone       chan struct{}
	once       sync.Once
}

func (s scriptedStore) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	notified := false
	for began := time.Now(); ; {
		if err := s.w.simply(ctx, s.m, "acquire"); err != nil {
			return nil, err
		}
		lease, err := s.take(c)
		if lease != nil || err != nil {
			return lease, err
		}
		if !notified && c.OnStandby != nil {
			notified = true
			c.OnStandby("other")
		}
		if c.MaxWait > 0 && time.Since(began) > c.MaxWait {
			return nil, projector.ErrBusy
		}
		hang(ctx, 200*time.Millisecond)
	}
}

// leaseTime is how long a silent holder keeps its lease.
const leaseTime = 3 * time.Second

// take takes a generation whose lease is free.
func (s scriptedStore) take(c projector.LeaseRequest) (*projector.Lease, error) {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.view(c.View)
	number := c.Generation
	if number == 0 {
		number = v.alias
	}
	g := v.generations[number]
	switch {
	case g == nil || g.stream == nil && v.alias != number:
		return nil, fmt.Errorf("%w: %d", projector.ErrNoGeneration, number)
	case time.Now().Before(g.ill):
		return nil, fmt.Errorf("%w: planted", projector.ErrState)
	case g.holder != nil && !c.Steal && g.holder.silent() < leaseTime:
		return nil, nil
	case g.stream == nil:
		g.stream = &scriptedStream{}
	}
	if h := g.holder; h != nil {
		go h.notify()
	}
	stored := g.stream.now()
	empty := len(stored.docs)+len(stored.parts) == 0
	stored.cp.Epoch++
	stored.cp.Commit = fmt.Sprintf("%d-0.0", stored.cp.Epoch)
	g.stream.push(stored)
	t := &scriptedWriter{scriptedStore: s, generation: g, stream: g.stream, epoch: stored.cp.Epoch, revision: g.stream.revision, gone: make(chan struct{})}
	g.holder, g.stream.writer = t, t
	return &projector.Lease{
		GenerationWriter: t, Bucket: g.entry.Bucket, Generation: number, Checkpoint: stored.cp, Empty: empty,
		Parked: slices.Collect(maps.Values(stored.parked)), Lost: t.gone, Release: t.release,
	}, nil
}

// notify informs a holder, once its process runs, that another holds its lease.
func (t *scriptedWriter) notify() {
	if t.m.gate(context.Background()) == nil {
		t.once.Do(func() { close(t.gone) })
	}
}

// silent says for how long the lease was not renewed.
func (t *scriptedWriter) silent() time.Duration {
	if t.quit.IsZero() {
		return t.m.silent()
	}
	return time.Since(t.quit)
}

func (t *scriptedWriter) release(ctx context.Context) error {
	t.w.mu.Lock()
	t.quit = time.Now()
	t.w.mu.Unlock()
	if err := t.w.simply(ctx, t.m, "acquire"); err != nil {
		return err
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	if t.generation.holder == t {
		t.generation.holder = nil
	}
	return nil
}

// state is what is stored, for whoever may still ask.
func (t *scriptedWriter) state() (scriptedState, error) {
	switch {
	case t.lost || t.generation.stream != t.stream:
		return scriptedState{}, fmt.Errorf("%w: planted", projector.ErrLostView)
	case time.Now().Before(t.generation.ill):
		return scriptedState{}, fmt.Errorf("%w: planted", projector.ErrState)
	}
	return t.stream.now(), nil
}

func (t *scriptedWriter) Load(ctx context.Context, entities []string) ([][]projector.Part, error) {
	if err := t.w.simply(ctx, t.m, "load"); err != nil {
		return nil, err
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	s, err := t.state()
	if err != nil {
		return nil, err
	}
	out := make([][]projector.Part, len(entities))
	for i, e := range entities {
		out[i] = s.parts[e]
	}
	return out, nil
}

func (t *scriptedWriter) Checkpoint(ctx context.Context) (cp projector.Checkpoint, err error) {
	if err := t.w.simply(ctx, t.m, "checkpoint"); err != nil {
		return cp, err
	}
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	s, err := t.state()
	if err == nil && s.cp.Epoch == t.epoch {
		t.revision = max(t.revision, t.stream.revision)
	}
	return s.cp, err
}

func (t *scriptedWriter) Entities(ctx context.Context, part string) iter.Seq2[projector.EntityPart, error] {
	return func(yield func(projector.EntityPart, error) bool) {
		err := t.w.simply(ctx, t.m, "entities")
		t.w.mu.Lock()
		s, lost := t.state()
		t.w.mu.Unlock()
		if err == nil {
			err = lost
		}
		if err != nil {
			yield(projector.EntityPart{}, err)
			return
		}
		for _, e := range slices.Sorted(maps.Keys(s.parts)) {
			for _, p := range s.parts[e] {
				if p.Name == part && !yield(projector.EntityPart{Entity: e, Value: p.Value}, nil) {
					return
				}
			}
		}
	}
}

// Commit may happen although it fails, or happen when nobody waits for it any more.
func (t *scriptedWriter) Commit(ctx context.Context, c *projector.Commit) error {
	f, err := t.w.step(ctx, t.m, "commit")
	if err != nil {
		return err
	}
	t.w.mu.Lock()
	expected := t.revision
	t.w.mu.Unlock()
	if f.fault != hangs {
		if err := t.apply(c, expected); err != nil {
			return err
		}
		if f.fault == failsButHappened {
			return errPlanted
		}
		t.w.mu.Lock()
		defer t.w.mu.Unlock()
		t.revision = max(t.revision, expected+1)
		return nil
	}
	time.AfterFunc(f.late, func() { _ = t.apply(c, expected) })
	hang(ctx, 20*time.Second)
	return errPlanted
}

// apply is the server's side: the fence, then all or nothing.
func (t *scriptedWriter) apply(c *projector.Commit, expected uint64) error {
	t.w.mu.Lock()
	defer t.w.mu.Unlock()
	s, err := t.state()
	switch {
	case err != nil:
		return err
	case t.stream.writer != t || t.stream.revision != expected:
		return fmt.Errorf("%w: planted", projector.ErrFenced)
	}
	next := scriptedState{cp: c.Checkpoint, docs: maps.Clone(s.docs), parts: maps.Clone(s.parts), parked: maps.Clone(s.parked)}
	if next.docs == nil {
		next.docs, next.parts, next.parked = map[string]string{}, map[string][]projector.Part{}, map[eventlog.Seq]projector.Parked{}
	}
	m := &memStore{docs: next.docs, parts: next.parts, parked: next.parked}
	m.apply(c)
	t.stream.push(next)
	return nil
}
