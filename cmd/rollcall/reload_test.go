package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// deliver posts a delivery of its own to a source, and returns the status.
func deliver(t *testing.T, address, source string, n int64) int {
	t.Helper()
	body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m-%d","sessionId":"s-%d"}}`, n, n)
	req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+address+"/webhooks/"+source, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("rtk-uuid", fmt.Sprintf("%s-%d", source, n))
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	res.Body.Close()
	return res.StatusCode
}

// ask gets a path of the read API, and returns the status.
func ask(t *testing.T, address, path, token string) int {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	return res.StatusCode
}

// TestReload: while deliveries come, SIGHUP applies sources, tokens and the log's
// level, names what it can't apply, and refuses a file that is wrong as a whole. No
// delivery is refused or lost.
func TestReload(t *testing.T) {
	dir := t.TempDir()
	file, tokens := filepath.Join(dir, "rollcall.yaml"), filepath.Join(dir, "tokens")
	write := func(path, text string) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	const first, second = "first-0123456789", "second-0123456789"
	write(tokens, "ann reader "+first+"\n")
	write(file, "sources:\n- {name: stays, scheme: none}\n- {name: goes, scheme: none}\napi-token-file: "+tokens+"\n")
	p := startServe(t, "reload", "--data-dir", filepath.Join(dir, "data"), "--nats-listen=", "--config", file)
	hup := func(want string) {
		t.Helper()
		before := strings.Count(p.log.String(), want)
		if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
			t.Fatal(err)
		}
		waitFor(t, "the log says "+want, func() bool { return strings.Count(p.log.String(), want) > before })
	}

	var sent, refused atomic.Int64
	end := make(chan struct{})
	var senders sync.WaitGroup
	for range 4 {
		senders.Go(func() {
			for {
				select {
				case <-end:
					return
				default:
				}
				if status := deliver(t, p.at.Ingest, "stays", sent.Add(1)); status != http.StatusOK {
					refused.Add(1)
				}
			}
		})
	}
	more := func() {
		t.Helper()
		least := sent.Load() + 50
		waitFor(t, "50 more deliveries", func() bool { return sent.Load() >= least })
	}
	check := func(when string, statuses ...int) {
		t.Helper()
		got := []int{deliver(t, p.at.Ingest, "goes", sent.Load()), deliver(t, p.at.Ingest, "comes", sent.Load()),
			ask(t, p.at.API, "/v1/projections", first), ask(t, p.at.API, "/v1/projections", second)}
		if fmt.Sprint(got) != fmt.Sprint(statuses) {
			t.Errorf("%s: source goes, source comes, first token, second token = %v; want %v", when, got, statuses)
		}
	}
	more()
	check("at the start", 200, 404, 200, 401)

	write(tokens, "bob reader "+second+"\n")
	write(file, "sources:\n- {name: stays, scheme: none, rate: 4000}\n- {name: comes, scheme: none}\napi-token-file: "+tokens+"\nview-max-age: 2160h\nlog-level: debug\n")
	hup("settings reloaded")
	check("after a reload", 404, 200, 401, 200)
	more()
	log := p.log.String()
	if !strings.Contains(log, `"key":"view-max-age"`) || strings.Count(log, `"key":`) != 1 || !strings.Contains(log, "delivery stored") {
		t.Errorf("the log names %d keys; want view-max-age alone, and lines of the level debug", strings.Count(log, `"key":`))
	}

	for text, want := range map[string]string{
		"sources:\n- {name: x, scheme: none}\nsame-body: -1\n":            "--same-body",
		"sources:\n- {name: x, scheme: rsa, key: /nowhere/key.pem}\n":     "/nowhere/key.pem",
		"sources:\n- {name: x, scheme: none}\nsame-bodies: 5\n":           "same-bodies",
		"sources:\n- {name: x, scheme: none}\napi-token-file: /nowhere\n": "--api-token-file",
	} {
		write(file, text)
		hup("settings were not reloaded")
		if log := p.log.String(); !strings.Contains(log[strings.LastIndex(log, `"error":`):], want) {
			t.Errorf("the log of a reload of %q ends in %s; want %q named", text, log[strings.LastIndex(log, `"error":`):], want)
		}
		check("after a file that is wrong", 404, 200, 401, 200)
	}
	more()
	close(end)
	senders.Wait()
	if refused.Load() > 0 {
		t.Errorf("%d of %d deliveries were refused; want none", refused.Load(), sent.Load())
	}
}

// TestConfigCheck: a file is checked as serve does, and nothing is made.
func TestConfigCheck(t *testing.T) {
	dir := t.TempDir()
	file := filepath.Join(dir, "rollcall.yaml")
	for text, want := range map[string]struct {
		code int
		says string
	}{
		"sources: [{name: a, scheme: none}]\nmax-body: 512KiB\n": {console.ExitDone, "valid"},
		"max-body: much\n":  {console.ExitUsage, "(max-body in config file " + file + " sets it)"},
		"same-body: -5\n":   {console.ExitUsage, "--same-body"},
		"max-bodies: 5\n":   {console.ExitUsage, `unknown key "max-bodies"`},
		"log-level: loud\n": {console.ExitUsage, "--log-level"},
		"sources: [{name: a, scheme: rsa, key: /nowhere.pem}]\n": {console.ExitUsage, "/nowhere.pem"},
		"api-addr: 0.0.0.0:8081\n":                               {console.ExitUsage, "--api-addr"},
		"api-base-path: rollcall\n":                              {console.ExitUsage, "(api-base-path in config file " + file + " sets it)"},
		"a: [\n":                                                 {console.ExitUsage, "read config file"},
	} {
		if err := os.WriteFile(file, []byte("data-dir: "+filepath.Join(dir, "data")+"\n"+text), 0o600); err != nil {
			t.Fatal(err)
		}
		code, stdout, stderr := inProcess(t, nil, "config", "check", file)
		if code != want.code || !strings.Contains(stdout+stderr, want.says) {
			t.Errorf("config check of %q = %d\n%s%s; want %d and %q", text, code, stdout, stderr, want.code, want.says)
		}
	}
	if code, _, stderr := inProcess(t, nil, "config", "check", filepath.Join(dir, "none.yaml")); code != console.ExitUsage || !strings.Contains(stderr, "does not exist") {
		t.Errorf("config check of no file = %d %s; want %d", code, stderr, console.ExitUsage)
	}
	if found, err := os.ReadDir(dir); err != nil || len(found) != 1 {
		t.Errorf("config check leaves %v, %v; want the file alone", found, err)
	}
}

// TestPprof: profiles are served where --pprof says so, on loopback to everybody.
func TestPprof(t *testing.T) {
	if _, err := configOf(t, t.TempDir(), "--pprof", "--admin-addr", "0.0.0.0:0"); err == nil || !strings.Contains(err.Error(), "--pprof") {
		t.Errorf("--pprof on every address without a token = %v; want it refused", err)
	}
	tokens := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(tokens, []byte("ann reader reader-0123456789\nops operator operator-0123456789\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		args  []string
		token string
		want  map[string]int
	}{
		{nil, "", map[string]int{"/debug/pprof/": 404}},
		{[]string{"--pprof"}, "", map[string]int{"/debug/pprof/": 200, "/debug/pprof/heap": 200, "/debug/pprof/cmdline": 404, "/debug/pprof/trace?seconds=0.01": 200}},
		{[]string{"--pprof", "--admin-addr", "0.0.0.0:0", "--api-token-file", tokens}, "reader-0123456789", map[string]int{"/debug/pprof/": 401, "/debug/pprof/heap": 401, "/livez": 200}},
		{[]string{"--pprof", "--admin-addr", "0.0.0.0:0", "--api-token-file", tokens}, "operator-0123456789", map[string]int{"/debug/pprof/": 200, "/debug/pprof/goroutine": 200}},
	} {
		n := testNode(t, t.TempDir(), c.args...)
		stop := runNode(t, n)
		for path, want := range c.want {
			if got := ask(t, strings.Replace(n.Addresses().Admin, "[::]", "127.0.0.1", 1), path, c.token); got != want {
				t.Errorf("serve %v: GET %s = %d; want %d", c.args, path, got, want)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("serve %v ends with %v", c.args, err)
		}
	}
}
