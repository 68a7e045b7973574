package eventlogtest

import (
	"bytes"
	"context"
	"errors"
	"net"
	"strconv"
	"strings"
	"sync"
	"time"
)

// Moment is when, within the life of a message that a client sends, a Wire
// does its harm.
type Moment int

// The moments of a message, in their order.
const (
	Never    Moment = iota // the message passes
	Before                 // nothing of it was sent
	Half                   // a part of it was sent
	Sent                   // all of it was sent
	Answered               // it was answered, and the client has not read the answer yet; Sent if it asks for none
	Lost                   // it was swallowed: the connection stays, and no answer comes
)

// Wire is a client's way to a server, and breaks on demand: hand it to
// nats.SetCustomDialer. All connections that it dials, one after the other as a
// client reconnects, follow one plan.
type Wire struct {
	// Plan is asked about each message that the client publishes, requests
	// included, by its subject. It is called by one goroutine at a time; nil: all
	// pass.
	Plan func(subject string) Moment
	// Harm is done at the moment that Plan says, except at Lost; nil: the
	// connection is cut.
	Harm func()

	mu sync.Mutex
}

// errCut is what a client finds on a connection that was cut.
var errCut = errors.New("eventlogtest: connection was cut")

// Dial implements nats.CustomDialer.
func (w *Wire) Dial(network, address string) (net.Conn, error) {
	dialer := net.Dialer{Timeout: 5 * time.Second}
	conn, err := dialer.DialContext(context.Background(), network, address)
	if err != nil {
		return nil, err
	}
	return &wireConn{Conn: conn, wire: w}, nil
}

func (w *Wire) plan(subject string) Moment {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.Plan == nil || subject == "" {
		return Never
	}
	return w.Plan(subject)
}

// wireConn looks into what a client sends, frame by frame.
type wireConn struct {
	net.Conn
	wire *Wire
	held []byte // begin of a frame whose rest is to come

	mu      sync.Mutex
	awaited []byte // reply subject of a message whose answer does the harm; guarded by mu
	tail    []byte // end of what was read before
}

// harm does what the plan is for.
func (c *wireConn) harm() error {
	if c.wire.Harm != nil {
		c.wire.Harm()
	}
	_ = c.Conn.Close() // that is the harm
	return errCut
}

// Write passes whole frames on.
func (c *wireConn) Write(b []byte) (int, error) {
	c.held = append(c.held, b...)
	pass := 0 // frames before it wait to be sent
	for {
		subject, reply, length := frame(c.held[pass:])
		if length == 0 {
			break
		}
		end := pass + length
		switch moment := c.wire.plan(subject); moment {
		case Never:
			pass = end
			continue
		case Lost:
			c.held = append(c.held[:pass], c.held[end:]...)
			continue
		case Before:
			end = pass
		case Half:
			end = pass + length/2
		case Answered:
			if reply != "" {
				c.await(reply)
				pass = end
				continue
			}
		}
		_, _ = c.Conn.Write(c.held[:end]) // it is cut either way
		return 0, c.harm()
	}
	if pass > 0 {
		if _, err := c.Conn.Write(c.held[:pass]); err != nil {
			return 0, err
		}
		c.held = append(c.held[:0], c.held[pass:]...)
	}
	return len(b), nil
}

// frame returns the length of the first frame in b, 0 where it is not whole, and
// where it goes to if it is a message.
func frame(b []byte) (subject, reply string, length int) {
	line, _, whole := bytes.Cut(b, []byte("\r\n"))
	if !whole {
		return "", "", 0
	}
	length = len(line) + 2
	words := strings.Fields(string(line))
	if len(words) < 3 || words[0] != "PUB" && words[0] != "HPUB" {
		return "", "", length
	}
	sizes := 1
	if words[0] == "HPUB" {
		sizes = 2
	}
	size, err := strconv.Atoi(words[len(words)-1])
	if err != nil {
		return "", "", length
	}
	if len(words) == 3+sizes {
		reply = words[2]
	}
	if length += size + 2; length > len(b) {
		return "", "", 0
	}
	return words[1], reply, length
}

func (c *wireConn) await(reply string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.awaited = []byte(reply + " ")
}

// Read does the harm at an answer that is awaited, before it is handed on whole.
func (c *wireConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.mu.Lock()
	defer c.mu.Unlock()
	c.tail = append(c.tail, b[:n]...)
	if len(c.awaited) > 0 && bytes.Contains(c.tail, c.awaited) {
		return 0, c.harm()
	}
	c.tail = append(c.tail[:0], c.tail[max(0, len(c.tail)-256):]...)
	return n, err
}
