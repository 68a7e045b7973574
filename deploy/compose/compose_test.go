// Package compose holds the tests of both compose files: valid, closed, and with
// settings that the program knows.
package compose

import (
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/compose-spec/compose-go/v2/loader"
	"github.com/compose-spec/compose-go/v2/types"

	"rollcall/deploy/internal/built"
)

// passwords are what .env holds.
var passwords = map[string]string{"OPERATOR_PASSWORD": "po", "INGESTER_PASSWORD": "pi", "PROJECTOR_PASSWORD": "pp", "QUERY_PASSWORD": "pq", "GRAFANA_PASSWORD": "pg"}

// load reads a compose file as docker compose does: schema, references, merges.
func load(t *testing.T, text string, environment map[string]string) (*types.Project, error) {
	t.Helper()
	dir, err := filepath.Abs(".")
	if err != nil {
		t.Fatal(err)
	}
	return loader.LoadWithContext(t.Context(), types.ConfigDetails{
		WorkingDir: dir, Environment: maps.Clone(environment), ConfigFiles: []types.ConfigFile{{Filename: "compose.yaml", Content: []byte(text)}},
	}, func(o *loader.Options) { o.SetProjectName("test", true) })
}

func read(t *testing.T, name string) string {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func mustLoad(t *testing.T, name string) *types.Project {
	t.Helper()
	p, err := load(t, read(t, name), passwords)
	if err != nil {
		t.Fatalf("%s: %v", name, err)
	}
	return p
}

func TestServices(t *testing.T) {
	for name, want := range map[string][]string{
		"compose.yaml": {"rollcall"},
		"cluster.yaml": {"grafana", "ingest", "nats-1", "nats-2", "nats-3", "project-1", "project-2", "prometheus", "query-1", "query-2"},
	} {
		if got := slices.Sorted(maps.Keys(mustLoad(t, name).Services)); !slices.Equal(got, want) {
			t.Errorf("%s has the services %v; want %v", name, got, want)
		}
	}
}

// TestClosed: our containers can't write but to /data, have no capabilities, and
// no port of any service is open beyond this machine.
func TestClosed(t *testing.T) {
	for _, name := range []string{"compose.yaml", "cluster.yaml"} {
		for service, s := range mustLoad(t, name).Services {
			for _, port := range s.Ports {
				if port.HostIP != "127.0.0.1" {
					t.Errorf("%s: port %s of %s is open on %q; want 127.0.0.1", name, port.Published, service, port.HostIP)
				}
			}
			if ours(s) && (!s.ReadOnly || !slices.Equal(s.CapDrop, []string{"ALL"}) || !slices.Contains(s.SecurityOpt, "no-new-privileges:true")) {
				t.Errorf("%s: %s is not read-only without capabilities", name, service)
			}
		}
	}
}

func ours(s types.ServiceConfig) bool { return strings.Contains(s.Image, "rollcall") }

// TestFilesExist: what is mounted is in the tree, or named as what the operator brings.
func TestFilesExist(t *testing.T) {
	brought := []string{"prod.pem", "api.tokens"}
	for _, name := range []string{"compose.yaml", "cluster.yaml"} {
		p := mustLoad(t, name)
		var files []string
		for _, c := range p.Configs {
			files = append(files, c.File)
		}
		for _, s := range p.Secrets {
			files = append(files, s.File)
		}
		for _, file := range files {
			if _, err := os.Stat(file); err != nil && !slices.Contains(brought, filepath.Base(file)) {
				t.Errorf("%s mounts %s: %v", name, file, err)
			}
		}
	}
}

// TestSettingsAreKnown starts each of our services' commands with its environment,
// up to the point where it looks for its server: usage errors have exit code 2.
func TestSettingsAreKnown(t *testing.T) {
	binary := built.Binary(t)
	for _, name := range []string{"compose.yaml", "cluster.yaml"} {
		for service, s := range mustLoad(t, name).Services {
			if !ours(s) {
				continue
			}
			if code, out := settings(t, binary, s); code != 0 {
				t.Errorf("%s: settings of %s: exit code %d\n%s", name, service, code, out)
			}
		}
	}
	bad := mustLoad(t, "compose.yaml").Services["rollcall"]
	bad.Environment = types.MappingWithEquals{"ROLLCALL_REPLICAS": ptr("many")}
	if code, out := settings(t, binary, bad); code != 2 || !strings.Contains(out, "ROLLCALL_REPLICAS") {
		t.Errorf("ROLLCALL_REPLICAS=many: exit code %d, %s; want 2 and the variable's name", code, out)
	}
}

func ptr(s string) *string { return &s }

// settings runs the service's command with an address that nobody can listen on:
// what is wrong with flags, variables or the config file is found before.
func settings(t *testing.T, binary string, s types.ServiceConfig) (int, string) {
	t.Helper()
	args := slices.Clone([]string(s.Command))
	for i, arg := range args {
		if arg == "/etc/rollcall/rollcall.yaml" {
			args[i] = withKey(t, binary)
		}
	}
	cmd := exec.CommandContext(t.Context(), binary, append(args, "--admin-addr", "192.0.2.1:1", "--api-addr", "127.0.0.1:0", "--data-dir", t.TempDir())...)
	for key, value := range s.Environment {
		if value != nil && !strings.HasSuffix(key, "_ADDR") && !strings.HasSuffix(key, "_FILE") {
			cmd.Env = append(cmd.Env, key+"="+*value)
		}
	}
	out, err := cmd.CombinedOutput()
	if err == nil {
		t.Fatalf("%v started", cmd.Args)
	}
	if strings.Contains(string(out), "--admin-addr") && strings.Contains(string(out), "192.0.2.1") {
		return 0, string(out)
	}
	return cmd.ProcessState.ExitCode(), string(out)
}

// withKey is rollcall.yaml with a key that exists.
func withKey(t *testing.T, binary string) string {
	t.Helper()
	dir := t.TempDir()
	built.Run(t, binary, "keygen", filepath.Join(dir, "keys"))
	file := filepath.Join(dir, "rollcall.yaml")
	if err := os.WriteFile(file, []byte(strings.ReplaceAll(read(t, "rollcall.yaml"), "/etc/rollcall/prod.pem", filepath.Join(dir, "keys", "public.pem"))), 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// TestRefusals: a wrong key or a missing password stops docker compose, with its name.
func TestRefusals(t *testing.T) {
	for _, c := range []struct{ file, from, to, says string }{
		{"compose.yaml", "read_only: true", "readonly: true", "readonly"},
		{"compose.yaml", "secrets: [api_tokens]", "secrets: [nothing]", "nothing"},
		{"cluster.yaml", "restart: unless-stopped", "restart: [never]", "restart"},
	} {
		text := strings.Replace(read(t, c.file), c.from, c.to, 1)
		if _, err := load(t, text, passwords); err == nil || !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s with %q = %v; want an error that names %s", c.file, c.to, err, c.says)
		}
	}
	for name := range passwords {
		fewer := maps.Clone(passwords)
		delete(fewer, name)
		if _, err := load(t, read(t, "cluster.yaml"), fewer); err == nil || !strings.Contains(err.Error(), name) {
			t.Errorf("cluster.yaml without %s = %v; want an error that names it", name, err)
		}
	}
}
