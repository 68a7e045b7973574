package main

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net/netip"
	"path/filepath"
	"slices"
	"strings"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
	"rollcall/ingest/web"
	"rollcall/projections"
	"rollcall/query"
)

// settings are the flags of serve on their way to the configuration of a node.
// Everything that is wrong in them is refused before a directory, a port or a server is
// touched.
type settings struct {
	serveCmd
	node node.Config
}

// config checks the flags, and reads the files that they name.
func (c *serveCmd) config(a *app) (node.Config, error) {
	s := &settings{serveCmd: *c}
	s.take()
	for _, check := range []func() error{
		s.setRoles, s.setViews, func() error { return s.setSources(a) }, s.setSizes, s.checkAges, s.setUsers, s.checkAddresses,
		s.readCertificates, s.checkLimits, func() error { return s.setConnections(node.Descriptors()) },
		func() error { return errors.Join(s.checkSources(), s.checkNATSListen()) },
		s.checkIngest, s.setAPI, s.setNATS, s.checkDurations,
	} {
		if err := check(); err != nil {
			return node.Config{}, err
		}
	}
	return s.node, nil
}

// take takes over what can't be wrong, or is checked where it is.
func (c *settings) take() {
	c.node.DataDir, c.node.ReplicaDir, c.node.ReadyFile = c.DataDir, c.ReplicaDir, c.ReadyFile
	c.node.IngestAddr, c.node.APIAddr, c.node.AdminAddr = c.IngestAddr, c.APIAddr, c.AdminAddr
	c.node.Stream = natslog.Config{Replicas: c.Replicas, MaxAge: c.MaxAge, DuplicateWindow: c.DuplicateWindow}
	if c.MaxAge < 0 {
		c.node.Stream.MaxAge = natslog.NoLimit
	}
	c.node.HeaderTimeout, c.node.IdleTimeout, c.node.APIIdleTimeout = c.HeaderTimeout, c.IdleTimeout, c.APIIdleTimeout
	c.node.ViewMaxAge, c.node.AutoRebuild, c.node.StaleAfter, c.node.StopTimeout = c.ViewMaxAge, c.AutoRebuild, c.StaleAfter, c.StopTimeout
	c.node.AuditInterval, c.node.AuditSample = c.AuditInterval, c.AuditSample
	c.node.Secrets = map[string]string{
		"--api-token-file": c.APITokenFile, "--nats-users": c.NATSUsers, "--tls-key": c.TLSKey, "--api-tls-key": c.APIKey, "--admin-tls-key": c.AdminKey, "--nats-tls-key": c.NATSKey,
		"--nats-login-file": c.NATSLogin, "--nats-creds": c.NATSCreds, "--nats-nkey": c.NATSNKey,
	}
	c.node.AdminLocal = web.Loopback(c.AdminAddr)
	c.node.Version = node.ReadBuild()
}

// setSources reads the sources of flags and config file.
func (c *settings) setSources(a *app) error {
	sources, err := a.sources(c.Source)
	if err != nil {
		return err
	}
	for i := range sources {
		if sources[i].Rate == 0 {
			sources[i].Rate = c.SourceRate
		}
	}
	c.node.Handler.Sources = sources
	return nil
}

func (c *settings) setSizes() (err error) {
	if c.node.Stream.MaxBytes, err = parseBytes("max-bytes", c.MaxBytes); err != nil {
		return err
	}
	c.node.CacheBytes, err = parseBytes("cache-bytes", c.CacheBytes)
	return err
}

func (c *settings) checkAges() error {
	if c.AuditInterval > 0 && (c.AuditSample <= 0 || c.AuditSample > 1) {
		return console.Usagef("--audit-sample %v: want a share above 0 and up to 1", c.AuditSample)
	}
	if c.ViewMaxAge < 0 {
		return console.Usagef("--view-max-age %v: want a duration like 2160h, or 0 to keep everything", c.ViewMaxAge)
	}
	return nil
}

// setUsers reads the users of the embedded server.
func (c *settings) setUsers() (err error) {
	if c.NATSUsers == "" {
		return nil
	}
	if c.NATSURL != "" {
		return console.Usagef("--nats-users is for the embedded server; with --nats-url the users are that server's")
	}
	c.node.NATS.Users, err = natsd.ReadUsers(c.NATSUsers)
	return err
}

func (c *settings) checkAddresses() error {
	for flag, address := range map[string]string{"--ingest-addr": c.IngestAddr, "--api-addr": c.APIAddr, "--admin-addr": c.AdminAddr} {
		if _, _, err := natsd.SplitListen(address); err != nil {
			return console.Usagef("%s %q: %w; want HOST:PORT", flag, address, err)
		}
	}
	return nil
}

func (c *settings) checkLimits() error {
	if c.HeaderTimeout < 0 || c.IdleTimeout < 0 || c.APIIdleTimeout < 0 || c.IngestTimeout < 0 || c.MaxConnections < 0 || c.APIMaxConnections < 0 || c.NATSMaxConnections < 0 ||
		c.MaxInFlight < 0 || c.MaxVerifications < 0 || c.SourceRate < 0 || c.SameBody < 0 {
		return console.Usagef("a limit is negative: --source-rate, --same-body, --header-timeout, --idle-timeout, --api-idle-timeout, --ingest-timeout, --max-connections, --max-in-flight and --max-verifications take what is above 0, or 0 for the default")
	}
	return nil
}

// readCertificates reads what the HTTP listeners speak TLS with.
func (c *settings) readCertificates() (err error) {
	for _, l := range []struct {
		flag, cert, key string
		to              **tls.Config
	}{
		{"tls", c.TLSCert, c.TLSKey, &c.node.TLS.Ingest}, {"api-tls", c.APICert, c.APIKey, &c.node.TLS.API}, {"admin-tls", c.AdminCert, c.AdminKey, &c.node.TLS.Admin},
	} {
		if *l.to, err = serverTLS(l.flag, l.cert, l.key); err != nil {
			return err
		}
	}
	return nil
}

// setRoles reads the targets, and refuses those that the server of the other flags
// can't serve.
func (c *settings) setRoles() error {
	for _, t := range c.Target {
		switch strings.TrimSpace(t) {
		case node.TargetAll:
			c.node.Roles = node.Roles{Ingest: true, Project: true, Query: true}
		case node.TargetIngest:
			c.node.Roles.Ingest = true
		case node.TargetProject:
			c.node.Roles.Project = true
		case node.TargetQuery:
			c.node.Roles.Query = true
		default:
			return console.Usagef("--target %q: want all, or a list of ingest, project, query", t)
		}
	}
	if c.NATSURL == "" && !c.node.Roles.All() {
		return console.Usagef("--target=%s needs --nats-url: the embedded server lives in one process, which does everything", strings.Join(c.Target, ","))
	}
	if !slices.Contains([]int{0, 1, 3, 5}, c.Replicas) {
		return console.Usagef("--replicas %d: want 1, 3 or 5, or 0 to keep what exists", c.Replicas)
	}
	if c.NATSURL == "" && c.Replicas > 1 {
		return console.Usagef("--replicas=%d needs --nats-url of a cluster: the embedded server is one", c.Replicas)
	}
	return nil
}

// setViews chooses the folds of this process, all by default.
func (c *settings) setViews() error {
	if err := query.Complete(); err != nil {
		return err
	}
	if len(c.Views) > 0 && !c.node.Roles.Project {
		return console.Usagef("--views limits --target=project, which this process is not")
	}
	for _, v := range c.Views {
		if !slices.Contains(viewNames(), v) {
			return console.Usagef("--views %q: no such view; %s", v, viewsThereAre(v))
		}
	}
	if c.node.Roles.Project {
		for _, f := range projections.All() {
			if len(c.Views) == 0 || slices.Contains(c.Views, f.Name()) {
				c.node.Folds = append(c.node.Folds, f)
			}
		}
	}
	return nil
}

// checkSources refuses what would let anybody write.
func (c *settings) checkSources() error {
	for _, s := range c.node.Handler.Sources {
		if s.Unsigned() && !c.Insecure && !web.Loopback(c.IngestAddr) {
			return console.Usagef("source %q has no signature, and --ingest-addr %s is not loopback: anybody could write; use rsa or standard, or --insecure on a closed network", s.Name, c.IngestAddr)
		}
	}
	return nil
}

// checkNATSListen refuses to show the log, which holds names, links and stream
// keys, to whoever reaches the port.
func (c *settings) checkNATSListen() error {
	if c.NATSURL != "" || c.NATSListen == "" || c.Insecure || c.NATSUsers != "" || web.Loopback(c.NATSListen) {
		return nil
	}
	return console.Usagef("--nats-listen: nats address %s is not loopback and nobody has to show credentials: give --nats-users, or --insecure", c.NATSListen)
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

// checkIngest makes a handler of the settings that nothing is posted to.
func (c *settings) checkIngest() (err error) {
	if err := c.setHandler(); err != nil {
		return err
	}
	if c.NATSURL == "" {
		if err := node.FitsPayload(c.node.Handler.MaxBody, natsd.MaxPayload); err != nil {
			return err
		}
	}
	if !c.node.Roles.Ingest || len(c.node.Handler.Sources) == 0 {
		return nil
	}
	handler := c.node.Handler
	handler.Log, handler.Metrics = noLog{}, prometheus.NewRegistry()
	if _, err := ingest.New(handler); err != nil {
		return console.Usagef("%w", err)
	}
	return nil
}

// setHandler is what the flags say of the ingester.
func (c *settings) setHandler() error {
	maxBody, err := parseBytes("max-body", c.MaxBody)
	if err != nil {
		return err
	}
	if maxBody < 0 {
		return console.Usagef("--max-body %s: want a size like 256KiB", c.MaxBody)
	}
	memory, err := parseBytes("max-body-memory", cmp.Or(c.MaxBodyMemory, "0"))
	if err != nil {
		return err
	}
	sameBody := c.SameBody
	if sameBody == 0 {
		sameBody = -1 // as the flag says it: no limit
	}
	c.node.Handler = ingest.Config{
		Sources: c.node.Handler.Sources, MaxBody: maxBody, MaxBodyMemory: memory, SameBody: sameBody, Timeout: c.IngestTimeout, MaxInFlight: c.MaxInFlight, MaxVerifications: c.MaxVerifications,
		RefusalDelay: c.RefusalDelay, KeyDir: filepath.Join(c.DataDir, "keys"), KeyInterval: c.KeyInterval,
	}
	return nil
}

// noLog is the log of a handler that nothing is posted to.
type noLog struct{}

// Append stores nothing.
func (noLog) Append(context.Context, *eventlog.Record) (eventlog.Appended, error) {
	return eventlog.Appended{}, eventlog.ErrUnavailable
}

// setAPI reads the tokens that the read API asks for. An address that others
// reach needs some.
func (c *settings) setAPI() (err error) {
	c.node.AccessLog, c.node.Pprof = c.AccessLog, c.Pprof
	if c.APITokenFile != "" {
		if c.node.APITokens, err = query.ReadTokens(c.APITokenFile); err != nil {
			return console.Usagef("--api-token-file: %w", err)
		}
	}
	operator := slices.ContainsFunc(c.node.APITokens, func(t query.Token) bool { return t.Role == query.RoleOperator })
	if c.Pprof && !web.Loopback(c.AdminAddr) && !operator {
		return console.Usagef("--pprof: profiles hold what is in memory, and --admin-addr %s is not loopback: give it a loopback address, or a token of the role %s in --api-token-file", c.AdminAddr, query.RoleOperator)
	}
	if c.node.Roles.Query {
		if err := query.CheckAddr(c.APIAddr, c.node.APITokens, c.Insecure); err != nil {
			return console.Usagef("--api-addr: %w", err)
		}
	}
	if err := query.CheckBasePath(c.APIBasePath); err != nil {
		return console.Usagef("--api-base-path: %w", err)
	}
	c.node.APIBasePath = c.APIBasePath
	for _, host := range c.APIHost {
		_, notAddress := netip.ParseAddr(host)
		if host == "" || strings.ContainsAny(host, "/:@ ") || notAddress == nil {
			return console.Usagef("--api-host %q: want a name like rollcall.example.com, without scheme and port; addresses need none", host)
		}
		c.node.APIHosts = append(c.node.APIHosts, strings.ToLower(host))
	}
	return nil
}

// setNATS reads the files for the server that is used, or embedded.
func (c *settings) setNATS() (err error) {
	to := &c.node.NATS
	if to.URL = c.NATSURL; to.URL != "" {
		to.Options, err = c.Options()
		return err
	}
	if to.Listen = c.NATSListen; to.Listen != "" {
		if _, _, err := natsd.SplitListen(to.Listen); err != nil {
			return console.Usagef("--nats-listen %q: %w; want HOST:PORT, or nothing", to.Listen, err)
		}
	}
	// Others than this machine reach it, and that was not allowed.
	to.Closed = !c.Insecure && !web.Loopback(to.Listen)
	to.TLS, err = serverTLS("nats-tls", c.NATSCert, c.NATSKey)
	return err
}

func (c *settings) checkDurations() error {
	if c.StaleAfter < 0 || c.StopTimeout < 0 || c.DuplicateWindow < 0 || c.AuditInterval < 0 || c.KeyInterval < 0 {
		return console.Usagef("a duration is negative: --stale-after, --stop-timeout, --duplicate-window, --audit-interval and --key-interval take what is above 0, or 0")
	}
	return nil
}
