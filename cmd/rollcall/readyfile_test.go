package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/node"
)

// TestReadyFileOfAKilledProcess proves that whoever waits for the file of a new
// process does not read that of one before, and that a stop works without the file
// where somebody removed it.
func TestReadyFileOfAKilledProcess(t *testing.T) {
	file := writeFile(t, "ready.json", []byte(`{"ingest":"127.0.0.1:1"}`))
	n := testNode(t, t.TempDir(), "--ready-file", file)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := n.Run(ctx); err != nil { // asked to stop before it is ready
		t.Logf("run() = %v", err)
	}
	if b, err := os.ReadFile(file); err == nil {
		t.Errorf("ready file of a process before still says %s; want it removed at the start", b)
	}
	again := node.New(testNode(t, t.TempDir(), "--ready-file", file).Config, zerolog.Nop())
	stop := runNode(t, again)
	at, err := waitReady(t.Context(), file, time.Minute)
	if err != nil || at != again.Addresses() {
		t.Fatalf("ready file = %+v, %v; want %+v", at, err, again.Addresses())
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := stop(); err != nil {
		t.Errorf("run() = %v; want no error where the ready file is gone", err)
	}
}

// TestReadyFileOfOthers proves that no start removes what can't be a ready file:
// a link as /dev/stdout is one, or a directory that happens to be empty.
func TestReadyFileOfOthers(t *testing.T) {
	dir := t.TempDir()
	link, empty := filepath.Join(dir, "stdout"), filepath.Join(dir, "empty")
	if err := errors.Join(os.Symlink(writeFile(t, "target", nil), link), os.Mkdir(empty, 0o700)); err != nil {
		t.Fatal(err)
	}
	for _, file := range []string{link, empty} {
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if err := testNode(t, t.TempDir(), "--ready-file", file).Run(ctx); err == nil || !strings.Contains(err.Error(), "no regular file") {
			t.Errorf("run(--ready-file %s) = %v; want an error that says that it is no regular file", filepath.Base(file), err)
		}
		if _, err := os.Lstat(file); err != nil {
			t.Errorf("after run(--ready-file %s): %v; want it left as it was", filepath.Base(file), err)
		}
	}
}

// TestSourceRate gives every source a rate by a flag.
func TestSourceRate(t *testing.T) {
	n := testNode(t, t.TempDir(), "--source-rate", "7")
	if got := n.Handler.Sources[0].Rate; got != 7 {
		t.Errorf("rate of a source with --source-rate 7 = %v; want 7", got)
	}
}
