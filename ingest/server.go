package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"sync"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/ingest/web"
)

// Defaults of ServerConfig.
const (
	DefaultReadHeaderTimeout = 2 * time.Second
	DefaultReadTimeout       = 3 * time.Second
	DefaultIdleTimeout       = 75 * time.Second // above the 60 s of common load balancers
	DefaultMaxHeaderBytes    = 16 << 10
	DefaultMaxConnections    = 20_000
	DefaultDrain             = 25 * time.Second

	// rejectTimeout bounds the goodbye to a connection above the limit, maxRejected
	// how many are under way, and rejectRead what is read of each.
	rejectTimeout = 250 * time.Millisecond
	maxRejected   = 256
	rejectRead    = 64 << 10
)

// ServerConfig bounds what clients can hold of an HTTP server. The zero value
// is the default.
type ServerConfig struct {
	// MaxConnections is how many connections are open at a time; one more gets
	// 503 and is closed. Idle ones cost 10 to 20 KiB each.
	MaxConnections int
	// ReadHeaderTimeout and ReadTimeout end requests that trickle in, IdleTimeout
	// connections without one.
	ReadHeaderTimeout, ReadTimeout, IdleTimeout time.Duration
	MaxHeaderBytes                              int
	// Drain bounds the wait for requests under way once ctx ended.
	Drain time.Duration
	// TLS, if set, is spoken on the listener.
	TLS    *tls.Config
	Logger zerolog.Logger
	// Metrics takes the connection metrics; nil: none. Label distinguishes servers.
	Metrics prometheus.Registerer
}

func (c ServerConfig) withDefaults() ServerConfig {
	for _, d := range []struct {
		v *time.Duration
		d time.Duration
	}{
		{&c.ReadHeaderTimeout, DefaultReadHeaderTimeout}, {&c.ReadTimeout, DefaultReadTimeout},
		{&c.IdleTimeout, DefaultIdleTimeout}, {&c.Drain, DefaultDrain},
	} {
		if *d.v == 0 {
			*d.v = d.d
		}
	}
	if c.MaxHeaderBytes == 0 {
		c.MaxHeaderBytes = DefaultMaxHeaderBytes
	}
	if c.MaxConnections == 0 {
		c.MaxConnections = DefaultMaxConnections
	}
	return c
}

// Serve serves handler on l until ctx ends, then takes no new connection, lets
// requests under way finish for at most Drain, and returns nil; later ones are
// cut. It closes l.
func Serve(ctx context.Context, l net.Listener, handler http.Handler, c ServerConfig) error {
	c = c.withDefaults()
	limited := newLimitedListener(l, c.MaxConnections, c.TLS == nil)
	defer limited.goodbyes.Wait()
	if c.Metrics != nil {
		if err := limited.register(c.Metrics); err != nil {
			return errors.Join(fmt.Errorf("serve: register metrics: %w", err), l.Close())
		}
	}
	var listener net.Listener = limited
	if c.TLS != nil {
		listener = &secureListener{limited, c.TLS}
	}
	server := &http.Server{
		Handler:           limited.asked(handler),
		ConnContext:       withConn,
		ConnState:         limited.state(c.ReadHeaderTimeout),
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.MaxHeaderBytes,
	}
	return web.Serve(ctx, listener, server, c.Drain, c.Logger)
}

// limitedListener bounds open connections. It does not let new ones wait, as a
// full backlog does: a provider that gets 503 retries.
type limitedListener struct {
	net.Listener
	slots    chan struct{}
	leaving  chan struct{} // rejected connections that are being answered
	goodbyes sync.WaitGroup
	plain    bool
	rejected prometheus.Counter
	timedOut prometheus.Counter
	garbled  *prometheus.CounterVec
}

func newLimitedListener(l net.Listener, limit int, plain bool) *limitedListener {
	return &limitedListener{
		Listener: l, slots: make(chan struct{}, limit), leaving: make(chan struct{}, maxRejected), plain: plain,
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "connections_rejected_total", Help: "Connections above the limit.",
		}),
		timedOut: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "connections_timed_out_total", Help: "Connections closed because a request's headers did not come in time.",
		}),
		garbled: prometheus.NewCounterVec(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "requests_garbled_total", Help: "Requests refused before anything looked at them: no HTTP, headers too large.",
		}, []string{"code"}),
	}
}

func (l *limitedListener) register(r prometheus.Registerer) error {
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "rollcall", Subsystem: "ingest", Name: "connections_open", Help: "Open connections.",
	}, func() float64 { return float64(len(l.slots)) })
	return errors.Join(r.Register(l.rejected), r.Register(l.timedOut), r.Register(l.garbled), r.Register(open))
}

// Accept returns the next connection within the limit.
func (l *limitedListener) Accept() (net.Conn, error) {
	for {
		conn, err := l.Listener.Accept()
		if err != nil {
			return nil, err
		}
		select {
		case l.slots <- struct{}{}:
			return &limitedConn{Conn: conn, of: l, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			l.reject(conn)
		}
	}
}

// reject says 503 where that can be said without a handshake.
func (l *limitedListener) reject(conn net.Conn) {
	l.rejected.Inc()
	if l.plain {
		select {
		case l.leaving <- struct{}{}:
			l.goodbyes.Go(func() {
				defer func() { <-l.leaving }()
				sayFull(conn)
			})
			return
		default: // too many at once: the rest is closed without an answer
		}
	}
	_ = conn.Close()
}

// sayFull answers and closes. A connection that is closed before it was read
// is reset, and a client whose request comes meanwhile would not see the answer.
// What fails here fails because the client is gone.
func sayFull(conn net.Conn) {
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(rejectTimeout))
	err := writeRaw(conn, &refusal{status: http.StatusServiceUnavailable, reason: "connections", detail: "too many connections are open"})
	if tcp, ok := conn.(*net.TCPConn); ok && err == nil {
		_ = tcp.CloseWrite()
		_, _ = io.CopyN(io.Discard, conn, rejectRead)
	}
}

// limitedConn is a connection that counts against the limit. It watches what
// net/http answers by itself.
type limitedConn struct {
	net.Conn
	of      *limitedListener
	release func()
	// waiting is since when, in nanoseconds, a request's headers are due; 0: none
	// are.
	waiting atomic.Int64
	// asked: a handler has the request, or had it; not between two requests.
	asked atomic.Bool
}

// connKey is the context key of a request's connection.
type connKey struct{}

func withConn(ctx context.Context, conn net.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, limitedOf(conn))
}

// limitedOf is the connection under TLS, if there is TLS.
func limitedOf(conn net.Conn) *limitedConn {
	if secure, ok := conn.(*secureConn); ok {
		return secure.under
	}
	limited, _ := conn.(*limitedConn)
	return limited
}

// asked notes that a request's headers have come.
func (l *limitedListener) asked(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if c, _ := r.Context().Value(connKey{}).(*limitedConn); c != nil {
			c.waiting.Store(0)
			c.asked.Store(true)
		}
		next.ServeHTTP(w, r)
	})
}

// state counts connections that net/http closes because headers did not come: it
// does so silently.
func (l *limitedListener) state(limit time.Duration) func(net.Conn, http.ConnState) {
	return func(conn net.Conn, s http.ConnState) {
		c := limitedOf(conn)
		if c == nil {
			return
		}
		switch s {
		case http.StateNew, http.StateActive:
			c.waiting.Store(time.Now().UnixNano())
		case http.StateIdle:
			c.waiting.Store(0)
			c.asked.Store(false)
		case http.StateClosed:
			if since := c.waiting.Load(); since != 0 && time.Since(time.Unix(0, since)) >= limit-limit/10 {
				l.timedOut.Inc()
			}
		}
	}
}

// Close closes the connection and frees its place, once.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
