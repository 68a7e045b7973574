package natsd

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
)

// TestReadersPullThroughAWindow: whatever a reader asks for, its consumer delivers no
// more than its window before somebody acknowledges; and a reader that asked for no
// acknowledgements gets all there is.
func TestReadersPullThroughAWindow(t *testing.T) {
	url, own := testServer(t)
	_, js := dial(t, url)
	ownJS, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	const records = 2*readerUnacked + 1
	for range records - 1 { // there is one
		if _, err := ownJS.PublishAsync("meetings.1.meeting.started", []byte("x")); err != nil {
			t.Fatal(err)
		}
	}
	<-ownJS.PublishAsyncComplete()
	for _, c := range []jetstream.ConsumerConfig{
		{AckPolicy: jetstream.AckNonePolicy},
		{AckPolicy: jetstream.AckAllPolicy, MaxAckPending: -1},
		{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: 1_000_000, AckWait: time.Millisecond},
	} {
		made, err := js.CreateConsumer(t.Context(), "MEETINGS", c)
		if err != nil {
			t.Fatal(err)
		}
		if got := made.CachedInfo().Config.AckPolicy; got != c.AckPolicy {
			t.Errorf("a reader that asks for %v is shown %v", c.AckPolicy, got)
		}
		stored, err := ownJS.Consumer(t.Context(), "MEETINGS", made.CachedInfo().Name)
		if err != nil {
			t.Fatal(err)
		}
		got := stored.CachedInfo().Config
		if got.AckPolicy == jetstream.AckNonePolicy || got.MaxAckPending < 1 || got.MaxAckPending > readerUnacked || got.AckWait < readerAckWait {
			t.Errorf("consumer of a reader that asks for %v: %v, %d unacknowledged, %v; want a window of %d at most, for %v at least",
				c.AckPolicy, got.AckPolicy, got.MaxAckPending, got.AckWait, readerUnacked, readerAckWait)
		}
		batch, err := made.Fetch(records, jetstream.FetchMaxWait(eventlogtest.Patience))
		if err != nil {
			t.Fatal(err)
		}
		n := 0
		for m := range batch.Messages() {
			n++
			if c.AckPolicy != jetstream.AckNonePolicy {
				if err := m.Ack(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if n != records || batch.Error() != nil {
			t.Errorf("a reader that asks for %v pulls %d records, %v; want %d", c.AckPolicy, n, batch.Error(), records)
		}
	}
}

// TestReaderPullsItsOwnConsumersOnly: a reader that knows the name of another's
// consumer gets nothing of it, and acknowledges nothing.
func TestReaderPullsItsOwnConsumersOnly(t *testing.T) {
	url, own := testServer(t)
	nc, _ := dial(t, url)
	js, err := jetstream.New(own)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := js.CreateConsumer(t.Context(), "MEETINGS", jetstream.ConsumerConfig{Durable: "billing", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		t.Fatal(err)
	}
	if m, err := nc.Request("$JS.API.CONSUMER.MSG.NEXT.MEETINGS.billing", []byte("1"), eventlogtest.Patience); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("a pull from another's consumer = %v, %v; want no responders", m, err)
	}
	if _, err := theirs.Next(); err != nil {
		t.Fatal(err)
	}
	if err := nc.Publish("$JS.ACK.MEETINGS.billing.1.1.1.1.0", nil); err != nil {
		t.Fatal(err)
	}
	// The guard takes acknowledgements one after the other: this one comes later.
	mine, err := nc.Request("$JS.API.CONSUMER.CREATE.MEETINGS", []byte(`{"stream_name":"MEETINGS","config":{"ack_policy":"explicit","name":"mine"}}`), eventlogtest.Patience)
	if err != nil || strings.Contains(string(mine.Data), `"error"`) {
		t.Fatalf("create = %v, %v; want a consumer", mine, err)
	}
	m, err := nc.Request("$JS.API.CONSUMER.MSG.NEXT.MEETINGS.mine", []byte("1"), eventlogtest.Patience)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := nc.Request(m.Reply, nil, eventlogtest.Patience); err != nil {
		t.Fatal(err)
	}
	if info, err := theirs.Info(t.Context()); err != nil || info.NumAckPending != 1 {
		t.Errorf("consumer of another after a reader's acknowledgement: %d unacknowledged, %v; want 1", info.NumAckPending, err)
	}
}

// TestGuardRemovesOlderConsumers: what a reader made of a program with other bounds
// is gone, and another's is left.
func TestGuardRemovesOlderConsumers(t *testing.T) {
	e, err := Start(t.Context(), Config{Dir: t.TempDir(), Listen: "127.0.0.1:0", Logger: zerolog.Nop()})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { e.Stop() })
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	stream, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEETINGS", Subjects: []string{"meetings.*.*.*"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	for i, account := range []string{accountReaders, accountQuery, ""} {
		if _, err := stream.CreateConsumer(t.Context(), jetstream.ConsumerConfig{Name: fmt.Sprint("c", i), InactiveThreshold: time.Hour, Metadata: map[string]string{readerMark: account}}); err != nil {
			t.Fatal(err)
		}
	}
	g, err := StartGuard(e, nc, zerolog.Nop())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(g.Stop)
	for {
		var names []string
		for name := range stream.ConsumerNames(t.Context()).Name() {
			names = append(names, name)
		}
		if got := strings.Join(names, " "); got == "c1 c2" {
			return
		} else if t.Context().Err() != nil || got != "c0 c1 c2" {
			t.Fatalf("consumers = %s; want c1 c2", got)
		}
	}
}
