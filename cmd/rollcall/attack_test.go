package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
)

// The tests TestAttack… are reproductions: a real node, a NATS client without
// credentials that speaks for itself, real HTTP. `make attack` runs them all.

// get reads a path of the API and returns its status and body.
func get(t *testing.T, n *node.Node, path string) (int, string) {
	t.Helper()
	res, err := client.Get("http://" + n.Addresses().API + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// TestAttackConsumers: a reader without credentials asks for a thousand
// consumers with acknowledgements and a long life. Nobody else loses a read.
func TestAttackConsumers(t *testing.T) {
	t.Parallel()
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0")
	runNode(t, n)
	postStarted(t, n, "a")
	nc, _ := dial(t, n.Addresses().NATS)
	made := 0
	for range 1000 {
		m, err := nc.Request("$JS.API.CONSUMER.CREATE.MEETINGS",
			[]byte(`{"stream_name":"MEETINGS","config":{"ack_policy":"explicit","inactive_threshold":600000000000}}`), eventlogtest.Patience)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.Contains(string(m.Data), `"error"`) {
			made++
			continue
		}
		if !strings.Contains(string(m.Data), "10026") {
			t.Fatalf("refusal = %s; want error 10026", m.Data)
		}
	}
	const most = 500 // a stream takes 1,000, and half of them are Rollcall's own
	if made > most || made < most/2 {
		t.Errorf("a reader made %d consumers; want at most %d", made, most)
	}
	if err := shown(t.Context(), n.Addresses().API); err != nil {
		t.Fatal(err)
	}
	for _, path := range []string{"/v1/events", "/v1/sessions/a/events", "/v1/sessions/a?asOf=1"} {
		if code, body := get(t, n, path); code != http.StatusOK {
			t.Errorf("GET %s beside them = %d, %s; want 200", path, code, body)
		}
	}
	// Nor can ours: as many waits as the API takes need no consumer each.
	for range 8 {
		ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
		defer cancel()
		for r, err := range n.Log.Read(ctx, eventlog.ReadOptions{}) {
			if err != nil || r.Seq != 1 {
				t.Fatalf("read of the log = %d, %v; want record 1", r.Seq, err)
			}
		}
	}
}

// TestAttackQueryInbox: a client without credentials listens for the inboxes of
// a process with --target=query, looks for its consumers, and has the server
// deliver messages of another stream to where it found them.
func TestAttackQueryInbox(t *testing.T) {
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: q, password: password-of-q, role: query}\n"))
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-users", users)
	runNode(t, all)
	postStarted(t, all, "a")
	attacker, js := dial(t, all.Addresses().NATS)
	deliveries, err := attacker.SubscribeSync("_INBOX.>")
	if err != nil {
		t.Fatal(err)
	}
	if err := attacker.Flush(); err != nil {
		t.Fatal(err)
	}
	victim := testNode(t, t.TempDir(), "--target", "query", "--nats-url", all.Addresses().NATS,
		"--nats-login-file", writeFile(t, "login", []byte("q:password-of-q\n")))
	runNode(t, victim)
	if code, body := get(t, victim, "/v1/sessions/a?minSequence=1&wait=30s"); code != http.StatusOK {
		t.Fatalf("GET of the session = %d, %s; want 200", code, body)
	}
	inboxes := map[string]bool{}
	for {
		if err := attacker.Flush(); err != nil {
			t.Fatal(err)
		}
		m, err := deliveries.NextMsg(100 * time.Millisecond)
		if err != nil {
			break
		}
		inboxes[m.Subject] = true
	}
	if len(inboxes) > 0 {
		t.Errorf("a client without credentials received %d messages to inboxes of the query process; want none", len(inboxes))
	}
	for _, name := range []string{"MEETINGS", "KV_sessions_g1", "KV_rollcall"} {
		stream, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		for consumer := range stream.ConsumerNames(t.Context()).Name() {
			t.Errorf("consumer %s of stream %s is shown to a client without credentials; want none", consumer, name)
		}
	}
	// Even an inbox that the attacker guessed is not reached by its consumer.
	received := make(chan string, 16)
	for _, nc := range victim.Conns {
		if _, err := nc.Subscribe("_INBOX.victim", func(m *nats.Msg) { received <- string(m.Data) }); err != nil {
			t.Fatal(err)
		}
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	delivered, err := attacker.SubscribeSync("_INBOX.victim")
	if err != nil {
		t.Fatal(err)
	}
	m, err := attacker.Request("$JS.API.CONSUMER.CREATE.MEETINGS",
		[]byte(`{"stream_name":"MEETINGS","config":{"deliver_subject":"_INBOX.victim","ack_policy":"none","deliver_policy":"all"}}`), eventlogtest.Patience)
	if err != nil || strings.Contains(string(m.Data), `"error"`) {
		t.Fatalf("consumer of the attacker's = %v, %v; want it made", m, err)
	}
	if m, err = delivered.NextMsg(eventlogtest.Patience); err != nil || !strings.Contains(string(m.Data), "meeting.started") {
		t.Fatalf("what the consumer delivers to the attacker itself = %v, %v; want the record", m, err)
	}
	for _, nc := range victim.Conns {
		if err := nc.Flush(); err != nil {
			t.Fatal(err)
		}
	}
	for len(received) > 0 {
		if body := <-received; strings.Contains(body, "meeting.started") {
			t.Errorf("the query process received %s; want nothing of the attacker's", body)
		}
	}
}

// TestAttackIngesterLimits: a user who may append sets a limit, so that the
// server removes what is in the log.
func TestAttackIngesterLimits(t *testing.T) {
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: i, password: password-of-i, role: ingester}\n"))
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-users", users)
	runNode(t, n)
	for i := range 10 {
		postStarted(t, n, fmt.Sprint("s", i))
	}
	_, js := dial(t, n.Addresses().NATS, nats.UserInfo("i", "password-of-i"))
	stream, err := js.Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.MaxMsgs = 5
	for what, change := range map[string]func(context.Context, jetstream.StreamConfig) (jetstream.Stream, error){"update": js.UpdateStream, "create": js.CreateStream} {
		ctx, cancel := context.WithTimeout(t.Context(), time.Second) // what is refused has no answer
		if _, err := change(ctx, c); err == nil {
			t.Errorf("the role ingester set max_msgs by a request to %s the stream; want a refusal", what)
		}
		cancel()
	}
	if head, err := n.Log.Head(t.Context()); err != nil || head.First != 1 || head.Last != 10 {
		t.Errorf("log = %d to %d, %v; want 1 to 10", head.First, head.Last, err)
	}
}

// TestAttackOpenPort: an address that others reach shows the log, with names,
// links and stream keys, to nobody without credentials.
func TestAttackOpenPort(t *testing.T) {
	for _, refused := range []string{"0.0.0.0:0", "[::]:0", ":0", "192.0.2.1:4222", "example.com:4222"} {
		if _, err := configOf(t, t.TempDir(), "--nats-listen", refused); console.ExitCode(err) != console.ExitUsage || !strings.Contains(err.Error(), "--nats-users, or --insecure") {
			t.Errorf("--nats-listen %s = %v; want a usage error that names --nats-users and --insecure", refused, err)
		}
	}
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: r, password: password-of-r, role: reader}\n"))
	for _, c := range []struct {
		args []string
		open bool
	}{
		{[]string{"--nats-users", users}, false},
		{[]string{"--nats-users", users, "--insecure"}, true},
		{[]string{"--insecure"}, true},
	} {
		n := testNode(t, t.TempDir(), append(c.args, "--nats-listen", "0.0.0.0:0")...)
		stop := runNode(t, n)
		nc, err := nats.Connect(n.Addresses().NATS)
		if err == nil {
			nc.Close()
		}
		if (err == nil) != c.open {
			t.Errorf("connect without credentials where %q = %v; want it let in: %t", c.args, err, c.open)
		}
		if len(c.args) > 0 && c.args[0] == "--nats-users" {
			dial(t, n.Addresses().NATS, nats.UserInfo("r", "password-of-r"))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestAttackConnections: who opens more connections than a listener of readers
// takes is closed, and webhooks are taken all the same.
func TestAttackConnections(t *testing.T) {
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--api-max-connections", "20", "--nats-max-connections", "20")
	runNode(t, n)
	at := n.Addresses()
	for _, target := range []string{at.API, strings.TrimPrefix(at.NATS, "nats://"), at.Admin} {
		closed := make(chan bool, 500)
		for range cap(closed) {
			conn, err := net.Dial("tcp", target)
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { conn.Close() })
			go func() {
				if target != strings.TrimPrefix(at.NATS, "nats://") {
					fmt.Fprint(conn, "GET /healthz HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")
					if n, _ := conn.Read(make([]byte, 1)); n > 0 {
						return // it was taken, and stays open for another request
					}
					closed <- true
					return
				}
				fmt.Fprint(conn, "CONNECT {}\r\nPING\r\n")
				_, err := io.Copy(io.Discard, conn)
				closed <- err == nil
			}()
		}
		for range cap(closed) - 128 { // as many as any of them takes
			select {
			case <-closed:
			case <-time.After(eventlogtest.Patience):
				t.Fatalf("connections to %s stay open; want those above the limit closed", target)
			}
		}
	}
	postStarted(t, n, "a")
}
