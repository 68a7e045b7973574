package node

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
	"rollcall/ingest/web"
)

// Unanswered pings after which a connection to NATS counts as lost.
const (
	natsPing     = 5 * time.Second
	natsPingsOut = 2
)

// Node is a running Rollcall: the roles of one process, and what they share.
type Node struct {
	Config
	Logger   zerolog.Logger
	registry *prometheus.Registry
	// asked are metrics that cost a look at the server or the disk: a scrape has them, and
	// not the status, which is made every second.
	asked  *prometheus.Registry
	Health *health

	Embedded  *natsd.Server
	guard     *natsd.Guard
	ping      func(context.Context) error // pings the embedded server; nil without one
	Reads     wire.Watch                  // which reads can't go on
	Conns     []*nats.Conn
	Log       *natslog.Log
	views     []*viewRole
	audit     *auditor
	Listeners struct{ ingest, API, admin net.Listener }
	closers   []func() error
	active    active

	loaded func(context.Context) bool // whether readers get answers; nil: there are none

	failed chan error
	Ready  chan struct{} // closed when the process is ready
	// stages are stopped one after the other: first what takes work in, last
	// what others need to see us by.
	stages [stages]stage
}

// The stages of a stop, in order.
const (
	stageIngest = iota
	stageProject
	stageQuery
	stageAdmin
	stages
)

// stage is the goroutines that are stopped together.
type stage struct {
	ctx    context.Context
	cancel context.CancelFunc
	wait   sync.WaitGroup
}

// New is a node that has touched nothing yet: Run starts it.
func New(c Config, logger zerolog.Logger) *Node {
	n := &Node{Config: c, Logger: logger, registry: newRegistry(c.Version), asked: prometheus.NewRegistry(), Health: &health{starting: true}, failed: make(chan error, 16), Ready: make(chan struct{})}
	n.Health.register(n.asked)
	n.active.sources.Store(&n.Handler.Sources)
	n.active.tokens.Store(&n.APITokens)
	return n
}

// Run starts everything, and stops it when ctx ends or a part fails.
func (n *Node) Run(ctx context.Context) error {
	ctx = wire.WithWatch(ctx, &n.Reads)
	for i := range n.stages {
		n.stages[i].ctx, n.stages[i].cancel = context.WithCancel(context.WithoutCancel(ctx))
	}
	err := n.refusedRights(n.start(ctx))
	if err == nil {
		select {
		case <-ctx.Done():
			n.Logger.Info().Msg("stopping")
		case err = <-n.failed:
		}
	}
	if ctx.Err() != nil && errors.Is(err, context.Canceled) {
		err = nil // stopped while it started
	}
	return errors.Join(err, n.stop())
}

// refusedRights explains a timeout that comes from a missing right: the server
// does not answer what it refuses.
func (n *Node) refusedRights(err error) error {
	if err == nil {
		return nil
	}
	for _, nc := range n.Conns {
		if refused := nc.LastError(); errors.Is(refused, nats.ErrPermissionViolation) {
			return fmt.Errorf("the NATS user may not do what --target=%s needs: name one of that role (docs/OPERATIONS.md) with --nats-login-file, --nats-creds or --nats-nkey: %w: %w",
				n.Roles, refused, err)
		}
	}
	return err
}

// serve runs fn in a stage. Its error ends the process.
func (n *Node) serve(which int, fn func(ctx context.Context) error) {
	s := &n.stages[which]
	s.wait.Go(func() {
		if err := fn(s.ctx); err != nil && s.ctx.Err() == nil {
			select {
			case n.failed <- err:
			default: // sixteen are enough to stop
			}
		}
	})
}

// start starts everything in an order in which what can be refused is refused
// before anything is written: ports, then NATS and its files, the log, the roles.
// It returns once the node is ready.
func (n *Node) start(ctx context.Context) error {
	// A killed process leaves its file behind; whoever waits for the new one must not
	// read it.
	if err := n.removeReadyFile(); err != nil {
		return err
	}
	if err := n.listen(); err != nil {
		return err
	}
	n.warnOfReadableSecrets()
	n.Logger.Info().Object("connections", n.Connections).Uint64("open_files", Descriptors()).Msg("limits")
	n.serve(stageAdmin, func(ctx context.Context) error {
		return web.Serve(ctx, n.Listeners.admin, adminServer(n.Health, prometheus.Gatherers{n.registry, n.asked}, n.AdminLocal, n.profiles()), time.Second, n.Logger)
	})
	if n.Traces != nil {
		n.serve(stageAdmin, func(ctx context.Context) error {
			return n.Traces.Run(ctx, n.Logger.With().Str(console.KeyPart, "traces").Logger())
		})
	}
	if err := n.openNATS(ctx); err != nil {
		return err
	}
	if err := n.openLog(ctx); err != nil {
		return err
	}
	if err := n.startRoles(ctx); err != nil {
		return err
	}
	n.Health.started()
	return n.announce(ctx)
}

// listen takes the ports first: a port in use is found before anything is
// written.
func (n *Node) listen() (err error) {
	open := func(flag, address string, most int, secure *tls.Config) (net.Listener, error) {
		l, err := listenTLS(flag, address, most, secure)
		if err == nil {
			n.closers = append(n.closers, func() error { l.Close(); return nil }) // closed already where it served
		}
		return l, err
	}
	if n.Listeners.admin, err = open("--admin-addr", n.AdminAddr, n.Connections.Admin, n.TLS.Admin); err != nil {
		return err
	}
	if n.Roles.Ingest {
		if n.Listeners.ingest, err = open("--ingest-addr", n.IngestAddr, 0, nil); err != nil {
			return err
		}
	}
	if n.Roles.Query {
		n.Listeners.API, err = open("--api-addr", n.APIAddr, n.Connections.API, n.TLS.API)
	}
	return err
}

// listenTLS opens a port for up to most connections at once; 0 is no bound.
// secure is nil for plain ones.
func listenTLS(flag, address string, most int, secure *tls.Config) (net.Listener, error) {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return nil, natsd.ListenError(flag, address, err)
	}
	if most > 0 {
		l = bound(l, most)
	}
	if secure != nil {
		l = tls.NewListener(l, secure)
	}
	return l, nil
}

// openNATS starts the embedded server, or checks that the external one answers.
func (n *Node) openNATS(ctx context.Context) error {
	if n.NATS.URL != "" {
		_, _, err := n.connect(ctx, "probe")
		return err
	}
	e, err := natsd.Start(ctx, natsd.Config{Dir: n.DataDir, Listen: n.NATS.Listen, Users: n.NATS.Users, TLS: n.NATS.TLS,
		Readers: n.Connections.NATS, Closed: n.NATS.Closed, Logger: n.Logger})
	if err != nil {
		return err
	}
	n.Embedded = e
	if err := natsd.CheckImported(n.DataDir); err != nil {
		return err
	}
	e.Files.Register(n.registry)
	registerSpace(n.asked, n.DataDir)
	n.Health.Add(Check{"files", e.Files.Check})
	n.serve(stageAdmin, func(ctx context.Context) error { e.Files.Watch(ctx); return nil })
	if e.URL() != "" {
		if remove, err := e.LeaveLogin(); err == nil {
			n.closers = append(n.closers, remove)
		} else {
			n.Logger.Warn().Err(err).Msg("commands that change views need --nats-users here: the login file for this user's own commands could not be written")
		}
	}
	nc, _, err := n.connect(ctx, "guard")
	if err != nil {
		return err
	}
	n.ping = nc.FlushWithContext
	n.guard, err = natsd.StartGuard(e, nc, n.Logger.With().Str(console.KeyPart, "guard").Logger())
	return err
}

// connect returns a connection for one part. It reconnects after every interruption.
func (n *Node) connect(ctx context.Context, part string) (*nats.Conn, jetstream.JetStream, error) {
	log := n.Logger.With().Str(console.KeyPart, part).Logger()
	opts := []nats.Option{
		nats.Name("rollcall-" + part), nats.MaxReconnects(-1), nats.ReconnectWait(250 * time.Millisecond),
		// A peer that vanished without closing is detected within 15 s, not four minutes.
		nats.PingInterval(natsPing), nats.MaxPingsOutstanding(natsPingsOut),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) {
			if err != nil {
				log.Warn().Err(err).Msg("connection to NATS lost")
			}
		}),
		nats.ReconnectHandler(func(*nats.Conn) { log.Info().Msg("connected to NATS again") }),
		nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { log.Warn().Err(err).Msg("NATS") }),
	}
	var nc *nats.Conn
	var js jetstream.JetStream
	var err error
	if n.Embedded != nil {
		if nc, err = n.Embedded.Connect(opts...); err == nil {
			js, err = jetstream.New(nc, jetstream.WithDefaultTimeout(5*time.Second))
		}
	} else {
		nc, js, err = attach.Dial(ctx, n.NATS.URL, append(opts, n.NATS.Options...)...)
	}
	if err != nil {
		return nil, nil, err
	}
	n.Conns = append(n.Conns, nc)
	return nc, js, nil
}

// openLog opens the log where this process writes it, and waits for it
// elsewhere.
func (n *Node) openLog(ctx context.Context) error {
	_, js, err := n.connect(ctx, "log")
	if err != nil {
		return err
	}
	if n.Roles.Ingest {
		c := n.Stream
		if n.Embedded != nil {
			c.StoreDir = natsd.StoreDir(n.DataDir)
		}
		n.Log, err = natslog.Open(ctx, js, c)
		return err
	}
	for waited := false; ; waited = true {
		n.Log, err = natslog.Attach(ctx, js)
		if !errors.Is(err, eventlog.ErrNoLog) && (!errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, natslog.ErrServer)) {
			return err
		}
		if !waited {
			n.Logger.Warn().Err(err).Msg("there is no log yet: waiting for a process with --target=ingest")
		}
		select {
		case err := <-n.failed:
			return err
		default:
		}
		if err := wire.Pause(ctx, 250*time.Millisecond); err != nil {
			return err
		}
	}
}

func (n *Node) natsURL() string {
	if n.Embedded != nil {
		return n.Embedded.URL()
	}
	return console.RedactURL(n.NATS.URL)
}

// Addresses are what the ready file says.
type Addresses struct {
	Ingest string `json:"ingest"`
	API    string `json:"api"`
	Admin  string `json:"admin"`
	NATS   string `json:"nats"`
}

// Addresses are those that the node listens on, once it is ready.
func (n *Node) Addresses() Addresses {
	of := func(l net.Listener) string {
		if l == nil {
			return ""
		}
		return l.Addr().String()
	}
	return Addresses{of(n.Listeners.ingest), of(n.Listeners.API), of(n.Listeners.admin), n.natsURL()}
}

// loadPatience is how long a process that is ready otherwise waits for its views
// to be loaded before it says so.
const loadPatience = 2 * time.Second

// announce waits until the process is ready and says so.
func (n *Node) announce(ctx context.Context) error {
	for began := time.Now(); ; {
		// Readers lag for a moment: where their views load soon, "ready" waits for
		// that.
		if _, ready := n.Health.Report(ctx); ready && (n.loaded == nil || n.loaded(ctx) || time.Since(began) > loadPatience) {
			break
		}
		select {
		case err := <-n.failed:
			return err
		default:
		}
		if err := wire.Pause(ctx, 20*time.Millisecond); err != nil {
			return nil // stopped before it was ready
		}
	}
	at := n.Addresses()
	n.Logger.Info().Str("ingest_address", at.Ingest).Str("api_address", at.API).Str("admin_address", at.Admin).Str("nats_url", at.NATS).Msg("ready")
	n.notify("READY=1")
	n.serve(stageAdmin, n.signsOfLife)
	close(n.Ready)
	if n.ReadyFile == "" {
		return nil
	}
	n.closers = append(n.closers, n.removeReadyFile)
	return WriteReadyFile(n.ReadyFile, at)
}

func (n *Node) removeReadyFile() error {
	if n.ReadyFile == "" {
		return nil
	}
	info, err := os.Lstat(n.ReadyFile)
	if err == nil && !info.Mode().IsRegular() {
		// A device such as /dev/stdout, a link or a directory is not ours to remove.
		return fmt.Errorf("remove ready file: %s is no regular file; check --ready-file", n.ReadyFile)
	}
	if err == nil {
		err = os.Remove(n.ReadyFile)
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("remove ready file: %w; check --ready-file", err)
	}
	return nil
}

// WriteReadyFile writes the file whole or not at all: whoever waits for it
// reads it the moment it is there.
func WriteReadyFile(path string, at Addresses) error {
	b, err := json.Marshal(at, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode ready file: %w", err)
	}
	tmp, err := os.CreateTemp(filepath.Dir(path), ".ready-*")
	if err != nil {
		return fmt.Errorf("write ready file: %w", err)
	}
	_, err = tmp.Write(append(b, '\n'))
	err = errors.Join(err, tmp.Chmod(0o644), tmp.Close())
	if err == nil {
		err = os.Rename(tmp.Name(), path)
	}
	if err != nil {
		return errors.Join(fmt.Errorf("write ready file: %w", err), os.Remove(tmp.Name()))
	}
	return nil
}

// stop stops stage by stage, within StopTimeout.
func (n *Node) stop() error {
	n.Health.Stop()
	n.notify("STOPPING=1")
	done := make(chan error, 1)
	go func() { done <- n.stopAll() }()
	limit := time.NewTimer(n.StopTimeout)
	defer limit.Stop()
	select {
	case err := <-done:
		return err
	case <-limit.C:
		return fmt.Errorf("stop did not finish within %s; nothing that was answered with 200 is lost", n.StopTimeout)
	}
}

// stopAll ends the stages one after the other and waits for each, then closes what
// they used. The embedded server goes last, since the others still write to it.
func (n *Node) stopAll() (err error) {
	for i := range n.stages {
		n.stages[i].cancel()
		n.stages[i].wait.Wait()
		if i == stageIngest && n.Log != nil {
			n.Log.Close()
		}
	}
	if n.guard != nil {
		n.guard.Stop()
	}
	for i := len(n.closers) - 1; i >= 0; i-- {
		err = errors.Join(err, n.closers[i]())
	}
	for _, nc := range n.Conns {
		nc.Close()
	}
	if n.Embedded != nil {
		err = errors.Join(err, n.Embedded.Stop())
	}
	return err
}
