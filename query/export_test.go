package query

import "time"

// ReadSlices makes a treat its log as a long one, which is not read as a whole
// for one session.
func (a *API) ReadSlices() { a.wholeLog = 0 }

// FeedAhead sets how long a feed waits for its replica.
func (a *API) FeedAhead(d time.Duration) { a.feeds.Ahead = d }

// StatusOf is the status that answers an error.
func StatusOf(err error) int { return problemOf(err).Status }

// AppendSheet appends a line of a list in the form for spreadsheets.
var AppendSheet = appendSheet
