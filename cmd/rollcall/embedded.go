package main

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"encoding/hex"
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
)

// embeddedConfig says how to run the nats-server inside the process.
type embeddedConfig struct {
	dir    string // data directory
	listen string // client address; empty: none
	users  []natsUser
	tls    *tls.Config // of the client port; nil: none
	// readers is how many connections clients without credentials have, 0: no
	// limit; closed: nobody is let in without credentials.
	readers int
	closed  bool
	log     zerolog.Logger
}

// embedded is a nats-server in this process: JetStream on files. It syncs
// lazily; what must outlive a power loss, the log, is synced by natslog.
type embedded struct {
	config embeddedConfig
	mu     sync.Mutex
	server *server.Server
	stuck  atomic.Bool // a stream could not be written since the last start
	files  salvage

	password string
	local    string // password of localUser
	unlock   func() error
	fatal    chan error
	once     sync.Once
}

// startEmbedded takes the data directory and starts the server. It returns when
// clients can connect, which includes the check of the files (see salvage).
func startEmbedded(ctx context.Context, c embeddedConfig) (*embedded, error) {
	unlock, err := lockDir(c.dir)
	if err != nil {
		return nil, err
	}
	e := &embedded{unlock: unlock, password: randomPassword(), local: randomPassword(), fatal: make(chan error, 1)}
	e.files = salvage{dir: c.dir, now: time.Now, log: c.log.With().Str(keyPart, "store").Logger()}
	if err := e.start(ctx, c); err != nil {
		return nil, errors.Join(err, unlock())
	}
	e.config = c
	if at := e.running().Addr(); at != nil {
		e.config.listen = at.String() // a restart keeps the port
	}
	return e, nil
}

// running is the server; a restart makes it another one.
func (e *embedded) running() *server.Server {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.server
}

// InProcessConn lets clients find the server again after a restart in place.
func (e *embedded) InProcessConn() (net.Conn, error) {
	s := e.running()
	if s == nil {
		return nil, errors.New("the embedded server is stopped")
	}
	return s.InProcessConn()
}

// restart starts the server again on its directory and port. Clients connect
// again by themselves.
func (e *embedded) restart(ctx context.Context) error {
	e.shutdown()
	e.stuck.Store(false)
	return e.start(ctx, e.config)
}

// storeDir is where the embedded server keeps its streams.
func storeDir(dataDir string) string { return filepath.Join(dataDir, "nats") }

func randomPassword() string {
	var b [24]byte
	rand.Read(b[:]) // never fails: crypto/rand ends the process instead
	return hex.EncodeToString(b[:])
}

func (e *embedded) start(ctx context.Context, c embeddedConfig) error {
	opts := &server.Options{}
	users := append(slices.Clone(c.users), natsUser{Name: localUser, Password: e.local, Role: "operator"})
	if err := opts.ProcessConfigString(accountsConfig(e.password, users, c.readers, !c.closed)); err != nil {
		return fmt.Errorf("configure embedded NATS: %w; check the names in --nats-users", err)
	}
	opts.ServerName = "rollcall"
	opts.JetStream = true
	opts.StoreDir = storeDir(c.dir)
	// The limit is the disk: the default, a share of what was free at the start,
	// would refuse a full but working log after a restart.
	opts.JetStreamMaxStore = math.MaxInt64 / 2
	// The log is synced by natslog before an append returns, one sync for all
	// records that came together. What else is stored here are views, which can
	// be made again from the log and may be a second old after a power loss.
	opts.SyncInterval = time.Second
	opts.JetStreamLimits.DefaultMaxConsumers = streamConsumers
	if c.readers > 0 {
		opts.MaxConn = c.readers + reservedConns
	}
	opts.NoSigs = true
	opts.DisableJetStreamBanner = true
	opts.DontListen = c.listen == ""
	if c.tls != nil {
		// Connections within the process go without.
		opts.TLS, opts.TLSConfig, opts.TLSTimeout = true, c.tls, 5
	}
	if c.listen != "" {
		host, port, err := splitListen(c.listen)
		if err != nil {
			return usagef("--nats-listen %q: %w", c.listen, err)
		}
		opts.Host, opts.Port = host, port
		if err := tryListen(c.listen); err != nil {
			return listenError("--nats-listen", c.listen, err)
		}
	}
	if err := e.files.run(ctx); err != nil {
		return err
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return fmt.Errorf("start embedded NATS: %w", err)
	}
	e.mu.Lock()
	e.server = s
	e.mu.Unlock()
	s.SetLoggerV2(&natsLog{log: c.log.With().Str(keyPart, "nats").Logger(), fatal: e.fatal, stuck: &e.stuck}, false, false, false)
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

// connect returns a connection with all rights that needs no port.
func (e *embedded) connect(opts ...nats.Option) (*nats.Conn, error) {
	nc, err := nats.Connect("", append(opts, nats.InProcessServer(e), nats.UserInfo(internalUser, e.password))...)
	if err != nil {
		return nil, fmt.Errorf("connect to embedded NATS: %w", err)
	}
	return nc, nil
}

// url is the address for other processes; empty where there is none.
func (e *embedded) url() string {
	if e.config.listen == "" {
		return ""
	}
	return "nats://" + e.config.listen
}

func (e *embedded) shutdown() {
	if s := e.running(); s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// stop ends the server, clients last, and gives the data directory back.
func (e *embedded) stop() (err error) {
	e.once.Do(func() {
		e.shutdown()
		err = e.unlock()
	})
	return err
}

func splitListen(address string) (string, int, error) {
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

// listenError says what to do about an address that can't be listened on.
func listenError(flag, address string, err error) error {
	switch {
	case errors.Is(err, syscall.EADDRINUSE):
		return fmt.Errorf("port of %s is in use: %s; stop what listens there, or choose another with %s (port 0: any free one)", flag, address, flag)
	case errors.Is(err, syscall.EACCES):
		return fmt.Errorf("no permission to listen on %s; choose a port above 1023 with %s", address, flag)
	}
	return usagef("%s %s: %w", flag, address, err)
}

// natsLog bridges the server's log into ours.
type natsLog struct {
	log   zerolog.Logger
	fatal chan<- error
	// stuck is set when a stream could not be written. Its publishers hear
	// nothing of that: the log line is all that the server says.
	stuck *atomic.Bool
}

func (l *natsLog) Noticef(format string, v ...any) { l.log.Debug().Msgf(format, v...) }
func (l *natsLog) Debugf(format string, v ...any)  { l.log.Debug().Msgf(format, v...) }
func (l *natsLog) Tracef(format string, v ...any)  { l.log.Trace().Msgf(format, v...) }

// Errorf passes errors on. What a client was refused is a warning: anybody can
// make the server say it.
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
