package ingest_test

import (
	"bytes"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"rollcall/ingest"
)

// TestSignatureHeaderAtItsLimit: a header as long as it may be, with as many
// signatures, is checked; more is refused without work.
func TestSignatureHeaderAtItsLimit(t *testing.T) {
	h, _ := standardHandler(t, referenceSecret+"\n", time.Unix(1614265330, 0))
	many := func(n int) string { return strings.Repeat("v1,AAAA ", n-1) + referenceSignature }
	long := func(n int) string { return strings.Repeat("x", n-1-len(referenceSignature)) + " " + referenceSignature }
	for name, c := range map[string]struct {
		list string
		want int
	}{
		"16 signatures": {many(16), 200}, "17 signatures": {many(17), 401},
		"4096 bytes": {long(4096), 200}, "4097 bytes": {long(4097), 401},
	} {
		w := post(h, "/webhooks/std", referenceBody, "webhook-id", referenceID, "webhook-timestamp", referenceTimestamp, "webhook-signature", c.list)
		if w.Code != c.want {
			t.Errorf("a header of %s = %d; want %d", name, w.Code, c.want)
		}
	}
}

// redirecting serves the key at the end of a chain of redirects.
type redirecting struct {
	document []byte
	to       []string // where each request but the last is sent
	asked    int
}

func (r *redirecting) RoundTrip(req *http.Request) (*http.Response, error) {
	res := &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(bytes.NewReader(r.document)), Request: req}
	if strings.Contains(req.URL.Path, "well-known") {
		r.asked = 0
	}
	if r.asked < len(r.to) {
		res.StatusCode = http.StatusFound
		res.Header.Set("Location", r.to[r.asked])
	}
	r.asked++
	return res, nil
}

// TestKeyRedirects: whoever can send the fetch of a key elsewhere could choose the
// key.
func TestKeyRedirects(t *testing.T) {
	const here = "https://keys.example/other"
	for name, c := range map[string]struct {
		to   []string
		want int
	}{
		"none": {nil, 200}, "three on the same host": {[]string{here, here, here}, 200}, "four": {[]string{here, here, here, here}, 503},
		"plain http": {[]string{"http://keys.example/other"}, 503}, "another host": {[]string{"https://evil.example/other"}, 503},
		"another port": {[]string{"https://keys.example:444/other"}, 503},
	} {
		t.Run(name, func(t *testing.T) {
			bubble(t, func(t *testing.T) {
				r := startRotationOver(t, &redirecting{document: keyDocument(t, testKeys()[0]), to: c.to}, ingest.Config{})
				if w := r.post(t, testKeys()[0]); w.Code != c.want {
					t.Errorf("a delivery = %d; want %d", w.Code, c.want)
				}
			})
		})
	}
}

// TestKeyURLs: a key is fetched over https from a named host, and no secret stands
// in the URL's user part, which logs would show.
func TestKeyURLs(t *testing.T) {
	for url, good := range map[string]bool{
		"https://keys.example/k": true, "https:///k": false, "https://u:p@keys.example/k": false, "https://u@keys.example/k": false,
		"ftp://keys.example/k": false, "https://keys.example:port/k": false, "http://keys.example": false,
	} {
		if err := (ingest.Source{Name: "a", Scheme: "rsa", Key: url}).Validate(); (err == nil) != good {
			t.Errorf("Validate() of the key %s = %v; want an error: %v", url, err, !good)
		}
	}
}

// TestEveryConnectionHears503: however many were turned away before, one more
// hears why.
func TestEveryConnectionHears503(t *testing.T) {
	address, _ := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{MaxConnections: 1, IdleTimeout: time.Minute})
	held, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for n := range 300 {
		if got := raw(t, address, ""); !strings.Contains(got, "503") {
			t.Fatalf("connection %d above the limit heard %q; want 503", n+1, got)
		}
	}
}
