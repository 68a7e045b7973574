package natslog_test

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// loseTail has node lose what was stored while during runs, as a power loss
// under a lazy sync does.
func loseTail(t testing.TB, node *eventlogtest.Node, during func()) {
	t.Helper()
	node.Stop(t)
	saved := t.TempDir()
	copyDir(t, node.Dir(), saved)
	node.Start(t)
	during()
	node.Stop(t)
	if err := os.RemoveAll(node.Dir()); err != nil {
		t.Fatal(err)
	}
	copyDir(t, saved, node.Dir())
	node.Start(t)
}

// again appends a record until the log takes it, and fails the test where the
// answer is not what the log holds.
func again(t testing.TB, l *natslog.Log, r *eventlog.Record) eventlog.Appended {
	t.Helper()
	var a eventlog.Appended
	eventually(t, func() (err error) { a, err = l.Append(t.Context(), r); return err })
	held, err := l.Record(t.Context(), a.Seq)
	if err != nil || held.EventID != a.EventID || string(held.Body) != string(r.Body) {
		t.Errorf("Append(%s) = %+v; the log holds %s there, %v", r.EventID, a, held.EventID, err)
	}
	return a
}

// remake deletes the log and makes it again, as change has it.
func remake(t testing.TB, js jetstream.JetStream, change func(*jetstream.StreamConfig)) {
	t.Helper()
	s, err := js.Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	if err := js.DeleteStream(t.Context(), eventlog.Stream); err != nil {
		t.Fatal(err)
	}
	c.Metadata = map[string]string{"rollcall.incarnation": "another"}
	change(&c)
	// The server may still be removing the old one's files.
	eventually(t, func() error { _, err := js.CreateStream(t.Context(), c); return err })
}

// TestRepeatAfterLostTail: the answer to a record was lost, then the server
// lost the record, and others have its sequence.
func TestRepeatAfterLostTail(t *testing.T) {
	for name, reused := range map[string]int{"sequences free": 0, "sequences used again": 8} {
		t.Run(name, func(t *testing.T) {
			node := eventlogtest.Server(t)
			l := open(t, node.JetStream(t), natslog.Config{})
			appendAll(t, l, 0, 10)
			loseTail(t, node, func() {
				for n := 10; n < 15; n++ {
					again(t, l, rec(n))
				}
			})
			other := open(t, node.JetStream(t), natslog.Config{})
			appendAll(t, other, 500, 500+reused)
			for n := 5; n < 15; n++ {
				if a := again(t, l, rec(n)); a.Duplicate != (n < 10) {
					t.Errorf("Append(%d) = %+v; want it stored again where it was lost", n, a)
				}
			}
			if found := collect(t, l); len(found) != 15+reused {
				t.Errorf("the log holds %d records; want %d", len(found), 15+reused)
			}
		})
	}
}

// TestRepeatAfterRemake: the log was deleted and made again under a running
// ingester, which goes on in the new one.
func TestRepeatAfterRemake(t *testing.T) {
	for _, synced := range []bool{false, true} {
		node, p := eventlogtest.Server(t), newPower(t)
		c := natslog.Config{}
		if synced {
			c = p.config(node, c)
		}
		l := open(t, node.JetStream(t), c)
		appendAll(t, l, 0, 10)
		remake(t, node.JetStream(t), func(*jetstream.StreamConfig) {})
		for n := range 12 {
			if a := again(t, l, rec(n)); a.Duplicate || a.Seq != eventlog.Seq(n+1) {
				t.Errorf("Append(%d) into a log made again = %+v; want it stored as %d", n, a, n+1)
			}
			if synced {
				p.check(l, rec(n))
			}
		}
		if a := again(t, l, rec(3)); !a.Duplicate {
			t.Errorf("Append of a repeat = %+v; want a duplicate", a)
		}
		if _, err := l.Health(t.Context()); err != nil {
			t.Errorf("Health of a log made again = %v; want nil", err)
		}
		eventlogtest.Limit(t, node.JetStream(t), eventlog.Stream, 2)
		if a, err := l.Append(t.Context(), rec(3)); err != nil || !a.Duplicate || a.Seq != 4 {
			t.Errorf("Append of what a limit removed = %+v, %v; want a duplicate of 4", a, err)
		}
	}
}

// TestRepeatAfterRemakeAndRetention: that the log begins after a sequence says
// nothing where it is another log.
func TestRepeatAfterRemakeAndRetention(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	l := open(t, js, natslog.Config{})
	appendAll(t, l, 0, 10)
	remake(t, js, func(*jetstream.StreamConfig) {})
	appendAll(t, open(t, node.JetStream(t), natslog.Config{}), 500, 530)
	eventlogtest.Limit(t, js, eventlog.Stream, 2)
	if a := again(t, l, rec(3)); a.Duplicate {
		t.Errorf("Append = %+v; want it stored in the log made again", a)
	}
}

// TestRepeatWithLongUUID: a uuid that a header does not hold whole is a uuid.
func TestRepeatWithLongUUID(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	r := rec(1)
	r.DeliveryID = strings.Repeat("u", 5000)
	for n := range 3 {
		if a, err := l.Append(t.Context(), r); err != nil || a.Seq != 1 || a.Duplicate != (n > 0) {
			t.Errorf("Append(%d) = %+v, %v; want sequence 1", n, a, err)
		}
	}
}

// TestRemadeAsSomethingElse: a stream that keeps no record gets no 200.
func TestRemadeAsSomethingElse(t *testing.T) {
	for _, synced := range []bool{false, true} {
		node := eventlogtest.Server(t)
		c := natslog.Config{}
		if synced {
			c.StoreDir = node.Dir()
		}
		l := open(t, node.JetStream(t), c)
		appendAll(t, l, 0, 10)
		remake(t, node.JetStream(t), func(c *jetstream.StreamConfig) { c.Storage = jetstream.MemoryStorage })
		for n := range 3 {
			if a, err := l.Append(t.Context(), rec(100+n)); !errors.Is(err, eventlog.ErrUnavailable) || !errors.Is(err, natslog.ErrSettings) {
				t.Errorf("Append into memory = %+v, %v; want ErrUnavailable, ErrSettings", a, err)
			}
		}
		if _, err := l.Health(t.Context()); err == nil {
			t.Error("Health of a log that is none = nil; want an error")
		}
		remake(t, node.JetStream(t), func(c *jetstream.StreamConfig) { c.Storage = jetstream.FileStorage })
		again(t, l, rec(200))
	}
}

// TestRepeatOfTrimmed: what a limit removed was stored, and is answered so.
func TestRepeatOfTrimmed(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	l := open(t, js, natslog.Config{})
	appendAll(t, l, 0, 10)
	eventlogtest.Limit(t, js, eventlog.Stream, 2)
	for _, log := range []*natslog.Log{l, open(t, node.JetStream(t), natslog.Config{})} {
		a, err := log.Append(t.Context(), rec(3))
		if err != nil || !a.Duplicate || a.Seq != 4 {
			t.Errorf("Append of what a limit removed = %+v, %v; want a duplicate of 4", a, err)
		}
	}
}

// TestUnreadRepeat: what can't be looked up is not answered.
func TestUnreadRepeat(t *testing.T) {
	node := eventlogtest.Server(t)
	wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if strings.HasPrefix(subject, "$JS.API.DIRECT.GET.") {
			return eventlogtest.Lost
		}
		return eventlogtest.Never
	}}
	l := open(t, jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(wire))), natslog.Config{})
	appendAll(t, l, 0, 1)
	fresh := open(t, jetStream(t, node.ConnectTCP(t, nats.SetCustomDialer(wire))), natslog.Config{})
	for _, log := range []*natslog.Log{l, fresh} {
		ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
		defer cancel()
		if a, err := log.Append(ctx, rec(0)); !errors.Is(err, eventlog.ErrUnavailable) {
			t.Errorf("Append of a repeat whose first can't be read = %+v, %v; want ErrUnavailable", a, err)
		}
	}
}

// TestServerRepeatsWhatIsLost: a server that knows the message id of what it
// does not hold would refuse the delivery for as long as its window is.
func TestServerRepeatsWhatIsLost(t *testing.T) {
	node := eventlogtest.Server(t)
	between := node.Connect(t)
	_, err := between.Subscribe("forgetful.API.>", func(m *nats.Msg) {
		subject := strings.Replace(m.Subject, "forgetful", "$JS", 1)
		answer := nats.NewMsg(m.Reply)
		asked := string(m.Data) == `{"seq":2}`
		switch {
		case asked && strings.Contains(subject, ".STREAM.MSG.GET."):
			answer.Data = []byte(`{"error":{"code":404,"err_code":10037,"description":"no message found"}}`)
		case asked && strings.Contains(subject, ".DIRECT.GET."):
			answer.Header.Set("Status", "404")
			answer.Header.Set("Description", "Message Not Found")
		default:
			_ = between.PublishRequest(subject, m.Reply, m.Data)
			return
		}
		_ = between.PublishMsg(answer)
	})
	if err != nil {
		t.Fatal(err)
	}
	appendAll(t, open(t, node.JetStream(t), natslog.Config{}), 0, 3)
	js, err := jetstream.NewWithAPIPrefix(node.Connect(t), "forgetful.API")
	if err != nil {
		t.Fatal(err)
	}
	l := open(t, js, natslog.Config{})
	for n := range 2 {
		if a, err := l.Append(t.Context(), rec(1)); err != nil || a.Duplicate != (n > 0) || a.Seq != 4 {
			t.Errorf("Append(%d) of what the server only thinks it has = %+v, %v; want it stored as 4, once", n, a, err)
		}
	}
}

// TestStormOfRepeats: many at once, each looked up, all answered.
func TestStormOfRepeats(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	appendAll(t, l, 0, 1)
	var storm []*eventlog.Record
	for range 2000 {
		storm = append(storm, rec(0))
	}
	for i, a := range together(t, l, storm...) {
		if want := (eventlog.Appended{Seq: 1, EventID: rec(0).EventID, Duplicate: true}); a.err != nil || a.Appended != want {
			t.Fatalf("Append(%d) = %+v, %v; want %+v", i, a.Appended, a.err, want)
		}
	}
}

// TestBrokenConnectionAnswersAtOnce: an answer that was lost with its
// connection is not waited for, by what was sent or by what waits after it.
func TestBrokenConnectionAnswersAtOnce(t *testing.T) {
	node := eventlogtest.Server(t)
	nc := node.ConnectTCP(t)
	l := open(t, jetStream(t, nc), natslog.Config{Batch: natslog.BatchConfig{Timeout: time.Hour}})
	appendAll(t, l, 0, 1)
	l.DropPublishes(true)
	answers := make(chan error, 2)
	for n := range 2 {
		go func() { _, err := l.Append(t.Context(), rec(1+n)); answers <- err }()
		eventually(t, func() error {
			if !l.Busy() || l.Stats().Queued < n {
				return errors.New("not published")
			}
			return nil
		})
	}
	if err := nc.ForceReconnect(); err != nil {
		t.Fatal(err)
	}
	if err := <-answers; !errors.Is(err, eventlog.ErrUnavailable) {
		t.Errorf("Append over a connection that broke = %v; want ErrUnavailable", err)
	}
	l.DropPublishes(false)
	for n := range 2 {
		again(t, l, rec(1+n))
	}
}

func TestHealth(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{StoreDir: node.Dir(), Batch: natslog.BatchConfig{Timeout: 50 * time.Millisecond}})
	if in, err := l.Health(t.Context()); err != nil || in.Incarnation == "" || in.Durability == "" {
		t.Errorf("Health before the first append = %+v, %v; want Info", in, err)
	}
	l.DropPublishes(true)
	if _, err := l.Append(t.Context(), rec(1)); err == nil {
		t.Fatal("Append without a server = nil")
	}
	l.DropPublishes(false)
	if _, err := l.Health(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "last append") {
		t.Errorf("Health after a failed append = %v; want ErrUnavailable", err)
	}
	again(t, l, rec(1))
	if _, err := l.Health(t.Context()); err != nil {
		t.Errorf("Health after an append = %v; want nil", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, rec(2)); err == nil {
		t.Fatal("Append with an ended context = nil")
	}
	if _, err := l.Health(t.Context()); err != nil {
		t.Errorf("Health after a caller left = %v; want nil", err)
	}
	l.FailSync(errors.New("input/output error"))
	if _, err := l.Health(t.Context()); !errors.Is(err, eventlog.ErrUnavailable) || !strings.Contains(err.Error(), "input/output error") {
		t.Errorf("Health after a failed sync = %v; want ErrUnavailable, and why", err)
	}
}

// TestOpenAppliesReplicas: one server can't have three, and must not be thought to.
func TestOpenAppliesReplicas(t *testing.T) {
	js := eventlogtest.Connect(t)
	if _, err := natslog.Open(t.Context(), js, natslog.Config{Replicas: 3}); err == nil {
		t.Error("Open of a new log with 3 replicas on one server = nil; want an error")
	}
	open(t, js, natslog.Config{})
	if _, err := natslog.Open(t.Context(), js, natslog.Config{Replicas: 3}); err == nil {
		t.Error("Open of a log with 3 replicas on one server = nil; want an error")
	}
}
