package main

import (
	"encoding/json"
	"errors"
	"net"
	"net/url"
	"path/filepath"
	"testing"

	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestPhysicalBackup does what `nats backup stream MEETINGS` and `nats backup restore
// stream` do, from one embedded server into another one: sequences and incarnation
// stay, and after a restart every view is as it was.
func TestPhysicalBackup(t *testing.T) {
	if testing.Short() {
		t.Skip("starts four processes")
	}
	t.Parallel()
	from := startServe(t, "from", "--data-dir", t.TempDir(), "--nats-listen", "127.0.0.1:0", "--source", "test=none")
	cliCommand(t, "simulate", "--url", "http://"+from.at.Ingest+"/webhooks/test", "--seed", "9", "--sessions", "40")
	want := viewTexts(t, from.at.NATS)
	nc, head := operatorOf(t, from)
	kept := snapshot(t, nc, eventlog.Stream)
	from.kill()

	dir := t.TempDir()
	to := startServe(t, "to", "--data-dir", dir, "--nats-listen", "127.0.0.1:0")
	nc, _ = operatorOf(t, to)
	askAPI(t, nc, "$JS.API.STREAM.DELETE."+eventlog.Stream, struct{}{}, nil)
	kept.restore(t, nc, eventlog.Stream)
	to.stop()
	to = startServe(t, "again", "--data-dir", dir, "--nats-listen", "127.0.0.1:0")
	sameViews(t, viewTexts(t, to.at.NATS), want)
	if _, got := operatorOf(t, to); got.Incarnation != head.Incarnation || got.Last != head.Last {
		t.Errorf("the restored log is %s up to %d; want %s up to %d", got.Incarnation, got.Last, head.Incarnation, head.Last)
	}
}

// operatorOf connects to a process as the user who runs it.
func operatorOf(t *testing.T, p *process) (*nats.Conn, eventlog.Head) {
	t.Helper()
	u, err := url.Parse(p.at.NATS)
	if err != nil {
		t.Fatal(err)
	}
	_, port, err := net.SplitHostPort(u.Host)
	if err != nil {
		t.Fatal(err)
	}
	flags := attach.ClientFlags{NATSURL: p.at.NATS, Auth: attach.Auth{NATSLogin: filepath.Join(p.cache, "rollcall", "nats-"+port+".login")}}
	nc, js, err := flags.Connect(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) { return natslog.Attach(t.Context(), js) })
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	head, err := log.Head(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	return nc, head
}

// stored is a stream as the server hands it out.
type stored struct {
	Config json.RawMessage `json:"config"`
	State  json.RawMessage `json:"state"`
	chunks [][]byte
}

// askAPI sends a request of JetStream's API and reads the answer.
func askAPI(t *testing.T, nc *nats.Conn, subject string, request, answer any) {
	t.Helper()
	b, err := json.Marshal(request)
	if err != nil {
		t.Fatal(err)
	}
	m, err := nc.Request(subject, b, eventlogtest.Patience)
	if err != nil {
		t.Fatalf("%s: %v", subject, err)
	}
	var refusal struct{ Error *struct{ Description string } }
	if err := json.Unmarshal(m.Data, &refusal); err != nil || refusal.Error != nil {
		t.Fatalf("%s = %s, %v; want no error", subject, m.Data, err)
	}
	if answer != nil {
		err = json.Unmarshal(m.Data, answer)
	}
	if err != nil {
		t.Fatal(err)
	}
}

// snapshot takes a stream from a server that runs.
func snapshot(t *testing.T, nc *nats.Conn, stream string) (s stored) {
	t.Helper()
	sub, err := nc.SubscribeSync(nc.NewInbox())
	if err != nil {
		t.Fatal(err)
	}
	askAPI(t, nc, "$JS.API.STREAM.SNAPSHOT."+stream, map[string]any{"deliver_subject": sub.Subject, "no_consumers": true}, &s)
	for {
		m, err := sub.NextMsg(eventlogtest.Patience)
		if err != nil {
			t.Fatalf("snapshot of %s after %d chunks: %v", stream, len(s.chunks), err)
		}
		if len(m.Data) == 0 {
			return s
		}
		s.chunks = append(s.chunks, m.Data)
		if err := m.Respond(nil); err != nil && !errors.Is(err, nats.ErrMsgNoReply) {
			t.Fatal(err)
		}
	}
}

// restore puts it into a server that has no such stream.
func (s stored) restore(t *testing.T, nc *nats.Conn, stream string) {
	t.Helper()
	var to struct {
		Subject string `json:"deliver_subject"`
	}
	askAPI(t, nc, "$JS.API.STREAM.RESTORE."+stream, s, &to)
	for i, chunk := range s.chunks {
		if _, err := nc.Request(to.Subject, chunk, eventlogtest.Patience); err != nil {
			t.Fatalf("restore %s, chunk %d: %v", stream, i, err)
		}
	}
	m, err := nc.Request(to.Subject, nil, eventlogtest.Patience)
	if err != nil {
		t.Fatalf("restore %s: %v", stream, err)
	}
	var refusal struct{ Error *struct{ Description string } }
	if err := json.Unmarshal(m.Data, &refusal); err != nil || refusal.Error != nil {
		t.Fatalf("restore %s = %s, %v; want no error", stream, m.Data, err)
	}
}
