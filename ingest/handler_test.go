package ingest_test

import (
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/base64"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest"
)

// testKeys are made once: an RSA key takes a while under -race.
var testKeys = sync.OnceValue(func() []*rsa.PrivateKey {
	var keys []*rsa.PrivateKey
	for range 3 {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			panic(err)
		}
		keys = append(keys, k)
	}
	return keys
})

func publicPEM(t testing.TB, k *rsa.PrivateKey) []byte {
	t.Helper()
	der, err := x509.MarshalPKIXPublicKey(&k.PublicKey)
	if err != nil {
		t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PUBLIC KEY", Bytes: der})
}

func keyDocument(t testing.TB, k *rsa.PrivateKey) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"success": true, "data": map[string]string{"publicKey": string(publicPEM(t, k))}})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func keyFile(t testing.TB, content []byte) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(path, content, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func sign(t testing.TB, k *rsa.PrivateKey, body string) string {
	t.Helper()
	sum := sha256.Sum256([]byte(body))
	s, err := rsa.SignPKCS1v15(nil, k, crypto.SHA256, sum[:])
	if err != nil {
		t.Fatal(err)
	}
	return base64.StdEncoding.EncodeToString(s)
}

// memory is a log in memory, which fails on demand.
type memory struct {
	mu      sync.Mutex
	records []eventlog.Record
	err     error
	stored  bool // with err: it happened all the same
	hang    chan struct{}
}

func (m *memory) Append(ctx context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	if m.hang != nil {
		select {
		case <-m.hang:
		case <-ctx.Done():
			return eventlog.Appended{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, ctx.Err())
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.err != nil && !m.stored {
		return eventlog.Appended{}, m.err
	}
	m.records = append(m.records, *r)
	return eventlog.Appended{Seq: eventlog.Seq(len(m.records)), EventID: r.EventID}, m.err
}

func (m *memory) last(t testing.TB) eventlog.Record {
	t.Helper()
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.records) == 0 {
		t.Fatal("the log is empty")
	}
	return m.records[len(m.records)-1]
}

func (m *memory) len() int {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.records)
}

func newHandler(t testing.TB, c ingest.Config) *ingest.Handler {
	t.Helper()
	h, err := ingest.New(c)
	if err != nil {
		t.Fatalf("New: %v", err)
	}
	return h
}

// post sends body with headers given as name, value, name, value.
func post(h http.Handler, path, body string, headers ...string) *httptest.ResponseRecorder {
	return send(h, http.MethodPost, path, body, headers...)
}

func send(h http.Handler, method, path, body string, headers ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	for i := 0; i+1 < len(headers); i += 2 {
		r.Header.Set(headers[i], headers[i+1])
	}
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

type stored struct {
	EventID   string       `json:"eventId"`
	Sequence  eventlog.Seq `json:"sequence"`
	Duplicate bool         `json:"duplicate"`
}

func expectStored(t testing.TB, w *httptest.ResponseRecorder) stored {
	t.Helper()
	var s stored
	dec := json.NewDecoder(w.Body)
	dec.DisallowUnknownFields()
	if err := dec.Decode(&s); w.Code != http.StatusOK || err != nil || len(s.EventID) != 26 {
		t.Fatalf("answer = %d %s (%v); want 200 with an event id", w.Code, w.Body, err)
	}
	if got := w.Header().Get("Rollcall-Sequence"); got != fmt.Sprint(s.Sequence) {
		t.Errorf("Rollcall-Sequence = %q; want %d", got, s.Sequence)
	}
	return s
}

func expectProblem(t testing.TB, w *httptest.ResponseRecorder, status int, reason string) {
	t.Helper()
	var p struct {
		Type, Title, Detail string
		Status              int
	}
	if err := json.Unmarshal(w.Body.Bytes(), &p); err != nil {
		t.Fatalf("answer = %d %s: %v", w.Code, w.Body, err)
	}
	if w.Code != status || p.Status != status || p.Type != "urn:rollcall:problem:"+reason || p.Title != http.StatusText(status) || p.Detail == "" {
		t.Errorf("answer = %d %s; want %d %s", w.Code, w.Body, status, reason)
	}
	if got := w.Header().Get("Content-Type"); got != "application/problem+json" {
		t.Errorf("Content-Type = %q; want application/problem+json", got)
	}
	retry := w.Header().Get("Retry-After")
	if (retry != "") != (status == http.StatusServiceUnavailable) || retry == "0" {
		t.Errorf("Retry-After of %d = %q", status, retry)
	}
	if allow := w.Header().Get("Allow"); (allow == "POST") != (status == http.StatusMethodNotAllowed) {
		t.Errorf("Allow of %d = %q", status, allow)
	}
}

const started = `{"event":"meeting.started","meeting":{"id":"m1","sessionId":"s1","organizedBy":{"id":"o1"}}}`

func TestAnswers(t *testing.T) {
	key := testKeys()[0]
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, MaxBody: 1000, Sources: []ingest.Source{
		{Name: "prod", Scheme: ingest.SchemeRSA, Key: keyFile(t, publicPEM(t, key))},
		{Name: "doc", Scheme: ingest.SchemeRSA, Key: keyFile(t, keyDocument(t, key))},
		{Name: "open", Scheme: ingest.SchemeNone},
	}})
	good := sign(t, key, started)
	foreign := sign(t, testKeys()[1], started)
	tests := []struct {
		name         string
		method, path string
		body         string
		headers      []string
		status       int
		reason       string
	}{
		{"dyte", "POST", "/webhooks/prod", started, []string{"dyte-signature", good, "dyte-uuid", "u1"}, 200, ""},
		{"realtimekit", "POST", "/webhooks/prod", started, []string{"rtk-signature", good, "rtk-uuid", "u2"}, 200, ""},
		{"key document", "POST", "/webhooks/doc", started, []string{"rtk-signature", good}, 200, ""},
		{"unpadded", "POST", "/webhooks/prod", started, []string{"rtk-signature", strings.TrimRight(good, "=")}, 200, ""},
		{"none", "POST", "/webhooks/open", started, nil, 200, ""},
		{"unknown type", "POST", "/webhooks/open", `{"event":"new.thing"}`, nil, 200, ""},
		{"no object", "POST", "/webhooks/open", "hello \xff", nil, 200, ""},
		{"empty", "POST", "/webhooks/open", "", nil, 200, ""},
		{"exactly at the cap", "POST", "/webhooks/open", strings.Repeat("x", 1000), nil, 200, ""},
		{"above the cap", "POST", "/webhooks/open", strings.Repeat("x", 1001), nil, 413, "too-large"},
		{"above the cap, unsigned", "POST", "/webhooks/prod", strings.Repeat("x", 1001), nil, 413, "too-large"},
		{"no signature", "POST", "/webhooks/prod", started, nil, 401, "signature-absent"},
		{"foreign key", "POST", "/webhooks/prod", started, []string{"dyte-signature", foreign}, 401, "signature-wrong"},
		{"other body", "POST", "/webhooks/prod", started + " ", []string{"dyte-signature", good}, 401, "signature-wrong"},
		{"no base64", "POST", "/webhooks/prod", started, []string{"dyte-signature", "@@"}, 401, "signature-wrong"},
		{"short signature", "POST", "/webhooks/prod", started, []string{"dyte-signature", "AAAA"}, 401, "signature-wrong"},
		{"huge signature", "POST", "/webhooks/prod", started, []string{"dyte-signature", strings.Repeat("A", 5000)}, 401, "signature-absent"},
		{"unknown source", "POST", "/webhooks/nobody", started, nil, 404, "unknown-source"},
		{"source in upper case", "POST", "/webhooks/OPEN", started, nil, 200, ""},
		{"path in capitals", "POST", "/Webhooks/Open", started, nil, 200, ""},
		{"slash at the end", "POST", "/webhooks/open/", started, nil, 200, ""},
		{"slashes in front", "POST", "//webhooks//open", started, nil, 200, ""},
		{"dots", "POST", "/x/../webhooks/./open", started, nil, 200, ""},
		{"no source", "POST", "/webhooks/", started, nil, 404, "unknown-source"},
		{"wrong beside right", "POST", "/webhooks/prod", started, []string{"dyte-signature", foreign, "rtk-signature", good}, 200, ""},
		{"right beside wrong", "POST", "/webhooks/prod", started, []string{"dyte-signature", good, "rtk-signature", foreign}, 200, ""},
		{"no base64 beside right", "POST", "/webhooks/prod", started, []string{"dyte-signature", "@@", "rtk-signature", good}, 200, ""},
		{"huge beside right", "POST", "/webhooks/prod", started, []string{"dyte-signature", strings.Repeat("A", 5000), "rtk-signature", good}, 200, ""},
		{"wrong twice", "POST", "/webhooks/prod", started, []string{"dyte-signature", foreign, "rtk-signature", "AAAA"}, 401, "signature-wrong"},
		{"a page's form", "POST", "/webhooks/open", started, []string{"Origin", "https://evil.example"}, 403, "cross-site"},
		{"a page without a name", "POST", "/webhooks/open", started, []string{"Origin", "null"}, 403, "cross-site"},
		{"a page of another site", "POST", "/webhooks/open", started, []string{"Sec-Fetch-Site", "cross-site"}, 403, "cross-site"},
		{"typed by a person", "POST", "/webhooks/open", started, []string{"Sec-Fetch-Site", "none"}, 200, ""},
		{"an origin, signed", "POST", "/webhooks/prod", started, []string{"Origin", "https://provider.example", "dyte-signature", good}, 200, ""},
		{"below a source", "POST", "/webhooks/open/x", started, nil, 404, "unknown-source"},
		{"other path", "POST", "/", started, nil, 404, "unknown-source"},
		{"get", "GET", "/webhooks/prod", "", nil, 405, "method"},
		{"put", "PUT", "/webhooks/prod", started, []string{"dyte-signature", good}, 405, "method"},
		{"get of an unknown source", "GET", "/webhooks/nobody", "", nil, 404, "unknown-source"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			before := log.len()
			w := send(h, test.method, test.path, test.body, test.headers...)
			if test.status != http.StatusOK {
				expectProblem(t, w, test.status, test.reason)
				if log.len() != before {
					t.Error("a refused delivery is in the log")
				}
				return
			}
			s := expectStored(t, w)
			r := log.last(t)
			if r.EventID != s.EventID || string(r.Body) != test.body || r.ReceivedAt.IsZero() {
				t.Errorf("record = %+v; want event %s and the raw body", r, s.EventID)
			}
		})
	}
}

// TestChunkedBody has no Content-Length to go by.
func TestChunkedBody(t *testing.T) {
	log := &memory{}
	server := httptest.NewServer(newHandler(t, ingest.Config{Log: log, MaxBody: 1000, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}}))
	defer server.Close()
	for size, want := range map[int]int{1000: 200, 1001: 413, 300000: 413} {
		res, err := http.Post(server.URL+"/webhooks/open", "application/json", io.MultiReader(strings.NewReader(strings.Repeat("x", size))))
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != want {
			t.Errorf("chunked body of %d bytes = %d; want %d", size, res.StatusCode, want)
		}
	}
}

func TestRecordOfADelivery(t *testing.T) {
	key := testKeys()[0]
	log := &memory{}
	now := time.Date(2026, 3, 4, 5, 6, 7, 891011999, time.UTC)
	h := newHandler(t, ingest.Config{Log: log, Now: func() time.Time { return now }, Sources: []ingest.Source{
		{Name: "prod", Scheme: ingest.SchemeRSA, Key: keyFile(t, publicPEM(t, key))},
	}})
	long := strings.Repeat("u", 257)
	tests := []struct {
		headers           []string
		delivery, webhook string
	}{
		{[]string{"dyte-uuid", "d", "rtk-uuid", "r", "webhook-id", "w"}, "d", ""},
		{[]string{"rtk-uuid", "r", "webhook-id", "w", "rtk-webhook-id", "hook"}, "r", "hook"},
		{[]string{"webhook-id", "w", "dyte-webhook-id", "hook"}, "w", "hook"},
		{nil, "", ""},
		{[]string{"dyte-uuid", long[:256]}, long[:256], ""},
		{[]string{"dyte-uuid", long}, fmt.Sprintf("h_%x", sha256.Sum256([]byte(long))), ""},
		{[]string{"dyte-uuid", "\u00fc"}, fmt.Sprintf("h_%x", sha256.Sum256([]byte("\u00fc"))), ""},
		{[]string{"dyte-uuid", "a b~"}, "a b~", ""},
	}
	signature := sign(t, key, started)
	for _, test := range tests {
		expectStored(t, post(h, "/webhooks/prod", started, append(test.headers, "dyte-signature", signature)...))
		r := log.last(t)
		if r.DeliveryID != test.delivery || r.WebhookID != test.webhook {
			t.Errorf("headers %q: delivery %q, webhook %q; want %q, %q", test.headers, r.DeliveryID, r.WebhookID, test.delivery, test.webhook)
		}
		if r.Source != "prod" || r.Type != "meeting.started" || r.Signature != signature || !strings.HasPrefix(r.KeyFingerprint, "SHA256:") {
			t.Errorf("record = %+v", r)
		}
		if want := "2026-03-04T05:06:07.891011Z"; r.ReceivedAt.String() != want {
			t.Errorf("ReceivedAt = %s; want %s", r.ReceivedAt, want)
		}
	}
}

func TestAppendFaults(t *testing.T) {
	tests := []struct {
		name  string
		log   *memory
		count int // records in the log afterwards
	}{
		{"fails", &memory{err: eventlog.ErrUnavailable}, 0},
		{"fails but happened", &memory{err: eventlog.ErrUnavailable, stored: true}, 1},
		{"hangs", &memory{hang: make(chan struct{})}, 0},
		{"fails in a way nobody knows", &memory{err: errors.New("surprise")}, 0},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			h := newHandler(t, ingest.Config{Log: test.log, Timeout: 20 * time.Millisecond, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
			expectProblem(t, post(h, "/webhooks/open", started), 503, "log-unavailable")
			if got := test.log.len(); got != test.count {
				t.Errorf("%d records in the log; want %d", got, test.count)
			}
		})
	}
}

func TestQueueIsBounded(t *testing.T) {
	log := &memory{hang: make(chan struct{})}
	h := newHandler(t, ingest.Config{Log: log, MaxInFlight: 3, Timeout: time.Minute, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	codes := make(chan int)
	for range 10 {
		go func() { codes <- post(h, "/webhooks/open", started).Code }()
	}
	for range 7 {
		if code := <-codes; code != 503 {
			t.Errorf("answer above the bound = %d; want 503", code)
		}
	}
	close(log.hang)
	for range 3 {
		if code := <-codes; code != 200 {
			t.Errorf("answer within the bound = %d; want 200", code)
		}
	}
}

func TestRate(t *testing.T) {
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Sources: []ingest.Source{
		{Name: "slow", Scheme: "none", Rate: 0.01, Burst: 3}, {Name: "open", Scheme: "none"},
	}})
	for range 3 {
		expectStored(t, post(h, "/webhooks/slow", started))
	}
	w := post(h, "/webhooks/slow", started)
	expectProblem(t, w, 503, "rate-limited")
	if got := w.Header().Get("Retry-After"); got != "60" {
		t.Errorf("Retry-After = %s; want 60, the longest", got)
	}
	expectStored(t, post(h, "/webhooks/open", started))
}

func TestAllowLists(t *testing.T) {
	h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{
		{Name: "hooks", Scheme: "none", WebhookIDs: []string{"w1", "w2"}},
		{Name: "orgs", Scheme: "none", OrganizationIDs: []string{"o1"}},
	}})
	other := strings.ReplaceAll(started, `"o1"`, `"o2"`)
	tests := []struct {
		source, body string
		headers      []string
		status       int
	}{
		{"hooks", started, []string{"rtk-webhook-id", "w2"}, 200},
		{"hooks", started, []string{"dyte-webhook-id", "w1"}, 200},
		{"hooks", started, []string{"rtk-webhook-id", "w3"}, 401},
		{"hooks", started, nil, 401},
		{"orgs", started, nil, 200},
		{"orgs", other, nil, 401},
		{"orgs", `{"event":"livestreaming.statusUpdate","streamId":"x","status":"LIVE"}`, nil, 200},
		{"orgs", `{"event":"recording.statusUpdate","recording":{"recordingId":"r","organizationId":"o2"}}`, nil, 401},
		{"orgs", `{"event":"recording.statusUpdate","recording":{"recordingId":"r","organizationId":"o1"}}`, nil, 200},
	}
	for _, test := range tests {
		w := post(h, "/webhooks/"+test.source, test.body, test.headers...)
		if test.status == 200 {
			expectStored(t, w)
		} else {
			expectProblem(t, w, test.status, "not-allowed")
		}
	}
}

func TestConfigErrors(t *testing.T) {
	small, err := rsa.GenerateKey(rand.Reader, 1024) //nolint:gosec // a weak key is what is tested
	if err != nil {
		t.Skip("this Go makes no 1024-bit keys: ", err)
	}
	private := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: []byte("x")})
	rsaSource := func(key string) []ingest.Source { return []ingest.Source{{Name: "a", Scheme: "rsa", Key: key}} }
	tests := []struct {
		name    string
		sources []ingest.Source
		says    string
	}{
		{"no source", nil, "--source"},
		{"bad name", []ingest.Source{{Name: "A", Scheme: "none"}}, "bad name"},
		{"twice", []ingest.Source{{Name: "a", Scheme: "none"}, {Name: "a", Scheme: "none"}}, "twice"},
		{"bad scheme", []ingest.Source{{Name: "a", Scheme: "md5"}}, "unknown scheme"},
		{"no key", rsaSource(""), "no key"},
		{"plain http", rsaSource("http://keys.example/x"), "https"},
		{"missing file", rsaSource("/nonexistent/key.pem"), "no such file"},
		{"no key in it", rsaSource(keyFile(t, []byte("hello"))), "no PEM public key"},
		{"empty document", rsaSource(keyFile(t, []byte(`{"data":{}}`))), "no PEM public key"},
		{"private key", rsaSource(keyFile(t, private)), "private key"},
		{"weak key", rsaSource(keyFile(t, publicPEM(t, small))), "1024 bits"},
		{"huge file", rsaSource(keyFile(t, make([]byte, 65<<10))), "at most"},
		{"short secret", []ingest.Source{{Name: "a", Scheme: "standard", Key: keyFile(t, []byte("whsec_AAAA"))}}, "3 bytes"},
		{"none with a key", []ingest.Source{{Name: "a", Scheme: "none", Key: "x"}}, "takes no key"},
	}
	for _, test := range tests {
		_, err := ingest.New(ingest.Config{Log: &memory{}, Sources: test.sources})
		if err == nil || !strings.Contains(err.Error(), test.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: New = %v; want one line with %q", test.name, err, test.says)
		}
	}
}

func TestParseSource(t *testing.T) {
	tests := []struct {
		in   string
		want ingest.Source
		ok   bool
	}{
		{"prod=rsa:public.pem", ingest.Source{Name: "prod", Scheme: "rsa", Key: "public.pem"}, true},
		{"prod=rsa:https://api.dyte.io/.well-known/webhooks.json", ingest.Source{Name: "prod", Scheme: "rsa", Key: "https://api.dyte.io/.well-known/webhooks.json"}, true},
		{"x=standard:C:/k", ingest.Source{Name: "x", Scheme: "standard", Key: "C:/k"}, true},
		{"x=none", ingest.Source{Name: "x", Scheme: "none"}, true},
		{in: "x"}, {in: "=none"}, {in: "x=rsa"}, {in: "x=rsa:http://x"}, {in: "x=rsa:ftp://x"},
	}
	for _, test := range tests {
		got, err := ingest.ParseSource(test.in)
		if (err == nil) != test.ok || test.ok && fmt.Sprint(got) != fmt.Sprint(test.want) {
			t.Errorf("ParseSource(%q) = %+v, %v; want %+v", test.in, got, err, test.want)
		}
	}
}

func TestFileKeyIsReplaced(t *testing.T) {
	a, b := testKeys()[0], testKeys()[1]
	path := keyFile(t, publicPEM(t, a))
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Sources: []ingest.Source{{Name: "prod", Scheme: "rsa", Key: path}}})
	signedA, signedB := sign(t, a, started), sign(t, b, started)
	expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signedA))
	expectProblem(t, post(h, "/webhooks/prod", started, "dyte-signature", signedB), 401, "signature-wrong")
	both := append(publicPEM(t, a), publicPEM(t, b)...)
	if err := os.WriteFile(path, both, 0o600); err != nil {
		t.Fatal(err)
	}
	expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signedB))
	expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signedA))
	if err := os.WriteFile(path, []byte("half a fi"), 0o600); err != nil {
		t.Fatal(err)
	}
	expectProblem(t, post(h, "/webhooks/prod", started, "dyte-signature", sign(t, testKeys()[2], started)), 503, "key-unconfirmed")
	expectStored(t, post(h, "/webhooks/prod", started, "dyte-signature", signedA))
}

func TestEventIDsAreUniqueAndSorted(t *testing.T) {
	log := &memory{}
	at := time.UnixMilli(1_700_000_000_000)
	h := newHandler(t, ingest.Config{Log: log, Now: func() time.Time { return at }, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 50 {
				post(h, "/webhooks/open", started)
			}
		})
	}
	wg.Wait()
	seen := map[string]bool{}
	for _, r := range log.records {
		if seen[r.EventID] {
			t.Fatalf("event id %s twice", r.EventID)
		}
		seen[r.EventID] = true
	}
	at = at.Add(-time.Hour) // a clock that steps back makes ids that sort before, still unique
	post(h, "/webhooks/open", started)
	if last := log.last(t).EventID; seen[last] || last >= log.records[0].EventID {
		t.Errorf("event id after the clock went back = %s; want a new, smaller one than %s", last, log.records[0].EventID)
	}
}
