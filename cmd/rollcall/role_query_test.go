package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"math/big"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
)

// writeFile writes a file of the test and returns its path.
func writeFile(t *testing.T, name string, b []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, b, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// selfSigned makes a certificate for 127.0.0.1.
func selfSigned(t *testing.T) (cert, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour),
		IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)}, IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageDigitalSignature | x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	secret, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	return writeFile(t, "cert.pem", pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})),
		writeFile(t, "key.pem", pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: secret}))
}

// TestQueryProcess runs a process with --target=query beside the one with the
// embedded server, over TLS, with the rights of the role query alone.
func TestQueryProcess(t *testing.T) {
	cert, key := selfSigned(t)
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: q, password: password-of-q, role: query}\n"))
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-users", users, "--nats-tls-cert", cert, "--nats-tls-key", key)
	runNode(t, all)
	postStarted(t, all, "a")
	url := all.Addresses().NATS
	if nc, err := nats.Connect(url); err == nil {
		nc.Close()
		t.Errorf("connect without the CA = nil; want an error")
	}
	reader, _ := dial(t, url, nats.RootCAs(cert))
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	servedOnce(ctx, t, reader)

	query := testNode(t, t.TempDir(), "--target", "query", "--nats-url", url, "--nats-tls-ca", cert,
		"--nats-login-file", writeFile(t, "login", []byte("q:password-of-q\n")))
	stop := runNode(t, query)
	for _, path := range []string{"/v1/sessions/a?minSequence=1&wait=30s", "/v1/sessions/a/events", "/v1/events", "/v1/sessions/a?asOf=1"} {
		res, err := client.Get("http://" + query.Addresses().API + path)
		if err != nil {
			t.Fatal(err)
		}
		b, err := io.ReadAll(res.Body)
		res.Body.Close()
		if err != nil || res.StatusCode != http.StatusOK || !strings.Contains(string(b), `"a"`) {
			t.Errorf("GET %s = %d, %s, %v; want the session", path, res.StatusCode, b, err)
		}
	}
	inbox := reader.NewRespInbox()
	sub, err := reader.SubscribeSync(inbox)
	if err != nil {
		t.Fatal(err)
	}
	if err := reader.PublishRequest("rollcall.query.session.get", inbox, []byte(`{"sessionId":"a","minSequence":1,"wait":"30s"}`)); err != nil {
		t.Fatal(err)
	}
	for i := range 2 { // one of each process
		if m, err := sub.NextMsgWithContext(ctx); err != nil || !strings.Contains(string(m.Data), `"a"`) {
			t.Fatalf("answer %d = %v, %v; want the session", i, m, err)
		}
	}
	if err := stop(); err != nil {
		t.Errorf("run() of the query process = %v; want no error", err)
	}
	for _, nc := range query.Conns {
		if err := nc.LastError(); err != nil {
			t.Errorf("last error of connection %s = %v; want none", nc.Opts.Name, err)
		}
	}
}

// TestQueryIsReadyWithTheViewsThereAre runs a query process where the projectors
// are limited to some views, so that the others never come.
func TestQueryIsReadyWithTheViewsThereAre(t *testing.T) {
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--views", "recordings")
	runNode(t, all)
	postStarted(t, all, "a")
	query := testNode(t, t.TempDir(), "--target", "query", "--nats-url", all.Addresses().NATS)
	runNode(t, query)
	res, err := client.Get("http://" + query.Addresses().API + "/v1/recordings?minSequence=1&wait=30s")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Errorf("GET of the recordings = %d; want 200", res.StatusCode)
	}
}

// TestEveryListenerSpeaksTLS has each HTTP listener on its own certificate.
func TestEveryListenerSpeaksTLS(t *testing.T) {
	cert, key := selfSigned(t)
	var args []string
	for _, flag := range []string{"--tls", "--api-tls", "--admin-tls"} {
		args = append(args, flag+"-cert", cert, flag+"-key", key)
	}
	n := testNode(t, t.TempDir(), args...)
	runNode(t, n)
	pool := x509.NewCertPool()
	b, err := os.ReadFile(cert)
	if err != nil || !pool.AppendCertsFromPEM(b) {
		t.Fatalf("read certificate: %v", err)
	}
	client := http.Client{Transport: &http.Transport{TLSClientConfig: &tls.Config{RootCAs: pool}, DisableKeepAlives: true}}
	at := n.Addresses()
	for address, want := range map[string]int{
		at.Ingest + "/webhooks/test": http.StatusMethodNotAllowed, at.API + "/v1/projections": http.StatusOK, at.Admin + "/readyz": http.StatusOK,
	} {
		res, err := client.Get("https://" + address)
		if err != nil {
			t.Errorf("GET https://%s: %v", address, err)
			continue
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("GET https://%s = %d; want %d", address, res.StatusCode, want)
		}
	}
}

// TestWrongRoleIsNamed starts a projector as an ingester's user: the error says
// which right is missing, and what to do.
func TestWrongRoleIsNamed(t *testing.T) {
	t.Parallel()
	users := writeFile(t, "users.yaml", []byte("users:\n  - {name: i, password: password-of-i, role: ingester}\n"))
	all := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0", "--nats-users", users)
	runNode(t, all)
	wrong := testNode(t, t.TempDir(), "--target", "project", "--nats-url", all.Addresses().NATS,
		"--nats-login-file", writeFile(t, "login", []byte("i:password-of-i\n")))
	if err := wrong.Run(t.Context()); err == nil || !strings.Contains(err.Error(), "--nats-login-file") || !strings.Contains(err.Error(), "--target=project") {
		t.Errorf("run() with another role's user = %v; want an error that names the role and the flag", err)
	}
}

// servedOnce asks some questions and waits until one instance of the service
// says that it answered all of them.
func servedOnce(ctx context.Context, t *testing.T, nc *nats.Conn) {
	t.Helper()
	const questions = 20
	for range questions {
		if _, err := nc.RequestWithContext(ctx, "rollcall.query.session.list", nil); err != nil {
			t.Fatalf("query: %v", err)
		}
	}
	var stats struct {
		Endpoints []struct {
			Name     string `json:"name"`
			Requests int    `json:"num_requests"`
		} `json:"endpoints"`
	}
	for {
		m, err := nc.RequestWithContext(ctx, "$SRV.STATS.rollcall", nil)
		if err != nil {
			t.Fatalf("no instance answered all %d questions: %+v; %v", questions, stats, err)
		}
		if err := json.Unmarshal(m.Data, &stats); err != nil {
			t.Fatal(err)
		}
		for _, e := range stats.Endpoints {
			if e.Name == "session-list" && e.Requests == questions {
				return
			}
		}
	}
}

func dial(t *testing.T, url string, opts ...nats.Option) (*nats.Conn, jetstream.JetStream) {
	t.Helper()
	opts = append([]nats.Option{nats.Timeout(eventlogtest.Patience)}, append(opts, nats.ErrorHandler(func(*nats.Conn, *nats.Subscription, error) {}))...)
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(eventlogtest.Patience))
	if err != nil {
		t.Fatal(err)
	}
	return nc, js
}
