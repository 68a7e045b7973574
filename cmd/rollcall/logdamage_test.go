package main

import (
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogFileRemoved removes the log's files under a running process: no 200
// for what nobody can read later, and the process says that it is not ready.
func TestLogFileRemoved(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	p := startServe(t, "serve", "--data-dir", dir, "--source", "test=none", "--nats-listen", "127.0.0.1:0")
	defer p.stop()
	post := func(n int) int {
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s%d"}}`, n)
		req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://"+p.at.Ingest+"/webhooks/test", strings.NewReader(body))
		if err != nil {
			t.Fatal(err)
		}
		req.Header.Set("Dyte-Uuid", fmt.Sprintf("u%d", n))
		return answered(t, req)
	}
	ready := func() int {
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.at.Admin+"/readyz", nil)
		if err != nil {
			t.Fatal(err)
		}
		return answered(t, req)
	}
	if code := post(0); code != http.StatusOK {
		t.Fatalf("answer to a delivery = %d; want 200", code)
	}
	if code := ready(); code != http.StatusOK {
		t.Errorf("readyz = %d; want 200", code)
	}
	blocks, err := filepath.Glob(filepath.Join(dir, "nats", "jetstream", "*", "streams", "MEETINGS", "msgs", "*.blk"))
	if err != nil || len(blocks) == 0 {
		t.Fatalf("the log's blocks = %v, %v", blocks, err)
	}
	for _, block := range blocks {
		if err := os.Remove(block); err != nil {
			t.Fatal(err)
		}
	}
	for n := 1; n < 4; n++ {
		if code := post(n); code != http.StatusServiceUnavailable {
			t.Errorf("answer without the log's file = %d; want 503", code)
		}
	}
	if code := ready(); code != http.StatusServiceUnavailable {
		t.Errorf("readyz without the log's file = %d; want 503", code)
	}
}

func answered(t *testing.T, r *http.Request) int {
	t.Helper()
	res, err := client.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	return res.StatusCode
}
