package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// process is a child process of the test.
type process struct {
	name  string
	cmd   *exec.Cmd
	at    node.Addresses
	log   *lockedBuffer
	cache string // its XDG_CACHE_HOME: where a server leaves its user's login
	ended chan struct{}
}

// lockedBuffer takes the output of a child, or of several goroutines, while the test may look at it.
type lockedBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (l *lockedBuffer) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

func (l *lockedBuffer) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.String()
}

// start starts a program of TestMain and ends it with the test.
func start(t *testing.T, name, program string, args ...string) *process {
	t.Helper()
	return startWith(t, launch{}, name, program, args...)
}

// launch is what else a child gets.
type launch struct {
	stdin io.Reader
	env   []string
}

// startWith is start with what else a child gets.
func startWith(t *testing.T, l launch, name, program string, args ...string) *process {
	t.Helper()
	p := &process{name: name, cmd: exec.Command(program, args...), log: &lockedBuffer{}, cache: t.TempDir(), ended: make(chan struct{})}
	p.cmd.Stdin, p.cmd.Stdout, p.cmd.Stderr = l.stdin, p.log, p.log
	p.cmd.Env = append(append(os.Environ(), "NO_COLOR=1", "XDG_CACHE_HOME="+p.cache), l.env...)
	if err := p.cmd.Start(); err != nil {
		t.Fatalf("start %s: %v", name, err)
	}
	go func() {
		defer close(p.ended)
		_ = p.cmd.Wait() // killed on purpose, mostly
	}()
	t.Cleanup(func() {
		p.kill()
		if t.Failed() {
			lines := strings.Split(p.log.String(), "\n")
			t.Logf("last lines of %s:\n%s", name, strings.Join(lines[max(0, len(lines)-25):], "\n"))
		}
	})
	return p
}

// startServe starts `rollcall serve` on free ports and waits until it is ready.
func startServe(t *testing.T, name string, args ...string) *process {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "ready.json")
	return started(t, ready, func() *process {
		return start(t, name, "rollcall", append([]string{
			"serve", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0",
			"--ready-file", ready, "--log-format", "json",
		}, args...)...)
	})
}

// started begins a process and waits until it is ready, or has ended.
func started(t *testing.T, ready string, begin func() *process) (p *process) {
	t.Helper()
	err := eventlogtest.Steadily(func() (err error) {
		p = begin()
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		go func() {
			select {
			case <-p.ended:
				cancel()
			case <-ctx.Done():
			}
		}()
		p.at, err = waitReady(ctx, ready, eventlogtest.Patience)
		return err
	})
	if err != nil {
		t.Fatalf("%s: %v\n%s", p.name, err, p.log)
	}
	return p
}

// kill is kill -9.
func (p *process) kill() {
	_ = p.cmd.Process.Kill() // it may have ended
	<-p.ended
}

// stop is what a supervisor does.
func (p *process) stop() {
	_ = p.cmd.Process.Signal(syscall.SIGTERM)
	<-p.ended
}

// state is what a process says of a projection.
func (p *process) state(view string) string {
	state, _, _ := strings.Cut(p.says(view), ",")
	return state
}

// says is all that it says.
func (p *process) says(view string) string {
	resp, err := client.Get("http://" + p.at.Admin + "/readyz?verbose")
	if err != nil {
		return ""
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(resp.Body)
	if err != nil {
		return ""
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "[+]project "+view+": "); ok {
			return strings.TrimSpace(rest)
		}
	}
	return ""
}

func (p *process) active(view string) bool {
	s := p.state(view)
	return s == "live" || s == "catching-up"
}

// cliCommand runs a command of the program to its end.
func cliCommand(t *testing.T, args ...string) string {
	t.Helper()
	code, stdout, stderr := inProcess(t, nil, args...)
	if code != console.ExitDone {
		t.Fatalf("rollcall %s = %d; want %d\n%s", strings.Join(args, " "), code, console.ExitDone, stderr)
	}
	return stdout
}

// plainNATS starts a nats-server process with JetStream and nothing else.
func plainNATS(t *testing.T, dir, port string) (url string, p *process) {
	t.Helper()
	if port == "0" {
		port = "-1"
	}
	ports := t.TempDir()
	p = start(t, "nats-server", "nats-server", "-js", "-sd", dir, "-a", "127.0.0.1", "-p", port, "--ports_file_dir", ports)
	return "nats://" + portOf(t, p, filepath.Join(ports, "*.ports")), p
}

// portOf waits for a nats-server's ports file and returns its client address.
func portOf(t *testing.T, p *process, pattern string) string {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if files, _ := filepath.Glob(pattern); len(files) == 1 {
			if b, err := os.ReadFile(files[0]); err == nil {
				if _, rest, ok := strings.Cut(string(b), `"nats://`); ok {
					address, _, _ := strings.Cut(rest, `"`)
					return address
				}
			}
		}
		if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
			t.Fatalf("nats-server does not listen: %v\n%s", err, p.log)
		}
	}
}

// viewTexts is every view of a server, as one text.
func viewTexts(t *testing.T, url string) map[string]string {
	t.Helper()
	cliCommand(t, "status", "--wait", "120s", "--nats-url", url)
	texts := map[string]string{}
	for _, view := range viewNames() {
		texts[view] = cliCommand(t, "views", "get", view, "--nats-url", url)
	}
	return texts
}

// sameViews compares views document by document.
func sameViews(t *testing.T, got, want map[string]string) {
	t.Helper()
	for _, view := range viewNames() {
		g, w := strings.Split(got[view], "\n"), strings.Split(want[view], "\n")
		if slices.Equal(g, w) {
			if len(w) < 3 {
				t.Errorf("view %s has %d documents; want more to compare", view, len(w)-1)
			}
			continue
		}
		shown := 0
		for i := 0; i < max(len(g), len(w)) && shown < 3; i++ {
			if i >= len(g) || i >= len(w) || g[i] != w[i] {
				shown++
				t.Errorf("view %s, line %d:\n got %s\nwant %s", view, i+1, line(g, i), line(w, i))
			}
		}
	}
}

func line(lines []string, i int) string {
	if i >= len(lines) {
		return "(none)"
	}
	return lines[i]
}

// takeovers runs Rollcall as a set of processes and kills the active projector
// again and again while traffic comes in. In the end every view is what a fresh
// program makes of the same export.
func takeovers(t *testing.T, sessions, kills int, limit time.Duration) {
	url, _ := plainNATS(t, t.TempDir(), "0")
	ingester := startServe(t, "ingest", "--target=ingest", "--nats-url", url, "--source", "test=none", "--data-dir", t.TempDir())
	project := func(n int) *process {
		return startServe(t, fmt.Sprintf("project-%d", n), "--target=project", "--nats-url", url)
	}
	pair := [2]*process{project(1), project(2)}
	startServe(t, "recordings", "--target=project", "--views", "recordings", "--nats-url", url)

	simulate := start(t, "simulate", "rollcall", "simulate", "--url", "http://"+ingester.at.Ingest+"/webhooks/test", "--seed", "11",
		"--sessions", fmt.Sprint(sessions), "--shuffle", "--duplicates", "0.2", "--rate", fmt.Sprint(max(100, sessions*2)), "-o", "json")
	var worst time.Duration
	for i := range kills {
		n := -1
		waitFor(t, "one of two projectors is active", func() bool {
			n = slices.IndexFunc(pair[:], func(p *process) bool { return p.active("sessions") })
			return n >= 0
		})
		killed := time.Now()
		pair[n].kill()
		other := pair[1-n]
		waitFor(t, other.name+" takes over", func() bool { return other.active("sessions") })
		took := time.Since(killed)
		worst = max(worst, took)
		t.Logf("kill %d: %s took over after %s", i+1, other.name, took.Round(time.Millisecond))
		pair[n] = project(i + 3)
	}
	if worst > limit {
		t.Errorf("the slowest take-over took %s; want at most %s", worst, limit)
	}
	<-simulate.ended
	if !simulate.cmd.ProcessState.Success() {
		t.Fatalf("simulate failed: %s", simulate.log)
	}
	got := viewTexts(t, url)
	export := filepath.Join(t.TempDir(), "log.ndjson")
	cliCommand(t, "events", "export", export, "--nats-url", url)
	sameViews(t, got, viewsOfExport(t, export))
}

// viewsOfExport is what a fresh program makes of an export.
func viewsOfExport(t *testing.T, export string) map[string]string {
	t.Helper()
	dir := t.TempDir()
	cliCommand(t, "events", "import", export, "--data-dir", dir)
	fresh := startServe(t, "fresh", "--data-dir", dir, "--nats-listen", "127.0.0.1:0")
	defer fresh.stop()
	return viewTexts(t, fresh.at.NATS)
}

func TestProjectorTakeOver(t *testing.T) {
	if testing.Short() {
		t.Skip("starts eight processes")
	}
	t.Parallel()
	takeovers(t, 30, 1, eventlogtest.Patience) // CI machines stall; the bound is TestChaosTakeOver's
}
