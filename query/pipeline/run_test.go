package pipeline

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// TestRunListens: what processes publish is shown until ctx ends, and a connection
// that is closed is an error.
func TestRunListens(t *testing.T) {
	nc := eventlogtest.Server(t).Connect(t)
	p := New(nil)
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx, nc) }()
	m, err := counted(processA, 1, 2, 3, 4).Message()
	if err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(eventlogtest.Patience); len(p.Overview().Processes) == 0; {
		if err := nc.PublishMsg(m); err != nil { // whoever listens already gets it
			t.Fatal(err)
		}
		if time.Now().After(deadline) || wire.Pause(ctx, time.Millisecond) != nil {
			t.Fatal("a status that was published is not shown")
		}
	}
	cancel()
	if err := <-done; !errors.Is(err, context.Canceled) && err != nil {
		t.Errorf("Run() = %v; want the end of ctx", err)
	}
	nc.Close()
	ctx, cancel = context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()
	if err := p.Run(ctx, nc); err == nil || ctx.Err() != nil {
		t.Error("Run() without a connection = nil; want an error")
	}
}
