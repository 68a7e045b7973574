package viewstore_test

import (
	"fmt"
	"regexp"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// TestDropBesideAPromotion: whatever lies between two requests of the one operator's
// command, the other's as a whole included, the alias names a generation that exists,
// and what was dropped does not come back.
func TestDropBesideAPromotion(t *testing.T) {
	t.Parallel()
	drop := func(s *viewstore.Store, t *testing.T) error { return s.Drop(testContext(t), "toy", 2) }
	promote := func(s *viewstore.Store, t *testing.T) error {
		_, err := s.Promote(testContext(t), "toy", 2)
		return err
	}
	acquire := func(s *viewstore.Store, t *testing.T) error {
		o, err := s.Acquire(testContext(t), projector.LeaseRequest{View: "toy", Version: "v1", Generation: 2, Steal: true})
		if err == nil {
			err = o.Release(testContext(t))
		}
		return err
	}
	for name, c := range map[string]struct {
		command, beside func(*viewstore.Store, *testing.T) error
	}{
		"a promotion in a drop":    {drop, promote},
		"a drop in a promotion":    {promote, drop},
		"a drop in an acquisition": {acquire, drop},
	} {
		t.Run(name, func(t *testing.T) {
			at, more := 1, true
			for ; more; at++ {
				t.Run(fmt.Sprint(at), func(t *testing.T) { more = crossed(t, at, c.command, c.beside) })
			}
			if at < 6 {
				t.Errorf("the command made %d requests; want more", at-2)
			}
		})
	}
}

// crossed runs a command and, before its request of that number, the other one. It
// reports whether there is such a request.
func crossed(t *testing.T, at int, command, beside func(*viewstore.Store, *testing.T) error) bool {
	t.Helper()
	node := eventlogtest.Server(t)
	other := open(t, node.JetStream(t), viewstore.Config{})
	requests, counting := 0, false
	var crossing string
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if counting && !strings.HasPrefix(subject, "$JS.API.DIRECT.GET.KV_toy") { // a promotion awaits checkpoints
			if requests++; requests == at {
				crossing = fmt.Sprintf("%s: %v", subject, beside(other, t))
			}
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(wire)))
	if err != nil {
		t.Fatal(err)
	}
	s := open(t, js, viewstore.Config{})
	commit(t, acquire(t, other, projector.LeaseRequest{}), 3, "a", "1")
	ready(t, other, 3, "a", "2")
	counting = true
	err = command(s, t)
	counting = false
	alias, aerr := other.Alias(testContext(t), "toy")
	if aerr != nil {
		t.Fatal(aerr)
	}
	if _, missing := js.Stream(testContext(t), viewstore.StreamOf(alias.Bucket)); missing != nil {
		t.Errorf("the alias names %s: %v; the command: %v; beside it, before request %d, %s", alias.Bucket, missing, err, at, crossing)
	}
	if alias.Generation != 2 && strings.HasSuffix(crossing, "<nil>") {
		if _, missing := js.Stream(testContext(t), viewstore.StreamOf("toy_g2")); missing == nil {
			t.Errorf("toy_g2 exists; the command: %v; beside it, before request %d, %s", err, at, crossing)
		}
	}
	return crossing != ""
}

// TestRollbackAfterTheClockWentBack: the generation that was retired last is the one
// that the server wrote last, whatever the clocks of those who retired them said.
func TestRollbackAfterTheClockWentBack(t *testing.T) {
	t.Parallel()
	js := eventlogtest.Connect(t)
	s := open(t, js, viewstore.Config{})
	commit(t, acquire(t, s, projector.LeaseRequest{}), 3, "a", "1")
	for range 2 {
		g := ready(t, s, 3, "a", "1")
		if _, err := s.Promote(testContext(t), "toy", g.Number); err != nil {
			t.Fatal(err)
		}
	}
	for _, entry := range []string{"generation.toy.1", "generation.toy.2"} { // retired in this order
		stream, err := js.Stream(testContext(t), viewstore.StreamOf(viewstore.Control))
		if err != nil {
			t.Fatal(err)
		}
		m, err := stream.GetLastMsgForSubject(testContext(t), "$KV."+viewstore.Control+"."+entry)
		if err != nil {
			t.Fatal(err)
		}
		changed := regexp.MustCompile(`"changedAt":"[^"]*"`).ReplaceAll(m.Data, []byte(`"changedAt":"2026-01-0`+string('3'-entry[len(entry)-1]+'0')+`T00:00:00Z"`))
		if _, err := js.Publish(testContext(t), m.Subject, changed); err != nil {
			t.Fatal(err)
		}
	}
	if out, err := projector.Rollback(testContext(t), s, "toy", "v1"); err != nil || out.After.Number != 2 {
		t.Errorf("Rollback() = generation %d, %v; want 2, which was retired last", out.After.Number, err)
	}
}
