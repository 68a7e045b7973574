package node

import (
	"context"
	"net/http"
	"net/http/pprof"
	"strings"
	"time"

	"rollcall/query"
)

const (
	// profilesPath is where profiles are.
	profilesPath = "/debug/pprof/"
	// profileTime bounds the answer with one: a profile is taken for as long as asked.
	profileTime = 5 * time.Minute
)

// profiles serves what the process does and holds in memory, where --pprof asks for
// it: to everybody on loopback, elsewhere to operators. nil: nobody.
func (n *Node) profiles() http.Handler {
	if !n.Pprof {
		return nil
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if who, _ := query.Caller(*n.active.tokens.Load(), r); !n.AdminLocal && who.Role != query.RoleOperator {
			w.Header().Set("WWW-Authenticate", `Bearer realm="rollcall"`)
			http.Error(w, "a bearer token of the role operator is needed", http.StatusUnauthorized)
			return
		}
		// The server's own limit is shorter than a profile may take; without one the
		// package takes any length.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(profileTime))
		r = r.WithContext(context.WithValue(r.Context(), http.ServerContextKey, &http.Server{WriteTimeout: profileTime}))
		switch strings.TrimPrefix(r.URL.Path, profilesPath) {
		case "cmdline": // flags may hold secrets
			http.NotFound(w, r)
		case "profile":
			pprof.Profile(w, r)
		case "symbol":
			pprof.Symbol(w, r)
		case "trace":
			pprof.Trace(w, r)
		default:
			pprof.Index(w, r)
		}
	})
}
