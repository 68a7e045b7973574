// Package systemd holds the tests of the units: they are valid and hardened, the
// program speaks with its manager, and a systemd starts it.
package systemd

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/deploy/internal/built"
)

// most is the greatest exposure that `systemd-analyze security` may find: 0 is
// none, 10 everything. The units have 1.1.
const most = 2.0

var units = []string{"rollcall.service", "rollcall@.service", "rollcall.target"}

// installed copies the units to a folder, with the program where it was built.
func installed(t *testing.T, binary string) (paths []string) {
	t.Helper()
	dir := t.TempDir()
	for _, name := range units {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), "/usr/bin/rollcall", binary)), 0o644); err != nil {
			t.Fatal(err)
		}
		paths = append(paths, path)
	}
	return paths
}

func TestUnitsAreValid(t *testing.T) {
	built.Tool(t, "systemd-analyze")
	out, err := exec.Command("systemd-analyze", append([]string{"verify", "--man=no"}, installed(t, built.Binary(t))...)...).CombinedOutput()
	if err != nil || len(out) > 0 {
		t.Errorf("systemd-analyze verify: %v\n%s", err, out)
	}
}

// TestUnknownKey: the check above goes red on a misspelt key, and names it.
func TestUnknownKey(t *testing.T) {
	built.Tool(t, "systemd-analyze")
	unit := installed(t, "/bin/true")[0]
	text, err := os.ReadFile(unit)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(unit, []byte(strings.Replace(string(text), "WatchdogSec=30", "WatchdogSecs=30", 1)), 0o644); err != nil {
		t.Fatal(err)
	}
	out, _ := exec.Command("systemd-analyze", "verify", "--man=no", unit).CombinedOutput()
	if !strings.Contains(string(out), "WatchdogSecs") {
		t.Errorf("systemd-analyze verify of a unit with WatchdogSecs= printed %q; want the key's name", out)
	}
}

func TestExposure(t *testing.T) {
	built.Tool(t, "systemd-analyze")
	overall := regexp.MustCompile(`Overall exposure level for \S+: ([0-9.]+)`)
	for _, unit := range installed(t, "/bin/true")[:2] {
		out := built.Run(t, "systemd-analyze", "security", "--offline=true", "--no-pager", unit)
		m := overall.FindStringSubmatch(out)
		if m == nil {
			t.Fatalf("systemd-analyze security:\n%s", out)
		}
		if level, err := strconv.ParseFloat(m[1], 64); err != nil || level > most {
			t.Errorf("%s has an exposure of %s; want at most %.1f:\n%s", filepath.Base(unit), m[1], most, out)
		}
		t.Log(m[0])
	}
}

// TestNotifies has the program report to a socket as systemd's: ready once it
// answers, signs of life, and its stop.
func TestNotifies(t *testing.T) {
	dir, err := os.MkdirTemp("", "notify") // a socket's name may not be long
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	socket, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(dir, "s"), Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	ready := filepath.Join(dir, "ready")
	cmd := exec.Command(built.Binary(t), "serve", "--data-dir", filepath.Join(dir, "data"), "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0",
		"--admin-addr", "127.0.0.1:0", "--nats-listen", "", "--ready-file", ready, "--log-level", "error")
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+filepath.Join(dir, "s"), "WATCHDOG_USEC=200000")
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	defer func() { _ = cmd.Process.Kill() }() // it has ended where all goes well
	expect(t, socket, "READY=1", "WATCHDOG=1", "WATCHDOG=1")
	if err := cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	expect(t, socket, "STOPPING=1")
	if err := cmd.Wait(); err != nil {
		t.Errorf("serve after SIGTERM = %v; want exit code 0", err)
	}
}

// expect reads datagrams until each of states was read, in that order; signs of
// life may come between.
func expect(t *testing.T, socket *net.UnixConn, states ...string) {
	t.Helper()
	if err := socket.SetReadDeadline(time.Now().Add(time.Minute)); err != nil {
		t.Fatal(err)
	}
	for datagram := make([]byte, 4096); len(states) > 0; {
		n, err := socket.Read(datagram)
		if err != nil {
			t.Fatalf("wait for %s: %v", states[0], err)
		}
		switch got := string(datagram[:n]); got {
		case states[0]:
			states = states[1:]
		case "WATCHDOG=1":
		default:
			t.Fatalf("datagram = %q; want %s", got, states[0])
		}
	}
}

// TestConfigs: each example of a config file says only what serve understands.
func TestConfigs(t *testing.T) {
	binary := built.Binary(t)
	for _, name := range []string{"rollcall.yaml", "ingest.yaml", "project.yaml", "query.yaml"} {
		built.Run(t, binary, "config", "show", "--config", name)
	}
	bad := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(bad, []byte("ingest-adr: 127.0.0.1:8080\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	out, err := exec.Command(binary, "serve", "--config", bad).CombinedOutput()
	if exit := (*exec.ExitError)(nil); !errors.As(err, &exit) || exit.ExitCode() != 2 || !strings.Contains(string(out), "ingest-adr") {
		t.Errorf("serve with a misspelt key = %v, %s; want exit code 2 and its name", err, out)
	}
}

// TestStartedBySystemd runs a systemd of its own in namespaces, with /etc, /usr
// and /var of its own above this machine's, and in it each command of the newcomer's
// protocol in deploy/README.md as it stands there, and of the cluster's, with three
// real nats-servers. Then it has the program hang.
func TestStartedBySystemd(t *testing.T) {
	switch {
	case os.Getenv("ROLLCALL_START_SYSTEMD") == "":
		t.Skip("a systemd in namespaces is started on request only: ROLLCALL_START_SYSTEMD=1")
	case os.Getuid() != 0:
		t.Skip("a systemd in namespaces wants root")
	case exists("/run/systemd/system"):
		t.Skip("this machine is run by systemd: not to be touched by a test")
	case !exists("/lib/systemd/systemd"):
		t.Skip("no systemd here (Debian: apt-get install systemd)")
	}
	for _, name := range []string{"unshare", "ip", "curl", "promtool", "prometheus"} {
		built.Tool(t, name)
	}
	dir := t.TempDir()
	built.Run(t, "cp", built.Binary(t), filepath.Join(dir, "rollcall"))
	built.NATSServer(t, filepath.Join(dir, "nats-server"))
	script := file(t, "testdata/nats.sh") + protocol(t) + file(t, "testdata/watchdog.sh")
	if err := os.WriteFile(filepath.Join(dir, "protocol.sh"), []byte(script), 0o600); err != nil {
		t.Fatal(err)
	}
	root, err := filepath.Abs(built.Root)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 5*time.Minute)
	defer cancel()
	cmd := exec.CommandContext(ctx, "unshare", "--mount", "--pid", "--fork", "--kill-child", "--uts", "--ipc", "--net", "--cgroup", "--mount-proc",
		"bash", "testdata/machine.sh", dir, root)
	out, err := cmd.CombinedOutput()
	t.Cleanup(func() { removeGroups("system.slice"); removeGroups("init.scope") })
	log, readErr := os.ReadFile(filepath.Join(dir, "out", "protocol.log"))
	result, _ := os.ReadFile(filepath.Join(dir, "out", "result"))
	if readErr != nil {
		t.Skipf("no systemd could be started in namespaces here: %v\n%s", err, out)
	}
	if strings.TrimSpace(string(result)) != "0" {
		t.Fatalf("the protocol ended with %q, %v:\n%s", result, err, log)
	}
	for _, want := range []string{
		"active (running)", `rollcall_ready 1`, "process_resident_memory_bytes", `"status":"ENDED"`, "ExecMainStatus=2", "Result=success",
		"rollcall@project-2.service loaded active running", "ready\nready\nready\nready\n", `"status":"LIVE"`, "Result=success\nId=rollcall@query.service\nActiveState=inactive",
		"started again by the watchdog",
	} {
		if !strings.Contains(string(log), want) {
			t.Errorf("the protocol's output lacks %q:\n%s", want, log)
		}
	}
	t.Logf("%s", log)
}

func file(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func exists(path string) bool {
	_, err := os.Stat(path)
	return err == nil
}

// removeGroups removes the control groups that a systemd left, empty, where this
// machine has none of that name.
func removeGroups(name string) {
	groups, _ := filepath.Glob("/sys/fs/cgroup/*/" + name)
	for _, group := range groups {
		_ = exec.Command("find", group, "-depth", "-type", "d", "-exec", "rmdir", "{}", ";").Run()
	}
}

// protocol is every command that the newcomer's protocol types, marked as a test
// where it is more than a person would do.
func protocol(t *testing.T) string {
	t.Helper()
	parts := regexp.MustCompile("(?s)<!-- protocol -->(.*?)<!-- end of protocol -->").FindAllString(file(t, "../README.md"), -1)
	if len(parts) != 2 {
		t.Fatalf("deploy/README.md has %d protocols between marks; want one of a single process, and one of a cluster", len(parts))
	}
	var script strings.Builder
	for _, block := range regexp.MustCompile("(?s)```console\n(.*?)```").FindAllStringSubmatch(strings.Join(parts, ""), -1) {
		for line := range strings.Lines(block[1]) {
			if command, ok := strings.CutPrefix(line, "$ "); ok {
				fmt.Fprintf(&script, "echo %s\n%s", shellWord("$ "+strings.TrimSuffix(command, "\n")), command)
			} else if rest, ok := strings.CutPrefix(line, "> "); ok {
				script.WriteString(rest)
			}
		}
	}
	return script.String()
}

// shellWord quotes a text for sh.
func shellWord(s string) string { return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'" }
