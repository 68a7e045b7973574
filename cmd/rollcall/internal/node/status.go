package node

import (
	"context"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/query/pipeline"
)

// startHeartbeat publishes the status of a process that ingests or projects. A
// query target has nothing to report.
func (n *Node) startHeartbeat(ctx context.Context) error {
	if !n.Roles.Ingest && !n.Roles.Project {
		return nil
	}
	nc, _, err := n.connect(ctx, "status")
	if err != nil {
		return err
	}
	p, err := heartbeat.New(nc, n.Roles.names(), n.Logger.With().Str(console.KeyPart, "status").Logger(), n.fillStatus)
	if err != nil {
		return err
	}
	n.serve(stageProject, func(ctx context.Context) error { p.Run(ctx); return nil })
	return nil
}

// fillStatus completes this process's status.
func (n *Node) fillStatus(s *pipeline.Status) {
	if n.Roles.Ingest {
		s.Ingest = ingestCounts(n.registry)
	}
	for _, w := range n.views {
		status, p := w.status()
		s.Projections = append(s.Projections, pipeline.ProjectionRun{Name: w.fold.Name(), State: string(status.State)})
		if p != nil {
			s.Rebuilds = append(s.Rebuilds, heartbeat.RebuildOf(w.fold.Name(), *p))
		}
	}
	s.Problems = n.Health.problems(context.Background())
	s.Warnings = n.warnings()
	if n.audit != nil {
		s.Audits = n.audit.last.List()
	}
}

// ingestCounts sums up the ingester's own metrics, so that the status and /metrics
// agree.
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
