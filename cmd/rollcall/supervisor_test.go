package main

import (
	"context"
	"errors"
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"rollcall/cmd/rollcall/internal/node"
)

// managerSocket is a service manager's end: next returns the next datagram, or
// "" where none comes within wait.
func managerSocket(t *testing.T) (path string, next func(wait time.Duration) string) {
	t.Helper()
	dir, err := os.MkdirTemp("", "notify") // t.TempDir() can be longer than a socket's name may be
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	path = filepath.Join(dir, "s")
	conn, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close() })
	return path, func(wait time.Duration) string {
		t.Helper()
		if err := conn.SetReadDeadline(time.Now().Add(wait)); err != nil {
			t.Fatal(err)
		}
		datagram := make([]byte, 4096)
		n, err := conn.Read(datagram)
		if err != nil && !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Fatal(err)
		}
		return string(datagram[:n])
	}
}

// TestSupervisorGetsSignsOfLife follows a node from ready to its stop: signs of life
// come while its checks end, none while one hangs.
func TestSupervisorGetsSignsOfLife(t *testing.T) {
	socket, next := managerSocket(t)
	n := testNode(t, t.TempDir())
	n.Supervisor = node.Supervisor{Socket: socket, Watchdog: 100 * time.Millisecond}
	stop := runNode(t, n)
	for _, want := range []string{"READY=1", "WATCHDOG=1", "WATCHDOG=1"} {
		if got := next(time.Minute); got != want {
			t.Fatalf("datagram = %q; want %q", got, want)
		}
	}
	hanging, release := make(chan struct{}, 1), make(chan struct{})
	n.Health.Add(node.Check{Name: "hangs", Run: func(context.Context) (string, error) {
		select {
		case hanging <- struct{}{}:
		default:
		}
		<-release
		return "", errors.New("not ready, and alive")
	}})
	<-hanging
	for next(time.Second) != "" { // what was sent before
	}
	close(release)
	if got := next(time.Minute); got != "WATCHDOG=1" {
		t.Errorf("datagram after the check ended = %q; want WATCHDOG=1, though the node is not ready", got)
	}
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	last := "WATCHDOG=1"
	for last == "WATCHDOG=1" {
		last = next(time.Minute)
	}
	if last != "STOPPING=1" {
		t.Errorf("last state = %q; want STOPPING=1", last)
	}
	for got := next(time.Second); got != ""; got = next(time.Second) {
		if got != "WATCHDOG=1" {
			t.Errorf("datagram after STOPPING=1 = %q; want signs of life at most", got)
		}
	}
}

// TestSupervisorDeadServer: an embedded server that is gone is no life.
func TestSupervisorDeadServer(t *testing.T) {
	n := testNode(t, t.TempDir())
	n.Supervisor.Watchdog = time.Minute
	runNode(t, n)
	if err := n.Alive(t.Context()); err != nil {
		t.Errorf("alive() = %v; want nil", err)
	}
	for _, nc := range n.Conns {
		nc.Close()
	}
	if err := n.Alive(t.Context()); err == nil {
		t.Errorf("alive() without the embedded server = nil; want an error")
	}
}

// TestSupervisorReload has a reload stand between its two datagrams, and its
// error reach the caller.
func TestSupervisorReload(t *testing.T) {
	socket, next := managerSocket(t)
	failed := errors.New("bad file")
	n := node.New(node.Config{Supervisor: node.Supervisor{Socket: socket}}, zerolog.Nop())
	err := n.Reloading(func() error {
		m := regexp.MustCompile(`^RELOADING=1\nMONOTONIC_USEC=(\d+)$`).FindStringSubmatch(next(time.Minute))
		if m == nil {
			t.Fatal("no RELOADING=1 with a time before the reload")
		}
		usec, err := strconv.ParseInt(m[1], 10, 64)
		if now := node.Monotonic().Microseconds(); err != nil || usec <= 0 || usec > now {
			t.Errorf("MONOTONIC_USEC = %s; want above 0, up to now, %d", m[1], now)
		}
		return failed
	})
	if got := next(time.Minute); got != "READY=1" || !errors.Is(err, failed) {
		t.Errorf("reload() = %v, then %q; want %v, then READY=1", err, got, failed)
	}
}

// TestReloadWithoutItsManager: settings are read again, and what is wrong with them is
// said, where the service manager is not there any more.
func TestReloadWithoutItsManager(t *testing.T) {
	failed := errors.New("bad file")
	gone := node.Supervisor{Socket: filepath.Join(t.TempDir(), "gone")}
	n := node.New(node.Config{Supervisor: gone}, zerolog.Nop())
	ran := false
	if err := n.Reloading(func() error { ran = true; return failed }); !ran || !errors.Is(err, failed) {
		t.Errorf("Reloading() ran %v, %v; want true, %v", ran, err, failed)
	}
	if err := n.Reloading(func() error { return nil }); err != nil {
		t.Errorf("Reloading() = %v; want nil", err)
	}
}

func TestSupervisorOf(t *testing.T) {
	self := strconv.Itoa(os.Getpid())
	for _, c := range []struct {
		env  map[string]string
		want node.Supervisor
		bad  string
	}{
		{nil, node.Supervisor{}, ""},
		{map[string]string{"WATCHDOG_USEC": "1000"}, node.Supervisor{}, ""},
		{map[string]string{"NOTIFY_SOCKET": "@a"}, node.Supervisor{Socket: "@a"}, ""},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30000000"}, node.Supervisor{Socket: "/s", Watchdog: 30 * time.Second}, ""},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": self}, node.Supervisor{Socket: "/s", Watchdog: time.Millisecond}, ""},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "1000", "WATCHDOG_PID": "1"}, node.Supervisor{Socket: "/s"}, ""},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "30s"}, node.Supervisor{}, "WATCHDOG_USEC"},
		{map[string]string{"NOTIFY_SOCKET": "/s", "WATCHDOG_USEC": "0"}, node.Supervisor{}, "WATCHDOG_USEC"},
	} {
		got, err := node.SupervisorOf(func(name string) (string, bool) { v, ok := c.env[name]; return v, ok })
		if c.bad != "" {
			if err == nil || !strings.Contains(err.Error(), c.bad) {
				t.Errorf("supervisorOf(%v) = %v; want an error that names %s", c.env, err, c.bad)
			}
			continue
		}
		if err != nil || got != c.want {
			t.Errorf("supervisorOf(%v) = %+v, %v; want %+v", c.env, got, err, c.want)
		}
	}
}
