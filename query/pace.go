package query

import (
	"context"
	"fmt"
	"runtime"
	"time"
)

const (
	// workSlice is how long a read works before it lets others have its core for
	// as long; longestPause bounds that.
	workSlice    = 2 * time.Millisecond
	longestPause = 50 * time.Millisecond
)

// spareCores is how many reads of a kind are at work at once: fewer than there
// are cores, so that one is always left for webhooks and for folding.
func spareCores() int { return max(1, runtime.GOMAXPROCS(0)-1) }

// yield lets everything that is ready to run go first. What reads much calls it
// for each record and row: webhooks then wait for the one that is at work, not for
// the ten milliseconds after which the runtime would stop it.
func yield() { runtime.Gosched() }

// pace bounds how many reads are at work, and has each place rest for as long as
// it was used: readers together take half of the spare cores, whatever they ask
// for, and what they ask for above that waits.
type pace chan struct{}

func newPace(n int) pace { return make(pace, n) }

// enter waits for a place. leave gives it back, after a rest where the work took
// more than a moment; it does not block.
func (p pace) enter(ctx context.Context) (leave func(), err error) {
	select {
	case p <- struct{}{}:
	case <-ctx.Done():
		return nil, fmt.Errorf("wait for a turn to read: %w", ctx.Err())
	}
	began := time.Now()
	return func() {
		worked := time.Since(began)
		if worked < workSlice {
			<-p
			return
		}
		time.AfterFunc(min(worked, longestPause), func() { <-p })
	}, nil
}
