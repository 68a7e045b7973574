package web

import "net/http"

// Answer is an answer to a request that is watched as it goes out.
type Answer struct {
	http.ResponseWriter
	Status int   // 0 until there is one
	Bytes  int64 // of the body
}

// WriteHeader notes the status.
func (a *Answer) WriteHeader(status int) {
	if a.Status == 0 {
		a.Status = status
	}
	a.ResponseWriter.WriteHeader(status)
}

// Write counts the body. Without another status it is 200.
func (a *Answer) Write(b []byte) (int, error) {
	if a.Status == 0 {
		a.Status = http.StatusOK
	}
	n, err := a.ResponseWriter.Write(b)
	a.Bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (a *Answer) Unwrap() http.ResponseWriter { return a.ResponseWriter }
