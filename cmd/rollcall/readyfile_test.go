package main

import (
	"context"
	"os"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestReadyFileOfAKilledProcess proves that whoever waits for the file of a new
// process does not read that of one before, and that a stop does not mind a file
// that somebody removed.
func TestReadyFileOfAKilledProcess(t *testing.T) {
	file := writeFile(t, "ready.json", []byte(`{"ingest":"127.0.0.1:1"}`))
	n := testNode(t, t.TempDir(), "--ready-file", file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.run(ctx); err != nil { // told to stop before it is ready
		t.Logf("run() = %v", err)
	}
	if b, err := os.ReadFile(file); err == nil {
		t.Errorf("ready file of a process before still says %s; want it removed at the start", b)
	}
	again := newNode(testNode(t, t.TempDir(), "--ready-file", file).nodeConfig, zerolog.Nop())
	again.ready = make(chan struct{})
	stop := runNode(t, again)
	at, err := waitReady(t.Context(), file, time.Minute)
	if err != nil || at != again.addresses() {
		t.Fatalf("ready file = %+v, %v; want %+v", at, err, again.addresses())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("run() = %v; want no error where the ready file is gone", err)
	}
}

// TestSourceRate gives every source a rate by a flag.
func TestSourceRate(t *testing.T) {
	n := testNode(t, t.TempDir(), "--source-rate", "7")
	if got := n.sources[0].Rate; got != 7 {
		t.Errorf("rate of a source with --source-rate 7 = %v; want 7", got)
	}
}
