//go:build chaos && linux

package main

import (
	"context"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

// cluster is three nats-server processes; each has the log whole.
type cluster struct {
	ports, routes [3]string
	dirs          [3]string
	nodes         [3]*process
}

func startCluster(t *testing.T) *cluster {
	t.Helper()
	c := &cluster{}
	for i := range c.nodes {
		c.ports[i], c.routes[i], c.dirs[i] = freePort(t), freePort(t), t.TempDir()
	}
	for i := range c.nodes {
		c.start(t, i)
	}
	return c
}

// freePort is one that nothing listened on a moment ago: nodes name each other's.
func freePort(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, err := net.SplitHostPort(l.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	return port
}

// start starts a node on its directory and ports.
func (c *cluster) start(t *testing.T, i int) {
	t.Helper()
	var routes []string
	for _, port := range c.routes {
		routes = append(routes, "nats://127.0.0.1:"+port)
	}
	name := fmt.Sprint("n", i)
	c.nodes[i] = start(t, name, "nats-server", "-js", "-n", name, "-sd", c.dirs[i], "-a", "127.0.0.1", "-p", c.ports[i],
		"-cluster_name", "chaos", "-cluster", "nats://127.0.0.1:"+c.routes[i], "-routes", strings.Join(routes, ","))
}

func (c *cluster) url() string {
	var urls []string
	for _, port := range c.ports {
		urls = append(urls, "nats://127.0.0.1:"+port)
	}
	return strings.Join(urls, ",")
}

// whole waits until all nodes have the log as far as its leader, which it returns:
// a second fault before that would be one of two nodes.
func (c *cluster) whole(t *testing.T) (leader int) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	nc, js, err := attach.OperatorFlags{ClientFlags: attach.ClientFlags{NATSURL: c.url()}}.ConnectOperator(ctx)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	for {
		if leader, ok := leaderOf(ctx, js); ok {
			return leader
		}
		if err := wire.Pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatal("a node does not catch up")
		}
	}
}

// leaderOf is the node that leads the log, where all have it whole.
func leaderOf(ctx context.Context, js jetstream.JetStream) (leader int, ok bool) {
	stream, err := js.Stream(ctx, eventlog.Stream)
	if err != nil || stream.CachedInfo().Cluster == nil {
		return 0, false
	}
	state := stream.CachedInfo().Cluster
	if len(state.Replicas) != 2 {
		return 0, false
	}
	for _, r := range state.Replicas {
		if !r.Current || r.Offline {
			return 0, false
		}
	}
	_, err = fmt.Sscanf(state.Leader, "n%d", &leader)
	return leader, err == nil
}

// TestChaosOneNodesDisk damages the disk of one node of three, while webhooks are
// taken: of the node that leads the log, and of one that follows.
func TestChaosOneNodesDisk(t *testing.T) {
	c := startCluster(t)
	s, key := newSenders(t)
	p := startServe(t, "ingest", "--target=ingest", "--nats-url", c.url(), "--replicas", "3", "--source", "prod=rsa:"+key, "--data-dir", t.TempDir())
	s.aim(p.at.Ingest)
	stop := s.start(t, 8)
	faults := []struct {
		name   string
		damage func(t *testing.T, i int)
	}{
		{"its directory removed, kill -9", func(t *testing.T, i int) {
			emptyDir(t, c.dirs[i])
			s.progress(t, 50, "while the files are gone")
			c.nodes[i].kill()
		}},
		{"kill -9, a block of its log halved", func(t *testing.T, i int) {
			c.nodes[i].kill()
			halveBlock(t, c.dirs[i])
		}},
		{"on a full disk of 2 MiB, kill -9", func(t *testing.T, i int) {
			c.nodes[i].kill()
			own := c.dirs[i]
			c.dirs[i] = smallDisk(t, "2m")
			c.start(t, i)
			for !strings.Contains(c.nodes[i].log.String(), "no space left") {
				s.progress(t, 10, "beside a node on a small disk")
			}
			s.progress(t, 200, "beside a node on a full disk")
			c.nodes[i].kill()
			emptyDir(t, own)
			c.dirs[i] = own
		}},
	}
	runs := 0
	for _, f := range faults {
		for _, leads := range []bool{true, false} {
			s.progress(t, 200, "before "+f.name)
			i := c.whole(t)
			if !leads {
				i = (i + 1) % len(c.nodes)
			}
			f.damage(t, i)
			s.progress(t, 50, "after "+f.name)
			c.start(t, i)
			runs++
		}
	}
	c.whole(t)
	s.progress(t, 200, "after all of it")
	stop()
	s.check(t, "one node of three: its directory, a block, a full disk", runs, "--nats-url", c.url())
}

// emptyDir removes what is in a directory.
func emptyDir(t *testing.T, dir string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		if err := os.RemoveAll(filepath.Join(dir, e.Name())); err != nil {
			t.Fatal(err)
		}
	}
}

// halveBlock cuts the newest block of the log's messages in half.
func halveBlock(t *testing.T, dir string) {
	t.Helper()
	blocks, err := filepath.Glob(filepath.Join(dir, "jetstream", "*", "streams", eventlog.Stream, "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("blocks of the log = %v, %v; want some", blocks, err)
	}
	newest := blocks[len(blocks)-1]
	info, err := os.Stat(newest)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(newest, info.Size()/2); err != nil {
		t.Fatal(err)
	}
}
