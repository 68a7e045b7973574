package main

import (
	"bytes"
	"errors"
	"flag"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// world is a Rollcall, with the embedded server or with one of its own, in which
// things go wrong.
type world struct {
	t        *testing.T
	embedded bool
	dir      string // data directory
	cache    string // where the program leaves its login
	url      string // of NATS, once something runs
	nats     *process
	program  *process
}

// newWorld is one in which nothing runs yet but the server of its own.
func newWorld(t *testing.T, embedded bool) *world {
	t.Helper()
	w := &world{t: t, embedded: embedded, dir: t.TempDir(), cache: t.TempDir()}
	if !embedded {
		w.startNATS("0")
	}
	return w
}

func (w *world) startNATS(port string, more ...string) {
	w.t.Helper()
	if port == "0" {
		port = "-1"
	}
	ports := w.t.TempDir()
	w.nats = start(w.t, "nats-server", "nats-server", append([]string{"-js", "-sd", w.dir + "/external", "-a", "127.0.0.1", "-p", port, "--ports_file_dir", ports}, more...)...)
	w.url = "nats://" + portOf(w.t, w.nats, filepath.Join(ports, "*.ports"))
}

// serveArgs are those of `rollcall serve` here.
func (w *world) serveArgs(more ...string) []string {
	args := []string{"serve", "--data-dir", w.dir + "/data", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--log-format", "json"}
	if w.embedded {
		args = append(args, "--nats-listen", "127.0.0.1:0")
	} else {
		args = append(args, "--nats-url", w.url)
	}
	return append(args, more...)
}

// serve runs the program, with a source, until it is ready.
func (w *world) serve(more ...string) *process {
	w.t.Helper()
	ready := filepath.Join(w.t.TempDir(), "ready.json")
	p := started(w.t, ready, func() *process {
		return startWith(w.t, launch{env: w.env()}, "serve", "rollcall", append(w.serveArgs("--source", "test=none", "--ready-file", ready), more...)...)
	})
	w.program, w.url = p, p.at.NATS
	return p
}

func (w *world) restart(more ...string) *process {
	w.t.Helper()
	w.program.stop()
	return w.serve(more...)
}

func (w *world) env() []string { return []string{"XDG_CACHE_HOME=" + w.cache} }

// command runs a command with an operator's rights to its end.
func (w *world) command(args ...string) (code int, out, errs string) {
	w.t.Helper()
	command(func() int {
		cmd := exec.CommandContext(w.t.Context(), "rollcall", args...)
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		cmd.Env = append(os.Environ(), w.env()...)
		err := cmd.Run()
		exit := (*exec.ExitError)(nil)
		if err != nil && !errors.As(err, &exit) {
			w.t.Fatalf("rollcall %s: %v", strings.Join(args, " "), err)
		}
		code, out, errs = cmd.ProcessState.ExitCode(), stdout.String(), stderr.String()
		return code
	})
	return code, out, errs
}

// at is a command on the world's server.
func (w *world) at(args ...string) []string { return append(args, "--nats-url", w.url) }

// works is a command that the error advises, and must do it.
func (w *world) works(args ...string) string {
	w.t.Helper()
	code, out, errs := w.command(args...)
	if code != console.ExitDone {
		w.t.Fatalf("rollcall %s = %d, %s; want it to work", strings.Join(args, " "), code, errs)
	}
	return out
}

// fails is a command that must end with a code, and say text.
func (w *world) fails(code int, text string, args ...string) {
	w.t.Helper()
	got, _, errs := w.command(args...)
	if got != code || !strings.Contains(errs, text) {
		w.t.Errorf("rollcall %s = %d, %s; want %d and %q", strings.Join(args, " "), got, errs, code, text)
	}
}

// js is JetStream with all rights.
func (w *world) js() jetstream.JetStream {
	w.t.Helper()
	f := attach.ClientFlags{NATSURL: w.url}
	if w.embedded {
		f.NATSLogin = w.login()
	}
	nc, _, err := f.Connect(w.t.Context())
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(eventlogtest.Patience))
	w.must(err)
	return js
}

// login is the file that the program leaves for its user.
func (w *world) login() string {
	w.t.Helper()
	files, _ := filepath.Glob(w.cache + "/rollcall/*.login")
	if len(files) != 1 {
		w.t.Fatalf("logins in %s = %v; want one", w.cache, files)
	}
	return files[0]
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// post stores events of sessions.
func (w *world) post(sessions ...string) {
	w.t.Helper()
	for _, s := range sessions {
		if status := webhook(w.t, w.program.at.Ingest, `{"event":"meeting.started","meeting":{"id":"m","sessionId":"`+s+`","title":"t"}}`); status != http.StatusOK {
			w.t.Fatalf("POST of %s = %d; want 200 whatever is wrong with a view", s, status)
		}
	}
}

// filled is a program that runs with sessions in its views.
func (w *world) filled(sessions ...string) {
	w.t.Helper()
	w.serve()
	w.post(sessions...)
	w.works(w.at("status", "--wait", "30s")...)
}

// says waits until /readyz?verbose says a text of a view. The process is ready
// all the time.
func (w *world) says(view, text string) {
	w.t.Helper()
	var said []byte
	for began := time.Now(); time.Since(began) < time.Minute; {
		res, err := client.Get("http://" + w.program.at.Admin + "/readyz?verbose")
		w.must(err)
		said = bodyText(w.t, res)
		if res.StatusCode != http.StatusOK {
			w.t.Fatalf("/readyz = %d because of a view:\n%s", res.StatusCode, said)
		}
		for line := range strings.Lines(string(said)) {
			if strings.HasPrefix(line, "[+]project "+view+": ") && strings.Contains(line, text) {
				return
			}
		}
		w.must(wire.Pause(w.t.Context(), 20*time.Millisecond))
	}
	w.t.Fatalf("/readyz?verbose does not say %q of %s:\n%s\n%s", text, view, said, w.program.log)
}

// failed is a view that can't be folded on: the process says so and takes
// webhooks, and `status` names the error and the command.
func (w *world) failed(view, text, command string) {
	w.t.Helper()
	w.says(view, "failed: ")
	w.says(view, text)
	w.says(view, command)
	w.post("while-" + view + "-failed")
	if out := w.works(w.at("status")...); !strings.Contains(out, view+": ") || !strings.Contains(out, text) || !strings.Contains(out, command) {
		w.t.Errorf("status says\n%s\nwant %q and %q of %s", out, text, command, view)
	}
}

// repaired waits until a view holds the log to its end again, and nothing else.
func (w *world) repaired(view string) {
	w.t.Helper()
	w.says(view, "live, ")
	w.post("repaired")
	for began := time.Now(); ; {
		if out := w.works(w.at("views", "get", "sessions")...); strings.Contains(out, `"live.repaired"`) || view != "sessions" {
			break
		}
		if time.Since(began) > time.Minute {
			w.t.Fatal("the view does not follow the log")
		}
	}
	w.works(w.at("verify", view)...)
}

// background runs a command beside.
func (w *world) background(args ...string) *process {
	w.t.Helper()
	return startWith(w.t, launch{env: w.env()}, args[0], "rollcall", args...)
}

// remedy is a row of OPERATIONS' table: the error is produced for real, and what
// the row advises is done.
type remedy struct {
	// embedded and external: with which servers the error can occur.
	embedded, external bool
	try                func(w *world)
}

func everywhere(try func(w *world)) remedy   { return remedy{true, true, try} }
func embeddedOnly(try func(w *world)) remedy { return remedy{true, false, try} }
func externalOnly(try func(w *world)) remedy { return remedy{false, true, try} }

// errorRows are the first cells of OPERATIONS' table of errors.
func errorRows(t *testing.T) (rows []string) {
	t.Helper()
	text, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, section, ok := strings.Cut(string(text), "## Errors and what to do\n")
	if !ok {
		t.Fatal("OPERATIONS.md has no table of errors")
	}
	section, _, _ = strings.Cut(section, "\n#")
	for _, m := range regexp.MustCompile("(?m)^\\| `([^`]+)`").FindAllStringSubmatch(section, -1) {
		rows = append(rows, m[1])
	}
	return rows
}

// tryRemedies has each remedy tried, which takes minutes: `make remedies`.
var tryRemedies = flag.Bool("remedies", false, "TestRemedies tries each remedy")

// TestRemedies tries what each row of OPERATIONS' table of errors advises, with
// the embedded server and with one of its own, where -remedies is given. A row
// without a case is red always, and so is a case without a row.
func TestRemedies(t *testing.T) {
	cases := remedies()
	rows := errorRows(t)
	for text := range cases {
		if !slices.Contains(rows, text) {
			t.Errorf("OPERATIONS.md has no row %q", text)
		}
	}
	for _, text := range rows {
		c, ok := cases[text]
		if !ok {
			t.Errorf("the row %q of OPERATIONS.md was never tried: add a case to remedies()", text)
			continue
		}
		for _, kind := range []struct {
			name     string
			try      bool
			embedded bool
		}{{"embedded", c.embedded, true}, {"external", c.external, false}} {
			if !kind.try || !*tryRemedies {
				continue
			}
			t.Run(kind.name+"/"+text, func(t *testing.T) {
				if testing.Short() {
					t.Skip("starts processes")
				}
				t.Parallel()
				c.try(newWorld(t, kind.embedded))
			})
		}
	}
}

// bodyText is an answer's body.
func bodyText(t *testing.T, res *http.Response) []byte {
	t.Helper()
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// curl is the body of the answer to a GET by a host's name.
func curl(t *testing.T, host, url string) (string, error) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		return "", err
	}
	req.Host = host
	res, err := client.Do(req)
	if err != nil {
		return "", err
	}
	return string(bodyText(t, res)), nil
}
