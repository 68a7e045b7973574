package ingest_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"rollcall/ingest"
)

// serve runs a server until stop is called; stop returns what Serve returned.
func serve(t testing.TB, h http.Handler, c ingest.ServerConfig) (address string, stop func() error) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- ingest.Serve(ctx, l, h, c) }()
	stop = sync.OnceValue(func() error { cancel(); return <-done })
	t.Cleanup(func() { _ = stop() })
	return l.Addr().String(), stop
}

// raw sends text on a connection of its own and returns all that comes back.
func raw(t testing.TB, address, text string) (answer string) {
	t.Helper()
	conn, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	if err := conn.SetDeadline(time.Now().Add(20 * time.Second)); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(conn, text) // the server may close before it has all
	b, _ := io.ReadAll(conn)
	return string(b)
}

func openHandler(t testing.TB, log ingest.Appender) *ingest.Handler {
	t.Helper()
	return newHandler(t, ingest.Config{Log: log, Timeout: 10 * time.Second, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
}

// TestTricklingRequests are cut, whatever part of them does not come.
func TestTricklingRequests(t *testing.T) {
	h := newHandler(t, ingest.Config{Log: &memory{}, Timeout: 50 * time.Millisecond, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	registry := prometheus.NewPedanticRegistry()
	address, stop := serve(t, h, ingest.ServerConfig{
		Metrics: registry, ReadHeaderTimeout: 50 * time.Millisecond, ReadTimeout: 100 * time.Millisecond, IdleTimeout: 100 * time.Millisecond,
	})
	for name, test := range map[string]struct{ request, want string }{
		"nothing":       {"", ""},
		"half a header": {"POST /webhooks/open HTTP/1.1\r\nHost: x\r\nX: ", ""},
		"half a body":   {"POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n\r\n{", "HTTP/1.1 503"},
		"huge header":   {"POST /webhooks/open HTTP/1.1\r\nHost: x\r\nX: " + strings.Repeat("x", 64<<10) + "\r\n\r\n", "HTTP/1.1 431"},
		"idle after":    {"POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}", "HTTP/1.1 200"},
	} {
		if got := raw(t, address, test.request); !strings.HasPrefix(got, test.want) || test.want == "" && strings.Contains(got, "200") {
			t.Errorf("%s: answer = %.80q; want %q, and the connection closed", name, got, test.want)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if n := counterOf(t, registry, "rollcall_ingest_connections_timed_out_total"); n != 2 {
		t.Errorf("connections_timed_out_total = %v; want 2: nothing, and half a header", n)
	}
}

// TestGarbledRequests: what net/http refuses of itself is a problem document, and
// is counted.
func TestGarbledRequests(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	address, _ := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{Metrics: registry})
	const head = "POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
	for name, test := range map[string]struct {
		request string
		status  int
		reason  string
	}{
		"no HTTP":                    {"hello\r\n\r\n", 400, "bad-request"},
		"no host":                    {"POST /webhooks/open HTTP/1.1\r\n\r\n", 400, "bad-request"},
		"two lengths":                {head + "Content-Length: 3\r\n\r\n{}", 400, "bad-request"},
		"huge header":                {head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n{}", 431, "headers-too-large"},
		"unknown expectation":        {head + "Expect: miracles\r\n\r\n{}", 417, "expectation"},
		"unknown transfer encoding":  {"POST /webhooks/open HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: gzip\r\n\r\n", 501, "transfer-encoding"},
		"unknown version":            {"POST /webhooks/open HTTP/3.7\r\nHost: x\r\n\r\n", 505, "http-version"},
		"garbled after a good one":   {head + "\r\n{}hello\r\n\r\n", 400, "bad-request"},
		"a refusal of the handler's": {"GET /webhooks/open HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", 405, "method"},
	} {
		answer := raw(t, address, test.request)
		if i := strings.LastIndex(answer, "HTTP/1."); i > 0 {
			answer = answer[i:]
		}
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(answer)), nil)
		if err != nil {
			t.Errorf("%s: answer = %q: %v", name, answer, err)
			continue
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != test.status || res.Header.Get("Content-Type") != "application/problem+json" || !strings.Contains(string(body), "problem:"+test.reason+`"`) {
			t.Errorf("%s: answer = %q, %v; want %d and a problem document, %s", name, answer, err, test.status, test.reason)
		}
	}
	for code, want := range map[string]float64{"400": 4, "417": 1, "431": 1, "501": 1, "505": 1} {
		if got := labelled(t, registry, "rollcall_ingest_requests_garbled_total", code); got != want {
			t.Errorf("requests_garbled_total of %s = %v; want %v", code, got, want)
		}
	}
}

// TestAttackGarbledTLS: with TLS too, what net/http refuses of itself is a problem
// document; who speaks plain HTTP to the port gets 503, and half a handshake is cut.
func TestAttackGarbledTLS(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	certificate := httptest.NewUnstartedServer(nil)
	certificate.StartTLS()
	defer certificate.Close()
	address, stop := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{Metrics: registry, TLS: certificate.TLS.Clone(), ReadHeaderTimeout: time.Second})
	const head = "POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n"
	over := func(text string) string {
		conn, err := tls.Dial("tcp", address, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		_, _ = io.WriteString(conn, text)
		b, _ := io.ReadAll(conn)
		return string(b)
	}
	for name, test := range map[string]struct{ answer, status, reason string }{
		"no HTTP":             {over("hello\r\n\r\n"), "400", "bad-request"},
		"huge header":         {over(head + "X: " + strings.Repeat("x", 64<<10) + "\r\n\r\n{}"), "431", "headers-too-large"},
		"unknown expectation": {over(head + "Expect: miracles\r\n\r\n{}"), "417", "expectation"},
		"plain HTTP":          {raw(t, address, head+"\r\n{}"), "503", "tls"},
	} {
		if !strings.HasPrefix(test.answer, "HTTP/1.1 "+test.status) || !strings.Contains(test.answer, "application/problem+json") || !strings.Contains(test.answer, "problem:"+test.reason+`"`) {
			t.Errorf("%s over TLS: answer = %q; want %s and a problem document, %s", name, test.answer, test.status, test.reason)
		}
		if got := strings.Contains(test.answer, "\r\nRetry-After: 1\r\n"); got != (test.status == "503") {
			t.Errorf("%s over TLS: answer = %q; want Retry-After with each 503, and with nothing else", name, test.answer)
		}
	}
	if got := over(head + "Connection: close\r\n\r\n{}"); !strings.HasPrefix(got, "HTTP/1.1 200") {
		t.Errorf("delivery over TLS = %q; want 200", got)
	}
	// The first bytes of a ClientHello, and then nothing: cut without a word of HTTP.
	if got := raw(t, address, "\x16\x03\x01\x02\x00\x01"); strings.Contains(got, "HTTP") {
		t.Errorf("half a handshake got %q; want the connection closed", got)
	}
	for code, want := range map[string]float64{"400": 1, "417": 1, "431": 1, "503": 1} {
		if got := labelled(t, registry, "rollcall_ingest_requests_garbled_total", code); got != want {
			t.Errorf("requests_garbled_total of %s = %v; want %v", code, got, want)
		}
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
}

// labelled is the value of a counter for its one label's value.
func labelled(t testing.TB, g prometheus.Gatherer, name, value string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			if f.GetName() == name && m.GetLabel()[0].GetValue() == value {
				return m.GetCounter().GetValue()
			}
		}
	}
	return 0
}

// counterOf is the value of a counter without labels.
func counterOf(t testing.TB, g prometheus.Gatherer, name string) float64 {
	t.Helper()
	families, err := g.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		if f.GetName() == name {
			return f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	t.Fatalf("no metric %s", name)
	return 0
}

// TestConnectionLimit proves that a connection above the limit gets 503, and
// that places come back.
func TestConnectionLimit(t *testing.T) {
	registry := prometheus.NewPedanticRegistry()
	address, _ := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{MaxConnections: 3, Metrics: registry, IdleTimeout: time.Minute})
	var held []net.Conn
	for range 3 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 2\r\n\r\n{}")
		if line, err := bufio.NewReader(conn).ReadString('\n'); err != nil || !strings.Contains(line, "200") {
			t.Fatalf("answer = %q, %v; want 200", line, err)
		}
		held = append(held, conn)
	}
	for _, request := range []string{"", "POST /webhooks/open HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n" + strings.Repeat("x", 40000)} {
		got := raw(t, address, request)
		res, err := http.ReadResponse(bufio.NewReader(strings.NewReader(got)), nil)
		if err != nil {
			t.Fatalf("connection above the limit got %q: %v; want 503", got, err)
		}
		body, err := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if err != nil || res.StatusCode != http.StatusServiceUnavailable || res.Header.Get("Retry-After") != "1" || res.Header.Get("Content-Type") != "application/problem+json" ||
			!strings.Contains(string(body), `"status":503`) {
			t.Errorf("connection above the limit got %q, %v; want 503, Retry-After and a problem document", got, err)
		}
	}
	held[0].Close()
	for ctx := t.Context(); ; {
		res, err := http.Post("http://"+address+"/webhooks/open", "application/json", strings.NewReader("{}"))
		if err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		if ctx.Err() != nil {
			t.Fatal("a place did not come back")
		}
	}
	problems, err := registry.Gather()
	if err != nil || len(problems) != 3 {
		t.Errorf("Gather = %d families, %v; want 3", len(problems), err)
	}
}

// TestIdleConnectionsDoNotHinder holds many connections that say nothing.
func TestIdleConnectionsDoNotHinder(t *testing.T) {
	address, _ := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{})
	for range 500 {
		conn, err := net.Dial("tcp", address)
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
	}
	for range 20 {
		res, err := http.Post("http://"+address+"/webhooks/open", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			t.Errorf("answer = %d; want 200", res.StatusCode)
		}
	}
}

// TestServeDrains proves that a stop lets requests under way finish.
func TestServeDrains(t *testing.T) {
	defer goleak.VerifyNone(t, goleak.IgnoreCurrent())
	log := &memory{hang: make(chan struct{})}
	entered := make(chan struct{})
	h := openHandler(t, log)
	address, stop := serve(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		close(entered)
		h.ServeHTTP(w, r)
	}), ingest.ServerConfig{})
	answer := make(chan int, 1)
	client := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	go func() {
		res, err := client.Post("http://"+address+"/webhooks/open", "application/json", strings.NewReader("{}"))
		if err != nil {
			answer <- 0
			return
		}
		res.Body.Close()
		answer <- res.StatusCode
	}()
	<-entered
	stopped := make(chan error, 1)
	go func() { stopped <- stop() }()
	for { // no new connection is taken
		conn, err := net.Dial("tcp", address)
		if err != nil {
			break
		}
		conn.Close()
	}
	close(log.hang)
	if code := <-answer; code != http.StatusOK {
		t.Errorf("answer while stopping = %d; want 200", code)
	}
	if err := <-stopped; err != nil {
		t.Errorf("Serve = %v; want nil", err)
	}
}

// TestServeCutsWhatDoesNotEnd bounds the drain.
func TestServeCutsWhatDoesNotEnd(t *testing.T) {
	entered, release := make(chan struct{}), make(chan struct{})
	address, stop := serve(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {
		close(entered)
		<-release
	}), ingest.ServerConfig{Drain: 20 * time.Millisecond})
	go func() {
		if res, err := http.Get("http://" + address); err == nil {
			res.Body.Close()
		}
	}()
	<-entered
	if err := stop(); err == nil || !strings.Contains(err.Error(), "cut") {
		t.Errorf("Serve = %v; want an error that requests were cut", err)
	}
	close(release)
}

// TestForgeriesDoNotHinder floods with wrong signatures while honest deliveries
// go on: all of them are stored, and none of the flood is.
func TestForgeriesDoNotHinder(t *testing.T) {
	key := testKeys()[0]
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: keyFile(t, publicPEM(t, key))}}})
	honest, forged := sign(t, key, started), sign(t, testKeys()[1], started)
	stop := make(chan struct{})
	var flood sync.WaitGroup
	for range 32 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				if w := post(h, "/webhooks/prod", started, "dyte-signature", forged); w.Code != 401 {
					t.Errorf("forged delivery = %d; want 401", w.Code)
					return
				}
			}
		})
	}
	for range 100 {
		if w := post(h, "/webhooks/prod", started, "dyte-signature", honest); w.Code != 200 {
			t.Errorf("honest delivery = %d %s; want 200", w.Code, w.Body)
		}
	}
	close(stop)
	flood.Wait()
	if got := log.len(); got != 100 {
		t.Errorf("%d records; want 100", got)
	}
}

// TestForgeriesAreHeldBack: above a hundred bad signatures a second the answers
// wait, and honest deliveries do not.
func TestForgeriesAreHeldBack(t *testing.T) {
	key := testKeys()[0]
	path := keyFile(t, publicPEM(t, key))
	honest, forged := sign(t, key, started), sign(t, testKeys()[1], started)
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: path}}})
		began := time.Now()
		for range 100 {
			expectProblem(t, post(h, "/webhooks/prod", started, "dyte-signature", forged), 401, "signature-wrong")
		}
		if took := time.Since(began); took != 0 {
			t.Errorf("a hundred forgeries took %v; want no delay", took)
		}
		expectProblem(t, post(h, "/webhooks/prod", started), 401, "signature-absent")
		if took := time.Since(began); took != ingest.DefaultRefusalDelay {
			t.Errorf("one more took %v; want %v", took, ingest.DefaultRefusalDelay)
		}
		began = time.Now()
		var flood sync.WaitGroup
		for range 1000 {
			flood.Go(func() { post(h, "/webhooks/prod", started, "dyte-signature", forged) })
		}
		synctest.Wait() // most of them are held back now
		expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", honest))
		if took := time.Since(began); took != 0 {
			t.Errorf("an honest delivery took %v; want no delay", took)
		}
		flood.Wait()
	})
}
