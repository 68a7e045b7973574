package ingest

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log"
	"net"
	"net/http"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
)

// Defaults of ServerConfig.
const (
	DefaultReadHeaderTimeout = 2 * time.Second
	DefaultReadTimeout       = 3 * time.Second
	DefaultIdleTimeout       = 60 * time.Second
	DefaultMaxHeaderBytes    = 16 << 10
	DefaultMaxConnections    = 20_000
	DefaultDrain             = 25 * time.Second

	// rejectTimeout bounds the goodbye to a connection above the limit.
	rejectTimeout = 100 * time.Millisecond
)

// ServerConfig bounds what clients can hold of an HTTP server. The zero value
// is the default.
type ServerConfig struct {
	// MaxConnections is how many connections are open at a time; one more is told
	// 503 and closed. Idle ones cost 10 to 20 KiB each.
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
	// Metrics takes the connection metrics; nil: none. Label tells servers apart.
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
	if c.Metrics != nil {
		if err := limited.register(c.Metrics); err != nil {
			return errors.Join(fmt.Errorf("serve: register metrics: %w", err), l.Close())
		}
	}
	var listener net.Listener = limited
	if c.TLS != nil {
		listener = tls.NewListener(limited, c.TLS)
	}
	server := &http.Server{
		Handler:           handler,
		ReadHeaderTimeout: c.ReadHeaderTimeout,
		ReadTimeout:       c.ReadTimeout,
		IdleTimeout:       c.IdleTimeout,
		MaxHeaderBytes:    c.MaxHeaderBytes,
		ErrorLog:          log.New(serverLog{c.Logger}, "", 0),
	}
	served := make(chan error, 1)
	go func() { served <- server.Serve(listener) }()
	select {
	case err := <-served:
		return fmt.Errorf("serve: %w", err)
	case <-ctx.Done():
	}
	drain, cancel := context.WithTimeout(context.WithoutCancel(ctx), c.Drain)
	defer cancel()
	err := server.Shutdown(drain)
	if err != nil {
		err = errors.Join(fmt.Errorf("serve: requests cut after %v: %w", c.Drain, err), server.Close())
	}
	<-served
	return err
}

// serverLog passes net/http's complaints (broken handshakes, panics) on. Their
// text can hold what a client sent, so that only its size is logged.
type serverLog struct{ logger zerolog.Logger }

func (l serverLog) Write(b []byte) (int, error) {
	l.logger.Debug().Int("text_bytes", len(b)).Msg("http server complains")
	return len(b), nil
}

// limitedListener bounds open connections. It does not let new ones wait, as a
// full backlog does: a provider that hears 503 comes again.
type limitedListener struct {
	net.Listener
	slots    chan struct{}
	plain    bool
	rejected prometheus.Counter
}

func newLimitedListener(l net.Listener, limit int, plain bool) *limitedListener {
	return &limitedListener{
		Listener: l, slots: make(chan struct{}, limit), plain: plain,
		rejected: prometheus.NewCounter(prometheus.CounterOpts{
			Namespace: "rollcall", Subsystem: "ingest", Name: "connections_rejected_total", Help: "Connections above the limit.",
		}),
	}
}

func (l *limitedListener) register(r prometheus.Registerer) error {
	open := prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Namespace: "rollcall", Subsystem: "ingest", Name: "connections_open", Help: "Open connections.",
	}, func() float64 { return float64(len(l.slots)) })
	return errors.Join(r.Register(l.rejected), r.Register(open))
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
			return &limitedConn{Conn: conn, release: sync.OnceFunc(func() { <-l.slots })}, nil
		default:
			l.reject(conn)
		}
	}
}

// reject says 503 where that can be said without a handshake.
func (l *limitedListener) reject(conn net.Conn) {
	l.rejected.Inc()
	if l.plain {
		// Both can fail only where the client is gone.
		_ = conn.SetWriteDeadline(time.Now().Add(rejectTimeout))
		_, _ = conn.Write([]byte("HTTP/1.1 503 Service Unavailable\r\nRetry-After: 1\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"))
	}
	_ = conn.Close()
}

type limitedConn struct {
	net.Conn
	release func()
}

// Close closes the connection and frees its place, once.
func (c *limitedConn) Close() error {
	defer c.release()
	return c.Conn.Close()
}
