package natsd

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
)

// testServer is an embedded server with the stream MEETINGS and a view bucket,
// and the guard; it returns the server's address and a connection with all
// rights.
func testServer(t *testing.T, users ...User) (string, *nats.Conn) {
	t.Helper()
	e, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Users: users, Logger: zerolog.New(zerolog.NewTestWriter(t)).Level(zerolog.WarnLevel)})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop() })
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	g, err := StartGuard(e, nc, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []jetstream.StreamConfig{
		{Name: "MEETINGS", Subjects: []string{"meetings.*.*.*"}, AllowDirect: true},
		{Name: "KV_sessions_g1", Subjects: []string{"$KV.sessions_g1.>", "rollcall.state.sessions_g1.>"}, MaxMsgsPerSubject: 1, AllowDirect: true, AllowRollup: true},
	} {
		if _, err := js.CreateStream(t.Context(), c); err != nil {
			t.Fatal(err)
		}
	}
	for _, subject := range []string{"meetings.1.meeting.started", "$KV.sessions_g1.live.a", "$KV.sessions_g1.live.b"} {
		if _, err := js.Publish(t.Context(), subject, []byte(subject)); err != nil {
			t.Fatal(err)
		}
	}
	return e.URL(), nc
}

func dial(t *testing.T, url string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	opts = append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(eventlogtest.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}

func TestAnonymousClientReads(t *testing.T) {
	url, own := testServer(t)
	nc, js := dial(t, url)
	ctx := t.Context()

	kv, err := js.KeyValue(ctx, "sessions_g1")
	if err != nil {
		t.Fatalf("open bucket: %v", err)
	}
	entry, err := kv.Get(ctx, "live.a")
	if err != nil || string(entry.Value()) != "$KV.sessions_g1.live.a" {
		t.Errorf("Get(live.a) = %v, %v; want its value", entry, err)
	}
	w, err := kv.WatchAll(ctx) // a push consumer, through the guard
	if err != nil {
		t.Fatalf("watch: %v", err)
	}
	var keys []string
	for e := range w.Updates() {
		if e == nil {
			break
		}
		keys = append(keys, e.Key())
	}
	if got := strings.Join(keys, " "); got != "live.a live.b" {
		t.Errorf("watched keys = %q; want %q", got, "live.a live.b")
	}
	if err := w.Stop(); err != nil {
		t.Errorf("stop watching: %v", err)
	}

	cons, err := js.OrderedConsumer(ctx, "MEETINGS", jetstream.OrderedConsumerConfig{}) // a pull consumer
	if err != nil {
		t.Fatalf("ordered consumer: %v", err)
	}
	m, err := cons.Next()
	if err != nil || m.Subject() != "meetings.1.meeting.started" {
		t.Errorf("Next() = %v, %v; want the record", m, err)
	}

	sub, err := nc.SubscribeSync("rollcall.views.>")
	if err != nil {
		t.Fatal(err)
	}
	nc.Flush()
	own.Publish("rollcall.views.sessions.live.a", []byte("x"))
	if m, err := sub.NextMsg(eventlogtest.Patience); err != nil || m.Subject != "rollcall.views.sessions.live.a" {
		t.Errorf("plain subject: %v, %v; want the change", m, err)
	}
	answering, err := own.Subscribe("rollcall.query.session.get", func(m *nats.Msg) { m.Respond([]byte("found")) })
	if err != nil {
		t.Fatal(err)
	}
	defer answering.Unsubscribe()
	own.Flush()
	if m, err := nc.Request("rollcall.query.session.get", nil, eventlogtest.Patience); err != nil || string(m.Data) != "found" {
		t.Errorf("query: %v, %v; want an answer", m, err)
	}
}

// TestAnonymousClientChangesNothing tries every way of writing there is, the
// server's own answers and deliveries included.
func TestAnonymousClientChangesNothing(t *testing.T) {
	url, own := testServer(t)
	nc, js := dial(t, url)
	ownJS, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	before := state(t, ownJS)
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()

	// The server says no to a plain publish behind the client's back.
	violations := make(chan error, 16)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err })
	for _, subject := range []string{"meetings.1.meeting.started", "$KV.sessions_g1.live.a", "rollcall.state.sessions_g1.checkpoint",
		"rollcall.views.sessions.live.a", "rollcall.status.01JDA000000000000000000000", "$JS.API.STREAM.DELETE.MEETINGS", "$JS.API.STREAM.CREATE.X", "$JS.API.STREAM.UPDATE.MEETINGS",
		"$JS.API.STREAM.PURGE.MEETINGS", "$JS.API.STREAM.MSG.DELETE.MEETINGS", "$JS.API.STREAM.RESTORE.Y", "$JS.API.STREAM.SNAPSHOT.MEETINGS",
		"$JS.API.CONSUMER.DURABLE.CREATE.MEETINGS.d", "$JS.API.CONSUMER.PAUSE.MEETINGS.d", "rollcall.guard.READERS.CREATE.MEETINGS"} {
		nc.Publish(subject, []byte("forged"))
		if err := <-violations; !errors.Is(err, nats.ErrPermissionViolation) {
			t.Errorf("publish to %s: %v; want %v", subject, err, nats.ErrPermissionViolation)
		}
	}
	if _, err := js.CreateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Durable: "d"}); err == nil {
		t.Errorf("a durable consumer was made; want it refused")
	}

	// Let the server write: an answer and a delivery to a subject of the log, of a view.
	for _, target := range []string{"meetings.1.meeting.started", "$KV.sessions_g1.live.a", "rollcall.state.sessions_g1.checkpoint"} {
		nc.PublishRequest("$JS.API.STREAM.INFO.MEETINGS", target, nil)
		nc.PublishRequest("$JS.API.DIRECT.GET.KV_sessions_g1.$KV.sessions_g1.live.b", target, nil)
		nc.PublishRequest("$JS.API.CONSUMER.CREATE.KV_sessions_g1.c1", target, []byte(`{"stream_name":"KV_sessions_g1","config":{"name":"c1","ack_policy":"none"}}`))
		nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.KV_sessions_g1.c1", target, []byte(`{"batch":1,"no_wait":true}`))
		for _, deliver := range []string{target, "_INBOX." + target} {
			m, err := nc.Request("$JS.API.CONSUMER.CREATE.KV_sessions_g1",
				[]byte(`{"stream_name":"KV_sessions_g1","config":{"deliver_subject":"`+deliver+`","ack_policy":"none","deliver_policy":"all"}}`), eventlogtest.Patience)
			if err != nil || deliver == target && !strings.Contains(string(m.Data), "inbox only") {
				t.Errorf("consumer delivering to %s: %v, %v; want a refusal", deliver, m, err)
			}
		}
	}
	// JetStream's decoder ignores the letter case of names.
	for _, request := range []string{
		`{"stream_name":"KV_sessions_g1","config":{"Deliver_Subject":"meetings.1.meeting.started","ack_policy":"none"}}`,
		`{"stream_name":"KV_sessions_g1","config":{"deliver_subject":"_INBOX.x","deliver_ſubject":"meetings.1.meeting.started","ack_policy":"none"}}`,
		`{"stream_name":"KV_sessions_g1","config":{"ack_policy":"none"},"Config":{"deliver_subject":"meetings.1.meeting.started","ack_policy":"none"}}`,
		`{"stream_name":"KV_sessions_g1","config":{"ack_policy":"none","DURABLE_NAME":"d","Inactive_Threshold":900000000000000}}`,
	} {
		m, err := nc.Request("$JS.API.CONSUMER.CREATE.KV_sessions_g1", []byte(request), eventlogtest.Patience)
		if err != nil || !strings.Contains(string(m.Data), "has no member") {
			t.Errorf("consumer request %s: %v, %v; want a refusal", request, m, err)
		}
	}
	nc.Flush()
	if _, err := nc.Request("$JS.API.INFO", nil, eventlogtest.Patience); err != nil { // everything before it has been dealt with
		t.Fatal(err)
	}
	if after := state(t, ownJS); after != before {
		t.Errorf("streams after the attempts = %v; want %v", after, before)
	}
}

func TestReaderRemovesItsOwnConsumersOnly(t *testing.T) {
	url, own := testServer(t)
	_, js := dial(t, url)
	ownJS, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	if _, err := ownJS.CreateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: "ours"}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: "theirs"}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: "ours", FilterSubject: "meetings.1.>"}); err == nil {
		t.Errorf("CreateOrUpdateConsumer(ours) by a reader = nil; want an error")
	}
	if _, err := js.CreateOrUpdateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: "theirs", FilterSubject: "meetings.1.>"}); err != nil {
		t.Errorf("CreateOrUpdateConsumer(theirs) by a reader = %v; want nil", err)
	}
	if err := js.DeleteConsumer(ctx, "MEETINGS", "ours"); err == nil {
		t.Errorf("DeleteConsumer(ours) by a reader = nil; want an error")
	}
	if err := js.DeleteConsumer(ctx, "MEETINGS", "theirs"); err != nil {
		t.Errorf("DeleteConsumer(theirs) by the reader = %v; want nil", err)
	}
	if _, err := ownJS.Consumer(ctx, "MEETINGS", "ours"); err != nil {
		t.Errorf("our consumer: %v; want it there", err)
	}
	if err := js.DeleteConsumer(ctx, "MEETINGS", "none"); !errors.Is(err, jetstream.ErrConsumerNotFound) {
		t.Errorf("DeleteConsumer(none) = %v; want %v", err, jetstream.ErrConsumerNotFound)
	}
}

// TestReaderMeetsReadersConsumersOnly: a reader that learned the name of a
// projector's consumer could pull records away from it.
func TestReaderMeetsReadersConsumersOnly(t *testing.T) {
	url, own := testServer(t)
	_, js := dial(t, url)
	ownJS, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	ctx := t.Context()
	for i := range 300 { // more than a page
		if _, err := ownJS.CreateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: fmt.Sprint("ours", i), MemoryStorage: true}); err != nil {
			t.Fatal(err)
		}
	}
	for _, name := range []string{"reads", "pulls"} {
		if _, err := js.CreateConsumer(ctx, "MEETINGS", jetstream.ConsumerConfig{Name: name}); err != nil {
			t.Fatal(err)
		}
	}
	stream, err := js.Stream(ctx, "MEETINGS")
	if err != nil {
		t.Fatal(err)
	}
	var names, listed []string
	for name := range stream.ConsumerNames(ctx).Name() {
		names = append(names, name)
	}
	for info := range stream.ListConsumers(ctx).Info() {
		listed = append(listed, info.Name)
	}
	slices.Sort(names)
	slices.Sort(listed)
	if want := []string{"pulls", "reads"}; !slices.Equal(names, want) || !slices.Equal(listed, want) {
		t.Errorf("names = %q, list = %q; want %q", names, listed, want)
	}
	if _, err := js.Consumer(ctx, "MEETINGS", "ours7"); err == nil {
		t.Errorf("Consumer(ours7) by a reader = nil; want an error")
	}
	c, err := js.Consumer(ctx, "MEETINGS", "pulls")
	if err != nil {
		t.Fatalf("Consumer(pulls) by the reader = %v; want nil", err)
	}
	if m, err := c.Next(); err != nil || m.Subject() != "meetings.1.meeting.started" {
		t.Errorf("Next() = %v, %v; want the record", m, err)
	}
}

// TestRolesAreRefused tries, as each role, what it must not do.
func TestRolesAreRefused(t *testing.T) {
	var users []User
	for _, name := range []string{"reader", "query", "ingester", "projector", "operator"} {
		users = append(users, User{Name: name, Password: "password-of-" + name, Role: name})
	}
	url, _ := testServer(t, users...)
	writeLog := []string{"meetings.1.meeting.started"}
	updateLog := []string{"$JS.API.STREAM.UPDATE.MEETINGS"} // with max_msgs it removes records
	manageLog := []string{"$JS.API.STREAM.PURGE.MEETINGS", "$JS.API.STREAM.DELETE.MEETINGS", "$JS.API.STREAM.MSG.DELETE.MEETINGS"}
	writeViews := []string{"$KV.sessions_g1.live.a", "$KV.rollcall.alias.sessions", "rollcall.state.sessions_g1.checkpoint", "rollcall.views.sessions.live.a"}
	manageViews := []string{"$JS.API.STREAM.CREATE.KV_x_g1", "$JS.API.STREAM.DELETE.KV_sessions_g1", "$JS.API.STREAM.PURGE.KV_sessions_g1", "$JS.API.STREAM.MSG.DELETE.KV_sessions_g1"}
	consumers := []string{"$JS.API.CONSUMER.DURABLE.CREATE.MEETINGS.d", "$JS.API.CONSUMER.PAUSE.MEETINGS.d", "$JS.API.CONSUMER.UNPIN.MEETINGS.d"}
	status := []string{"rollcall.status.01JDA000000000000000000000"}
	answers := []string{"_INBOX.someone.else", "_R_.someone.else"}
	for _, c := range []struct {
		role               string
		publish, subscribe []string
		mayPublish, maySub []string
	}{
		{
			role:       "reader",
			publish:    slices.Concat(writeLog, manageLog, []string{"$JS.API.STREAM.CREATE.MEETINGS", "$JS.API.STREAM.UPDATE.MEETINGS"}, writeViews, manageViews, consumers, answers, status, []string{"rollcall.guard.READERS.CREATE.MEETINGS"}),
			subscribe:  []string{"rollcall.query.session.get", "$SRV.PING", "$JS.API.>", "rollcall.guard.>"},
			mayPublish: []string{"rollcall.query.session.get"}, maySub: []string{"rollcall.views.>", "rollcall.status.*"},
		},
		{
			role:      "query",
			publish:   slices.Concat(writeLog, manageLog, []string{"$JS.API.STREAM.CREATE.MEETINGS", "$JS.API.STREAM.UPDATE.MEETINGS"}, writeViews, manageViews, consumers, answers, status, []string{"rollcall.guard.READERS.CREATE.MEETINGS"}),
			subscribe: []string{"$JS.API.>", "rollcall.guard.>"},
			maySub:    []string{"rollcall.query.session.get", "$SRV.PING", "rollcall.views.>", "rollcall.status.*"},
		},
		{
			role:       "ingester",
			publish:    slices.Concat(manageLog, updateLog, writeViews, manageViews, consumers, answers, []string{"meetings.1.2", "meetings.1.2.3.4", "$JS.API.CONSUMER.CREATE.KV_sessions_g1.c", "rollcall.query.session.get"}),
			subscribe:  []string{"rollcall.query.session.get", "$SRV.PING", "$JS.API.>", "rollcall.guard.>", "rollcall.status.*", "meetings.>", "$KV.>"},
			mayPublish: slices.Concat(writeLog, status), maySub: []string{"_INBOX.mine"},
		},
		{
			role:       "projector",
			publish:    slices.Concat(writeLog, manageLog, []string{"$JS.API.STREAM.CREATE.MEETINGS", "$JS.API.STREAM.UPDATE.MEETINGS"}, answers, []string{"$JS.API.STREAM.MSG.DELETE.KV_sessions_g1", "rollcall.guard.READERS.CREATE.MEETINGS", "rollcall.query.session.get"}),
			subscribe:  []string{"rollcall.query.session.get", "$SRV.PING", "$JS.API.>", "rollcall.guard.>", "meetings.>"},
			mayPublish: slices.Concat(status, []string{"$KV.sessions_g1.live.a", "rollcall.state.sessions_g1.checkpoint", "rollcall.views.sessions.live.a"}), maySub: []string{"_INBOX.mine"},
		},
		{role: "operator", mayPublish: slices.Concat(writeLog, writeViews, status), maySub: []string{">"}},
	} {
		t.Run(c.role, func(t *testing.T) {
			nc, _ := dial(t, url, nats.UserInfo(c.role, "password-of-"+c.role))
			violations := make(chan error, 16)
			nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { violations <- err })
			for _, s := range c.publish {
				nc.Publish(s, []byte("forged"))
				if err := <-violations; !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("publish to %s: %v; want %v", s, err, nats.ErrPermissionViolation)
				}
			}
			for _, s := range c.subscribe {
				if _, err := nc.SubscribeSync(s); err != nil {
					t.Fatal(err)
				}
				if err := <-violations; !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("subscribe to %s: %v; want %v", s, err, nats.ErrPermissionViolation)
				}
			}
			for _, s := range c.maySub {
				if _, err := nc.SubscribeSync(s); err != nil {
					t.Fatal(err)
				}
			}
			for _, s := range c.mayPublish {
				nc.Publish(s, []byte(`{}`))
			}
			if err := nc.Flush(); err != nil {
				t.Fatal(err)
			}
			select {
			case err := <-violations:
				t.Errorf("allowed subjects %q, %q: %v; want no error", c.mayPublish, c.maySub, err)
			default:
			}
		})
	}
}

// state is what the streams hold, as numbers.
func state(t *testing.T, js jetstream.JetStream) (all [2]struct{ messages, last, bytes uint64 }) {
	t.Helper()
	for i, name := range []string{"MEETINGS", "KV_sessions_g1"} {
		s, err := js.Stream(t.Context(), name)
		if err != nil {
			t.Fatal(err)
		}
		st := s.CachedInfo().State
		all[i].messages, all[i].last, all[i].bytes = st.Msgs, st.LastSeq, st.Bytes
	}
	return all
}

// TestAttackConsumersLiveShortly: nothing that a reader asks for makes a consumer
// stay, or hold much.
func TestAttackConsumersLiveShortly(t *testing.T) {
	url, own := testServer(t)
	nc, _ := dial(t, url)
	for _, config := range []string{
		`{"ack_policy":"explicit","max_ack_pending":-1,"max_waiting":100000,"inactive_threshold":900000000000}`,
		`{"deliver_subject":"_INBOX.x","ack_policy":"none","inactive_threshold":900000000000}`,
	} {
		m, err := nc.Request("$JS.API.CONSUMER.CREATE.MEETINGS", []byte(`{"stream_name":"MEETINGS","config":`+config+`}`), eventlogtest.Patience)
		if err != nil || strings.Contains(string(m.Data), `"error"`) {
			t.Fatalf("consumer %s = %v, %v; want it made", config, m, err)
		}
	}
	for _, config := range []string{
		`{"ack_policy":"none","pause_until":"2099-01-01T00:00:00Z"}`,
		`{"ack_policy":"none","priority_groups":["a"],"priority_policy":"overflow"}`,
		`{"ack_policy":"explicit","backoff":[1000000000]}`,
		`{"ack_policy":"none","direct":true}`,
		`{"ack_policy":"none","filter_subjects":[` + strings.Repeat(`"meetings.1.a.b",`, 1000) + `"meetings.2.a.b"]}`,
		`{"ack_policy":"none","description":"` + strings.Repeat("x", 1<<16) + `"}`,
	} {
		m, err := nc.Request("$JS.API.CONSUMER.CREATE.MEETINGS", []byte(`{"stream_name":"MEETINGS","config":`+config+`}`), eventlogtest.Patience)
		if err != nil || !strings.Contains(string(m.Data), `"error"`) {
			t.Errorf("consumer %.80s = %v, %v; want a refusal", config, m, err)
		}
	}
	js, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(t.Context(), "MEETINGS")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	for info := range stream.ListConsumers(t.Context()).Info() {
		seen++
		c := info.Config
		if c.InactiveThreshold > readerIdle || c.MaxAckPending < 0 || c.MaxAckPending > readerUnacked || c.MaxWaiting > readerPulls || !c.MemoryStorage {
			t.Errorf("consumer = %+v; want the limits of a reader", c)
		}
	}
	if seen != 2 {
		t.Errorf("%d consumers; want 2", seen)
	}
}
