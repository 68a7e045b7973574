package main

import (
	"crypto/tls"
	"errors"
	"net"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/projections"
	"rollcall/query"
)

// The roles that a process can have.
const (
	targetAll     = "all"
	targetIngest  = "ingest"
	targetProject = "project"
	targetQuery   = "query"
)

// serveCmd is `rollcall serve`.
type serveCmd struct {
	Target []string `help:"What this process does: all, or a list of ingest, project, query. Other than all needs --nats-url." default:"all" placeholder:"LIST"`
	Views  []string `help:"Views to project; all by default." placeholder:"LIST"`

	IngestAddr string `help:"Address for webhooks." default:"127.0.0.1:8080" placeholder:"HOST:PORT"`
	APIAddr    string `name:"api-addr" help:"Address of the read API and the page." default:"127.0.0.1:8081" placeholder:"HOST:PORT"`
	AdminAddr  string `help:"Address of /livez, /readyz and /metrics." default:"127.0.0.1:8082" placeholder:"HOST:PORT"`
	ReadyFile  string `help:"File to write the real addresses to, as JSON, once /readyz is true." type:"path" placeholder:"FILE"`

	DataDir    string `help:"Directory of the embedded NATS server and of caches." default:"./rollcall-data" type:"path" placeholder:"DIR"`
	NATSListen string `name:"nats-listen" help:"Address of the embedded server for other services, who may only read; empty: none." default:"127.0.0.1:4222" placeholder:"HOST:PORT"`
	NATSUsers  string `name:"nats-users" help:"YAML file with users of the embedded server and their roles." type:"path" placeholder:"FILE"`
	NATSURL    string `name:"nats-url" help:"NATS server or cluster to use instead of the embedded one." placeholder:"URL"`
	natsAuth

	Source   []string `help:"A source of webhooks: NAME=rsa:FILE_OR_URL, NAME=standard:FILE or NAME=none; repeatable." placeholder:"NAME=SCHEME[:ARG]"`
	Insecure bool     `help:"Allow what is only safe on a closed network: sources without signatures and an API without a token on addresses that are not loopback."`

	Replicas           int           `help:"Replicas of the log and the views on a cluster: 1, 3 or 5; 0 keeps what exists." default:"0" placeholder:"N"`
	MaxAge             time.Duration `help:"Remove records older than this; 0 keeps what is set, -1s removes the limit. A log without limits can be rebuilt from its start." default:"0" placeholder:"DURATION"`
	MaxBytes           string        `help:"Remove the oldest records above this size, like 100GiB; 0 keeps what is set, -1 removes the limit." default:"0" placeholder:"SIZE"`
	DuplicateWindow    time.Duration `help:"How long a repeat of a delivery is recognised at ingest; 0 keeps what is set, 10m for a new log. It costs 170 bytes of server memory a delivery." default:"0" placeholder:"DURATION"`
	CacheBytes         string        `help:"Memory for the entities that each projector holds." default:"64MiB" placeholder:"SIZE"`
	ViewMaxAge         time.Duration `help:"Drop sessions from the views folded here this long after they ended, and recordings after they were done; 0 keeps them for ever. The log keeps what it has." default:"0" placeholder:"DURATION"`
	AutoRebuild        bool          `help:"Rebuild a view that another version of its fold made, or that can't go on, as after the log was restored from a backup. Without it such a view says what to run, and stays as it is."`
	AuditInterval      time.Duration `help:"How often the views folded here are verified in the background; 0 is never. Each audit reads the whole log, at 20,000 records a second at most." default:"0" placeholder:"DURATION"`
	AuditSample        float64       `help:"Share of the entities that an audit looks at, above 0 and up to 1; each time others." default:"0.1" placeholder:"SHARE"`
	StaleAfter         time.Duration `help:"How long without an event makes a LIVE session stale." default:"24h" placeholder:"DURATION"`
	APICert            string        `name:"api-tls-cert" help:"Certificate (PEM) of the read API; without it, plain HTTP." type:"path" placeholder:"FILE"`
	APIKey             string        `name:"api-tls-key" help:"Private key (PEM) of --api-tls-cert." type:"path" placeholder:"FILE"`
	AdminCert          string        `name:"admin-tls-cert" help:"Certificate (PEM) of --admin-addr; without it, plain HTTP." type:"path" placeholder:"FILE"`
	AdminKey           string        `name:"admin-tls-key" help:"Private key (PEM) of --admin-tls-cert." type:"path" placeholder:"FILE"`
	APITokenFile       string        `name:"api-token-file" help:"File with the bearer tokens of the read API, one a line; needed where --api-addr is not loopback." type:"path" placeholder:"FILE"`
	APIHost            []string      `name:"api-host" help:"Name that the read API may be addressed by, beside localhost and addresses; repeatable. Only needed without --api-token-file." placeholder:"NAME"`
	ReplicaDir         string        `help:"Directory of the query target's SQLite cache; by default within --data-dir, or a temporary one with --nats-url. It can be deleted at any time." type:"path" placeholder:"DIR"`
	APIMaxConnections  int           `name:"api-max-connections" help:"Connections of the read API; one more is closed. 0 is what the limit of open files (ulimit -n) allows, at most 4,096." default:"0" placeholder:"N"`
	NATSMaxConnections int           `name:"nats-max-connections" help:"Connections of clients without credentials, and of the role reader, to the embedded server; one more is refused. 0 is what the limit of open files (ulimit -n) allows, at most 4,096." default:"0" placeholder:"N"`
	APIIdleTimeout     time.Duration `name:"api-idle-timeout" help:"How long a connection of the read API stays open between two requests; keep it above that of a load balancer in front, mostly 60s." default:"75s" placeholder:"DURATION"`
	StopTimeout        time.Duration `help:"Bound of a graceful stop." default:"25s" placeholder:"DURATION"`

	ingestFlags
}

// Help is the command's example.
func (serveCmd) Help() string {
	return `Runs Rollcall. Alone it embeds a NATS server with JetStream and does everything; with --nats-url it uses yours,
and a process can take one part.

Examples:
  rollcall serve --source prod=rsa:public.pem
  rollcall serve --target=ingest --nats-url nats://nats:4222 --nats-creds ingest.creds --source prod=rsa:https://api.example.com/.well-known/webhooks.json
  rollcall serve --target=project --views recordings --nats-url nats://nats:4222`
}

// Run serves until the process is told to stop.
func (c *serveCmd) Run(a *app) error {
	cfg, err := c.config(a)
	if err != nil {
		return err
	}
	if _, set := a.Env(envName("nats-url")); set && c.NATSURL != "" && !a.given("nats-url") {
		a.Logger.Warn().Str("nats_url", redactURL(c.NATSURL)).Msg(envName("nats-url") + " is set: that server is used, and none is embedded; unset it, or give --nats-url= to embed one in --data-dir")
	}
	n := newNode(cfg, a.Logger)
	if n.supervisor, err = supervisorOf(a.Env); err != nil {
		return err
	}
	return n.run(a.Ctx)
}

// config checks the flags against each other before anything is opened.
func (c *serveCmd) config(a *app) (nodeConfig, error) {
	cfg := nodeConfig{serveCmd: *c}
	if err := cfg.setRoles(); err != nil {
		return cfg, err
	}
	if err := cfg.setViews(); err != nil {
		return cfg, err
	}
	var err error
	if cfg.sources, err = a.sources(c.Source); err != nil {
		return cfg, err
	}
	for i := range cfg.sources {
		if cfg.sources[i].Rate == 0 {
			cfg.sources[i].Rate = c.SourceRate
		}
	}
	if cfg.maxBytes, err = parseBytes("max-bytes", c.MaxBytes); err != nil {
		return cfg, err
	}
	if cfg.cacheBytes, err = parseBytes("cache-bytes", c.CacheBytes); err != nil {
		return cfg, err
	}
	if c.AuditInterval > 0 && (c.AuditSample <= 0 || c.AuditSample > 1) {
		return cfg, console.Usagef("--audit-sample %v: want a share above 0 and up to 1", c.AuditSample)
	}
	if c.ViewMaxAge < 0 {
		return cfg, console.Usagef("--view-max-age %v: want a duration like 2160h, or 0 to keep everything", c.ViewMaxAge)
	}
	if c.NATSUsers != "" {
		if c.NATSURL != "" {
			return cfg, console.Usagef("--nats-users is for the embedded server; with --nats-url the users are that server's")
		}
		if cfg.users, err = natsd.ReadUsers(c.NATSUsers); err != nil {
			return cfg, err
		}
	}
	for flag, address := range map[string]string{"--ingest-addr": c.IngestAddr, "--api-addr": c.APIAddr, "--admin-addr": c.AdminAddr} {
		if _, _, err := natsd.SplitListen(address); err != nil {
			return cfg, console.Usagef("%s %q: %w; want HOST:PORT", flag, address, err)
		}
	}
	if err := cfg.readCertificates(); err != nil {
		return cfg, err
	}
	if c.HeaderTimeout < 0 || c.IdleTimeout < 0 || c.APIIdleTimeout < 0 || c.IngestTimeout < 0 || c.MaxConnections < 0 || c.APIMaxConnections < 0 || c.NATSMaxConnections < 0 ||
		c.MaxInFlight < 0 || c.MaxVerifications < 0 || c.SourceRate < 0 || c.SameBody < 0 {
		return cfg, console.Usagef("a limit is negative: --source-rate, --same-body, --header-timeout, --idle-timeout, --api-idle-timeout, --ingest-timeout, --max-connections, --max-in-flight and --max-verifications take what is above 0, or 0 for the default")
	}
	if err := cfg.setConnections(descriptors()); err != nil {
		return cfg, err
	}
	if err := errors.Join(cfg.checkSources(), cfg.checkNATSListen()); err != nil {
		return cfg, err
	}
	return cfg, cfg.checkSettings()
}

// readCertificates reads what the HTTP listeners speak TLS with.
func (c *nodeConfig) readCertificates() (err error) {
	for _, l := range []struct {
		flag, cert, key string
		to              **tls.Config
	}{
		{"tls", c.TLSCert, c.TLSKey, &c.secure.ingest}, {"api-tls", c.APICert, c.APIKey, &c.secure.api}, {"admin-tls", c.AdminCert, c.AdminKey, &c.secure.admin},
	} {
		if *l.to, err = serverTLS(l.flag, l.cert, l.key); err != nil {
			return err
		}
	}
	return nil
}

func (c *nodeConfig) setRoles() error {
	for _, t := range c.Target {
		switch strings.TrimSpace(t) {
		case targetAll:
			c.doIngest, c.doProject, c.doQuery = true, true, true
		case targetIngest:
			c.doIngest = true
		case targetProject:
			c.doProject = true
		case targetQuery:
			c.doQuery = true
		default:
			return console.Usagef("--target %q: want all, or a list of ingest, project, query", t)
		}
	}
	if c.NATSURL == "" && !(c.doIngest && c.doProject && c.doQuery) {
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

func (c *nodeConfig) setViews() error {
	if err := query.Complete(); err != nil {
		return err
	}
	if len(c.Views) > 0 && !c.doProject {
		return console.Usagef("--views limits --target=project, which this process is not")
	}
	var names []string
	for _, f := range projections.All() {
		names = append(names, f.Name())
	}
	for _, v := range c.Views {
		if !slices.Contains(names, v) {
			return console.Usagef("--views %q: no such view; there are %s", v, strings.Join(names, ", "))
		}
	}
	if c.doProject {
		for _, f := range projections.All() {
			if len(c.Views) == 0 || slices.Contains(c.Views, f.Name()) {
				c.folds = append(c.folds, f)
			}
		}
	}
	return nil
}

// checkSources refuses what would let anybody write.
func (c *nodeConfig) checkSources() error {
	for _, s := range c.sources {
		if s.Unsigned() && !c.Insecure && !loopback(c.IngestAddr) {
			return console.Usagef("source %q has no signature, and --ingest-addr %s is not loopback: anybody could write; use rsa or standard, or --insecure on a closed network", s.Name, c.IngestAddr)
		}
	}
	return nil
}

// checkNATSListen refuses to show the log, which holds names, links and stream
// keys, to whoever reaches the port.
func (c *nodeConfig) checkNATSListen() error {
	if c.NATSURL != "" || c.NATSListen == "" || c.Insecure || c.NATSUsers != "" || loopback(c.NATSListen) {
		return nil
	}
	return console.Usagef("--nats-listen: nats address %s is not loopback and nobody has to show credentials: give --nats-users, or --insecure", c.NATSListen)
}

// closedNATS reports whether the embedded server lets nobody in without
// credentials: others than this machine reach it, and that was not allowed.
func (c *nodeConfig) closedNATS() bool { return !c.Insecure && !loopback(c.NATSListen) }

// loopback reports whether an address to listen on can be reached from this
// machine alone. A name is none: it may come to mean something else.
func loopback(address string) bool {
	host, _, err := net.SplitHostPort(address)
	if err != nil {
		return false
	}
	ip := net.ParseIP(host)
	return host == "localhost" || ip != nil && ip.IsLoopback()
}

// parseBytes reads a size like 64MiB; -1 means no limit.
func parseBytes(flag, s string) (int64, error) {
	if s == "-1" {
		return -1, nil
	}
	n, err := humanize.ParseBytes(s)
	if err != nil || n > 1<<62 {
		return 0, console.Usagef("--%s %q: want a size like 512MiB", flag, s)
	}
	return int64(n), nil
}
