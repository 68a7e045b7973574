package ingest_test

import (
	"crypto/ed25519"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"rollcall/ingest"
)

// The reference vector of the Standard Webhooks libraries
// (github.com/standard-webhooks/standard-webhooks, libraries/go/webhook_test.go
// and its siblings).
const (
	referenceSecret    = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
	referenceID        = "msg_p5jXN8AQM9LWM0D4loKWxJek"
	referenceTimestamp = "1614265330"
	referenceBody      = `{"test": 2432232314}`
	referenceSignature = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="
)

func standardHandler(t testing.TB, keys string, at time.Time) (*ingest.Handler, *memory) {
	t.Helper()
	log := &memory{}
	return newHandler(t, ingest.Config{
		Log: log, Now: func() time.Time { return at },
		Sources: []ingest.Source{{Name: "std", Scheme: "standard", Key: keyFile(t, []byte(keys))}},
	}), log
}

func TestStandardReferenceVector(t *testing.T) {
	at := time.Unix(1614265330, 0)
	h, log := standardHandler(t, "# two keys\nwhsec_"+base64.StdEncoding.EncodeToString([]byte("another secret of 24 byte"))+"\n"+referenceSecret+"\n", at)
	good := []string{"webhook-id", referenceID, "webhook-timestamp", referenceTimestamp, "webhook-signature", referenceSignature}
	with := func(name, value string) []string {
		h := append([]string{}, good...)
		for i := 0; i < len(h); i += 2 {
			if h[i] == name {
				h[i+1] = value
			}
		}
		return h
	}
	tests := []struct {
		name    string
		body    string
		headers []string
		reason  string // "" is 200
	}{
		{"reference", referenceBody, good, ""},
		{"several signatures", referenceBody, with("webhook-signature", "v1,AAAA v2,x v1a,AAAA "+referenceSignature), ""},
		{"other body", referenceBody + " ", good, "signature-wrong"},
		{"other id", referenceBody, with("webhook-id", "msg_x"), "signature-wrong"},
		{"other time", referenceBody, with("webhook-timestamp", "1614265331"), "signature-wrong"},
		{"no prefix", referenceBody, with("webhook-signature", strings.TrimPrefix(referenceSignature, "v1,")), "signature-wrong"},
		{"other version", referenceBody, with("webhook-signature", "v2"+strings.TrimPrefix(referenceSignature, "v1")), "signature-wrong"},
		{"time is no number", referenceBody, with("webhook-timestamp", "yesterday"), "signature-wrong"},
		{"too many signatures", referenceBody, with("webhook-signature", strings.Repeat("v1,AAAA ", 20)+referenceSignature), "signature-wrong"},
		{"no id", referenceBody, with("webhook-id", ""), "signature-absent"},
		{"no time", referenceBody, with("webhook-timestamp", ""), "signature-absent"},
		{"no signature", referenceBody, with("webhook-signature", ""), "signature-absent"},
		{"too old", referenceBody, with("webhook-timestamp", "1614265029"), "timestamp"},
		{"too new", referenceBody, with("webhook-timestamp", "1614265631"), "timestamp"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			w := post(h, "/webhooks/std", test.body, test.headers...)
			if test.reason != "" {
				expectProblem(t, w, 401, test.reason)
				return
			}
			expectStored(t, w)
			if r := log.last(t); r.DeliveryID != referenceID || !strings.HasPrefix(r.Signature, referenceTimestamp+" ") || r.KeyFingerprint == "" {
				t.Errorf("record = %+v; want the id as delivery, and all that was signed", r)
			}
		})
	}
}

func TestStandardEd25519(t *testing.T) {
	public, private, err := ed25519.GenerateKey(nil)
	if err != nil {
		t.Fatal(err)
	}
	at := time.Now()
	h, _ := standardHandler(t, "whpk_"+base64.StdEncoding.EncodeToString(public), at)
	signed := fmt.Sprintf("id.%d.%s", at.Unix(), started)
	signature := "v1a," + base64.StdEncoding.EncodeToString(ed25519.Sign(private, []byte(signed)))
	headers := []string{"webhook-id", "id", "webhook-timestamp", fmt.Sprint(at.Unix()), "webhook-signature", signature}
	expectStored(t, post(h, "/webhooks/std", started, headers...))
	expectProblem(t, post(h, "/webhooks/std", started+" ", headers...), 401, "signature-wrong")
	// The public key must not do as a secret.
	mac := hmac.New(sha256.New, public)
	mac.Write([]byte(signed))
	headers[5] = "v1," + base64.StdEncoding.EncodeToString(mac.Sum(nil))
	expectProblem(t, post(h, "/webhooks/std", started, headers...), 401, "signature-wrong")
}

// TestKeyFileIsReplaced proves that a rotation needs no restart, that a key that
// was taken out is refused without anybody failing first, and that what can't
// be judged while the file is unreadable is no 401.
func TestKeyFileIsReplaced(t *testing.T) {
	secrets := []string{"an old secret of 24 bytes", "the new secret, 24 bytes."}
	line := func(i int) []byte {
		return []byte("whsec_" + base64.StdEncoding.EncodeToString([]byte(secrets[i])) + "\n")
	}
	file := keyFile(t, line(0))
	now := time.Now()
	h := newHandler(t, ingest.Config{
		Log: &memory{}, Now: func() time.Time { return now }, RefusalDelay: -1,
		Sources: []ingest.Source{{Name: "std", Scheme: "standard", Key: file}},
	})
	send := func(i int) *httptest.ResponseRecorder {
		stamp := fmt.Sprint(now.Unix())
		mac := hmac.New(sha256.New, []byte(secrets[i]))
		fmt.Fprintf(mac, "id.%s.%s", stamp, started)
		return post(h, "/webhooks/std", started, "webhook-id", "id", "webhook-timestamp", stamp,
			"webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
	}
	replace := func(content []byte, age time.Duration) {
		t.Helper()
		if err := os.WriteFile(file, content, 0o600); err != nil {
			t.Fatal(err)
		}
		at := time.Now().Add(-age) // the file system's clock may be coarse
		if err := os.Chtimes(file, at, at); err != nil {
			t.Fatal(err)
		}
	}
	expectStored(t, send(0))
	expectProblem(t, send(1), 401, "signature-wrong")
	replace(line(1), time.Hour)
	expectStored(t, send(1))
	expectProblem(t, send(0), 401, "signature-wrong")
	replace(line(0), 2*time.Hour)
	now = now.Add(2 * time.Second)
	expectProblem(t, send(1), 401, "signature-wrong") // it was good a moment ago
	replace([]byte("half a fi"), 3*time.Hour)
	expectProblem(t, send(1), 503, "key-unconfirmed")
	expectStored(t, send(0)) // the last good key stays
}
