package projector

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/eventlog"
)

// metrics are the Prometheus metrics of one projector, each with the label
// view. It is the collector that is registered.
type metrics struct {
	status func() Status
	// applied counts by event type. Tasks add to it once a chunk, which spares
	// an atomic for each event.
	applied                          [maxTypes]atomic.Uint64
	hits, misses, evictions          atomic.Uint64
	cacheBytes, cacheEntities        atomic.Int64
	fenced, readErrors, commitErrors prometheus.Counter
	parked, refolds, dropped         prometheus.Counter
	broken, lostViews                prometheus.Counter
	commitSeconds                    prometheus.Histogram

	waitingDesc, lag, lagSeconds, sequence, appliedDesc, parkedNow *prometheus.Desc
	cacheDesc, bytesDesc, entitiesDesc, evictDesc                  *prometheus.Desc
}

// maxTypes is more than there are event types.
const maxTypes = 16

func newMetrics(view string, status func() Status) *metrics {
	labels := prometheus.Labels{"view": view}
	counter := func(name, help string) prometheus.Counter {
		return prometheus.NewCounter(prometheus.CounterOpts{Name: name, Help: help, ConstLabels: labels})
	}
	desc := func(name, help string, variable ...string) *prometheus.Desc {
		return prometheus.NewDesc(name, help, variable, labels)
	}
	return &metrics{
		status:       status,
		fenced:       counter("rollcall_projector_fenced_total", "Times that another process took over."),
		readErrors:   counter("rollcall_projector_read_errors_total", "Reads of the log that were interrupted and retried."),
		commitErrors: counter("rollcall_projector_commit_errors_total", "Commits whose outcome was unknown and had to be checked."),
		refolds:      counter("rollcall_projector_refolds_total", "Times that folding restarted at the checkpoint to leave out a failing record."),
		parked:       counter("rollcall_projector_parked_total", "Records parked by this process."),
		dropped:      counter("rollcall_projector_dropped_total", "Entities dropped from the view because of their age."),
		broken:       counter("rollcall_projector_broken_entities_total", "Entities that stay as they are stored because their fold fails without a record to blame."),
		lostViews:    counter("rollcall_projector_lost_views_total", "Times that the view's store had lost what was committed."),
		commitSeconds: prometheus.NewHistogram(prometheus.HistogramOpts{
			Name: "rollcall_projector_commit_seconds", Help: "From the first attempt of a commit to its confirmed success.",
			ConstLabels: labels, Buckets: prometheus.ExponentialBuckets(0.001, 2, 14),
		}),
		lag:          desc("rollcall_projector_lag_records", "Records in the log that the view does not hold yet."),
		lagSeconds:   desc("rollcall_projector_lag_seconds", "Age of the oldest of those records."),
		sequence:     desc("rollcall_projector_sequence", "Last log sequence in the view."),
		waitingDesc:  desc("rollcall_projector_waiting_seconds", "How long log or store have not answered, from 5 s on; 0: nothing is overdue."),
		parkedNow:    desc("rollcall_projector_parked_records", "Records that are parked now."),
		appliedDesc:  desc("rollcall_projector_applied_total", "Records folded or skipped, by event type.", "type"),
		cacheDesc:    desc("rollcall_projector_cache_requests_total", "Lookups of entities in the cache.", "result"),
		bytesDesc:    desc("rollcall_projector_cache_bytes", "Approximate memory of the entities held."),
		entitiesDesc: desc("rollcall_projector_cache_entities", "Entities held in memory."),
		evictDesc:    desc("rollcall_projector_cache_evictions_total", "Entities evicted to keep the cache within its limit."),
	}
}

// cacheCounts are what a task's cache has counted.
type cacheCounts struct {
	hits, misses, evictions uint64
	bytes, entities         int64
}

// observe adds what a task has counted since it was last observed: several
// generations of a view may be followed at once.
func (m *metrics) observe(t *task) {
	for i, n := range t.applied {
		if n > 0 {
			m.applied[i].Add(n)
			t.applied[i] = 0
		}
	}
	c, reported := t.cache, &t.reported
	now := cacheCounts{c.hits, c.misses, c.evictions, c.bytes, int64(len(c.entities))}
	m.hits.Add(now.hits - reported.hits)
	m.misses.Add(now.misses - reported.misses)
	m.evictions.Add(now.evictions - reported.evictions)
	m.cacheBytes.Add(now.bytes - reported.bytes)
	m.cacheEntities.Add(now.entities - reported.entities)
	*reported = now
}

// forget takes the cache of a task that ended out of the gauges.
func (m *metrics) forget(t *task) {
	m.observe(t)
	m.cacheBytes.Add(-t.reported.bytes)
	m.cacheEntities.Add(-t.reported.entities)
}

func (m *metrics) committed(d time.Duration) { m.commitSeconds.Observe(d.Seconds()) }

// Describe and Collect implement prometheus.Collector.
func (m *metrics) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		m.waitingDesc, m.lag, m.lagSeconds, m.sequence, m.parkedNow, m.appliedDesc,
		m.cacheDesc, m.bytesDesc, m.entitiesDesc, m.evictDesc,
	} {
		ch <- d
	}
	for _, c := range m.plain() {
		c.Describe(ch)
	}
}

// Collect implements prometheus.Collector.
func (m *metrics) Collect(ch chan<- prometheus.Metric) {
	s := m.status()
	gauge := func(d *prometheus.Desc, v float64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, v)
	}
	count := func(d *prometheus.Desc, v uint64, labels ...string) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v), labels...)
	}
	gauge(m.lag, float64(s.Lag))
	gauge(m.lagSeconds, s.LagSeconds)
	gauge(m.sequence, float64(s.Sequence))
	gauge(m.waitingDesc, s.WaitingSeconds)
	gauge(m.parkedNow, float64(s.Parked))
	gauge(m.bytesDesc, float64(m.cacheBytes.Load()))
	gauge(m.entitiesDesc, float64(m.cacheEntities.Load()))
	count(m.cacheDesc, m.hits.Load(), "hit")
	count(m.cacheDesc, m.misses.Load(), "miss")
	count(m.evictDesc, m.evictions.Load())
	for _, t := range append(eventlog.Types(), eventlog.Unknown, eventlog.Unreadable) {
		count(m.appliedDesc, m.applied[t].Load(), t.String())
	}
	for _, c := range m.plain() {
		c.Collect(ch)
	}
}

func (m *metrics) plain() []prometheus.Collector {
	return []prometheus.Collector{m.fenced, m.readErrors, m.commitErrors, m.parked, m.refolds, m.dropped, m.broken, m.lostViews, m.commitSeconds}
}
