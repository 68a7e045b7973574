package monitoring

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/deploy/internal/built"
)

// TestBoardShowsData has a real Prometheus scrape a demo under way, and asks it
// what each panel asks: every panel but those about trouble has an answer. The
// output is the board as a table.
func TestBoardShowsData(t *testing.T) {
	prometheus := built.Tool(t, "prometheus")
	demo := startDemo(t)
	address := startPrometheus(t, prometheus, demo)
	var table strings.Builder
	for _, q := range boardQueries(t) {
		rows := answers(t, address, q)
		if len(rows) == 0 && !quiet[q.title] {
			t.Errorf("panel %q has no data: %s", q.title, q.promQL())
		}
		for _, row := range rows {
			fmt.Fprintf(&table, "%-32s %-52s %s\n", q.title, row.labels, row.value)
		}
	}
	t.Logf("the board's queries, answered:\n%s", table.String())
}

// quiet are panels that are empty while all is well.
var quiet = map[string]bool{"Refusals": true, "Audits": true}

// addresses are those of a demo's ready file.
type addresses struct{ Ingest, API, Admin string }

func startDemo(t *testing.T) (at addresses) {
	t.Helper()
	dir := t.TempDir()
	ready := filepath.Join(dir, "ready")
	start(t, built.Binary(t), "demo", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0", "--data-dir", filepath.Join(dir, "data"), "--ready-file", ready)
	eventually(t, "the demo to be ready", func() bool {
		text, err := os.ReadFile(ready)
		return err == nil && json.Unmarshal(text, &at) == nil && at.Admin != ""
	})
	return at
}

// startPrometheus returns its address once it has scraped enough for a rate,
// while somebody reads.
func startPrometheus(t *testing.T, program string, demo addresses) string {
	t.Helper()
	dir := t.TempDir()
	config := strings.NewReplacer("15s", "1s", "127.0.0.1:8082", demo.Admin).Replace(read(t, "prometheus.yaml"))
	for name, text := range map[string]string{"prometheus.yaml": config, "rules.yaml": read(t, "rules.yaml")} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	free.Close()
	start(t, program, "--config.file="+filepath.Join(dir, "prometheus.yaml"), "--storage.tsdb.path="+filepath.Join(dir, "data"), "--web.listen-address="+address)
	eventually(t, "Prometheus to have seen ten seconds of records", func() bool {
		if answer, err := http.Get("http://" + demo.API + "/v1/sessions"); err == nil {
			answer.Body.Close()
		}
		rows, err := ask(address, `count_over_time(rollcall_ready[1m]) > 10 and on () sum(rate(rollcall_ingest_records_total[1m])) > 0`)
		return err == nil && len(rows) > 0
	})
	return address
}

// start runs a program until the test ends.
func start(t *testing.T, program string, args ...string) {
	t.Helper()
	cmd := exec.Command(program, args...)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGTERM)
		_ = cmd.Wait()
	})
}

// eventually asks again and again, for two minutes at most.
func eventually(t *testing.T, what string, done func() bool) {
	t.Helper()
	within(t, 2*time.Minute, what, done)
}

func within(t *testing.T, limit time.Duration, what string, done func() bool) {
	t.Helper()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for deadline := time.After(limit); !done(); {
		select {
		case <-tick.C:
		case <-deadline:
			t.Fatalf("waited %v for %s", limit, what)
		}
	}
}

type row struct{ labels, value string }

func answers(t *testing.T, address string, q query) []row {
	t.Helper()
	rows, err := ask(address, q.promQL())
	if err != nil {
		t.Errorf("panel %q: %v", q.title, err)
	}
	return rows
}

// ask has Prometheus answer a query now.
func ask(address, query string) (rows []row, err error) {
	answer, err := http.Get("http://" + address + "/api/v1/query?query=" + url.QueryEscape(query))
	if err != nil {
		return nil, err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err != nil {
		return nil, err
	}
	var result struct {
		Status, Error string
		Data          struct {
			Result []struct {
				Metric map[string]string
				Value  [2]any
			}
		}
	}
	if err := json.Unmarshal(text, &result); err != nil || result.Status != "success" {
		return nil, fmt.Errorf("%s: %s %w", query, result.Error, err)
	}
	for _, r := range result.Data.Result {
		var labels []string
		for _, name := range []string{"instance", "view", "source", "code", "type", "reason", "route"} {
			if v := r.Metric[name]; v != "" {
				labels = append(labels, name+"="+v)
			}
		}
		rows = append(rows, row{strings.Join(labels, " "), fmt.Sprint(r.Value[1])})
	}
	return rows, nil
}
