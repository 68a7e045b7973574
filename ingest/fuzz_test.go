package ingest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/ingest"
)

// FuzzHandler throws requests at all schemes. Whatever comes, the answer is one
// of the table, and a 200 means that exactly the body sent is in the log.
func FuzzHandler(f *testing.F) {
	key := testKeys()[0]
	f.Add("POST", "/webhooks/prod", started, "dyte-signature", sign(f, key, started), "u1")
	f.Add("POST", "/webhooks/open", "{\"event\":\"meeting.started\"}\xff", "rtk-signature", "AAAA", "\x00")
	f.Add("POST", "/webhooks/std", referenceBody, "webhook-signature", referenceSignature, referenceID)
	f.Add("GET", "/webhooks//prod", "", "", "", "")
	log := &memory{}
	h := newHandler(f, ingest.Config{Log: log, MaxBody: 10000, Sources: []ingest.Source{
		{Name: "prod", Scheme: "rsa", Key: keyFile(f, publicPEM(f, key))},
		{Name: "std", Scheme: "standard", Key: keyFile(f, []byte(referenceSecret))},
		{Name: "open", Scheme: "none"},
	}})
	f.Fuzz(func(t *testing.T, method, path, body, header, value, uuid string) {
		r, err := http.NewRequest(method, "http://x/", strings.NewReader(body))
		if err != nil {
			return
		}
		r.URL.Path = path
		r.Header.Set("Dyte-Uuid", uuid)
		r.Header.Set("Webhook-Id", uuid)
		r.Header.Set("Webhook-Timestamp", referenceTimestamp)
		r.Header.Set(header, value)
		before := log.len()
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if got := log.last(t); string(got.Body) != body || log.len() != before+1 {
				t.Errorf("a 200 left the body %q; want %q", got.Body, body)
			}
			if path == "/webhooks/prod" && body != started {
				t.Errorf("a forged body was stored: %q", body)
			}
		case 401, 404, 405, 413, 503:
			if log.len() != before {
				t.Errorf("a %d left a record", w.Code)
			}
			if w.Header().Get("Content-Type") != "application/problem+json" {
				t.Errorf("a %d is no problem document", w.Code)
			}
		default:
			t.Errorf("answer = %d", w.Code)
		}
	})
}

// FuzzKeyDocument reads what a key endpoint may answer.
func FuzzKeyDocument(f *testing.F) {
	f.Add(keyDocument(f, testKeys()[0]))
	f.Add(publicPEM(f, testKeys()[0]))
	f.Add([]byte(referenceSecret + "\nwhpk_AAAA\n#"))
	f.Add([]byte(`{"data":{"publicKey":"-----BEGIN PUBLIC KEY-----\nAAAA\n-----END PUBLIC KEY-----"}}`))
	f.Fuzz(func(t *testing.T, document []byte) {
		a, err := ingest.NewAuditor(document)
		if (a == nil) == (err == nil) {
			t.Errorf("NewAuditor = %v, %v", a, err)
		}
		if err != nil && strings.Contains(err.Error(), "\n") {
			t.Errorf("NewAuditor = %q; want one line", err)
		}
	})
}
