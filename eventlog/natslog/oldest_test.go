package natslog_test

import (
	"slices"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// shorten leaves a log its last n records, as a limit does.
func shorten(t *testing.T, js jetstream.JetStream, n int64) {
	t.Helper()
	s, err := js.Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxMsgs = n
	if _, err := js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
}

// TestReadFromTheOldest: a read of all that the log holds begins wherever the log
// begins by then, also where a limit removes records while it begins.
func TestReadFromTheOldest(t *testing.T) {
	for _, n := range []int{20, 5000} { // the second is a backlog for a connection of its own
		node := eventlogtest.Server(t)
		other := node.JetStream(t)
		var at string
		left := int64(n)
		wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
			if at != "" && len(subject) >= len(at) && subject[:len(at)] == at {
				left--
				shorten(t, other, left)
			}
			return eventlogtest.Never
		}}
		l := open(t, jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(wire))), natslog.Config{})
		appendAll(t, l, 0, n)
		for _, at = range []string{"", "$JS.API.STREAM.INFO.", "$JS.API.CONSUMER.CREATE.", "$JS.API.CONSUMER.MSG.NEXT."} {
			got, err := sequences(t, l, eventlog.ReadOptions{Oldest: true})
			first := eventlog.Seq(int64(n) - left)
			if err != nil || !slices.Equal(got, between(first, eventlog.Seq(n))) {
				t.Errorf("Read(Oldest) of %d records, %d of them removed at %q = %d records, %v; want those after %d", n, first, at, len(got), err, first)
			}
		}
	}
}
