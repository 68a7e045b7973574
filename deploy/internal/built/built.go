// Package built gives the tests of deploy/ the program that is shipped: static,
// and built with the flags that a release is built with.
package built

import (
	"bytes"
	"cmp"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// Flags are those of every release: of the image and of .goreleaser.yaml.
var Flags = []string{"-trimpath", "-buildvcs=true", "-ldflags=-s -w"}

// Root is the tree's root, as seen from a test two folders below it.
const Root = "../.."

// Binary is the program's path. ROLLCALL_BINARY names one that is there already.
func Binary(t *testing.T) string {
	t.Helper()
	if path := os.Getenv("ROLLCALL_BINARY"); path != "" {
		return path
	}
	path := filepath.Join(t.TempDir(), "rollcall")
	Build(t, Root, path)
	return path
}

// Build builds the program of the tree at root.
func Build(t *testing.T, root, path string) {
	t.Helper()
	build(t, root, path, "./cmd/rollcall")
}

// NATSServer builds the server, of the version that the program has in it.
func NATSServer(t *testing.T, path string) {
	t.Helper()
	build(t, Root, path, "github.com/nats-io/nats-server/v2")
}

func build(t *testing.T, root, path, what string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), "go", append(append([]string{"build"}, Flags...), "-o", path, what)...)
	cmd.Dir = root
	cmd.Env = append(os.Environ(), "CGO_ENABLED=0", "GOFLAGS=", "GOWORK=off")
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%s: %v\n%s", strings.Join(cmd.Args, " "), err, out)
	}
}

// Tool is the path of a program that a test needs and may do without: where it
// is missing the test is skipped, and says which package has it.
func Tool(t *testing.T, name string) string {
	t.Helper()
	path, err := exec.LookPath(name)
	if err != nil {
		t.Skipf("no %s here (%s)", name, cmp.Or(install[name], "Debian: apt-get install "+packages[name]))
	}
	return path
}

var packages = map[string]string{"promtool": "prometheus", "prometheus": "prometheus", "systemd-analyze": "systemd", "buildah": "buildah", "podman": "podman runc",
	"git": "git", "chromium": "chromium", "curl": "curl", "ip": "iproute2", "unshare": "util-linux"}

// install has what Debian does not.
var install = map[string]string{"goreleaser": "go install github.com/goreleaser/goreleaser/v2@v2.15.1, some minutes of compiling"}

// Run runs a command to its end and returns what it printed to stdout.
func Run(t *testing.T, name string, args ...string) string {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), name, args...)
	var stderr bytes.Buffer
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("%s %s: %v\n%s%s", name, strings.Join(args, " "), err, out, stderr.Bytes())
	}
	return string(out)
}
