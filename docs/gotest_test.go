//go:build mutants && unix

package docs

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"
)

// memoryKiB bounds the address space of each process of a run: a broken loop
// may ask for all the memory there is.
const memoryKiB = 16 << 20

// outcome is how the tests of a package ended.
type outcome struct {
	green, built bool
	failure      string // the first test that went red
	took         time.Duration
}

// buildLimit is how long the compiler may take.
const buildLimit = 5 * time.Minute

// ran is what a process said, and how long it took.
type ran struct {
	text   string
	failed bool
	took   time.Duration
}

// execute starts a process in a folder and waits for its end, or for a time. The
// processes that it leaves behind end with it.
func execute(t *testing.T, limit time.Duration, dir string, env []string, args ...string) ran {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit)
	defer cancel()
	cmd := exec.CommandContext(ctx, "sh", append([]string{"-c", fmt.Sprintf("ulimit -v %d; exec \"$@\"", memoryKiB), "sh"}, args...)...)
	cmd.Dir, cmd.Env = dir, append(os.Environ(), env...)
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	cmd.Cancel = func() error { return syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) }
	cmd.WaitDelay = 5 * time.Second // a child of a killed test may hold its output open
	began := time.Now()
	out, err := cmd.CombinedOutput()
	if cmd.Process != nil {
		_ = syscall.Kill(-cmd.Process.Pid, syscall.SIGKILL) // mostly there is none left
	}
	return ran{text: string(out), failed: err != nil, took: time.Since(began)}
}

// goTool runs the go command in the module's root.
func goTool(t *testing.T, limit time.Duration, args ...string) ran {
	t.Helper()
	return execute(t, limit, root, nil, append([]string{"go"}, args...)...)
}

// runTests runs a package's compiled tests where go test would.
func runTests(t *testing.T, limit time.Duration, bin, pkg string, env []string, args ...string) ran {
	t.Helper()
	return execute(t, limit, filepath.Join(root, filepath.FromSlash(pkg)), env, append([]string{bin}, args...)...)
}

// goTest runs go test with arguments in the module's root, within a time.
func goTest(t *testing.T, limit time.Duration, args ...string) outcome {
	t.Helper()
	o := goTool(t, limit+2*time.Minute, append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", limit.String()}, args...)...) // the rest is for the compiler
	return outcome{
		green: !o.failed, took: o.took.Round(time.Second), failure: firstFailure(o.text),
		built: !strings.Contains(o.text, "[build failed]") && !strings.Contains(o.text, "[setup failed]"),
	}
}

// firstFailure is the test that went red, in the words of go test.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "--- FAIL") || strings.HasPrefix(trimmed, "panic:") {
			return trimmed
		}
	}
	return cmp.Or(strings.TrimSpace(out[max(0, len(out)-120):]), "no output")
}
