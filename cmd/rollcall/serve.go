package main

import (
	"os"
	"os/signal"
	"syscall"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/cmd/rollcall/internal/traces"
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
	attach.Auth

	Source   []string `help:"A source of webhooks: NAME=rsa:FILE_OR_URL, NAME=standard:FILE or NAME=none; repeatable." placeholder:"NAME=SCHEME[:ARG]"`
	Insecure bool     `help:"Allow what is only safe on a closed network: sources without signatures, an API without a token and a NATS port without --nats-users, on addresses that are not loopback."`

	Replicas           int           `help:"Replicas of the log and the views on a cluster: 1, 3 or 5; 0 keeps what exists." default:"0" placeholder:"N"`
	MaxAge             time.Duration `help:"Remove records older than this; 0 keeps what is set, -1s removes the limit. A log without limits can be rebuilt from its start." default:"0" placeholder:"DURATION"`
	MaxBytes           string        `help:"Remove the oldest records above this size, like 100GiB; 0 keeps what is set, -1 removes the limit." default:"0" placeholder:"SIZE"`
	DuplicateWindow    time.Duration `help:"How long a repeat of a delivery is recognised at ingest; 0 keeps what is set, 10m for a new log. It costs 170 bytes of server memory a delivery." default:"0" placeholder:"DURATION"`
	CacheBytes         string        `help:"Memory for the entities that each projector holds." default:"64MiB" placeholder:"SIZE"`
	ViewMaxAge         time.Duration `help:"Drop sessions from the views folded here this long after they ended, and recordings after they were done; 0 keeps them. The log keeps what it has." default:"0" placeholder:"DURATION"`
	AutoRebuild        bool          `help:"Rebuild a view that another version of its fold made, or that can't go on, as after the log was restored from a backup. Without it such a view says what to run, and stays as it is."`
	AuditInterval      time.Duration `help:"How often the views folded here are verified in the background; 0 is never. Each audit reads the whole log, 20,000 records per second at most." default:"0" placeholder:"DURATION"`
	AuditSample        float64       `help:"Share of the entities that an audit looks at, above 0 and up to 1; each time others." default:"0.1" placeholder:"SHARE"`
	StaleAfter         time.Duration `help:"How long without an event makes a LIVE session stale." default:"24h" placeholder:"DURATION"`
	APICert            string        `name:"api-tls-cert" help:"Certificate (PEM) of the read API; without it, plain HTTP." type:"path" placeholder:"FILE"`
	APIKey             string        `name:"api-tls-key" help:"Private key (PEM) of --api-tls-cert." type:"path" placeholder:"FILE"`
	AdminCert          string        `name:"admin-tls-cert" help:"Certificate (PEM) of --admin-addr; without it, plain HTTP." type:"path" placeholder:"FILE"`
	AdminKey           string        `name:"admin-tls-key" help:"Private key (PEM) of --admin-tls-cert." type:"path" placeholder:"FILE"`
	APITokenFile       string        `name:"api-token-file" help:"File with the bearer tokens of the read API, a line NAME ROLE TOKEN each; roles are viewer, reader and operator. Needed where --api-addr is not loopback." type:"path" placeholder:"FILE"`
	AccessLog          bool          `help:"Log each request to the read API: name of the token, method, route, status, duration, bytes."`
	Pprof              bool          `help:"Serve profiles (/debug/pprof/) on --admin-addr, which must be loopback, or ask for a token of the role operator."`
	APIHost            []string      `name:"api-host" help:"Name that the read API may be addressed by, beside localhost and addresses; repeatable. Only needed without --api-token-file." placeholder:"NAME"`
	APIBasePath        string        `name:"api-base-path" help:"Path below which the read API and the page are served, like /rollcall, for a reverse proxy that passes it on; without it, at /." placeholder:"PATH"`
	ReplicaDir         string        `help:"Directory of the query target's SQLite cache; by default within --data-dir, or a temporary one with --nats-url. It can be deleted at any time." type:"path" placeholder:"DIR"`
	APIMaxConnections  int           `name:"api-max-connections" help:"Connections of the read API; one more is closed. 0 is what the limit of open files (ulimit -n) allows, at most 4,096." default:"0" placeholder:"N"`
	NATSMaxConnections int           `name:"nats-max-connections" help:"Connections of clients without credentials, and of the role reader, to the embedded server; one more is refused. 0 is what the limit of open files (ulimit -n) allows, at most 4,096." default:"0" placeholder:"N"`
	APIIdleTimeout     time.Duration `name:"api-idle-timeout" help:"How long a connection of the read API stays open between two requests; keep it above that of a load balancer in front, mostly 60s." default:"75s" placeholder:"DURATION"`
	StopTimeout        time.Duration `help:"How long a graceful stop may take." default:"25s" placeholder:"DURATION"`

	ingestFlags
}

// Help is the command's example.
func (serveCmd) Help() string {
	return `Runs Rollcall. Alone it embeds a NATS server with JetStream and does everything; with --nats-url it uses yours,
and a process can take one part. At SIGHUP it reads its settings again: sources, --source-rate, --same-body, --api-token-file and
--log-level change at once, others need a restart.

Examples:
  rollcall serve --source prod=rsa:public.pem
  rollcall serve --target=ingest --nats-url nats://nats:4222 --nats-creds ingest.creds --source prod=rsa:https://api.example.com/.well-known/webhooks.json
  rollcall serve --target=project --views recordings --nats-url nats://nats:4222`
}

// Run serves until the process is asked to stop.
func (c *serveCmd) Run(a *app) error {
	cfg, err := c.config(a)
	if err != nil {
		return err
	}
	if _, set := a.Env(envName("nats-url")); set && c.NATSURL != "" && !a.given("nats-url") {
		a.Logger.Warn().Str("nats_url", console.RedactURL(c.NATSURL)).Msg(envName("nats-url") + " is set: that server is used, and none is embedded; unset it, or give --nats-url= to embed one in --data-dir")
	}
	if cfg.Supervisor, err = node.SupervisorOf(a.Env); err != nil {
		return err
	}
	if cfg.Traces, err = traces.FromEnv(a.Env, cfg.Version.Version); err != nil {
		return err
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGHUP)
	defer signal.Stop(signals)
	n := node.New(cfg, a.Logger)
	defer c.watchReloads(a, n, signals)()
	return n.Run(a.Ctx)
}

// ingestFlags are the limits of the ingester.
type ingestFlags struct {
	MaxBody          string        `help:"Largest body that is taken." default:"256KiB" placeholder:"SIZE"`
	MaxBodyMemory    string        `help:"Memory for the bodies under way, the first 8 KiB of each left out; a body above it gets 503." default:"128MiB" placeholder:"SIZE"`
	IngestTimeout    time.Duration `help:"Longest that a delivery waits for its answer; providers give up after 3s." default:"2500ms" placeholder:"DURATION"`
	MaxInFlight      int           `help:"Deliveries between body and answer; above it the answer is 503." default:"4096" placeholder:"N"`
	MaxVerifications int           `help:"Signatures checked at a time; 0 is two a CPU." default:"0" placeholder:"N"`
	RefusalDelay     time.Duration `help:"How long answers to bad signatures are held back once more than 100 per second arrive; negative: never." default:"500ms" placeholder:"DURATION"`
	SourceRate       float64       `help:"Verified deliveries per second of a source without a rate in the config file; above it the answer is 503. Repeats are not counted. 0 is no limit." default:"5000" placeholder:"N"`
	SameBody         int           `help:"How often one signed body is taken under different delivery ids, at once; after that once in ten seconds, and else the answer is 503. 0 is no limit." default:"1000" placeholder:"N"`
	MaxConnections   int           `help:"Connections of the webhook listener; one more gets 503. 0 is what the limit of open files (ulimit -n) allows, at most 20,000." default:"0" placeholder:"N"`
	HeaderTimeout    time.Duration `help:"Longest that a connection of the webhook listener takes to send a request's headers, after which it is closed." default:"2s" placeholder:"DURATION"`
	IdleTimeout      time.Duration `help:"How long a connection of the webhook listener stays open between two requests; keep it above that of a load balancer in front, mostly 60s." default:"75s" placeholder:"DURATION"`
	TLSCert          string        `name:"tls-cert" help:"Certificate (PEM) of the webhook listener; without it, plain HTTP." type:"path" placeholder:"FILE"`
	TLSKey           string        `name:"tls-key" help:"Private key (PEM) of --tls-cert." type:"path" placeholder:"FILE"`
	KeyInterval      time.Duration `help:"How often a key is fetched from its URL." default:"1h" placeholder:"DURATION"`
}
