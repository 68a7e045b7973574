package node

import (
	"net/http"
	"sync/atomic"

	"rollcall/ingest"
	"rollcall/query"
)

// active is what a reload replaces.
type active struct {
	sources atomic.Pointer[[]ingest.Source]
	tokens  atomic.Pointer[[]query.Token]
	webhook atomic.Pointer[ingest.Handler] // nil: there was no source yet
	api     *query.API                     // nil: nobody is answered here
}

// Reload takes over the sources, the limits of each, how often a body may come, and
// the tokens of another configuration. The rest of it is not looked at. Deliveries
// and requests under way are answered. The node is ready; an error changes nothing.
func (n *Node) Reload(c Config) error {
	if n.Roles.Ingest {
		if err := n.reloadIngest(c.Handler); err != nil {
			return err
		}
	}
	n.active.sources.Store(&c.Handler.Sources)
	n.active.tokens.Store(&c.APITokens)
	if n.active.api != nil {
		n.active.api.SetTokens(c.APITokens)
	}
	n.warnOfTenants()
	n.warnOfReadableSecrets()
	return nil
}

func (n *Node) reloadIngest(c ingest.Config) error {
	switch h := n.active.webhook.Load(); {
	case h != nil:
		return h.Reload(c.Sources, c.SameBody)
	case len(c.Sources) > 0:
		first := n.Handler
		first.Sources, first.SameBody = c.Sources, c.SameBody
		return n.startWebhook(first)
	}
	return nil
}

// ServeHTTP answers a delivery. Without a source it is a 404.
func (a *active) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if h := a.webhook.Load(); h != nil {
		h.ServeHTTP(w, r)
		return
	}
	noSource(w, r)
}
