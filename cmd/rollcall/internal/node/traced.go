package node

import (
	"net/http"
	"time"
)

// observer makes spans of reads; nil: there are none to make.
func (n *Node) observer() func(*http.Request, time.Time, string, int) {
	if n.Traces == nil {
		return nil
	}
	return func(req *http.Request, begin time.Time, route string, status int) {
		n.Traces.Served(req, begin, route, status, "")
	}
}

// traced makes spans of deliveries.
func (n *Node) traced(next http.Handler) http.Handler {
	if n.Traces == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		begin, out := time.Now(), &noted{ResponseWriter: w}
		defer func() {
			n.Traces.Served(r, begin, "/webhooks/{source}", out.status, w.Header().Get("Rollcall-Sequence"))
		}()
		next.ServeHTTP(out, r)
	})
}

// noted is an answer whose status is noted.
type noted struct {
	http.ResponseWriter
	status int
}

// WriteHeader notes the status.
func (w *noted) WriteHeader(status int) {
	w.status = status
	w.ResponseWriter.WriteHeader(status)
}

// Write is of an answer whose status is 200, where it has no other.
func (w *noted) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	return w.ResponseWriter.Write(b)
}

// Unwrap is for http.ResponseController.
func (w *noted) Unwrap() http.ResponseWriter { return w.ResponseWriter }
