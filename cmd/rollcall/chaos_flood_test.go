//go:build chaos

package main

import (
	"context"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/bench"
	"rollcall/eventlog/wire"
)

var (
	floodRate  = flag.Int("rate", 200, "honest deliveries a second of TestChaosFloods")
	floodTime  = flag.Duration("flood", 10*time.Second, "how long TestChaosFloods measures each flood")
	floodIdle  = flag.Int("idle", 10_000, "idle connections of TestChaosFloods")
	floodConns = flag.Int("flooders", 256, "connections of the other floods of TestChaosFloods")
)

// TestChaosFloods measures honest deliveries at a fixed rate (open loop, each
// with its own uuid, each of them must be answered 200) while others hold
// connections, trickle, or post forgeries as fast as they are answered. The
// flooders share the machine, so that what they need is missing to the rest.
func TestChaosFloods(t *testing.T) {
	s, key := newSenders(t)
	p := startServe(t, "serve", "--data-dir", t.TempDir(), "--source", "bench=rsa:"+key, "--nats-listen", "")
	b := &bench.Load{Ctx: t.Context()}
	for i := range bench.Bodies {
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m%d","sessionId":"s%d"},"padding":"%s"}`, i%8, i, strings.Repeat("x", bench.BodyBytes))
		signature, err := s.signer.Load().Sign([]byte(body))
		if err != nil {
			t.Fatal(err)
		}
		b.Bodies = append(b.Bodies, bench.Delivery{Body: body, Signature: signature})
	}
	signature, err := s.forger.Sign([]byte(b.Bodies[0].Body))
	if err != nil {
		t.Fatal(err)
	}
	forged := &forger{request: forgedRequest(b.Bodies[0].Body, signature)}
	unsigned := &forger{request: forgedRequest(b.Bodies[0].Body, "")}
	for _, f := range []struct {
		name  string
		flood func(ctx context.Context, address string) (held io.Closer, err error)
		sent  *atomic.Int64
	}{
		{"nothing", func(context.Context, string) (io.Closer, error) { return heldOpen(nil), nil }, nil},
		{fmt.Sprintf("%d idle connections", *floodIdle), func(_ context.Context, a string) (io.Closer, error) { return hold(a, *floodIdle, "") }, nil},
		{fmt.Sprintf("%d requests that never end (slowloris)", *floodConns), slowloris, nil},
		{fmt.Sprintf("forged signatures on %d connections", *floodConns), forged.flood, &forged.sent},
		{fmt.Sprintf("no signature on %d connections", *floodConns), unsigned.flood, &unsigned.sent},
		{"nothing", func(context.Context, string) (io.Closer, error) { return heldOpen(nil), nil }, nil},
	} {
		ctx, cancel := context.WithCancel(t.Context())
		held, err := f.flood(ctx, p.at.Ingest)
		if err != nil {
			t.Fatalf("%s: %v", f.name, err)
		}
		h, err := b.OpenLoop(p.at.Ingest, *floodRate, *floodTime)
		cancel()
		held.Close()
		if err != nil {
			t.Errorf("%s: an honest delivery was not taken: %v", f.name, err)
			continue
		}
		row := fmt.Sprintf("%-46s %8.2f %8.2f %8.2f", f.name, float64(h.ValueAtQuantile(50))/1000, float64(h.ValueAtQuantile(99))/1000, float64(h.Max())/1000)
		if f.sent != nil {
			row += fmt.Sprintf(" %10.0f", float64(f.sent.Load())/floodTime.Seconds())
		}
		t.Logf("\n%s\n%s", floodHead, row)
		writeRow(t, row)
	}
}

const floodHead = "beside honest deliveries                         p50 ms   p99 ms   max ms   floods/s"

// heldOpen are connections that stay open until they are closed.
type heldOpen []net.Conn

func (c heldOpen) Close() error {
	for _, conn := range c {
		conn.Close()
	}
	return nil
}

func hold(address string, n int, text string) (io.Closer, error) {
	var all heldOpen
	for range n {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			all.Close()
			return nil, err
		}
		all = append(all, conn)
		if _, err := io.WriteString(conn, text); err != nil {
			all.Close()
			return nil, err
		}
	}
	return all, nil
}

// crowd runs flooders until its context ends.
type crowd struct{ wait sync.WaitGroup }

func (c *crowd) Close() error { c.wait.Wait(); return nil }

// slowloris sends a header byte by byte, on a new connection when it is cut.
func slowloris(ctx context.Context, address string) (io.Closer, error) {
	c := &crowd{}
	for range *floodConns {
		c.wait.Go(func() {
			for ctx.Err() == nil {
				conn, err := net.Dial("tcp", address)
				if err != nil {
					return
				}
				_, err = io.WriteString(conn, "POST /webhooks/bench HTTP/1.1\r\nHost: x\r\nX: ")
				for err == nil && wire.Pause(ctx, 100*time.Millisecond) == nil {
					_, err = io.WriteString(conn, "x")
				}
				conn.Close()
			}
		})
	}
	return c, nil
}

func forgedRequest(body, signature string) string {
	if signature != "" {
		signature = "Dyte-Signature: " + signature + "\r\n"
	}
	return fmt.Sprintf("POST /webhooks/bench HTTP/1.1\r\nHost: x\r\n%sContent-Length: %d\r\n\r\n%s", signature, len(body), body)
}

// forger posts the same forgery as fast as it is answered.
type forger struct {
	request string
	sent    atomic.Int64
}

func (f *forger) flood(ctx context.Context, address string) (io.Closer, error) {
	c := &crowd{}
	for range *floodConns {
		client, err := bench.Dial(ctx, address)
		if err != nil {
			return nil, err
		}
		stop := context.AfterFunc(ctx, func() { client.Conn.Close() })
		c.wait.Go(func() {
			defer stop()
			for {
				if _, err := io.WriteString(client.Conn, f.request); err != nil {
					return
				}
				res, err := http.ReadResponse(client.In, nil)
				if err != nil {
					return
				}
				_, err = io.Copy(io.Discard, res.Body)
				res.Body.Close()
				if err != nil || res.StatusCode == http.StatusOK {
					return
				}
				f.sent.Add(1)
			}
		})
	}
	return c, nil
}

// writeRow appends a row to the file of --table.
func writeRow(t *testing.T, row string) {
	t.Helper()
	if *chaosTable == "" {
		return
	}
	f, err := os.OpenFile(*chaosTable, os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o644)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if _, err := fmt.Fprintln(f, row); err != nil {
		t.Fatal(err)
	}
}
