package pipeline

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
)

const (
	processA = "01JDA000000000000000000000"
	processB = "01JDB000000000000000000000"
)

// counted is a status of an ingester.
func counted(process string, uptime float64, records, duplicates, refused uint64) Status {
	return Status{Process: process, Host: "a", Roles: []string{"ingest"}, UptimeSeconds: uptime,
		Ingest: &IngestCounts{Records: records, Duplicates: duplicates, Refusals: map[string]uint64{"signature": refused}}}
}

// TestPipelineRates: rates are over a process's own clock, summed over those
// that report; one that is silent counts for nothing, and is forgotten.
func TestPipelineRates(t *testing.T) {
	t.Parallel()
	now := time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)
	p := New(func() time.Time { return now })
	p.take(counted(processA, 10, 1000, 10, 5))
	p.take(counted(processB, 3, 7, 0, 0))
	p.mark()
	p.take(counted(processA, 12, 1200, 20, 6))
	p.take(counted(processB, 4, 17, 0, 0))
	p.mark()
	s := p.Overview()
	if len(s.History) != 2 || s.History[0].Records != 0 {
		t.Fatalf("history = %+v; want two points, the first 0", s.History)
	}
	if got := s.History[1]; got.Records != 110 || got.Duplicates != 5 || got.Refusals != 0.5 {
		t.Errorf("rates = %+v; want 110, 5 and 0.5 a second", got)
	}
	if s.Ingest.Processes != 2 || s.Ingest.Records != 1217 || s.Ingest.Duplicates != 20 || fmt.Sprint(s.Ingest.Reasons) != "[{signature 6}]" {
		t.Errorf("ingest = %+v; want the sum of both", s.Ingest)
	}

	now = now.Add(silentAfter)
	if s = p.Overview(); s.Processes[0].Lost || s.Ingest.Processes != 2 {
		t.Errorf("%v after its last status a process is lost = %v, %d count; want both", silentAfter, s.Processes[0].Lost, s.Ingest.Processes)
	}
	now = now.Add(time.Second)
	p.take(counted(processB, 10, 17, 0, 0))
	p.mark()
	s = p.Overview()
	if got := s.History[2].Records; got != 0 || s.Ingest.Processes != 1 || !s.Processes[0].Lost {
		t.Errorf("after one went silent: %v records a second, %+v; want 0, and it marked as lost", got, s.Processes)
	}
	now = now.Add(forgottenAfter)
	stop := counted(processB, 70, 17, 0, 0)
	stop.Stopping = true
	p.take(stop)
	p.mark()
	if s = p.Overview(); len(s.Processes) != 0 {
		t.Errorf("processes = %+v; want none", s.Processes)
	}
	for range historyPoints {
		p.mark()
	}
	for range 2 {
		p.mark()
		if n := len(p.Overview().History); n != historyPoints {
			t.Errorf("history has %d points; want %d", n, historyPoints)
		}
	}
}

// TestPipelineAudits: the latest word on a view counts, whoever has it, and stays
// when its process has gone; a rebuild goes with its process.
func TestPipelineAudits(t *testing.T) {
	t.Parallel()
	p := New(nil)
	audit := func(at eventlog.Time, result string) []Audit {
		return []Audit{{View: "sessions", At: at, Result: result}}
	}
	p.take(Status{Process: processA, Audits: audit(2000, AuditDifferent), Rebuilds: []Rebuild{{View: "usage", Share: 0.5}}})
	p.take(Status{Process: processB, Audits: audit(1000, AuditEqual), Rebuilds: []Rebuild{{View: "usage", Share: 0.2}}})
	if s := p.Overview(); len(s.Audits) != 1 || s.Audits[0].Result != AuditDifferent || len(s.Rebuilds) != 1 || s.Rebuilds[0].Share != 0.5 {
		t.Errorf("State() = %+v; want the later audit and the rebuild that is further", s)
	}
	p.take(Status{Process: processA, Stopping: true, Audits: audit(3000, AuditEqual)})
	p.take(Status{Process: processB, Stopping: true})
	if s := p.Overview(); len(s.Audits) != 1 || s.Audits[0].At != 3000 || len(s.Rebuilds) != 0 {
		t.Errorf("State() after both have gone = %+v; want the audit alone", s)
	}
	for i := range maxProcesses + 10 {
		p.take(Status{Process: fmt.Sprint(i), Audits: []Audit{{View: fmt.Sprint("v", i)}}})
	}
	if s := p.Overview(); len(s.Processes) != maxProcesses || len(s.Audits) != maxStatusItems {
		t.Errorf("%d processes and %d audits are remembered; want %d and %d", len(s.Processes), len(s.Audits), maxProcesses, maxStatusItems)
	}
}

// TestOverviewIsOrdered: whichever process reports first, a list reads the same.
func TestOverviewIsOrdered(t *testing.T) {
	t.Parallel()
	p := New(nil)
	for i, process := range []string{processB, processA} {
		s := counted(process, 1, 1, 0, 0)
		s.Ingest.Refusals = map[string]uint64{"rare": 1, "often": 9, "b": 4, "a": 4}
		for _, view := range []string{"u", "s", "r", "l", "a", "b", "c"} {
			view = fmt.Sprint(view, i)
			s.Rebuilds, s.Audits = append(s.Rebuilds, Rebuild{View: view}), append(s.Audits, Audit{View: view})
		}
		p.take(s)
	}
	s := p.Overview()
	var processes, rebuilds, audits, reasons []string
	for _, x := range s.Processes {
		processes = append(processes, x.Process)
	}
	for _, x := range s.Rebuilds {
		rebuilds = append(rebuilds, x.View)
	}
	for _, x := range s.Audits {
		audits = append(audits, x.View)
	}
	for _, x := range s.Ingest.Reasons {
		reasons = append(reasons, x.Reason)
	}
	for what, list := range map[string][]string{"processes": processes, "rebuilds": rebuilds, "audits": audits} {
		if !slices.IsSorted(list) || len(list) < 2 {
			t.Errorf("%s = %v; want them sorted", what, list)
		}
	}
	if want := []string{"often", "a", "b", "rare"}; !slices.Equal(reasons, want) {
		t.Errorf("reasons = %v; want %v, the most frequent first", reasons, want)
	}
}

// TestReadStatus: what a process publishes is read as it was; what a server or
// somebody else can put on the subject is not.
func TestReadStatus(t *testing.T) {
	t.Parallel()
	eta := 12.5
	said := counted(processA, 5, 1, 2, 3)
	said.Rebuilds = []Rebuild{{View: "sessions", Share: 0.25, ETASeconds: &eta}}
	good, err := said.Message()
	if err != nil {
		t.Fatal(err)
	}
	if m, err := (Status{Process: processA, Host: "\xff"}).Message(); err == nil {
		t.Errorf("Message() of a host that is no text = %s; want an error", m.Data)
	}
	read, err := readStatus(good)
	if err != nil || read.Ingest.Refusals["signature"] != 3 || *read.Rebuilds[0].ETASeconds != eta {
		t.Fatalf("readStatus(%s) = %+v, %v; want it back", good.Data, read, err)
	}
	with := func(change func(*nats.Msg)) *nats.Msg {
		m := &nats.Msg{Subject: good.Subject, Data: good.Data}
		change(m)
		return m
	}
	edited := func(change func(map[string]any)) *nats.Msg {
		var all map[string]any
		if err := json.Unmarshal(good.Data, &all); err != nil {
			t.Fatal(err)
		}
		change(all)
		b, err := json.Marshal(all)
		if err != nil {
			t.Fatal(err)
		}
		return &nats.Msg{Subject: good.Subject, Data: b}
	}
	for name, m := range map[string]*nats.Msg{
		"an answer with headers":    with(func(m *nats.Msg) { m.Header = nats.Header{"Nats-Stream": {"MEETINGS"}} }),
		"a delivery to acknowledge": with(func(m *nats.Msg) { m.Reply = "$JS.ACK.MEETINGS.c.1.1.1.1.0" }),
		"another process's subject": with(func(m *nats.Msg) { m.Subject = statusSubject + processB }),
		"no process's subject":      with(func(m *nats.Msg) { m.Subject = statusSubject + "x" }),
		"no JSON":                   with(func(m *nats.Msg) { m.Data = []byte("+OK") }),
		"an answer of JetStream":    with(func(m *nats.Msg) { m.Data = []byte(`{"type":"io.nats.jetstream.api.v1.stream_info_response"}`) }),
		"a member that is none":     edited(func(all map[string]any) { all["config"] = 1 }),
		"one at its end":            edited(func(all map[string]any) { all["zone"] = 1 }),
		"a host of 200 letters":     edited(func(all map[string]any) { all["host"] = strings.Repeat("h", 200) }),
		"a reason of 200 letters": edited(func(all map[string]any) {
			all["ingest"].(map[string]any)["refusals"] = map[string]int{strings.Repeat("r", 200): 1}
		}),
		"more views than there can be": edited(func(all map[string]any) { all["audits"] = make([]Audit, 65) }),
		"a body of 40 KiB": with(func(m *nats.Msg) {
			m.Data = append(good.Data[:len(good.Data):len(good.Data)], strings.Repeat(" ", 40<<10)...)
		}),
	} {
		if s, err := readStatus(m); err == nil {
			t.Errorf("readStatus(%s) = %+v; want an error", name, s)
		}
	}
}

// TestStatusBounds: a status of the largest size that a process can have is
// read; one letter or one item more is not, wherever it stands.
func TestStatusBounds(t *testing.T) {
	most := counted(processA, 5, 1, 2, 3)
	text := strings.Repeat("t", maxStatusText)
	*most.Ingest = IngestCounts{Refusals: map[string]uint64{text: 1}}
	most.Host, most.Roles, most.Problems = text, []string{text}, []string{text}
	most.Projections, most.Rebuilds = []ProjectionRun{{text, text}}, []Rebuild{{View: text, Bucket: text, State: text}}
	most.Audits = make([]Audit, maxStatusItems-5)
	most.Audits[7] = Audit{View: text, Result: text}
	m, err := most.Message()
	if err != nil {
		t.Fatal(err)
	}
	if _, err := readStatus(m); err != nil {
		t.Errorf("readStatus of the largest = %v; want it read", err)
	}
	for name, grow := range map[string]func(s *Status){
		"host":       func(s *Status) { s.Host += "t" },
		"role":       func(s *Status) { s.Roles = []string{text + "t"} },
		"problem":    func(s *Status) { s.Problems = []string{text + "t"} },
		"projection": func(s *Status) { s.Projections = []ProjectionRun{{text + "t", ""}} },
		"state":      func(s *Status) { s.Projections = []ProjectionRun{{"", text + "t"}} },
		"rebuild":    func(s *Status) { s.Rebuilds = []Rebuild{{View: text + "t"}} },
		"bucket":     func(s *Status) { s.Rebuilds = []Rebuild{{Bucket: text + "t"}} },
		"audit":      func(s *Status) { s.Audits = []Audit{{Result: text + "t"}} },
		"refusal":    func(s *Status) { s.Ingest = &IngestCounts{Refusals: map[string]uint64{text + "t": 1}} },
		"two roles":  func(s *Status) { s.Roles = []string{"a", "b"} },
		"two problems": func(s *Status) {
			s.Problems = []string{"a", "b"}
		},
		"two refusals": func(s *Status) { s.Ingest = &IngestCounts{Refusals: map[string]uint64{"a": 1, "b": 1}} },
		"two views":    func(s *Status) { s.Projections = make([]ProjectionRun, 2) },
		"two rebuilds": func(s *Status) { s.Rebuilds = make([]Rebuild, 2) },
		"an audit":     func(s *Status) { s.Audits = make([]Audit, maxStatusItems-4) },
	} {
		s := most
		grow(&s)
		m, err := s.Message()
		if err != nil {
			t.Fatal(err)
		}
		if _, err := readStatus(m); err == nil {
			t.Errorf("readStatus with more: %s = nil; want an error", name)
		}
	}
}
