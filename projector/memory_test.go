package projector_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// fault is what a step does instead of working.
type fault int

const (
	works fault = iota
	fails
	failsButHappened
	hangs
)

func (f fault) String() string {
	return [...]string{"works", "fails", "fails but happened", "hangs"}[f]
}

var errPlanted = errors.New("planted fault")

// memLog is a log in memory. plan, where set, says what the nth read does.
type memLog struct {
	mu      sync.Mutex
	records []eventlog.Record
	first   eventlog.Seq
	name    string
	grown   chan struct{}
	plan    func(n int) fault // counted over records yielded
	yielded int
}

func newMemLog(records ...eventlog.Record) *memLog {
	l := &memLog{first: 1, name: "log-1", grown: make(chan struct{})}
	l.append(records...)
	return l
}

// epoch is before the log's first record.
func epoch() time.Time { return time.Date(2026, 1, 1, 0, 0, 0, 0, time.UTC) }

func (l *memLog) append(records ...eventlog.Record) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, r := range records {
		r.Seq = eventlog.Seq(len(l.records) + 1)
		r.StoredAt = epoch().Add(time.Duration(r.Seq) * time.Millisecond)
		l.records = append(l.records, r)
	}
	close(l.grown)
	l.grown = make(chan struct{})
}

func (l *memLog) Head(context.Context) (eventlog.Head, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return eventlog.Head{Incarnation: l.name, First: l.first, Last: eventlog.Seq(len(l.records))}, nil
}

func (l *memLog) Record(_ context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if seq < l.first || int(seq) > len(l.records) {
		return eventlog.Record{}, eventlog.ErrNotFound
	}
	return l.records[seq-1], nil
}

func (l *memLog) Read(ctx context.Context, o eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		end := o.UpTo
		if end == 0 && !o.Follow {
			head, _ := l.Head(ctx)
			end = head.Last
		}
		at := o.After
		if o.Oldest {
			at = max(at, l.first-1)
		}
		for end == 0 || at < end {
			l.mu.Lock()
			grown := l.grown
			var r *eventlog.Record
			f := works
			if int(at) < len(l.records) {
				r = &l.records[at]
				l.yielded++
				if l.plan != nil {
					f = l.plan(l.yielded)
				}
			}
			l.mu.Unlock()
			switch {
			case r == nil:
				select {
				case <-ctx.Done():
					yield(eventlog.Record{}, ctx.Err())
					return
				case <-grown:
				}
				continue
			case f == fails:
				yield(eventlog.Record{}, errPlanted)
				return
			case f == failsButHappened:
				if yield(*r, nil) {
					yield(eventlog.Record{}, errPlanted)
				}
				return
			case f == hangs:
				hang(ctx, 30*time.Second)
				yield(eventlog.Record{}, errPlanted)
				return
			}
			if !yield(*r, nil) {
				return
			}
			at++
		}
	}
}

// hang blocks for d of the test's clock, or until ctx ends.
func hang(ctx context.Context, d time.Duration) {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
	case <-t.C:
	}
}

// memStore is a store in memory with the fence of a real one. plan, where set,
// says what the nth call of a step does.
type memStore struct {
	mu      sync.Mutex
	docs    map[string]string
	parts   map[string][]projector.Part
	parked  map[eventlog.Seq]projector.Parked
	cp      projector.Checkpoint
	version string
	holder  *memWriter
	freed   chan struct{}
	lost    chan struct{}
	plan    func(step string, n int) fault
	counts  map[string]int
	commits []projector.Commit
	loads   int
}

func newMemStore() *memStore {
	return &memStore{
		docs: map[string]string{}, parts: map[string][]projector.Part{}, version: "v1",
		parked: map[eventlog.Seq]projector.Parked{}, freed: make(chan struct{}), counts: map[string]int{},
	}
}

type memWriter struct {
	s     *memStore
	epoch uint64
}

func (s *memStore) step(name string) fault {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts[name]++
	if s.plan == nil {
		return works
	}
	return s.plan(name, s.counts[name])
}

func (s *memStore) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	switch s.step("acquire") {
	case fails:
		return nil, errPlanted
	case hangs:
		hang(ctx, 30*time.Second)
		return nil, errPlanted
	}
	notified := false
	for {
		s.mu.Lock()
		if c.Version != s.version {
			s.mu.Unlock()
			return nil, fmt.Errorf("%w: run `rollcall rebuild %s`", projector.ErrVersion, c.View)
		}
		if s.holder == nil || c.Steal {
			break
		}
		freed := s.freed
		s.mu.Unlock()
		if !notified && c.OnStandby != nil {
			notified = true
			c.OnStandby("other")
		}
		select {
		case <-ctx.Done():
			return nil, ctx.Err()
		case <-freed:
		}
	}
	defer s.mu.Unlock()
	s.cp.Epoch++
	s.cp.Commit = fmt.Sprintf("%d-0.0", s.cp.Epoch)
	t := &memWriter{s, s.cp.Epoch}
	s.holder, s.lost = t, make(chan struct{})
	o := &projector.Lease{
		GenerationWriter: t, Bucket: "toy_g1", Generation: 1, Checkpoint: s.cp, Lost: s.lost,
		Empty: len(s.parts) == 0,
		Release: func(context.Context) error {
			s.mu.Lock()
			defer s.mu.Unlock()
			if s.holder == t {
				s.holder = nil
				close(s.freed)
				s.freed = make(chan struct{})
			}
			return nil
		},
	}
	for _, p := range s.parked {
		o.Parked = append(o.Parked, p)
	}
	return o, nil
}

func (t *memWriter) Load(ctx context.Context, entities []string) ([][]projector.Part, error) {
	switch t.s.step("load") {
	case fails:
		return nil, errPlanted
	case hangs:
		hang(ctx, 30*time.Second)
		return nil, errPlanted
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	out := make([][]projector.Part, len(entities))
	for i, e := range entities {
		out[i] = t.s.parts[e]
		t.s.loads++
	}
	return out, nil
}

func (t *memWriter) Commit(ctx context.Context, c *projector.Commit) error {
	f := t.s.step("commit")
	if f == fails {
		return errPlanted
	}
	if f == hangs {
		<-ctx.Done()
		return ctx.Err()
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	if t.s.cp.Epoch != t.epoch {
		return projector.ErrFenced
	}
	t.s.apply(c)
	if f == failsButHappened {
		return errPlanted
	}
	return nil
}

func (s *memStore) apply(c *projector.Commit) {
	for _, e := range c.Entities {
		for _, d := range e.Documents {
			if d.Value == nil {
				delete(s.docs, d.Key)
			} else {
				s.docs[d.Key] = string(d.Value)
			}
		}
		if e.Replace {
			delete(s.parts, e.Entity)
		}
		for _, p := range e.Parts {
			s.putPart(e.Entity, p)
		}
	}
	for _, p := range c.Park {
		s.parked[p.Sequence] = p
	}
	for _, seq := range c.Unpark {
		delete(s.parked, seq)
	}
	s.cp = c.Checkpoint
	s.commits = append(s.commits, *c)
}

func (s *memStore) putPart(entity string, p projector.Part) {
	old := s.parts[entity]
	kept := make([]projector.Part, 0, len(old)+1)
	for _, o := range old {
		if o.Name != p.Name {
			kept = append(kept, o)
		}
	}
	if p.Value != nil {
		kept = append(kept, p)
	}
	s.parts[entity] = kept
}

func (t *memWriter) Checkpoint(ctx context.Context) (projector.Checkpoint, error) {
	switch t.s.step("checkpoint") {
	case fails:
		return projector.Checkpoint{}, errPlanted
	case hangs:
		<-ctx.Done()
		return projector.Checkpoint{}, ctx.Err()
	}
	t.s.mu.Lock()
	defer t.s.mu.Unlock()
	return t.s.cp, nil
}

func (t *memWriter) Entities(ctx context.Context, part string) iter.Seq2[projector.EntityPart, error] {
	return func(yield func(projector.EntityPart, error) bool) {
		switch t.s.step("entities") {
		case fails:
			yield(projector.EntityPart{}, errPlanted)
			return
		case hangs:
			hang(ctx, 30*time.Second)
			yield(projector.EntityPart{}, errPlanted)
			return
		}
		t.s.mu.Lock()
		var all []projector.EntityPart
		for entity, parts := range t.s.parts {
			for _, p := range parts {
				if p.Name == part {
					all = append(all, projector.EntityPart{Entity: entity, Value: p.Value})
				}
			}
		}
		t.s.mu.Unlock()
		for _, e := range all {
			if !yield(e, nil) {
				return
			}
		}
	}
}

// stored names the parts that are stored of an entity.
func (s *memStore) stored(entity string) (names []string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.parts[entity] {
		names = append(names, p.Name)
	}
	slices.Sort(names)
	return names
}

// view is a copy of the documents.
func (s *memStore) view() map[string]string {
	s.mu.Lock()
	defer s.mu.Unlock()
	out := make(map[string]string, len(s.docs))
	for k, v := range s.docs {
		out[k] = v
	}
	return out
}

func (s *memStore) checkpoint() projector.Checkpoint {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.cp
}
