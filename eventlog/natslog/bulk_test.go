package natslog

import (
	"context"
	"errors"
	"fmt"
	"reflect"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
)

// fillLog appends n records of growing size and returns a consumer on them.
func fillLog(t testing.TB, js jetstream.JetStream, n int) (*Log, string) {
	t.Helper()
	return fillTraced(t, js, n, 3)
}

// fillTraced fills a log of which each so manieth record has the traceparent of its
// delivery; 0: none has.
func fillTraced(t testing.TB, js jetstream.JetStream, n, every int) (*Log, string) {
	t.Helper()
	ctx := t.Context()
	l, err := Open(ctx, js, Config{})
	if err != nil {
		t.Fatal(err)
	}
	futures := make([]jetstream.PubAckFuture, 0, n)
	for i := range n {
		r := eventlog.Record{
			EventID: fmt.Sprintf("01J00000000000000000%06d", i), ReceivedAt: eventlog.TimeOfUnixMicro(int64(1e15 + i)),
			Source: "prod", DeliveryID: fmt.Sprintf("delivery %d", i), Signature: "c2ln", Type: "meeting.started",
			Body: fmt.Appendf(nil, `{"event":"meeting.started","meeting":{"id":"m%d","title":"%0*d"}}`, i, i%700, i),
		}
		if i%3 == 0 { // the headers that not every delivery has
			r.WebhookID, r.KeyFingerprint, r.Encoding = "w 1", "sha256:ab", "gzip"
		}
		if every > 0 && i%every == 0 {
			r.Trace = fmt.Sprintf("00-%032x-%016x-01", i+1, i+1)
		}
		f, err := js.PublishMsgAsync(message(&r, ""))
		if err != nil {
			t.Fatal(err)
		}
		futures = append(futures, f)
		if i%500 == 0 {
			<-js.PublishAsyncComplete()
		}
	}
	<-js.PublishAsyncComplete()
	for _, f := range futures {
		select {
		case err := <-f.Err():
			t.Fatal(err)
		default:
		}
	}
	return l, newConsumer(t, js)
}

func newConsumer(t testing.TB, js jetstream.JetStream) string {
	t.Helper()
	c, err := js.CreateConsumer(t.Context(), eventlog.Stream, jetstream.ConsumerConfig{
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: time.Minute,
	})
	if err != nil {
		t.Fatal(err)
	}
	return c.CachedInfo().Name
}

// TestBulkReadsWhatRecordReads holds the protocol reader against nats.go.
func TestBulkReadsWhatRecordReads(t *testing.T) {
	t.Parallel()
	const n = 9001 // more than two requests
	tests := map[string]func(t *testing.T) jetstream.JetStream{
		"tcp": func(t *testing.T) jetstream.JetStream { return eventlogtest.Connect(t) },
		"password": func(t *testing.T) jetstream.JetStream {
			node := eventlogtest.Server(t, eventlogtest.Options{Configure: func(o *server.Options) { o.Username, o.Password = "u", "p" }})
			return connect(t, node, nats.UserInfo("u", "p"))
		},
	}
	for name, start := range tests {
		t.Run(name, func(t *testing.T) {
			js := start(t)
			l, consumer := fillLog(t, js, n)
			next := eventlog.Seq(1)
			for got, err := range bulk(t.Context(), js, consumer, n) {
				if err != nil {
					t.Fatalf("bulk after %d records: %v", next-1, err)
				}
				if next%97 == 0 || next == n {
					want, err := l.Record(t.Context(), next)
					if err != nil {
						t.Fatal(err)
					}
					if !got.StoredAt.Equal(want.StoredAt) {
						t.Errorf("record %d: StoredAt = %v; want %v", next, got.StoredAt, want.StoredAt)
					}
					got.StoredAt = want.StoredAt
					if !reflect.DeepEqual(got, want) {
						t.Fatalf("record %d = %+v; want %+v", next, got, want)
					}
				}
				if got.Seq != next {
					t.Fatalf("Seq = %d; want %d", got.Seq, next)
				}
				next++
			}
			if next != n+1 {
				t.Errorf("bulk gave %d records; want %d", next-1, n)
			}
		})
	}
}

func connect(t *testing.T, node *eventlogtest.Node, opts ...nats.Option) jetstream.JetStream {
	t.Helper()
	nc, err := nats.Connect(node.URL(), opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	return js
}

// TestBulkEndsWithError: a server that goes away and a context that ends are
// errors, never a wait or a silent end.
func TestBulkEndsWithError(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	_, consumer := fillLog(t, js, 5000)

	var last error
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for _, err := range bulk(ctx, js, consumer, 5000) {
		if n++; n == 10 {
			cancel()
		}
		last = err
	}
	if !errors.Is(last, context.Canceled) {
		t.Errorf("bulk after cancel ended with %v; want an error", last)
	}

	consumer, n = newConsumer(t, js), 0
	stopped := make(chan struct{})
	for _, err := range bulk(t.Context(), js, consumer, 50000) {
		if n++; n == 10 {
			go func() { defer close(stopped); node.Stop(t) }() // it waits for readers to take what is under way
		}
		last = err
	}
	<-stopped
	if last == nil {
		t.Errorf("bulk of a stopped server ended without an error after %d records", n)
	}
}

// cpuTime is what the process has used, server and reader: on a machine that others
// use too it says more than the clock.
func cpuTime(b *testing.B) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		b.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkRead reads a log in bulk, of which no record has a traceparent, each
// hundredth, and each; and one by one.
func BenchmarkRead(b *testing.B) {
	const n = 100_000
	for name, every := range map[string]int{"traced=0%": 0, "traced=1%": 100, "traced=100%": 1} {
		b.Run("bulk/"+name, func(b *testing.B) {
			js := eventlogtest.Connect(b)
			fillTraced(b, js, n, every)
			began := cpuTime(b)
			for b.Loop() {
				for _, err := range bulk(b.Context(), js, newConsumer(b, js), n) {
					if err != nil {
						b.Fatal(err)
					}
				}
			}
			b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
			b.ReportMetric(float64((cpuTime(b)-began).Nanoseconds())/float64(n)/float64(b.N), "cpu-ns/record")
		})
	}
	js := eventlogtest.Connect(b)
	fillTraced(b, js, n, 0)
	b.Run("ordered", func(b *testing.B) {
		for b.Loop() {
			c, err := js.OrderedConsumer(b.Context(), eventlog.Stream, jetstream.OrderedConsumerConfig{})
			if err != nil {
				b.Fatal(err)
			}
			it, err := c.Messages(jetstream.PullMaxMessages(5000))
			if err != nil {
				b.Fatal(err)
			}
			for range n {
				if _, err := it.Next(); err != nil {
					b.Fatal(err)
				}
			}
			it.Stop()
		}
		b.ReportMetric(float64(n)*float64(b.N)/b.Elapsed().Seconds(), "records/s")
	})
}

// TestBulkReadsHeadersOfOthers: a record means the same whichever reader takes it,
// whatever its headers look like; else a rebuilt view differs from the one before.
func TestBulkReadsHeadersOfOthers(t *testing.T) {
	at := time.Unix(1700000000, 0)
	for _, lines := range []string{
		"", "ce-id: a\r\n", "ce-id:a\r\n", "ce-id:   a  \r\n", "ce-id:\ta\r\n", "ce-id: a\n", "ce-id: a\nce-type: b\r\n", "ce-id: a\r\r\n",
		"ce-id: \r\nce-id: a\r\n", "ce-id: a\r\nce-id: b\r\n", "CE-ID: a\r\n", ": a\r\nce-id: b\r\n", "ce-id: a\r\nno header\r\n",
		"ce-id: a\r\n\r\nce-id: b\r\n", "ce-time: x\r\nce-time: 2026-01-01T00:00:00Z\r\n", "ce-time: 0001-01-01T00:00:00Z\r\nce-time: 2026-01-01T00:00:00Z\r\n",
		"ce-type: a b\r\nce-source: %41%\r\nRollcall-Delivery: \xff\r\nRollcall-Webhook: :\r\n",
	} {
		for _, end := range []string{"\r\n", "\n", ""} {
			header := []byte("NATS/1.0\r\n" + lines + end)
			h, _ := nats.DecodeHeadersMsg(header) // nats.go delivers what it can't decode without headers
			want := record(7, at, h, []byte("b"))
			d := decoder{consumer: "c"}
			got, err := d.record(frame{reply: []byte("$JS.ACK.MEETINGS.c.1.7.7.1700000000000000000.0"), header: header, body: []byte("b")})
			if got.StoredAt = at; err != nil || !reflect.DeepEqual(got, want) {
				t.Errorf("bulk reads %q as %+v, %v; want %+v", header, got, err, want)
			}
		}
	}
}

// TestBulkTakesItsOwnConsumerOnly: others may have the server send to an inbox
// that they learned.
func TestBulkTakesItsOwnConsumerOnly(t *testing.T) {
	for reply, want := range map[string]error{
		"$JS.ACK.MEETINGS.mine.1.7.7.1700000000000000000.0":             nil,
		"$JS.ACK.hub.account.MEETINGS.mine.1.7.7.1700000000000000000.0": nil,
		"$JS.ACK.MEETINGS.other.1.7.7.1700000000000000000.0":            errForeign,
		"$JS.ACK.OTHER.mine.1.7.7.1700000000000000000.0":                errForeign,
	} {
		d := decoder{consumer: "mine"}
		if r, err := d.record(frame{reply: []byte(reply), header: []byte("NATS/1.0\r\n\r\n")}); !errors.Is(err, want) || err == nil && r.Seq != 7 {
			t.Errorf("record from %s = %d, %v; want %v", reply, r.Seq, err, want)
		}
	}
}
