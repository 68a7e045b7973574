package query

// ReadSlices makes a treat its log as a long one, which is not read as a whole
// for one session.
func (a *API) ReadSlices() { a.wholeLog = 0 }
