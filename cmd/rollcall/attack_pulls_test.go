package main

import (
	"fmt"
	"net/http"
	"runtime"
	"sync"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/eventlogtest"
)

// memoryBound is what the process may hold, with the eight clients of the test in
// it, whose own buffers take up to 64 MB each.
const memoryBound = 1 << 30

// besideReaders is how many webhooks come in during an attack: each attack takes all
// cores until the last was answered.
func besideReaders() int { return eventlogtest.Rounds(60, 20) }

// TestAttackPulls: eight clients without credentials pull the whole log, wait for
// nothing, acknowledge what they have not received, and read single messages by
// subject. No webhook is refused, and memory stays bounded.
func TestAttackPulls(t *testing.T) {
	n := bigNode(t, 20_000)
	for name, attack := range map[string]func(nc *nats.Conn, consumer, inbox string) error{
		"pulls": func(nc *nats.Conn, consumer, inbox string) error {
			return nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.MEETINGS."+consumer, inbox, []byte(`{"batch":1000000}`))
		},
		"pulls that wait for nothing": func(nc *nats.Conn, consumer, inbox string) error {
			for range 10_000 {
				if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.MEETINGS."+consumer, inbox, []byte(`{"batch":1000000}`)); err != nil {
					return err
				}
			}
			return nc.Flush()
		},
		"acknowledged before they come": func(nc *nats.Conn, consumer, inbox string) error {
			if err := nc.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.MEETINGS."+consumer, inbox, []byte(`{"batch":1000000}`)); err != nil {
				return err
			}
			for seq := range 20_000 {
				if err := nc.Publish(fmt.Sprintf("$JS.ACK.MEETINGS.%s.1.%d.%d.1.1", consumer, seq+1, seq+1), nil); err != nil {
					return err
				}
			}
			return nc.Flush()
		},
		"gets by subject": func(nc *nats.Conn, _, inbox string) error {
			for range 10_000 {
				if err := nc.PublishRequest("$JS.API.DIRECT.GET.MEETINGS.meetings.other.unknown.unknown", inbox, nil); err != nil {
					return err
				}
			}
			return nc.Flush()
		},
	} {
		t.Run(name, func(t *testing.T) {
			done := make(chan struct{})
			var readers sync.WaitGroup
			for i := range 8 {
				nc, _ := dial(t, n.Addresses().NATS, nats.MaxReconnects(-1), nats.ReconnectWait(time.Millisecond), nats.ReconnectJitter(0, 0))
				policy := []string{"none", "all", "explicit"}[i%3]
				readers.Go(func() { pullUntil(nc, done, policy, attack) })
			}
			slowest, held, refused := postBeside(t, n, besideReaders())
			close(done)
			readers.Wait()
			t.Logf("slowest webhook %v, %d MB", slowest, held>>20)
			if len(refused) > 0 {
				t.Errorf("of %d webhooks beside eight readers were refused, by status: %v; want none", besideReaders(), refused)
			}
			if held > memoryBound {
				t.Errorf("the process holds %d MB beside eight readers; want at most %d", held>>20, memoryBound>>20)
			}
		})
	}
}

// pullUntil makes a consumer, attacks through it, and reads what comes, until done.
func pullUntil(nc *nats.Conn, done <-chan struct{}, policy string, attack func(nc *nats.Conn, consumer, inbox string) error) {
	for {
		select {
		case <-done:
			return
		default:
		}
		m, err := nc.Request("$JS.API.CONSUMER.CREATE.MEETINGS", []byte(`{"stream_name":"MEETINGS","config":{"ack_policy":"`+policy+`","ack_wait":1000000}}`), 5*time.Second)
		if err != nil {
			continue
		}
		var made struct {
			Name string `json:"name"`
		}
		if err := json.Unmarshal(m.Data, &made); err != nil || made.Name == "" {
			continue
		}
		inbox := nats.NewInbox()
		sub, err := nc.SubscribeSync(inbox)
		if err != nil || attack(nc, made.Name, inbox) != nil {
			continue
		}
		for err == nil {
			_, err = sub.NextMsg(100 * time.Millisecond)
			select {
			case <-done:
				err = nats.ErrTimeout
			default:
			}
		}
		_ = sub.Unsubscribe()
	}
}

// postBeside sends webhooks, one after the other, and returns how long the slowest
// took, the most memory that was in use, and those refused by their status.
func postBeside(t *testing.T, n *node.Node, count int) (slowest time.Duration, held uint64, refused map[int]int) {
	t.Helper()
	refused = map[int]int{}
	for i := range count {
		began := time.Now()
		if status := webhook(t, n.Addresses().Ingest, fmt.Sprintf(`{"event":"none","i":%d}`, i)); status != http.StatusOK {
			refused[status]++
		}
		slowest = max(slowest, time.Since(began))
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		held = max(held, m.HeapInuse)
	}
	return slowest, held, refused
}
