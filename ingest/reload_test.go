package ingest_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"rollcall/ingest"
)

// TestReload: sources come and go, what stays keeps its rate's tokens, and a reload
// that fails changes nothing.
func TestReload(t *testing.T) {
	t.Parallel()
	stays := ingest.Source{Name: "stays", Scheme: ingest.SchemeNone, Rate: 0.001, Burst: 2}
	h := newHandler(t, ingest.Config{Log: &memory{}, Sources: []ingest.Source{stays, {Name: "goes", Scheme: ingest.SchemeNone}}})
	n := 0
	post := func(source string) int {
		n++
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/"+source, strings.NewReader(`{"n":`+strings.Repeat("1", n)+`}`))
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	check := func(when string, want map[string]int) {
		t.Helper()
		for source, status := range want {
			if got := post(source); got != status {
				t.Errorf("%s: POST to %s = %d; want %d", when, source, got, status)
			}
		}
	}
	check("at first", map[string]int{"stays": 200, "goes": 200, "comes": 404})
	comes := ingest.Source{Name: "comes", Scheme: ingest.SchemeNone}
	if err := h.Reload([]ingest.Source{stays, comes}, 0); err != nil {
		t.Fatal(err)
	}
	check("after a reload", map[string]int{"stays": 200, "goes": 404, "comes": 200})
	check("with the rate used up", map[string]int{"stays": 503})
	for _, wrong := range [][]ingest.Source{
		{comes, comes}, {{Name: "x", Scheme: ingest.SchemeRSA, Key: "/nowhere.pem"}}, {{Name: "x", Scheme: "other"}}, {{Name: "x", Scheme: ingest.SchemeNone, PathTokenFile: "/nowhere"}},
	} {
		if err := h.Reload(wrong, 0); err == nil {
			t.Errorf("Reload(%v) = nil; want an error", wrong)
		}
	}
	check("after a reload that failed", map[string]int{"stays": 503, "comes": 200, "x": 404})
	stays.Burst = 5
	if err := h.Reload([]ingest.Source{stays}, 0); err != nil {
		t.Fatal(err)
	}
	check("with another burst", map[string]int{"stays": 200, "comes": 404})
	if err := h.Reload(nil, 0); err != nil {
		t.Fatal(err)
	}
	check("without sources", map[string]int{"stays": 404})
}

// TestReloadOfSameBody: how often a body may come changes with a reload, and what
// came before counts.
func TestReloadOfSameBody(t *testing.T) {
	t.Parallel()
	key := testKeys()[0]
	sources := []ingest.Source{{Name: "prod", Scheme: ingest.SchemeRSA, Key: keyFile(t, publicPEM(t, key))}}
	h := newHandler(t, ingest.Config{Log: &memory{}, Sources: sources, SameBody: 1})
	const body = `{"event":"x"}`
	post := func(id string) int {
		r := httptest.NewRequestWithContext(t.Context(), http.MethodPost, "/webhooks/prod", strings.NewReader(body))
		r.Header.Set("rtk-signature", sign(t, key, body))
		r.Header.Set("rtk-uuid", id)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w.Code
	}
	if a, b := post("1"), post("2"); a != 200 || b != 503 {
		t.Errorf("a body twice where it may come once = %d, %d; want 200, 503", a, b)
	}
	if err := h.Reload(sources, 2); err != nil {
		t.Fatal(err)
	}
	if a, b := post("3"), post("4"); a != 200 || b != 503 {
		t.Errorf("two more where it may come twice = %d, %d; want 200, 503", a, b)
	}
	if err := h.Reload(sources, -1); err != nil {
		t.Fatal(err)
	}
	if got := post("5"); got != 200 {
		t.Errorf("one more without a limit = %d; want 200", got)
	}
}
