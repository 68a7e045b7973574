package docs

import (
	"context"
	"errors"
	"fmt"
	"net"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// TestClusterExample holds the rights of each user in examples/nats-server.conf,
// on one server: what each target needs works, and nothing beyond it.
func TestClusterExample(t *testing.T) {
	url := exampleServer(t)
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()
	ingester, projecting, asking := login(t, url, "ingester"), login(t, url, "projector"), login(t, url, "query")

	log, err := natslog.Open(ctx, ingester, natslog.Config{})
	if err != nil {
		t.Fatalf("natslog.Open as ingester = %v; want no error", err)
	}
	defer log.Close()
	record := &eventlog.Record{EventID: "01", Source: "s", DeliveryID: "d", ReceivedAt: eventlog.TimeOf(time.Now()), Body: []byte(`{"event":"meeting.started"}`)}
	if a, err := log.Append(ctx, record); err != nil || a.Seq != 1 {
		t.Errorf("Append as ingester = %v, %v; want sequence 1", a, err)
	}
	reading, err := natslog.Attach(ctx, projecting)
	if err != nil {
		t.Fatalf("natslog.Attach as projector = %v; want no error", err)
	}
	defer reading.Close()
	for r, err := range reading.Read(ctx, eventlog.ReadOptions{}) {
		if err != nil || string(r.Body) != string(record.Body) {
			t.Errorf("Read as projector = %q, %v; want %q", r.Body, err, record.Body)
		}
	}
	store, err := viewstore.Open(ctx, projecting, viewstore.Config{Exclusive: true})
	if err != nil {
		t.Fatalf("viewstore.Open as projector = %v; want no error", err)
	}
	opened := acquire(t, store, 0)
	commit(t, opened, 1, projector.Put{Key: "live.a", Value: []byte(`{}`)})
	if _, err := viewstore.NewReader(projecting).Get(ctx, "sessions", "live.a"); err != nil {
		t.Errorf("Get as projector = %v; want no error", err)
	}

	// The query target receives the status of a process.
	statuses, err := asking.Conn().SubscribeSync("rollcall.status.*")
	if err != nil || asking.Conn().Flush() != nil {
		t.Fatalf("subscribe to rollcall.status.* as query = %v; want no error", err)
	}
	for _, js := range []jetstream.JetStream{ingester, projecting} {
		if err := js.Conn().Publish("rollcall.status.x", nil); err != nil || js.Conn().Flush() != nil {
			t.Fatal(err)
		}
		if _, err := statuses.NextMsg(eventlogtest.Patience); err != nil {
			t.Errorf("status of %s as query: %v; want the message", js.Conn().Opts.User, err)
		}
	}

	forbidden := func(user string, js jetstream.JetStream, subject string) {
		t.Helper()
		short, cancel := context.WithTimeout(ctx, 300*time.Millisecond)
		defer cancel()
		if _, err := js.Publish(short, subject, []byte(`{}`)); err == nil {
			t.Errorf("%s published to %s; want a refusal", user, subject)
		}
	}
	forbidden("ingester", ingester, "$KV.sessions_g1.live.a")
	forbidden("ingester", ingester, "rollcall.state.sessions_g1.checkpoint")
	stream, err := ingester.Stream(ctx, eventlog.Stream)
	if err != nil {
		t.Fatalf("Stream as ingester = %v; want no error", err)
	}
	limited := stream.CachedInfo().Config
	limited.MaxMsgs = 5
	short, cancelShort := context.WithTimeout(ctx, 300*time.Millisecond)
	defer cancelShort()
	if _, err := ingester.UpdateStream(short, limited); err == nil {
		t.Error("ingester set a limit of the log; want a refusal")
	}
	forbidden("projector", projecting, "meetings.0.meeting.started")
	forbidden("query", asking, "rollcall.status.x")
	if _, err := viewstore.NewReader(asking).Get(ctx, "sessions", "live.a"); err != nil {
		t.Errorf("Get as query = %v; want no error", err)
	}
	for change, err := range viewstore.NewReader(asking).Follow(ctx, "sessions", viewstore.Position{}) {
		if err != nil {
			t.Fatalf("Follow as query = %v; want no error", err)
		}
		if change.Kind == viewstore.Commit {
			break
		}
	}
	// Nobody else sees its inboxes.
	private, err := asking.Conn().SubscribeSync("_INBOX.private")
	if err != nil || asking.Conn().Flush() != nil {
		t.Fatalf("subscribe as query = %v; want no error", err)
	}
	operator := login(t, url, "operator")
	if err := operator.Conn().Publish("_INBOX.private", nil); err != nil || operator.Conn().Flush() != nil {
		t.Fatal(err)
	}
	if _, err := asking.StreamNameBySubject(ctx, "x"); err == nil || asking.Conn().Flush() != nil { // whatever was sent is here
		t.Fatal("a stream has the subject x")
	}
	if n, _, err := private.Pending(); err != nil || n != 0 {
		t.Errorf("inbox of query has %d messages of another account, %v; want none", n, err)
	}
	answering, err := natslog.Attach(ctx, asking)
	if err != nil {
		t.Fatalf("natslog.Attach as query = %v; want no error", err)
	}
	defer answering.Close()
	for r, err := range answering.Read(ctx, eventlog.ReadOptions{}) {
		if err != nil || string(r.Body) != string(record.Body) {
			t.Errorf("Read as query = %q, %v; want %q", r.Body, err, record.Body)
		}
	}
	forbidden("query", asking, "meetings.0.meeting.started")
	forbidden("query", asking, "$KV.sessions_g1.live.a")
	if _, err := nats.Connect(url); !errors.Is(err, nats.ErrAuthorization) {
		t.Errorf("connect without credentials = %v; want %v", err, nats.ErrAuthorization)
	}
}

// exampleServer starts one server of the example, without its routes.
func exampleServer(t *testing.T) string {
	t.Helper()
	for name, value := range map[string]string{
		"NAME": "example", "LISTEN": "127.0.0.1:-1", "ROUTE": "127.0.0.1:-1", "ROUTES": "[]", "DIR": t.TempDir(),
		"OPERATOR_PASSWORD": "operator", "INGESTER_PASSWORD": "ingester", "PROJECTOR_PASSWORD": "projector", "QUERY_PASSWORD": "query",
	} {
		t.Setenv(name, value)
	}
	options, err := server.ProcessConfigFile("examples/nats-server.conf")
	if err != nil {
		t.Fatalf("examples/nats-server.conf: %v", err)
	}
	if !options.SyncAlways {
		t.Error("examples/nats-server.conf does not sync always")
	}
	options.Cluster, options.Routes = server.ClusterOpts{}, nil
	options.NoLog, options.NoSigs = true, true
	s, err := server.NewServer(options)
	if err != nil {
		t.Fatal(err)
	}
	s.Start()
	t.Cleanup(func() {
		s.Shutdown()
		s.WaitForShutdown()
	})
	if !s.ReadyForConnections(30 * time.Second) {
		t.Fatal("the example's server is not ready after 30 s")
	}
	return fmt.Sprintf("nats://%s", s.Addr().(*net.TCPAddr))
}

func login(t *testing.T, url, user string) jetstream.JetStream {
	t.Helper()
	connection, err := nats.Connect(url, nats.UserInfo(user, user), nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	if err != nil {
		t.Fatalf("connect as %s: %v", user, err)
	}
	t.Cleanup(connection.Close)
	js, err := jetstream.New(connection)
	if err != nil {
		t.Fatal(err)
	}
	return js
}
