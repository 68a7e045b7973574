package replica

import "github.com/prometheus/client_golang/prometheus"

// progressCollector reads how far the copy is when it is asked.
type progressCollector struct {
	replica  *Replica
	sequence *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c progressCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.sequence }

// Collect implements prometheus.Collector.
func (c progressCollector) Collect(ch chan<- prometheus.Metric) {
	for view, seq := range c.replica.Sequences() {
		ch <- prometheus.MustNewConstMetric(c.sequence, prometheus.GaugeValue, float64(seq), view)
	}
}

// counts count what was wrong with the copy of the views.
type counts struct {
	remade *prometheus.CounterVec
	rows   *prometheus.CounterVec
	audits *prometheus.CounterVec
}

func newCounts(r *Replica, reg prometheus.Registerer) *counts {
	c := &counts{
		remade: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_remade_total",
			Help: "How often the copy of the views was wiped and loaded again: open (it could not be opened), damage (found while it was used)."}, []string{"reason"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_damaged_rows_total",
			Help: "Rows whose sum was wrong when they were read; their view is loaded again."}, []string{"view"}),
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_audits_total",
			Help: "Comparisons of the copy with the view, by result: equal, different (it is loaded again), failed."}, []string{"view", "result"}),
	}
	if reg != nil {
		reg.MustRegister(c.remade, c.rows, c.audits, progressCollector{r,
			prometheus.NewDesc("rollcall_query_replica_sequence", "Last log sequence in the copy of a view.", []string{"view"}, nil)})
	}
	return c
}
