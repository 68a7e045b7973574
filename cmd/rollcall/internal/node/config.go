package node

import (
	"crypto/tls"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/cmd/rollcall/internal/traces"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
	"rollcall/query"
)

// Config is what a process does and with what: checked, parsed and read. Nothing of
// it can be wrong any more but the world: a port in use, a disk that is full.
type Config struct {
	Roles Roles
	Folds []eventlog.Fold // of the views to project

	// DataDir is the embedded server's, ReplicaDir that of the copy that readers are
	// answered from, "" by default, ReadyFile gets the addresses once the process is ready.
	DataDir, ReplicaDir, ReadyFile string

	IngestAddr, APIAddr, AdminAddr string
	AdminLocal                     bool                                     // AdminAddr is loopback: names that others make point there are refused
	TLS                            struct{ Ingest, API, Admin *tls.Config } // nil: plain HTTP
	Connections                    Connections

	NATS   NATS
	Stream natslog.Config

	Handler                    ingest.Config // without what the node adds: log, logger, metrics
	HeaderTimeout, IdleTimeout time.Duration // of the webhook listener

	CacheBytes    int64 // memory for the entities of all projectors
	ViewMaxAge    time.Duration
	AutoRebuild   bool
	AuditInterval time.Duration // 0: never
	AuditSample   float64

	StaleAfter, APIIdleTimeout time.Duration
	APITokens                  []query.Token // none: everybody is let in
	AccessLog                  bool          // of the read API
	Pprof                      bool          // on AdminAddr: for operators, where that is not AdminLocal
	APIHosts                   []string
	APIBasePath                string // "": the read API is at /

	StopTimeout time.Duration
	Secrets     map[string]string // by flag: files that only their owner should read
	Version     Build
	Supervisor  Supervisor
	Traces      *traces.Tracer // nil: none
}

// NATS is a server of others at URL, or else the embedded one.
type NATS struct {
	URL     string
	Options []nats.Option // who we are there

	Listen string // of the embedded server; "": no port
	Users  []natsd.User
	TLS    *tls.Config // nil: none
	Closed bool        // nobody is let in without credentials
}

// The roles that a process can have.
const (
	TargetAll     = "all"
	TargetIngest  = "ingest"
	TargetProject = "project"
	TargetQuery   = "query"
)

// Roles are those of one process.
type Roles struct{ Ingest, Project, Query bool }

// All reports whether the process does everything.
func (r Roles) All() bool { return r.Ingest && r.Project && r.Query }

func (r Roles) names() (names []string) {
	for _, role := range []struct {
		name string
		does bool
	}{{TargetIngest, r.Ingest}, {TargetProject, r.Project}, {TargetQuery, r.Query}} {
		if role.does {
			names = append(names, role.name)
		}
	}
	return names
}

// String is the roles as --target takes them.
func (r Roles) String() string {
	if r.All() {
		return TargetAll
	}
	return strings.Join(r.names(), ",")
}
