package node

import (
	"net/http"
	"time"

	"rollcall/ingest/web"
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
		begin, out := time.Now(), &web.Answer{ResponseWriter: w}
		defer func() {
			n.Traces.Served(r, begin, "/webhooks/{source}", out.Status, w.Header().Get("Rollcall-Sequence"))
		}()
		next.ServeHTTP(out, r)
	})
}
