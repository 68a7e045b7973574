package main

import (
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestAPIBasePath: the read API is below the path that is set, by flag or environment;
// reports find it there, and whoever asks elsewhere is told where it is.
func TestAPIBasePath(t *testing.T) {
	n := testNode(t, t.TempDir(), "--api-base-path", "/tools/rollcall")
	runNode(t, n)
	for _, c := range []struct {
		path string
		code int
		says string
	}{
		{"/tools/rollcall", console.ExitDone, "sessionId"},
		{"/tools/rollcall/", console.ExitDone, "sessionId"},
		{"", console.ExitNotFound, "below /tools/rollcall/ (--api-base-path)"},
	} {
		code, stdout, stderr := inProcess(t, nil, "report", "live", "--api-url", "http://"+n.Addresses().API+c.path, "--output", "csv")
		if code != c.code || !strings.Contains(stdout+stderr, c.says) {
			t.Errorf("report live --api-url http://ADDRESS%s = %d\n%s%s; want %d and %q", c.path, code, stdout, stderr, c.code, c.says)
		}
	}
	code, _, stderr := inProcess(t, map[string]string{"ROLLCALL_API_BASE_PATH": "rollcall/"}, "serve", "--data-dir", t.TempDir())
	if want := "ROLLCALL_API_BASE_PATH in the environment sets it"; code != console.ExitUsage || !strings.Contains(stderr, "--api-base-path") || !strings.Contains(stderr, want) {
		t.Errorf("serve with ROLLCALL_API_BASE_PATH=rollcall/ = %d %s; want %d and %q", code, stderr, console.ExitUsage, want)
	}
}
