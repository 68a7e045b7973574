package eventlogtest_test

import (
	"context"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
)

// What the server has, and what the client knows, after each moment; and that
// the client finds its way back.
func TestWire(t *testing.T) {
	node := eventlogtest.Server(t)
	if _, err := node.JetStream(t).CreateStream(t.Context(), jetstream.StreamConfig{Name: "S", Subjects: []string{"s.>"}}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name   string
		moment eventlogtest.Moment
		stored bool
		known  bool
	}{
		{"never", eventlogtest.Never, true, true},
		{"before", eventlogtest.Before, false, false},
		{"half", eventlogtest.Half, false, false},
		{"sent", eventlogtest.Sent, true, false},
		{"answered", eventlogtest.Answered, true, false},
		{"lost", eventlogtest.Lost, false, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			wire := &eventlogtest.Wire{Plan: func(subject string) eventlogtest.Moment {
				if subject == "s."+c.name {
					return c.moment
				}
				return eventlogtest.Never
			}}
			nc := node.ConnectTCP(t, nats.SetCustomDialer(wire))
			ctx, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if c.known {
				ctx = t.Context()
			}
			_, err := nc.RequestWithContext(ctx, "s."+c.name, []byte("x"))
			if (err == nil) != c.known {
				t.Errorf("Request() at %s = %v; want an answer: %t", c.name, err, c.known)
			}
			if _, err := nc.RequestWithContext(t.Context(), "s.after", nil); err != nil {
				t.Errorf("Request() after %s = %v; want no error", c.name, err)
			}
			stream, err := node.JetStream(t).Stream(t.Context(), "S")
			if err != nil {
				t.Fatal(err)
			}
			_, err = stream.GetLastMsgForSubject(t.Context(), "s."+c.name)
			for c.stored && err != nil && t.Context().Err() == nil { // it may still be on its way
				_, err = stream.GetLastMsgForSubject(t.Context(), "s."+c.name)
			}
			if stored := err == nil; stored != c.stored {
				t.Errorf("the server has the message of %s: %t; want %t", c.name, stored, c.stored)
			}
		})
	}
}
