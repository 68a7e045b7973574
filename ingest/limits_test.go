package ingest_test

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest"
)

// slowBody gives its start, says so, and then waits.
type slowBody struct {
	start   io.Reader
	arrived func()
	rest    chan struct{} // closed: the body ends
}

func (b *slowBody) Read(p []byte) (int, error) {
	if n, err := b.start.Read(p); err == nil {
		return n, nil
	}
	b.arrived()
	<-b.rest
	return 0, io.ErrUnexpectedEOF
}

// slow starts posts of bodies that announce size bytes and stop after sent; it
// returns when all have stopped there or were refused, and their answers' count by
// status once they end.
func slow(h http.Handler, n int, size int64, sent int) (end func() map[int]int) {
	rest := make(chan struct{})
	var waiting, posts sync.WaitGroup
	var mu sync.Mutex
	codes := map[int]int{}
	for range n {
		waiting.Add(1)
		stopped := sync.OnceFunc(waiting.Done)
		posts.Go(func() {
			defer stopped()
			r := httptest.NewRequest(http.MethodPost, "/webhooks/open", &slowBody{strings.NewReader(strings.Repeat("x", sent)), stopped, rest})
			r.ContentLength = size
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			mu.Lock()
			defer mu.Unlock()
			codes[w.Code]++
		})
	}
	waiting.Wait()
	return func() map[int]int {
		close(rest)
		posts.Wait()
		return codes
	}
}

func heap() int64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestSlowBodiesHoldLittle: what is announced costs nothing until it comes.
func TestSlowBodiesHoldLittle(t *testing.T) {
	h := openHandler(t, &memory{})
	before := heap()
	end := slow(h, 1000, 256<<10, 1)
	held := heap() - before
	end()
	if held > 16<<20 {
		t.Errorf("1000 bodies of one byte hold %d bytes; want at most 16 KiB each", held)
	}
}

// TestBodyMemoryIsBounded: beyond the bound large bodies get 503, small ones never,
// and what was held comes back.
func TestBodyMemoryIsBounded(t *testing.T) {
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, MaxBodyMemory: 1 << 20, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	for range 10 {
		end := slow(h, 40, 256<<10, 200<<10)
		expectProblem(t, post(h, "/webhooks/open", strings.Repeat("x", 200<<10)), 503, "bodies-full")
		expectStored(t, post(h, "/webhooks/open", strings.Repeat("x", 6<<10)))
		if codes := end(); codes[503] != 40 {
			t.Errorf("answers of slow bodies = %v; want 503 for all", codes)
		}
	}
	for range 20 {
		expectStored(t, post(h, "/webhooks/open", strings.Repeat("x", 250<<10)))
	}
}

// TestRefusedTakesNoToken: what was over the rate does not count against what
// comes next.
func TestRefusedTakesNoToken(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "slow", Scheme: "none", Rate: 1}}})
		expectStored(t, post(h, "/webhooks/slow", started))
		for range 10 {
			expectProblem(t, post(h, "/webhooks/slow", started), 503, "rate-limited")
		}
		time.Sleep(time.Second)
		expectStored(t, post(h, "/webhooks/slow", started))
	})
}

// TestRepeatsTakeNoToken: one captured delivery, sent again and again, leaves
// honest ones their rate.
func TestRepeatsTakeNoToken(t *testing.T) {
	key := testKeys()[0]
	path := keyFile(t, publicPEM(t, key))
	signature := sign(t, key, started)
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: path, Rate: 1, Burst: 3}}})
		deliver := func(uuid string) *httptest.ResponseRecorder {
			return post(h, "/webhooks/prod", started, "dyte-signature", signature, "dyte-uuid", uuid)
		}
		for range 100 {
			expectStored(t, deliver("captured"))
		}
		expectStored(t, deliver("b"))
		expectStored(t, deliver("c"))
		expectProblem(t, deliver("d"), 503, "rate-limited")
		expectStored(t, deliver("captured"))
		time.Sleep(time.Hour) // it is forgotten: the log would store it again
		for range 3 {
			expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signature))
		}
		expectProblem(t, deliver("captured"), 503, "rate-limited")
	})
}

// TestSameBodyIsLimited: one signed body under many delivery ids is let in a
// number of times, and then once in ten seconds; other bodies are not kept away,
// and a livestream that goes on and off air is honest.
func TestSameBodyIsLimited(t *testing.T) {
	key := testKeys()[0]
	path := keyFile(t, publicPEM(t, key))
	const live, offline = `{"event":"livestreaming.statusUpdate","streamId":"x","status":"LIVE"}`, `{"event":"livestreaming.statusUpdate","streamId":"x","status":"OFFLINE"}`
	signatures := map[string]string{started: sign(t, key, started), live: sign(t, key, live), offline: sign(t, key, offline)}
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, SameBody: 20, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: path}, {Name: "open", Scheme: "none"}}})
		n := 0
		deliver := func(body string) *httptest.ResponseRecorder {
			n++
			return post(h, "/webhooks/prod", body, "dyte-signature", signatures[body], "dyte-uuid", fmt.Sprint(n))
		}
		for range 20 {
			expectStored(t, deliver(started))
		}
		w := deliver(started)
		expectProblem(t, w, 503, "same-body")
		if got := w.Header().Get("Retry-After"); got != "10" {
			t.Errorf("Retry-After = %s; want 10", got)
		}
		expectProblem(t, post(h, "/webhooks/prod", started, "dyte-signature", signatures[started]), 503, "same-body")
		expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signatures[started], "dyte-uuid", "1")) // a repeat
		for range 10 {
			expectStored(t, deliver(live))
			expectStored(t, deliver(offline))
		}
		for range 50 {
			expectStored(t, post(h, "/webhooks/open", started)) // anybody can make bodies there
		}
		time.Sleep(10 * time.Second)
		expectStored(t, deliver(started))
		expectProblem(t, deliver(started), 503, "same-body")
	})
}

// TestRefusedBodyIsRemembered: a body that comes too often is not forgotten for
// the many others that come between.
func TestRefusedBodyIsRemembered(t *testing.T) {
	secret, now := []byte("a secret of 24 bytes and"), time.Unix(1614265330, 0)
	keys := keyFile(t, []byte("whsec_"+base64.StdEncoding.EncodeToString(secret)+"\n"))
	h := newHandler(t, ingest.Config{
		Log: nowhere{}, Now: func() time.Time { return now }, SameBody: 1,
		Sources: []ingest.Source{{Name: "std", Scheme: "standard", Key: keys}},
	})
	n := 0
	deliver := func(body string) *httptest.ResponseRecorder {
		n++
		id, at := fmt.Sprint("msg_", n), fmt.Sprint(now.Unix())
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "%s.%s.%s", id, at, body)
		return post(h, "/webhooks/std", body, "webhook-id", id, "webhook-timestamp", at, "webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	expectStored(t, deliver("often"))
	for range 4 {
		for range 20 << 10 { // more than half of what is remembered at least
			if w := deliver(fmt.Sprint("other ", n)); w.Code != 200 {
				t.Fatalf("delivery %d = %d; want 200", n, w.Code)
			}
		}
		expectProblem(t, deliver("often"), 503, "same-body")
	}
}

// nowhere is a log that keeps nothing.
type nowhere struct{}

func (nowhere) Append(_ context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	return eventlog.Appended{Seq: 1, EventID: r.EventID}, nil
}

// TestLimitsAreBounded: what limits remember does not grow with what comes.
func TestLimitsAreBounded(t *testing.T) {
	h := openHandler(t, nowhere{})
	before := heap()
	for i := range 200_000 {
		if w := post(h, "/webhooks/open", "{}", "dyte-uuid", fmt.Sprint(i)); w.Code != 200 {
			t.Fatalf("delivery %d = %d", i, w.Code)
		}
	}
	held := heap() - before
	runtime.KeepAlive(h)
	if held > 8<<20 {
		t.Errorf("200,000 deliveries are remembered in %d bytes; want at most 8 MiB", held)
	}
}
