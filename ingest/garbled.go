package ingest

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync/atomic"
)

// garbled is what net/http refuses before a handler sees it, with our reason and
// detail: by itself it answers in plain text, and counts nothing.
var garbled = map[int]struct{ reason, detail string }{
	http.StatusBadRequest:                  {"bad-request", "the request is no valid HTTP"},
	http.StatusExpectationFailed:           {"expectation", "no other Expect than 100-continue is known"},
	http.StatusRequestHeaderFieldsTooLarge: {"headers-too-large", "the request's headers are too large"},
	http.StatusNotImplemented:              {"transfer-encoding", "no other Transfer-Encoding than chunked is known"},
	http.StatusHTTPVersionNotSupported:     {"http-version", "the HTTP version is not known"},
}

// Write passes on what is answered. With TLS it comes here encrypted.
func (c *limitedConn) Write(b []byte) (int, error) {
	if !c.of.plain {
		return c.Conn.Write(b)
	}
	return c.answer(c.Conn, b)
}

// answer writes to w. What net/http says of itself, before a handler has the
// request, becomes a problem document and is counted.
func (c *limitedConn) answer(w io.Writer, b []byte) (int, error) {
	status, ok := ownAnswer(b)
	if !ok || c.asked.Load() {
		return w.Write(b)
	}
	g := garbled[status]
	if err := c.say(w, status, g.reason, g.detail); err != nil {
		return 0, err
	}
	return len(b), nil
}

// say writes a problem document, after which the connection is closed.
func (c *limitedConn) say(w io.Writer, status int, reason, detail string) error {
	c.of.garbled.WithLabelValues(strconv.Itoa(status)).Inc()
	return writeRaw(w, &refusal{status: status, reason: reason, detail: detail})
}

// secureListener speaks TLS. Its connections are no *tls.Conn to net/http, which
// would answer before they get here: the handshake is part of reading the first
// request, within its time.
type secureListener struct {
	*limitedListener
	config *tls.Config
}

// Accept returns the next connection within the limit.
func (l *secureListener) Accept() (net.Conn, error) {
	conn, err := l.limitedListener.Accept()
	if err != nil {
		return nil, err
	}
	under, _ := conn.(*limitedConn)
	return &secureConn{Conn: tls.Server(conn, l.config), under: under}, nil
}

// secureConn is a connection with TLS.
type secureConn struct {
	*tls.Conn
	under *limitedConn
	plain atomic.Bool // the client speaks no TLS
}

// Read decrypts what the client sends.
func (c *secureConn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	var header tls.RecordHeaderError
	if errors.As(err, &header) && header.Conn != nil {
		c.plain.Store(true)
	}
	return n, err
}

// Write encrypts what is answered. A client that speaks plain HTTP is answered
// in plain HTTP, with a 503: after a 4xx a provider would not send the delivery
// again to the right address.
func (c *secureConn) Write(b []byte) (int, error) {
	if !c.plain.Load() {
		return c.under.answer(c.Conn, b)
	}
	if err := c.under.say(c.under.Conn, http.StatusServiceUnavailable, "tls", "this port speaks TLS: send to https"); err != nil {
		return 0, err
	}
	return len(b), nil
}

// ownAnswer is the status of an answer that net/http may make of itself.
func ownAnswer(b []byte) (status int, ok bool) {
	rest, ok := bytes.CutPrefix(b, []byte("HTTP/1."))
	if !ok || len(rest) < 5 || rest[1] != ' ' {
		return 0, false
	}
	status, err := strconv.Atoi(string(rest[2:5]))
	_, known := garbled[status]
	return status, err == nil && known
}
