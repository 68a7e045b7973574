package ingest

import (
	"strconv"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/eventlog"
)

// metrics are the ingester's. Label values come from the configuration and from
// fixed sets, never from a request.
type metrics struct {
	requests   *prometheus.CounterVec
	refusals   *prometheus.CounterVec
	delayed    prometheus.Counter
	duplicates *prometheus.CounterVec
	records    *prometheus.CounterVec
	defects    *prometheus.CounterVec
	bytes      *prometheus.CounterVec
	refreshes  *prometheus.CounterVec
	append     prometheus.Histogram
	verify     prometheus.Histogram
	inFlight   prometheus.Gauge
}

func newMetrics(r prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Namespace: "rollcall", Subsystem: "ingest", Name: name, Help: help}, labels)
	}
	histogram := func(name, help string, buckets []float64) prometheus.Histogram {
		return prometheus.NewHistogram(prometheus.HistogramOpts{Namespace: "rollcall", Subsystem: "ingest", Name: name, Help: help, Buckets: buckets})
	}
	m := &metrics{
		requests: counter("requests_total", "Requests answered.", "source", "code"),
		refusals: counter("refusals_total", "Requests that were not stored, by reason.", "source", "reason"),
		delayed: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "refusals_delayed_total", Help: "Answers to bad signatures that were delayed.",
		}),
		duplicates: counter("duplicates_total", "Deliveries that were in the log already.", "source"),
		records:    counter("records_total", "Records stored, by event type; other.unknown and other.unreadable fold nothing.", "source", "type"),
		defects:    counter("body_defects_total", "Stored bodies that a strict JSON decoder refuses.", "source", "defect"),
		bytes:      counter("body_bytes_total", "Bytes of verified bodies.", "source"),
		refreshes:  counter("key_refreshes_total", "Fetches of a key URL.", "source", "result"),
		append:     histogram("append_seconds", "Time until a record was durable, or could not be stored.", []float64{.0005, .001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5}),
		verify:     histogram("verify_seconds", "Time to check a signature, key refresh included.", []float64{.00005, .0001, .00025, .001, .005, .025, .1, .5, 2.5}),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "in_flight_requests", Help: "Requests between body and answer.",
		}),
	}
	if r == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{
		m.requests, m.refusals, m.delayed, m.duplicates, m.records, m.defects, m.bytes, m.refreshes, m.append, m.verify, m.inFlight,
	} {
		if err := r.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

// sourceMetrics are the counters of one source, looked up once.
type sourceMetrics struct {
	all        *metrics
	name       string
	ok         prometheus.Counter
	duplicates prometheus.Counter
	bytes      prometheus.Counter
	types      map[string]prometheus.Counter
}

func (m *metrics) source(name string) sourceMetrics {
	s := sourceMetrics{
		all: m, name: name,
		ok:         m.requests.WithLabelValues(name, "200"),
		duplicates: m.duplicates.WithLabelValues(name),
		bytes:      m.bytes.WithLabelValues(name),
		types:      map[string]prometheus.Counter{},
	}
	for _, t := range append(eventlog.Types(), eventlog.Unknown, eventlog.Unreadable) {
		s.types[t.String()] = m.records.WithLabelValues(name, t.String())
	}
	for _, defect := range []string{defectDuplicateNames, defectInvalidUTF8} {
		m.defects.WithLabelValues(name, defect)
	}
	return s
}

const (
	defectDuplicateNames = "duplicate_names"
	defectInvalidUTF8    = "invalid_utf8"
)

func (s sourceMetrics) refused(r *refusal) {
	s.all.requests.WithLabelValues(s.name, strconv.Itoa(r.status)).Inc()
	s.all.refusals.WithLabelValues(s.name, r.reason).Inc()
}

func (s sourceMetrics) stored(id eventlog.Identity, a eventlog.Appended, size int) {
	s.ok.Inc()
	s.bytes.Add(float64(size))
	if a.Duplicate {
		s.duplicates.Inc()
		return
	}
	s.types[id.Type.String()].Inc()
	if id.DuplicateNames {
		s.all.defects.WithLabelValues(s.name, defectDuplicateNames).Inc()
	}
	if id.InvalidUTF8 {
		s.all.defects.WithLabelValues(s.name, defectInvalidUTF8).Inc()
	}
}
