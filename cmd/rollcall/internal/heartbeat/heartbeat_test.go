package heartbeat

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/query/pipeline"
)

// status is the next one that some process published.
func status(t *testing.T, sub *nats.Subscription) (s pipeline.Status) {
	t.Helper()
	m, err := sub.NextMsg(eventlogtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if err := json.Unmarshal(m.Data, &s); err != nil {
		t.Fatalf("status %s: %v", m.Data, err)
	}
	return s
}

// TestStatusAtStartAndEnd: a process publishes as it starts, and that it ends
// before stop returns.
func TestStatusAtStartAndEnd(t *testing.T) {
	node := eventlogtest.Server(t)
	nc := node.Connect(t)
	sub, err := nc.SubscribeSync("rollcall.status.*")
	if err != nil {
		t.Fatal(err)
	}
	p, err := New(nc, []string{"query"}, zerolog.Nop(), func(s *pipeline.Status) { s.Problems = []string{"filled"} })
	if err != nil {
		t.Fatal(err)
	}
	host, err := os.Hostname()
	if err != nil {
		t.Skip(err)
	}
	stop := p.Background(t.Context())
	first := status(t, sub)
	if first.Stopping || len(first.Process) != 26 || first.Host != host || !slices.Equal(first.Roles, []string{"query"}) || !slices.Equal(first.Problems, []string{"filled"}) {
		t.Errorf("the first status = %+v; want a process of role query that runs, as fill completed it", first)
	}
	stop()
	last := first
	for n, _, err := sub.Pending(); n > 0 && err == nil; n, _, err = sub.Pending() {
		last = status(t, sub)
	}
	if !last.Stopping || last.Process != first.Process {
		t.Errorf("the last status as stop returns = process %s, stopping %v; want %s, which stops", last.Process, last.Stopping, first.Process)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	p.Run(ctx) // returns, though the interval has not passed
}

// TestPublishAudits: a command's results are published once, ordered by view.
func TestPublishAudits(t *testing.T) {
	node := eventlogtest.Server(t)
	nc := node.Connect(t)
	sub, err := nc.SubscribeSync("rollcall.status.*")
	if err != nil {
		t.Fatal(err)
	}
	var found Audits
	found.Set(AuditOf(projector.Verified{View: "usage", Keys: 7, Sequence: 9, Differences: make([]projector.Difference, 1)}, time.Unix(1e9, 0)))
	found.Set(AuditOf(projector.Verified{View: "sessions", Keys: 3, Sequence: 9}, time.Unix(1e9, 0)))
	var log bytes.Buffer
	PublishAudits(nc, &found, zerolog.New(&log))
	if log.Len() > 0 {
		t.Errorf("log = %s; want nothing, since the result was published", &log)
	}
	s := status(t, sub)
	if len(s.Audits) != 2 || s.Audits[0].View != "sessions" || s.Audits[0].Result != pipeline.AuditEqual || s.Audits[1].Result != pipeline.AuditDifferent || s.Audits[1].Differing != 1 || !s.Stopping {
		t.Errorf("published audits = %+v, stopping %v; want those of sessions, equal, and usage, different, of a process that ends", s.Audits, s.Stopping)
	}
}

// TestRebuildOf: a rebuild that ends now has a time left, one whose end nobody knows has none.
func TestRebuildOf(t *testing.T) {
	if r := RebuildOf("usage", projector.Progress{ETASeconds: 0}); r.ETASeconds == nil || *r.ETASeconds != 0 {
		t.Errorf("RebuildOf(0 seconds left) = %v; want 0", r.ETASeconds)
	}
	if r := RebuildOf("usage", projector.Progress{ETASeconds: -1}); r.ETASeconds != nil {
		t.Errorf("RebuildOf(no estimate) = %v; want null", *r.ETASeconds)
	}
	var all Rebuilds
	all.Set(RebuildOf("usage", projector.Progress{}))
	all.Set(RebuildOf("sessions", projector.Progress{Sequence: 5}))
	_ = all.List()
	if got := all.List(); len(got) != 2 || got[0].View != "sessions" || got[0].Sequence != 5 {
		t.Errorf("List() = %+v; want sessions at 5, then usage", got)
	}
}

// TestRefusedStatus: who may not publish ends, and says why; a command says so in
// its debug log alone.
func TestRefusedStatus(t *testing.T) {
	node := eventlogtest.Server(t, eventlogtest.Options{Configure: func(o *server.Options) {
		o.Users = []*server.User{{Username: "reader", Password: "a password", Permissions: &server.Permissions{
			Publish: &server.SubjectPermission{Deny: []string{"rollcall.status.*"}},
		}}}
	}})
	nc := node.Connect(t, nats.UserInfo("reader", "a password"))
	var log bytes.Buffer
	p, err := New(nc, nil, zerolog.New(&log), func(*pipeline.Status) {})
	if err != nil {
		t.Fatal(err)
	}
	p.Run(t.Context()) // returns
	if !strings.Contains(log.String(), "let its user publish to rollcall.status.*") {
		t.Errorf("log = %s; want what to do", &log)
	}
	log.Reset()
	PublishAudits(node.Connect(t, nats.UserInfo("reader", "a password")), new(Audits), zerolog.New(&log))
	if !strings.Contains(log.String(), "the result was not published") {
		t.Errorf("log = %s; want that the result was not published", &log)
	}
}
