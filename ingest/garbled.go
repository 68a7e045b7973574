package ingest

import (
	"bytes"
	"fmt"
	"net/http"
	"strconv"

	"rollcall/ingest/web"
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

// Write passes on what is answered. What net/http says of itself, before
// a handler has the request, becomes a problem document and is counted. With
// TLS it comes here encrypted, and stays as it is.
func (c *limitedConn) Write(b []byte) (int, error) {
	status, ok := ownAnswer(b)
	if !ok || !c.of.plain || c.asked.Load() {
		return c.Conn.Write(b)
	}
	c.of.garbled.WithLabelValues(strconv.Itoa(status)).Inc()
	g := garbled[status]
	body := problem(web.Problem{Status: status, Detail: g.detail}, g.reason)
	_, err := fmt.Fprintf(c.Conn, "HTTP/1.1 %d %s\r\nContent-Type: application/problem+json\r\nCache-Control: no-store\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s",
		status, http.StatusText(status), len(body), body)
	if err != nil {
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
