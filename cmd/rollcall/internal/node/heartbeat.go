package node

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
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/query/pipeline"
)

// HeartbeatInterval is between two statuses of a process.
const HeartbeatInterval = time.Second

// Heartbeat publishes what this process tells of itself, every second and once at
// the end. Nothing depends on it: where NATS refuses or is away, it is not told.
type Heartbeat struct {
	nc    *nats.Conn
	log   zerolog.Logger
	self  pipeline.Status
	began time.Time
	fill  func(*pipeline.Status)
}

// NewHeartbeat publishes over nc what fill says of the process. Roles are what the process
// is known by.
func NewHeartbeat(nc *nats.Conn, roles []string, log zerolog.Logger, fill func(*pipeline.Status)) (*Heartbeat, error) {
	now := time.Now()
	id, err := ulid.New(ulid.Timestamp(now), rand.Reader)
	if err != nil {
		return nil, fmt.Errorf("name process: %w", err)
	}
	host, err := os.Hostname()
	if err != nil {
		host = "unknown" // only for people to read
	}
	return &Heartbeat{nc: nc, log: log, began: now, fill: fill, self: pipeline.Status{
		Process: id.String(), Host: host[:min(len(host), 128)], Roles: roles, StartedAt: eventlog.TimeOf(now),
	}}, nil
}

// run tells until ctx ends.
func (t *Heartbeat) run(ctx context.Context) {
	tick := time.NewTicker(HeartbeatInterval)
	defer tick.Stop()
	for {
		if err := t.publish(false); err != nil {
			t.log.Warn().Err(err).Msg("this process does not tell of itself: let its user publish to rollcall.status.*")
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			_ = t.publish(true) // nobody is left to tell that nothing was told
			return
		}
	}
}

// Background runs it until stop is called.
func (t *Heartbeat) Background(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	var running sync.WaitGroup
	running.Go(func() { t.run(ctx) })
	return func() {
		cancel()
		running.Wait()
	}
}

// publish publishes one status. An error says that the server won't have it.
func (t *Heartbeat) publish(stopping bool) error {
	s := t.self
	s.UptimeSeconds, s.Stopping = time.Since(t.began).Seconds(), stopping
	t.fill(&s)
	m, err := s.Message()
	if err != nil {
		return err
	}
	if err := t.nc.PublishMsg(m); err != nil {
		return nil // not connected; the next one may be
	}
	if err := t.nc.FlushTimeout(HeartbeatInterval); err == nil && errors.Is(t.nc.LastError(), nats.ErrPermissionViolation) {
		return t.nc.LastError()
	}
	return nil
}

// startHeartbeat tells of the roles that others want to hear of: a query target
// has nothing to tell.
func (n *Node) startHeartbeat(ctx context.Context) error {
	if !n.Roles.Ingest && !n.Roles.Project {
		return nil
	}
	nc, _, err := n.connect(ctx, "status")
	if err != nil {
		return err
	}
	t, err := NewHeartbeat(nc, n.Roles.names(), n.Logger.With().Str(console.KeyPart, "status").Logger(), n.fillStatus)
	if err != nil {
		return err
	}
	n.serve(stageProject, func(ctx context.Context) error { t.run(ctx); return nil })
	return nil
}

// fillStatus says how this process is doing.
func (n *Node) fillStatus(s *pipeline.Status) {
	if n.Roles.Ingest {
		s.Ingest = ingestCounts(n.registry)
	}
	for _, w := range n.views {
		status, p := w.status()
		s.Projections = append(s.Projections, pipeline.ProjectionRun{Name: w.fold.Name(), State: string(status.State)})
		if p != nil {
			s.Rebuilds = append(s.Rebuilds, RebuildOf(w.fold.Name(), *p))
		}
	}
	s.Problems = n.Health.problems(context.Background())
	s.Warnings = n.warnings()
	if n.audit != nil {
		s.Audits = n.audit.last.List()
	}
}

// ingestCounts are the ingester's own metrics, summed up: what is told is what
// /metrics says.
func ingestCounts(g prometheus.Gatherer) *pipeline.IngestCounts {
	c := &pipeline.IngestCounts{Refusals: map[string]uint64{}}
	families, _ := g.Gather() // what could be gathered counts
	for _, family := range families {
		for _, m := range family.GetMetric() {
			n := uint64(m.GetCounter().GetValue())
			switch family.GetName() {
			case "rollcall_ingest_records_total":
				c.Records += n
			case "rollcall_ingest_duplicates_total":
				c.Duplicates += n
			case "rollcall_ingest_refusals_total":
				for _, label := range m.GetLabel() {
					if label.GetName() == "reason" && n > 0 {
						c.Refusals[label.GetValue()] += n
					}
				}
			}
		}
	}
	return c
}

// RebuildOf is a rebuild's progress as it is told.
func RebuildOf(view string, p projector.Progress) pipeline.Rebuild {
	r := pipeline.Rebuild{View: view, Generation: p.Generation.Number, Bucket: p.Generation.Bucket, State: string(p.State), Sequence: p.Sequence,
		HeadSequence: p.Head, Share: console.Round(p.Share), PerSecond: console.Round(p.PerSecond), ElapsedSeconds: console.Round(p.ElapsedSeconds)}
	if p.ETASeconds >= 0 {
		eta := console.Round(p.ETASeconds)
		r.ETASeconds = &eta
	}
	return r
}

// AuditOf is what a verification found as it is told.
func AuditOf(v projector.Verified, at time.Time) pipeline.Audit {
	a := pipeline.Audit{View: v.View, At: eventlog.TimeOf(at), Result: pipeline.AuditEqual, Keys: v.Keys, Differing: len(v.Differences), Sequence: v.Sequence}
	if a.Differing > 0 {
		a.Result = pipeline.AuditDifferent
	}
	return a
}

// PublishAudits tells once what a command found. Who may not tell found it all the same.
func PublishAudits(nc *nats.Conn, found *Audits, log zerolog.Logger) {
	nc.SetErrorHandler(func(*nats.Conn, *nats.Subscription, error) {})
	t, err := NewHeartbeat(nc, []string{"verify"}, log, func(s *pipeline.Status) { s.Audits = found.List() })
	if err == nil {
		err = t.publish(true)
	}
	if err != nil {
		log.Debug().Err(err).Msg("what was found is not told")
	}
}

// Audits is the last audit of each view.
type Audits struct{ latest[pipeline.Audit] }

// Rebuilds is how far the rebuild of each view is.
type Rebuilds struct{ latest[pipeline.Rebuild] }

// Set keeps the last audit of a view.
func (l *Audits) Set(a pipeline.Audit) { l.put(a.View, a) }

// Set keeps how far the rebuild of a view is.
func (r *Rebuilds) Set(b pipeline.Rebuild) { r.put(b.View, b) }

// latest is the latest word on each view. Its methods may be used from several
// goroutines.
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

// List is by view.
func (l *latest[T]) List() (all []T) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, view := range slices.Sorted(maps.Keys(l.views)) {
		all = append(all, l.views[view])
	}
	return all
}
