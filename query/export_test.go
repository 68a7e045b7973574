package query

// ReadSlices makes a treat its log as a long one, which is not read as a whole
// for one session.
func (a *API) ReadSlices() { a.wholeLog = 0 }

// Bounds of the reads of the log.
const (
	LogReads = logReads
	LogWaits = logWaits
)

// NewTurns is the log as the API reads it.
func NewTurns(l Log) Log { return newTurns(l) }

// StatusOf is the status that answers an error.
func StatusOf(err error) int { return problemOf(err).Status }
