package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"github.com/rs/zerolog"
)

// Projector drives one fold over the log into one view. Make it with New, call
// Run once; Status may be called at any time, from any goroutine.
type Projector struct {
	config  Config
	log     zerolog.Logger
	metrics *metrics

	mu      sync.Mutex
	current *engine         // of the generation in force; guarded by mu
	engines map[int]*engine // guarded by mu
}

// New checks the configuration. It touches neither log nor store.
func New(config Config) (*Projector, error) {
	if err := config.validate(); err != nil {
		return nil, err
	}
	config = config.withDefaults()
	p := &Projector{
		config:  config,
		log:     config.Logger.With().Str(keyView, config.Projection.Name()).Logger(),
		engines: make(map[int]*engine),
	}
	p.metrics = newMetrics(config.Projection.Name(), p.Status)
	p.current = p.engine()
	if config.Registerer != nil {
		if err := config.Registerer.Register(p.metrics); err != nil {
			return nil, fmt.Errorf("register metrics of view %s: %w", config.Projection.Name(), err)
		}
	}
	return p, nil
}

func (p *Projector) engine() *engine {
	e := &engine{config: p.config, log: p.log, metrics: p.metrics}
	e.board.status = Status{
		Name:    p.config.Projection.Name(),
		Version: p.config.Projection.Version(),
		State:   StateStarting,
	}
	return e
}

// Status returns a snapshot of the generation in force.
func (p *Projector) Status() Status {
	p.mu.Lock()
	e := p.current
	p.mu.Unlock()
	return e.board.snapshot(p.config.Now())
}

// Run folds the log into the view until ctx ends, which is no error: what is
// held by then is committed and the lease given back. It waits while another
// process holds the lease, and goes back to waiting when it is fenced. Where the
// store keeps several generations it follows each that is ready, in force or
// kept for a rollback, as far as this fold's version made it. It returns an
// error only where going on would make the view wrong: a checkpoint that does
// not fit the log, a view of another fold version, a corrupt state. The error
// says which command to run.
func (p *Projector) Run(ctx context.Context) error {
	err := p.supervise(ctx)
	if err != nil {
		p.mu.Lock()
		e := p.current
		p.mu.Unlock()
		e.board.set(func(s *Status) { s.State, s.Error = StateFailed, err.Error() })
		return fmt.Errorf("project view %s: %w", p.config.Projection.Name(), err)
	}
	return nil
}

// registryPoll is how often a projector looks for other generations to follow.
const registryPoll = 500 * time.Millisecond

// supervise runs an engine for each generation that wants one. The generation
// in force is the one whose failure ends it.
func (p *Projector) supervise(ctx context.Context) error {
	registry, ok := p.config.Store.(Registry)
	if !ok {
		return p.current.run(ctx, Claim{})
	}
	ctx, cancel := context.WithCancel(ctx)
	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	ended := make(chan engineEnd)
	running := map[int]context.CancelFunc{}
	started := false
	failed := map[int]bool{}
	for {
		force, wanted, err := p.wanted(ctx, registry, started)
		if err != nil {
			return err
		}
		started = true
		for n := range running {
			if _, ok := wanted[n]; !ok {
				running[n]()
			}
		}
		p.mu.Lock()
		for n := range wanted {
			if running[n] != nil || failed[n] {
				continue
			}
			e := p.engine()
			if n == force {
				e = p.current
			}
			p.engines[n] = e
			inner, stop := context.WithCancel(ctx)
			running[n] = stop
			wg.Go(func() {
				err := e.run(inner, Claim{Generation: n})
				select {
				case ended <- engineEnd{n, err}:
				case <-ctx.Done():
				}
			})
		}
		if e := p.engines[force]; e != nil {
			p.current = e
		}
		p.mu.Unlock()
		select {
		case <-ctx.Done():
			return nil
		case end := <-ended:
			running[end.generation]()
			delete(running, end.generation)
			if end.err == nil {
				break
			}
			failed[end.generation] = true
			// One that is gone was in force when this looked last, and is not now.
			if end.generation == force && !errors.Is(end.err, ErrNoGeneration) {
				return end.err
			}
			p.log.Error().Err(end.err).Int(keyGeneration, end.generation).Msg("generation is not followed any more")
		case <-time.After(registryPoll):
		}
	}
}

type engineEnd struct {
	generation int
	err        error
}

// wanted asks which generations to follow, and which of them is in force. Where
// that is one of another fold version, this program follows its own retired
// generation on, for a rollback; one that has just started has no business here.
func (p *Projector) wanted(ctx context.Context, registry Registry, started bool) (force int, wanted map[int]struct{}, err error) {
	view, version := p.config.Projection.Name(), p.config.Projection.Version()
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		all, err := registry.Ensure(ctx, view, version)
		switch {
		case ctx.Err() != nil:
			return 0, nil, nil // the caller sees that ctx has ended
		case err != nil && fatal(err):
			return 0, nil, err
		case err != nil:
			p.log.Warn().Err(err).Int64(keyRetryMS, wait.Milliseconds()).Msg("generations can't be read; trying again")
			if pause(ctx, wait) != nil {
				return 0, nil, nil
			}
			continue
		}
		wanted = make(map[int]struct{})
		var live Generation
		for _, g := range all {
			if g.State == StateLive {
				force, live = g.Number, g
			}
			if g.Version == version && (g.State == StateLive || g.State == StateReady || g.State == StateRetired) {
				wanted[g.Number] = struct{}{}
			}
		}
		if _, ok := wanted[force]; len(wanted) == 0 || !ok && !started {
			return 0, nil, fmt.Errorf("%w: %s holds version %s, this program folds version %s; run `rollcall rebuild %s`, or serve with --auto-rebuild",
				ErrVersion, live.Bucket, live.Version, version, view)
		}
		return force, wanted, nil
	}
}

// Generations returns a snapshot of every generation that is followed here.
func (p *Projector) Generations() []Status {
	p.mu.Lock()
	defer p.mu.Unlock()
	var all []Status
	for _, e := range p.engines {
		all = append(all, e.board.snapshot(p.config.Now()))
	}
	return all
}
