//go:build chaos

package main

import (
	"bytes"
	"errors"
	"io"
	"math/rand/v2"
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
)

// startInside starts an ingester in this process, on a real log, with what
// can't be reached from outside: its clock, or the transport to its key.
func startInside(t *testing.T, c ingest.Config) (address, natsURL string) {
	t.Helper()
	node := eventlogtest.Server(t)
	log, err := natslog.Open(t.Context(), node.JetStream(t), natslog.Config{StoreDir: node.Dir(), Batch: natslog.BatchConfig{Now: c.Now}})
	if err != nil {
		t.Fatal(err)
	}
	c.Log = log
	h, err := ingest.New(c)
	if err != nil {
		t.Fatal(err)
	}
	return serveIngest(t, h), node.URL()
}

// TestChaosClock sets the ingester's clock back, by up to an hour at a time,
// and forward.
func TestChaosClock(t *testing.T) {
	var offset atomic.Int64
	s, key := newSenders(t)
	address, url := startInside(t, ingest.Config{
		Now:     func() time.Time { return time.Now().Add(time.Duration(offset.Load())) },
		Sources: []ingest.Source{{Name: "prod", Scheme: ingest.SchemeRSA, Key: key}},
	})
	s.aim(address)
	stop := s.start(t, 16)
	for i := range *chaosRuns {
		by := rand.N(time.Hour)
		if i%3 > 0 {
			by = -by
		}
		offset.Add(int64(by))
		s.progress(t, 50, "after the clock was set")
	}
	stop()
	s.check(t, "clock set back and forward by up to 1 h", *chaosRuns, "--nats-url", url)
}

// keyEndpoint is a provider's key endpoint that misbehaves.
type keyEndpoint struct {
	mu       sync.Mutex
	document []byte
	fault    string
}

func (e *keyEndpoint) set(document []byte, fault string) {
	e.mu.Lock()
	defer e.mu.Unlock()
	if document != nil {
		e.document = document
	}
	e.fault = fault
}

func (e *keyEndpoint) RoundTrip(r *http.Request) (*http.Response, error) {
	e.mu.Lock()
	document, fault := e.document, e.fault
	e.mu.Unlock()
	status := http.StatusOK
	switch fault {
	case "down":
		return nil, errors.New("connection refused")
	case "slow":
		<-r.Context().Done()
		return nil, r.Context().Err()
	case "error":
		status = http.StatusInternalServerError
	case "nonsense":
		document = []byte("<html>maintenance</html>")
	case "endless":
		document = bytes.Repeat([]byte{' '}, 1<<20)
	}
	return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(document)), Request: r}, nil
}

// TestChaosKeys has the provider change its key again and again, half of the
// times while the endpoint still serves the old one. No honest delivery gets a 401.
func TestChaosKeys(t *testing.T) {
	s, _ := newSenders(t)
	public, err := s.signer.Load().Public()
	if err != nil {
		t.Fatal(err)
	}
	endpoint := &keyEndpoint{document: public}
	address, url := startInside(t, ingest.Config{
		KeyTransport: endpoint, KeyThrottle: 100 * time.Millisecond, KeyTimeout: 300 * time.Millisecond,
		Sources: []ingest.Source{{Name: "prod", Scheme: ingest.SchemeRSA, Key: "https://keys.example/webhooks.json"}},
	})
	s.aim(address)
	stop := s.start(t, 16)
	faults := []string{"down", "slow", "error", "nonsense", "endless"}
	for i := range *chaosRuns {
		next, err := provider.NewKey()
		if err != nil {
			t.Fatal(err)
		}
		if public, err = next.Public(); err != nil {
			t.Fatal(err)
		}
		fault := ""
		if i%2 > 0 {
			fault = faults[i/2%len(faults)]
		}
		s.progress(t, 30, "before the key changed")
		// The provider publishes a key before it signs with it.
		endpoint.set(public, fault)
		s.signer.Store(&next)
		sometime(t, 700*time.Millisecond)
		endpoint.set(nil, "")
		s.progress(t, 30, "after the key changed")
	}
	stop()
	s.check(t, "key changed; endpoint down, slow, wrong half of the times", *chaosRuns, "--nats-url", url)
}
