package main

import (
	"net"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestHealthcheck asks a node in each of its states, by flag and by variable.
func TestHealthcheck(t *testing.T) {
	n := testNode(t, t.TempDir())
	runNode(t, n)
	address := n.Addresses().Admin
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		t.Fatal(err)
	}
	for _, given := range []string{address, "0.0.0.0:" + port, ":" + port} {
		if code, out, stderr := inProcess(t, nil, "healthcheck", "--admin-addr", given); code != console.ExitDone || out != "ready\n" {
			t.Errorf("healthcheck --admin-addr %s = %d, %q, %s; want 0, ready", given, code, out, stderr)
		}
	}
	env := map[string]string{"ROLLCALL_ADMIN_ADDR": address}
	if code, out, stderr := inProcess(t, env, "healthcheck"); code != console.ExitDone {
		t.Errorf("healthcheck with %v = %d, %q, %s; want 0", env, code, out, stderr)
	}
	n.Health.Stop()
	code, out, stderr := inProcess(t, env, "healthcheck")
	if code != console.ExitFailed || !strings.Contains(out, "[-]stop: under way") || !strings.Contains(stderr, "not ready: 503") {
		t.Errorf("healthcheck of a node that stops = %d, %q, %q; want 1 with the reason", code, out, stderr)
	}
}

// TestHealthcheckTLS trusts the certificate that serve was given, and no other.
func TestHealthcheckTLS(t *testing.T) {
	cert, key := selfSigned(t)
	n := testNode(t, t.TempDir(), "--admin-tls-cert", cert, "--admin-tls-key", key)
	runNode(t, n)
	other, _ := selfSigned(t)
	for file, want := range map[string]int{cert: console.ExitDone, other: console.ExitFailed} {
		if code, out, stderr := inProcess(t, nil, "healthcheck", "--admin-addr", n.Addresses().Admin, "--admin-tls-cert", file); code != want {
			t.Errorf("healthcheck over TLS = %d, %q, %s; want %d", code, out, stderr, want)
		}
	}
}

func TestHealthcheckRefusals(t *testing.T) {
	for _, c := range []struct {
		args []string
		code int
		says string
	}{
		{[]string{"--admin-addr", "127.0.0.1:1"}, console.ExitFailed, "is rollcall serve running with --admin-addr 127.0.0.1:1?"},
		{[]string{"--admin-addr", "127.0.0.1:0"}, console.ExitUsage, "--ready-file"},
		{[]string{"--admin-addr", "nowhere"}, console.ExitUsage, "HOST:PORT"},
		{[]string{"--timeout", "0s"}, console.ExitUsage, "--timeout"},
		{[]string{"--admin-tls-cert", "missing.pem"}, console.ExitUsage, "--admin-tls-cert"},
	} {
		if code, _, stderr := inProcess(t, nil, append([]string{"healthcheck"}, c.args...)...); code != c.code || !strings.Contains(stderr, c.says) {
			t.Errorf("healthcheck %v = %d, %q; want %d and %q", c.args, code, stderr, c.code, c.says)
		}
	}
}

// TestReadyIsAMetric: what monitoring scrapes says what /readyz says, and how full the disk is.
func TestReadyIsAMetric(t *testing.T) {
	n := testNode(t, t.TempDir())
	runNode(t, n)
	waitMetric(t, n, "rollcall_ready 1\n")
	waitMetric(t, n, "rollcall_store_size_bytes ")
	waitMetric(t, n, "rollcall_store_free_bytes ")
	n.Health.Stop()
	waitMetric(t, n, "rollcall_ready 0\n")
}
