package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/rogpeppe/go-internal/testscript"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/query"
	"rollcall/query/closing"
)

// raceExit has a child under the race detector end when it has ended: the
// detector has every process wait a second for late reports, of which a command
// has none.
const raceExit = "atexit_sleep_ms=0"

// TestMain lets the test binary stand in for the program, and for a plain
// nats-server of the same version.
func TestMain(m *testing.M) {
	if os.Getenv("GORACE") == "" {
		_ = os.Setenv("GORACE", raceExit) // without it tests are slower, no more
	}
	if _, err := os.UserCacheDir(); err != nil {
		_ = os.Setenv("XDG_CACHE_HOME", os.TempDir()) // TestScripts says so where it is not set
	}
	testscript.Main(m, map[string]func(){
		"rollcall":          main,
		"nats-server":       natsServer,
		"tamper":            tamper,
		"falsify":           falsify,
		"sign-body":         signBody,
		"curl-stand-in":     curlStandIn,
		"failing-ingester":  failingIngester,
		"failing-projector": failingProjector,
	})
}

// tamper changes the title of a bucket's first document, with an operator's
// rights: tamper NATS BUCKET.
func tamper() {
	if err := tamperWith(context.Background(), os.Args[1], os.Args[2]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func tamperWith(ctx context.Context, address, bucket string) error {
	nc, js, err := attach.OperatorFlags{ClientFlags: attach.ClientFlags{NATSURL: address}}.ConnectOperator(ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	kv, err := js.KeyValue(ctx, bucket)
	if err != nil {
		return err
	}
	keys, err := kv.Keys(ctx)
	if err != nil {
		return err
	}
	entry, err := kv.Get(ctx, slices.Min(keys))
	if err != nil {
		return err
	}
	var doc map[string]jsontext.Value
	if err := json.Unmarshal(entry.Value(), &doc); err != nil {
		return err
	}
	doc["title"] = jsontext.Value(`"tampered"`)
	changed, err := json.Marshal(doc)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, slices.Min(keys), changed)
	return err
}

// falsify adds a second to the first participantSeconds of a closing's part, with an
// operator's rights: falsify NATS KEY.
func falsify() {
	ctx := context.Background()
	nc, js, err := attach.OperatorFlags{ClientFlags: attach.ClientFlags{NATSURL: os.Args[1]}}.ConnectOperator(ctx)
	if err == nil {
		defer nc.Close()
		err = falsifyIn(ctx, js, os.Args[2])
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func falsifyIn(ctx context.Context, js jetstream.JetStream, key string) error {
	kv, err := js.KeyValue(ctx, closing.Bucket)
	if err != nil {
		return err
	}
	entry, err := kv.Get(ctx, key)
	if err != nil {
		return err
	}
	_, err = kv.Put(ctx, key, []byte(strings.Replace(string(entry.Value()), `"participantSeconds":1800`, `"participantSeconds":1801`, 1)))
	return err
}

// natsServer is nats-server's own main, in short.
func natsServer() {
	fs := flag.NewFlagSet("nats-server", flag.ExitOnError)
	opts, err := server.ConfigureOptions(fs, os.Args[1:], func() {}, fs.Usage, func() {})
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s, err := server.NewServer(opts)
	if err != nil {
		server.PrintAndDie(err.Error())
	}
	s.ConfigureLogger()
	if err := server.Run(s); err != nil {
		server.PrintAndDie(err.Error())
	}
	s.WaitForShutdown()
}

func TestScripts(t *testing.T) {
	files, err := filepath.Glob("testdata/script/*.txtar")
	if err != nil || len(files) < 5 {
		t.Fatalf("scripts = %v, %v; want at least five", files, err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			t.Parallel()
			if err := eventlogtest.Steadily(func() error { return runScript(file) }); err != nil {
				t.Error(err)
			}
		})
	}
}

// runScript runs a script once.
func runScript(file string) error {
	var run scriptRun
	done := make(chan struct{})
	go func() { // which ends where the script fails
		defer close(done)
		testscript.RunT(&run, testscript.Params{
			Files: []string{file}, RequireExplicitExec: true, RequireUniqueNames: true,
			Setup: func(env *testscript.Env) error {
				cache, err := os.UserCacheDir() // where a server leaves the login of the user who runs it
				env.Setenv("XDG_CACHE_HOME", cache)
				env.Setenv("NO_COLOR", "1")
				env.Setenv("GORACE", os.Getenv("GORACE"))
				return err
			},
			Cmds: map[string]func(*testscript.TestScript, bool, []string){"ready": cmdReady, "code": cmdCode, "run": cmdRun, "own": cmdOwn, "until": cmdUntil, "shown": cmdShown},
		})
	}()
	<-done
	if run.failed {
		return errors.New(run.log.String())
	}
	return nil
}

// scriptRun is one run of a script: that it failed is not yet a failure of the test.
type scriptRun struct {
	failed bool
	log    strings.Builder
}

// The methods are those of testscript.T.
func (r *scriptRun) Run(_ string, f func(testscript.T)) { f(r) }
func (r *scriptRun) Parallel()                          {}
func (r *scriptRun) Verbose() bool                      { return false }
func (r *scriptRun) Log(args ...any)                    { fmt.Fprintln(&r.log, args...) }
func (r *scriptRun) Skip(args ...any)                   { r.Fatal(append([]any{"skipped:"}, args...)...) }
func (r *scriptRun) Fatal(args ...any)                  { r.Log(args...); r.FailNow() }
func (r *scriptRun) FailNow()                           { r.failed = true; runtime.Goexit() }

// cmdRun runs a command of the program in the process of the test, as inProcess
// does: run ARG… Files are named from $WORK on, the folder of the script.
func cmdRun(ts *testscript.TestScript, neg bool, args []string) {
	if code, _ := runIn(ts, args); (code != console.ExitDone) != neg {
		ts.Fatalf("run %s ends with %d", strings.Join(args, " "), code)
	}
}

// runIn runs a command with the environment of a script, which gets its output.
func runIn(ts *testscript.TestScript, args []string) (code int, stderr string) {
	code, stdout, stderr := runOf(ts, args)
	_, err := io.WriteString(ts.Stdout(), stdout)
	ts.Check(err)
	_, err = io.WriteString(ts.Stderr(), stderr)
	ts.Check(err)
	return code, stderr
}

// runOf is runIn, of which the script sees nothing.
func runOf(ts *testscript.TestScript, args []string) (code int, stdout, stderr string) {
	var out, errs *lockedBuffer
	lookup := func(name string) (string, bool) { v := ts.Getenv(name); return v, v != "" }
	command(func() int {
		out, errs = new(lockedBuffer), new(lockedBuffer)
		code = run(context.Background(), args, lookup, strings.NewReader(""), out, errs)
		return code
	})
	return code, out.String(), errs.String()
}

// cmdReady waits for a ready file and sets PREFIX_INGEST, _API, _ADMIN, _NATS:
// ready FILE PREFIX.
func cmdReady(ts *testscript.TestScript, _ bool, args []string) {
	if len(args) != 2 {
		ts.Fatalf("usage: ready FILE PREFIX")
	}
	at, err := waitReady(context.Background(), ts.MkAbs(args[0]), 60*time.Second)
	ts.Check(err)
	for name, value := range map[string]string{"INGEST": at.Ingest, "API": at.API, "ADMIN": at.Admin, "NATS": at.NATS} {
		ts.Setenv(args[1]+"_"+name, value)
	}
}

// waitReady waits until a ready file is there.
func waitReady(ctx context.Context, path string, limit time.Duration) (at node.Addresses, err error) {
	ctx, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	for {
		b, err := os.ReadFile(path)
		if err == nil {
			return at, json.Unmarshal(b, &at)
		}
		if err := wire.Pause(ctx, 10*time.Millisecond); err != nil {
			return at, fmt.Errorf("wait for %s: %w", path, err)
		}
	}
}

// cmdCode runs a command that must end with an exit code, in the process of the test
// or in its own: code N run ARG…, code N exec rollcall ARG…
func cmdCode(ts *testscript.TestScript, _ bool, args []string) {
	want, err := strconv.Atoi(args[0])
	ts.Check(err)
	do := runIn
	if args[1] == "exec" {
		do = execIn
	}
	got, text := do(ts, args[2:])
	if got != want {
		ts.Fatalf("%v ends with %d; want %d\nstderr: %s", args[1:], got, want, text)
	}
	if got > 1 && strings.Count(text, "rollcall: ") == 1 && strings.Count(strings.TrimSpace(lastError(text)), "\n") > 0 {
		ts.Fatalf("%v prints its error on several lines:\n%s", args[1:], text)
	}
}

// execIn runs a program in a process of its own.
func execIn(ts *testscript.TestScript, args []string) (code int, stderr string) {
	command(func() int {
		err := ts.Exec(args[0], args[1:]...)
		code = console.ExitDone
		if exit := (*exec.ExitError)(nil); errors.As(err, &exit) {
			code = exit.ExitCode()
		} else if err != nil {
			ts.Fatalf("run %v: %v", args, err)
		}
		return code
	})
	return code, ts.ReadFile("stderr")
}

// lastError is what follows the last "rollcall: ".
func lastError(text string) string {
	return text[strings.LastIndex(text, "rollcall: "):]
}

// inProcess runs a command of the program to its end, under the race detector, but
// not in a process of its own: there most commands take less time than their start.
func inProcess(t *testing.T, env map[string]string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, errs *lockedBuffer // as files do, they take what several goroutines write
	lookup := func(name string) (string, bool) { v, ok := env[name]; return v, ok }
	command(func() int {
		out, errs = new(lockedBuffer), new(lockedBuffer)
		code = run(t.Context(), args, lookup, strings.NewReader(""), out, errs)
		return code
	})
	return code, out.String(), errs.String()
}

func TestEveryCommandHasHelpWithAnExample(t *testing.T) {
	var grammar cli
	parser, err := newParser(&grammar, &app{file: &fileConfig{}, IO: &console.IO{Stdout: os.Stdout, Stderr: os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	leaves := 0
	visit(parser.Model.Node, nil, func(path []string, n *kong.Node) {
		if n.Hidden { // what the program calls itself
			return
		}
		if len(n.Children) == 0 {
			leaves++
		}
		code, stdout, stderr := inProcess(t, nil, append(path, "--help")...)
		if code != console.ExitDone || !strings.Contains(stdout, "Example") || !strings.Contains(stdout, strings.TrimSpace("rollcall "+strings.Join(path, " "))) {
			t.Errorf("rollcall %s --help = %d, %q, %q; want help with an example", strings.Join(path, " "), code, stdout, stderr)
		}
		if len(path) > 0 && n.Help == "" {
			t.Errorf("rollcall %s has no line of help", strings.Join(path, " "))
		}
	})
	if leaves < 10 {
		t.Errorf("%d commands; want at least 10", leaves)
	}
}

func TestSettingsComeFromFlagThenEnvironmentThenFile(t *testing.T) {
	file := t.TempDir() + "/rollcall.yaml"
	if err := os.WriteFile(file, []byte("log-format: json\nmax-bytes: 1GiB\nsources:\n  - {name: a, scheme: none}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	show := func(env map[string]string, args ...string) map[string]string {
		code, stdout, stderr := inProcess(t, env, append([]string{"config", "show", "--output", "json"}, args...)...)
		if code != 0 {
			t.Fatalf("config show %v: %s", args, stderr)
		}
		var rows []struct{ Name, Value, From string }
		if err := json.Unmarshal([]byte(stdout), &rows, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		got := map[string]string{}
		for _, r := range rows {
			got[r.Name] = r.Value
		}
		return got
	}
	for _, c := range []struct {
		what string
		env  map[string]string
		args []string
		want string
	}{
		{"default", nil, nil, "0"},
		{"file", nil, []string{"--config", file}, "1GiB"},
		{"file by environment", map[string]string{"ROLLCALL_CONFIG": file}, nil, "1GiB"},
		{"environment over file", map[string]string{"ROLLCALL_MAX_BYTES": "2GiB"}, []string{"--config", file}, "2GiB"},
	} {
		if got := show(c.env, c.args...)["max-bytes"]; got != c.want {
			t.Errorf("%s: max-bytes = %q; want %q", c.what, got, c.want)
		}
	}
	// A flag wins over both: the log of a failing command is JSON only where the flag is ignored.
	code, _, stderr := inProcess(t, map[string]string{"ROLLCALL_LOG_LEVEL": "nonsense"}, "version", "--log-level", "warn")
	if code != console.ExitDone {
		t.Errorf("version --log-level warn with a bad environment = %d, %s; want the flag to win", code, stderr)
	}
	if code, _, _ := inProcess(t, map[string]string{"ROLLCALL_LOG_LEVEL": "nonsense"}, "version"); code != console.ExitUsage {
		t.Errorf("version with ROLLCALL_LOG_LEVEL=nonsense = %d; want %d", code, console.ExitUsage)
	}
}

func TestConfigShowRedactsSecrets(t *testing.T) {
	_, stdout, _ := inProcess(t, map[string]string{"ROLLCALL_NATS_URL": "nats://me:hunter22@nats:4222", "ROLLCALL_SOURCE": "p=rsa:https://keys.example.com/k?token=hunter22"},
		"config", "show")
	if strings.Contains(stdout, "hunter22") {
		t.Errorf("config show prints a secret:\n%s", stdout)
	}
}

func TestNamesCannotWriteToTheTerminal(t *testing.T) {
	for in, want := range map[string]string{
		"Guest 12":                "Guest 12",
		"Réunion 進捗":              "Réunion 進捗",
		"\x1b[31mred\x1b]0;x\x07": `\x1b[31mred\x1b]0;x\a`,
		"a\u202eb\u200b":          `a\u202eb\u200b`,
		"line\nbreak\u00a0":       `line\nbreak\u00a0`,
	} {
		if got := console.Printable(in); got != want {
			t.Errorf("printable(%q) = %q; want %q", in, got, want)
		}
	}
}

// TestCSVIsTheAPIs: commands and API write the same bytes.
func TestCSVIsTheAPIs(t *testing.T) {
	for _, in := range []string{"=1+1", "-1.5", "x;=1+1;y", "Bob\t=1+1", "\u00a0=1", "\ufeff=1", "\v=1", "-2-3", "a,b", "a=b", ""} {
		var got strings.Builder
		g := console.Grid{Columns: []string{"name"}}
		g.Add(in)
		if err := g.CSV(&got); err != nil {
			t.Fatal(err)
		}
		if want := string(query.AppendCSV(query.AppendCSV(nil, []string{"name"}), []string{in})); got.String() != want {
			t.Errorf("CSV of %q = %q; want %q", in, got.String(), want)
		}
	}
}

// TestReportsNameTheAPI: a report that is pointed to NATS says what it asks.
func TestReportsNameTheAPI(t *testing.T) {
	for _, args := range [][]string{{"report", "live", "--nats-url", "nats://127.0.0.1:4222"}, {"report", "usage", "--nats-url=nats://127.0.0.1:4222"}} {
		code, _, stderr := inProcess(t, nil, args...)
		if code != 2 || !strings.Contains(stderr, "name it with --api-url") {
			t.Errorf("rollcall %s = %d, %q; want 2 and --api-url named", strings.Join(args, " "), code, stderr)
		}
	}
}

func TestCompletionKnowsTheCommands(t *testing.T) {
	for _, shell := range []string{"bash", "zsh", "fish"} {
		code, stdout, _ := inProcess(t, nil, "completion", shell)
		if code != 0 || !strings.Contains(stdout, "simulate") || !strings.Contains(stdout, "data-dir") {
			t.Errorf("completion %s = %d, %d bytes; want commands and flags in it", shell, code, len(stdout))
		}
	}
}

// TestCompletionCompletes has bash complete words with the script.
func TestCompletionCompletes(t *testing.T) {
	bash, err := exec.LookPath("bash")
	if err != nil {
		t.Skip("no bash")
	}
	_, script, _ := inProcess(t, nil, "completion", "bash")
	for line, want := range map[string]string{"rollcall ver": "verify version", "rollcall events fol": "follow", "rollcall serve --ingest-a": "--ingest-addr",
		"rollcall report live --output c": "csv", "rollcall report usage --output s": "sheet svg", "rollcall report recordings -o s": "sheet", "rollcall report session s-1 -o s": "svg", "rollcall rebuild atten": "attendance", "rollcall views get rec": "recordings", "rollcall rebuild sessions us": "usage"} {
		words := strings.Fields(line)
		try := fmt.Sprintf("%s\nCOMP_WORDS=(%s) COMP_CWORD=%d\n_rollcall\necho ${COMPREPLY[@]}\n", script, line, len(words)-1)
		out, err := exec.Command(bash, "-c", try).CombinedOutput()
		if got := strings.TrimSpace(string(out)); err != nil || got != want {
			t.Errorf("completion of %q = %q, %v; want %q", line, got, err, want)
		}
	}
	if strings.Contains(script, "mapfile") {
		t.Errorf("the script uses mapfile, which zsh and the bash of macOS lack")
	}
}
