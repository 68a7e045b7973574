package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math/rand/v2"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
)

var (
	damages    = flag.Int("damages", 0, "how many random damages TestDamageRandom does")
	damageSeed = flag.Uint64("damage-seed", 1, "seed of TestDamageRandom; 0 takes one and prints it")
)

// harm is one thing that a disk or a hand may do to a data directory.
type harm struct {
	name string
	do   func(dir string, rng *rand.Rand) (string, error)
	// live is done over NATS instead, as by an operator's tool.
	live func(l *lab, rng *rand.Rand) (string, error)
}

// harms are the rows of the matrix, by what they touch.
var harms = []harm{
	{name: "log tail", do: onFile("MEETINGS/msgs/*.blk", last, cut)},
	{name: "log bit", do: onFile("MEETINGS/msgs/*.blk", some, flipBit)},
	{name: "log page", do: onFile("MEETINGS/msgs/*.blk", some, zeroPage)},
	{name: "log block", do: onFile("MEETINGS/msgs/*.blk", some, remove)},
	{name: "log index", do: onFile("MEETINGS/msgs/index.db", some, flipBit)},
	{name: "log settings", do: onFile("MEETINGS/meta.*", some, flipBit)},
	{name: "view bit", do: onFile("KV_*_g1/msgs/*.blk", some, flipBit)},
	{name: "view page", do: onFile("KV_*_g1/msgs/*.blk", some, zeroPage)},
	{name: "view tail", do: onFile("KV_*_g1/msgs/*.blk", some, cut)},
	{name: "view block", do: onFile("KV_*_g1/msgs/*.blk", some, remove)},
	{name: "view index", do: onFile("KV_*_g1/msgs/index.db", some, flipBit)},
	{name: "view settings", do: onFile("KV_*_g1/meta.*", some, flipBit)},
	{name: "control bit", do: onFile("KV_rollcall/msgs/*.blk", some, flipBit)},
	{name: "control page", do: onFile("KV_rollcall/msgs/*.blk", some, zeroPage)},
	{name: "control block", do: onFile("KV_rollcall/msgs/*.blk", some, remove)},
	{name: "control settings", do: onFile("KV_rollcall/meta.*", some, flipBit)},
	{name: "replica page", do: onFile("replica/replica.db", some, zeroPage)},
	{name: "replica row", do: onFile("replica/replica.db", some, flipDigit)},
	{name: "replica bit", do: onFile("replica/replica.db", some, flipBit)},
	{name: "state part", live: overwriteState},
}

// overwriteState writes garbage over a stored part of a view, or deletes it.
func overwriteState(l *lab, rng *rand.Rand) (string, error) {
	l.t.Setenv("XDG_CACHE_HOME", l.p.cache)
	nc, js, err := attach.OperatorFlags{ClientFlags: attach.ClientFlags{NATSURL: l.p.at.NATS}}.ConnectOperator(l.t.Context())
	if err != nil {
		return "", err
	}
	defer nc.Close()
	bucket := []string{"sessions_g1", "attendance_g1", "usage_g1"}[rng.IntN(3)]
	stream, err := js.Stream(l.t.Context(), "KV_"+bucket)
	if err != nil {
		return "", err
	}
	info, err := stream.Info(l.t.Context(), jetstream.WithSubjectFilter("rollcall.state."+bucket+".e.>"))
	if err != nil {
		return "", err
	}
	subjects := slices.Sorted(maps.Keys(info.State.Subjects))
	m := nats.NewMsg(subjects[rng.IntN(len(subjects))])
	what := "deleted"
	if rng.IntN(2) == 0 {
		what, m.Data = "garbage", []byte("garbage")
	} else {
		m.Header.Set("KV-Operation", "DEL")
	}
	_, err = js.PublishMsg(l.t.Context(), m)
	return what + " " + m.Subject, err
}

type choice func(rng *rand.Rand, paths []string) string

func last(_ *rand.Rand, paths []string) string { return paths[len(paths)-1] }

func some(rng *rand.Rand, paths []string) string { return paths[rng.IntN(len(paths))] }

// onFile harms one file, named below the streams' directory or the data directory.
func onFile(pattern string, which choice, how func(path string, b []byte, rng *rand.Rand) (string, error)) func(string, *rand.Rand) (string, error) {
	return func(dir string, rng *rand.Rand) (string, error) {
		below := filepath.Join(dir, "nats", "jetstream", "*", "streams", pattern)
		if strings.HasPrefix(pattern, "replica") {
			below = filepath.Join(dir, pattern)
		}
		paths, err := filepath.Glob(below)
		if strings.HasSuffix(pattern, "index.db") && err == nil && len(paths) == 0 { // it is written after two minutes
			paths, err = filepath.Glob(filepath.Dir(below))
			for i := range paths {
				paths[i] = filepath.Join(paths[i], "index.db")
				if err := os.WriteFile(paths[i], make([]byte, 100), 0o600); err != nil {
					return "", err
				}
			}
		}
		if err != nil || len(paths) == 0 {
			return "", errors.Join(fmt.Errorf("no %s", below), err)
		}
		path := which(rng, paths)
		b, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		what, err := how(path, b, rng)
		return fmt.Sprintf("%s of %s", what, strings.TrimPrefix(path, dir)), err
	}
}

func cut(path string, b []byte, rng *rand.Rand) (string, error) {
	n := 1 + rng.IntN(min(400, len(b)))
	return fmt.Sprintf("last %d bytes", n), os.Truncate(path, int64(len(b)-n))
}

// poke changes bytes in place, as a disk does: the file stays the one that is open.
func poke(path string, at int, with []byte) error {
	f, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return err
	}
	_, err = f.WriteAt(with, int64(at))
	if closed := f.Close(); err == nil {
		err = closed
	}
	return err
}

func flipBit(path string, b []byte, rng *rand.Rand) (string, error) {
	if len(b) == 0 {
		return "nothing", nil
	}
	at, bit := rng.IntN(len(b)), byte(1)<<rng.IntN(8)
	return fmt.Sprintf("bit %#x at %d", bit, at), poke(path, at, []byte{b[at] ^ bit})
}

func zeroPage(path string, b []byte, rng *rand.Rand) (string, error) {
	at := rng.IntN(len(b)/4096+1) * 4096
	n := min(4096, len(b)-at)
	return fmt.Sprintf("zeroed page at %d", at), poke(path, at, make([]byte, n))
}

func flipDigit(path string, b []byte, rng *rand.Rand) (string, error) {
	begin := rng.IntN(len(b))
	for i := range b {
		if at := (begin + i) % len(b); '0' <= b[at] && b[at] <= '8' {
			return fmt.Sprintf("digit at %d", at), poke(path, at, []byte{b[at] + 1})
		}
	}
	return "nothing", nil
}

func remove(path string, _ []byte, _ *rand.Rand) (string, error) { return "all", os.Remove(path) }

// moments are when the harm is done.
var moments = []string{"stopped", "killed", "running"}

// lab is a data directory under test.
type lab struct {
	said string // what the program said of views that failed
	t    *testing.T
	dir  string
	p    *process
	n    int // deliveries posted
}

func (l *lab) start() {
	l.t.Helper()
	l.p = startServe(l.t, "rollcall", "--data-dir", l.dir, "--source", "test=none", "--nats-listen", "127.0.0.1:0", "--source-rate", "0")
}

// post posts a delivery of session s; pad is how long its body is.
func (l *lab) post(event, s string, pad int) {
	l.t.Helper()
	body := fmt.Sprintf(`{"event":%q,"meeting":{"id":"m","sessionId":%q,"title":"t"},"participant":{"peerId":"p%s","customParticipantId":"c"},"pad":%q}`,
		event, s, s, strings.Repeat("x", pad))
	deadline := time.Now().Add(time.Minute)
	for {
		res, err := client.Post("http://"+l.p.at.Ingest+"/webhooks/test", "application/json", strings.NewReader(body))
		if err == nil {
			_, _ = io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				l.n++
				return
			}
		}
		if time.Now().After(deadline) || err == nil && res.StatusCode != http.StatusServiceUnavailable {
			l.t.Fatalf("POST = %v, %v; want 200\n%s", res, err, l.p.log)
		}
	}
}

// ids are the event ids that the log holds, and how many marks of lost records.
func (l *lab) ids() (ids map[string]bool, marks int) {
	l.t.Helper()
	ids = map[string]bool{}
	out, err := l.cli("events", "export", "-")
	if err != nil {
		l.t.Fatalf("export: %v\n%s", err, out)
	}
	for line := range strings.Lines(out) {
		if !strings.HasPrefix(line, "{") {
			continue // what goes to stderr
		}
		var r struct{ EventID, Type string }
		if err := json.Unmarshal([]byte(line), &r); err != nil || r.EventID == "" {
			l.t.Fatalf("export line %.100q: %v", line, err)
		}
		if r.Type == natslog.LostType {
			marks++
			continue
		}
		ids[r.EventID] = true
	}
	return ids, marks
}

// cli runs a command as the user who runs the server; it may fail.
func (l *lab) cli(args ...string) (string, error) {
	var out *bytes.Buffer
	err := eventlogtest.Steadily(func() error {
		cmd := exec.Command("rollcall", args...)
		out = new(bytes.Buffer)
		cmd.Stdout, cmd.Stderr = out, out
		cmd.Env = append(os.Environ(), "NO_COLOR=1", "XDG_CACHE_HOME="+l.p.cache)
		if !slices.Contains(args, "--data-dir") {
			cmd.Args = append(cmd.Args, "--nats-url", l.p.at.NATS)
		}
		return cmd.Run()
	})
	return out.String(), err
}

// base is a directory whose log has two blocks, as each moment finds it.
type base struct {
	dirs map[string]string
	ids  map[string]bool // of the log's records
}

func newBase(t *testing.T) *base {
	t.Helper()
	dir := t.TempDir()
	b := &base{dirs: map[string]string{}}
	l := &lab{t: t, dir: filepath.Join(dir, "live")}
	l.start()
	for i := range 90 {
		s := fmt.Sprintf("s%d", i%30)
		l.post([]string{"meeting.started", "meeting.participantJoined", "meeting.ended"}[i/30], s, 120_000)
	}
	if out, err := l.cli("status", "--wait", "60s"); err != nil {
		t.Fatal(out, err)
	}
	b.ids, _ = l.ids()
	waitFor(t, "replica", func() bool { return len(items(t, l)) == 30 })
	l.p.kill()
	for _, m := range moments[1:] {
		b.dirs[m] = filepath.Join(dir, m)
		copyTree(t, l.dir, b.dirs[m])
	}
	l.start()
	l.p.stop()
	b.dirs["stopped"] = l.dir
	return b
}

// waitFor waits for a condition.
func waitFor(t *testing.T, what string, done func() bool) {
	t.Helper()
	for deadline := time.Now().Add(eventlogtest.Patience); !done(); {
		if time.Now().After(deadline) || wire.Pause(t.Context(), 20*time.Millisecond) != nil {
			t.Fatalf("%s: not within %v", what, eventlogtest.Patience)
		}
	}
}

// items are the sessions that the read API shows, as documents.
func items(t *testing.T, l *lab) []string {
	t.Helper()
	res, err := client.Get("http://" + l.p.at.API + "/v1/sessions?limit=1000")
	if err != nil {
		return nil
	}
	defer res.Body.Close()
	var page struct{ Items []json.RawMessage }
	if err := json.NewDecoder(res.Body).Decode(&page); err != nil || res.StatusCode != http.StatusOK {
		return nil
	}
	var ids []string
	for _, i := range page.Items {
		ids = append(ids, string(i))
	}
	slices.Sort(ids)
	return ids
}

func copyTree(t *testing.T, from, to string) {
	t.Helper()
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		target := filepath.Join(to, strings.TrimPrefix(path, from))
		if d.IsDir() {
			return os.MkdirAll(target, 0o750)
		}
		b, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		return os.WriteFile(target, b, 0o600)
	})
	if err != nil {
		t.Fatal(err)
	}
}

// damage does one harm at one moment, and has the program live with it.
func damage(t *testing.T, from *base, h harm, moment string, seed uint64) {
	t.Helper()
	rng := rand.New(rand.NewPCG(seed, 1))
	l := &lab{t: t, dir: filepath.Join(t.TempDir(), "data")}
	copyTree(t, from.dirs[moment], l.dir)
	if moment == "running" {
		l.start()
		l.post("meeting.started", "warm", 10)
	}
	if h.live != nil && moment != "running" {
		l.start()
	}
	var what string
	var err error
	if h.live != nil {
		what, err = h.live(l, rng)
	} else {
		what, err = h.do(l.dir, rng)
	}
	if err != nil {
		t.Fatal(err)
	}
	if h.live != nil && moment == "stopped" {
		l.p.stop()
	} else if h.live != nil {
		l.p.kill()
	}
	if moment == "running" && h.live == nil {
		// Whatever the server makes of it, a delivery is taken or refused for now.
		res, err := client.Post("http://"+l.p.at.Ingest+"/webhooks/test", "application/json", strings.NewReader(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"during"}}`))
		if err == nil {
			res.Body.Close()
		}
		l.p.kill()
	}
	l.start()
	l.post("meeting.started", "after", 10)
	l.post("meeting.ended", "s7", 10)
	note := l.note()
	advice := l.advised()
	ids, marks := l.ids()
	missing := 0
	for id := range from.ids {
		if !ids[id] {
			missing++
		}
	}
	// A last block that is gone as a whole leaves no trace in the files. Its views
	// know that they have read more.
	if missing > 0 && missing > marks && !strings.Contains(note+l.said, "lost") {
		t.Errorf("%d records of the log are gone, %d are marked, and readyz says %q; reported:\n%s", missing, marks, note, l.said)
	}
	t.Logf("seed %d: %s, %s: %s; lost %d, marked %d; said: %s; advice followed: %s", seed, h.name, moment, what, missing, marks, note, advice)
}

// note is what /readyz?verbose says of the files.
func (l *lab) note() string {
	res, err := client.Get("http://" + l.p.at.Admin + "/readyz?verbose")
	if err != nil {
		l.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		l.t.Errorf("readyz = %s, %v; want ready\n%s", res.Status, err, b)
	}
	for line := range strings.Lines(string(b)) {
		if rest, ok := strings.CutPrefix(line, "[+]files"); ok {
			return strings.TrimSpace(strings.TrimPrefix(rest, ":"))
		}
	}
	return ""
}

// advised does what the program says until every view equals the log, and
// returns what that was.
func (l *lab) advised() string {
	l.t.Helper()
	var done []string
	for len(done) < 20 {
		if failed := l.failed(); len(failed) > 0 {
			for view, said := range failed {
				done = append(done, l.follow(view, said))
			}
			continue
		}
		out, err := l.cli("status", "--wait", "10s")
		if err == nil {
			out, err = l.cli("verify")
		}
		if err == nil {
			l.shown()
			return strings.Join(done, ", ")
		}
		done = append(done, l.follow("", out))
	}
	l.t.Fatalf("views differ from the log after %v:\n%s", done, l.p.log)
	return ""
}

// failed waits until every view is live or has failed, and returns why.
func (l *lab) failed() map[string]string {
	l.t.Helper()
	failed := map[string]string{}
	waitFor(l.t, "views live or failed", func() bool {
		clear(failed)
		for _, view := range viewNames() {
			switch s := l.p.says(view); {
			case strings.HasPrefix(s, "failed"):
				failed[view] = s
			case !strings.HasPrefix(s, "live"):
				return false
			}
		}
		return true
	})
	return failed
}

// follow runs the command that the program named.
func (l *lab) follow(view, said string) string {
	l.t.Helper()
	l.said += said + "\n"
	var command []string
	switch {
	case strings.Contains(said, "events scan"):
		l.p.stop()
		if out, err := l.cli("events", "scan", "--repair", "--data-dir", l.dir); err != nil {
			l.t.Fatalf("events scan --repair: %v\n%s", err, out)
		}
		l.start()
		return "events scan --repair"
	case strings.Contains(said, "rollcall rebuild ") && strings.Contains(said, "--carry"):
		command = []string{"rebuild", view, "--carry"}
	case strings.Contains(said, "rollcall rebuild "):
		if _, rest, _ := strings.Cut(said, "rollcall rebuild "); view == "" {
			view = strings.FieldsFunc(rest, func(r rune) bool { return r == ' ' || r == '`' })[0]
		}
		command = []string{"rebuild", view}
	case strings.Contains(said, "verify --repair"), strings.Contains(said, "--repair folds them"):
		command = []string{"verify", "--repair"}
	default:
		return "nothing, on: " + said
	}
	if out, err := l.cli(command...); err != nil {
		l.t.Logf("%v: %v %s", command, err, out)
	}
	return strings.Join(command, " ")
}

// shown waits until the read API shows what the view sessions holds.
func (l *lab) shown() {
	l.t.Helper()
	waitFor(l.t, "the API to show the view", func() bool {
		out, err := l.cli("views", "get", "sessions")
		return err == nil && strings.Count(out, "\"sessionId\"") == len(items(l.t, l))
	})
}

// TestDamageMatrix does every harm once at every moment.
func TestDamageMatrix(t *testing.T) {
	if *damages < 100 {
		t.Skip("part of make damage")
	}
	from := newBase(t)
	for _, h := range harms {
		for _, m := range moments {
			t.Run(h.name+", "+m, func(t *testing.T) { damage(t, from, h, m, 1) })
		}
	}
}

// TestDamageRandom does harms from a seed.
func TestDamageRandom(t *testing.T) {
	if *damages == 0 {
		t.Skip("part of make remedies and make damage")
	}
	seed := *damageSeed
	if seed == 0 {
		seed = rand.Uint64() >> 12
	}
	t.Logf("replay with -damage-seed %d -damages %d", seed, *damages)
	rng := rand.New(rand.NewPCG(seed, 2))
	from := newBase(t)
	for i := range *damages {
		h, m, s := harms[rng.IntN(len(harms))], moments[rng.IntN(len(moments))], rng.Uint64()>>12
		t.Run(fmt.Sprintf("%d %s, %s", i, h.name, m), func(t *testing.T) { damage(t, from, h, m, s) })
	}
}

// TestDamagedSettings: users and keys are the operator's files. What is damaged
// there is refused before anything is touched, and named.
func TestDamagedSettings(t *testing.T) {
	garbage := filepath.Join(t.TempDir(), "garbage")
	if err := os.WriteFile(garbage, []byte{0x80, 0, '{', 0xff}, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"--nats-users", garbage}, {"--source", "prod=rsa:" + garbage}, {"--source", "prod=standard:" + garbage}, {"--tls-cert", garbage, "--tls-key", garbage},
	} {
		dir := t.TempDir()
		_, err := configOf(t, dir, args...)
		if console.ExitCode(err) != console.ExitUsage || !strings.Contains(err.Error(), garbage) && !strings.Contains(err.Error(), args[0]) {
			t.Errorf("%v = %v; want a usage error that names the file", args, err)
		}
	}
}
