package ingest_test

import (
	"bytes"
	"context"
	"crypto/rsa"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/ingest"
)

// endpoint is the provider's key endpoint.
type endpoint struct {
	mu       sync.Mutex
	document []byte
	status   int
	err      error
	delay    time.Duration
	fetches  int
	location string
}

func (e *endpoint) set(f func(*endpoint)) {
	e.mu.Lock()
	defer e.mu.Unlock()
	f(e)
}

func (e *endpoint) count() int {
	e.mu.Lock()
	defer e.mu.Unlock()
	return e.fetches
}

func (e *endpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	e.fetches++
	document, status, err, delay, location := e.document, e.status, e.err, e.delay, e.location
	e.mu.Unlock()
	if delay > 0 {
		timer := time.NewTimer(delay)
		defer timer.Stop()
		select {
		case <-timer.C:
		case <-r.Context().Done():
			return nil, r.Context().Err()
		}
	}
	if err != nil {
		return nil, err
	}
	if status == 0 {
		status = http.StatusOK
	}
	header := http.Header{}
	if location != "" {
		header.Set("Location", location)
		status = http.StatusFound
	}
	return &http.Response{StatusCode: status, Header: header, Body: io.NopCloser(bytes.NewReader(document)), Request: r}, nil
}

// rotation is a handler whose keys come from an endpoint, running in a bubble.
type rotation struct {
	*endpoint
	handler *ingest.Handler
	log     *memory
}

const keyURL = "https://keys.example/.well-known/webhooks.json?secret=1"

func startRotation(t *testing.T, e *endpoint, c ingest.Config) rotation {
	t.Helper()
	r := startRotationOver(t, e, c)
	r.endpoint = e
	return r
}

// startRotationOver is startRotation with any transport.
func startRotationOver(t *testing.T, e http.RoundTripper, c ingest.Config) rotation {
	t.Helper()
	log := &memory{}
	c.Log, c.KeyTransport = log, e
	c.Sources = []ingest.Source{{Name: "prod", Scheme: "rsa", Key: keyURL}}
	h := newHandler(t, c)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); h.Run(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	synctest.Wait()
	return rotation{nil, h, log}
}

func (r rotation) post(t testing.TB, k *rsa.PrivateKey) *httptest.ResponseRecorder {
	t.Helper()
	return post(r.handler, "/webhooks/prod", started, "rtk-signature", sign(t, k, started))
}

func bubble(t *testing.T, f func(t *testing.T)) { testKeys(); synctest.Test(t, f) }

func TestKeyIsFetchedAndConfirmed(t *testing.T) {
	a, forger := testKeys()[0], testKeys()[2]
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{})
		expectStored(t, r.post(t, a))
		if got := r.count(); got != 1 {
			t.Errorf("fetches = %d; want 1, at the start", got)
		}
		time.Sleep(time.Second)
		expectProblem(t, r.post(t, forger), 401, "signature-wrong")
		if got := r.count(); got != 2 {
			t.Errorf("fetches = %d; want one more for a wrong signature", got)
		}
		time.Sleep(time.Second)
		w := r.post(t, forger)
		expectProblem(t, w, 503, "key-unconfirmed")
		if got := w.Header().Get("Retry-After"); got != "59" {
			t.Errorf("Retry-After = %s; want 59, when the key may be fetched again", got)
		}
		if got := r.count(); got != 2 {
			t.Errorf("fetches = %d; want at most one a minute for wrong signatures", got)
		}
		time.Sleep(time.Minute)
		expectProblem(t, r.post(t, forger), 401, "signature-wrong")
		expectStored(t, r.post(t, a))
		before := r.count()
		time.Sleep(time.Hour + time.Second)
		if got := r.count(); got != before+1 {
			t.Errorf("fetches in an hour = %d; want 1", got-before)
		}
	})
}

// TestRotationUnderAFlood is the reason for 503: honest deliveries that are
// signed with a new key, while forgeries have used up the refresh, come again.
func TestRotationUnderAFlood(t *testing.T) {
	a, b, forger := testKeys()[0], testKeys()[1], testKeys()[2]
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{})
		time.Sleep(time.Second)
		expectProblem(t, r.post(t, forger), 401, "signature-wrong")
		time.Sleep(time.Second)
		r.set(func(e *endpoint) { e.document = keyDocument(t, b) })
		for range 5 {
			expectProblem(t, r.post(t, forger), 503, "key-unconfirmed")
			expectProblem(t, r.post(t, b), 503, "key-unconfirmed")
			expectStored(t, r.post(t, a))
			time.Sleep(10 * time.Second)
		}
		time.Sleep(10 * time.Second)
		expectStored(t, r.post(t, b))
		expectStored(t, r.post(t, a)) // still on its way when the key changed
		time.Sleep(2 * time.Hour)
		expectProblem(t, r.post(t, a), 401, "signature-wrong")
		expectStored(t, r.post(t, b))
	})
}

func TestRotationIsNoticedAtOnce(t *testing.T) {
	a, b := testKeys()[0], testKeys()[1]
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{})
		time.Sleep(time.Minute)
		r.set(func(e *endpoint) { e.document = publicPEM(t, b) })
		expectStored(t, r.post(t, b))
		if k := r.handler.Keys()[0]; len(k.Fingerprints) != 2 || k.Err != nil {
			t.Errorf("Keys = %+v; want the new key and the old one", k)
		}
	})
}

func TestKeyEndpointFaults(t *testing.T) {
	a, b, forger := testKeys()[0], testKeys()[1], testKeys()[2]
	faults := map[string]func(*endpoint){
		"down":      func(e *endpoint) { e.err = errors.New("connection refused") },
		"error":     func(e *endpoint) { e.status = 500 },
		"slow":      func(e *endpoint) { e.delay = time.Hour },
		"garbage":   func(e *endpoint) { e.document = []byte("<html>") },
		"no key":    func(e *endpoint) { e.document = []byte(`{"data":{}}`) },
		"huge":      func(e *endpoint) { e.document = bytes.Repeat([]byte(" "), 1<<20) },
		"redirect":  func(e *endpoint) { e.location = "https://evil.example/key" },
		"plaintext": func(e *endpoint) { e.location = "http://keys.example/key" },
	}
	for name, fault := range faults {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{})
				time.Sleep(time.Second)
				r.set(fault)
				begin := time.Now()
				expectProblem(t, r.post(t, forger), 503, "key-unconfirmed")
				if waited := time.Since(begin); waited > 2500*time.Millisecond {
					t.Errorf("the answer took %v; want 2.5s at most", waited)
				}
				time.Sleep(10 * time.Second)
				expectStored(t, r.post(t, a)) // the last good key stays
				if _, err := r.handler.Ready(); err != nil {
					t.Errorf("Ready = %v; want nil with a good key", err)
				}
				k := r.handler.Keys()[0]
				if k.Err == nil || strings.Contains(k.Err.Error(), "secret=1") || strings.Contains(k.Err.Error(), "\n") {
					t.Errorf("Keys says %v; want an error in one line without the URL's query", k.Err)
				}
				r.set(func(e *endpoint) {
					e.document, e.status, e.err, e.delay, e.location = keyDocument(t, b), 0, nil, 0, ""
				})
				time.Sleep(2 * time.Minute)
				expectStored(t, r.post(t, b))
			})
		})
	}
}

func TestNoKeyYet(t *testing.T) {
	a := testKeys()[0]
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{err: errors.New("no route to host")}, ingest.Config{})
		expectProblem(t, r.post(t, a), 503, "no-key")
		expectProblem(t, post(r.handler, "/webhooks/prod", started), 401, "signature-absent")
		if _, err := r.handler.Ready(); err == nil || !strings.Contains(err.Error(), "prod") {
			t.Errorf("Ready without a key = %v; want an error that names the source", err)
		}
		r.set(func(e *endpoint) { e.err, e.document = nil, keyDocument(t, a) })
		time.Sleep(10 * time.Second) // it tries again soon while there is none
		expectStored(t, r.post(t, a))
		if _, err := r.handler.Ready(); err != nil {
			t.Errorf("Ready with a key = %v; want nil", err)
		}
	})
}

// TestOneSourceWithoutKey proves that the others' deliveries are not kept away.
func TestOneSourceWithoutKey(t *testing.T) {
	h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{
		{Name: "waiting", Scheme: ingest.SchemeRSA, Key: "https://127.0.0.1:1/key.json"}, {Name: "open", Scheme: ingest.SchemeNone},
	}})
	if note, err := h.Ready(); err != nil || !strings.Contains(note, "waiting") {
		t.Errorf("Ready = %q, %v; want a note that names the source without a key", note, err)
	}
}

func TestKeysAreKeptOnDisk(t *testing.T) {
	a, b := testKeys()[0], testKeys()[1]
	dir := t.TempDir()
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{KeyDir: dir})
		r.set(func(e *endpoint) { e.document = keyDocument(t, b) })
		time.Sleep(61 * time.Minute)
		expectStored(t, r.post(t, a))
		expectStored(t, r.post(t, b))
	})
	info, err := os.Stat(filepath.Join(dir, "prod.json"))
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Fatalf("cache = %v, %v; want a file that only we can write", info, err)
	}
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{err: errors.New("down")}, ingest.Config{KeyDir: dir})
		expectStored(t, r.post(t, b))
		expectStored(t, r.post(t, a))
	})
	if err := os.WriteFile(filepath.Join(dir, "prod.json"), []byte("{torn"), 0o600); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{err: errors.New("down")}, ingest.Config{KeyDir: dir})
		expectProblem(t, r.post(t, b), 503, "no-key")
	})
}

// TestKeysOfAnotherURL: what was fetched from one URL is not trusted for another,
// or a source that was pointed elsewhere would go on with the old provider's key.
func TestKeysOfAnotherURL(t *testing.T) {
	a, dir := testKeys()[0], t.TempDir()
	bubble(t, func(t *testing.T) {
		expectStored(t, startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{KeyDir: dir}).post(t, a))
	})
	path := filepath.Join(dir, "prod.json")
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	other := bytes.Replace(b, []byte("keys.example"), []byte("keys2.example"), 1)
	if bytes.Equal(other, b) {
		t.Fatalf("cache = %s; want the URL in it", b)
	}
	if err := os.WriteFile(path, other, 0o600); err != nil {
		t.Fatal(err)
	}
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{err: errors.New("down")}, ingest.Config{KeyDir: dir})
		expectProblem(t, r.post(t, a), 503, "no-key")
	})
}

// TestManyWaitForOneFetch has a flood wait for the key at once.
func TestManyWaitForOneFetch(t *testing.T) {
	a, b := testKeys()[0], testKeys()[1]
	bubble(t, func(t *testing.T) {
		r := startRotation(t, &endpoint{document: keyDocument(t, a)}, ingest.Config{})
		time.Sleep(time.Second)
		r.set(func(e *endpoint) { e.document, e.delay = keyDocument(t, b), time.Second })
		signature := sign(t, b, started)
		var wg sync.WaitGroup
		for range 50 {
			wg.Go(func() {
				if w := post(r.handler, "/webhooks/prod", started, "rtk-signature", signature); w.Code != 200 {
					t.Errorf("answer = %d %s; want 200", w.Code, w.Body)
				}
			})
		}
		wg.Wait()
		if got := r.count(); got != 2 {
			t.Errorf("fetches = %d; want 2", got)
		}
	})
}
