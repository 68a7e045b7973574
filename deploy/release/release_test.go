// Package release holds the test of how a release is made.
package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/deploy/internal/built"
)

const config = built.Root + "/.goreleaser.yaml"

// check has goreleaser itself read a config.
func check(t *testing.T, path string) (string, error) {
	t.Helper()
	out, err := exec.Command(built.Tool(t, "goreleaser"), "check", path).CombinedOutput()
	return string(out), err
}

func TestConfigIsAccepted(t *testing.T) {
	out, err := check(t, config)
	if err != nil || !strings.Contains(out, "1 configuration file(s) validated") {
		t.Errorf("goreleaser check: %v\n%s", err, out)
	}
	t.Log(out)
}

// TestUnknownKey: the check above goes red on a misspelt key, and names it.
func TestUnknownKey(t *testing.T) {
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "mod_timestamp:", "mod_timestamps:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := check(t, path); err == nil || !strings.Contains(out, "mod_timestamps") {
		t.Errorf("goreleaser check of a config with mod_timestamps: %v\n%s", err, out)
	}
}
