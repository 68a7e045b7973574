package projector

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rollcall/eventlog"
)

// engine drives one generation of a view.
type engine struct {
	config  Config
	logger  zerolog.Logger
	metrics *metrics
	board   board
	// bulk: nobody reads the generation until it has caught up.
	bulk bool
	// floor is the least horizon of a generation that holds nothing yet.
	floor eventlog.Time
	// coldAfter: see RebuildConfig.ColdAfter.
	coldAfter eventlog.Seq
	// limiter, where set, caps the records read in a second.
	limiter *rate.Limiter
}

// run acquires, folds, and begins again after a fence. poison survives, so that
// a record that failed a fold is parked when it comes again.
func (p *engine) run(ctx context.Context, request LeaseRequest) (err error) {
	defer func() {
		p.board.set(func(s *Status) {
			s.State = RunStopped
			if err != nil {
				s.State, s.Error = RunFailed, err.Error()
			}
		})
	}()
	request.View, request.Version = p.config.Projection.Name(), p.config.Projection.Version()
	request.OnStandby = func(holder string) {
		p.board.answered(waitLease)
		p.board.set(func(s *Status) { s.State = RunStandby })
		p.logger.Info().Str(keyHolder, holder).Msg("another projector holds the lease; standing by")
	}
	poison := newPoison()
	wait := retryFirst
	for ctx.Err() == nil {
		started := p.config.Now()
		err := p.withLease(ctx, request, poison)
		p.board.restart()
		switch {
		case err == nil || ctx.Err() != nil:
			return nil
		case errors.Is(err, ErrLostView):
			p.metrics.lostViews.Inc()
			p.logger.Error().Err(err).Msg("view lost what was committed; folding again from what is left")
		case errors.Is(err, ErrFenced):
			p.metrics.fenced.Inc()
			p.logger.Warn().Err(err).Msg("fenced; standing by")
		case fatal(err):
			return err
		default:
			p.logger.Warn().Err(err).Int64(keyRetryMS, wait.Milliseconds()).Msg("projector interrupted; trying again")
		}
		if p.config.Now().Sub(started) > retryLast {
			wait = retryFirst
		}
		if pause(ctx, wait) != nil {
			return nil
		}
		wait = min(2*wait, retryLast)
	}
	return nil
}

// withLease acquires the lease, checks the log, folds until something ends it, and
// releases it.
func (p *engine) withLease(ctx context.Context, request LeaseRequest, poison *poison) error {
	p.board.waits(waitLease, p.config.Now())
	lease, err := p.config.Store.Acquire(ctx, request)
	p.board.answered(waitLease)
	if err != nil {
		return err
	}
	defer p.release(ctx, lease)
	p.board.set(func(s *Status) {
		s.State, s.Bucket, s.Generation = RunCatchingUp, lease.Bucket, lease.Generation
		s.Sequence, s.Parked = lease.Checkpoint.Sequence, lease.Checkpoint.Parked
	})
	head, err := p.head(ctx, request.View, lease.Checkpoint)
	if err != nil {
		return err
	}
	p.logger.Info().Str(keyBucket, lease.Bucket).Uint64(keySequence, uint64(lease.Checkpoint.Sequence)).
		Uint64(keyHead, uint64(head.Last)).Uint64(keyEpoch, lease.Checkpoint.Epoch).Msg("catching up")
	began := p.config.Now()
	for wait := refoldFirst; ; wait = min(2*wait, refoldLast) {
		before := lease.Checkpoint.Commit
		err := newTask(p, lease, head, poison, began).run(ctx)
		if !errors.Is(err, errRefold) || ctx.Err() != nil {
			return err
		}
		// The lease's checkpoint is the last one committed: a commit
		// whose outcome is unknown does not end in a refold.
		poison.refolds++
		lease.Empty = false
		p.metrics.refolds.Inc()
		p.board.set(func(s *Status) { s.State = RunCatchingUp })
		if lease.Checkpoint.Commit != before {
			wait = refoldFirst
		}
		if err := pause(ctx, wait); err != nil {
			return err
		}
	}
}

// head asks where the log ends, and checks the checkpoint against it.
func (p *engine) head(ctx context.Context, view string, cp Checkpoint) (eventlog.Head, error) {
	p.board.waits(waitHead, p.config.Now())
	defer p.board.answered(waitHead)
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	head, err := p.config.Source.Head(ctx)
	if err != nil {
		return head, fmt.Errorf("read head of log: %w", err)
	}
	p.board.head(head.Last, p.config.Now())
	return head, checkPoint(ctx, p.config.Source, view, cp, head)
}

func (p *engine) release(ctx context.Context, lease *Lease) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), p.config.StopTimeout)
	defer cancel()
	if err := lease.Release(ctx); err != nil {
		p.logger.Warn().Err(err).Msg("lease not released; a standby takes over when it expires")
	}
}

// checkPoint checks a checkpoint against the log: JetStream reuses sequences
// after a lost tail, and resumes a re-created stream in its middle, silently.
func checkPoint(ctx context.Context, source Source, view string, cp Checkpoint, head eventlog.Head) error {
	next := fmt.Sprintf("run `rollcall rebuild %s`", view)
	if cp.Incarnation != "" && cp.Incarnation != head.Incarnation {
		return fmt.Errorf("%w: view was folded from log %s, this is log %s; %s",
			eventlog.ErrIncarnation, cp.Incarnation, head.Incarnation, next)
	}
	if cp.Sequence > head.Last {
		return fmt.Errorf("%w: view holds record %d, the log ends at %d; %s",
			eventlog.ErrLostTail, cp.Sequence, head.Last, next)
	}
	if head.First > cp.Sequence+1 {
		return fmt.Errorf("%w: view ends at record %d, the log begins at %d; run `rollcall rebuild %s --carry`",
			eventlog.ErrTrimmed, cp.Sequence, head.First, view)
	}
	if cp.Sequence == 0 || cp.Sequence < head.First {
		return nil
	}
	r, err := source.Record(ctx, cp.Sequence)
	if errors.Is(err, eventlog.ErrNotFound) {
		now, err := source.Head(ctx)
		if err != nil {
			return fmt.Errorf("read head of log: %w", err)
		}
		if now.First > cp.Sequence { // a limit has just removed it
			return checkPoint(ctx, source, view, cp, now)
		}
		return fmt.Errorf("%w: record %d, the view's last one, can't be read; `rollcall events scan` names what is damaged and what to do",
			eventlog.ErrDamaged, cp.Sequence)
	}
	if err != nil {
		return fmt.Errorf("read record %d of checkpoint: %w", cp.Sequence, err)
	}
	if !r.StoredAt.Equal(cp.StoredAt) {
		return fmt.Errorf("%w: record %d was stored at %s, the view's checkpoint says %s; %s", eventlog.ErrLostTail,
			cp.Sequence, r.StoredAt.UTC().Format(time.RFC3339Nano), cp.StoredAt.UTC().Format(time.RFC3339Nano), next)
	}
	return nil
}

// fatal reports whether a retry can't help.
func fatal(err error) bool {
	for _, e := range []error{
		eventlog.ErrTrimmed, eventlog.ErrIncarnation, eventlog.ErrLostTail, eventlog.ErrDamaged,
		ErrVersion, ErrSettings, ErrState, ErrBusy, ErrNoGeneration,
	} {
		if errors.Is(err, e) {
			return true
		}
	}
	return false
}

// leaseOver reports whether an error ends the lease, so that a retry can't help.
func leaseOver(err error) bool {
	return fatal(err) || errors.Is(err, ErrLostView) || errors.Is(err, ErrFenced)
}

// pause waits for d, or until ctx ends and returns its error. (The projector must
// not import wire, which has the same for what talks to NATS.)
func pause(ctx context.Context, d time.Duration) error {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-t.C:
		return nil
	}
}
