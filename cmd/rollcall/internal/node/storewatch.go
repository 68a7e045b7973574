package node

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
	"time"

	"github.com/rs/zerolog"

	"rollcall/eventlog/wire"
)

const (
	// storeInterval is how often the store is checked, storePause the least
	// time between two restarts of the server.
	storeInterval = 500 * time.Millisecond
	storePause    = 5 * time.Second
	// storeProbe is how much must fit on the disk before the server is restarted.
	storeProbe = 1 << 20
)

var errStuck = errors.New("the embedded NATS server could not write to the disk of --data-dir")

// restarter is the embedded server, as the watch sees it: IsStuck reports whether it
// could not write since its last start, Restart starts it again in place.
type restarter interface {
	IsStuck() bool
	Restart(ctx context.Context) error
}

// storeWatch starts the embedded server again after it could not write and can
// again: a file stream's write error is sticky in nats-server, so that a disk
// that was full for a moment would refuse records until a restart.
type storeWatch struct {
	server restarter
	dir    string // the data directory
	log    zerolog.Logger

	mu  sync.Mutex
	err error // why nothing can be stored now; nil: it can
}

// check is the part of /readyz: not ready while nothing can be stored.
func (w *storeWatch) check(context.Context) (string, error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	return "", w.err
}

func (w *storeWatch) set(err error) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.err = err
}

// run watches until ctx ends. It returns an error only where the server did not
// come back.
func (w *storeWatch) run(ctx context.Context) error {
	for said := false; ; {
		if err := wire.Pause(ctx, storeInterval); err != nil {
			return nil
		}
		if !w.server.IsStuck() {
			continue
		}
		w.set(errStuck)
		if err := ProbeStore(w.dir); err != nil {
			if !said {
				w.log.Error().Err(err).Msg("nothing can be stored: make space on the disk of --data-dir")
			}
			said = true
			w.set(err)
			continue
		}
		w.log.Warn().Msg("the embedded server could not write, can now, and is started again")
		if err := w.server.Restart(ctx); err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return fmt.Errorf("start embedded NATS again: %w", err)
		}
		said = false
		w.set(nil)
		if err := wire.Pause(ctx, storePause); err != nil {
			return nil
		}
	}
}

// ProbeStore reports whether some more can be written and synced.
func ProbeStore(dir string) error {
	f, err := os.CreateTemp(dir, ".probe-*")
	if err != nil {
		return fmt.Errorf("write to the data directory: %w", err)
	}
	_, err = f.Write(make([]byte, storeProbe))
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close(), os.Remove(f.Name())); err != nil {
		return fmt.Errorf("write to the data directory: %w", err)
	}
	return nil
}
