package pace

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

const (
	// WorkSlice is how long a read works before it leaves its core to others for as
	// long; longestRest bounds that.
	WorkSlice   = 2 * time.Millisecond
	longestRest = 50 * time.Millisecond
)

// SpareCores is how many reads of a kind work at once: fewer than there are cores,
// so that one is always left for webhooks and for folding.
func SpareCores() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// Yield lets everything that is ready to run go first. What reads much calls it
// for each record and row: webhooks then wait for the one that is at work, not for
// the ten milliseconds after which the runtime would stop it.
func Yield() { runtime.Gosched() }

// Pace is a number of places to work in. Its methods may be used from several
// goroutines.
type Pace struct{ places chan struct{} }

// New makes a Pace of n places.
func New(n int) Pace { return Pace{make(chan struct{}, n)} }

// Enter waits for a place, at the longest until ctx ends. The caller must call
// leave, which does not block: it gives the place back, after a rest where the
// work took more than a moment.
func (p Pace) Enter(ctx context.Context) (leave func(), err error) {
	select {
	case p.places <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to read: %w", ctx.Err())
	}
	began := time.Now()
	return func() {
		worked := time.Since(began)
		if worked < WorkSlice {
			<-p.places
			return
		}
		time.AfterFunc(min(worked, longestRest), func() { <-p.places })
	}, nil
}

// Wait pauses for d, or until ctx ends, which is its error.
func Wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}
