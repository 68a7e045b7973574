//go:build chaos

package main

import (
	"bytes"
	"context"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
)

var chaosTable = flag.String("table", "", "file that each chaos test appends its row to")

// senders posts signed and forged deliveries as a provider does: one that is
// not answered 200 is sent again, a few times, unless the answer is a 4xx.
type senders struct {
	signer  atomic.Pointer[provider.Key] // the current key
	forger  provider.Key
	targets atomic.Pointer[[]string] // addresses that get each delivery, all at once
	n       atomic.Int64

	mu      sync.Mutex
	taken   map[string][]chaosAnswer // by delivery uuid
	answers int                      // 200s
	again   int                      // of them, those that said duplicate
	wrong   []string                 // forgeries answered 200
	refused []string                 // honest deliveries answered 4xx, which are lost for good
}

type chaosAnswer struct {
	EventID   string       `json:"eventId"`
	Sequence  eventlog.Seq `json:"sequence"`
	Duplicate bool         `json:"duplicate"`
}

const forgedMark = "f0rged"

// newSenders makes the keys, and a file with the public one.
func newSenders(t *testing.T) (s *senders, key string) {
	t.Helper()
	s = &senders{taken: map[string][]chaosAnswer{}}
	honest, err := provider.NewKey()
	if err != nil {
		t.Fatal(err)
	}
	s.signer.Store(&honest)
	if s.forger, err = provider.NewKey(); err != nil {
		t.Fatal(err)
	}
	public, err := honest.Public()
	if err != nil {
		t.Fatal(err)
	}
	key = filepath.Join(t.TempDir(), "public.pem")
	if err := os.WriteFile(key, public, 0o600); err != nil {
		t.Fatal(err)
	}
	return s, key
}

// start sends from n goroutines. stop waits until none sends any more.
func (s *senders) start(t *testing.T, n int) (stop func()) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for range n {
		load.Go(func() { s.run(ctx) })
	}
	return func() { cancel(); load.Wait() }
}

// aim sends from now on to these.
func (s *senders) aim(addresses ...string) { s.targets.Store(&addresses) }

func (s *senders) run(ctx context.Context) {
	client := &http.Client{Timeout: 5 * time.Second, Transport: &http.Transport{MaxIdleConnsPerHost: 4}}
	defer client.CloseIdleConnections()
	for ctx.Err() == nil {
		n := s.n.Add(1)
		uuid := fmt.Sprintf("uuid-%d", n)
		body := fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m%d","sessionId":"s%d"}}`, n%50, n)
		key := *s.signer.Load()
		forged := n%10 == 0
		if forged {
			body, key = strings.Replace(body, "meeting.started", forgedMark, 1), s.forger
		}
		signature, err := key.Sign([]byte(body))
		if err != nil {
			return
		}
		if forged {
			uuid = "forged-" + uuid
		}
		s.deliver(ctx, client, uuid, body, signature)
		if n%7 == 0 { // as a provider does that did not get the answer
			s.deliver(ctx, client, uuid, body, signature)
		}
	}
}

// deliver sends one delivery, to all targets at once, until each took it.
func (s *senders) deliver(ctx context.Context, client *http.Client, uuid, body, signature string) {
	targets := s.targets.Load()
	if targets == nil {
		_ = wire.Pause(ctx, 20*time.Millisecond)
		return
	}
	var all sync.WaitGroup
	for i := range *targets {
		all.Go(func() {
			for range 5 {
				// The target of a retry may be another process than that of the first try.
				now := *s.targets.Load()
				code := s.post(ctx, client, now[i%len(now)], uuid, body, signature)
				if code == http.StatusOK || code >= 400 && code < 500 {
					return
				}
				_ = wire.Pause(ctx, 20*time.Millisecond)
			}
		})
	}
	all.Wait()
}

// post sends once, and notes the answer. 0: there was none.
func (s *senders) post(ctx context.Context, client *http.Client, target, uuid, body, signature string) (code int) {
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+target+"/webhooks/prod", strings.NewReader(body))
	if err != nil {
		return 0
	}
	req.Header.Set("Dyte-Uuid", uuid)
	req.Header.Set("Dyte-Signature", signature)
	res, err := client.Do(req)
	if err != nil {
		return 0
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	var a chaosAnswer
	if err != nil || res.StatusCode == http.StatusOK && json.Unmarshal(b, &a) != nil {
		return 0
	}
	s.note(uuid, res.StatusCode, a)
	return res.StatusCode
}

func (s *senders) note(uuid string, code int, a chaosAnswer) {
	s.mu.Lock()
	defer s.mu.Unlock()
	forged := strings.HasPrefix(uuid, "forged-")
	switch {
	case code == http.StatusOK && forged:
		s.wrong = append(s.wrong, uuid)
	case code == http.StatusOK:
		s.taken[uuid] = append(s.taken[uuid], a)
		s.answers++
		if a.Duplicate {
			s.again++
		}
	case code >= 400 && code < 500 && !forged:
		s.refused = append(s.refused, uuid)
	}
}

func (s *senders) count() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.answers
}

// progress waits until there are more 200s.
func (s *senders) progress(t *testing.T, more int, what string) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	for want := s.count() + more; s.count() < want; {
		if err := wire.Pause(ctx, 5*time.Millisecond); err != nil {
			t.Fatalf("%s: no 200 any more", what)
		}
	}
}

// check compares the answers with the log, which where finds, and reports.
func (s *senders) check(t *testing.T, fault string, runs int, where ...string) {
	t.Helper()
	export := filepath.Join(t.TempDir(), "log.ndjson")
	cliCommand(t, append([]string{"events", "export", export}, where...)...)
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
	for uuid, answers := range s.taken {
		r, ok := stored[uuid]
		if !ok || slices.ContainsFunc(answers, func(a chaosAnswer) bool { return r.EventID != a.EventID || r.Seq != a.Sequence }) {
			lost++
		}
	}
	forged += len(s.wrong)
	report(t, fault, runs, s.answers, s.again, lost, twice, forged, len(s.refused))
}

// report logs a row of the table, and fails where a number that must be 0 is not.
func report(t *testing.T, fault string, runs, answers, again, lost, twice, forged, refused int) {
	t.Helper()
	row := fmt.Sprintf("%-58s %5d %7d %8d %6d %6d %6d %8d", fault, runs, answers, again, lost, twice, forged, refused)
	t.Logf("\n%s\n%s", chaosHead, row)
	if lost > 0 || twice > 0 || forged > 0 || refused > 0 || answers == 0 {
		t.Error("see the line above: all after repeats must be 0, and there must be 200s")
	}
	writeRow(t, row)
}

// chaosHead is what stands above the rows. Lost: a 200 whose record is not in
// the log, or not where the answer said. Refused: an honest delivery that got
// a 4xx, after which no provider retries.
const chaosHead = "fault                                                       runs    200s  repeats   lost  twice forged  refused"
