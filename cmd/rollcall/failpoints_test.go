package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
)

// The steps of a delivery at which the failing ingester ends itself. Each is at
// a seam that is there anyway, the handler, the appender or a connection, so
// that the program itself knows of none.
const (
	stepArrived      = "arrived"             // before anything was read
	stepVerified     = "verified"            // before the append
	stepHalfSent     = "half published"      // a part of a record, or of a batch, was sent
	stepSent         = "published"           // all of it was sent
	stepAcknowledged = "acknowledged"        // the ack is in the socket
	stepAppended     = "appended"            // the record is known to be stored
	stepHalfAnswered = "half answered"       // a part of the 200 was sent
	stepAnswered     = "answered"            // all of it was
	failStep         = "ROLLCALL_FAIL_STEP"  // the step
	failAt           = "ROLLCALL_FAIL_AT"    // at which time that it is reached
	failNATS         = "ROLLCALL_FAIL_NATS"  // the server's URL
	failKey          = "ROLLCALL_FAIL_KEY"   // file of the public key
	failReady        = "ROLLCALL_FAIL_READY" // ready file
)

// failpoint ends the process, as kill -9 does, when its step was reached often enough.
type failpoint struct {
	step  string
	after int64
	count atomic.Int64
}

func (f *failpoint) reached(step string) bool {
	return step == f.step && f.count.Add(1) == f.after
}

func (f *failpoint) pass(step string) {
	if f.reached(step) {
		f.die()
	}
}

func (f *failpoint) die() {
	if p, err := os.FindProcess(os.Getpid()); err == nil {
		_ = p.Kill() // nothing comes after it
	}
	select {}
}

// failingIngester is an ingester, wired as the program does, with a failpoint.
func failingIngester() {
	if err := runFailingIngester(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func runFailingIngester() error {
	after, err := strconv.ParseInt(os.Getenv(failAt), 10, 64)
	if err != nil {
		return err
	}
	f := &failpoint{step: os.Getenv(failStep), after: after}
	nc, err := nats.Connect(os.Getenv(failNATS), nats.SetCustomDialer(failDialer{f}))
	if err != nil {
		return err
	}
	js, err := jetstream.New(nc)
	if err != nil {
		return err
	}
	ctx := context.Background()
	log, err := natslog.Open(ctx, js, natslog.Config{})
	if err != nil {
		return err
	}
	h, err := ingest.New(ingest.Config{Log: failLog{log, f}, Sources: []ingest.Source{{Name: "prod", Scheme: ingest.SchemeRSA, Key: os.Getenv(failKey)}}})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	arriving := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		f.pass(stepArrived)
		h.ServeHTTP(w, r)
	})
	if err := node.WriteReadyFile(os.Getenv(failReady), node.Addresses{Ingest: l.Addr().String()}); err != nil {
		return err
	}
	return errors.Join(ingest.Serve(ctx, failListener{l, f}, arriving, ingest.ServerConfig{}), h.Run(ctx))
}

// failLog fails around an append.
type failLog struct {
	*natslog.Log
	f *failpoint
}

func (l failLog) Append(ctx context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	l.f.pass(stepVerified)
	a, err := l.Log.Append(ctx, r)
	if err == nil {
		l.f.pass(stepAppended)
	}
	return a, err
}

// failDialer and failListener fail within what is sent and received.
type failDialer struct{ f *failpoint }

func (d failDialer) Dial(network, address string) (net.Conn, error) {
	conn, err := net.DialTimeout(network, address, 3*time.Second)
	if err != nil {
		return nil, err
	}
	return &failConn{Conn: conn, f: d.f, sends: []byte("HPUB meetings."), half: stepHalfSent, whole: stepSent}, nil
}

type failListener struct {
	net.Listener
	f *failpoint
}

func (l failListener) Accept() (net.Conn, error) {
	conn, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return &failConn{Conn: conn, f: l.f, sends: []byte("HTTP/1.1 200"), half: stepHalfAnswered, whole: stepAnswered}, nil
}

type failConn struct {
	net.Conn
	f           *failpoint
	sends       []byte // what a write must hold to count
	half, whole string
}

func (c *failConn) Write(b []byte) (int, error) {
	if !bytes.Contains(b, c.sends) {
		return c.Conn.Write(b)
	}
	if c.f.reached(c.half) {
		_, _ = c.Conn.Write(b[:len(b)/2])
		c.f.die()
	}
	n, err := c.Conn.Write(b)
	c.f.pass(c.whole)
	return n, err
}

func (c *failConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	if bytes.Contains(b[:n], []byte(`{"stream":"MEETINGS",`)) {
		c.f.pass(stepAcknowledged)
	}
	return n, err
}
