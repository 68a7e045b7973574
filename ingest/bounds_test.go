package ingest_test

import (
	"bytes"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
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

// TestToleranceAtItsLimit: a signed time five minutes off is taken, before and
// after this server's; a second more is not.
func TestToleranceAtItsLimit(t *testing.T) {
	secret := []byte("a secret of 24 bytes ...")
	at := time.Unix(1614265330, 0)
	h, _ := standardHandler(t, "whsec_"+base64.StdEncoding.EncodeToString(secret), at)
	for off, want := range map[int64]int{-301: 401, -300: 200, 0: 200, 300: 200, 301: 401} {
		stamp := fmt.Sprint(at.Unix() + off)
		mac := hmac.New(sha256.New, secret)
		fmt.Fprintf(mac, "id.%s.%s", stamp, started)
		w := post(h, "/webhooks/std", started, "webhook-id", "id", "webhook-timestamp", stamp, "webhook-signature", "v1,"+base64.StdEncoding.EncodeToString(mac.Sum(nil)))
		if w.Code != want {
			t.Errorf("signed %d s off = %d; want %d", off, w.Code, want)
		}
	}
}

// TestStandardKeyFiles: which key files are taken, and what the error of one that
// is not says.
func TestStandardKeyFiles(t *testing.T) {
	line := func(prefix string, n int) string { return prefix + base64.StdEncoding.EncodeToString(make([]byte, n)) }
	good := line("whsec_", 16)
	for file, says := range map[string]string{
		good: "", line("", 16): "", line("whpk_", 32): "", "# old\n\n" + good + "\r\n" + line("whpk_", 32): "", "\ufeff" + good: "",
		good + strings.Repeat("\n", 64<<10-len(good)):   "",
		good + strings.Repeat("\n", 64<<10-len(good)+1): "65537 bytes; at most 65536",
		line("whsec_", 15):                  "line 1: the secret has 15 bytes; at least 16",
		"# a\n" + line("whpk_", 31):         "line 2: an ed25519 public key has 32 bytes, not 31",
		good + "\n" + line("whpk_", 33):     "line 2: an ed25519 public key has 32 bytes, not 33",
		good + "\n\nwhsec_no base64 at all": "line 3 is no key",
		"# none\n":                          "no key in it",
	} {
		_, err := ingest.New(ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "std", Scheme: "standard", Key: keyFile(t, []byte(file))}}})
		if says == "" && err != nil || says != "" && (err == nil || !strings.Contains(err.Error(), says)) {
			t.Errorf("New with key file %.80q of %d bytes = %v; want %q", file, len(file), err, says)
		}
	}
	if _, err := ingest.New(ingest.Config{Log: &memory{}, Sources: []ingest.Source{{Name: "std", Scheme: "standard"}}}); err == nil || !strings.Contains(err.Error(), "no key") {
		t.Errorf("New without a key = %v; want an error that says so", err)
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
// gets the reason.
func TestEveryConnectionHears503(t *testing.T) {
	address, _ := serve(t, openHandler(t, &memory{}), ingest.ServerConfig{MaxConnections: 1, IdleTimeout: time.Minute})
	held, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	for n := range 300 {
		if got := raw(t, address, ""); !strings.Contains(got, "503") {
			t.Fatalf("connection %d above the limit got %q; want 503", n+1, got)
		}
	}
}
