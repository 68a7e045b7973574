package natslog_test

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

func open(t testing.TB, js jetstream.JetStream, c natslog.Config) *natslog.Log {
	t.Helper()
	if c.Batch.Timeout == 0 {
		c.Batch.Timeout = eventlogtest.Patience // a busy machine is no failure
	}
	l, err := eventlogtest.Made(func() (*natslog.Log, error) { return natslog.Open(t.Context(), js, c) })
	if err != nil {
		t.Fatalf("Open: %v", err)
	}
	t.Cleanup(l.Close)
	return l
}

// rec is a record that is like no other with another n.
func rec(n int) *eventlog.Record {
	return &eventlog.Record{
		EventID:    fmt.Sprintf("01EVENT%019d", n),
		ReceivedAt: eventlog.TimeOf(time.Date(2026, 1, 2, 3, 4, 5, n*1000, time.UTC)),
		Source:     "prod",
		DeliveryID: fmt.Sprintf("uuid-%d", n),
		Type:       "meeting.started",
		Body:       fmt.Appendf(nil, `{"event":"meeting.started","meeting":{"id":"m%d","sessionId":"s%d"}}`, n%7, n),
	}
}

func appendAll(t testing.TB, l *natslog.Log, from, to int) {
	t.Helper()
	for n := from; n < to; n++ {
		if err := eventlogtest.Steadily(func() error { _, err := l.Append(t.Context(), rec(n)); return err }); err != nil {
			t.Fatalf("Append(%d): %v", n, err)
		}
	}
}

func TestOpenCreatesOnceAndKeepsIncarnation(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	a := open(t, js, natslog.Config{})
	b := open(t, js, natslog.Config{})
	ha, err := eventlogtest.Made(func() (eventlog.Head, error) { return a.Head(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	node.Restart(t)
	hb, err := eventlogtest.Made(func() (eventlog.Head, error) { return b.Head(t.Context()) })
	if err != nil {
		t.Fatal(err)
	}
	if ha != hb || len(ha.Incarnation) != 36 {
		t.Errorf("Head = %+v, after restart %+v; want equal, with a UUID", ha, hb)
	}
	if ha.First != 1 || ha.Last != 0 {
		t.Errorf("Head of an empty log = %+v; want First 1, Last 0", ha)
	}
}

func TestOpenConcurrently(t *testing.T) {
	node := eventlogtest.Server(t)
	type opened struct {
		h   eventlog.Head
		err error
	}
	results := make(chan opened)
	for range 4 {
		js := node.JetStream(t)
		go func() {
			l, err := natslog.Open(t.Context(), js, natslog.Config{})
			if err != nil {
				results <- opened{err: err}
				return
			}
			h, err := l.Head(t.Context())
			results <- opened{h, err}
		}()
	}
	seen := map[string]bool{}
	for range 4 {
		r := <-results
		if r.err != nil {
			t.Errorf("Open: %v", r.err)
		}
		seen[r.h.Incarnation] = true
	}
	if len(seen) != 1 {
		t.Errorf("four Opens made incarnations %v; want one", seen)
	}
}

func TestOpenAppliesSettings(t *testing.T) {
	js := eventlogtest.Connect(t)
	open(t, js, natslog.Config{})
	l := open(t, js, natslog.Config{MaxAge: time.Hour, MaxBytes: 1 << 20, DuplicateWindow: time.Minute})
	check := func(l *natslog.Log, age time.Duration, bytes int64, window time.Duration) {
		t.Helper()
		in, err := l.Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if in.MaxAge != age || in.MaxBytes != bytes || in.DuplicateWindow != window {
			t.Errorf("Info = age %v, bytes %d, window %v; want %v, %d, %v", in.MaxAge, in.MaxBytes, in.DuplicateWindow, age, bytes, window)
		}
	}
	check(l, time.Hour, 1<<20, time.Minute)
	check(open(t, js, natslog.Config{}), time.Hour, 1<<20, time.Minute)
	check(open(t, js, natslog.Config{MaxAge: natslog.NoLimit, MaxBytes: natslog.NoLimit}), 0, -1, time.Minute)
}

func TestOpenRefuses(t *testing.T) {
	stream := func(change func(*jetstream.StreamConfig)) func(testing.TB, jetstream.JetStream) {
		return func(t testing.TB, js jetstream.JetStream) {
			open(t, js, natslog.Config{})
			s, err := js.Stream(t.Context(), eventlog.Stream)
			if err != nil {
				t.Fatal(err)
			}
			c := s.CachedInfo().Config
			if err := js.DeleteStream(t.Context(), eventlog.Stream); err != nil {
				t.Fatal(err)
			}
			change(&c)
			// The server may still be removing the old one's files.
			eventually(t, func() error { _, err := js.CreateStream(t.Context(), c); return err })
		}
	}
	tests := []struct {
		name    string
		options eventlogtest.Options
		config  natslog.Config
		prepare func(testing.TB, jetstream.JetStream)
		want    error
		says    string
	}{
		{name: "no JetStream", options: eventlogtest.Options{NoJetStream: true}, want: natslog.ErrServer, says: "-js"},
		{name: "subjects", prepare: stream(func(c *jetstream.StreamConfig) { c.Subjects = []string{"meetings.>"} }), want: natslog.ErrSettings, says: "subjects"},
		{name: "memory", prepare: stream(func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage }), want: natslog.ErrSettings, says: "storage"},
		{name: "deletable", prepare: stream(func(c *jetstream.StreamConfig) { c.DenyDelete = false }), want: natslog.ErrSettings, says: "deny_delete"},
		{name: "not atomic", prepare: stream(func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false }), want: natslog.ErrSettings, says: "allow_atomic"},
		{name: "no incarnation", prepare: stream(func(c *jetstream.StreamConfig) { c.Metadata = nil }), want: natslog.ErrSettings, says: "incarnation"},
		{name: "bad window", config: natslog.Config{DuplicateWindow: time.Hour, MaxAge: time.Minute}, says: "duplicate window"},
		{name: "bad batch", config: natslog.Config{Batch: natslog.BatchConfig{MaxRecords: 1001}}, says: "batch records"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			js := eventlogtest.Connect(t, test.options)
			if test.prepare != nil {
				test.prepare(t, js)
			}
			_, err := natslog.Open(t.Context(), js, test.config)
			if err == nil || test.want != nil && !errors.Is(err, test.want) || !strings.Contains(err.Error(), test.says) {
				t.Errorf("Open = %v; want %v saying %q", err, test.want, test.says)
			}
			if err != nil && strings.Contains(err.Error(), "\n") {
				t.Errorf("Open = %q; want one line", err)
			}
		})
	}
}

func TestAttachNeedsALog(t *testing.T) {
	js := eventlogtest.Connect(t)
	if _, err := natslog.Attach(t.Context(), js); !errors.Is(err, eventlog.ErrNoLog) {
		t.Errorf("Attach without a stream = %v; want ErrNoLog", err)
	}
	open(t, js, natslog.Config{})
	if _, err := natslog.Attach(t.Context(), js); err != nil {
		t.Errorf("Attach = %v; want nil", err)
	}
}

func TestOpenRefusesOldServer(t *testing.T) {
	t.Parallel()
	// The version is what a server says of itself, so a stub that says INFO is
	// enough of an old one.
	nc := oldServer(t, "2.11.9")
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()
	if _, err := natslog.Open(ctx, js, natslog.Config{}); !errors.Is(err, natslog.ErrServer) || !strings.Contains(err.Error(), "2.11.9") {
		t.Errorf("Open on an old server = %v; want ErrServer naming the version", err)
	}
}

func TestRecordRoundTrip(t *testing.T) {
	js := eventlogtest.Connect(t)
	l := open(t, js, natslog.Config{})
	full := &eventlog.Record{
		EventID: "01J", ReceivedAt: eventlog.TimeOf(time.Date(2026, 5, 6, 7, 8, 9, 123456000, time.UTC)),
		Source: "a-1", DeliveryID: `u "1" 100%`, WebhookID: "w\u00e9", Signature: "v1,a= v1,b=",
		KeyFingerprint: "sha256:ab", Type: "meeting.ended", Encoding: "deflate, gzip", Trace: "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", Body: []byte("{\"event\":\"meeting.ended\"}\xff\r\n\x00"),
	}
	empty := &eventlog.Record{EventID: "02", ReceivedAt: 1, Source: "none"}
	for _, want := range []*eventlog.Record{full, empty} {
		a, err := l.Append(t.Context(), want)
		if err != nil {
			t.Fatal(err)
		}
		got, err := l.Record(t.Context(), a.Seq)
		if err != nil {
			t.Fatal(err)
		}
		if got.StoredAt.IsZero() || got.Seq != a.Seq {
			t.Errorf("Record = seq %d stored %v; want seq %d and a time", got.Seq, got.StoredAt, a.Seq)
		}
		got.StoredAt, got.Seq = time.Time{}, 0
		if got.Body = append([]byte{}, got.Body...); len(got.Body) == 0 {
			got.Body = nil
		}
		if !reflect.DeepEqual(got, *want) {
			t.Errorf("Record = %+v; want %+v", got, *want)
		}
	}
	if _, err := l.Record(t.Context(), 99); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("Record(99) = %v; want ErrNotFound", err)
	}
	if _, err := l.Record(t.Context(), 0); !errors.Is(err, eventlog.ErrNotFound) {
		t.Errorf("Record(0) = %v; want ErrNotFound", err)
	}
}

func TestInfo(t *testing.T) {
	js := eventlogtest.Connect(t)
	l := open(t, js, natslog.Config{SyncAlways: true})
	appendAll(t, l, 0, 3)
	in, err := l.Info(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if in.Records != 3 || in.First != 1 || in.Last != 3 || in.Bytes == 0 || in.Replicas != 1 || !in.Synced || in.FirstStoredAt.IsZero() {
		t.Errorf("Info = %+v; want 3 records, synced", in)
	}
	other, err := natslog.Attach(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	if in, err = other.Info(t.Context()); err != nil || !in.Synced {
		t.Errorf("Info through Attach = %+v, %v; want synced, as the appender's", in, err)
	}
	other = open(t, js, natslog.Config{})
	if in, err = other.Info(t.Context()); err != nil || in.Synced || !strings.Contains(in.Durability, "sync_interval") {
		t.Errorf("Info of a foreign server = %+v, %v; want not synced, and why", in, err)
	}
	if in, err = l.Info(t.Context()); err != nil || !in.Synced {
		t.Errorf("Info of the log that syncs, beside one that does not = %+v, %v; want synced: its own appends are", in, err)
	}
}

func TestAppendFaults(t *testing.T) {
	tests := []struct {
		name  string
		fault func(testing.TB, *eventlogtest.Node, *natslog.Log)
	}{
		{"server down", func(t testing.TB, n *eventlogtest.Node, _ *natslog.Log) { n.Stop(t) }},
		{"stream gone", func(t testing.TB, n *eventlogtest.Node, _ *natslog.Log) {
			if err := n.JetStream(t).DeleteStream(t.Context(), eventlog.Stream); err != nil {
				t.Fatal(err)
			}
		}},
		{"store full", func(t testing.TB, n *eventlogtest.Node, l *natslog.Log) {
			big := rec(1)
			big.DeliveryID, big.Body = "", make([]byte, 200<<10)
			for range 100 {
				if _, err := l.Append(t.Context(), big); err != nil {
					return
				}
			}
			t.Fatal("the store never got full")
		}},
		{"closed", func(_ testing.TB, _ *eventlogtest.Node, l *natslog.Log) { l.Close() }},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			node := eventlogtest.Server(t, eventlogtest.Options{MaxStore: 2 << 20})
			l := open(t, node.JetStream(t), natslog.Config{})
			appendAll(t, l, 0, 1)
			test.fault(t, node, l)
			big := rec(2)
			big.Body = make([]byte, 200<<10)
			if _, err := l.Append(t.Context(), big); !errors.Is(err, eventlog.ErrUnavailable) {
				t.Errorf("Append = %v; want ErrUnavailable", err)
			}
		})
	}
}

// TestAppendHangs proves that a server that takes a record and never answers
// costs the caller its deadline and no more, and that the record's repeat gets
// the first answer afterwards.
func TestAppendHangs(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{Batch: natslog.BatchConfig{Timeout: 50 * time.Millisecond}})
	l.DropAcks(true)
	ctx, cancel := context.WithCancel(t.Context())
	defer time.AfterFunc(eventlogtest.Patience, cancel).Stop()
	if _, err := l.Append(ctx, rec(1)); !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("Append without an ack = %v; want ErrUnavailable, deadline exceeded", err)
	}
	l.DropAcks(false)
	again := rec(1)
	again.EventID = "other"
	var a eventlog.Appended
	eventually(t, func() (err error) { a, err = l.Append(t.Context(), again); return err }) // 50 ms may not do on a busy machine
	if want := (eventlog.Appended{Seq: 1, EventID: rec(1).EventID, Duplicate: true}); a != want {
		t.Errorf("Append again = %+v; want %+v", a, want)
	}
}

func TestAppendSurvivesRestart(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, l, 0, 2)
	node.Stop(t)
	if _, err := l.Append(t.Context(), rec(2)); !errors.Is(err, eventlog.ErrUnavailable) {
		t.Fatalf("Append while stopped = %v; want ErrUnavailable", err)
	}
	node.Start(t)
	eventually(t, func() error { _, err := l.Append(t.Context(), rec(2)); return err })
	h, err := l.Head(t.Context())
	if err != nil || h.Last != 3 {
		t.Errorf("Head = %+v, %v; want Last 3: nothing may be stored late", h, err)
	}
}

// eventually calls f until it returns nil. The test's own deadline ends it.
func eventually(t testing.TB, f func() error) {
	t.Helper()
	for ctx := t.Context(); ; {
		err := f()
		if err == nil {
			return
		}
		select {
		case <-ctx.Done():
			t.Fatal(err)
		case <-time.After(5 * time.Millisecond):
		}
	}
}
