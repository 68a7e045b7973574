package projector_test

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/projector"
)

var (
	schedules    = flag.Int("schedules", someSchedules, "schedules of TestSchedules")
	scheduleSeed = flag.Uint64("schedule-seed", 1, "the first seed of TestSchedules; with -schedules 1 the only one")
	scheduleActs = flag.String("schedule-acts", "", "of TestSchedules: restart, rejoin, stop, trouble, lost-view, lost-log, unreadable, operate, none; empty: all")
	scheduleLog  = flag.Bool("schedule-log", false, "TestSchedules says what each schedule does")
)

// Bounds that hold once faults have stopped, and how long a projector may call
// itself live without a commit although records wait.
const (
	boundForce   = 90 * time.Second
	boundRetired = 3 * time.Minute
	boundLive    = 25 * time.Second
	maxRefolds   = 60
)

// TestSchedules runs processes, projectors and operators against a log and
// stores that lose, stall and answer late, in an order that a seed decides. Once
// the faults have stopped, each view is a fold of the log, byte for byte, and
// somebody says that it is live. A schedule that fails is run again with
// -args -schedule-seed N -schedules 1 -schedule-log.
func TestSchedules(t *testing.T) {
	var next atomic.Uint64
	next.Store(*scheduleSeed)
	end := *scheduleSeed + uint64(*schedules)
	for worker := range 2 {
		t.Run(fmt.Sprint(worker), func(t *testing.T) {
			t.Parallel()
			for seed := next.Add(1) - 1; seed < end; seed = next.Add(1) - 1 {
				t.Run(fmt.Sprint(seed), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) { runSchedule(t, seed) })
				})
			}
		})
	}
}

// schedule is one run.
type schedule struct {
	t     *testing.T
	seed  uint64
	began time.Time
	dice  *rand.Rand
	w     *world
	folds []twin
	// age is for how long what is over stays.
	age      time.Duration
	machines []*process
	wg       sync.WaitGroup
	n        int // records made
	failed   atomic.Bool
	stuck    map[string]stuckSince
	live     map[string]time.Time // since when a process says so of a view
}

// process is a machine with a program on it.
type process struct {
	*machine
	s      *schedule
	number int
	stop   context.CancelFunc
	done   chan struct{}

	mu         sync.Mutex
	projectors map[string]*projector.Projector // guarded by mu
	leave      map[string]context.CancelFunc   // guarded by mu
	registries []*prometheus.Registry          // guarded by mu
}

func runSchedule(t *testing.T, seed uint64) {
	s := &schedule{t: t, seed: seed, began: time.Now(), dice: rand.New(rand.NewPCG(seed, 7)), w: newWorld(seed), stuck: map[string]stuckSince{}, live: map[string]time.Time{}}
	if s.dice.IntN(3) == 0 {
		s.age = 40 * time.Second
	}
	for i := range 1 + s.dice.IntN(3) {
		s.folds = append(s.folds, s.fold(i))
	}
	for i := range 1 + s.dice.IntN(3) {
		s.machines = append(s.machines, &process{s: s, number: i})
		s.begin(i)
	}
	watch, ended := context.WithCancel(context.Background())
	watched := make(chan struct{})
	go func() { defer close(watched); s.watch(watch) }()
	for range 8 + s.dice.IntN(16) {
		s.act()
		<-time.After(s.gap())
	}
	s.settle()
	ended()
	<-watched
	for i := range s.machines {
		s.end(i, false)
	}
	s.wg.Wait()
	s.refolds()
}

// fold is a view's fold, now and then with a bug.
func (s *schedule) fold(i int) twin {
	f := twin{name: fmt.Sprintf("view%d", i)}
	bad := fmt.Sprintf("E%07d", s.dice.IntN(80))
	switch s.dice.IntN(8) {
	case 0:
		f.panicOn = bad
	case 1:
		if s.age == 0 { // what is old enough is not flushed but erased, and does not fail
			f.flushOn = bad
		}
	case 2:
		f.eraseOn = fmt.Sprintf("s%d", s.dice.IntN(6))
	}
	return f
}

func (s *schedule) note(format string, args ...any) {
	if *scheduleLog {
		s.t.Logf("seed %d %8.3f "+format, append([]any{s.seed, time.Since(s.began).Seconds()}, args...)...)
	}
}

// noting takes the log lines of a process.
type noting struct {
	s      *schedule
	number int
}

func (n noting) Write(line []byte) (int, error) {
	n.s.note("process %d: %s", n.number, strings.TrimSpace(string(line)))
	return len(line), nil
}

// fail reports the first thing that is wrong with a schedule.
func (s *schedule) fail(format string, args ...any) {
	if s.failed.Swap(true) {
		return
	}
	s.t.Errorf("seed %d at %.3f s: "+format, append([]any{s.seed, time.Since(s.began).Seconds()}, args...)...)
}

// gap is the time between two acts.
func (s *schedule) gap() time.Duration {
	switch s.dice.IntN(10) {
	case 0:
		return time.Duration(s.dice.Int64N(int64(40 * time.Second)))
	case 1, 2, 3:
		return time.Duration(s.dice.Int64N(int64(3 * time.Second)))
	}
	return time.Duration(s.dice.Int64N(int64(200 * time.Millisecond)))
}

// acts are what a schedule may do, by name and as often as they stand here.
func (s *schedule) acts() []act {
	return []act{
		{"restart", s.restart},
		{"restart", s.restart},
		{"restart", func(i int, _ string) { s.end(i, s.dice.IntN(2) == 0) }},
		{"restart", func(i int, _ string) { s.begin(i) }},
		{"rejoin", s.rejoin},
		{"rejoin", s.rejoin},
		{"stop", s.stop},
		{"trouble", s.trouble},
		{"trouble", s.trouble},
		{"trouble", s.trouble},
		{"lost-view", func(_ int, view string) { s.loseView(view, 1+s.dice.IntN(6)) }},
		{"lost-view", func(_ int, view string) { s.loseView(view, pastCommits) }},
		{"lost-view", func(_ int, view string) { s.deleteView(view) }},
		{"lost-log", s.loseLog},
		{"unreadable", func(_ int, view string) { s.sicken(view) }},
		{"operate", func(_ int, view string) { s.operate(view) }},
		{"operate", func(_ int, view string) { s.operate(view) }},
		{"none", func(int, string) {}},
	}
}

type act struct {
	name string
	do   func(machine int, view string)
}

// act does one thing, by the seed, and writes.
func (s *schedule) act() {
	i, view := s.dice.IntN(len(s.machines)), s.folds[s.dice.IntN(len(s.folds))].name
	all := s.acts()
	if *scheduleActs != "" {
		all = slices.DeleteFunc(all, func(a act) bool { return !slices.Contains(strings.Split(*scheduleActs, ","), a.name) })
	}
	all[s.dice.IntN(len(all))].do(i, view)
	s.write(s.dice.IntN(8))
}

func (s *schedule) restart(i int, _ string) {
	s.end(i, s.dice.IntN(2) == 0)
	s.begin(i)
}

// rejoin ends the projectors of a process, one after the other, and has each
// begin again while others may still be reading what they share.
func (s *schedule) rejoin(i int, _ string) {
	p := s.machines[i]
	p.mu.Lock()
	defer p.mu.Unlock()
	s.note("readers of process %d leave and join", i)
	for _, f := range s.folds {
		if leave := p.leave[f.name]; leave != nil && s.dice.IntN(4) > 0 {
			time.AfterFunc(time.Duration(s.dice.IntN(int(100*time.Millisecond))), leave)
		}
	}
}

// stop is SIGSTOP for a while.
func (s *schedule) stop(i int, _ string) {
	p, d := s.machines[i], time.Duration(s.dice.Int64N(int64(15*time.Second)))
	if p.stop == nil {
		return
	}
	s.note("process %d stops for %v", i, d)
	p.freeze()
	time.AfterFunc(d, p.machine.thaw)
}

func (s *schedule) loseLog(int, string) {
	if s.dice.IntN(3) == 0 {
		n := 1 + s.dice.IntN(10)
		s.note("the log loses %d records", n)
		s.w.loseTail(n)
	}
}

// write appends records.
func (s *schedule) write(n int) {
	for range n {
		kind := [...]string{"started", "joined:p0", "joined:p1", "joined:p2", "other", "ended"}[s.dice.IntN(6)]
		r := record(s.n, fmt.Sprintf("s%d", s.dice.IntN(6)+6*(s.n/60)), kind)
		s.n++
		s.w.append(at(time.Now(), r))
	}
}

// trouble gives one step of a process faults.
func (s *schedule) trouble(i int, _ string) {
	p := s.machines[i]
	steps := [...]string{"commit", "commit", "checkpoint", "load", "acquire", "registry", "read", "head", "record", "entities"}
	step := steps[s.dice.IntN(len(steps))]
	w := window{time.Now().Add(time.Duration(s.dice.Int64N(int64(60 * time.Second)))), 20 + s.dice.IntN(81), 0, works}
	if s.dice.IntN(2) == 0 {
		w.late = time.Duration(s.dice.Int64N(int64(12 * time.Second)))
	}
	s.note("%s of process %d is in trouble: %+v", step, p.number, w)
	s.w.trouble(fmt.Sprintf("p%d/%s", p.number, step), w)
}

func (s *schedule) any(view string) *scriptedGeneration {
	s.w.mu.Lock()
	defer s.w.mu.Unlock()
	v := s.w.views[view]
	if v == nil || len(v.generations) == 0 {
		return nil
	}
	all := slices.Sorted(maps.Keys(v.generations))
	return v.generations[all[s.dice.IntN(len(all))]]
}

func (s *schedule) loseView(view string, n int) {
	if g := s.any(view); g != nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		if g.stream != nil {
			s.note("%s loses %d commits", g.entry.Bucket, n)
			g.stream.lose(n)
		}
	}
}

func (s *schedule) deleteView(view string) {
	if g := s.any(view); g != nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		s.note("%s is deleted", g.entry.Bucket)
		g.stream = nil
	}
}

// sicken has what a generation stores be unreadable for a while.
func (s *schedule) sicken(view string) {
	if g := s.any(view); g != nil {
		s.w.mu.Lock()
		defer s.w.mu.Unlock()
		g.ill = time.Now().Add(time.Duration(s.dice.Int64N(int64(20 * time.Second))))
		s.note("%s can't be read until %.3f", g.entry.Bucket, g.ill.Sub(s.began).Seconds())
	}
}

// operate runs an operator's command, which may end in an error.
func (s *schedule) operate(view string) {
	what := s.dice.IntN(6)
	m := &machine{id: fmt.Sprintf("operator%d", what)}
	store, source := scriptedStore{s.w, m}, scriptedSource{s.w, m}
	fold := s.folds[slices.IndexFunc(s.folds, func(f twin) bool { return f.name == view })]
	s.wg.Go(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		var err error
		switch what {
		case 0, 1, 2:
			_, err = projector.Rebuild(ctx, projector.RebuildConfig{Projection: fold, Source: source, Registry: store})
		case 3, 4:
			_, err = projector.Rollback(ctx, store, view, "v1")
		case 5:
			_, err = projector.Drop(ctx, store, view, "v1")
		}
		s.note("operator's %d of %s: %v", what, view, err)
	})
}

// begin starts the program of a process.
func (s *schedule) begin(i int) {
	p := s.machines[i]
	if p.stop != nil {
		return
	}
	s.note("process %d starts", i)
	p.machine = &machine{id: fmt.Sprintf("p%d", i)}
	ctx, stop := context.WithCancel(context.Background())
	p.stop, p.done = stop, make(chan struct{})
	p.forget()
	source := projector.Share(scriptedSource{s.w, p.machine})
	store := scriptedStore{s.w, p.machine}
	var wg sync.WaitGroup
	for _, f := range s.folds {
		wg.Go(func() { p.serve(ctx, f, source, store) })
	}
	done := p.done
	go func() { wg.Wait(); close(done) }()
}

// end stops the program in order, or kills it.
func (s *schedule) end(i int, kill bool) {
	p := s.machines[i]
	if p.stop == nil {
		return
	}
	s.note("process %d ends, killed: %v", i, kill)
	if kill {
		p.kill()
	}
	p.thaw()
	p.stop()
	<-p.done
	p.stop = nil
	p.forget()
}

// forget empties what is known of a program.
func (p *process) forget() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.projectors, p.leave = map[string]*projector.Projector{}, map[string]context.CancelFunc{}
}

// serve follows one view, and does what Run's error says.
func (p *process) serve(ctx context.Context, f twin, source projector.Source, store scriptedStore) {
	for ctx.Err() == nil {
		registry := prometheus.NewRegistry()
		config := projector.Config{Projection: f, Source: source, Store: store, MaxAge: p.s.age, Registerer: registry}
		if *scheduleLog {
			config.Logger = zerolog.New(noting{p.s, p.number})
		}
		one, err := projector.New(config)
		if err != nil {
			p.s.fail("New() = %v", err)
			return
		}
		p.mu.Lock()
		inner, leave := context.WithCancel(ctx)
		p.projectors[f.name], p.leave[f.name] = one, leave
		p.registries = append(p.registries, registry)
		p.mu.Unlock()
		err = one.Run(inner)
		leave()
		if err == nil {
			continue
		}
		p.s.note("process %d: %v", p.number, err)
		hang(ctx, 2*time.Second)
		if errors.Is(err, eventlog.ErrLostTail) || errors.Is(err, eventlog.ErrIncarnation) {
			_, err := projector.Rebuild(ctx, projector.RebuildConfig{Projection: f, Source: source, Registry: store})
			p.s.note("process %d rebuilds %s: %v", p.number, f.name, err)
		}
	}
}

// status is what a process says of a view.
func (p *process) status(view string) (projector.Status, bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	one := p.projectors[view]
	if one == nil {
		return projector.Status{}, false
	}
	return one.Status(), true
}

type stuckSince struct {
	cp projector.Checkpoint
	at time.Time
}

// watch looks once a second whether somebody calls itself live that is not.
func (s *schedule) watch(ctx context.Context) {
	for ctx.Err() == nil {
		hang(ctx, time.Second)
		last := eventlog.Seq(len(s.w.records()))
		s.w.mu.Lock()
		for _, v := range s.w.views {
			for _, g := range v.generations {
				cp := projector.Checkpoint{}
				if g.stream != nil {
					cp = g.stream.now().cp
				}
				if was, ok := s.stuck[g.entry.Bucket]; !ok || was.cp != cp || cp.Sequence >= last {
					s.stuck[g.entry.Bucket] = stuckSince{cp, time.Now()}
				}
			}
		}
		s.w.mu.Unlock()
		for _, f := range s.folds {
			for _, p := range s.machines {
				st, ok := p.status(f.name)
				since, known := s.stuck[st.Bucket]
				key := fmt.Sprint(p.number, st.Bucket)
				if _, was := s.live[key]; !was || st.State != projector.RunLive {
					s.live[key] = time.Now()
				}
				if ok && known && time.Since(s.live[key]) > boundLive && time.Since(since.at) > boundLive {
					s.fail("DISHONEST: process %d says %+v; nothing was committed since record %d, for %v", p.number, st, since.cp.Sequence, time.Since(since.at))
				}
			}
		}
	}
}

// settle ends all faults and waits for what must come then.
func (s *schedule) settle() {
	s.note("faults stop")
	s.w.calm()
	for i, p := range s.machines {
		p.thaw()
		s.begin(i)
	}
	s.write(3)
	s.await(boundForce, true)
	s.await(boundRetired, false)
}

// await waits until the live generation, or every other one, is right.
func (s *schedule) await(bound time.Duration, force bool) {
	var wrong string
	for deadline := time.Now().Add(bound); time.Now().Before(deadline) && !s.failed.Load(); <-time.After(250 * time.Millisecond) {
		if wrong = s.wrong(force); wrong == "" {
			return
		}
	}
	s.fail("%s", wrong)
}

// wrong says what is not right yet; "" where all is.
func (s *schedule) wrong(force bool) string {
	records := s.w.records()
	for _, f := range s.folds {
		s.w.mu.Lock()
		v := s.w.views[f.name]
		if v == nil {
			s.w.mu.Unlock()
			return "NOBODY: there is no view yet"
		}
		var all []*scriptedGeneration
		for n, g := range v.generations {
			if force == (n == v.alias) {
				all = append(all, g)
			}
		}
		s.w.mu.Unlock()
		for _, g := range all {
			if text := s.wrongIn(f, g, records, force); text != "" {
				return text
			}
		}
		if !force {
			continue
		}
		live := 0
		for _, p := range s.machines {
			st, _ := p.status(f.name)
			switch {
			case st.State == projector.RunLive:
				live++
			case st.State != projector.RunStandby:
				return fmt.Sprintf("HANG: process %d says %+v", p.number, st)
			}
		}
		if live != 1 {
			return fmt.Sprintf("NOBODY: %d projectors of %s are live; want one", live, f.name)
		}
	}
	return ""
}

// wrongIn compares one generation with a fold of the log.
func (s *schedule) wrongIn(f twin, g *scriptedGeneration, records []eventlog.Record, force bool) string {
	s.w.mu.Lock()
	stored, entry := scriptedState{}, g.entry
	if g.stream != nil {
		stored = g.stream.now()
	}
	gone := g.stream == nil
	s.w.mu.Unlock()
	switch {
	case !force && (gone || !s.w.fits(stored.cp)):
		return "" // nobody makes it again
	case !force && entry.State != projector.GenerationReady && entry.State != projector.GenerationRetired:
		return ""
	case int(stored.cp.Sequence) != len(records):
		return fmt.Sprintf("HANG: %s holds record %d of %d", entry.Bucket, stored.cp.Sequence, len(records))
	}
	if stored.cp.Sweeping != 0 {
		return fmt.Sprintf("HANG: %s is being swept: %+v", entry.Bucket, stored.cp)
	}
	got, want := maps.Clone(stored.docs), expect(records, f.leftOut(records)...)
	drop := func(session string) {
		same := func(key, _ string) bool { return about(key, session) }
		maps.DeleteFunc(want, same)
		if session == f.eraseOn {
			maps.DeleteFunc(got, same)
		}
	}
	for _, r := range records {
		ev := eventlog.Decode(&r)
		ended := ev.Type == eventlog.MeetingEnded && !slices.Contains(f.leftOut(records), ev.Order.ID)
		if ended && ev.Order.At < stored.cp.Horizon || ev.SessionID == f.eraseOn {
			drop(ev.SessionID)
		}
	}
	if maps.Equal(got, want) {
		return ""
	}
	var text []string
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if got[key] != want[key] {
			text = append(text, fmt.Sprintf("[%s] = %q; want %q", key, got[key], want[key]))
		}
	}
	for _, key := range slices.Sorted(maps.Keys(got)) {
		if _, ok := want[key]; !ok {
			text = append(text, fmt.Sprintf("[%s] = %q; want none", key, got[key]))
		}
	}
	return fmt.Sprintf("WRONG: %s at %d: %s", entry.Bucket, stored.cp.Sequence, strings.Join(text[:min(3, len(text))], ", "))
}
