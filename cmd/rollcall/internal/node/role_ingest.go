package node

import (
	"context"
	"errors"
	"net/http"
	"slices"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/traces"
	"rollcall/ingest"
)

// recordHeaders is what a record's headers take at most of the server's
// max_payload.
const recordHeaders = 16 << 10

// FitsPayload refuses bodies that are taken and do not fit into the log: the
// provider would retry until it gave up.
func FitsPayload(maxBody, payload int64) error {
	if most := payload - recordHeaders; maxBody > most {
		return console.Usagef("--max-body %d: the NATS server takes records of at most %d bytes (max_payload, less %d for headers); want less", maxBody, most, recordHeaders)
	}
	return nil
}

// startIngest starts the webhook listener. Without a source every delivery is a
// 404: the rest of the program is of use without one.
func (n *Node) startIngest() error {
	if len(n.Handler.Sources) == 0 {
		n.Logger.Warn().Msg("no --source: every webhook gets 404")
	} else {
		n.warnOfTenants()
		if err := n.startWebhook(n.Handler); err != nil {
			return err
		}
	}
	if n.Embedded != nil {
		w := &storeWatch{server: n.Embedded, dir: n.DataDir, log: n.Logger.With().Str(console.KeyPart, "store").Logger()}
		n.Health.Add(Check{"store", w.check})
		n.serve(stageProject, w.run)
	}
	n.serve(stageIngest, func(ctx context.Context) error {
		return ingest.Serve(ctx, n.Listeners.ingest, n.traced(&n.active), ingest.ServerConfig{
			MaxConnections: n.Connections.Ingest, ReadHeaderTimeout: n.HeaderTimeout, IdleTimeout: n.IdleTimeout,
			TLS: n.TLS.Ingest, Drain: 10 * time.Second,
			Logger: n.Logger.With().Str(console.KeyPart, "ingest").Logger(), Metrics: n.registry,
		})
	})
	return nil
}

// startWebhook begins to take deliveries of the sources.
func (n *Node) startWebhook(c ingest.Config) error {
	if err := FitsPayload(c.MaxBody, n.Conns[0].MaxPayload()); err != nil {
		return err
	}
	c.Log, c.Logger, c.Metrics = n.Log, n.Logger.With().Str(console.KeyPart, "ingest").Logger(), n.registry
	c.Traceparent = traces.Traceparent
	h, err := ingest.New(c)
	if err != nil {
		return console.Usagef("%w", err)
	}
	n.active.webhook.Store(h)
	n.Health.Add(Check{"ingest", func(ctx context.Context) (string, error) {
		note, err := h.Ready()
		if err == nil {
			_, err = n.Log.Health(ctx)
		}
		return note, err
	}})
	n.serve(stageIngest, func(ctx context.Context) error {
		err := h.Run(ctx)
		if errors.Is(err, context.Canceled) {
			return nil
		}
		return err
	})
	return nil
}

// sources are those that are configured now.
func (n *Node) sources() []ingest.Source { return *n.active.sources.Load() }

// anyTenant reports whether a source takes any tenant's events: the provider signs
// for all its customers with one key.
func anyTenant(s ingest.Source) bool {
	return s.Scheme == ingest.SchemeRSA && len(s.OrganizationIDs) == 0 && s.PathToken == "" && s.PathTokenFile == ""
}

// warnings are what the page says about this process's configuration. Readers without
// credentials see them too, so they name no source.
func (n *Node) warnings() (all []string) {
	if n.Roles.Ingest && slices.ContainsFunc(n.sources(), anyTenant) {
		all = append(all, "a source takes events of any organization: give it organizationIds (the log names it)")
	}
	return all
}

// warnOfTenants names sources that take any tenant's events.
func (n *Node) warnOfTenants() {
	for _, s := range n.sources() {
		if anyTenant(s) {
			n.Logger.Warn().Str("source", s.Name).Msg("a signature proves the provider, not the tenant: give the source organizationIds, or a pathToken, or events of the provider's other customers are taken too")
		}
	}
}

// noSource answers where no source is configured.
func noSource(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"no source is configured; start the server with --source"}` + "\n"))
}
