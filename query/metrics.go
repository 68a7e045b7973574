package query

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are what operators see of the API.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
	feeds    prometheus.Gauge
}

func newMetrics(a *API, reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_requests_total", Help: "Answers of the read API."}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_query_request_seconds", Help: "Time to answer, waiting for minSequence included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route"}),
		feeds: prometheus.NewGauge(prometheus.GaugeOpts{Name: "rollcall_query_change_feeds", Help: "Clients of the change feed."}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, m.feeds, replicaCollector{a.replica,
			prometheus.NewDesc("rollcall_query_replica_sequence", "Last log sequence in the copy of a view.", []string{"view"}, nil)})
	}
	return m
}

func (m *metrics) answered(r *route, status int, d time.Duration) {
	m.requests.WithLabelValues(r.path, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(r.path).Observe(d.Seconds())
}

// replicaCollector reads the replica's positions when asked.
type replicaCollector struct {
	replica  *Replica
	sequence *prometheus.Desc
}

// Describe implements prometheus.Collector.
func (c replicaCollector) Describe(ch chan<- *prometheus.Desc) { ch <- c.sequence }

// Collect implements prometheus.Collector.
func (c replicaCollector) Collect(ch chan<- prometheus.Metric) {
	for view, seq := range c.replica.Sequences() {
		ch <- prometheus.MustNewConstMetric(c.sequence, prometheus.GaugeValue, float64(seq), view)
	}
}

// replicaCounts count what was wrong with the copy of the views.
type replicaCounts struct {
	remade *prometheus.CounterVec
	rows   *prometheus.CounterVec
	audits *prometheus.CounterVec
}

func newReplicaCounts(reg prometheus.Registerer) *replicaCounts {
	c := &replicaCounts{
		remade: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_remade_total",
			Help: "How often the copy of the views was wiped and loaded again: open (it could not be opened), damage (found while it was used)."}, []string{"reason"}),
		rows: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_damaged_rows_total",
			Help: "Rows whose sum was wrong when they were read; their view is loaded again."}, []string{"view"}),
		audits: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_replica_audits_total",
			Help: "Comparisons of the copy with the view, by result: equal, different (it is loaded again), failed."}, []string{"view", "result"}),
	}
	if reg != nil {
		reg.MustRegister(c.remade, c.rows, c.audits)
	}
	return c
}
