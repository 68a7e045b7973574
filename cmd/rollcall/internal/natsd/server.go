package natsd

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"math"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
)

// reservedConns is how many connections of the embedded server, beside those
// of readers, are for users with a role, for this program's own, which need no
// descriptor, and for those that are just being opened.
const reservedConns = 64

// Version is nats-server's.
const Version = server.VERSION

// MaxPayload is how many bytes a message has at most.
const MaxPayload = server.MAX_PAYLOAD_SIZE

// Config says how to run the nats-server inside the process.
type Config struct {
	Dir    string // data directory
	Listen string // client address; empty: none
	Users  []User
	TLS    *tls.Config // of the client port; nil: none
	// readers is how many connections clients without credentials have, 0: no
	// limit; closed: nobody is let in without credentials.
	Readers int
	Closed  bool
	Logger  zerolog.Logger
}

// Server is a nats-server in this process: JetStream on files. It syncs
// lazily; what must outlive a power loss, the log, is synced by natslog.
type Server struct {
	config Config
	mu     sync.Mutex
	server *server.Server
	stuck  atomic.Bool // a stream could not be written since the last start
	Files  salvage

	password string
	local    string // password of localUser
	unlock   func() error
	fatal    chan error
	once     sync.Once
}

// Start takes the data directory and starts the server. It returns when
// clients can connect, which includes the check of the files (see salvage).
func Start(ctx context.Context, c Config) (*Server, error) {
	unlock, err := LockDir(c.Dir)
	if err != nil {
		return nil, err
	}
	e := &Server{unlock: unlock, password: rand.Text(), local: rand.Text(), fatal: make(chan error, 1)}
	e.Files = salvage{dir: c.Dir, now: time.Now, log: c.Logger.With().Str(console.KeyPart, "store").Logger()}
	if err := e.start(ctx, c); err != nil {
		return nil, errors.Join(err, unlock())
	}
	e.config = c
	if at := e.running().Addr(); at != nil {
		e.config.Listen = at.String() // a restart keeps the port
	}
	return e, nil
}

// running is the server; a restart makes it another one.
func (e *Server) running() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server
}

// InProcessConn lets clients find the server again after a restart in place.
func (e *Server) InProcessConn() (net.Conn, error) {
	s := e.running()
	if s == nil {
		return nil, errors.New("the embedded server is stopped")
	}
	return s.InProcessConn()
}

// IsStuck reports whether a stream could not be written since the last start.
func (e *Server) IsStuck() bool { return e.stuck.Load() }

// Restart starts the server again on its directory and port. Clients connect
// again by themselves.
func (e *Server) Restart(ctx context.Context) error {
	e.shutdown()
	e.stuck.Store(false)
	return e.start(ctx, e.config)
}

// StoreDir is where the embedded server keeps its streams.
func StoreDir(dataDir string) string { return filepath.Join(dataDir, "nats") }

// start configures the server, has the files checked while nobody writes to them,
// and waits until the server takes connections. Everything that can be refused is
// refused before the files are touched.
func (e *Server) start(ctx context.Context, c Config) error {
	opts := &server.Options{}
	users := append(slices.Clone(c.Users), User{Name: localUser, Password: e.local, Role: "operator"})
	if err := opts.ProcessConfigString(accountsConfig(e.password, users, c.Readers, !c.Closed)); err != nil {
		return fmt.Errorf("configure embedded NATS: %w; check the names in --nats-users", err)
	}
	opts.ServerName = "rollcall"
	opts.JetStream = true
	opts.StoreDir = StoreDir(c.Dir)
	// The limit is the disk: the default, a share of what was free at the start,
	// would refuse a full but working log after a restart.
	opts.JetStreamMaxStore = math.MaxInt64 / 2
	// The log is synced by natslog before an append returns, one sync for all
	// records that came together. What else is stored here are views, which can
	// be made again from the log and may be a second old after a power loss.
	opts.SyncInterval = time.Second
	opts.JetStreamLimits.DefaultMaxConsumers = streamConsumers
	if c.Readers > 0 {
		opts.MaxConn = c.Readers + reservedConns
	}
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true
	opts.DontListen = c.Listen == ""
	if c.TLS != nil {
		// Connections within the process go without.
		opts.TLS, opts.TLSConfig, opts.TLSTimeout = true, c.TLS, 5
	}
	if c.Listen != "" {
		host, port, err := SplitListen(c.Listen)
		if err != nil {
			return console.Usagef("--nats-listen %q: %w", c.Listen, err)
		}
		opts.Host, opts.Port = host, port
		if err := tryListen(c.Listen); err != nil {
			return ListenError("--nats-listen", c.Listen, err)
		}
	}
	if err := e.Files.run(ctx); err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start embedded NATS: %w", err)
	}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	s.SetLoggerV2(&natsLog{log: c.Logger.With().Str(console.KeyPart, "nats").Logger(), fatal: e.fatal, stuck: &e.stuck}, false, false, false)
	go s.Start()
	for !s.ReadyForConnections(100 * time.Millisecond) {
		select {
		case err := <-e.fatal:
			e.shutdown()
			return fmt.Errorf("start embedded NATS: %w", err)
		case <-ctx.Done():
			e.shutdown()
			return ctx.Err()
		default:
		}
	}
	return nil
}

// Connect returns a connection with all rights that needs no port.
func (e *Server) Connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(opts, nats.InProcessServer(e), nats.UserInfo(internalUser, e.password))...)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded NATS: %w", err)
	}
	return nc, nil
}

// URL is the address for other processes; empty where there is none.
func (e *Server) URL() string {
	if e.config.Listen == "" {
		return ""
	}
	return "nats://" + e.config.Listen
}

func (e *Server) shutdown() {
	if s := e.running(); s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Stop ends the server, clients last, and gives the data directory back.
func (e *Server) Stop() (err error) {
	e.once.Do(func() {
		e.shutdown()
		err = e.unlock()
	})
	return err
}

// SplitListen reads an address to listen on; port 0 becomes nats-server's "any free one".
func SplitListen(address string) (string, int, error) {
	host, text, err := net.SplitHostPort(address)
	if err != nil {
		return "", 0, err
	}
	port, err := strconv.ParseUint(text, 10, 16)
	if err != nil {
		return "", 0, fmt.Errorf("port %q: want 0 to 65535", text)
	}
	if port == 0 {
		return host, server.RANDOM_PORT, nil
	}
	return host, int(port), nil
}

// tryListen finds out whether an address can be had, since nats-server reports
// that through its log alone.
func tryListen(address string) error {
	l, err := net.Listen("tcp", address)
	if err != nil {
		return err
	}
	return l.Close()
}

// ListenError says what to do about an address that can't be listened on.
func ListenError(flag, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port of %s is in use: %s; stop what listens there, or choose another with %s (port 0: any free one)", flag, address, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("no permission to listen on %s; choose a port above 1023 with %s", address, flag)
	}
	return console.Usagef("%s %s: %w", flag, address, err)
}

// natsLog bridges the server's log into ours.
type natsLog struct {
	log   zerolog.Logger
	fatal chan<- error
	// stuck is set when a stream could not be written. Its publishers get
	// no error: a log line is all that the server reports.
	stuck *atomic.Bool
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l *natsLog) Debugf(format string, v ...any)  { l.log.Debug().Msgf(format, v...) }
func (l *natsLog) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }

// Errorf passes errors on. A client's refusal is a warning: anybody can
// cause it.
func (l *natsLog) Errorf(format string, v ...any) {
	if strings.Contains(format, "ritical write error") {
		l.stuck.Store(true)
	}
	level := zerolog.ErrorLevel
	if strings.Contains(format, "Violation") || strings.Contains(format, "authentication error") {
		level = zerolog.WarnLevel
	}
	l.log.WithLevel(level).Msgf(format, v...)
}

// Warnf passes warnings on, but for the one about passwords in a configuration
// file: ours are made at each start and never written.
func (l *natsLog) Warnf(format string, v ...any) {
	if strings.Contains(format, "Plaintext passwords") {
		return
	}
	l.log.Warn().Msgf(format, v...)
}

func (l *natsLog) Fatalf(format string, v ...any) {
	err := fmt.Errorf(format, v...)
	l.log.Error().Err(err).Msg("nats server stopped")
	select {
	case l.fatal <- err:
	default:
	}
}
