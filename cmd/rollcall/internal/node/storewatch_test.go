package node

import (
	"context"
	"errors"
	"io/fs"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// stuckServer could not write, and must not be started again while nothing can be.
type stuckServer struct{ t *testing.T }

func (stuckServer) IsStuck() bool { return true }

func (s stuckServer) Restart(context.Context) error {
	s.t.Error("Restart() where nothing can be written; want the watch to wait")
	return nil
}

// TestStoreProbe: a disk that takes nothing is not taken for one that does.
func TestStoreProbe(t *testing.T) {
	if err := ProbeStore(t.TempDir()); err != nil {
		t.Errorf("probe of a directory = %v; want nil", err)
	}
	if err := ProbeStore(filepath.Join(t.TempDir(), "missing")); err == nil {
		t.Errorf("probe of a directory that is not there = nil; want an error")
	}
	w := &storeWatch{server: stuckServer{t}, dir: filepath.Join(t.TempDir(), "missing"), log: zerolog.Nop()}
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	done := make(chan error, 1)
	go func() { done <- w.run(ctx) }()
	for {
		if _, err := w.check(ctx); errors.Is(err, fs.ErrNotExist) {
			break // not started again: nothing can be written yet
		}
		if err := wire.Pause(ctx, storeInterval/10); err != nil {
			t.Fatal(err)
		}
	}
	cancel()
	if err := <-done; err != nil {
		t.Errorf("run() on a disk that takes nothing = %v; want it to wait", err)
	}
}

// stuckOnce could not write, and looks at what is said of it when it is started again.
type stuckOnce struct {
	w    *storeWatch
	said error
}

func (*stuckOnce) IsStuck() bool { return true }

func (s *stuckOnce) Restart(ctx context.Context) error {
	_, s.said = s.w.check(ctx)
	return errors.New("it does not start")
}

// TestStuckServerIsNotReady: a server that could not write is not ready until it was
// started again, and ends the process where it can't be.
func TestStuckServerIsNotReady(t *testing.T) {
	t.Parallel()
	s := &stuckOnce{w: &storeWatch{dir: t.TempDir(), log: zerolog.Nop()}}
	s.w.server = s
	if err := s.w.run(t.Context()); err == nil || !strings.Contains(err.Error(), "it does not start") {
		t.Errorf("run() of a server that does not start = %v; want its error", err)
	}
	if !errors.Is(s.said, errStuck) {
		t.Errorf("check() before the start = %v; want %v", s.said, errStuck)
	}
}
