package ingest

import (
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/eventlog"
)

const (
	// remembered is how many deliveries, and bodies, are remembered at least; at
	// most twice as many, in about 10 MB.
	remembered = 32 << 10
	// repeatWindow is how long a delivery that was stored is known for a repeat.
	repeatWindow = 5 * time.Minute
	// bodyInterval is how often a body that was sent too often may come again.
	bodyInterval = 10 * time.Second
)

// turnover is a map that forgets what was not used lately: when its younger
// half is full, the older one is dropped. It holds size to 2 × size entries.
type turnover[K comparable, V any] struct {
	size       int
	young, old map[K]V
}

func (t *turnover[K, V]) get(k K) (v V, ok bool) {
	if v, ok = t.young[k]; ok {
		return v, true
	}
	if v, ok = t.old[k]; ok {
		t.put(k, v)
	}
	return v, ok
}

func (t *turnover[K, V]) put(k K, v V) {
	if t.young == nil || len(t.young) >= t.size {
		t.young, t.old = make(map[K]V), t.young
	}
	t.young[k] = v
}

// limits distinguishes genuine deliveries from replayed ones: a repeat
// costs the source no token, and one body under many delivery uuids is accepted a
// limited number of times. A genuine sender repeats a body when a livestream goes on
// air again, or when it retries under a new uuid.
type limits struct {
	sameBody atomic.Int64 // how often at once; 0 and less: no limit

	mu      sync.Mutex
	repeats turnover[eventlog.RepeatKey, time.Time] // when it was stored
	bodies  turnover[[16]byte, time.Time]           // when all that came is worked off, at one each bodyInterval
}

func newLimits(sameBody int) *limits {
	l := &limits{
		repeats: turnover[eventlog.RepeatKey, time.Time]{size: remembered},
		bodies:  turnover[[16]byte, time.Time]{size: remembered},
	}
	l.sameBody.Store(int64(sameBody))
	return l
}

// stored remembers a delivery that is in the log.
func (l *limits) stored(r *eventlog.Record, now time.Time) {
	key := r.RepeatKey()
	if key.IsZero() {
		return
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	l.repeats.put(key, now)
}

// repeated reports whether a delivery is known to be in the log.
func (l *limits) repeated(r *eventlog.Record, now time.Time) bool {
	key := r.RepeatKey()
	if key.IsZero() {
		return false
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	at, ok := l.repeats.get(key)
	return ok && now.Sub(at) < repeatWindow
}

// body counts a delivery of a body, and refuses one too many.
func (l *limits) body(r *eventlog.Record, now time.Time) *refusal {
	most := l.sameBody.Load()
	if most <= 0 {
		return nil
	}
	sum := eventlog.RepeatSum(r.Source, "", r.Body)
	key := [16]byte(sum[:16])
	l.mu.Lock()
	defer l.mu.Unlock()
	done, _ := l.bodies.get(key)
	if done.Before(now) {
		done = now
	}
	if wait := done.Sub(now) - time.Duration(most-1)*bodyInterval; wait > 0 {
		return &refusal{
			status: http.StatusServiceUnavailable, reason: "same-body",
			detail: "this body came too often under other delivery ids", retryAfter: wait,
		}
	}
	l.bodies.put(key, done.Add(bodyInterval))
	return nil
}
