package main

import (
	"io"
	"net/http"
	"net/http/httptest"
	"slices"
	"sync"
	"testing"
)

// TestReportAsOf: a session and its participants are asked for at the same earlier moment.
func TestReportAsOf(t *testing.T) {
	var mu sync.Mutex
	var asked []string
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		asked = append(asked, r.URL.Path+" "+r.URL.Query().Get("asOf"))
		answer := `{"items":[],"nextCursor":null}`
		if r.URL.Path == "/v1/sessions/s1" {
			answer = `{"sessionId":"s1","title":"T","status":"ENDED"}`
		}
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, answer)
	}))
	defer api.Close()
	if code, _, stderr := inProcess(t, nil, "report", "session", "s1", "--as-of", "7", "--api-url", api.URL, "--output", "svg"); code != 0 {
		t.Fatalf("report session --as-of 7 = %d %s; want 0", code, stderr)
	}
	slices.Sort(asked)
	if want := []string{"/v1/sessions/s1 7", "/v1/sessions/s1/participants 7"}; !slices.Equal(slices.Compact(asked), want) {
		t.Errorf("the API is asked for %q; want %q", asked, want)
	}
}
