package compose

import (
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/compose-spec/compose-go/v2/types"

	"rollcall/deploy/internal/built"
	"rollcall/deploy/internal/containers"
)

// within says that a test runs in a network of its own.
const within = "ROLLCALL_TEST_NETWORK"

// TestFormsAreStarted starts each service of both files but Prometheus and Grafana as
// it stands there, by podman, in a network namespace of its own: no registry is asked,
// so the image of NATS holds the server of that version, built here. Deliveries become
// a session, in the cluster also once a NATS server and a projector are gone.
func TestFormsAreStarted(t *testing.T) {
	if os.Getenv(within) == "" {
		again(t)
		return
	}
	built.Run(t, "ip", "link", "set", "lo", "up")
	network(t)
	engine, files := containers.New(t), brought(t)
	cluster := &form{t: t, Engine: engine, project: mustLoad(t, "cluster.yaml"), brought: files, at: map[string]string{}}
	one := &form{t: t, Engine: engine, project: mustLoad(t, "compose.yaml"), brought: files, at: map[string]string{}}
	engine.Build("localhost/rollcall:local", containers.Rollcall(t))
	if out, err := engine.Podman(append(slices.Clone(containers.Run), "--rm", "--network", "test", "localhost/rollcall:local", "version")...); err != nil {
		t.Skipf("no container can be started in a network here: %v: %s", err, out)
	}
	nats := containers.Folder(t, "FROM scratch\nCOPY nats-server /\nENTRYPOINT [\"/nats-server\"]\n")
	built.NATSServer(t, filepath.Join(nats, "nats-server"))
	engine.Build("docker.io/library/"+cluster.project.Services["nats-1"].Image, nats)

	one.start(200)
	one.deliver("rollcall", "meeting.started.json", "meeting.ended.json")
	one.reads("rollcall", `"status":"ENDED"`, 2)

	cluster.start(10)
	cluster.deliver("ingest", "meeting.started.json", "meeting.participantJoined.json")
	cluster.reads("query-1", `"status":"LIVE"`, 2)
	cluster.reads("query-2", `"status":"LIVE"`, 2)
	cluster.podman("stop", "-t", "5", "nats-2", "project-1")
	cluster.deliver("ingest", "meeting.participantLeft.json", "meeting.ended.json")
	cluster.reads("query-1", `"status":"ENDED"`, 4)
	cluster.reads("query-2", `"status":"ENDED"`, 4)
}

// again runs the test in a new network namespace.
func again(t *testing.T) {
	t.Helper()
	for _, name := range []string{"unshare", "ip", "podman"} {
		built.Tool(t, name)
	}
	if out, err := exec.Command("unshare", "--net", "--mount", "true").CombinedOutput(); err != nil {
		t.Skipf("no network of its own can be made here: %v: %s", err, out)
	}
	if _, err := os.Stat("/usr/lib/cni/bridge"); err != nil {
		t.Skip("no network for containers here (Debian: apt-get install containernetworking-plugins)")
	}
	test, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "unshare", "--net", "--mount", "--", test, "-test.run", "^TestFormsAreStarted$", "-test.v")
	cmd.Env = append(os.Environ(), within+"=own", "ROLLCALL_BINARY="+built.Binary(t))
	out, err := cmd.CombinedOutput()
	switch {
	case err != nil:
		t.Fatalf("%v\n%s", err, out)
	case strings.Contains(string(out), "--- SKIP"):
		t.Skipf("%s", out)
	}
	t.Logf("%s", out)
}

// network has podman make a bridge without rules of a firewall.
func network(t *testing.T) {
	t.Helper()
	dir := t.TempDir()
	for name, text := range map[string]string{
		"cni/test.conflist": `{"cniVersion":"0.4.0","name":"test","plugins":[{"type":"bridge","bridge":"test0","isGateway":true,
			"ipam":{"type":"host-local","dataDir":"` + dir + `/leases","ranges":[[{"subnet":"10.89.0.0/24"}]]}}]}`,
		"containers.conf": "[network]\nnetwork_backend = \"cni\"\ncni_plugin_dirs = [\"/usr/lib/cni\"]\nnetwork_config_dir = \"" + dir + "/cni\"\ndefault_network = \"test\"\n",
	} {
		write(t, filepath.Join(dir, name), text)
	}
	t.Setenv("CONTAINERS_CONF", filepath.Join(dir, "containers.conf"))
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

// token is of the file that the operator brings.
const token = "a-token-of-the-test-that-is-long-enough"

// brought are the files that the operator brings, by name.
func brought(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	built.Run(t, built.Binary(t), "keygen", filepath.Join(dir, "keys"))
	write(t, filepath.Join(dir, "api.tokens"), "test reader "+token+"\n")
	public := filepath.Join(dir, "keys", "public.pem")
	if err := os.Chmod(public, 0o644); err != nil {
		t.Fatal(err)
	}
	return map[string]string{"prod.pem": public, "private.pem": filepath.Join(dir, "keys", "private.pem"), "api.tokens": filepath.Join(dir, "api.tokens")}
}

// form is a compose file under way.
type form struct {
	containers.Engine
	t       *testing.T
	project *types.Project
	brought map[string]string
	at      map[string]string // addresses of its services
}

func (c *form) podman(args ...string) string {
	c.t.Helper()
	out, err := c.Podman(args...)
	if err != nil {
		c.t.Fatalf("podman %s: %v\n%s", strings.Join(args, " "), err, out)
	}
	return out
}

// start runs the services, NATS first, at addresses from first on, and waits until ours
// are ready.
func (c *form) start(first int) {
	c.t.Helper()
	var names []string
	for name, s := range c.project.Services {
		if ours(s) || strings.HasPrefix(s.Image, "nats:") {
			names = append(names, name)
		}
	}
	slices.SortFunc(names, func(a, b string) int { // nats-… first
		return strings.Compare(fmt.Sprint(!strings.HasPrefix(a, "nats"), a), fmt.Sprint(!strings.HasPrefix(b, "nats"), b))
	})
	for i, name := range names {
		c.at[name] = fmt.Sprintf("10.89.0.%d", first+i)
	}
	for _, name := range names {
		c.podman(c.command(name)...)
	}
	for _, name := range names {
		if ours(c.project.Services[name]) {
			c.ready(name)
		}
	}
}

// command is what runs a service as the file has it.
func (c *form) command(name string) []string {
	s := c.project.Services[name]
	args := append(slices.Clone(containers.Run), "-d", "--name", name, "--restart", s.Restart, "--network", "test", "--ip", c.at[name])
	for other, at := range c.at {
		args = append(args, "--add-host", other+":"+at)
		if network := c.project.Services[other].Networks["default"]; network != nil {
			for _, alias := range network.Aliases {
				args = append(args, "--add-host", alias+":"+at)
			}
		}
	}
	for key, value := range s.Environment {
		args = append(args, "--env", key+"="+*value)
	}
	for _, f := range s.Configs {
		args = append(args, "--volume", c.file(c.project.Configs[f.Source].File)+":"+f.Target+":ro")
	}
	for _, f := range s.Secrets {
		args = append(args, "--volume", c.file(c.project.Secrets[f.Source].File)+":/run/secrets/"+f.Source+":ro")
	}
	for _, v := range s.Volumes {
		args = append(args, "--volume", v.Source+":"+v.Target)
	}
	for _, m := range s.Tmpfs {
		path, owner, _ := strings.Cut(m, ":")
		if owner != "uid=65532,gid=65532" {
			c.t.Errorf("%s: tmpfs %s belongs to %q; want our user", name, path, owner)
		}
		args = append(args, "--mount", "type=tmpfs,destination="+path+",U=true") // podman takes no uid
	}
	for _, capability := range s.CapDrop {
		args = append(args, "--cap-drop", capability)
	}
	for _, option := range s.SecurityOpt {
		args = append(args, "--security-opt", strings.TrimSuffix(option, ":true"))
	}
	if s.ReadOnly {
		args = append(args, "--read-only")
	}
	image := "localhost/rollcall:local"
	if !ours(s) {
		image = "docker.io/library/" + s.Image
	}
	return slices.Concat(args, []string{image}, s.Command)
}

// file is where a file of the project lies.
func (c *form) file(path string) string {
	if at, ok := c.brought[filepath.Base(path)]; ok {
		return at
	}
	return path
}

// ready waits for a service's own health check.
func (c *form) ready(name string) {
	c.t.Helper()
	for deadline := time.After(2 * time.Minute); ; {
		out, err := c.Podman("exec", name, "/usr/bin/rollcall", "healthcheck")
		if err == nil {
			return
		}
		select {
		case <-deadline:
			logs, _ := c.Podman("logs", name)
			c.t.Fatalf("%s is not ready within two minutes: %s\n%s", name, out, logs)
		default:
		}
	}
}

func (c *form) deliver(to string, names ...string) {
	c.t.Helper()
	args := []string{"send", "--key", c.brought["private.pem"], "--url", "http://" + c.at[to] + ":8080/webhooks/prod"}
	for _, name := range names {
		args = append(args, filepath.Join(built.Root, "eventlog/testdata/samples/rtk", name))
	}
	built.Run(c.t, built.Binary(c.t), args...)
}

// reads asks a query process for what it has once it has a record. It may take its time
// after the loss of a server on a busy machine: the log says how much.
func (c *form) reads(service, want string, sequence int) {
	c.t.Helper()
	began := time.Now()
	for {
		status, body := c.ask(service, sequence)
		switch {
		case status == http.StatusOK && strings.Contains(body, want):
			c.t.Logf("%s has record %d after %v", service, sequence, time.Since(began).Round(time.Millisecond))
			return
		case status != http.StatusGatewayTimeout || time.Since(began) > 2*time.Minute:
			logs, _ := c.Podman("logs", service)
			c.t.Fatalf("%s answers %d %s; want %s\n%s", service, status, body, want, logs)
		}
	}
}

func (c *form) ask(service string, sequence int) (int, string) {
	c.t.Helper()
	req, err := http.NewRequestWithContext(c.t.Context(), http.MethodGet, fmt.Sprintf("http://%s:8081/v1/sessions?minSequence=%d&wait=10s", c.at[service], sequence), nil)
	if err != nil {
		c.t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		c.t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		c.t.Fatal(err)
	}
	return res.StatusCode, string(body)
}
