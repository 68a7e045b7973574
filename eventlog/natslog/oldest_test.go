package natslog_test

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestReadFromTheOldest: a read of all that the log holds begins wherever the log
// begins by then, also where a limit removes records while it begins.
func TestReadFromTheOldest(t *testing.T) {
	t.Parallel()
	for _, n := range []int{20, 5000} { // the second is a backlog for a connection of its own
		node := eventlogtest.Server(t)
		other := node.JetStream(t)
		var at string
		left := int64(n)
		wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
			if at != "" && len(subject) >= len(at) && subject[:len(at)] == at {
				left--
				eventlogtest.Limit(t, other, eventlog.Stream, left)
			}
			return eventlogtest.Never
		}}
		l := open(t, jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(wire))), natslog.Config{})
		appendAll(t, l, 0, n)
		for _, at = range []string{"", "$JS.API.STREAM.INFO.", "$JS.API.CONSUMER.CREATE.", "$JS.API.CONSUMER.MSG.NEXT."} {
			least := eventlog.Seq(int64(n) - left)
			got, err := sequences(t, l, eventlog.ReadOptions{Oldest: true})
			most := eventlog.Seq(int64(n) - left) // some of them while the first ones were on their way
			if err != nil || len(got) == 0 || got[0] <= least || got[0] > most+1 || !slices.Equal(got, between(got[0]-1, eventlog.Seq(n))) {
				t.Errorf("Read(Oldest) of %d records, %d to %d of them removed at %q = %d records, %v; want all after these", n, least, most, at, len(got), err)
			}
		}
	}
}

// TestReadAfterARecordThatALimitRemoves: the record after which a read goes on may be
// removed by a limit just when it is looked for. That is no lost tail.
func TestReadAfterARecordThatALimitRemoves(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		first eventlog.Seq
		want  error
	}{{4, nil}, {5, eventlog.ErrTrimmed}} {
		node := eventlogtest.Server(t)
		other := node.JetStream(t)
		shortened := true
		wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
			if !shortened && strings.HasPrefix(subject, "$JS.API.DIRECT.GET.MEETINGS") {
				shortened = true
				eventlogtest.Limit(t, other, eventlog.Stream, int64(11-c.first))
			}
			return eventlogtest.Never
		}}
		l := open(t, jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(wire))), natslog.Config{})
		appendAll(t, l, 0, 10)
		third, err := l.Record(t.Context(), 3)
		if err != nil {
			t.Fatal(err)
		}
		shortened = false
		got, err := sequences(t, l, eventlog.ReadOptions{After: 3, AfterStoredAt: third.StoredAt})
		if !errors.Is(err, c.want) || c.want == nil && !slices.Equal(got, between(3, 10)) {
			t.Errorf("Read(after 3) of a log that begins at %d by then = %v, %v; want %v", c.first, got, err, c.want)
		}
	}
}
