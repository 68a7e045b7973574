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
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/deploy/internal/built"
	"rollcall/deploy/internal/containers"
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

// TestImage builds the last stage of the Dockerfile around the binary, without a
// network, and starts it with a root file system that can't be written.
func TestImage(t *testing.T) {
	r := runtime{containers.New(t), t}
	r.Build("rollcall:test", containers.Rollcall(t), "--build-arg", "VERSION=v1.2.3", "--build-arg", "REVISION=abc")
	r.checkConfig()

	confined := append(slices.Clone(containers.Run), "--network", "none", "--read-only", "--cap-drop", "ALL", "--security-opt", "no-new-privileges")
	if out, err := r.Podman(slices.Concat(confined, []string{"--rm", "localhost/rollcall:test", "version"})...); err != nil {
		t.Skipf("the image is built, but no container can be started here: %v: %s", err, out)
	}
	began := time.Now()
	id := r.run(slices.Concat(confined, []string{"-d", "-v", "data:/data", "localhost/rollcall:test", "serve", "--source", "test=none", "--insecure"})...)
	t.Cleanup(func() { _, _ = r.Podman("rm", "-f", "-t", "5", id) })
	for deadline := time.After(time.Minute); ; {
		if r.try(id, "/usr/bin/rollcall", "healthcheck") == nil {
			break
		}
		select {
		case <-deadline:
			t.Fatalf("not ready within a minute:\n%s", r.run("logs", id))
		default:
		}
	}
	ready := time.Since(began)
	pid := r.run("inspect", "-f", "{{.State.Pid}}", id)
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
	size := r.run("image", "inspect", "-f", "{{.Size}}", "localhost/rollcall:test")
	r.run("stop", "-t", "30", id)
	if code := r.run("inspect", "-f", "{{.State.ExitCode}}", id); code != "0" {
		t.Errorf("exit code after SIGTERM = %s; want 0", code)
	}
	t.Logf("image: %s bytes; start to ready, as asked from within: %v; resident at rest: %s kB", size, ready.Round(10*time.Millisecond), field(status, "VmRSS:"))
}

type runtime struct {
	containers.Engine
	t *testing.T
}

// run is a podman command that has to succeed.
func (r runtime) run(args ...string) string {
	r.t.Helper()
	out, err := r.Podman(args...)
	if err != nil {
		r.t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return strings.TrimSpace(out)
}

// try runs a command in the container.
func (r runtime) try(id string, command ...string) error {
	_, err := r.Podman(append([]string{"exec", id}, command...)...)
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
	if err := json.Unmarshal([]byte(r.run("image", "inspect", "localhost/rollcall:test")), &image); err != nil || len(image) != 1 {
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

// field is the first value of a line of /proc/<pid>/status.
func field(status []byte, name string) string {
	for line := range strings.Lines(string(status)) {
		if rest, ok := strings.CutPrefix(line, name); ok {
			return strings.Fields(rest)[0]
		}
	}
	return ""
}
