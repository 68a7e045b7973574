package projector

import (
	"context"
	"fmt"
	"sync"

	"github.com/rs/zerolog"
)

// Projector drives one fold over the log into one view. Make it with New, call
// Run once; Status may be called at any time, from any goroutine.
type Projector struct {
	config  Config
	logger  zerolog.Logger
	metrics *metrics

	mu      sync.Mutex
	current *engine         // of the live generation; guarded by mu
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
		logger:  config.Logger.With().Str(keyView, config.Projection.Name()).Logger(),
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
	e := &engine{config: p.config, logger: p.logger, metrics: p.metrics}
	e.board.status = Status{
		Name:    p.config.Projection.Name(),
		Version: p.config.Projection.Version(),
		State:   RunStarting,
	}
	return e
}

// Status returns a snapshot of the live generation.
func (p *Projector) Status() Status {
	return p.board().snapshot(p.config.Now())
}

// Run folds the log into the view until ctx ends, which is no error: pending
// changes are committed and the lease is released. It waits while another
// process holds the lease, and goes back to waiting when it is fenced. Where the
// store keeps several generations it follows each one that is ready, live or
// retired, if this version of the fold made it. It returns an
// error only if going on would make the view wrong: a checkpoint that does
// not fit the log, a view of another fold version, a corrupt state. The error
// says which command to run.
func (p *Projector) Run(ctx context.Context) error {
	err := p.supervise(ctx)
	if err != nil {
		p.board().set(func(s *Status) { s.State, s.Error = RunFailed, err.Error() })
		return fmt.Errorf("project view %s: %w", p.config.Projection.Name(), err)
	}
	return nil
}

// engineOf makes the engine that follows a generation from now on.
func (p *Projector) engineOf(generation int) *engine {
	p.mu.Lock()
	defer p.mu.Unlock()
	e := p.engine()
	p.engines[generation] = e
	return e
}

// forget drops the engine of a generation that is not followed any more.
func (p *Projector) forget(generation int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.engines, generation)
}

// choose makes a generation the one of Status, if it is followed here.
func (p *Projector) choose(generation int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if e := p.engines[generation]; e != nil {
		p.current = e
	}
}

// board returns the live generation's.
func (p *Projector) board() *board {
	p.mu.Lock()
	defer p.mu.Unlock()
	return &p.current.board
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
