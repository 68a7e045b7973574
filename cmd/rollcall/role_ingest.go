package main

import (
	"context"
	"crypto/tls"
	"errors"
	"net/http"
	"slices"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/ingest"
)

// ingestFlags are the limits of the ingester.
type ingestFlags struct {
	MaxBody          string        `help:"Largest body that is taken." default:"256KiB" placeholder:"SIZE"`
	MaxBodyMemory    string        `help:"Memory for the bodies under way, the first 8 KiB of each left out; a body above it gets 503." default:"128MiB" placeholder:"SIZE"`
	IngestTimeout    time.Duration `help:"Longest that a delivery waits for its answer; providers give up after 3s." default:"2500ms" placeholder:"DURATION"`
	MaxInFlight      int           `help:"Deliveries between body and answer; above it the answer is 503." default:"4096" placeholder:"N"`
	MaxVerifications int           `help:"Signatures checked at a time; 0 is two a CPU." default:"0" placeholder:"N"`
	RefusalDelay     time.Duration `help:"How long answers to bad signatures are held back once more than 100 a second come; negative: never." default:"500ms" placeholder:"DURATION"`
	SourceRate       float64       `help:"Verified deliveries a second of each source that the config file gives no rate; above it the answer is 503. Repeats are not counted. 0 is no limit." default:"5000" placeholder:"N"`
	SameBody         int           `help:"How often one signed body is taken under different delivery ids, at once; after that once in ten seconds, and else the answer is 503. 0 is no limit." default:"1000" placeholder:"N"`
	MaxConnections   int           `help:"Connections of the webhook listener; one more is told 503. 0 is what the limit of open files (ulimit -n) allows, at most 20,000." default:"0" placeholder:"N"`
	HeaderTimeout    time.Duration `help:"Longest that a connection of the webhook listener takes to send a request's headers, after which it is closed." default:"2s" placeholder:"DURATION"`
	IdleTimeout      time.Duration `help:"How long a connection of the webhook listener stays open between two requests; keep it above that of a load balancer in front, mostly 60s." default:"75s" placeholder:"DURATION"`
	TLSCert          string        `name:"tls-cert" help:"Certificate (PEM) of the webhook listener; without it, plain HTTP." type:"path" placeholder:"FILE"`
	TLSKey           string        `name:"tls-key" help:"Private key (PEM) of --tls-cert." type:"path" placeholder:"FILE"`
	KeyInterval      time.Duration `help:"How often a key is fetched from its URL." default:"1h" placeholder:"DURATION"`
}

// recordHeaders is what a record's headers take at most of the server's
// max_payload.
const recordHeaders = 16 << 10

// startIngest starts the webhook listener. Without a source every delivery is a
// 404: the rest of the program is of use without one.
func (n *node) startIngest() error {
	var handler http.Handler = http.HandlerFunc(noSource)
	if len(n.sources) == 0 {
		n.logger.Warn().Msg("no --source: every webhook gets 404")
	} else {
		h, err := n.ingestHandler()
		if err != nil {
			return err
		}
		handler = h
	}
	if n.embedded != nil {
		w := &storeWatch{server: n.embedded, dir: n.DataDir, log: n.logger.With().Str(console.KeyPart, "store").Logger()}
		n.health.add(check{"store", w.check})
		n.serve(stageProject, w.run)
	}
	n.serve(stageIngest, func(ctx context.Context) error {
		return ingest.Serve(ctx, n.listeners.ingest, handler, ingest.ServerConfig{
			MaxConnections: n.connections.ingest, ReadHeaderTimeout: n.HeaderTimeout, IdleTimeout: n.IdleTimeout,
			TLS: n.secure.ingest, Drain: 10 * time.Second,
			Logger: n.logger.With().Str(console.KeyPart, "ingest").Logger(), Metrics: n.registry,
		})
	})
	return nil
}

// serverTLS reads a certificate, where there is one.
func serverTLS(flag, cert, key string) (*tls.Config, error) {
	if cert == "" && key == "" {
		return nil, nil
	}
	if cert == "" || key == "" {
		return nil, console.Usagef("--%s-cert and --%[1]s-key belong together", flag)
	}
	pair, err := tls.LoadX509KeyPair(cert, key)
	if err != nil {
		return nil, console.Usagef("read --%s-cert: %w", flag, err)
	}
	return &tls.Config{Certificates: []tls.Certificate{pair}, MinVersion: tls.VersionTLS12}, nil
}

func (n *node) ingestHandler() (http.Handler, error) {
	if err := n.fitsPayload(n.conns[0].MaxPayload()); err != nil {
		return nil, err
	}
	n.warnOfTenants()
	c := n.ingestConfig()
	c.Log, c.Logger, c.Metrics = n.log, n.logger.With().Str(console.KeyPart, "ingest").Logger(), n.registry
	h, err := ingest.New(c)
	if err != nil {
		return nil, console.Usagef("%w", err)
	}
	n.health.add(check{"ingest", func(ctx context.Context) (string, error) {
		note, err := h.Ready()
		if err == nil {
			_, err = n.log.Health(ctx)
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
	return h, nil
}

// anyTenant reports whether a source takes any tenant's events: the provider signs
// for all its customers with one key.
func anyTenant(s ingest.Source) bool {
	return s.Scheme == ingest.SchemeRSA && len(s.OrganizationIDs) == 0 && s.PathToken == "" && s.PathTokenFile == ""
}

// warnings are what the page says of how this process is set up. Readers without
// credentials hear them too, so they name no source.
func (n *node) warnings() (all []string) {
	if n.doIngest && slices.ContainsFunc(n.sources, anyTenant) {
		all = append(all, "a source takes events of any organization: give it organizationIds (the log names it)")
	}
	return all
}

// warnOfTenants names sources that take any tenant's events.
func (n *node) warnOfTenants() {
	for _, s := range n.sources {
		if anyTenant(s) {
			n.logger.Warn().Str("source", s.Name).Msg("a signature proves the provider, not the tenant: give the source organizationIds, or a pathToken, or events of the provider's other customers are taken too")
		}
	}
}

// noSource answers where no source is configured.
func noSource(w http.ResponseWriter, _ *http.Request) {
	w.Header().Set("Content-Type", "application/problem+json")
	w.WriteHeader(http.StatusNotFound)
	w.Write([]byte(`{"type":"about:blank","title":"Not Found","status":404,"detail":"no source is configured; start the server with --source"}` + "\n"))
}
