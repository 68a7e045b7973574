package projector

import (
	"sync"
	"time"

	"rollcall/eventlog"
)

// State is what a projector, or a generation, is doing.
type State string

// States of a projector, then those that a rebuild adds for a generation.
const (
	// StateStarting: before the lease is asked for.
	StateStarting State = "starting"
	// StateStandby: another process holds the lease.
	StateStandby State = "standby"
	// StateCatchingUp: behind the end of the log since it started.
	StateCatchingUp State = "catching-up"
	// StateLive: it has met the end of the log, and follows.
	StateLive State = "live"
	// StateStopped: Run has returned.
	StateStopped State = "stopped"
	// StateFailed: Run has returned an error, or a rebuild was given up.
	StateFailed State = "failed"

	// StateStaging: a generation's bucket is made, nothing is in it.
	StateStaging State = "staging"
	// StateReady: a generation has caught up and waits for promotion.
	StateReady State = "ready"
	// StateRetired: a generation that was in force and is kept for a rollback.
	StateRetired State = "retired"
)

// Status is a snapshot of a projector.
type Status struct {
	Name       string `json:"name"`
	Version    string `json:"version"`
	State      State  `json:"state"`
	Bucket     string `json:"bucket"`
	Generation int    `json:"generation"`
	// Sequence is the last sequence committed, HeadSequence the log's last as
	// of at most a second ago.
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	// Lag is in records, LagSeconds the age of the oldest record not committed.
	Lag        uint64  `json:"lag"`
	LagSeconds float64 `json:"lagSeconds"`
	Parked     int     `json:"parked"`
	// Error is why Run returned; "" while it runs.
	Error string `json:"error,omitempty"`
}

// board is the one place where the goroutines of a run write what readers see.
type board struct {
	mu     sync.Mutex
	status Status // guarded by mu
	// waiting is when the log stored the oldest record not committed; zero
	// where unknown or none. behind is when the lag was first seen.
	waiting time.Time
	behind  time.Time
	// at is the last record folded, stored or not.
	at eventlog.Seq
}

func (b *board) progress(at eventlog.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = at
}

func (b *board) folded() eventlog.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.at
}

func (b *board) set(f func(s *Status)) {
	b.mu.Lock()
	defer b.mu.Unlock()
	f(&b.status)
}

// head takes a fresh end of the log.
func (b *board) head(last eventlog.Seq, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.HeadSequence = max(last, b.status.Sequence)
	if b.status.HeadSequence == b.status.Sequence {
		b.behind = time.Time{}
	} else if b.behind.IsZero() {
		b.behind = now
	}
}

// committed takes a new checkpoint and when the next record known was stored.
func (b *board) committed(cp Checkpoint, waiting time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.Sequence = cp.Sequence
	b.status.Parked = cp.Parked
	b.status.HeadSequence = max(cp.Sequence, b.status.HeadSequence)
	b.waiting = waiting
	if b.status.HeadSequence == b.status.Sequence {
		b.behind = time.Time{}
	}
}

// seen takes the sequence of a record read and when the log stored it.
func (b *board) seen(seq eventlog.Seq, storedAt time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.HeadSequence = max(seq, b.status.HeadSequence)
	if b.waiting.IsZero() {
		b.waiting = storedAt
	}
}

func (b *board) snapshot(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	if s.HeadSequence <= s.Sequence {
		return s
	}
	s.Lag = uint64(s.HeadSequence - s.Sequence)
	since := b.waiting
	if since.IsZero() || !b.behind.IsZero() && b.behind.Before(since) {
		since = b.behind
	}
	if !since.IsZero() {
		s.LagSeconds = max(0, now.Sub(since).Seconds())
	}
	return s
}
