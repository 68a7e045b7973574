package projector

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

const (
	// registryPoll is how often a projector looks for other generations to follow.
	registryPoll = 500 * time.Millisecond
	// failedFirst and failedLast bound the wait before a generation that failed
	// is followed again, unless it is live.
	failedFirst = 5 * time.Second
	failedLast  = time.Minute
)

// supervisor runs an engine for each generation to follow. If the live one can't be
// followed, supervise ends.
type supervisor struct {
	p         *Projector
	catalog   Catalog
	wg        sync.WaitGroup
	ended     chan engineEnd
	followers map[int]*follower
	pause     time.Duration // until the registry is read again
}

// follower is how one generation is followed.
type follower struct {
	stop context.CancelFunc // nil while no engine runs
	// revision is the registry entry's, began the time, and wasLive whether the
	// alias named the generation, when the engine began.
	revision uint64
	began    time.Time
	wasLive  bool
	// err is why the engine ended, and retry when it is begun again after wait.
	err   error
	wait  time.Duration
	retry time.Time
}

// engineEnd says that a generation's engine has ended, and why.
type engineEnd struct {
	generation int
	err        error
}

// supervise follows each generation that is to be followed until ctx ends or the
// live one can't be followed. A store without a registry has one generation.
func (p *Projector) supervise(ctx context.Context) error {
	catalog, ok := p.config.Store.(Catalog)
	if !ok {
		return p.current.run(ctx, LeaseRequest{})
	}
	ctx, cancel := context.WithCancel(ctx)
	s := &supervisor{p: p, catalog: catalog, ended: make(chan engineEnd), followers: make(map[int]*follower)}
	defer s.wg.Wait()
	defer cancel()
	for {
		if err := s.look(ctx); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case end := <-s.ended:
			s.over(end)
		case <-time.After(s.pause):
		}
	}
}

// look reads the registry and follows what it lists. If it can't be read now it
// is read again later, and the engines go on meanwhile.
func (s *supervisor) look(ctx context.Context) error {
	live, wanted, err := s.wanted(ctx)
	switch {
	case ctx.Err() != nil:
		return nil // the caller sees it
	case err != nil && fatal(err):
		return err
	case err != nil:
		s.pause = min(max(2*s.pause, retryFirst), retryLast)
		s.p.board().waits(waitRegistry, s.p.config.Now())
		s.p.logger.Warn().Err(err).Int64(keyRetryMS, s.pause.Milliseconds()).Msg("generations can't be read; trying again")
		return nil
	}
	s.pause = registryPoll
	s.p.board().answered(waitRegistry)
	for n, f := range s.followers {
		if _, ok := wanted[n]; !ok {
			s.end(n, f)
		}
	}
	for n, g := range wanted {
		if err := s.follow(ctx, g, n == live); err != nil {
			return err
		}
	}
	s.p.choose(live)
	return nil
}

// follow starts an engine if none runs and one is due. One that failed is due
// after a while, and at once if its entry has changed or the alias now names it.
// The live generation gets no second try: its error is Run's.
func (s *supervisor) follow(ctx context.Context, g Generation, isLive bool) error {
	f := s.followers[g.Number]
	switch {
	case f == nil:
		f = &follower{}
		s.followers[g.Number] = f
	case f.stop != nil:
		return nil
	case isLive && f.wasLive && !errors.Is(f.err, ErrNoGeneration):
		return f.err
	case isLive && !f.wasLive || g.Revision != f.revision:
		f.wait = 0
	case s.p.config.Now().Before(f.retry):
		return nil
	}
	inner, stop := context.WithCancel(ctx)
	f.stop, f.revision, f.began, f.wasLive, f.err = stop, g.Revision, s.p.config.Now(), isLive, nil
	e := s.p.engineOf(g.Number)
	s.wg.Go(func() {
		err := e.run(inner, LeaseRequest{Generation: g.Number})
		select {
		case s.ended <- engineEnd{g.Number, err}:
		case <-ctx.Done():
		}
	})
	return nil
}

// over handles the end of an engine.
func (s *supervisor) over(end engineEnd) {
	f := s.followers[end.generation]
	f.stop()
	f.stop = nil
	if end.err == nil {
		s.end(end.generation, f)
		return
	}
	now := s.p.config.Now()
	if now.Sub(f.began) > failedLast {
		f.wait = 0
	}
	f.err, f.wait = end.err, min(max(2*f.wait, failedFirst), failedLast)
	f.retry = now.Add(f.wait)
	s.p.logger.Error().Err(end.err).Int(keyGeneration, end.generation).Int64(keyRetryMS, f.wait.Milliseconds()).
		Msg("generation can't be followed; trying again later unless it is live")
}

// end stops an engine, or forgets one that has ended.
func (s *supervisor) end(n int, f *follower) {
	if f.stop != nil {
		f.stop()
		return
	}
	delete(s.followers, n)
	s.p.forget(n)
}

// wanted lists the generations to follow, and says which of them is live. If
// another fold version made the live one, this program goes on following its own
// retired generation, for a rollback; one that has just started ends with ErrVersion.
func (s *supervisor) wanted(ctx context.Context) (live int, wanted map[int]Generation, err error) {
	view, version := s.p.config.Projection.Name(), s.p.config.Projection.Version()
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	all, err := s.catalog.Ensure(ctx, view, version)
	if err != nil {
		return 0, nil, err
	}
	wanted = make(map[int]Generation)
	var current Generation
	for _, g := range all {
		if g.State == GenerationLive {
			live, current = g.Number, g
		}
		if g.Version == version && (g.State == GenerationLive || g.State == GenerationReady || g.State == GenerationRetired) {
			wanted[g.Number] = g
		}
	}
	if _, ok := wanted[live]; len(wanted) == 0 || !ok && len(s.followers) == 0 {
		return 0, nil, fmt.Errorf("%w: %s holds version %s, this program folds version %s; run `rollcall rebuild %s`, or serve with --auto-rebuild",
			ErrVersion, current.Bucket, current.Version, version, view)
	}
	return live, wanted, nil
}
