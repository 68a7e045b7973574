package query

import (
	"strconv"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/query/feed"
)

// metrics are what operators see of the API.
type metrics struct {
	requests *prometheus.CounterVec
	seconds  *prometheus.HistogramVec
}

func newMetrics(feeds *feed.Feeds, reg prometheus.Registerer) *metrics {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "rollcall_query_requests_total", Help: "Answers of the read API."}, []string{"route", "code"}),
		seconds: prometheus.NewHistogramVec(prometheus.HistogramOpts{Name: "rollcall_query_request_seconds", Help: "Time to answer, waiting for minSequence included.",
			Buckets: []float64{.001, .0025, .005, .01, .025, .05, .1, .25, .5, 1, 2.5, 10}}, []string{"route"}),
	}
	if reg != nil {
		reg.MustRegister(m.requests, m.seconds, prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "rollcall_query_change_feeds", Help: "Clients of the change feed."},
			func() float64 { return float64(feeds.Open()) }))
	}
	return m
}

func (m *metrics) answered(r *route, status int, d time.Duration) {
	m.requests.WithLabelValues(r.path, strconv.Itoa(status)).Inc()
	m.seconds.WithLabelValues(r.path).Observe(d.Seconds())
}
