package node

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"math/rand/v2"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/time/rate"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query/pipeline"
)

const (
	// auditPerSecond caps what an audit reads of the log, so that live traffic
	// is not slowed down: a twentieth of what a core can fold.
	auditPerSecond = 20000
	// auditBytes bounds an audit's shadow in memory.
	auditBytes = 64 << 20
)

// auditor verifies views in the background, a sample at a time, and reports what it
// found in metrics and the log.
type auditor struct {
	interval time.Duration
	sample   float64
	source   projector.Source
	viewer   projector.Viewer
	log      zerolog.Logger

	finished, differing *prometheus.GaugeVec
	runs                *prometheus.CounterVec

	last heartbeat.Audits
}

func (n *Node) newAuditor(js jetstream.JetStream) (*auditor, error) {
	if n.AuditInterval <= 0 {
		return nil, nil
	}
	a := &auditor{
		interval: n.AuditInterval, sample: n.AuditSample, viewer: viewstore.NewReader(js),
		source: paced{n.Log, rate.NewLimiter(auditPerSecond, auditPerSecond/10)},
		log:    n.Logger.With().Str(console.KeyPart, "audit").Logger(),
		finished: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rollcall_audit_last_success_timestamp_seconds",
			Help: "When an audit of the view last came to its end, whatever it found."}, []string{"view"}),
		differing: prometheus.NewGaugeVec(prometheus.GaugeOpts{Name: "rollcall_audit_differing_keys",
			Help: "Keys that differed from what the log says in the last audit that came to its end."}, []string{"view"}),
		runs: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_audit_runs_total",
			Help: "Audits by result: equal, different, failed."}, []string{"view", "result"}),
	}
	for _, c := range []prometheus.Collector{a.finished, a.differing, a.runs} {
		if err := n.registry.Register(c); err != nil {
			return nil, fmt.Errorf("register metrics of the audit: %w", err)
		}
	}
	return a, nil
}

// run audits one view every interval until ctx ends, where p is the projector
// that folds it: one audit for all that stand by is enough.
func (a *auditor) run(ctx context.Context, p *projector.Projector, fold eventlog.Fold) {
	for wire.Pause(ctx, a.interval) == nil {
		if s := p.Status().State; s == projector.RunLive || s == projector.RunCatchingUp {
			a.audit(ctx, fold, rand.Uint64())
		}
	}
}

// audit is one audit. Its seed chooses the sample, so that every key is
// checked in time.
func (a *auditor) audit(ctx context.Context, fold eventlog.Fold, seed uint64) {
	view := fold.Name()
	log := a.log.With().Str(console.KeyView, view).Logger()
	v, err := projector.Verify(ctx, projector.VerifyConfig{
		Projection: fold, Source: a.source, Viewer: a.viewer, Sample: a.sample, Seed: seed, MaxBytes: auditBytes, MaxDetails: 1,
	})
	switch {
	case ctx.Err() != nil:
		return
	case err != nil:
		a.runs.WithLabelValues(view, pipeline.AuditFailed).Inc()
		a.last.Set(pipeline.Audit{View: view, At: eventlog.TimeOf(time.Now()), Result: pipeline.AuditFailed})
		log.Warn().Err(err).Msg("audit failed; the next one follows")
		return
	}
	a.last.Set(heartbeat.AuditOf(v, time.Now()))
	a.finished.WithLabelValues(view).SetToCurrentTime()
	a.differing.WithLabelValues(view).Set(float64(len(v.Differences)))
	if len(v.Differences) == 0 {
		a.runs.WithLabelValues(view, pipeline.AuditEqual).Inc()
		log.Debug().Int("keys", v.Keys).Uint64(console.KeySequence, uint64(v.Sequence)).Msg("audit found nothing")
		return
	}
	a.runs.WithLabelValues(view, pipeline.AuditDifferent).Inc()
	log.Error().Int("keys", v.Keys).Int("differing_keys", len(v.Differences)).Uint64(console.KeySequence, uint64(v.Sequence)).
		Msgf("view differs from the log; run `rollcall verify %s --repair`", view)
}

// paced is a Source that is read no faster than its limiter says.
type paced struct {
	projector.Source
	limiter *rate.Limiter
}

// Read is the Source's, paced.
func (p paced) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for r, err := range p.Source.Read(ctx, opts) {
			if werr := p.limiter.Wait(ctx); werr != nil && err == nil {
				err = errors.Join(werr, ctx.Err())
			}
			if !yield(r, err) || err != nil {
				return
			}
		}
	}
}
