package wire_test

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

const stream = "S"

// fill makes the stream, and stores messages of the subjects s.<from> to s.<to>.
func fill(t *testing.T, js jetstream.JetStream, from, to int) {
	t.Helper()
	if _, err := js.CreateOrUpdateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{"s.>"}, MaxMsgsPerSubject: 1}); err != nil {
		t.Fatal(err)
	}
	for n := from; n <= to; n++ {
		if _, err := js.Publish(t.Context(), fmt.Sprintf("s.%d", n), fmt.Appendf(nil, "%d", n)); err != nil {
			t.Fatal(err)
		}
	}
}

// collect returns a Take that keeps sequences, and ends the read at one.
func collect(got *[]uint64, until uint64) func(context.Context, *wire.Message) error {
	return func(_ context.Context, m *wire.Message) error {
		*got = append(*got, m.Sequence)
		if m.Sequence == until {
			return wire.ErrStop
		}
		return nil
	}
}

func bounded(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	t.Cleanup(cancel)
	return ctx
}

func TestReaderEndsAtTheEnd(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 5)
	for after, want := range map[uint64]string{0: "[1 2 3 4 5]", 3: "[4 5]", 5: "[]", 9: "[]"} {
		var got []uint64
		r := &wire.Reader{JS: js, Stream: stream, After: after, Take: collect(&got, 0)}
		if err := r.Read(bounded(t)); err != nil || fmt.Sprint(got) != want {
			t.Errorf("Read() after %d = %v, %v; want %s", after, got, err, want)
		}
		if len(got) > 0 && r.After != 5 {
			t.Errorf("After = %d; want 5", r.After)
		}
	}
}

// What a consumer had before it may go away before it is delivered.
func TestReaderEndsWherePendingMessagesAreGone(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 3)
	var got []uint64
	r := &wire.Reader{JS: js, Stream: stream, Take: collect(&got, 0), Begin: func(ctx context.Context, _ wire.Consumer) error {
		s, err := js.Stream(ctx, stream)
		if err != nil {
			return err
		}
		return s.Purge(ctx)
	}}
	if err := r.Read(bounded(t)); err != nil || len(got) != 0 {
		t.Errorf("Read() = %v with %v; want an end without a message", err, got)
	}
}

// Across restarts nothing comes twice and nothing is left out, and each consumer
// is proven before it delivers.
func TestReaderGoesOnAcrossRestarts(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	fill(t, js, 1, 3)
	var got []uint64
	var begun []string
	r := &wire.Reader{
		JS: js, Stream: stream, Follow: true,
		Begin: func(context.Context, wire.Consumer) error {
			begun = append(begun, fmt.Sprint(got))
			return nil
		},
	}
	r.Take = func(_ context.Context, m *wire.Message) error {
		got = append(got, m.Sequence)
		switch m.Sequence {
		case 3, 6:
			node.Restart(t)
			fill(t, node.JetStream(t), len(got)+1, len(got)+3)
		case 9:
			return wire.ErrStop
		}
		return nil
	}
	if err := r.Read(bounded(t)); err != nil || fmt.Sprint(got) != "[1 2 3 4 5 6 7 8 9]" {
		t.Errorf("Read() = %v, %v; want 1 to 9, each once", got, err)
	}
	if want := []string{"[]", "[1 2 3]", "[1 2 3 4 5 6]"}; !slices.Equal(begun, want) {
		t.Errorf("consumers began after %v; want %v", begun, want)
	}
}

func TestReaderHooks(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 4)
	final, begun := errors.New("another past"), 0
	var got []uint64
	r := &wire.Reader{JS: js, Stream: stream, Follow: true, Take: collect(&got, 0)}
	var failed []error
	r.Failed = func(err error) { failed = append(failed, err) }
	odd := errors.New("no answer")
	r.Begin = func(context.Context, wire.Consumer) error {
		switch begun++; begun {
		case 1:
			return odd // tried again
		case 2:
			r.After = 3 // read in another way
			return wire.ErrAgain
		case 3:
			if r.After != 3 {
				t.Errorf("After = %d; want 3", r.After)
			}
			return wire.End(final)
		}
		return nil
	}
	if err := r.Read(bounded(t)); err != final || len(got) != 0 { //nolint:errorlint // exactly this one
		t.Errorf("Read() = %v with %v; want %v and no message", err, got, final)
	}
	if len(failed) != 1 || !errors.Is(failed[0], odd) {
		t.Errorf("Failed got %v; want %v", failed, odd)
	}
}

func TestReaderLatest(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 3)
	var got []uint64
	r := &wire.Reader{JS: js, Stream: stream, Filters: []string{"s.2"}, Latest: true, Follow: true, After: 3, Take: collect(&got, 2)}
	if err := r.Read(bounded(t)); err != nil || fmt.Sprint(got) != "[2]" {
		t.Errorf("Read() = %v, %v; want the last of s.2", got, err)
	}
}

func TestReaderGivesUp(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	r := &wire.Reader{JS: js, Stream: stream, Missing: -1}
	if err := r.Read(bounded(t)); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Read() of a missing stream = %v; want %v", err, jetstream.ErrStreamNotFound)
	}
	r = &wire.Reader{JS: js, Stream: stream, Missing: time.Millisecond, Away: -1}
	if err := r.Read(bounded(t)); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("Read() of a missing stream = %v; want %v", err, jetstream.ErrStreamNotFound)
	}
	fill(t, js, 1, 1)
	away := errors.New("no answer")
	r = &wire.Reader{JS: js, Stream: stream, Away: -1, Begin: func(context.Context, wire.Consumer) error { return away }}
	if err := r.Read(bounded(t)); !errors.Is(err, away) {
		t.Errorf("Read() = %v; want %v", err, away)
	}
	ctx, cancel := context.WithCancel(t.Context())
	r = &wire.Reader{JS: js, Stream: stream, Follow: true, Take: func(context.Context, *wire.Message) error { cancel(); return nil }}
	if err := r.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read() = %v; want %v", err, context.Canceled)
	}
}

// Somebody who learned the reader's inbox has the server deliver to it what
// another stream holds, or what another consumer of this one gets, or publishes
// to it.
func TestReaderTakesItsOwnConsumerOnly(t *testing.T) {
	push := func(name string) func(jetstream.JetStream, string) error {
		return func(js jetstream.JetStream, inbox string) error {
			_, err := js.CreatePushConsumer(t.Context(), name, jetstream.ConsumerConfig{DeliverSubject: inbox, AckPolicy: jetstream.AckNonePolicy})
			return err
		}
	}
	for name, attack := range map[string]func(js jetstream.JetStream, inbox string) error{
		"other stream":   push("OTHER"),
		"other consumer": push(stream),
		"plain message":  func(js jetstream.JetStream, inbox string) error { return js.Conn().Publish(inbox, []byte("forged")) },
		"plain with reply": func(js jetstream.JetStream, inbox string) error {
			return js.Conn().PublishRequest(inbox, "a", []byte("forged"))
		},
	} {
		t.Run(name, func(t *testing.T) {
			node := eventlogtest.Server(t)
			js, spy := node.JetStream(t), node.JetStream(t)
			fill(t, js, 1, 1)
			if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "OTHER", Subjects: []string{"o"}}); err != nil {
				t.Fatal(err)
			}
			if _, err := js.Publish(t.Context(), "o", []byte("forged")); err != nil {
				t.Fatal(err)
			}
			requests, err := spy.Conn().SubscribeSync("$JS.API.CONSUMER.MSG.NEXT.>")
			if err != nil {
				t.Fatal(err)
			}
			if err := spy.Conn().Flush(); err != nil {
				t.Fatal(err)
			}
			var got []uint64
			begun := 0
			r := &wire.Reader{JS: js, Stream: stream, Follow: true, After: 1, Take: collect(&got, 2)}
			r.Begin = func(context.Context, wire.Consumer) error {
				begun++
				return nil
			}
			r.Failed = func(error) { fill(t, js, 2, 2) } // what it takes afterwards
			attacked := make(chan error, 1)
			go func() {
				m, err := requests.NextMsgWithContext(bounded(t))
				if err == nil {
					err = attack(spy, m.Reply)
				}
				attacked <- err
			}()
			if err := r.Read(bounded(t)); err != nil || fmt.Sprint(got) != "[2]" || begun < 2 {
				t.Errorf("Read() = %v, %v through %d consumers; want [2], nil, 2", got, err, begun)
			}
			if err := <-attacked; err != nil {
				t.Errorf("attack: %v", err)
			}
		})
	}
}

// What a consumer delivers may get lost on the way, be dropped by a client that is
// too slow, or go to somebody else who asks for it: the reader sees by the
// deliveries' numbers that one is missing, and another consumer begins where it was.
func TestReaderSeesALostDelivery(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 3)
	var got []uint64
	begun := 0
	r := &wire.Reader{JS: js, Stream: stream, Follow: true, Take: collect(&got, 3)}
	r.Begin = func(ctx context.Context, c wire.Consumer) error {
		if begun++; begun > 1 {
			return nil
		}
		_, err := js.Conn().RequestWithContext(ctx, "$JS.API.CONSUMER.MSG.NEXT."+stream+"."+c.Name, []byte("1"))
		return err
	}
	if err := r.Read(bounded(t)); err != nil || fmt.Sprint(got) != "[1 2 3]" || begun != 2 {
		t.Errorf("Read() = %v, %v through %d consumers; want [1 2 3], nil, 2", got, err, begun)
	}
}

// TestWatch: a read that can't go on is listed with how long, and the last reason,
// until it goes on.
func TestWatch(t *testing.T) {
	js := eventlogtest.Connect(t)
	fill(t, js, 1, 1)
	var w wire.Watch
	tries := 0
	var stuck []wire.Stuck
	r := &wire.Reader{JS: js, Stream: stream, Follow: true}
	r.Begin = func(context.Context, wire.Consumer) error {
		if tries++; tries < 3 {
			return fmt.Errorf("try %d", tries)
		}
		stuck = w.Stuck(0)
		return nil
	}
	r.Take = func(context.Context, *wire.Message) error {
		if got := w.Stuck(0); len(got) != 0 {
			t.Errorf("Stuck(0) of a read that goes on = %v; want none", got)
		}
		return wire.ErrStop
	}
	began := time.Now()
	if err := r.Read(wire.WithWatch(bounded(t), &w)); err != nil {
		t.Fatal(err)
	}
	if len(stuck) != 1 || stuck[0].Stream != stream || stuck[0].Err.Error() != "try 2" || stuck[0].Since.Before(began) {
		t.Errorf("Stuck(0) after two tries = %v; want one of %s, that says try 2", stuck, stream)
	}
	// One that ends is stuck no more; one that has not been for long is not listed.
	r = &wire.Reader{JS: js, Stream: stream, Follow: true, Away: -1, Begin: func(context.Context, wire.Consumer) error { return errors.New("no") }}
	r.Failed = func(error) { t.Error("Failed was called; want an end at once") }
	if err := r.Read(wire.WithWatch(bounded(t), &w)); err == nil || len(w.Stuck(0)) != 0 {
		t.Errorf("Stuck(0) after Read() = %v is %v; want none", err, w.Stuck(0))
	}
	two := &wire.Reader{JS: js, Stream: stream, Follow: true}
	ctx, cancel := context.WithCancel(wire.WithWatch(bounded(t), &w))
	two.Begin = func(context.Context, wire.Consumer) error { return errors.New("no") }
	two.Failed = func(error) {
		if got := w.Stuck(0); len(got) != 1 {
			t.Errorf("Stuck(0) = %v; want one", got)
		}
		if got := w.Stuck(time.Hour); len(got) != 0 {
			t.Errorf("Stuck(an hour) = %v; want none", got)
		}
		cancel()
	}
	if err := two.Read(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("Read() = %v; want %v", err, context.Canceled)
	}
}

func TestParseDelivery(t *testing.T) {
	for reply, want := range map[string]string{
		"$JS.ACK.S.c.1.7.3.5.2":                      "S c 7 3 5 2",
		"$JS.ACK.hub.account.S.c.1.7.3.5.2":          "S c 7 3 5 2",
		"$JS.ACK._.account.S.c.1.7.3.5.2.token":      "S c 7 3 5 2",
		"$JS.ACK.S.c.1.7.3.5":                        "",
		"$JS.ACK.S.c.1.x.3.5.2":                      "",
		"$JS.ACK.S.c.1.7.3.99999999999999999999.2":   "",
		"$JS.ACK.S.c.1.7.3.9223372036854775807.2":    "S c 7 3 9223372036854775807 2",
		"$JS.ACK.S.c.1.7.3.9223372036854775808.2":    "",
		"_INBOX.S.c.1.7.3.5.2":                       "",
		"":                                           "",
		"$JS.ACK.S.c.1.18446744073709551615.3.5.0":   "S c 18446744073709551615 3 5 0",
		"$JS.ACK.S.c.1.18446744073709551616.3.5.0.1": "",
	} {
		a, err := wire.ParseDelivery([]byte(reply))
		got := ""
		if err == nil {
			got = fmt.Sprintf("%s %s %d %d %d %d", a.Stream, a.Consumer, a.Sequence, a.Number, a.Time.UnixNano(), a.Pending)
		}
		if got != want {
			t.Errorf("ParseDelivery(%q) = %q, %v; want %q", reply, got, err, want)
		}
	}
}

func TestLeader(t *testing.T) {
	js := eventlogtest.Connect(t)
	if _, err := wire.LeaderLast(bounded(t), js, stream, "s.1"); !errors.Is(err, jetstream.ErrStreamNotFound) {
		t.Errorf("LeaderLast() without a stream = %v; want %v", err, jetstream.ErrStreamNotFound)
	}
	fill(t, js, 1, 2)
	m := nats.NewMsg("s.2")
	m.Header.Set("A", "b")
	if _, err := js.PublishMsg(bounded(t), m); err != nil {
		t.Fatal(err)
	}
	got, err := wire.LeaderLast(bounded(t), js, stream, "s.2")
	if err != nil || got.Sequence != 3 || got.Subject != "s.2" || got.Header.Get("A") != "b" || got.Time.IsZero() {
		t.Errorf("LeaderLast(s.2) = %+v, %v; want message 3", got, err)
	}
	if got, err := wire.LeaderMessage(bounded(t), js, stream, 1); err != nil || string(got.Data) != "1" {
		t.Errorf("LeaderMessage(1) = %+v, %v; want 1", got, err)
	}
	for _, err := range []error{
		func() error { _, err := wire.LeaderMessage(bounded(t), js, stream, 2); return err }(),
		func() error { _, err := wire.LeaderLast(bounded(t), js, stream, "s.7"); return err }(),
	} {
		if !errors.Is(err, jetstream.ErrMsgNotFound) {
			t.Errorf("what is not there = %v; want %v", err, jetstream.ErrMsgNotFound)
		}
	}
}

func TestAPI(t *testing.T) {
	nc := eventlogtest.Server(t).Connect(t)
	plain, err1 := jetstream.New(nc)
	domain, err2 := jetstream.NewWithDomain(nc, "hub")
	prefix, err3 := jetstream.NewWithAPIPrefix(nc, "js.a")
	if err := errors.Join(err1, err2, err3); err != nil {
		t.Fatal(err)
	}
	for js, want := range map[jetstream.JetStream]string{plain: "$JS.API.INFO", domain: "$JS.hub.API.INFO", prefix: "js.a.INFO"} {
		if got := wire.API(js, "INFO"); got != want {
			t.Errorf("API(INFO) = %s; want %s", got, want)
		}
	}
}

// TestLeaderDoesNotAnswer: a question that is lost is asked again, and one that stays
// without an answer ends, also where its context has no end.
func TestLeaderDoesNotAnswer(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	fill(t, node.JetStream(t), 1, 1)
	for _, c := range []struct {
		lost int64
		want error
	}{{1, nil}, {1000, context.DeadlineExceeded}} {
		var asked atomic.Int64
		w := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
			if subject == "$JS.API.STREAM.MSG.GET.S" && asked.Add(1) <= c.lost {
				return eventlogtest.Lost
			}
			return eventlogtest.Never
		}}
		js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(w)))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := wire.LeaderLast(t.Context(), js, stream, "s.1"); !errors.Is(err, c.want) || asked.Load() < 2 {
			t.Errorf("LeaderLast() with %d answers lost = %v after %d questions; want %v", c.lost, err, asked.Load(), c.want)
		}
	}
}

// TestIdleReaderSeesThatItsConsumerIsGone: looks at whether something is missing don't keep a
// reader from noticing that its consumer says nothing any more.
func TestIdleReaderSeesThatItsConsumerIsGone(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	fill(t, node.JetStream(t), 1, 1)
	w := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
		if strings.HasPrefix(subject, "$JS.API.CONSUMER.MSG.NEXT.S.") {
			return eventlogtest.Lost
		}
		return eventlogtest.Never
	}}
	js, err := jetstream.New(node.ConnectTCP(t, nats.SetCustomDialer(w)))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(bounded(t))
	defer cancel()
	var failed error
	r := &wire.Reader{
		JS: js, Stream: stream, Follow: true, Take: collect(new([]uint64), 0),
		Idle: func(context.Context) error { return nil }, Failed: func(err error) { failed = err; cancel() },
	}
	if err := r.Read(ctx); !errors.Is(err, context.Canceled) || !errors.Is(failed, jetstream.ErrNoHeartbeat) {
		t.Errorf("Read() through a consumer that says nothing = %v, after %v; want %v", err, failed, jetstream.ErrNoHeartbeat)
	}
}
