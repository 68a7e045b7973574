//go:build linux

package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog/wire"
)

// TestDiskFull fills a small disk: deliveries get 503 and the process is not
// ready; when there is space again it recovers by itself, and has every 200.
func TestDiskFull(t *testing.T) {
	t.Parallel()
	fillDisk(t)
}

// smallDisk is a directory on a disk of its own.
func smallDisk(t *testing.T, size string) string {
	t.Helper()
	dir := t.TempDir()
	if err := syscall.Mount("tmpfs", dir, "tmpfs", 0, "size="+size); err != nil {
		t.Skip("mounting a small tmpfs needs root: ", err)
	}
	t.Cleanup(func() { _ = syscall.Unmount(dir, syscall.MNT_DETACH) })
	return dir
}

// fillDisk returns the number of 200s, all of which were found in the log once.
func fillDisk(t *testing.T) int {
	t.Helper()
	dir := smallDisk(t, "24m")
	p := startServe(t, "serve", "--data-dir", filepath.Join(dir, "data"), "--source", "test=none", "--nats-listen", "127.0.0.1:0")
	padding := strings.Repeat("x", 100<<10)
	post := func(n int) int {
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s%d"},"padding":%q}`, n, padding)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.at.Ingest+"/webhooks/test", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Dyte-Uuid", fmt.Sprintf("u%d", n))
		res, err := client.Do(req)
		if err != nil {
			p.stop()
			t.Fatal(err)
		}
		defer res.Body.Close()
		if res.StatusCode == http.StatusServiceUnavailable && res.Header.Get("Retry-After") == "" {
			t.Error("a 503 without Retry-After")
		}
		return res.StatusCode
	}
	ballast := filepath.Join(dir, "ballast")
	if err := os.WriteFile(ballast, bytes.Repeat([]byte{1}, 12<<20), 0o600); err != nil {
		t.Fatal(err)
	}
	var taken []int
	n := 0
	for ; n < 1000; n++ {
		if code := post(n); code != http.StatusOK {
			if code != http.StatusServiceUnavailable {
				t.Errorf("answer on a full disk = %d; want 503", code)
			}
			break
		}
		taken = append(taken, n)
	}
	ready := func() bool {
		res, err := client.Get("http://" + p.at.Admin + "/readyz")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	}
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	for ready() {
		if err := wire.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatal("the process stays ready on a full disk")
		}
	}
	for !strings.Contains(cliCommand(t, "status", "--nats-url", p.at.NATS), node.ProblemTexts["store"]) {
		if err := wire.Pause(ctx, 50*time.Millisecond); err != nil {
			t.Fatal("status does not say that nothing can be stored")
		}
	}
	if err := node.ProbeStore(dir); err == nil {
		t.Error("probe of a full disk = nil; want an error")
	}
	// What was refused some seconds ago is no trouble of the log any more.
	said := ""
	waitFor(t, "neither ingest nor store is ok on a full disk", func() bool {
		if !strings.Contains(said, "[-]ingest: ") {
			post(n)
		}
		said = readyzText(t, p)
		return strings.Contains(said, "[-]ingest: ") && strings.Contains(said, "[-]store: ")
	})
	if err := os.Remove(ballast); err != nil {
		t.Fatal(err)
	}
	for post(n) != http.StatusOK || !ready() {
		if err := wire.Pause(ctx, 100*time.Millisecond); err != nil {
			t.Fatalf("it does not recover\n%s", p.log)
		}
	}
	taken = append(taken, n)
	out := cliCommand(t, "events", "export", "-", "--nats-url", p.at.NATS)
	for _, n := range taken {
		if got := strings.Count(out, fmt.Sprintf(`"uuid":"u%d"`, n)); got != 1 {
			t.Errorf("delivery %d, answered 200, is %d times in the log; want once", n, got)
		}
	}
	t.Logf("%d deliveries until the disk was full", len(taken)-1)
	return len(taken)
}
