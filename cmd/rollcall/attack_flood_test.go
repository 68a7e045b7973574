package main

import (
	"fmt"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// readerSubscriptions is how many subscriptions the server gives to readers.
const readerSubscriptions = 4096

// bigNode is a running node whose log has n records of 4 KiB.
func bigNode(t *testing.T, n int) *node.Node {
	t.Helper()
	dir := t.TempDir()
	e, err := natsd.Start(t.Context(), natsd.Config{Dir: dir})
	if err != nil {
		t.Fatal(err)
	}
	nc, err := e.Connect()
	if err != nil {
		t.Fatal(err)
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	log, err := natslog.Open(t.Context(), js, natslog.Config{StoreDir: natsd.StoreDir(dir)})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"event":"none","pad":"` + strings.Repeat("x", 4096) + `"}`)
	if _, err := log.Import(t.Context(), func(yield func(eventlog.Record, error) bool) {
		for i := range n {
			r := eventlog.Record{EventID: fmt.Sprintf("01JDA3Z5N8Q2V7X4C6B9%06d", i), Source: "open", ReceivedAt: eventlog.TimeOf(time.Unix(int64(i), 0)), Body: body}
			if !yield(r, nil) {
				return
			}
		}
	}); err != nil {
		t.Fatal(err)
	}
	log.Close()
	nc.Close()
	if err := e.Stop(); err != nil {
		t.Fatal(err)
	}
	all := testNode(t, dir, "--nats-listen", "127.0.0.1:0", "--views", "recordings")
	runNode(t, all)
	return all
}

// TestAttackReadersOfTheWholeLog: eight clients without credentials each ask for
// all there is, in one request or by a push consumer, again and again. No webhook
// is refused.
func TestAttackReadersOfTheWholeLog(t *testing.T) {
	n := bigNode(t, 20_000)
	for name, ask := range map[string]func(nc *nats.Conn, inbox string) error{
		"one request": func(nc *nats.Conn, inbox string) error {
			return nc.PublishRequest("$JS.API.DIRECT.GET.MEETINGS", inbox, []byte(`{"seq":1,"batch":1000000,"max_bytes":2000000000}`))
		},
		"a push consumer": func(nc *nats.Conn, inbox string) error {
			return nc.PublishRequest("$JS.API.CONSUMER.CREATE.MEETINGS", nats.NewInbox(), []byte(`{"stream_name":"MEETINGS","config":{"ack_policy":"none","deliver_subject":"`+inbox+`"}}`))
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			var readers sync.WaitGroup
			for range 8 {
				nc, _ := dial(t, n.Addresses().NATS)
				readers.Go(func() {
					for i := 0; ; i++ {
						select {
						case <-done:
							return
						default:
						}
						inbox := nats.NewInbox()
						sub, err := nc.SubscribeSync(inbox)
						if err != nil || ask(nc, inbox) != nil {
							continue
						}
						for err == nil {
							_, err = sub.NextMsg(100 * time.Millisecond)
						}
						_ = sub.Unsubscribe()
					}
				})
			}
			_, _, refused := postBeside(t, n, besideReaders())
			close(done)
			readers.Wait()
			if len(refused) > 0 {
				t.Errorf("of %d webhooks beside eight readers were refused, by status: %v; want none", besideReaders(), refused)
			}
		})
	}
}

// TestAttackSubscriptions: a record goes to each subscription of a reader, so that
// these are bounded.
func TestAttackSubscriptions(t *testing.T) {
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-max-connections", "20")
	runNode(t, n)
	nc, _ := dial(t, n.Addresses().NATS)
	refused := make(chan error, 1)
	nc.SetErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) {
		select {
		case refused <- err:
		default:
		}
	})
	for range readerSubscriptions + 1 {
		if _, err := nc.Subscribe("meetings.>", func(*nats.Msg) {}); err != nil {
			break
		}
	}
	_ = nc.Flush()
	select {
	case err := <-refused:
		if !strings.Contains(err.Error(), "maximum subscriptions") {
			t.Errorf("subscription %d = %v; want it refused", readerSubscriptions+1, err)
		}
	case <-time.After(eventlogtest.Patience):
		t.Errorf("a reader has more than %d subscriptions; want a refusal", readerSubscriptions)
	}
	postStarted(t, n, "a")
}
