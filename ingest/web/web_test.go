package web_test

import (
	"bytes"
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/ingest/web"
)

// TestProblem: the body is JSON whatever its texts are.
func TestProblem(t *testing.T) {
	for _, c := range []struct {
		p     web.Problem
		want  string
		retry int
	}{
		{web.Problem{Status: 404}, `{"type":"about:blank","title":"Not Found","status":404}`, 0},
		{web.Problem{Type: "urn:x", Status: 503, Detail: "a \"b\" \x07 \xff", RetryAfter: time.Millisecond}, `{"type":"urn:x","title":"Service Unavailable","status":503,"detail":"a \"b\" \u0007 ` + "\uFFFD" + `"}`, 1},
		{web.Problem{Status: 599, Detail: "x", RetryAfter: 2 * time.Second}, `{"type":"about:blank","title":"","status":599,"detail":"x"}`, 2},
	} {
		if got := string(c.p.AppendJSON(nil)); got != c.want || c.p.RetrySeconds() != c.retry {
			t.Errorf("AppendJSON of %+v = %s, retry %d; want %s, %d", c.p, got, c.p.RetrySeconds(), c.want, c.retry)
		}
	}
}

// server serves a handler until stop, which returns what Serve did.
func server(t *testing.T, s *http.Server, drain time.Duration, log io.Writer) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- web.Serve(ctx, l, s, drain, zerolog.New(log)) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return l.Addr().String(), stop
}

// TestServeEndsInOrder: a request under way is answered; one that does not end is
// cut, and that is an error.
func TestServeEndsInOrder(t *testing.T) {
	for _, c := range []struct {
		drain time.Duration
		ends  bool
	}{{time.Minute, true}, {time.Millisecond, false}} {
		begun, end := make(chan struct{}), make(chan struct{})
		address, stop := server(t, &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			close(begun)
			select {
			case <-end:
			case <-r.Context().Done():
			}
			_, _ = io.WriteString(w, "whole")
		})}, c.drain, io.Discard)
		got := make(chan string, 1)
		go func() {
			res, err := http.Get("http://" + address)
			if err != nil {
				got <- ""
				return
			}
			defer res.Body.Close()
			b, _ := io.ReadAll(res.Body)
			got <- string(b)
		}()
		<-begun
		stopped := make(chan error, 1)
		go func() { stopped <- stop() }()
		if c.ends {
			close(end)
		}
		err, body := <-stopped, <-got
		if (err == nil) != c.ends || (body == "whole") != c.ends {
			t.Errorf("Serve with drain %v = %v, answer %q; want error %v and the answer %v", c.drain, err, body, !c.ends, c.ends)
		}
		if !c.ends && !strings.Contains(err.Error(), address+": requests cut after 1ms") {
			t.Errorf("Serve with drain %v = %v; want an error that says that requests were cut", c.drain, err)
		}
	}
}

// TestServeOnAClosedListener fails.
func TestServeOnAClosedListener(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	if err := web.Serve(t.Context(), l, &http.Server{}, time.Second, zerolog.Nop()); err == nil || !strings.Contains(err.Error(), l.Addr().String()) {
		t.Errorf("Serve on a closed listener = %v; want an error that names %s", err, l.Addr())
	}
}

// TestErrorLogHoldsNothingOfClients: neither what a panic says, on whatever line, nor
// an address is logged; that a panic happened, and where, is.
func TestErrorLogHoldsNothingOfClients(t *testing.T) {
	const secret = "secret-of-a-client"
	var log bytes.Buffer
	address, stop := server(t, &http.Server{Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		panic("two lines\n" + r.URL.Query().Get("q"))
	})}, time.Second, &log)
	if res, err := http.Get("http://" + address + "/?q=" + secret); err == nil {
		res.Body.Close()
		t.Error("GET of a handler that panics = an answer; want none")
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	web.ErrorLog(zerolog.New(&log)).Print("http: TLS handshake error from 192.0.2.1:5: " + secret)
	got := log.String()
	if strings.Contains(got, secret) || strings.Contains(got, "192.0.2.1") || strings.Contains(got, "127.0.0.1") {
		t.Errorf("log = %s; want nothing that a client sent", got)
	}
	if !strings.Contains(got, "request ended in a panic") || !strings.Contains(got, "web_test.go") {
		t.Errorf("log = %s; want the panic, with its stack", got)
	}
}

// TestHosts says which addresses and names are ours.
func TestHosts(t *testing.T) {
	for address, want := range map[string]bool{"127.0.0.1:1": true, "[::1]:1": true, "localhost:1": true, ":1": false, "0.0.0.0:1": false, "10.0.0.1:1": false, "rollcall.example:1": false, "localhost": false} {
		if got := web.Loopback(address); got != want {
			t.Errorf("Loopback(%q) = %v; want %v", address, got, want)
		}
	}
	for host, want := range map[string]bool{"localhost": true, "LOCALHOST:80": true, "127.0.0.1:80": true, "[::1]": true, "10.0.0.1": true, "ours:80": true, "evil.example": false, "": false} {
		if got := web.KnownHost(host, []string{"ours"}); got != want {
			t.Errorf("KnownHost(%q) = %v; want %v", host, got, want)
		}
	}
}

// TestAnswer: the first status counts, or 200 where a body comes first.
func TestAnswer(t *testing.T) {
	r := httptest.NewRecorder()
	a := &web.Answer{ResponseWriter: r}
	a.WriteHeader(http.StatusEarlyHints)
	a.WriteHeader(http.StatusTeapot)
	if a.Status != http.StatusEarlyHints || r.Code == http.StatusOK {
		t.Errorf("status after two = %d, answered %d; want the first one, and both passed on", a.Status, r.Code)
	}
	r = httptest.NewRecorder()
	a = &web.Answer{ResponseWriter: r}
	for _, part := range []string{"abc", "de"} {
		if n, err := a.Write([]byte(part)); n != len(part) || err != nil {
			t.Errorf("Write(%q) = %d, %v", part, n, err)
		}
	}
	a.WriteHeader(http.StatusTeapot)
	if a.Status != http.StatusOK || a.Bytes != 5 || r.Body.String() != "abcde" {
		t.Errorf("status %d, %d bytes, body %q after a body without a status; want 200, 5, abcde", a.Status, a.Bytes, r.Body)
	}
	if a.Unwrap() != http.ResponseWriter(r) {
		t.Error("Unwrap() is another writer")
	}
}
