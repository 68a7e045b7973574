package ingest_test

import (
	"bytes"
	"context"
	"encoding/base64"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest"
)

// A key whose private half was thrown away, and its signature of started: fuzz
// workers are processes of their own, so a key made at the start would differ.
const (
	fuzzPublic = `-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA16T4hWv56bzVzsIEEKi4
iLlHp/eSFxnK95FJPRmgHtSBv+qu3Yf4fub11NRJXPSf7FBu+jtq5lV6ojP9dNaa
At22zzIyEPGSBVIfDRiXG6SfK9AYwiCiNtBQVnCTL+oU07//BxkFtqATlji+KB30
Y/jFPlu7A5XTEpUDYtLvyUjrj9rbwgRBcFDMj2ODNj0Ev2S/AuSTy/sqzQrsPcl/
HMey+GZbGg+Lbxmi124TTdtzlOku3DBMExII8CU0B4ItnzdzRKQ+5wkO2qvEnjYO
JkzLJ7HrAJj8PcjJBLTnzIB/EMQjviZQfc01v20+R7t+pHV9zV32mz5xc5bVgMcz
OQIDAQAB
-----END PUBLIC KEY-----
`
	fuzzSignature = "zzGeevDgbJiC67po0H96nKCs/ySGbSw7WNPzvr2G9PRJHytckWw8kWQxNmi9oaSYkKkMO5r319XKuIPFP6s7hd/s8kYiI8rh0dQR+zqBYJDI0Mp79Rb+KqkwkQ/FBjUemQK3QPPUpFbW1vvDcyZguDEO+VcqRYhglaJXURV4huqWnczW0/hNPhycgnebB6cNuTkWmpQwCAeubiRUypnNHd6+YGNx9uMTImhNR40mkaYfZC4UUX0JLORxvMuzAV2HJDR/kznu3bEqUDUXp8utVQqIkHgFFPCuJRRvxhPKOqN6Cd3zgGUxNdga3bA9Q5od6Sc3ggjG/cT7VgcN4W8GoQ=="
)

// fuzzLog keeps the last record alone, since a worker runs for millions of them.
type fuzzLog struct {
	count int
	last  eventlog.Record
}

func (l *fuzzLog) Append(_ context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	l.count++
	l.last = *r
	return eventlog.Appended{Seq: eventlog.Seq(l.count), EventID: r.EventID}, nil
}

// fuzzHandler has a source of each scheme, at the time of the reference vector.
func fuzzHandler(f *testing.F) (*ingest.Handler, *fuzzLog) {
	log := &fuzzLog{}
	at := time.Unix(1614265330, 0)
	return newHandler(f, ingest.Config{Log: log, MaxBody: 10000, RefusalDelay: -1, Now: func() time.Time { return at }, Sources: []ingest.Source{
		{Name: "prod", Scheme: "rsa", Key: keyFile(f, []byte(fuzzPublic))},
		{Name: "std", Scheme: "standard", Key: keyFile(f, []byte(referenceSecret))},
		{Name: "open", Scheme: "none"},
	}}), log
}

// FuzzHandler throws requests at all schemes. Whatever comes, the answer is one
// of the table, and a 200 means that exactly the body sent is in the log.
func FuzzHandler(f *testing.F) {
	f.Add("POST", "/webhooks/prod", started, "dyte-signature", fuzzSignature, "u1")
	f.Add("POST", "/webhooks/open", "{\"event\":\"meeting.started\"}\xff", "rtk-signature", "AAAA", "\x00")
	f.Add("POST", "/webhooks/std", referenceBody, "webhook-signature", referenceSignature, referenceID)
	f.Add("GET", "/webhooks//prod", "", "", "", "")
	h, log := fuzzHandler(f)
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
		before := log.count
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		switch w.Code {
		case 200:
			if string(log.last.Body) != body || log.count != before+1 {
				t.Errorf("a 200 left the body %q; want %q", log.last.Body, body)
			}
			if path == "/webhooks/prod" && body != started || path == "/webhooks/std" && body != referenceBody {
				t.Errorf("a forged body was stored: %q", body)
			}
		case 401, 404, 405, 413, 503:
			if log.count != before {
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

// FuzzSignatureHeader sends a body that is properly signed under any signature
// headers. Only the one RSA signature and the one HMAC that fit are taken, in
// whatever spelling, and what is kept of them proves the record once more.
func FuzzSignatureHeader(f *testing.F) {
	f.Add(true, fuzzSignature, "", "")
	f.Add(true, strings.TrimRight(fuzzSignature, "="), "x", "y")
	f.Add(false, referenceSignature, referenceID, referenceTimestamp)
	f.Add(false, "v1,AAAA v1a,AAAA "+referenceSignature, referenceID, referenceTimestamp)
	f.Add(false, referenceSignature, referenceID, "+"+referenceTimestamp)
	h, log := fuzzHandler(f)
	auditor, err := ingest.NewAuditor([]byte(fuzzPublic), []byte(referenceSecret))
	if err != nil {
		f.Fatal(err)
	}
	want := fuzzBytes(f, fuzzSignature)
	mac := fuzzBytes(f, strings.TrimPrefix(referenceSignature, "v1,"))
	f.Fuzz(func(t *testing.T, rsa bool, signature, id, timestamp string) {
		source, body, headers := "std", referenceBody, []string{"webhook-signature", signature, "webhook-id", id, "webhook-timestamp", timestamp}
		if rsa {
			source, body, headers = "prod", started, []string{"rtk-signature", signature, "rtk-uuid", id}
		}
		before := log.count
		w := post(h, "/webhooks/"+source, body, headers...)
		if w.Code != 200 {
			if w.Code != 401 || log.count != before {
				t.Errorf("answer = %d, %d records more; want 401 and none", w.Code, log.count-before)
			}
			return
		}
		switch {
		case rsa && !bytes.Equal(fuzzBytes(t, signature), want):
			t.Errorf("the signature %q was taken", signature)
		case !rsa && (id != referenceID || timestamp != referenceTimestamp || !holdsMAC(signature, mac)):
			t.Errorf("the signature %q of id %q at %q was taken", signature, id, timestamp)
		}
		if err := auditor.Check(&log.last); err != nil {
			t.Errorf("Check of what was taken = %v; want nil", err)
		}
	})
}

// fuzzBytes decodes base64, with padding or without.
func fuzzBytes(t testing.TB, s string) []byte {
	t.Helper()
	b, err := base64.StdEncoding.DecodeString(s)
	if err != nil {
		b, err = base64.RawStdEncoding.DecodeString(s)
	}
	if err != nil {
		t.Errorf("the signature %q is no base64, and was taken", s)
	}
	return b
}

// holdsMAC reports whether one of the signatures is the MAC.
func holdsMAC(list string, mac []byte) bool {
	for s := range strings.FieldsSeq(list) {
		encoded, ok := strings.CutPrefix(s, "v1,")
		if b, err := base64.StdEncoding.DecodeString(encoded); ok && err == nil && bytes.Equal(b, mac) {
			return true
		}
		if b, err := base64.RawStdEncoding.DecodeString(encoded); ok && err == nil && bytes.Equal(b, mac) {
			return true
		}
	}
	return false
}

// FuzzKeyDocument reads what a key endpoint may answer.
func FuzzKeyDocument(f *testing.F) {
	f.Add([]byte(fuzzPublic))
	f.Add([]byte(`{"data":{"publicKey":"` + strings.ReplaceAll(fuzzPublic, "\n", `\n`) + `"}}`))
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
