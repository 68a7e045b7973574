package pipeline

import (
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
)

// statusSubject is the prefix on which each process reports, in a message every
// second on core NATS: nobody stores what the next second makes old.
const statusSubject = "rollcall.status."

// Bounds of a status. A process has a handful of views and of reasons to refuse.
const (
	maxStatusBytes = 32 << 10
	maxStatusItems = 64
	maxStatusText  = 128
)

// Status is what a process reports: what came in, which views it works on, how far
// its rebuilds are, and what verifying found. It holds no ids, names or error
// texts: on the embedded server everybody may listen.
type Status struct {
	// Process names the process, by a ULID of its own: the last token of the subject.
	Process string   `json:"process"`
	Host    string   `json:"host"`
	Roles   []string `json:"roles"`
	// StartedAt is the process's clock, UptimeSeconds its monotonic one: rates are
	// over the latter.
	StartedAt     eventlog.Time `json:"startedAt"`
	UptimeSeconds float64       `json:"uptimeSeconds"`
	// Stopping is set in the last report of a process that ends in order.
	Stopping bool `json:"stopping"`
	// Ingest is null where the process takes no webhooks.
	Ingest      *IngestCounts   `json:"ingest"`
	Projections []ProjectionRun `json:"projections"`
	Rebuilds    []Rebuild       `json:"rebuilds"`
	Audits      []Audit         `json:"audits"`
	// Problems are what keeps the process from its work, in fixed words.
	Problems []string `json:"problems"`
	// Warnings are what an operator should know of how it is set up.
	Warnings []string `json:"warnings"`
}

// IngestCounts count deliveries since the process started.
type IngestCounts struct {
	Records    uint64 `json:"records"`
	Duplicates uint64 `json:"duplicates"`
	// Refusals are by reason, as in the metric rollcall_ingest_refusals_total.
	Refusals map[string]uint64 `json:"refusals"`
}

// ProjectionRun is what one process does for a view: several may stand by.
type ProjectionRun struct {
	Name  string `json:"name"`
	State string `json:"state"`
}

// Rebuild is how far a new generation of a view is.
type Rebuild struct {
	View         string       `json:"view"`
	Generation   int          `json:"generation"`
	Bucket       string       `json:"bucket"`
	State        string       `json:"state"`
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	// Share is in [0, 1]; ETASeconds null where it is not known.
	Share          float64  `json:"share"`
	PerSecond      float64  `json:"perSecond"`
	ETASeconds     *float64 `json:"etaSeconds"`
	ElapsedSeconds float64  `json:"elapsedSeconds"`
}

// Results of an Audit.
const (
	AuditEqual     = "equal"
	AuditDifferent = "different"
	AuditFailed    = "failed"
)

// Audit is what the last comparison of a view with the log came to.
type Audit struct {
	View   string        `json:"view"`
	At     eventlog.Time `json:"at"`
	Result string        `json:"result"`
	// Keys were compared, of which Differing differ; Sequence is how far view and
	// log were. All are 0 where it failed.
	Keys      int          `json:"keys"`
	Differing int          `json:"differing"`
	Sequence  eventlog.Seq `json:"sequence"`
}

// Message is the status as it is published.
func (s Status) Message() (*nats.Msg, error) {
	b, err := json.Marshal(s)
	if err != nil {
		return nil, fmt.Errorf("encode status: %w", err)
	}
	return &nats.Msg{Subject: statusSubject + s.Process, Data: b}, nil
}

var processID = regexp.MustCompile(`^[0-9A-Z]{26}$`)

var errNoStatus = errors.New("no status of a process")

// readStatus takes what a process published and nothing else. A client that may
// only read can't publish a status, but it can make the server send something
// else to that subject, as a reply or a delivery. Such a message has headers,
// or a reply subject, or is no status that names its own subject.
func readStatus(m *nats.Msg) (s Status, err error) {
	id := strings.TrimPrefix(m.Subject, statusSubject)
	if len(m.Header) > 0 || m.Reply != "" || len(m.Data) > maxStatusBytes || !processID.MatchString(id) {
		return s, errNoStatus
	}
	if err := json.Unmarshal(m.Data, &s, json.RejectUnknownMembers(true)); err != nil {
		return s, fmt.Errorf("%w: %w", errNoStatus, err)
	}
	if s.Process != id || !s.bounded() {
		return s, errNoStatus
	}
	return s, nil
}

// bounded reports whether a status is as small as a process's own is.
func (s Status) bounded() bool {
	texts := slices.Concat([]string{s.Host}, s.Roles, s.Problems, s.Warnings)
	n := len(s.Roles) + len(s.Problems) + len(s.Warnings) + len(s.Projections) + len(s.Rebuilds) + len(s.Audits)
	if s.Ingest != nil {
		n += len(s.Ingest.Refusals)
		for reason := range s.Ingest.Refusals {
			texts = append(texts, reason)
		}
	}
	for _, p := range s.Projections {
		texts = append(texts, p.Name, p.State)
	}
	for _, r := range s.Rebuilds {
		texts = append(texts, r.View, r.Bucket, r.State)
	}
	for _, a := range s.Audits {
		texts = append(texts, a.View, a.Result)
	}
	for _, t := range texts {
		if len(t) > maxStatusText {
			return false
		}
	}
	return n <= maxStatusItems
}
