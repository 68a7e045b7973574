package main

import (
	"bytes"
	"context"
	"errors"
	"io/fs"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"github.com/jedib0t/go-pretty/v6/text"
	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// TestBadSettingsTouchNothing: whatever is wrong with a flag or a file that it
// names is refused before a directory is made or a port is taken.
func TestBadSettingsTouchNothing(t *testing.T) {
	missing := filepath.Join(t.TempDir(), "missing")
	nonsense := writeFile(t, "nonsense", []byte("nonsense"))
	for _, c := range [][]string{
		{"--max-body", "nonsense"},
		{"--max-body=-1"},
		{"--max-body", "2MiB"},
		{"--max-bytes", "nonsense"},
		{"--cache-bytes", "nonsense"},
		{"--api-token-file", missing},
		{"--api-token-file", nonsense},
		{"--api-addr", "0.0.0.0:0"},
		{"--api-host", "http://x"},
		{"--api-host", "127.0.0.1"},
		{"--api-base-path", "/rollcall/"},
		{"--source", "x=rsa:" + missing},
		{"--source", "x=rsa:" + nonsense},
		{"--source", "x=standard:" + missing},
		{"--nats-tls-cert", missing, "--nats-tls-key", missing},
		{"--nats-listen", "nowhere"},
		{"--nats-users", missing},
		{"--stale-after=-1s"},
		{"--nats-url", "nats://127.0.0.1:1", "--nats-creds", missing},
	} {
		dir := filepath.Join(t.TempDir(), "data")
		args := append([]string{"serve", "--data-dir", dir, "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--nats-listen="}, c...)
		code, _, stderr := inProcess(t, nil, args...)
		if code != console.ExitUsage || strings.Count(stderr, "\n") != 1 {
			t.Errorf("serve %s = %d, %q; want %d and one line", strings.Join(c, " "), code, stderr, console.ExitUsage)
		}
		if _, err := os.Stat(dir); !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("serve %s leaves a data directory; want it refused before", strings.Join(c, " "))
		}
	}
}

// TestAPIHost: the name that the refusal of an unknown one advises to add is let
// in once it is.
func TestAPIHost(t *testing.T) {
	status := func(n *node.Node, host string) int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+n.Addresses().API+"/v1/projections", http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		req.Host = host
		res, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		return res.StatusCode
	}
	n := testNode(t, t.TempDir(), "--api-host", "Rollcall.example", "--api-host", "other.example")
	runNode(t, n)
	for host, want := range map[string]int{"rollcall.example": 200, "other.example:81": 200, "evil.example": http.StatusMisdirectedRequest} {
		if got := status(n, host); got != want {
			t.Errorf("GET with Host %s = %d; want %d", host, got, want)
		}
	}
}

// TestTokenFileIsNeverIgnored: a token file that can't be read must not leave
// the API open.
func TestTokenFileIsNeverIgnored(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(t.TempDir(), "tokens")
	for _, text := range []string{"", "short\n"} {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if code, _, stderr := inProcess(t, nil, "serve", "--data-dir", dir, "--api-addr", "127.0.0.1:0", "--ingest-addr", "127.0.0.1:0",
			"--admin-addr", "127.0.0.1:0", "--nats-listen=", "--api-token-file", file); code != console.ExitUsage {
			t.Errorf("serve with the token file %q = %d, %s; want %d", text, code, stderr, console.ExitUsage)
		}
	}
	if err := os.WriteFile(file, []byte("0123456789abcdef0123\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	n := testNode(t, dir, "--api-token-file", file)
	runNode(t, n)
	res, err := client.Get("http://" + n.Addresses().API + "/v1/projections")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusUnauthorized {
		t.Errorf("GET without a token = %d; want %d", res.StatusCode, http.StatusUnauthorized)
	}
}

// TestKeysAreWrittenForTheirOwner: a private key is readable by its owner alone,
// whatever was there, and a key that could not be written is an error.
func TestKeysAreWrittenForTheirOwner(t *testing.T) {
	dir := t.TempDir()
	private := filepath.Join(dir, "private.pem")
	if err := os.WriteFile(private, []byte("old"), 0o644); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, nil, "keygen", "--force", dir); code != console.ExitDone {
		t.Fatalf("keygen --force = %d, %s", code, stderr)
	}
	for name, want := range map[string]fs.FileMode{"private.pem": 0o600, "public.pem": 0o644} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil || info.Mode().Perm() != want {
			t.Errorf("mode of %s = %v, %v; want %v", name, info.Mode().Perm(), err, want)
		}
	}
	taken := t.TempDir()
	if err := os.Mkdir(filepath.Join(taken, "private.pem"), 0o755); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, nil, "keygen", "--force", taken); code == console.ExitDone || stderr == "" {
		t.Errorf("keygen where a directory has the key's name = %d, %q; want a failure", code, stderr)
	}
}

// TestEnvironmentThatStopsEmbeddingIsSaid: ROLLCALL_NATS_URL is set for the
// commands as a rule.
func TestEnvironmentThatStopsEmbeddingIsSaid(t *testing.T) {
	const url = "nats://127.0.0.1:1"
	serve := []string{"serve", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--data-dir", t.TempDir()}
	code, _, stderr := inProcess(t, map[string]string{"ROLLCALL_NATS_URL": url}, serve...)
	if code != console.ExitUnreachable || !strings.Contains(stderr, "ROLLCALL_NATS_URL is set") || !strings.Contains(stderr, url) {
		t.Errorf("serve with ROLLCALL_NATS_URL = %d, %s; want a line that says so", code, stderr)
	}
	if _, _, stderr = inProcess(t, nil, append(serve, "--nats-url", url)...); strings.Contains(stderr, "ROLLCALL_NATS_URL") {
		t.Errorf("serve with --nats-url says %s; want no word on the environment", stderr)
	}
}

// TestQueryWaitsForTheLog: a log that does not answer yet is waited for, as one
// that is not there yet.
func TestQueryWaitsForTheLog(t *testing.T) {
	if testing.Short() {
		t.Skip("waits out a request")
	}
	t.Parallel()
	server := eventlogtest.Server(t)
	all := testNode(t, t.TempDir(), "--nats-url", server.URL())
	runNode(t, all)
	var swallowed atomic.Int64
	if _, err := server.Connect(t).SubscribeSync("$JS.APX.>"); err != nil { // somebody who never answers
		t.Fatal(err)
	}
	between := startBetween(t, server.URL(), func(b []byte) []byte {
		if bytes.Contains(b, []byte("STREAM.INFO.MEETINGS")) && swallowed.Add(1) == 1 {
			return bytes.Replace(b, []byte("$JS.API.STREAM.INFO.MEETINGS"), []byte("$JS.APX.STREAM.INFO.MEETINGS"), 1)
		}
		return b
	}, nil)
	n := testNode(t, t.TempDir(), "--target", "query", "--nats-url", between)
	var log lockedBuffer
	n.Logger = zerolog.New(&log)
	if err := runNode(t, n)(); err != nil || swallowed.Load() < 2 {
		t.Errorf("run() of a query process whose first request gets no answer = %v after %d requests; want it to wait\n%s", err, swallowed.Load(), log.String())
	}
}

// startBetween is a TCP proxy that may change, or swallow, what a client (up)
// and the server (down) send. It returns its URL.
func startBetween(t *testing.T, upstream string, up, down func([]byte) []byte) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	ctx, stop := context.WithCancel(context.Background())
	pump := func(from, to net.Conn, change func([]byte) []byte) {
		defer from.Close()
		defer to.Close()
		for b := make([]byte, 64<<10); ; {
			n, err := from.Read(b)
			if err != nil {
				return
			}
			part := b[:n]
			if change != nil {
				part = change(part)
			}
			if _, err := to.Write(part); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := l.Accept()
			if err != nil {
				return
			}
			server, err := net.Dial("tcp", strings.TrimPrefix(upstream, "nats://"))
			if err != nil {
				client.Close()
				continue
			}
			context.AfterFunc(ctx, func() { client.Close(); server.Close() })
			go pump(client, server, up)
			go pump(server, client, down)
		}
	}()
	t.Cleanup(func() { l.Close(); stop() })
	return "nats://" + l.Addr().String()
}

// TestTopShowsTheProcesses: one refresh has the statuses that processes publish every second.
func TestTopShowsTheProcesses(t *testing.T) {
	n := testNode(t, t.TempDir(), "--nats-listen", "127.0.0.1:0")
	runNode(t, n)
	stdout := ""
	if err := eventlogtest.Steadily(func() error { // it waits a second for them
		stdout = cliCommand(t, "top", "--count", "1", "--nats-url", n.Addresses().NATS)
		if strings.Contains(stdout, "no ingester has reported") || !strings.Contains(stdout, "per second 0.0 stored") {
			return errors.New("no rates")
		}
		return nil
	}); err != nil {
		t.Errorf("top --count 1 beside an ingester = %s; want its rates", stdout)
	}
}

// TestReadyComesAfterTheViews: where there is little to load, "ready" says that
// readers are served.
func TestReadyComesAfterTheViews(t *testing.T) {
	for range 10 { // where the machine is slow, "ready" does not wait: then another start may show it
		n := testNode(t, t.TempDir())
		var log lockedBuffer
		n.Logger = zerolog.New(&log)
		began := time.Now()
		stop := runNode(t, n)
		took, said := time.Since(began), log.String()
		ready, loaded := strings.Index(said, `"ready"`), strings.LastIndex(said, "view loaded")
		if ready >= 0 && loaded < ready && strings.Count(said, "view loaded") == len(viewNames()) {
			return
		}
		if took < 2*time.Second {
			t.Fatalf("the log at the start is\n%s\nwant %d views loaded, then ready", said, len(viewNames()))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
	}
}

// TestBarsFitATerminal: a line of progress is not wider than 80 columns.
func TestBarsFitATerminal(t *testing.T) {
	var out lockedBuffer
	p := newProgress(&out)
	tracker := &progress.Tracker{Message: "livestreams_g12 catching-up 123456/s", Total: 1_000_000_000}
	p.AppendTracker(tracker)
	done := make(chan struct{})
	go func() { defer close(done); p.Render() }()
	tracker.SetValue(123_456_789)
	for !strings.Contains(out.String(), "catching-up") {
		if err := wire.Pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	tracker.MarkAsDone()
	p.Stop()
	<-done
	for line := range strings.Lines(out.String()) {
		if n := text.StringWidthWithoutEscSequences(strings.TrimSpace(line)); n > 80 {
			t.Errorf("a line of progress has %d columns; want at most 80: %q", n, line)
		}
	}
}

// TestHeldRebuildIsQuiet: without a terminal a rebuild says each state once, and
// how far it is once a second.
func TestHeldRebuildIsQuiet(t *testing.T) {
	var out bytes.Buffer
	r := (&rebuildCmd{Output: "json"}).reporter(&app{IO: &console.IO{Stdout: &out, Stderr: &out}}, nil)
	for range 100 {
		r.progress(0, "sessions", projector.Progress{State: projector.GenerationCatchingUp})
	}
	for range 100 {
		r.progress(0, "sessions", projector.Progress{State: projector.GenerationReady})
	}
	if n := bytes.Count(out.Bytes(), []byte("\n")); n < 2 || n > 3 {
		t.Errorf("200 words on a rebuild at once are %d lines; want one for each state:\n%s", n, out.String())
	}
}

// TestConnectionsFitTheDescriptors: what a process takes follows from what it
// may open, and webhooks have the greatest part.
func TestConnectionsFitTheDescriptors(t *testing.T) {
	for _, c := range []struct {
		descriptors uint64
		given       serveCmd
		want        node.Connections
		err         string
	}{
		{descriptors: 1 << 20, want: node.Connections{Ingest: 20_000, API: 4096, NATS: 4096, Admin: 128}},
		{descriptors: 20_000, want: node.Connections{Ingest: 11692, API: 3897, NATS: 2923, Admin: 128}},
		{descriptors: 1024, want: node.Connections{Ingest: 460, API: 153, NATS: 115, Admin: 38}},
		{descriptors: 64, want: node.Connections{Ingest: 28, API: 9, NATS: 8, Admin: 8}},
		{descriptors: 1024, given: serveCmd{ingestFlags: ingestFlags{MaxConnections: 700}}, want: node.Connections{Ingest: 700, API: 34, NATS: 25, Admin: 8}},
		{descriptors: 1024, given: serveCmd{ingestFlags: ingestFlags{MaxConnections: 20_000}}, err: "--max-connections 20000"},
		{descriptors: 1024, given: serveCmd{APIMaxConnections: 400, NATSMaxConnections: 400}, err: "--api-max-connections 400, --nats-max-connections 400"},
	} {
		cfg := settings{serveCmd: c.given, node: node.Config{Roles: node.Roles{Ingest: true, Query: true}}}
		cfg.NATSListen = "127.0.0.1:4222"
		err := cfg.setConnections(c.descriptors)
		if c.err != "" {
			if console.ExitCode(err) != console.ExitUsage || !strings.Contains(err.Error(), c.err) {
				t.Errorf("%d descriptors: %v; want a usage error about %s", c.descriptors, err, c.err)
			}
			continue
		}
		if err != nil || cfg.node.Connections != c.want {
			t.Errorf("%d descriptors: %+v, %v; want %+v", c.descriptors, cfg.node.Connections, err, c.want)
		}
	}
}
