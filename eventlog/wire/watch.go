package wire

import (
	"context"
	"slices"
	"sync"
	"time"
)

// Watch collects the reads that can't go on, such as those that are refused a
// consumer, so that a process can report what it waits for. The zero value is ready.
// Its methods may be called from several goroutines.
type Watch struct {
	mu    sync.Mutex
	stuck map[*Reader]Stuck
}

// Stuck is a read that can't go on.
type Stuck struct {
	Stream string
	Since  time.Time // of the first failure since it last had a consumer
	Err    error     // why the last try failed
}

type watchKey struct{}

// WithWatch has the reads that get ctx report to w.
func WithWatch(ctx context.Context, w *Watch) context.Context {
	return context.WithValue(ctx, watchKey{}, w)
}

// Stuck lists the reads that have not gone on for d or longer, the longest first.
func (w *Watch) Stuck(d time.Duration) (all []Stuck) {
	w.mu.Lock()
	defer w.mu.Unlock()
	for _, s := range w.stuck {
		if time.Since(s.Since) >= d {
			all = append(all, s)
		}
	}
	slices.SortFunc(all, func(a, b Stuck) int { return a.Since.Compare(b.Since) })
	return all
}

// failed notes that a try failed, moves that a read goes on, or is over.
func (w *Watch) failed(r *Reader, err error) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	s, ok := w.stuck[r]
	if !ok {
		s = Stuck{Stream: r.Stream, Since: time.Now()}
	}
	s.Err = err
	if w.stuck == nil {
		w.stuck = map[*Reader]Stuck{}
	}
	w.stuck[r] = s
}

func (w *Watch) moves(r *Reader) {
	if w == nil {
		return
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	delete(w.stuck, r)
}

func watchOf(ctx context.Context) *Watch {
	w, _ := ctx.Value(watchKey{}).(*Watch)
	return w
}
