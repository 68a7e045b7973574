//go:build chaos

package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projections"
)

var copyRuns = flag.Int("copies", 20, "losses of a NATS server and a projector of TestChaosCopies")

const (
	// copiesMost is more than the choice of new leaders after a kill -9, a take-over and what
	// a copy adds take together: 16 s at most on a busy machine.
	copiesMost = time.Minute
	// apart is how long lies between the two losses at most.
	apart = 500 * time.Millisecond
)

// TestChaosCopies takes away one of three NATS servers and one of two projectors, nearly at
// once, and measures how late each view's copy of two query processes has what comes then.
func TestChaosCopies(t *testing.T) {
	c := startCluster(t)
	c.answers(t)
	ingester := startServe(t, "ingest", "--target=ingest", "--nats-url", c.url(), "--replicas", "3", "--source", "test=none", "--data-dir", t.TempDir())
	var projectors, queries [2]*process
	project := func(i int) {
		projectors[i] = startServe(t, fmt.Sprint("project", i), "--target=project", "--nats-url", c.url(), "--replicas", "3")
	}
	for i := range projectors {
		project(i)
		queries[i] = startServe(t, fmt.Sprint("query", i), "--target=query", "--nats-url", c.url(), "--replica-dir", t.TempDir())
	}
	whole(t, queries, delivered(t, ingester))
	var after, between []time.Duration
	for range *copyRuns {
		i, k := rand.N(len(c.nodes)), rand.N(len(projectors))
		gone := make(chan struct{})
		go func() {
			defer close(gone)
			_ = wire.Pause(t.Context(), rand.N(apart)) // the test's end is seen below
			lose(projectors[k])
		}()
		sometime(t, apart)
		lose(c.nodes[i])
		last, behind := whole(t, queries, delivered(t, ingester))
		after, between = append(after, last), append(between, behind)
		<-gone
		c.start(t, i)
		c.whole(t)
		project(k)
	}
	t.Logf("after the delivery: %s; behind the other copy: %s", percentiles(after), percentiles(between))
	writeRow(t, fmt.Sprintf("copies: %d losses of a NATS server and a projector; after the delivery: %s; behind the other copy: %s", *copyRuns, percentiles(after), percentiles(between)))
}

// answers waits until a cluster that was started has a leader.
func (c *cluster) answers(t *testing.T) {
	t.Helper()
	for deadline := time.Now().Add(copiesMost); time.Now().Before(deadline); sometime(t, apart) {
		nc, js, err := attach.OperatorFlags{ClientFlags: attach.ClientFlags{NATSURL: c.url()}}.ConnectOperator(t.Context())
		if err != nil {
			continue
		}
		_, err = js.AccountInfo(t.Context())
		nc.Close()
		if err == nil {
			return
		}
	}
	t.Fatal("the cluster has no leader")
}

// lose ends a process in one of two ways.
func lose(p *process) {
	if rand.N(4) == 0 {
		p.kill()
	} else {
		p.stop()
	}
}

// delivered has a delivery stored.
func delivered(t *testing.T, ingester *process) eventlog.Seq {
	t.Helper()
	for deadline := time.Now().Add(copiesMost); time.Now().Before(deadline); sometime(t, apart) {
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"%d","status":"LIVE"}}`, rand.Uint64())
		resp, err := client.Post("http://"+ingester.at.Ingest+"/webhooks/test", "application/json", strings.NewReader(body))
		if err != nil {
			continue
		}
		var answer chaosAnswer
		err = json.NewDecoder(resp.Body).Decode(&answer)
		_ = resp.Body.Close() // it was read
		if resp.StatusCode == http.StatusOK && err == nil {
			return answer.Sequence
		}
	}
	t.Fatal("no delivery is taken any more")
	return 0
}

var copySequence = regexp.MustCompile(`(?m)^rollcall_query_replica_sequence\{view="(.+)"\} (\S+)$`)

// whole waits until both copies of all views hold a record. It returns when the last one did,
// and by how much the later copy of a view was behind the earlier one at most.
func whole(t *testing.T, queries [2]*process, seq eventlog.Seq) (last, behind time.Duration) {
	t.Helper()
	began := time.Now()
	var at [2]map[string]time.Duration
	views := len(projections.All())
	for at = [2]map[string]time.Duration{{}, {}}; len(at[0]) < views || len(at[1]) < views; {
		if time.Since(began) > copiesMost {
			t.Fatalf("copies that hold record %d after %v: %v", seq, copiesMost, at)
		}
		for i, q := range queries {
			for view, held := range copies(q) {
				if _, known := at[i][view]; held >= seq && !known {
					at[i][view] = time.Since(began)
				}
			}
		}
		if err := wire.Pause(t.Context(), 20*time.Millisecond); err != nil {
			t.Fatal(err)
		}
	}
	for view, one := range at[0] {
		last, behind = max(last, one, at[1][view]), max(behind, (one-at[1][view]).Abs())
	}
	return last, behind
}

// copies are how far a query process is.
func copies(q *process) map[string]eventlog.Seq {
	all := map[string]eventlog.Seq{}
	resp, err := client.Get("http://" + q.at.Admin + "/metrics")
	if err != nil {
		return all
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return all
	}
	for _, m := range copySequence.FindAllStringSubmatch(string(text), -1) {
		if n, err := strconv.ParseFloat(m[2], 64); err == nil {
			all[m[1]] = eventlog.Seq(n)
		}
	}
	return all
}

// percentiles are those of durations.
func percentiles(all []time.Duration) string {
	all = slices.Sorted(slices.Values(all))
	at := func(p int) time.Duration { return all[(len(all)-1)*p/100].Round(10 * time.Millisecond) }
	return fmt.Sprintf("p50 %v p90 %v p99 %v longest %v", at(50), at(90), at(99), at(100))
}
