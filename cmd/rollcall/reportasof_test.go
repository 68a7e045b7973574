package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
)

// TestReportAsOf: a session and its participants are asked for at the same earlier
// moment, with the token of a file, which must be there.
func TestReportAsOf(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+" "+r.URL.Query().Get("asOf")+" "+r.Header.Get("Authorization"))
		answer := `{"items":[],"nextCursor":null}`
		if r.URL.Path == "/v1/sessions/s1" {
			answer = `{"sessionId":"s1","title":"T","status":"ENDED"}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer api.Close()
	token := filepath.Join(t.TempDir(), "token")
	report := []string{"report", "session", "s1", "--as-of", "7", "--api-url", api.URL, "--output", "svg", "--token-file", token}
	if code, _, _ := inProcess(t, nil, report...); code == 0 || len(asked) > 0 {
		t.Errorf("report with a token file that is missing = %d, and asks %q; want an error, and nothing asked", code, asked)
	}
	if err := os.WriteFile(token, []byte("a-token\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, stderr := inProcess(t, nil, report...); code != 0 {
		t.Fatalf("report session --as-of 7 = %d %s; want 0", code, stderr)
	}
	slices.Sort(asked)
	if want := []string{"/v1/sessions/s1 7 Bearer a-token", "/v1/sessions/s1/participants 7 Bearer a-token"}; !slices.Equal(slices.Compact(asked), want) {
		t.Errorf("the API is asked for %q; want %q", asked, want)
	}
}
