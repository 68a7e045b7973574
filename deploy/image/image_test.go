// Package image holds the tests of the container image: what is in it, how it
// starts, and that two builds of one revision are the same bytes.
package image

import (
	"bytes"
	"debug/buildinfo"
	"debug/elf"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/deploy/internal/built"
)

// TestReproducible builds one revision in two folders: same bytes, and no path of
// a machine in them. Packages that both share come from Go's cache, which knows
// no folders with -trimpath.
func TestReproducible(t *testing.T) {
	built.Tool(t, "git")
	var all [][]byte
	for _, name := range []string{"a", "a-longer-name"} {
		dir := filepath.Join(t.TempDir(), name)
		built.Run(t, "git", "clone", "-q", "--no-hardlinks", built.Root, dir)
		path := filepath.Join(t.TempDir(), "rollcall")
		built.Build(t, dir, path)
		binary, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		if bytes.Contains(binary, []byte(dir)) {
			t.Errorf("the binary built in %s contains that path", dir)
		}
		all = append(all, binary)
	}
	if !bytes.Equal(all[0], all[1]) {
		t.Errorf("two builds of one revision differ (%d and %d bytes)", len(all[0]), len(all[1]))
	}
}

// TestStatic: no interpreter and no library, or an image of nothing else could not start it.
func TestStatic(t *testing.T) {
	f, err := elf.Open(built.Binary(t))
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	libraries, err := f.ImportedLibraries()
	if err != nil || len(libraries) > 0 || slices.ContainsFunc(f.Progs, func(p *elf.Prog) bool { return p.Type == elf.PT_INTERP }) {
		t.Errorf("the binary needs %v, %v; want a static one", libraries, err)
	}
}

// TestFlags: Dockerfile, goreleaser and these tests build alike.
func TestFlags(t *testing.T) {
	for _, file := range []string{"Dockerfile", "../check.sh", built.Root + "/.goreleaser.yaml"} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for _, flag := range append(slices.Clone(built.Flags), "CGO_ENABLED=0") {
			name, value, _ := strings.Cut(flag, "=")
			if !strings.Contains(string(text), name) && !strings.Contains(string(text), strings.TrimPrefix(name, "-")) || !strings.Contains(string(text), value) {
				t.Errorf("%s does not build with %s", file, flag)
			}
		}
	}
}

// TestBillOfMaterials: the CycloneDX document names every module that the Go
// linker put into the binary, with its version.
func TestBillOfMaterials(t *testing.T) {
	binary := built.Binary(t)
	file := filepath.Join(t.TempDir(), "sbom.json")
	built.Run(t, "go", "tool", "cyclonedx-gomod", "bin", "-json", "-std", "-output", file, binary)
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var bill struct {
		BOMFormat  string `json:"bomFormat"`
		Components []struct{ Name, Version, Purl string }
	}
	if err := json.Unmarshal(text, &bill); err != nil || bill.BOMFormat != "CycloneDX" {
		t.Fatalf("bill of materials: %v, format %q", err, bill.BOMFormat)
	}
	listed := map[string]string{}
	for _, c := range bill.Components {
		listed[c.Name] = c.Version
	}
	info, err := buildinfo.ReadFile(binary)
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range info.Deps {
		if listed[m.Path] != m.Version {
			t.Errorf("the bill has %s in version %q; the binary has %s", m.Path, listed[m.Path], m.Version)
		}
	}
	if listed["std"] == "" {
		t.Errorf("the bill does not name the standard library")
	}
}

// runtime is a container engine with a store of its own, so that nothing is left of it.
type runtime struct {
	t     *testing.T
	flags map[string][]string // of each program
}

func (r runtime) run(name string, args ...string) string {
	r.t.Helper()
	return strings.TrimSpace(built.Run(r.t, name, slices.Concat(r.flags[name], args)...))
}

// podman runs a command that may fail.
func (r runtime) podman(args ...string) (string, error) {
	out, err := exec.Command("podman", slices.Concat(r.flags["podman"], args)...).CombinedOutput()
	return string(out), err
}

// confined are the flags of a container that may do little. Limits are set, since
// an engine's own may be above what this machine allows. The image's health check
// wants a systemd here: the test runs its command instead.
var confined = []string{"run", "--no-healthcheck", "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges",
	"--ulimit", "nofile=4096:4096", "--ulimit", "nproc=4096:4096"}

// TestImage builds the last stage of the Dockerfile around the binary, without a
// network, and starts it with a root file system that can't be written.
func TestImage(t *testing.T) {
	r := engine(t)
	context := imageContext(t)
	r.run("buildah", "bud", "--format", "docker", "--isolation", "chroot", "--build-arg", "VERSION=v1.2.3", "--build-arg", "REVISION=abc", "-t", "rollcall:test", context)
	r.checkConfig()

	if out, err := r.podman(slices.Concat(confined, []string{"--rm", "localhost/rollcall:test", "version"})...); err != nil {
		t.Skipf("the image is built, but no container can be started here: %v: %s", err, out)
	}
	began := time.Now()
	id := r.run("podman", slices.Concat(confined, []string{"-d", "-v", "data:/data", "localhost/rollcall:test", "serve", "--source", "test=none", "--insecure"})...)
	t.Cleanup(func() { _, _ = r.podman("rm", "-f", "-t", "5", id) })
	for deadline := time.After(time.Minute); ; {
		if r.try(id, "/usr/bin/rollcall", "healthcheck") == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("not ready within a minute:\n%s", r.run("podman", "logs", id))
		default:
		}
	}
	ready := time.Since(began)
	pid := r.run("podman", "inspect", "-f", "{{.State.Pid}}", id)
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	if got := field(status, "Uid:"); got != "65532" {
		t.Errorf("the program runs as user %s; want 65532", got)
	}
	if got := field(status, "CapEff:"); got != "0000000000000000" {
		t.Errorf("the program has capabilities %s; want none", got)
	}
	for _, program := range []string{"sh", "/bin/sh", "ls"} {
		if r.try(id, program) == nil {
			t.Errorf("%s runs in the image; want nothing but the program", program)
		}
	}
	size := r.run("podman", "image", "inspect", "-f", "{{.Size}}", "localhost/rollcall:test")
	r.run("podman", "stop", "-t", "30", id)
	if code := r.run("podman", "inspect", "-f", "{{.State.ExitCode}}", id); code != "0" {
		t.Errorf("exit code after SIGTERM = %s; want 0", code)
	}
	t.Logf("image: %s bytes; start to ready, as asked from within: %v; resident at rest: %s kB", size, ready.Round(10*time.Millisecond), field(status, "VmRSS:"))
}

// try runs a command in the container.
func (r runtime) try(id string, command ...string) error {
	_, err := r.podman(append([]string{"exec", id}, command...)...)
	return err
}

// checkConfig holds what the image says of itself.
func (r runtime) checkConfig() {
	r.t.Helper()
	var image []struct {
		Config struct {
			User       string
			Entrypoint []string
			Labels     map[string]string
			Volumes    map[string]any
		}
		Healthcheck struct{ Test []string }
	}
	if err := json.Unmarshal([]byte(r.run("podman", "image", "inspect", "localhost/rollcall:test")), &image); err != nil || len(image) != 1 {
		r.t.Fatalf("inspect image: %v, %d images", err, len(image))
	}
	c := image[0].Config
	got := fmt.Sprintln(c.User, c.Entrypoint, image[0].Healthcheck.Test, len(c.Volumes))
	if want := "65532:65532 [/usr/bin/rollcall] [CMD /usr/bin/rollcall healthcheck] 1\n"; got != want {
		r.t.Errorf("image's user, entrypoint, health check, volumes = %s; want %s", got, want)
	}
	for label, want := range map[string]string{"version": "v1.2.3", "revision": "abc", "licenses": "Apache-2.0", "title": "rollcall"} {
		if got := c.Labels["org.opencontainers.image."+label]; got != want {
			r.t.Errorf("label %s = %q; want %q", label, got, want)
		}
	}
}

// engine skips where containers can't be run, and says why.
func engine(t *testing.T) runtime {
	t.Helper()
	if os.Getuid() != 0 {
		t.Skip("building and starting an image wants root here")
	}
	built.Tool(t, "buildah")
	built.Tool(t, "podman")
	dir, err := os.MkdirTemp("", "image")
	if err != nil {
		t.Fatal(err)
	}
	store := []string{"--root", dir + "/root", "--runroot", dir + "/run", "--storage-driver", "vfs"}
	podman := append(slices.Clone(store), "--cgroup-manager", "cgroupfs", "--events-backend", "file")
	if _, err := exec.LookPath("runc"); err == nil {
		podman = append(podman, "--runtime", "runc") // crun of Debian 12 refuses control groups of both versions side by side
	}
	r := runtime{t, map[string][]string{"buildah": store, "podman": podman}}
	t.Cleanup(func() {
		_, _ = r.podman("rm", "-f", "-a", "-t", "5")
		_, _ = r.podman("volume", "rm", "-f", "-a")
		if err := os.RemoveAll(dir); err != nil {
			t.Errorf("remove the store: %v", err)
		}
	})
	return r
}

// imageContext is the Dockerfile's last stage, and what its first stage would have made.
func imageContext(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	text, err := os.ReadFile("Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	_, last, found := strings.Cut(string(text), "\nFROM scratch\n")
	if !found {
		t.Fatal("Dockerfile has no stage FROM scratch")
	}
	last = "FROM scratch\n" + strings.ReplaceAll(strings.ReplaceAll(last, "--from=build ", ""), "/out/", "")
	built.Run(t, "cp", built.Binary(t), filepath.Join(dir, "rollcall"))
	roots, err := os.ReadFile("/etc/ssl/certs/ca-certificates.crt")
	if err != nil {
		t.Skipf("no ca-certificates here: %v", err)
	}
	for name, b := range map[string][]byte{"Dockerfile": []byte(last), "ca-certificates.crt": roots} {
		if err := os.WriteFile(filepath.Join(dir, name), b, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Mkdir(filepath.Join(dir, "data"), 0o755); err != nil {
		t.Fatal(err)
	}
	return dir
}

// field is the first value of a line of /proc/<pid>/status.
func field(status []byte, name string) string {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}
