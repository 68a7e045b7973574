// Package clients tests what is generated from the program's descriptions.
package clients

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
)

const (
	root    = "../.."
	session = "2c1f3a54-7a60-4b0f-8a0e-6a9f0f6c7d22"
	// want is what both clients print: of a session of 30 minutes its length, the
	// time and the id of its one participant, and the status of a missing session.
	want = "1800 1495 student-7 404"
)

// run runs a command in a folder to its end, and returns what it printed.
func run(t *testing.T, dir, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	cmd.Dir = dir
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "REDOCLY_TELEMETRY=off", "REDOCLY_SUPPRESS_UPDATE_NOTICE=true", "NODE_NO_WARNINGS=1")
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s", name, strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(string(out))
}

// server is a program that serves, with one session in it. It returns the read
// API's address, once its views hold the session.
func server(t *testing.T) string {
	t.Helper()
	binary, ready := filepath.Join(t.TempDir(), "rollcall"), filepath.Join(t.TempDir(), "ready")
	run(t, root, "go", "build", "-o", binary, "./cmd/rollcall")
	var log bytes.Buffer
	ctx, stop := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, binary, "serve", "--source", "test=none", "--data-dir", t.TempDir(), "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--nats-listen", "", "--ready-file", ready)
	cmd.Cancel = func() error { return cmd.Process.Signal(os.Interrupt) }
	cmd.Stderr = &log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		stop()
		<-ended
	})
	var addresses struct{ Ingest, API string }
	for tick := time.Tick(20 * time.Millisecond); addresses.API == ""; {
		select {
		case err := <-ended:
			ended <- err
			t.Fatalf("serve ended: %v\n%s", err, log.String())
		case <-tick:
			if b, err := os.ReadFile(ready); err == nil {
				_ = json.Unmarshal(b, &addresses)
			}
		}
	}
	for _, name := range []string{"meeting.started", "meeting.participantJoined", "meeting.participantLeft", "meeting.ended"} {
		body, err := os.ReadFile(filepath.Join(root, "eventlog/testdata/samples/rtk", name+".json"))
		if err != nil {
			t.Fatal(err)
		}
		ask(t, http.MethodPost, "http://"+addresses.Ingest+"/webhooks/test", body)
	}
	api := "http://" + addresses.API
	for _, list := range []string{"", "/" + session + "/participants"} { // each list has a view of its own
		ask(t, http.MethodGet, api+"/v1/sessions"+list+"?minSequence=4&wait=30s", nil)
	}
	return api
}

// ask sends a request that must be answered with 200.
func ask(t *testing.T, method, url string, body []byte) []byte {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Content-Type", "application/json")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	answer, err := io.ReadAll(resp.Body)
	if err != nil || resp.StatusCode != http.StatusOK {
		t.Fatalf("%s %s = %d %s, %v; want 200", method, url, resp.StatusCode, answer, err)
	}
	return answer
}

// description writes the server's /openapi.json into a folder.
func description(t *testing.T, api, dir string) string {
	t.Helper()
	file := filepath.Join(dir, "openapi.json")
	if err := os.WriteFile(file, ask(t, http.MethodGet, api+"/openapi.json", nil), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// install is once for all tests.
var install sync.Once

// packages installs what package.json names; without npm the test is skipped.
func packages(t *testing.T) (dir string) {
	t.Helper()
	for _, tool := range []string{"npm", "node"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("no %s here (Debian: apt-get install npm)", tool)
		}
	}
	install.Do(func() {
		run(t, "typescript", "npm", "ci", "--silent", "--ignore-scripts", "--no-audit", "--no-fund")
	})
	return "typescript"
}

// TestClients generates clients from the description that a real server gives,
// compiles them, and asks the server by them.
func TestClients(t *testing.T) {
	api := server(t)
	t.Run("Go", func(t *testing.T) { goClient(t, api) })
	t.Run("TypeScript", func(t *testing.T) { typeScriptClient(t, api) })
}

// goClient is oapi-codegen's.
func goClient(t *testing.T, api string) {
	t.Helper()
	generated := "golang/api.gen.go"
	t.Cleanup(func() { _ = os.Remove(generated) })
	run(t, ".", "go", "tool", "oapi-codegen", "-generate", "types,client", "-package", "main", "-o", generated, description(t, api, t.TempDir()))
	b, err := os.ReadFile(generated)
	if err != nil {
		t.Fatal(err)
	}
	if n := bytes.Count(b, []byte("float32")); n > 0 {
		t.Errorf("the client has %d numbers of 32 bits; want none", n)
	}
	if got := run(t, ".", "go", "run", "-tags", "generated", "./golang", api, session); got != want {
		t.Errorf("use = %q; want %q", got, want)
	}
}

// typeScriptClient is openapi-typescript's and openapi-fetch's. The description is
// linted first.
func typeScriptClient(t *testing.T, api string) {
	t.Helper()
	dir := packages(t)
	description(t, api, dir)
	run(t, dir, "npx", "--no-install", "redocly", "lint", "openapi.json")
	run(t, dir, "npx", "--no-install", "openapi-typescript", "openapi.json", "-o", "openapi.d.ts")
	run(t, dir, "npx", "--no-install", "tsc")
	if got := run(t, dir, "node", "use.js", api, session); got != want {
		t.Errorf("use = %q; want %q", got, want)
	}
}

// TestAsyncAPIIsValid has AsyncAPI's own parser read the description of the NATS subjects.
func TestAsyncAPIIsValid(t *testing.T) {
	dir := packages(t)
	file, err := filepath.Abs("../asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	run(t, dir, "node", "asyncapi.mjs", file)
	// What is no AsyncAPI is refused: the parser does look.
	broken := filepath.Join(t.TempDir(), "broken.yaml")
	if err := os.WriteFile(broken, fmt.Appendln(nil, "asyncapi: 3.0.0\ninfo: {title: x}"), 0o600); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "node", "asyncapi.mjs", broken)
	cmd.Dir = dir
	if err := cmd.Run(); err == nil {
		t.Error("a document without a version is valid; want an error")
	}
}
