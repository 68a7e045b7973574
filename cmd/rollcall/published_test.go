package main

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/query/pipeline"
)

// pipelineState asks a node's API until what it says of the pipeline is as wanted.
func pipelineState(t *testing.T, n *node.Node, wanted string, ok func(pipeline.Overview) bool) pipeline.Overview {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		b := bodyOf(t, "http://"+n.Addresses().API+"/v1/pipeline")
		var s pipeline.Overview
		if err := json.Unmarshal(b, &s); err != nil {
			t.Fatalf("GET /v1/pipeline = %s: %v", b, err)
		}
		if ok(s) {
			return s
		}
		if wire.Pause(ctx, 20*time.Millisecond) != nil {
			t.Fatalf("GET /v1/pipeline = %s; want %s", b, wanted)
		}
	}
}

// TestStatusIsPublished: the status of an ingester and a projector is at the API of
// their own process and at that of another, which has a reader's rights; a status
// that a reader has the server send to the same subject is ignored.
func TestStatusIsPublished(t *testing.T) {
	t.Parallel()
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: q, password: password-of-q, role: query}\n"))
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-users", users, "--audit-interval", "10ms", "--audit-sample", "1")
	runNode(t, all)
	url := all.Addresses().NATS
	other := testNode(t, t.TempDir(), "--target", "query", "--nats-url", url, "--nats-login-file", writeFile(t, "login", []byte("q:password-of-q\n")))
	runNode(t, other)
	nodes := []*node.Node{all, other}
	postStarted(t, all, "a")
	var own string
	for _, n := range nodes {
		s := pipelineState(t, n, "1 record, six projections, an audit of each that found nothing", func(s pipeline.Overview) bool {
			return s.Ingest.Records == 1 && len(s.Audits) == 6 && s.Audits[5].Keys > 0 && len(s.Processes) == 1 && len(s.Processes[0].Projections) == 6
		})
		own = s.Processes[0].Process
		if got := strings.Join(s.Processes[0].Roles, " "); got != "ingest project query" || s.Audits[5].Result != pipeline.AuditEqual {
			t.Errorf("process %q, audits %+v; want the three roles, and all equal", got, s.Audits)
		}
	}

	// The forged status lies in the log as a webhook's body, and the server is asked to send it to the subject.
	forged, err := pipeline.Status{Process: "01JDF0RGED0000000000000000", Host: "forged", Roles: []string{"ingest"}, Ingest: &pipeline.IngestCounts{Records: 1e6}}.Message()
	if err != nil {
		t.Fatal(err)
	}
	if status := webhook(t, all.Addresses().Ingest, string(forged.Data)); status != http.StatusOK {
		t.Fatalf("POST = %d; want 200", status)
	}
	reader, js := dial(t, url)
	received := make(chan *nats.Msg, 64)
	if _, err := reader.ChanSubscribe(forged.Subject, received); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Stream(t.Context(), "MEETINGS"); err != nil { // the subscription is there
		t.Fatal(err)
	}
	reader.Publish(forged.Subject, forged.Data)
	reader.PublishRequest("$JS.API.DIRECT.GET.MEETINGS", forged.Subject, []byte(`{"seq":2}`))
	reader.PublishRequest("$JS.API.STREAM.MSG.GET.MEETINGS", forged.Subject, []byte(`{"seq":2}`))
	if _, err := reader.Request("$JS.API.CONSUMER.CREATE.MEETINGS.c", []byte(`{"stream_name":"MEETINGS","config":{"name":"c","ack_policy":"none"}}`), eventlogtest.Patience); err != nil {
		t.Fatal(err)
	}
	reader.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.MEETINGS.c", forged.Subject, []byte(`{"batch":2,"no_wait":true}`))
	for range 2 { // the answers arrive, so whoever trusted them would have counted them
		select {
		case <-received:
		case <-time.After(eventlogtest.Patience):
			t.Fatal("the server sent nothing to the subject; want answers that nobody believes")
		}
	}
	postStarted(t, all, "b")
	for _, n := range nodes {
		s := pipelineState(t, n, "3 records", func(s pipeline.Overview) bool { return s.Ingest.Records >= 3 })
		if len(s.Processes) != 1 || s.Processes[0].Process != own || s.Ingest.Records != 3 {
			t.Errorf("processes = %+v, %d records; want the one there is, and 3", s.Processes, s.Ingest.Records)
		}
	}
	for _, nc := range append(other.Conns, all.Conns...) {
		if err := nc.LastError(); err != nil {
			t.Errorf("last error of connection %s = %v; want none", nc.Opts.Name, err)
		}
	}
}

// TestRebuildIsPublished: a rebuild that a command of its own does is at the API of the
// server while it runs, and no longer when it has ended.
func TestRebuildIsPublished(t *testing.T) {
	t.Parallel()
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0")
	runNode(t, n)
	for i := range 40 {
		postStarted(t, n, fmt.Sprint("s", i))
	}
	file, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	var grammar cli
	a := &app{file: file, IO: &console.IO{Ctx: t.Context(), Stdout: io.Discard, Stderr: io.Discard, Env: func(string) (string, bool) { return "", false }, Logger: zerolog.Nop()}}
	parser, err := newParser(&grammar, a)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parser.Parse([]string{"rebuild", "sessions", "--hold", "--nats-url", n.Addresses().NATS}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- grammar.Rebuild.Run(a) }()
	s := pipelineState(t, n, "a rebuild that holds its generation", func(s pipeline.Overview) bool {
		return len(s.Rebuilds) == 1 && s.Rebuilds[0].State == string(projector.GenerationReady)
	})
	if r := s.Rebuilds[0]; r.View != "sessions" || r.Generation != 2 || r.Bucket != "sessions_g2" || r.HeadSequence != 40 || r.Share != 1 {
		t.Errorf("rebuild = %+v; want generation 2 of sessions with all 40 records", r)
	}
	cliCommand(t, "promote", "sessions", "--nats-url", n.Addresses().NATS)
	if err := <-done; err != nil {
		t.Errorf("rebuild = %v; want no error", err)
	}
	pipelineState(t, n, "no rebuild, and one process", func(s pipeline.Overview) bool { return len(s.Rebuilds) == 0 && len(s.Processes) == 1 })
}
