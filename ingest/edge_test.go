package ingest_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest"
)

func zipped(t testing.TB, text string) string {
	t.Helper()
	var b bytes.Buffer
	w := gzip.NewWriter(&b)
	if _, err := w.Write([]byte(text)); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestEncodedBodies: what was sent and signed is kept, and what it says is read.
func TestEncodedBodies(t *testing.T) {
	key := testKeys()[0]
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Sources: []ingest.Source{
		{Name: "prod", Scheme: ingest.SchemeRSA, Key: keyFile(t, publicPEM(t, key)), OrganizationIDs: []string{"o1"}, RequireOrganization: true},
	}})
	for _, test := range []struct{ name, body, header, encoding string }{
		{"byte order mark", "\xef\xbb\xbf" + started, "", ""},
		{"gzip", zipped(t, started), "GZIP", "gzip"},
		{"identity", started, "identity", ""},
		{"header without its coding", started, "gzip", "gzip"},
	} {
		headers := []string{"dyte-signature", sign(t, key, test.body)}
		if test.header != "" {
			headers = append(headers, "Content-Encoding", test.header)
		}
		expectStored(t, post(h, "/webhooks/prod", test.body, headers...))
		r := log.last(t)
		if string(r.Body) != test.body || r.Encoding != test.encoding || r.Type != "meeting.started" {
			t.Errorf("%s: record = %q, encoding %q, type %q; want the body as sent, %q, meeting.started", test.name, r.Body, r.Encoding, r.Type, test.encoding)
		}
		if ev := eventlog.Decode(&r); ev.SessionID != "s1" {
			t.Errorf("%s: Decode = %+v; want session s1", test.name, ev)
		}
	}
	expectProblem(t, post(h, "/webhooks/prod", zipped(t, started), "dyte-signature", sign(t, key, started), "Content-Encoding", "gzip"), 401, "signature-wrong")
}

// TestTenant: a body must name one of the organizations, where that is asked for.
func TestTenant(t *testing.T) {
	h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{
		{Name: "strict", Scheme: "none", OrganizationIDs: []string{"o1"}, RequireOrganization: true},
	}})
	expectStored(t, post(h, "/webhooks/strict", started))
	for _, body := range []string{
		strings.ReplaceAll(started, `"o1"`, `"o2"`), `{"event":"livestreaming.statusUpdate","streamId":"x","status":"LIVE"}`, "no JSON", "",
	} {
		expectProblem(t, post(h, "/webhooks/strict", body), 401, "not-allowed")
	}
}

// TestPathToken: a source with a secret in its path does not exist without it.
func TestPathToken(t *testing.T) {
	const one, two = "first-token_0123456789", "second-token_0123456789"
	path := keyFile(t, []byte("# comment\n"+one+"\n\n"))
	synctest.Test(t, func(t *testing.T) {
		h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{
			{Name: "file", Scheme: "none", PathTokenFile: path}, {Name: "inline", Scheme: "none", PathToken: one}, {Name: "open", Scheme: "none"},
		}})
		expect := func(path string, status int) {
			t.Helper()
			if w := post(h, path, started); w.Code != status {
				t.Errorf("POST %s = %d; want %d", path, w.Code, status)
			}
			if w := send(h, http.MethodGet, path, ""); status != 200 && w.Code != status {
				t.Errorf("GET %s = %d; want %d", path, w.Code, status)
			}
		}
		for _, source := range []string{"file", "inline"} {
			expect("/webhooks/"+source+"/"+one, 200)
			expect("/webhooks/"+strings.ToUpper(source)+"/"+one+"/", 200)
			for _, wrong := range []string{"", "/", "/" + one[1:], "/" + strings.ToUpper(one), "/" + two, "/" + one + "/" + one} {
				expect("/webhooks/"+source+wrong, 404)
			}
		}
		expect("/webhooks/open/"+one, 404)
		time.Sleep(2 * time.Second)
		if err := os.WriteFile(path, []byte(two+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		expect("/webhooks/file/"+two, 200)
		expect("/webhooks/file/"+one, 404)
		if err := os.Remove(path); err != nil {
			t.Fatal(err)
		}
		time.Sleep(2 * time.Second)
		expect("/webhooks/file/"+two, 200)
	})
}

func TestSourceErrors(t *testing.T) {
	for says, s := range map[string]ingest.Source{
		"needs organizationIds": {RequireOrganization: true},
		"bad pathToken":         {PathToken: "short"},
		"give one of them":      {PathToken: "first-token_0123456789", PathTokenFile: "x"},
		"line 2 is no path":     {PathTokenFile: keyFile(t, []byte("first-token_0123456789\nso/so"))},
		"no path token in it":   {PathTokenFile: keyFile(t, []byte("# none\n"))},
		"no such file":          {PathTokenFile: filepath.Join(t.TempDir(), "missing")},
	} {
		s.Name, s.Scheme = "a", "none"
		if _, err := ingest.New(ingest.Config{Log: &memory{}, Sources: []ingest.Source{s}}); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("New(%+v) = %v; want an error with %q", s, err, says)
		}
	}
}

// TestAppendOutlivesItsClient: a client that leaves when its body was read does
// not take the delivery with it.
func TestAppendOutlivesItsClient(t *testing.T) {
	log := &memory{}
	h := newHandler(t, ingest.Config{Log: log, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
	log.hang = make(chan struct{})
	ctx, leave := context.WithCancel(t.Context())
	r := httptest.NewRequest(http.MethodPost, "/webhooks/open", strings.NewReader(started)).WithContext(ctx)
	leave()
	done := make(chan int)
	go func() {
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		done <- w.Code
	}()
	select {
	case log.hang <- struct{}{}:
	case code := <-done:
		t.Fatalf("answer = %d before the log had the record", code)
	}
	if code := <-done; code != 200 || log.len() != 1 {
		t.Errorf("answer = %d, %d records; want 200 and the record", code, log.len())
	}
}
