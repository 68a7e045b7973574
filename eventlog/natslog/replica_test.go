package natslog_test

import (
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// laggingReplica returns a connection to node whose direct gets are answered as
// a replica does that has nothing yet. All else goes to the server.
func laggingReplica(t testing.TB, node *eventlogtest.Node) (js jetstream.JetStream, asked *atomic.Int64) {
	t.Helper()
	asked = new(atomic.Int64)
	between := node.Connect(t)
	_, err := between.Subscribe("lagging.API.>", func(m *nats.Msg) {
		subject := strings.Replace(m.Subject, "lagging", "$JS", 1)
		if !strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") {
			_ = between.PublishRequest(subject, m.Reply, m.Data)
			return
		}
		asked.Add(1)
		answer := nats.NewMsg(m.Reply)
		answer.Header.Set("Status", "404")
		answer.Header.Set("Description", "Message Not Found")
		_ = between.PublishMsg(answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	if err := between.Flush(); err != nil {
		t.Fatal(err)
	}
	if js, err = jetstream.NewWithAPIPrefix(node.ConnectTCP(t), "lagging.API"); err != nil {
		t.Fatal(err)
	}
	return js, asked
}

// TestReadBesideLaggingReplica: what a replica does not have yet is not lost.
func TestReadBesideLaggingReplica(t *testing.T) {
	node := eventlogtest.Server(t)
	writer := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, writer, 0, 5)
	js, asked := laggingReplica(t, node)
	l, err := natslog.Attach(t.Context(), js)
	if err != nil {
		t.Fatal(err)
	}
	f := follow(t, t.Context(), l, eventlog.ReadOptions{})
	f.expect(t, between(0, 5)...)
	for seq := 5; asked.Load() < 2; seq++ {
		if err := js.Conn().ForceReconnect(); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { _, err := writer.Append(t.Context(), rec(seq)); return err })
		f.expect(t, eventlog.Seq(seq+1))
	}
	if r, err := l.Record(t.Context(), 1); err != nil || r.EventID != rec(0).EventID {
		t.Errorf("Record(1) = %v, %v; want the record", r.EventID, err)
	}
}

// TestReadSlicesBesideRetention has a limit remove the records that a filtered
// read counts on, after it began.
func TestReadSlicesBesideRetention(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	l := open(t, js, natslog.Config{})
	const n = 12001 // more than the server sends ahead
	if _, err := l.Import(t.Context(), func(yield func(eventlog.Record, error) bool) {
		for i := range n {
			r := rec(0)
			if i == n-1 {
				r = rec(1) // of another slice, and all that the limit leaves
			}
			if !yield(*r, nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()
	read := 0
	for _, err := range l.Read(ctx, eventlog.ReadOptions{Slices: []int{eventlog.Slice("m0")}}) {
		if err != nil {
			t.Fatalf("Read after %d records = %v; want it to end", read, err)
		}
		if read == 0 {
			eventlogtest.Limit(t, js, eventlog.Stream, 1)
		}
		read++
	}
	if read == n-1 {
		t.Error("all records came: nothing is proven about those that were removed")
	}
}

// TestBulkWithoutConnection: where a connection of its own can't be had, the
// backlog comes over the one that there is.
func TestBulkWithoutConnection(t *testing.T) {
	node := eventlogtest.Server(t)
	writer := open(t, node.JetStream(t), natslog.Config{})
	const n = 2500
	if _, err := writer.Import(t.Context(), func(yield func(eventlog.Record, error) bool) {
		for i := range n {
			if !yield(*rec(i), nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	once := &onceDialer{}
	l, err := natslog.Attach(t.Context(), jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(once))))
	if err != nil {
		t.Fatal(err)
	}
	once.closed.Store(true)
	got, err := sequences(t, l, eventlog.ReadOptions{})
	if err != nil || !slices.Equal(got, between(0, n)) {
		t.Errorf("Read = %d records, %v; want %d", len(got), err, n)
	}
	if once.refused.Load() != 1 {
		t.Errorf("%d connections were tried for the backlog; want one", once.refused.Load())
	}
}

var errNoDial = errors.New("no more connections")

// onceDialer dials until it is closed.
type onceDialer struct {
	closed  atomic.Bool
	refused atomic.Int64
}

// Dial implements nats.CustomDialer.
func (d *onceDialer) Dial(network, address string) (net.Conn, error) {
	if d.closed.Load() {
		d.refused.Add(1)
		return nil, errNoDial
	}
	return net.Dial(network, address)
}
