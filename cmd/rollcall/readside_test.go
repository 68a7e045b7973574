package main

import (
	"bytes"
	"context"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/node"
)

// sessionsOf counts the sessions that the read API shows; -1: it does not answer.
func sessionsOf(n *node.Node) int {
	client := http.Client{Transport: &http.Transport{DisableKeepAlives: true}}
	res, err := client.Get("http://" + n.Addresses().API + "/v1/sessions?limit=1000")
	if err != nil {
		return -1
	}
	defer res.Body.Close()
	var b bytes.Buffer
	if _, err := b.ReadFrom(res.Body); err != nil || res.StatusCode != http.StatusOK {
		return -1
	}
	return strings.Count(b.String(), `"meetingId"`)
}

// TestReadSideNeverEndsIngest breaks each part of the read side under a process
// that takes webhooks: it goes on taking them, and the part comes back.
func TestReadSideNeverEndsIngest(t *testing.T) {
	dir := t.TempDir()
	n := testNode(t, dir)
	runNode(t, n)
	posted, noted := 0, false
	for _, c := range []struct {
		name   string
		damage func() error
	}{
		{"replica", func() error { return os.Truncate(filepath.Join(dir, "replica", "replica.db"), 5000) }},
		{"listener", n.Listeners.API.Close},
	} {
		if err := c.damage(); err != nil {
			t.Fatal(err)
		}
		deadline := time.Now().Add(time.Minute)
		for again := true; again; again = sessionsOf(n) != posted {
			if time.Now().After(deadline) {
				t.Fatalf("after the loss of the %s the API shows %d sessions; want %d", c.name, sessionsOf(n), posted)
			}
			lines, ready := n.Health.Report(t.Context()) // the note goes ten seconds after the part has come back
			if text := strings.Join(lines, "\n"); !ready && !strings.Contains(text, context.DeadlineExceeded.Error()) {
				t.Errorf("readyz?verbose after the loss of the %s = %s; want it ready", c.name, text)
			} else if strings.Contains(text, "api failed: ") {
				noted = true
			}
			if posted < 40 {
				postStarted(t, n, fmt.Sprintf("%s-%d", c.name, posted))
				posted++
			}
		}
	}
	if !noted {
		t.Error("readyz?verbose says nothing of the listener's failure; want a note on it")
	}
}
