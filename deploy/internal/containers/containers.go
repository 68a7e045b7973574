// Package containers gives the tests of deploy/ a container engine with a store of its
// own, so that nothing is left of it, and images that are made without a network.
package containers

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"rollcall/deploy/internal/built"
)

// Engine is podman, and buildah to build for it.
type Engine struct {
	t               *testing.T
	podman, buildah []string // their flags
}

// New skips the test where containers can't be run, and says why.
func New(t *testing.T) Engine {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("building and starting an image wants root here")
	}
	built.Tool(t, "buildah")
	built.Tool(t, "podman")
	dir, err := os.MkdirTemp("", "image") // a socket's name may not be long
	if err != nil {
		t.Fatal(err)
	}
	store := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}
	e := Engine{t: t, buildah: store, podman: append(slices.Clone(store), "--cgroup-manager", "cgroupfs", "--events-backend", "file")}
	if _, err := exec.LookPath("runc"); err == nil {
		e.podman = append(e.podman, "--runtime", "runc") // crun of Debian 12 refuses control groups of both versions side by side
	}
	t.Cleanup(func() {
		_, _ = e.Podman("rm", "-f", "-a", "-t", "5")
		_, _ = e.Podman("volume", "rm", "-f", "-a")
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the store: %v", err)
		}
	})
	return e
}

// Run begins a command that runs a container. Limits are set, since an engine's own
// may be above what this machine allows. An image's health check wants a systemd here:
// tests run its command instead.
var Run = []string{"run", "--no-healthcheck", "--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"}

// Podman runs a command that may fail, and returns what it printed.
func (e Engine) Podman(args ...string) (string, error) {
	cmd := exec.Command("podman", slices.Concat(e.podman, args)...)
	var stderr strings.Builder
	cmd.Stderr = &stderr
	out, err := cmd.Output()
	if err != nil || args[0] == "logs" {
		return string(out) + stderr.String(), err
	}
	return string(out), nil
}

// Build makes the image of a folder with a Dockerfile.
func (e Engine) Build(tag, context string, args ...string) {
	e.t.Helper()
	built.Run(e.t, "buildah", slices.Concat(e.buildah, []string{"bud", "--format", "docker", "--isolation", "chroot"}, args, []string{"-t", tag, context})...)
}

// Rollcall is the folder that our image is made of: the last stage of its Dockerfile,
// and what its first stage would have made.
func Rollcall(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(built.Root, "deploy/image/Dockerfile"))
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found {
		t.Fatal("Dockerfile has no stage FROM scratch")
	}
	roots, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Skipf("no ca-certificates here: %v", err)
	}
	dir := Folder(t, "FROM scratch\n"+strings.ReplaceAll(strings.ReplaceAll(last, "--from=build ", ""), "/out/", ""))
	built.Run(t, "cp", built.Binary(t), filepath.Join(dir, "rollcall"))
	if err := os.WriteFile(filepath.Join(dir, "ca-certificates.crt"), roots, 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// Folder is one with that Dockerfile.
func Folder(t *testing.T, dockerfile string) string {
	t.Helper()
	dir := t.TempDir()
	if err := os.WriteFile(filepath.Join(dir, "Dockerfile"), []byte(dockerfile), 0o644); err != nil {
		t.Fatal(err)
	}
	return dir
}
