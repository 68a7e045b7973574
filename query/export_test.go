package query

import (
	"database/sql"
	"time"
)

// ReadSlices makes a treat its log as a long one, which is not read as a whole
// for one session.
func (a *API) ReadSlices() { a.wholeLog = 0 }

// FeedAhead sets how long a feed waits for its replica.
func (a *API) FeedAhead(d time.Duration) { a.feedAhead = d }

// StatusOf is the status that answers an error.
func StatusOf(err error) int { return problemOf(err).Status }

// BeforeWrites has f called before each statement of the writer, which fails
// where f does; loads are written a few rows at a time, each batch in a
// transaction of its own, and full disks tried again at once.
func (r *Replica) BeforeWrites(f func(conn *sql.Conn, statement string) error) {
	r.before, r.loadRows, r.gather, r.fullPause = f, 16, 1, time.Microsecond
}
