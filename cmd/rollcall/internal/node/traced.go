package node

import (
	"net/http"
	"time"

	"rollcall/ingest/web"
	"rollcall/projector"
)

// observer makes spans of reads; nil: there are none to make.
func (n *Node) observer() func(*http.Request, time.Time, string, int) {
	if n.Traces == nil {
		return nil
	}
	return func(req *http.Request, begin time.Time, route string, status int) {
		n.Traces.Begin(req, begin).Served(route, status, "")
	}
}

// traced makes spans of deliveries.
func (n *Node) traced(next http.Handler) http.Handler {
	if n.Traces == nil {
		return next
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		span, out := n.Traces.Begin(r, time.Now()), &web.Answer{ResponseWriter: w}
		defer func() { span.Served("/webhooks/{source}", out.Status, w.Header().Get("Rollcall-Sequence")) }()
		next.ServeHTTP(out, r.WithContext(span.Within(r.Context())))
	})
}

// commits makes spans of commits; nil: there are none to make.
func (n *Node) commits() func(projector.CommitSpan) {
	if n.Traces == nil {
		return nil
	}
	return n.Traces.Committed
}
