package bench

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projections"
)

// readersLoad is what goes on beside the webhooks that `bench readers` measures: it runs
// until ctx ends.
type readersLoad struct {
	name string
	run  func(ctx context.Context, count *loadCount) error
}

// loadCount counts a load's answers: those it wanted, and all others.
type loadCount struct{ ok, others atomic.Int64 }

func (c *loadCount) add(ok bool) {
	if ok {
		c.ok.Add(1)
		return
	}
	c.others.Add(1)
}

func (b *readersBench) loads() []readersLoad {
	var views []string
	for _, fold := range projections.All() {
		views = append(views, fold.Name())
	}
	return []readersLoad{
		{"nothing", func(ctx context.Context, _ *loadCount) error { <-ctx.Done(); return nil }},
		{"8 heavy readers", many(8, b.heavy)},
		{"64 heavy readers", many(64, b.heavy)},
		{"8 readers of events by type", many(8, b.byType)},
		{"12 readers of a past", many(12, b.past)},
		{"8 readers of the log over NATS", many(8, b.natsReader)},
		{fmt.Sprintf("%d change feeds", b.cmd.Feeds), many(b.cmd.Feeds, b.feed)},
		{fmt.Sprintf("%d slow bodies", b.cmd.Slow), many(b.cmd.Slow, b.slowBody)},
		{"256 senders of forgeries", many(256, b.forge)},
		{"a rebuild of all views", func(ctx context.Context, count *loadCount) error {
			for {
				if err := b.command(ctx, append([]string{"rebuild"}, views...)...); err != nil {
					return err
				}
				count.add(true)
				for _, view := range views {
					if err := b.command(context.WithoutCancel(ctx), "drop", view); err != nil {
						return err
					}
				}
			}
		}},
		{"verify", func(ctx context.Context, count *loadCount) error {
			for {
				if err := b.command(ctx, "verify"); err != nil {
					return err
				}
				count.add(true)
			}
		}},
	}
}

// many runs n at a time, each again and again.
func many(n int, once func(ctx context.Context, i int) (bool, error)) func(context.Context, *loadCount) error {
	return func(ctx context.Context, count *loadCount) error {
		var group sync.WaitGroup
		for i := range n {
			group.Go(func() {
				for ctx.Err() == nil {
					ok, err := once(ctx, i)
					if ctx.Err() != nil {
						return
					}
					count.add(ok && err == nil)
					if err != nil { // such as a port that is full: not a hot loop of ours
						_ = wire.Pause(ctx, 100*time.Millisecond)
					}
				}
			})
		}
		group.Wait()
		return nil
	}
}

// heavy reads what costs most: all events sorted, a large session's past, a
// search over all sessions.
func (b *readersBench) heavy(ctx context.Context, i int) (bool, error) {
	switch i % 4 {
	case 0, 1:
		return b.byType(ctx, i)
	case 2:
		return b.past(ctx, i)
	}
	return b.path(ctx, "/v1/sessions?limit=1000&sort=title&q=bench")
}

func (b *readersBench) byType(ctx context.Context, _ int) (bool, error) {
	return b.path(ctx, "/v1/events?sort=type")
}

func (b *readersBench) past(ctx context.Context, i int) (bool, error) {
	return b.path(ctx, fmt.Sprintf("/v1/sessions/%s/participants?asOf=%d", bigSession, b.cmd.Records-i))
}

func (b *readersBench) path(ctx context.Context, path string) (bool, error) {
	code, err := b.get(ctx, "http://"+b.at.API+path)
	return code == http.StatusOK, err
}

// natsReader reads the whole log once, as a client without credentials does.
func (b *readersBench) natsReader(ctx context.Context, _ int) (bool, error) {
	nc, err := nats.Connect(b.at.NATS)
	if err != nil {
		return false, err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return false, err
	}
	consumer, err := js.OrderedConsumer(ctx, eventlog.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return false, err
	}
	messages, err := consumer.Messages()
	if err != nil {
		return false, err
	}
	defer messages.Stop()
	for range b.cmd.Records {
		if _, err := messages.Next(jetstream.NextContext(ctx)); err != nil {
			return false, err
		}
	}
	return true, nil
}

// feed reads the change feed until it ends.
func (b *readersBench) feed(ctx context.Context, _ int) (bool, error) {
	return b.path(ctx, "/v1/changes")
}

// slowBody sends one byte of a body and waits for what becomes of it.
func (b *readersBench) slowBody(ctx context.Context, _ int) (bool, error) {
	var d net.Dialer
	conn, err := d.DialContext(ctx, "tcp", b.at.Ingest)
	if err != nil {
		return false, err
	}
	defer conn.Close()
	defer context.AfterFunc(ctx, func() { _ = conn.Close() })()
	_, err = fmt.Fprintf(conn, "POST /webhooks/bench HTTP/1.1\r\nHost: x\r\nDyte-Signature: AAAA\r\nContent-Length: 250000\r\n\r\n{")
	if err != nil {
		return false, err
	}
	answer, err := io.ReadAll(conn)
	return len(answer) > 0, err
}

// forge posts a delivery whose signature matches no key.
func (b *readersBench) forge(ctx context.Context, i int) (bool, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.at.Ingest+"/webhooks/bench",
		strings.NewReader(fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"forged","sessionId":"forged%d"}}`, i)))
	if err != nil {
		return false, err
	}
	r.Header.Set("Dyte-Signature", strings.Repeat("QUJD", 85)+"QQ==")
	res, err := b.http.Do(r)
	if err != nil {
		return false, err
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode == http.StatusUnauthorized, err
}
