//go:build chaos

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

var chaosKills = flag.Int("kills", 200, "kill -9s of TestChaosIngestKilled")

// senders posts signed and forged deliveries as a provider does: one that is
// not answered 200 is sent again, a few times.
type senders struct {
	signer, forger signer
	target         atomic.Pointer[string] // host:port; nil while there is none
	n              atomic.Int64

	mu     sync.Mutex
	taken  map[string]chaosAnswer // delivery uuid to the answer's content
	again  int                    // answers that said duplicate
	forged int                    // forgeries sent
	wrong  []string               // forgeries answered 200
}

type chaosAnswer struct {
	EventID   string       `json:"eventId"`
	Sequence  eventlog.Seq `json:"sequence"`
	Duplicate bool         `json:"duplicate"`
}

const forgedMark = "f0rged"

func (s *senders) run(ctx context.Context) {
	client := &http.Client{Timeout: 5 * time.Second}
	for ctx.Err() == nil {
		n := s.n.Add(1)
		uuid := fmt.Sprintf("uuid-%d", n)
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m%d","sessionId":"s%d"}}`, n%50, n)
		key := s.signer
		forged := n%10 == 0
		if forged {
			body, key = strings.Replace(body, "meeting.started", forgedMark, 1), s.forger
		}
		signature, err := key.sign([]byte(body))
		if err != nil {
			return
		}
		for range 5 {
			answer, ok := s.post(ctx, client, uuid, body, signature)
			if !ok {
				_ = pause(ctx, 20*time.Millisecond)
				continue
			}
			s.note(uuid, answer, forged)
			break
		}
	}
}

func (s *senders) post(ctx context.Context, client *http.Client, uuid, body, signature string) (a chaosAnswer, ok bool) {
	target := s.target.Load()
	if target == nil {
		return a, false
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+*target+"/webhooks/prod", strings.NewReader(body))
	if err != nil {
		return a, false
	}
	req.Header.Set("Dyte-Uuid", uuid)
	req.Header.Set("Dyte-Signature", signature)
	res, err := client.Do(req)
	if err != nil {
		return a, false
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK || json.Unmarshal(b, &a) != nil {
		return a, false
	}
	return a, true
}

func (s *senders) note(uuid string, a chaosAnswer, forged bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if forged {
		s.wrong = append(s.wrong, uuid)
		return
	}
	s.taken[uuid] = a
	if a.Duplicate {
		s.again++
	}
}

// TestChaosIngestKilled kills the all-in-one process at random moments under
// load. Every 200 is in the log, once, as the answer said, and no forgery is.
func TestChaosIngestKilled(t *testing.T) {
	dir := t.TempDir()
	s := &senders{taken: map[string]chaosAnswer{}}
	var err error
	if s.signer, err = newSigner(); err != nil {
		t.Fatal(err)
	}
	if s.forger, err = newSigner(); err != nil {
		t.Fatal(err)
	}
	public, err := s.signer.public()
	if err != nil {
		t.Fatal(err)
	}
	key := filepath.Join(dir, "public.pem")
	if err := os.WriteFile(key, public, 0o600); err != nil {
		t.Fatal(err)
	}
	data := filepath.Join(dir, "data")
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range 16 {
		load.Go(func() { s.run(ctx) })
	}
	for i := range *chaosKills {
		p := startServe(t, fmt.Sprintf("serve-%d", i), "--data-dir", data, "--source", "prod=rsa:"+key, "--nats-listen", "")
		s.target.Store(&p.at.Ingest)
		if err := pause(ctx, time.Duration(rand.IntN(500))*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		p.kill()
	}
	cancel()
	load.Wait()
	s.check(t, data)
}

// check compares the answers with the log.
func (s *senders) check(t *testing.T, data string) {
	t.Helper()
	export := filepath.Join(t.TempDir(), "log.ndjson")
	cliCommand(t, "events", "export", export, "--data-dir", data)
	b, err := os.ReadFile(export)
	if err != nil {
		t.Fatal(err)
	}
	stored := map[string]eventlog.Record{}
	twice, forged := 0, 0
	seq := eventlog.Seq(0)
	for r, err := range natslog.ReadNDJSON(bytes.NewReader(b)) {
		if err != nil {
			t.Fatal(err)
		}
		seq++
		r.Seq = seq
		if _, ok := stored[r.DeliveryID]; ok {
			twice++
		}
		stored[r.DeliveryID] = r
		if bytes.Contains(r.Body, []byte(forgedMark)) {
			forged++
		}
	}
	lost := 0
	for uuid, a := range s.taken {
		if r, ok := stored[uuid]; !ok || r.EventID != a.EventID || r.Seq != a.Sequence {
			lost++
		}
	}
	t.Logf("kill -9 of the all-in-one process: runs %d, 200s %d (%d of them repeats), lost %d, stored twice %d, forged accepted %d, records %d",
		*chaosKills, len(s.taken), s.again, lost, twice, forged+len(s.wrong), len(stored))
	if lost > 0 || twice > 0 || forged > 0 || len(s.wrong) > 0 || len(s.taken) == 0 {
		t.Error("see the line above: lost, stored twice and forged accepted must be 0, and there must be 200s")
	}
}
