package heartbeat

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/oklog/ulid/v2"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/query/pipeline"
)

// Interval is the time between two statuses of a process.
const Interval = time.Second

// Publisher publishes the status of this process every Interval and once at the
// end. Nothing depends on it: where NATS refuses or is away, nothing is published.
type Publisher struct {
	nc    *nats.Conn
	log   zerolog.Logger
	self  pipeline.Status
	began time.Time
	fill  func(*pipeline.Status)
}

// New publishes over nc the status that fill completes. Roles name what the process does.
func New(nc *nats.Conn, roles []string, log zerolog.Logger, fill func(*pipeline.Status)) (*Publisher, error) {
	now := time.Now()
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("name process: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // only for people to read
	}
	return &Publisher{nc: nc, log: log, began: now, fill: fill, self: pipeline.Status{
		Process: id.String(), Host: host[:min(len(host), 128)], Roles: roles, StartedAt: eventlog.TimeOf(now),
	}}, nil
}

// Run publishes until ctx ends, or the server refuses.
func (p *Publisher) Run(ctx context.Context) {
	tick := time.NewTicker(Interval)
	defer tick.Stop()
	for {
		if err := p.publish(false); err != nil {
			p.log.Warn().Err(err).Msg("the status of this process is not published: let its user publish to rollcall.status.*")
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = p.publish(true) // the process ends either way
			return
		}
	}
}

// Background runs the publisher until stop is called.
func (p *Publisher) Background(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { p.Run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// publish publishes one status. An error means that the server refuses it.
func (p *Publisher) publish(stopping bool) error {
	s := p.self
	s.UptimeSeconds, s.Stopping = time.Since(p.began).Seconds(), stopping
	p.fill(&s)
	m, err := s.Message()
	if err != nil {
		return err
	}
	if err := p.nc.PublishMsg(m); err != nil {
		return nil // not connected; the next one may be
	}
	if err := p.nc.FlushTimeout(Interval); err == nil && errors.Is(p.nc.LastError(), nats.ErrPermissionViolation) {
		return p.nc.LastError()
	}
	return nil
}

// RebuildOf is a rebuild's progress as a status reports it.
func RebuildOf(view string, p projector.Progress) pipeline.Rebuild {
	r := pipeline.Rebuild{View: view, Generation: p.Generation.Number, Bucket: p.Generation.Bucket, State: string(p.State), Sequence: p.Sequence,
		HeadSequence: p.Head, Share: console.Round(p.Share), PerSecond: console.Round(p.PerSecond), ElapsedSeconds: console.Round(p.ElapsedSeconds)}
	if p.ETASeconds >= 0 {
		eta := console.Round(p.ETASeconds)
		r.ETASeconds = &eta
	}
	return r
}

// AuditOf is a verification's result as a status reports it.
func AuditOf(v projector.Verified, at time.Time) pipeline.Audit {
	a := pipeline.Audit{View: v.View, At: eventlog.TimeOf(at), Result: pipeline.AuditEqual, Keys: v.Keys, Differing: len(v.Differences), Sequence: v.Sequence}
	if a.Differing > 0 {
		a.Result = pipeline.AuditDifferent
	}
	return a
}

// PublishAudits publishes once what a command found. A user who may not publish
// still gets the result from the command itself.
func PublishAudits(nc *nats.Conn, found *Audits, log zerolog.Logger) {
	nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	p, err := New(nc, []string{"verify"}, log, func(s *pipeline.Status) { s.Audits = found.List() })
	if err == nil {
		err = p.publish(true)
	}
	if err != nil {
		log.Debug().Err(err).Msg("the result was not published")
	}
}

// Audits holds the last audit of each view.
type Audits struct{ latest[pipeline.Audit] }

// Rebuilds holds the progress of each view's rebuild.
type Rebuilds struct{ latest[pipeline.Rebuild] }

// Set keeps the last audit of a view.
func (l *Audits) Set(a pipeline.Audit) { l.put(a.View, a) }

// Set keeps the progress of a view's rebuild.
func (r *Rebuilds) Set(b pipeline.Rebuild) { r.put(b.View, b) }

// latest holds the latest value of each view. It is safe for concurrent use.
type latest[T any] struct {
	mu    sync.Mutex
	views map[string]T
}

func (l *latest[T]) put(view string, x T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.views == nil {
		l.views = map[string]T{}
	}
	l.views[view] = x
}

// List returns the values, ordered by view.
func (l *latest[T]) List() (all []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, view := range slices.Sorted(maps.Keys(l.views)) {
		all = append(all, l.views[view])
	}
	return all
}
