package natslog_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestAnswersUnderFaults has a seeded sequence of faults between deliveries and
// their repeats: restarts, lost tails, a log made again, limits that remove
// records, another ingester. After each answer the log holds what it says, or
// a limit removed it; where the log's files are synced here, a power cut would
// leave it.
func TestAnswersUnderFaults(t *testing.T) {
	t.Parallel()
	for seed := range uint64(4) {
		t.Run(fmt.Sprintf("seed %d", seed), func(t *testing.T) {
			w := &faulty{T: t, rand: rand.New(rand.NewPCG(seed, 7)), node: eventlogtest.Server(t)}
			c := natslog.Config{}
			if w.synced = seed%2 == 1; w.synced {
				w.power = newPower(t)
				c = w.power.config(w.node, c)
			}
			w.log = open(t, w.node.JetStream(t), c)
			w.other = open(t, w.node.JetStream(t), natslog.Config{})
			for range 40 {
				w.step()
			}
		})
	}
}

type faulty struct {
	*testing.T
	rand       *rand.Rand
	node       *eventlogtest.Node
	log, other *natslog.Log
	synced     bool
	power      *power
	next       int
}

func (w *faulty) step() {
	switch w.rand.IntN(12) {
	case 0:
		w.node.Restart(w)
	case 1:
		if w.synced {
			w.node.Restart(w) // our own server loses no tail
			return
		}
		loseTail(w, w.node, w.deliver)
	case 2:
		remake(w, w.node.JetStream(w), func(*jetstream.StreamConfig) {})
	case 3:
		eventlogtest.Limit(w, w.node.JetStream(w), eventlog.Stream, int64(1+w.rand.IntN(5)))
	case 4:
		eventlogtest.Limit(w, w.node.JetStream(w), eventlog.Stream, -1)
	case 5, 6:
		for range w.rand.IntN(20) {
			again := bulky(10000 + w.rand.IntN(100000))
			eventually(w, func() error { _, err := w.other.Append(w.Context(), again); return err })
		}
	default:
		w.deliver()
	}
}

// deliver appends a new record, or one that was answered for earlier.
func (w *faulty) deliver() {
	n := w.next
	if w.rand.IntN(2) == 0 && n > 0 {
		n -= 1 + w.rand.IntN(min(n, 8))
	} else {
		w.next++
	}
	r := rec(n)
	var a eventlog.Appended
	eventually(w, func() (err error) { a, err = w.log.Append(w.Context(), r); return err })
	h, err := w.log.Head(w.Context())
	if err != nil {
		w.Fatal(err)
	}
	if a.Duplicate && a.Seq < h.First {
		return // a limit removed it
	}
	held, err := w.log.Record(w.Context(), a.Seq)
	if err != nil || held.EventID != r.EventID || held.EventID != a.EventID {
		w.Fatalf("Append(%d) = %+v; the log, from %d to %d, holds %q there (%v)", n, a, h.First, h.Last, held.EventID, err)
	}
	if w.synced {
		w.power.check(w.log, r)
	}
}
