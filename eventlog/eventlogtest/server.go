package eventlogtest

import (
	"errors"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// readyTimeout bounds the start of a server. Recovering a directory with many
// records under the race detector takes a few seconds; an empty one 5 ms.
const readyTimeout = 30 * time.Second

// Options says how the test's server differs from the default: file storage in
// t.TempDir(), a free port on loopback, nats-server's lazy sync.
type Options struct {
	// Dir is the store directory; "" takes t.TempDir().
	Dir string
	// SyncAlways makes every acknowledged write durable, as an external server
	// with sync_interval "always" does. The program's own syncs the log instead.
	SyncAlways bool
	// Port is the client port on 127.0.0.1; 0 picks a free one, which a
	// restart keeps.
	Port int
	// NoListen leaves out the client port: only in-process connections.
	NoListen bool
	// NoJetStream starts a server that cannot hold a log.
	NoJetStream bool
	// MaxStore bounds the bytes on disk; 0 leaves nats-server's own choice.
	MaxStore int64
	// Configure may change the server's options just before each start.
	Configure func(*server.Options)
}

// Node is a nats-server in the test's process. Its methods may be used from
// several goroutines.
type Node struct {
	mu      sync.Mutex
	options Options
	server  *server.Server // nil while stopped
	url     string
}

// Server starts a nats-server that ends with the test. At most one Options is
// taken.
func Server(t testing.TB, options ...Options) *Node {
	t.Helper()
	n := new(Node)
	if len(options) > 0 {
		n.options = options[0]
	}
	if n.options.Dir == "" {
		n.options.Dir = t.TempDir()
	}
	n.Start(t)
	t.Cleanup(n.stop)
	return n
}

// Connect starts a server and returns a JetStream context on it.
func Connect(t testing.TB, options ...Options) jetstream.JetStream {
	t.Helper()
	return Server(t, options...).JetStream(t)
}

// Start starts a stopped server on its directory and port. It returns when the
// server takes connections.
func (n *Node) Start(t testing.TB) {
	t.Helper()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.server != nil {
		return
	}
	o := &server.Options{
		ServerName: "eventlogtest",
		Host:       "127.0.0.1",
		Port:       n.options.Port,
		DontListen: n.options.NoListen,
		JetStream:  !n.options.NoJetStream,
		StoreDir:   n.options.Dir,
		SyncAlways: n.options.SyncAlways,
		NoSigs:     true,
		NoLog:      true,
		// A machine that stands still is no slow client.
		AuthTimeout: Patience.Seconds(), WriteDeadline: Patience,
	}
	if o.Port == 0 {
		o.Port = server.RANDOM_PORT
	}
	if n.options.MaxStore > 0 {
		o.JetStreamMaxStore = n.options.MaxStore
	}
	if n.options.Configure != nil {
		n.options.Configure(o)
	}
	s, err := server.NewServer(o)
	if err != nil {
		t.Fatalf("server.NewServer: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(readyTimeout) {
		s.Shutdown()
		t.Fatalf("nats-server on %s is not ready after %v", n.options.Dir, readyTimeout)
	}
	if !o.DontListen {
		if a, ok := s.Addr().(*net.TCPAddr); ok {
			n.options.Port = a.Port
		}
		n.url = s.ClientURL()
	}
	n.server = s
}

// Stop shuts the server down and waits for it. The directory stays.
func (n *Node) Stop(t testing.TB) {
	t.Helper()
	n.stop()
}

func (n *Node) stop() {
	n.mu.Lock()
	s := n.server
	n.server = nil
	n.mu.Unlock()
	if s != nil {
		s.Shutdown()
		s.WaitForShutdown()
	}
}

// Restart stops the server and starts it again on its directory and port.
func (n *Node) Restart(t testing.TB) {
	t.Helper()
	n.Stop(t)
	n.Start(t)
}

// NATS returns the running server, nil while it is stopped. It is another one
// after each Restart.
func (n *Node) NATS() *server.Server {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.server
}

// Dir returns the store directory.
func (n *Node) Dir() string { return n.options.Dir }

// URL returns the address for clients over TCP; it survives Restart.
func (n *Node) URL() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.url
}

// InProcessConn opens a pipe to the server that runs now. It makes Node a
// nats.InProcessConnProvider whose clients find a restarted server.
func (n *Node) InProcessConn() (net.Conn, error) {
	s := n.NATS()
	if s == nil {
		return nil, errors.New("eventlogtest: server is stopped")
	}
	return s.InProcessConn()
}

// Connect opens an in-process connection that reconnects for as long as the
// test runs, and is closed when the test ends.
func (n *Node) Connect(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	return n.dial(t, "", append([]nats.Option{nats.InProcessServer(n)}, options...))
}

// ConnectTCP is Connect over the client port.
func (n *Node) ConnectTCP(t testing.TB, options ...nats.Option) *nats.Conn {
	t.Helper()
	return n.dial(t, n.URL(), options)
}

func (n *Node) dial(t testing.TB, url string, options []nats.Option) *nats.Conn {
	t.Helper()
	all := append([]nats.Option{
		nats.Timeout(Patience),
		nats.MaxReconnects(-1),
		nats.ReconnectWait(10 * time.Millisecond),
		nats.ReconnectJitter(time.Millisecond, time.Millisecond),
	}, options...)
	nc, err := nats.Connect(url, all...)
	if err != nil {
		t.Fatalf("nats.Connect: %v", err)
	}
	t.Cleanup(nc.Close)
	return nc
}

// JetStream opens an in-process connection and returns a context on it.
func (n *Node) JetStream(t testing.TB) jetstream.JetStream {
	t.Helper()
	js, err := jetstream.New(n.Connect(t), jetstream.WithDefaultTimeout(Patience))
	if err != nil {
		t.Fatalf("jetstream.New: %v", err)
	}
	return js
}
