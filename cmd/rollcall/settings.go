package main

import (
	"cmp"
	"context"
	"net/netip"
	"path/filepath"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/ingest"
	"rollcall/query"
)

// checkSettings reads the files that flags name, and refuses what can't work,
// before a directory, a port or a server is touched.
func (c *nodeConfig) checkSettings() error {
	for _, check := range []func() error{c.checkIngest, c.checkAPI, c.checkNATS, c.checkDurations} {
		if err := check(); err != nil {
			return err
		}
	}
	return nil
}

// checkIngest makes a handler of the settings that nothing is posted to.
func (c *nodeConfig) checkIngest() (err error) {
	if c.maxBody, err = parseBytes("max-body", c.MaxBody); err != nil {
		return err
	}
	if c.maxBodyMemory, err = parseBytes("max-body-memory", cmp.Or(c.MaxBodyMemory, "0")); err != nil {
		return err
	}
	if c.maxBody < 0 {
		return console.Usagef("--max-body %s: want a size like 256KiB", c.MaxBody)
	}
	if c.NATSURL == "" {
		if err := c.fitsPayload(natsd.MaxPayload); err != nil {
			return err
		}
	}
	if !c.doIngest || len(c.sources) == 0 {
		return nil
	}
	handler := c.ingestConfig()
	handler.Log, handler.Metrics = noLog{}, prometheus.NewRegistry()
	if _, err := ingest.New(handler); err != nil {
		return console.Usagef("%w", err)
	}
	return nil
}

// noLog is the log of a handler that nothing is posted to.
type noLog struct{}

// Append stores nothing.
func (noLog) Append(context.Context, *eventlog.Record) (eventlog.Appended, error) {
	return eventlog.Appended{}, eventlog.ErrUnavailable
}

// ingestConfig is what the flags say of the handler.
func (c *nodeConfig) ingestConfig() ingest.Config {
	sameBody := c.SameBody
	if sameBody == 0 {
		sameBody = -1 // as the flag says it: no limit
	}
	return ingest.Config{
		Sources: c.sources, MaxBody: c.maxBody, MaxBodyMemory: c.maxBodyMemory, SameBody: sameBody, Timeout: c.IngestTimeout, MaxInFlight: c.MaxInFlight, MaxVerifications: c.MaxVerifications,
		RefusalDelay: c.RefusalDelay, KeyDir: filepath.Join(c.DataDir, "keys"), KeyInterval: c.KeyInterval,
	}
}

// fitsPayload refuses bodies that are taken and do not fit into the log: the
// provider would try for ever.
func (c *nodeConfig) fitsPayload(payload int64) error {
	if most := payload - recordHeaders; c.maxBody > most {
		return console.Usagef("--max-body %s: the NATS server takes records of at most %d bytes (max_payload, less %d for headers); want less", c.MaxBody, most, recordHeaders)
	}
	return nil
}

// checkAPI reads the tokens that the read API asks for. An address that others
// reach needs some.
func (c *nodeConfig) checkAPI() (err error) {
	if c.APITokenFile != "" {
		if c.tokens, err = query.ReadTokens(c.APITokenFile); err != nil {
			return console.Usagef("--api-token-file: %w", err)
		}
	}
	if c.doQuery {
		if err := query.CheckAddr(c.APIAddr, c.tokens, c.Insecure); err != nil {
			return console.Usagef("--api-addr: %w", err)
		}
	}
	for i, host := range c.APIHost {
		_, notAddress := netip.ParseAddr(host)
		if host == "" || strings.ContainsAny(host, "/:@ ") || notAddress == nil {
			return console.Usagef("--api-host %q: want a name like rollcall.example.com, without scheme and port; addresses need none", host)
		}
		c.APIHost[i] = strings.ToLower(host)
	}
	return nil
}

// checkNATS reads the files for the server that is used, or embedded.
func (c *nodeConfig) checkNATS() error {
	if c.NATSURL != "" {
		_, err := c.options()
		return err
	}
	if c.NATSListen != "" {
		if _, _, err := natsd.SplitListen(c.NATSListen); err != nil {
			return console.Usagef("--nats-listen %q: %w; want HOST:PORT, or nothing", c.NATSListen, err)
		}
	}
	_, err := serverTLS("nats-tls", c.NATSCert, c.NATSKey)
	return err
}

func (c *nodeConfig) checkDurations() error {
	if c.StaleAfter < 0 || c.StopTimeout < 0 || c.DuplicateWindow < 0 || c.AuditInterval < 0 || c.KeyInterval < 0 {
		return console.Usagef("a duration is negative: --stale-after, --stop-timeout, --duplicate-window, --audit-interval and --key-interval take what is above 0, or 0")
	}
	return nil
}
