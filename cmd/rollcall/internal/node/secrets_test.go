package node

import (
	"bytes"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/rs/zerolog"

	"rollcall/ingest"
)

// TestReadableSecretsAreNamed: a file with a secret that everybody may read is
// named at the start, one that only its owner may read is not.
func TestReadableSecretsAreNamed(t *testing.T) {
	dir := t.TempDir()
	file := func(name string, mode os.FileMode) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte("x"), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
		return path
	}
	var c Config
	c.Secrets = map[string]string{"--api-token-file": file("tokens", 0o644), "--nats-users": file("users", 0o640), "--tls-key": file("key.pem", 0o604)}
	c.Handler.Sources = []ingest.Source{
		{Name: "a", Scheme: ingest.SchemeStandard, Key: file("secrets", 0o644), PathTokenFile: file("path", 0o600)},
		{Name: "b", Scheme: ingest.SchemeRSA, Key: file("public.pem", 0o644)},
		{Name: "c", Scheme: ingest.SchemeNone, PathTokenFile: file("path2", 0o444)},
	}
	var log bytes.Buffer
	New(c, zerolog.New(&log)).warnOfReadableSecrets()
	for name, want := range map[string]bool{
		"tokens": true, "users": false, "key.pem": true, "secrets": true, "path": false, "public.pem": false, "path2": true,
	} {
		if got := strings.Contains(log.String(), filepath.Join(dir, name)+`"`); got != want {
			t.Errorf("%s is named: %v; want %v; log:\n%s", name, got, want, log.String())
		}
	}
}

// TestTenantsAreWarnedOf: an rsa source that takes every tenant's events is named.
func TestTenantsAreWarnedOf(t *testing.T) {
	var c Config
	c.Handler.Sources = []ingest.Source{
		{Name: "wide", Scheme: ingest.SchemeRSA}, {Name: "hooks", Scheme: ingest.SchemeRSA, WebhookIDs: []string{"w"}}, {Name: "own", Scheme: ingest.SchemeRSA, OrganizationIDs: []string{"o"}},
		{Name: "secret", Scheme: ingest.SchemeRSA, PathToken: "x"}, {Name: "filed", Scheme: ingest.SchemeRSA, PathTokenFile: "x"}, {Name: "local", Scheme: ingest.SchemeNone},
	}
	var log bytes.Buffer
	New(c, zerolog.New(&log)).warnOfTenants()
	for name, want := range map[string]bool{"wide": true, "hooks": true, "own": false, "secret": false, "filed": false, "local": false} {
		if got := strings.Contains(log.String(), `"source":"`+name+`"`); got != want {
			t.Errorf("source %s is warned of: %v; want %v; log:\n%s", name, got, want, log.String())
		}
	}
}

// TestAdminKnowsItsHost: on loopback a page can't read health and metrics through
// a name that it makes point there.
func TestAdminKnowsItsHost(t *testing.T) {
	for _, test := range []struct {
		local bool
		host  string
		want  int
	}{
		{true, "localhost:8082", 200}, {true, "127.0.0.1:8082", 200}, {true, "[::1]:8082", 200}, {true, "evil.example", 421}, {true, "evil.example:8082", 421}, {true, "", 421},
		{false, "rollcall.monitoring.svc:8082", 200},
	} {
		s := adminServer(&health{}, newRegistry(Build{}), test.local, nil)
		for _, path := range []string{"/livez", "/readyz", "/metrics"} {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			r.Host = test.host
			w := httptest.NewRecorder()
			s.Handler.ServeHTTP(w, r)
			if w.Code != test.want {
				t.Errorf("GET %s of %q, on loopback %v = %d; want %d", path, test.host, test.local, w.Code, test.want)
			}
		}
	}
}
