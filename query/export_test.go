package query

import (
	"context"
	"database/sql"
	"runtime"
	"time"

	"rollcall/eventlog"
)

// ReadSlices makes a treat its log as a long one, which is not read as a whole
// for one session.
func (a *API) ReadSlices() { a.wholeLog = 0 }

// FeedAhead sets how long a feed waits for its replica.
func (a *API) FeedAhead(d time.Duration) { a.feedAhead = d }

// Bounds of the reads of the log.
const LogWaits = logWaits

// LogReads is the most passes at once.
func LogReads() int { return spareCores() }

// Turns is the log as the API reads it.
type Turns struct{ *turns }

// NewTurns is the log as the API reads it.
func NewTurns(l Log) Turns { return Turns{newTurns(l)} }

// Scan is scan.
func (t Turns) Scan(ctx context.Context, opts eventlog.ReadOptions, visit func(*eventlog.Record) bool) error {
	return t.scan(ctx, opts, visit)
}

// Reach is reach.
func (t Turns) Reach(ctx context.Context, head eventlog.Head, least eventlog.Seq) (eventlog.Head, error) {
	return t.reach(ctx, head, least)
}

// WaitForRiders returns once so many wait for one pass.
func (t Turns) WaitForRiders(n int) {
	t.until(func() bool {
		for _, p := range t.waiting {
			if len(p.riders) == n && p.active == n {
				return true
			}
		}
		return false
	})
}

// WaitForWaits returns once so many wait for a record.
func (t Turns) WaitForWaits(n int) { t.until(func() bool { return t.tail.waiting == n }) }

func (t Turns) until(met func() bool) {
	for {
		t.mu.Lock()
		ok := met()
		t.mu.Unlock()
		if ok {
			return
		}
		runtime.Gosched()
	}
}

// StatusOf is the status that answers an error.
func StatusOf(err error) int { return problemOf(err).Status }

// BeforeWrites has f called before each statement of the writer, which fails
// where f does; loads are written a few rows at a time, each batch in a
// transaction of its own, and full disks tried again at once.
func (r *Replica) BeforeWrites(f func(conn *sql.Conn, statement string) error) {
	r.before, r.loadRows, r.gather, r.fullPause = f, 16, 1, time.Microsecond
}
