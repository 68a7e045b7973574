//go:build mutants && unix

package docs

import (
	"cmp"
	"context"
	"fmt"
	"os/exec"
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

// goTest runs go test with arguments in the module's root, within a time. The
// processes that the tests leave behind end with it.
func goTest(t *testing.T, limit time.Duration, args ...string) outcome {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), limit+2*time.Minute) // the rest is for the compiler
	defer cancel()
	args = append([]string{"test", "-count=1", "-failfast", "-vet=off", "-timeout", limit.String()}, args...)
	run := exec.CommandContext(ctx, "sh", append([]string{"-c", fmt.Sprintf("ulimit -v %d; exec go \"$@\"", memoryKiB), "sh"}, args...)...)
	run.Dir = root
	run.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	run.Cancel = func() error { return syscall.Kill(-run.Process.Pid, syscall.SIGKILL) }
	run.WaitDelay = 5 * time.Second // a child of a killed test may hold its output open
	began := time.Now()
	out, err := run.CombinedOutput()
	if run.Process != nil {
		_ = syscall.Kill(-run.Process.Pid, syscall.SIGKILL) // mostly there is none left
	}
	text := string(out)
	return outcome{
		green: err == nil, took: time.Since(began).Round(time.Second), failure: firstFailure(text),
		built: !strings.Contains(text, "[build failed]") && !strings.Contains(text, "[setup failed]"),
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
