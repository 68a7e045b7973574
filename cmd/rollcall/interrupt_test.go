package main

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// stall passes on what a client and a server say to each other until the server
// has said so many bytes, then holds the rest back.
type stall struct {
	address string
	held    chan struct{} // closed when something is held back
}

func startStall(t *testing.T, upstream string, limit int) *stall {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s := &stall{address: l.Addr().String(), held: make(chan struct{})}
	var running sync.WaitGroup
	var once sync.Once
	ctx, stop := context.WithCancel(context.Background())
	running.Go(func() {
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
			running.Go(func() { _, _ = io.Copy(server, client) })
			running.Go(func() {
				_, err := io.CopyN(client, server, int64(limit))
				if err == nil {
					once.Do(func() { close(s.held) })
				}
				<-ctx.Done()
			})
		}
	})
	t.Cleanup(func() {
		l.Close()
		stop()
		running.Wait()
	})
	return s
}

// waitFor waits until a child's output holds a text.
func (p *process) waitFor(t *testing.T, text string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for !strings.Contains(p.log.String(), text) {
		if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
			t.Fatalf("%s does not say %q:\n%s", p.name, text, p.log)
		}
	}
}

// interrupt sends a signal and returns the exit code, and the line that the
// program says of it.
func (p *process) interrupt(s syscall.Signal) (code int, said string) {
	_ = p.cmd.Process.Signal(s) // it may have ended
	select {
	case <-p.ended:
	case <-time.After(eventlogtest.Patience):
		p.kill()
	}
	for line := range strings.Lines(p.log.String()) {
		if strings.HasPrefix(line, "rollcall: ") {
			said += line
		}
	}
	return p.cmd.ProcessState.ExitCode(), said
}

// TestInterruptedCommands: a command that a signal ended before it was done says
// what it left, and has an exit code of its own.
func TestInterruptedCommands(t *testing.T) {
	if testing.Short() {
		t.Skip("starts fifteen processes")
	}
	t.Parallel()
	url, _ := plainNATS(t, t.TempDir(), "0")
	all := startServe(t, "all", "--nats-url", url, "--source", "test=none", "--data-dir", t.TempDir())
	hook := "http://" + all.at.Ingest + "/webhooks/test"
	cliCommand(t, "simulate", "--url", hook, "--sessions", "20", "--seed", "3")
	cliCommand(t, "status", "--wait", "60s", "--nats-url", url)
	export := filepath.Join(t.TempDir(), "log.ndjson")
	cliCommand(t, "events", "export", export, "--nats-url", url)
	dir := t.TempDir()
	posted := make(chan struct{}, 100)
	silent := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		posted <- struct{}{}
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	}))
	t.Cleanup(silent.Close)
	body := writeFile(t, "event.json", []byte(`{"event":"meeting.started"}`))
	wait := func(c <-chan struct{}) func(*testing.T, *process) {
		return func(t *testing.T, p *process) {
			select {
			case <-c:
			case <-p.ended:
			case <-time.After(time.Minute):
				t.Fatalf("nothing is under way after a minute:\n%s", p.log)
			}
		}
	}
	says := func(text string) func(*testing.T, *process) {
		return func(t *testing.T, p *process) { p.waitFor(t, text) }
	}
	held, heldToo := startStall(t, url, 60_000), startStall(t, url, 60_000)
	lines, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	stdin := endless(t, lines)
	for i, c := range []struct {
		args  []string
		stdin *os.File
		under func(*testing.T, *process)
		want  string
	}{
		{[]string{"events", "export", dir + "/cut.ndjson", "--nats-url", "nats://" + held.address}, nil, wait(held.held), "no " + dir + "/cut.ndjson was written"},
		{[]string{"events", "import", "-", "--data-dir", dir + "/half"}, stdin, func(t *testing.T, _ *process) { waitFile(t, natsd.ImportMark(dir+"/half")) }, "nothing was kept in " + dir + "/half"},
		{[]string{"events", "follow", "--nats-url", url}, nil, says("meeting.started"), "continues after them"},
		{[]string{"views", "watch", "sessions", "--nats-url", url}, nil, says("ended."), "were printed"},
		{[]string{"verify", "--nats-url", "nats://" + heldToo.address}, nil, wait(heldToo.held), "nothing was changed"},
		{[]string{"rebuild", "sessions", "--hold", "--nats-url", url, "-o", "json"}, nil, says(`"state":"ready"`), "`rollcall rebuild sessions` goes on"},
		{[]string{"send", "--url", silent.URL + "/webhooks/x", body}, nil, wait(posted), "0 of 1 files were stored"},
		{[]string{"simulate", "--url", silent.URL + "/webhooks/x", "--connections", "1"}, nil, wait(posted), "deliveries were posted"},
		{[]string{"top", "--nats-url", url}, nil, says("attendance"), "nothing was changed"},
		{[]string{"bench", "ingest", "--dir", dir + "/bench", "--duration", "5m"}, nil, func(t *testing.T, _ *process) { waitFile(t, dir+"/bench/rollcall-bench-*/*") }, "the directory of the measurement was removed"},
	} {
		t.Run(strings.Join(c.args[:2], " "), func(t *testing.T) {
			if err := os.MkdirAll(dir+"/bench", 0o700); err != nil {
				t.Fatal(err)
			}
			var stdin io.Reader
			if c.stdin != nil {
				stdin = c.stdin
			}
			p := startWith(t, launch{stdin: stdin}, c.args[0], "rollcall", c.args...)
			c.under(t, p)
			s, want := syscall.SIGINT, 130
			if i%2 == 1 {
				s, want = syscall.SIGTERM, 143
			}
			code, said := p.interrupt(s)
			if code != want || !strings.Contains(said, c.want) || strings.Count(said, "\n") != 1 {
				t.Errorf("rollcall %s after %v = %d, %q; want %d and one line with %q", strings.Join(c.args, " "), s, code, said, want, c.want)
			}
		})
	}
	if left, _ := filepath.Glob(dir + "/cut*"); len(left) > 0 {
		t.Errorf("an interrupted export leaves %v; want nothing", left)
	}
	if left, _ := filepath.Glob(dir + "/bench/*"); len(left) > 0 {
		t.Errorf("an interrupted bench leaves %v; want nothing", left)
	}
	cliCommand(t, "events", "import", export, "--data-dir", dir+"/half")
	cliCommand(t, "abort", "sessions", "--nats-url", url)
	if code, _ := all.interrupt(syscall.SIGTERM); code != console.ExitDone {
		t.Errorf("serve that stopped gracefully = %d; want %d", code, console.ExitDone)
	}
}

// endless is a stdin that has so much to say, and then neither more nor an end.
func endless(t *testing.T, b []byte) *os.File {
	t.Helper()
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	go func() { _, _ = w.Write(b) }()
	t.Cleanup(func() { w.Close(); r.Close() })
	return r
}

// waitFile waits for a file whose path matches a pattern.
func waitFile(t *testing.T, path string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for {
		if found, _ := filepath.Glob(path); len(found) > 0 {
			return
		}
		if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
			t.Fatalf("no %s after a minute", path)
		}
	}
}

// TestKilledImportIsNotServed: half an import is refused until it was made whole.
func TestKilledImportIsNotServed(t *testing.T) {
	t.Parallel()
	source := t.TempDir()
	n := testNode(t, source)
	stop := runNode(t, n)
	postStarted(t, n, "a")
	postStarted(t, n, "b")
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	export, dir := filepath.Join(t.TempDir(), "log.ndjson"), t.TempDir()
	cliCommand(t, "events", "export", export, "--data-dir", source)
	line, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	stdin := endless(t, line)
	p := startWith(t, launch{stdin: stdin}, "import", "rollcall", "events", "import", "-", "--data-dir", dir)
	waitFile(t, natsd.ImportMark(dir))
	p.kill()
	for _, args := range [][]string{
		{"serve", "--data-dir", dir, "--nats-listen=", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0"},
		{"events", "export", "-", "--data-dir", dir},
	} {
		if code, said := refused(t, args...); code != console.ExitFailed || !strings.Contains(said, "half of an import") {
			t.Errorf("rollcall %s on half an import = %d, %q; want %d and what to run", args[0], code, said, console.ExitFailed)
		}
	}
	cliCommand(t, "events", "import", export, "--data-dir", dir)
	if got := cliCommand(t, "events", "export", "-", "--data-dir", dir); got != string(line) {
		t.Errorf("export of the second import differs from what was imported:\n%s\nwant\n%s", got, line)
	}
}

// TestKilledExport: what it leaves can't be taken for a backup, and the next
// export is whole.
func TestKilledExport(t *testing.T) {
	t.Parallel()
	url, _ := plainNATS(t, t.TempDir(), "0")
	n := testNode(t, t.TempDir(), "--nats-url", url)
	runNode(t, n)
	for range 300 {
		postEvent(t, n, "meeting.started", strings.Repeat("s", 60))
	}
	held := startStall(t, url, 50_000)
	dir := t.TempDir()
	p := start(t, "export", "rollcall", "events", "export", dir+"/b.ndjson", "--nats-url", "nats://"+held.address)
	select {
	case <-held.held:
	case <-p.ended:
	}
	if code, said := refused(t, "events", "export", dir+"/b.ndjson", "--nats-url", url); code != console.ExitFailed || !strings.Contains(said, "another export") {
		t.Errorf("a second export to one file = %d, %q; want %d", code, said, console.ExitFailed)
	}
	p.kill()
	if _, err := os.Stat(dir + "/b.ndjson"); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a killed export leaves b.ndjson: %v", err)
	}
	cliCommand(t, "events", "export", dir+"/b.ndjson", "--nats-url", url)
	b, err := os.ReadFile(dir + "/b.ndjson")
	if err != nil || bytes.Count(b, []byte("\n")) != 300 {
		t.Errorf("the export after a killed one has %d records, %v; want 300", bytes.Count(b, []byte("\n")), err)
	}
	if left, _ := filepath.Glob(dir + "/*"); len(left) != 2 {
		t.Errorf("the exports leave %v; want b.ndjson and its seal alone", left)
	}
}

// TestPanicsAreNotDone: a command that panicked must not read as one that ended
// well.
func TestPanicsAreNotDone(t *testing.T) {
	defer func() {
		if got := recover(); got != "boom" {
			t.Errorf("run() of a command that panics recovered %v; want the panic", got)
		}
	}()
	code := run(t.Context(), []string{"version"}, func(string) (string, bool) { panic("boom") }, strings.NewReader(""), io.Discard, io.Discard)
	t.Errorf("run() of a command that panics = %d; want a panic", code)
}

// TestWatchFails: a follower that breaks off has failed.
func TestWatchFails(t *testing.T) {
	url, _ := plainNATS(t, t.TempDir(), "0")
	err := exec.CommandContext(t.Context(), "rollcall", "views", "watch", "sessions", "--nats-url", url).Run()
	exit := (*exec.ExitError)(nil)
	if !errors.As(err, &exit) || exit.ExitCode() != console.ExitNotFound {
		t.Errorf("views watch of a view that is not there = %v; want exit code %d", err, console.ExitNotFound)
	}
}
