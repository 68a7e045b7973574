package pipeline

import (
	"cmp"
	"context"
	"fmt"
	"math"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
)

const (
	// historyInterval is between two points of the history, historyPoints how many
	// there are: three minutes.
	historyInterval = 2 * time.Second
	historyPoints   = 90
	// silentAfter is when a process that reported nothing counts as lost, and
	// forgottenAfter when it is left out.
	silentAfter    = 5 * time.Second
	forgottenAfter = time.Minute
	// maxProcesses bounds what is remembered; views are bounded by maxStatusItems.
	maxProcesses = 256
)

// Monitor gathers what the processes of a Rollcall report, wherever they run. Its
// methods may be used from several goroutines.
type Monitor struct {
	now func() time.Time

	mu        sync.Mutex
	processes map[string]*process
	audits    map[string]Audit
	history   []Rates
}

// process is the last status of one, and its rates between the last two.
type process struct {
	Status
	reported time.Time
	rates    Rates
}

// Rates are deliveries a second at a moment.
type Rates struct {
	At         eventlog.Time `json:"at"`
	Records    float64       `json:"recordsPerSecond"`
	Duplicates float64       `json:"duplicatesPerSecond"`
	Refusals   float64       `json:"refusalsPerSecond"`
}

// Overview is what GET /v1/pipeline answers.
type Overview struct {
	At     eventlog.Time `json:"at"`
	Ingest IngestTotals  `json:"ingest"`
	// History has a point every two seconds, the latest last.
	History   []Rates          `json:"history"`
	Rebuilds  []Rebuild        `json:"rebuilds"`
	Audits    []Audit          `json:"audits"`
	Processes []ProcessSummary `json:"processes"`
}

// IngestTotals sums up the ingesters that report: what each counted since it
// started.
type IngestTotals struct {
	Processes  int     `json:"processes"`
	Records    uint64  `json:"records"`
	Duplicates uint64  `json:"duplicates"`
	Refusals   uint64  `json:"refusals"`
	Reasons    []Count `json:"refusalsByReason"`
}

// Count is how often something happened.
type Count struct {
	Reason string `json:"reason"`
	Count  uint64 `json:"count"`
}

// ProcessSummary is one process.
type ProcessSummary struct {
	Process     string          `json:"process"`
	Host        string          `json:"host"`
	Roles       []string        `json:"roles"`
	StartedAt   eventlog.Time   `json:"startedAt"`
	HeardAt     eventlog.Time   `json:"heardAt"`
	Lost        bool            `json:"lost"`
	Projections []ProjectionRun `json:"projections"`
	Problems    []string        `json:"problems"`
	Warnings    []string        `json:"warnings"`
}

// New makes a Monitor that knows of no process yet. now is the clock; nil:
// time.Now.
func New(now func() time.Time) *Monitor {
	if now == nil {
		now = time.Now
	}
	return &Monitor{now: now, processes: map[string]*process{}, audits: map[string]Audit{}}
}

// Run listens on nc until ctx ends.
func (p *Monitor) Run(ctx context.Context, nc *nats.Conn) error {
	sub, err := nc.Subscribe(statusSubject+"*", func(m *nats.Msg) {
		if s, err := readStatus(m); err == nil {
			p.take(s)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to the processes' status: %w", err)
	}
	tick := time.NewTicker(historyInterval)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			p.mark()
		case <-ctx.Done():
			_ = sub.Unsubscribe() // a closed connection has none any more
			return nil
		}
	}
}

// take keeps a status.
func (p *Monitor) take(s Status) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for _, a := range s.Audits {
		if had, ok := p.audits[a.View]; (!ok && len(p.audits) < maxStatusItems) || (ok && had.At < a.At) {
			p.audits[a.View] = a
		}
	}
	had := p.processes[s.Process]
	if s.Stopping {
		delete(p.processes, s.Process)
		return
	}
	if had == nil && len(p.processes) >= maxProcesses {
		return
	}
	now := &process{Status: s, reported: p.now()}
	if had != nil {
		now.rates = ratesBetween(had.Status, s)
	}
	p.processes[s.Process] = now
}

// ratesBetween is what a process took in a second between two of its statuses.
func ratesBetween(a, b Status) (r Rates) {
	seconds := b.UptimeSeconds - a.UptimeSeconds
	if a.Ingest == nil || b.Ingest == nil || seconds <= 0 {
		return r
	}
	per := func(from, to uint64) float64 { return math.Round(1000*float64(to-min(from, to))/seconds) / 1000 }
	return Rates{
		Records:    per(a.Ingest.Records, b.Ingest.Records),
		Duplicates: per(a.Ingest.Duplicates, b.Ingest.Duplicates),
		Refusals:   per(a.Ingest.refused(), b.Ingest.refused()),
	}
}

func (c *IngestCounts) refused() (n uint64) {
	for _, m := range c.Refusals {
		n += m
	}
	return n
}

// mark adds a point to the history, and forgets processes lost long ago.
func (p *Monitor) mark() {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	at := Rates{At: eventlog.TimeOf(now)}
	for id, x := range p.processes {
		switch silent := now.Sub(x.reported); {
		case silent > forgottenAfter:
			delete(p.processes, id)
		case silent <= silentAfter:
			at.Records += x.rates.Records
			at.Duplicates += x.rates.Duplicates
			at.Refusals += x.rates.Refusals
		}
	}
	if len(p.history) == historyPoints {
		p.history = append(p.history[:0], p.history[1:]...)
	}
	p.history = append(p.history, at)
}

// Overview is what is known now. One process at a time reports a rebuild; where two
// do, the one that is further counts.
func (p *Monitor) Overview() Overview {
	p.mu.Lock()
	defer p.mu.Unlock()
	now := p.now()
	out := Overview{
		At: eventlog.TimeOf(now), Ingest: IngestTotals{Reasons: []Count{}}, History: append([]Rates{}, p.history...),
		Rebuilds: []Rebuild{}, Audits: []Audit{}, Processes: []ProcessSummary{},
	}
	reasons, rebuilds := map[string]uint64{}, map[string]Rebuild{}
	for _, x := range p.processes {
		lost := now.Sub(x.reported) > silentAfter
		out.Processes = append(out.Processes, ProcessSummary{
			Process: x.Process, Host: x.Host, Roles: append([]string{}, x.Roles...), StartedAt: x.StartedAt,
			HeardAt: eventlog.TimeOf(x.reported), Lost: lost, Projections: append([]ProjectionRun{}, x.Projections...), Problems: append([]string{}, x.Problems...),
			Warnings: append([]string{}, x.Warnings...),
		})
		if lost {
			continue
		}
		out.Ingest.add(x.Ingest, reasons)
		for _, r := range x.Rebuilds {
			if had, ok := rebuilds[r.View]; !ok || had.Share < r.Share {
				rebuilds[r.View] = r
			}
		}
	}
	for reason, n := range reasons {
		out.Ingest.Reasons = append(out.Ingest.Reasons, Count{reason, n})
	}
	for _, r := range rebuilds {
		out.Rebuilds = append(out.Rebuilds, r)
	}
	for _, a := range p.audits {
		out.Audits = append(out.Audits, a)
	}
	out.sort()
	return out
}

// add adds what one ingester counted; nil: it is none.
func (s *IngestTotals) add(c *IngestCounts, reasons map[string]uint64) {
	if c == nil {
		return
	}
	s.Processes++
	s.Records += c.Records
	s.Duplicates += c.Duplicates
	s.Refusals += c.refused()
	for reason, n := range c.Refusals {
		reasons[reason] += n
	}
}

func (s *Overview) sort() {
	slices.SortFunc(s.Processes, func(a, b ProcessSummary) int {
		return cmp.Or(cmp.Compare(a.StartedAt, b.StartedAt), cmp.Compare(a.Process, b.Process))
	})
	slices.SortFunc(s.Ingest.Reasons, func(a, b Count) int {
		return cmp.Or(cmp.Compare(b.Count, a.Count), cmp.Compare(a.Reason, b.Reason))
	})
	slices.SortFunc(s.Rebuilds, func(a, b Rebuild) int { return cmp.Compare(a.View, b.View) })
	slices.SortFunc(s.Audits, func(a, b Audit) int { return cmp.Compare(a.View, b.View) })
}
