package eventlogtest_test

import (
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
)

func TestServerKeepsStreamAcrossRestart(t *testing.T) {
	node := eventlogtest.Server(t, eventlogtest.Options{SyncAlways: true})
	js := node.JetStream(t)
	ctx := t.Context()
	if _, err := js.CreateStream(ctx, jetstream.StreamConfig{Name: "S", Subjects: []string{"s"}}); err != nil {
		t.Fatal(err)
	}
	if _, err := js.Publish(ctx, "s", []byte("x")); err != nil {
		t.Fatal(err)
	}
	url := node.URL()
	node.Restart(t)
	if got := node.URL(); got != url {
		t.Errorf("URL() after Restart = %q; want %q", got, url)
	}
	for name, nc := range map[string]jetstream.JetStream{"in process": node.JetStream(t), "before restart": js} {
		s, err := nc.Stream(ctx, "S")
		if err != nil {
			t.Fatalf("Stream (%s) = %v", name, err)
		}
		if got := s.CachedInfo().State.Msgs; got != 1 {
			t.Errorf("records after Restart (%s) = %d; want 1", name, got)
		}
	}
	if nc := node.ConnectTCP(t); !nc.IsConnected() {
		t.Error("ConnectTCP: not connected")
	}
}

func TestServerWithoutPort(t *testing.T) {
	js := eventlogtest.Connect(t, eventlogtest.Options{NoListen: true})
	if _, err := js.AccountInfo(t.Context()); err != nil {
		t.Errorf("AccountInfo = %v", err)
	}
}
