package query_test

import (
	"bufio"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"rollcall/query"
)

func TestCheckBasePath(t *testing.T) {
	t.Parallel()
	for path, ok := range map[string]bool{"": true, "/rollcall": true, "/a/b-c_d~e.f": true, "/v1": true, "/": false, "rollcall": false, "/rollcall/": false, "//x": false, "/a//b": false,
		"/..": false, "/a/.": false, "/a/../b": false, "/a b": false, "/a%20b": false, "/a?b": false, "/a#b": false, "http://x/a": false, "/ä": false, "/" + strings.Repeat("x", 256): false} {
		if err := query.CheckBasePath(path); (err == nil) != ok {
			t.Errorf("CheckBasePath(%q) = %v; want none: %v", path, err, ok)
		}
	}
}

// TestBasePath: behind a reverse proxy that passes the prefix on, everything is below it:
// the page with its files, the API, its description, the change feed; and what is asked
// for elsewhere is told where it is.
func TestBasePath(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.BasePath = "/tools/rollcall" })
	to, err := url.Parse(w.server.URL)
	if err != nil {
		t.Fatal(err)
	}
	proxy := httptest.NewServer(&httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }})
	t.Cleanup(proxy.Close)
	client := &http.Client{CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
	// ask reads an answer to its end, or until read has what it wants.
	ask := func(path string, read func(*http.Response)) {
		t.Helper()
		req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, proxy.URL+path, http.NoBody)
		if err != nil {
			t.Fatal(err)
		}
		resp, err := client.Do(req)
		if err != nil {
			t.Fatal(err)
		}
		defer resp.Body.Close()
		read(resp)
	}
	for path, want := range map[string]int{"/tools/rollcall/": 200, "/tools/rollcall/v1/sessions": 200, "/tools/rollcall/v1/sessions/..": 404, "/tools/rollcall/v1/sessions?format=csv": 200,
		"/tools/rollcall/assets/x.js": 404, "/tools/rollcall/nothing": 404, "/": 404, "/v1/sessions": 404, "/tools/rollcallx/": 404, "/tools": 404,
		"/tools/rollcall//v1/sessions": 404, "/tools/rollcall/a/../v1/sessions": 404, "/tools/rollcall/../v1/sessions": 404, "/tools%2Frollcall/v1/sessions": 404, "/tools/%72ollcall/v1/sessions": 404} {
		ask(path, func(resp *http.Response) {
			if resp.StatusCode != want || resp.Header.Get("X-Frame-Options") != "DENY" {
				t.Errorf("GET %s = %d, Location %q, X-Frame-Options %q; want %d, from behind the guard", path, resp.StatusCode, resp.Header.Get("Location"), resp.Header.Get("X-Frame-Options"), want)
			}
		})
	}
	ask("/tools/rollcall?a=b", func(resp *http.Response) {
		if resp.StatusCode != http.StatusTemporaryRedirect || resp.Header.Get("Location") != "/tools/rollcall/?a=b" {
			t.Errorf("GET /tools/rollcall = %d, Location %q; want 307 to the page", resp.StatusCode, resp.Header.Get("Location"))
		}
	})
	ask("/v1/sessions", func(resp *http.Response) {
		var problem struct{ Detail string }
		if err := json.NewDecoder(resp.Body).Decode(&problem); err != nil || !strings.Contains(problem.Detail, "below /tools/rollcall/ (--api-base-path)") {
			t.Errorf("GET /v1/sessions says %q, %v; want where the API is", problem.Detail, err)
		}
	})
	ask("/tools/rollcall/openapi.json", func(resp *http.Response) {
		var described struct{ Servers []struct{ URL string } }
		if err := json.NewDecoder(resp.Body).Decode(&described); err != nil || len(described.Servers) != 1 || described.Servers[0].URL != "/tools/rollcall" {
			t.Errorf("servers of openapi.json = %v, %v; want /tools/rollcall", described.Servers, err)
		}
	})
	ask("/tools/rollcall/v1/changes", func(resp *http.Response) {
		feed := bufio.NewScanner(resp.Body)
		w.post(started("s1", "m1", "Algebra", 0))
		for feed.Scan() {
			if strings.Contains(feed.Text(), `"key":"live.s1"`) {
				return
			}
		}
		t.Errorf("the change feed ended without the change: %v", feed.Err())
	})
}
