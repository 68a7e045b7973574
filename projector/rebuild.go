package projector

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rollcall/eventlog"
)

// ErrAborted says that the generation was dropped while it was being made.
var ErrAborted = errors.New("rebuild was aborted")

// RebuildConfig says what to rebuild. The zero value of all but the first three
// fields is a default.
type RebuildConfig struct {
	Projection Projection
	Source     Source
	Registry   Registry

	Logger zerolog.Logger
	// CacheBytes bounds the entities held in memory: 128 MiB. Where those that
	// changed within ColdAfter fit, each is written about once.
	CacheBytes int64
	// ColdAfter is after how many records without a change an entity is written
	// and dropped from memory: 65,536, which is about as long as records come late
	// and out of order. It is read again for a record that comes later. What the
	// rebuild holds depends on it, not on the length of the log.
	ColdAfter int
	// MaxPerSecond caps the records read in a second, so that a rebuild leaves
	// room for live traffic; 0: no cap.
	MaxPerSecond int
	// Hold leaves the promotion to a later Promote, and waits for it.
	Hold bool
	// Carry allows a log that does not begin at its first record: what the live
	// generation holds is copied first.
	Carry bool
	// WithDropped also makes what the live generation has dropped because of its
	// age. A projector with Config.MaxAge drops it again. Carry copies none of it.
	WithDropped bool
	// Progress, where set, is called every 250 ms and at each change of state,
	// by one goroutine.
	Progress func(Progress)
	// Now is the clock of progress; nil: time.Now.
	Now func() time.Time

	carried int // how often it has begun again because the log was trimmed meanwhile
}

// Progress is how far a rebuild is.
type Progress struct {
	Generation Generation      `json:"generation"`
	State      GenerationState `json:"state"`
	Sequence   eventlog.Seq    `json:"sequence"`
	Head       eventlog.Seq    `json:"headSequence"`
	// Share is in [0, 1] of the records that the log has now; PerSecond the
	// rate over the last 5 s.
	Share     float64 `json:"share"`
	PerSecond float64 `json:"perSecond"`
	// ETASeconds is how long the rest takes at that rate; negative: unknown.
	ETASeconds     float64 `json:"etaSeconds"`
	ElapsedSeconds float64 `json:"elapsedSeconds"`
}

// Rebuilt is a finished rebuild, promotion or rollback.
type Rebuilt struct {
	Promotion
	// Records is how many were folded, Changed how many keys have another document
	// than before, Carried how many values were copied.
	Records uint64
	Changed int
	Carried int
	Elapsed time.Duration
	// AnnounceErr is why not all changes were published on the plain subjects; nil:
	// they were. The generation is live in either case.
	AnnounceErr error
}

const (
	defaultRebuildCache = 128 << 20
	defaultColdAfter    = 1 << 16
	progressInterval    = 250 * time.Millisecond
	// readyLagSeconds is how far a ready generation may lag: under constant traffic
	// it always lags by what waits for a commit. The promotion waits for the rest.
	readyLagSeconds = 1
	// rebuildMaxWait is how long a rebuild waits for the lease: longer than
	// the lease of a killed rebuild lasts.
	rebuildMaxWait = 5 * time.Second
	// maxCarried bounds the carries of a log that is trimmed faster than it is read.
	maxCarried = 3
)

// rebuild is one run of Rebuild.
type rebuild struct {
	RebuildConfig
	engine  *engine
	g       Generation
	began   time.Time
	samples []sample
	resumed bool  // another rebuild began g
	failed  error // why g can't be followed
}

type sample struct {
	at  time.Time
	seq eventlog.Seq
}

// Rebuild replays the log into a new generation beside the live one, which
// goes on serving and following, and moves the alias when the new one is up to
// date. Calling Rebuild again resumes a rebuild that was killed; if one is running
// elsewhere it returns ErrBusy. When ctx ends, what was done stays, and
// can be resumed. Once the generation is live Rebuild stops following it,
// and the view's projectors take it over.
func Rebuild(ctx context.Context, c RebuildConfig) (Rebuilt, error) {
	r := &rebuild{RebuildConfig: c}
	if r.Now == nil {
		r.Now = time.Now
	}
	r.began = r.Now()
	config := Config{Projection: c.Projection, Source: c.Source, Store: c.Registry, Logger: c.Logger, CacheBytes: c.CacheBytes, Now: r.Now}
	orDefault(&config.CacheBytes, defaultRebuildCache)
	p, err := New(config)
	if err != nil {
		return Rebuilt{}, err
	}
	r.engine = p.current
	r.engine.bulk, r.engine.coldAfter = true, eventlog.Seq(cmp.Or(c.ColdAfter, defaultColdAfter))
	if c.MaxPerSecond > 0 {
		r.engine.limiter = rate.NewLimiter(rate.Limit(c.MaxPerSecond), max(1, c.MaxPerSecond/10))
	}
	out, err := r.run(ctx)
	if r.useless(ctx) {
		c.Logger.Warn().Err(err).Str(keyBucket, r.g.Bucket).Msg("unfinished generation can't be resumed; dropping it and starting another")
		if err := c.Registry.Drop(ctx, r.g.View, r.g.Number); err != nil {
			return out, fmt.Errorf("rebuild view %s: %w", c.Projection.Name(), err)
		}
		if r.trimmed() {
			c.carried++
		}
		return Rebuild(ctx, c)
	}
	if err != nil {
		return out, fmt.Errorf("rebuild view %s: %w", c.Projection.Name(), err)
	}
	return out, nil
}

// useless reports whether a generation can never be finished: it was resumed, and
// folded from another history of the log, or its stream is gone; or the log was
// trimmed beyond what a carry has copied.
func (r *rebuild) useless(ctx context.Context) bool {
	err := r.failed
	resumed := r.resumed && (errors.Is(err, eventlog.ErrLostTail) || errors.Is(err, eventlog.ErrIncarnation) || errors.Is(err, ErrNoGeneration))
	if !resumed && !r.trimmed() {
		return false
	}
	state, err := r.look(ctx)
	return err == nil && state != GenerationFailed && state != GenerationLive // otherwise it was aborted or promoted meanwhile
}

// trimmed reports whether another carry may succeed where the fold found the log
// trimmed.
func (r *rebuild) trimmed() bool {
	return r.Carry && r.RebuildConfig.carried < maxCarried && errors.Is(r.failed, eventlog.ErrTrimmed)
}

// run takes the generation from state to state: staging, catching-up, ready and,
// without Hold, live. The engine folds beside it until finish stops it, which also
// releases the lease.
func (r *rebuild) run(ctx context.Context) (out Rebuilt, err error) {
	if out.Carried, err = r.stage(ctx); err != nil {
		return out, err
	}
	if r.g.State == GenerationStaging {
		if r.g, err = r.save(ctx, GenerationCatchingUp); err != nil {
			return out, err
		}
	}
	// A generation that is further than staging is left as it is until the
	// lease shows that no other process works on it.
	ready := r.g.State == GenerationReady && !r.g.Held && !r.Hold
	r.g.State = GenerationCatchingUp
	inner, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() {
		done <- r.engine.run(inner, LeaseRequest{Generation: r.g.Number, MaxWait: rebuildMaxWait})
	}()
	finish := func() error {
		stop()
		return <-done
	}
	defer stop()
	if err := r.follow(ctx, done, finish); err != nil {
		if ready && errors.Is(err, ErrBusy) {
			// Its projectors follow it, and so hold its lease: only the promotion is missing.
			out, err = Promote(ctx, r.Registry, r.g.View, r.g.Version)
			out.Elapsed = r.Now().Sub(r.began)
		}
		return out, err
	}
	if r.g, err = r.save(ctx, GenerationReady); err != nil {
		return out, errors.Join(err, finish())
	}
	r.report()
	if r.Hold {
		if err := r.follow(ctx, done, finish); err != nil {
			return out, err
		}
		out.After = r.g
	} else {
		if out.Promotion, err = r.Registry.Promote(ctx, r.g.View, r.g.Number); err != nil {
			return out, errors.Join(err, finish())
		}
		r.g = out.After
		out.Changed, out.AnnounceErr = r.Registry.Announce(ctx, out.Promotion)
	}
	out.Records = uint64(r.engine.board.snapshot(r.Now()).Sequence)
	if err := finish(); err != nil {
		r.Logger.Warn().Err(err).Msg("lease of the rebuilt generation was not released properly")
	}
	r.report()
	out.Elapsed = r.Now().Sub(r.began)
	return out, nil
}

// stage finds the generation to resume, or makes one.
func (r *rebuild) stage(ctx context.Context) (carried int, err error) {
	view, version := r.Projection.Name(), r.Projection.Version()
	all, err := r.Registry.Ensure(ctx, view, version)
	if err != nil {
		return 0, err
	}
	var live Generation
	for _, g := range all {
		switch g.State {
		case GenerationLive:
			live = g
		case GenerationStaging, GenerationCatchingUp, GenerationReady:
			if g.Version != version {
				return 0, fmt.Errorf("%w: %s is %s, made by version %s; run `rollcall abort %s` first", ErrBusy, g.Bucket, g.State, g.Version, view)
			}
			r.g, r.resumed = g, true
		}
	}
	if r.g.Number == 0 {
		if r.g, err = r.Registry.Stage(ctx, view, version); err != nil {
			return 0, err
		}
	}
	before, err := r.Registry.Checkpoint(ctx, live.Bucket)
	if err != nil {
		return 0, err
	}
	if !r.WithDropped {
		r.engine.floor = max(before.Horizon, before.Sweeping)
	}
	head, err := r.Source.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("read head of log: %w", err)
	}
	if head.First <= 1 || r.g.State != GenerationStaging {
		return 0, nil
	}
	if !r.Carry {
		return 0, fmt.Errorf("%w: it begins at record %d, so a new generation would lack what came before; add --carry to copy that from %s, or run `rollcall abort %s`",
			eventlog.ErrTrimmed, head.First, live.Bucket, view)
	}
	return r.carry(ctx, live, before, head)
}

// carry copies what the trimmed log no longer holds, and sets the
// checkpoint to the record before the log's first. before is the live generation's
// checkpoint, and head the log's, from before.
func (r *rebuild) carry(ctx context.Context, live Generation, before Checkpoint, head eventlog.Head) (int, error) {
	copied, err := r.Registry.Carry(ctx, live, r.g)
	if err != nil {
		return copied, err
	}
	sealed, err := r.seal(ctx, before.Sequence, head)
	if err != nil {
		return copied, err
	}
	// What was over between before's horizon and now's was copied or dropped.
	now, err := r.Registry.Checkpoint(ctx, live.Bucket)
	if err != nil {
		return copied, err
	}
	lease, err := r.Registry.Acquire(ctx, LeaseRequest{View: r.g.View, Version: r.g.Version, Generation: r.g.Number, MaxWait: rebuildMaxWait})
	if err != nil {
		return copied, err
	}
	cp := lease.Checkpoint
	cp.Incarnation, cp.Sequence, cp.StoredAt, cp.Commit = head.Incarnation, sealed.seq, sealed.storedAt, fmt.Sprintf("%d-carry", cp.Epoch)
	cp.Horizon = before.Horizon
	if to := max(now.Horizon, now.Sweeping); to > cp.Horizon {
		cp.Sweeping = to
	}
	err = lease.Commit(ctx, &Commit{Checkpoint: cp})
	if err == nil {
		r.g.Sealed = sealed.seq
	}
	return copied, errors.Join(err, lease.Release(ctx))
}

// seal says after which record folding on what was copied begins. A limit may have
// removed records while that took, and may remove as many again until the first one
// is read: those are left to the copy, as far as it has them.
func (r *rebuild) seal(ctx context.Context, copied eventlog.Seq, before eventlog.Head) (position, error) {
	now, err := r.Source.Head(ctx)
	if err != nil {
		return position{}, fmt.Errorf("read head of log: %w", err)
	}
	gone := now.First - 1
	at := max(gone, min(gone+now.First-min(before.First, now.First), copied))
	if at == gone {
		return position{seq: at}, nil
	}
	last, err := r.Source.Record(ctx, at)
	if err != nil && !errors.Is(err, eventlog.ErrNotFound) {
		return position{}, fmt.Errorf("read record %d: %w", at, err)
	}
	return position{at, last.StoredAt}, nil
}

func (r *rebuild) save(ctx context.Context, s GenerationState) (Generation, error) {
	g := r.g
	g.State, g.Held = s, s == GenerationReady && r.Hold
	g, err := r.Registry.Save(ctx, g)
	if errors.Is(err, ErrMoved) {
		return g, fmt.Errorf("%w: %w", ErrAborted, err)
	}
	return g, err
}

// follow waits until the engine has reached the end of the log or, once the
// generation is ready, until it was promoted.
func (r *rebuild) follow(ctx context.Context, done <-chan error, finish func() error) error {
	tick := time.NewTicker(progressInterval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return errors.Join(ctx.Err(), finish())
		case err := <-done:
			if err == nil {
				err = ctx.Err()
			}
			r.failed = err
			return cmp.Or(err, ErrAborted)
		case <-tick.C:
		}
		r.report()
		if r.g.State == GenerationCatchingUp {
			if s := r.engine.board.snapshot(r.Now()); s.State == RunLive && s.LagSeconds <= readyLagSeconds {
				return nil
			}
		}
		state, err := r.look(ctx)
		switch {
		case err != nil:
			r.Logger.Warn().Err(err).Msg("generations can't be read; trying again")
		case state == GenerationFailed:
			return errors.Join(ErrAborted, finish())
		case state == GenerationLive:
			return nil
		}
	}
}

// look reads the generation's state from the registry.
func (r *rebuild) look(ctx context.Context) (GenerationState, error) {
	all, err := r.Registry.Ensure(ctx, r.g.View, r.g.Version)
	if err != nil {
		return "", err
	}
	at := slices.IndexFunc(all, func(g Generation) bool { return g.Number == r.g.Number })
	if at < 0 {
		return GenerationFailed, nil
	}
	return all[at].State, nil
}

// rateWindow is over how long the rate is measured.
const rateWindow = 5 * time.Second

// report tells Progress how far the rebuild is, with the rate over the last
// rateWindow.
func (r *rebuild) report() {
	if r.Progress == nil {
		return
	}
	now := r.Now()
	s := r.engine.board.snapshot(now)
	folded := max(s.Sequence, r.engine.board.folded())
	r.samples = append(r.samples, sample{now, folded})
	for len(r.samples) > 2 && now.Sub(r.samples[0].at) > rateWindow {
		r.samples = r.samples[1:]
	}
	p := Progress{
		Generation: r.g, State: r.g.State, Sequence: folded, Head: s.HeadSequence,
		ETASeconds: -1, ElapsedSeconds: now.Sub(r.began).Seconds(),
	}
	if first := r.samples[0]; now.After(first.at) {
		p.PerSecond = float64(folded-first.seq) / now.Sub(first.at).Seconds()
	}
	if s.HeadSequence > 0 {
		p.Share = min(1, float64(folded)/float64(s.HeadSequence))
	}
	switch {
	case r.g.State != GenerationCatchingUp:
		p.ETASeconds = 0
	case p.PerSecond > 0:
		p.ETASeconds = float64(s.HeadSequence-min(folded, s.HeadSequence)) / p.PerSecond
	}
	r.Progress(p)
}
