package projector

import (
	"sync"
	"time"

	"rollcall/eventlog"
)

// RunState is what a projector is doing.
type RunState string

// States of a projector.
const (
	// RunStarting: it has not asked for the lease yet.
	RunStarting RunState = "starting"
	// RunStandby: another process holds the lease.
	RunStandby RunState = "standby"
	// RunCatchingUp: it has not reached the end of the log since it started, or log
	// or store have not answered for so long that it may lag.
	RunCatchingUp RunState = "catching-up"
	// RunLive: it has reached the end of the log, and follows.
	RunLive RunState = "live"
	// RunStopped: Run has returned.
	RunStopped RunState = "stopped"
	// RunFailed: Run has returned an error.
	RunFailed RunState = "failed"
)

// Status is a snapshot of a projector.
type Status struct {
	Name       string   `json:"name"`
	Version    string   `json:"version"`
	State      RunState `json:"state"`
	Bucket     string   `json:"bucket"`
	Generation int      `json:"generation"`
	// Sequence is the last sequence committed, HeadSequence the log's last as
	// of at most a second ago.
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	// Lag is in records, LagSeconds the age of the oldest record not committed.
	Lag        uint64  `json:"lag"`
	LagSeconds float64 `json:"lagSeconds"`
	Parked     int     `json:"parked"`
	// Waiting says what log or store was asked for and has not answered for 5 s
	// or longer, and WaitingSeconds for how long; "" where nothing is overdue.
	Waiting        string  `json:"waiting,omitempty"`
	WaitingSeconds float64 `json:"waitingSeconds,omitempty"`
	// Error is why Run returned; "" while it runs.
	Error string `json:"error,omitempty"`
}

// board is the one place where the goroutines of a run write what readers see.
type board struct {
	mu     sync.Mutex
	status Status // guarded by mu
	// waiting is when the log stored the oldest record not committed; zero
	// if unknown or none. behind is when the lag was first seen.
	waiting time.Time
	behind  time.Time
	// at is the last record folded, stored or not, and read the last one read.
	at, read eventlog.Seq
	// asked is since when an answer of log or store is missing, by what was asked for.
	asked map[string]time.Time
}

// overdue is how long an answer may take before Status says what is waited for.
const overdue = 5 * time.Second

// What log and store are asked for, as Status.Waiting says it.
const (
	waitHead   = "the log to say where it ends"
	waitRecord = "the log's next record"
	waitLease  = "the view's store to be acquired"
	waitLoad   = "the view's store to read entities"
	waitCommit = "the view's store to commit"
	waitProbe  = "the view's store to say how far it is"
	// waitRegistry leaves the engines to go on: it takes nothing from a live view.
	waitRegistry = "the registry of the view's generations"
)

// waits notes that something was asked for. What is waited for already keeps its time.
func (b *board) waits(what string, now time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.asked == nil {
		b.asked = make(map[string]time.Time)
	}
	if _, ok := b.asked[what]; !ok {
		b.asked[what] = now
	}
}

// answered notes that the answer came, or that nobody waits for it any more.
func (b *board) answered(what ...string) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, w := range what {
		delete(b.asked, w)
	}
}

// restart clears what the last lease left.
func (b *board) restart() {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.status.State, b.asked = RunStarting, nil
}

// late fills in what is overdue the longest. A projector that waits for it is not live.
func (b *board) late(s *Status, now time.Time) {
	for what, since := range b.asked {
		d := now.Sub(since)
		if d < overdue {
			continue
		}
		if d.Seconds() > s.WaitingSeconds {
			s.Waiting, s.WaitingSeconds = what, d.Seconds()
		}
		if s.State == RunLive && what != waitRegistry {
			s.State = RunCatchingUp
		}
	}
}

func (b *board) progress(at eventlog.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at = at
}

// begin sets what a task begins with: nothing after at is read yet.
func (b *board) begin(at eventlog.Seq) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.at, b.read = at, at
	delete(b.asked, waitRecord)
}

// idle notes that the log may hold more than was read and handed on.
func (b *board) idle(now time.Time) {
	b.mu.Lock()
	behind := b.read < b.status.HeadSequence
	b.mu.Unlock()
	if behind {
		b.waits(waitRecord, now)
	}
}

// end is the last known end of the log.
func (b *board) end() eventlog.Seq {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.status.HeadSequence
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

// head sets the end of the log.
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

// committed sets the new checkpoint, and when the next known record was stored.
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

// seen notes that a record was read, and when the log stored it.
func (b *board) seen(seq eventlog.Seq, storedAt time.Time) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.read = seq
	delete(b.asked, waitRecord)
	b.status.HeadSequence = max(seq, b.status.HeadSequence)
	if b.waiting.IsZero() {
		b.waiting = storedAt
	}
}

// snapshot returns the status as of now. The lag in seconds is the age of the
// oldest record that is known and not committed; where none is known, the time
// since the lag was first seen.
func (b *board) snapshot(now time.Time) Status {
	b.mu.Lock()
	defer b.mu.Unlock()
	s := b.status
	b.late(&s, now)
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
