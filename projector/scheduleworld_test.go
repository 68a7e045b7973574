package projector_test

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"
	"math/rand/v2"
	"strings"
	"sync"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// world is what the processes of a schedule share: a log, the stores of the
// views, and the faults of both. All of it keeps its contract, and nothing more.
type world struct {
	seed uint64

	mu     sync.Mutex
	drawn  map[string]uint64   // guarded by mu, like all below
	faults map[string][]window // by process and step
	log    scriptedLog
	views  map[string]*scriptedView
}

// window is a time in which a step has faults.
type window struct {
	until   time.Time
	percent int
	late    time.Duration
	only    fault // which one; works: any
}

// scriptedLog is a log that may lose its tail.
type scriptedLog struct {
	name    string
	records []eventlog.Record
	changed chan struct{}
}

func newWorld(seed uint64) *world {
	return &world{
		seed: seed, drawn: map[string]uint64{}, faults: map[string][]window{}, views: map[string]*scriptedView{},
		log: scriptedLog{name: "log-1", changed: make(chan struct{})},
	}
}

// dice are for the nth time that something happens. What a step meets depends
// on the seed and on how often the step was taken, not on what others do.
func (w *world) dice(what string) *rand.Rand {
	w.mu.Lock()
	n := w.drawn[what]
	w.drawn[what]++
	w.mu.Unlock()
	h := fnv.New64a()
	h.Write([]byte(what))
	h.Write(binary.LittleEndian.AppendUint64(nil, n))
	return rand.New(rand.NewPCG(w.seed, h.Sum64()))
}

// machine is one process: alive, stopped for a while, or killed.
type machine struct {
	id string

	mu     sync.Mutex
	dead   bool          // guarded by mu, like all below
	frozen chan struct{} // closed when it goes on; nil while it runs
	since  time.Time
}

var errKilled = errors.New("process was killed")

// gate lets a step through while its process runs.
func (m *machine) gate(ctx context.Context) error {
	for {
		m.mu.Lock()
		dead, frozen := m.dead, m.frozen
		m.mu.Unlock()
		switch {
		case dead:
			return errKilled
		case frozen == nil:
			return ctx.Err()
		}
		<-frozen // a stopped process does not see its context end
	}
}

func (m *machine) freeze() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen == nil {
		m.frozen, m.since = make(chan struct{}), time.Now()
	}
}

func (m *machine) thaw() {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.frozen != nil {
		close(m.frozen)
		m.frozen = nil
	}
}

func (m *machine) kill() {
	m.mu.Lock()
	m.dead, m.since = true, time.Now()
	m.mu.Unlock()
	m.thaw()
}

// silent says for how long a process has renewed no lease.
func (m *machine) silent() time.Duration {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.dead || m.frozen != nil {
		return time.Since(m.since)
	}
	return 0
}

// outcome is what a step does: see fault. After late it may still happen.
type outcome struct {
	fault
	late time.Duration
}

// step is the gate and the fault of one step.
func (w *world) step(ctx context.Context, m *machine, step string) (outcome, error) {
	if err := m.gate(ctx); err != nil {
		return outcome{}, err
	}
	key := m.id + "/" + step
	d := w.dice(key)
	w.mu.Lock()
	f := outcome{}
	for _, at := range w.faults[key] {
		if time.Now().Before(at.until) && d.IntN(100) < at.percent {
			f = outcome{fault(1 + d.IntN(3)), at.late}
			if at.only != works {
				f.fault = at.only
			}
		}
	}
	w.mu.Unlock()
	if d.IntN(4) == 0 {
		hang(ctx, time.Duration(d.IntN(int(20*time.Millisecond))))
	}
	switch f.fault {
	case fails:
		return f, errPlanted
	case hangs:
		if f.late == 0 {
			hang(ctx, 20*time.Second)
			return f, errPlanted
		}
	}
	return f, m.gate(ctx)
}

// simply is step of what changes nothing: it works or it does not.
func (w *world) simply(ctx context.Context, m *machine, step string) error {
	f, err := w.step(ctx, m, step)
	if err == nil && f.fault == hangs {
		hang(ctx, f.late)
		err = m.gate(ctx)
	}
	if err == nil && f.fault == failsButHappened {
		err = errPlanted
	}
	return err
}

// scriptedSource is the log as one process reads it.
type scriptedSource struct {
	w *world
	m *machine
}

func (s scriptedSource) Head(ctx context.Context) (eventlog.Head, error) {
	if err := s.w.simply(ctx, s.m, "head"); err != nil {
		return eventlog.Head{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	return eventlog.Head{Incarnation: s.w.log.name, First: 1, Last: eventlog.Seq(len(s.w.log.records))}, nil
}

func (s scriptedSource) Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	if err := s.w.simply(ctx, s.m, "record"); err != nil {
		return eventlog.Record{}, err
	}
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	if seq < 1 || int(seq) > len(s.w.log.records) {
		return eventlog.Record{}, eventlog.ErrNotFound
	}
	return s.w.log.records[seq-1], nil
}

// Read yields what it has in hand although ctx has ended meanwhile, as a reader
// may that waits for nothing.
func (s scriptedSource) Read(ctx context.Context, o eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		at, stored := o.After, o.AfterStoredAt
		for o.Follow || at < o.UpTo {
			r, err := s.next(ctx, at, stored)
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			if !yield(r, nil) {
				return
			}
			at, stored = r.Seq, r.StoredAt
		}
	}
}

// next waits for the record after at.
func (s scriptedSource) next(ctx context.Context, at eventlog.Seq, stored time.Time) (eventlog.Record, error) {
	for {
		if err := s.w.simply(ctx, s.m, "read"); err != nil {
			return eventlog.Record{}, err
		}
		r, changed, err := s.w.log.behind(&s.w.mu, at, stored)
		if err != nil {
			return r, err
		}
		if changed == nil {
			if d := s.w.dice(s.m.id + "/in hand"); d.IntN(8) == 0 {
				<-time.After(time.Duration(d.IntN(int(300 * time.Millisecond))))
			}
			return r, nil
		}
		select {
		case <-ctx.Done():
			return r, ctx.Err()
		case <-changed:
		}
	}
}

// behind returns the record after at or what is closed when the log changes.
func (l *scriptedLog) behind(mu *sync.Mutex, at eventlog.Seq, stored time.Time) (eventlog.Record, <-chan struct{}, error) {
	mu.Lock()
	defer mu.Unlock()
	switch {
	case int(at) > len(l.records):
		return eventlog.Record{}, nil, fmt.Errorf("%w: log ends before %d", eventlog.ErrLostTail, at)
	case !stored.IsZero() && !l.records[at-1].StoredAt.Equal(stored):
		return eventlog.Record{}, nil, fmt.Errorf("%w: record %d is another one", eventlog.ErrLostTail, at)
	case int(at) == len(l.records):
		return eventlog.Record{}, l.changed, nil
	}
	return l.records[at], nil, nil
}

// append adds records with the sequences that are next, used before or not.
func (w *world) append(records ...eventlog.Record) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, r := range records {
		r.Seq, r.StoredAt = eventlog.Seq(len(w.log.records)+1), time.Now().Add(time.Duration(len(w.log.records)))
		w.log.records = append(w.log.records, r)
	}
	w.changed()
}

func (w *world) changed() {
	close(w.log.changed)
	w.log.changed = make(chan struct{})
}

// loseTail has the log end n records earlier.
func (w *world) loseTail(n int) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.log.records = append([]eventlog.Record(nil), w.log.records[:max(0, len(w.log.records)-n)]...)
	w.changed()
}

func (w *world) records() []eventlog.Record {
	w.mu.Lock()
	defer w.mu.Unlock()
	return w.log.records
}

// fits reports whether a checkpoint is one of this log.
func (w *world) fits(cp projector.Checkpoint) bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	if cp.Sequence == 0 {
		return true
	}
	return int(cp.Sequence) <= len(w.log.records) && w.log.records[cp.Sequence-1].StoredAt.Equal(cp.StoredAt)
}

// trouble gives a step of a process faults for a while.
func (w *world) trouble(key string, at window) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.faults[key] = append(w.faults[key], at)
}

// calm ends all faults.
func (w *world) calm() {
	w.mu.Lock()
	defer w.mu.Unlock()
	clear(w.faults)
	for _, v := range w.views {
		for _, g := range v.generations {
			g.ill = time.Time{}
		}
	}
}

// twin is the toy under another name, with faults of its own.
type twin struct {
	toy
	name string
}

func (f twin) Name() string { return f.name }

// leftOut are the records on which a fold fails.
func (f twin) leftOut(records []eventlog.Record) []string {
	var out []string
	for _, r := range records {
		if r.EventID == f.panicOn || r.EventID == f.flushOn {
			out = append(out, r.EventID)
		}
	}
	return out
}

// about reports whether a key of the view is of a session.
func about(key, session string) bool {
	return key == "live."+session || key == "ended."+session || strings.HasPrefix(key, session+".")
}

// refolds holds their number against what there was to learn.
func (s *schedule) refolds() {
	total := 0.0
	for _, p := range s.machines {
		for _, r := range p.registries {
			all, err := r.Gather()
			if err != nil {
				s.fail("Gather() = %v", err)
				return
			}
			for _, m := range all {
				if m.GetName() == "rollcall_projector_refolds_total" {
					total += m.GetMetric()[0].GetCounter().GetValue()
				}
			}
		}
	}
	if total > maxRefolds {
		s.fail("REFOLDS: folding began again %v times; want at most %d", total, maxRefolds)
	}
}
