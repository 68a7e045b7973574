package page_test

import (
	"compress/gzip"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"rollcall/query/page"
)

// weightCap is the compressed size that the whole page may have, all of its files together.
const weightCap = 150_000

// answer is what the handler wrote.
type answer struct {
	status int
	header http.Header
	body   string
}

func serve(t *testing.T, method, target string, header ...string) answer {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), method, target, nil)
	for i := 0; i < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	w := httptest.NewRecorder()
	page.Handler(page.Config{Version: "v1<b>"}).ServeHTTP(w, r)
	return answer{w.Code, w.Header(), w.Body.String()}
}

// served is a reference to an asset: relative to the page, or to the module that has it.
var served = regexp.MustCompile(`"(?:assets|\.)/([A-Za-z0-9-]+(?:\.min)?\.[0-9a-f]{12}\.[a-z]+)"`)

// TestAssets follows every reference from the index: each is served, for a year,
// under a name that holds its hash, and the whole is light.
func TestAssets(t *testing.T) {
	index := serve(t, "GET", "/").body
	seen, weight := map[string]bool{}, 0
	queue := []string{"/"}
	for len(queue) > 0 {
		target := queue[0]
		queue = queue[1:]
		response := serve(t, "GET", target, "Accept-Encoding", "br, gzip")
		body := response.body
		weight += len(body)
		if response.status != http.StatusOK {
			t.Errorf("GET %s = %d; want 200", target, response.status)
		}
		if cache := response.header.Get("Cache-Control"); target != "/" && cache != "public, max-age=31536000, immutable" {
			t.Errorf("GET %s: Cache-Control = %q; want a year", target, cache)
		}
		if response.header.Get("Content-Encoding") == "gzip" {
			z, err := gzip.NewReader(strings.NewReader(body))
			if err != nil {
				t.Fatal(err)
			}
			plain, err := io.ReadAll(z)
			if err != nil {
				t.Fatal(err)
			}
			body = string(plain)
		}
		for _, found := range served.FindAllStringSubmatch(body, -1) {
			if next := "/assets/" + found[1]; !seen[next] {
				seen[next] = true
				queue = append(queue, next)
			}
		}
	}
	t.Logf("%d files, %d bytes compressed", len(seen)+1, weight)
	if weight > weightCap {
		t.Errorf("the page weighs %d bytes compressed; want at most %d", weight, weightCap)
	}
	files, err := filepath.Glob("assets/*")
	if err != nil {
		t.Fatal(err)
	}
	// All but the licence, which accompanies a file and is referred to by none.
	if got, want := len(seen), len(files)-2; got != want {
		t.Errorf("the index leads to %d assets; want %d: is one of no use?", got, want)
	}
	if strings.Contains(index, "v1<b>") || !strings.Contains(index, "v1&lt;b&gt;") {
		t.Error("the version is not escaped in the index")
	}
	if regexp.MustCompile(`(?i)<script(?: [^>]*)?>[^<]|<style|\sstyle=|\son[a-z]+=|https?://|(?:href|src)="/`).MatchString(index) {
		t.Error("the index has an inline script or style, or an address that is elsewhere or not relative")
	}
}

func TestHandler(t *testing.T) {
	tag := serve(t, "GET", "/").header.Get("ETag")
	cases := []struct {
		method, target string
		header         []string
		status         int
	}{
		{"GET", "/", nil, 200},
		{"HEAD", "/", nil, 200},
		{"GET", "/", []string{"If-None-Match", tag}, 304},
		{"POST", "/", nil, 405},
		{"GET", "/nothing", nil, 404},
		{"GET", "/assets/", nil, 404},
		{"GET", "/assets/main.js", nil, 404},
		{"GET", "/assets/../page.go", nil, 404},
		{"GET", "/other/" + served.FindStringSubmatch(serve(t, "GET", "/").body)[1], nil, 404},
	}
	for _, c := range cases {
		response := serve(t, c.method, c.target, c.header...)
		if response.status != c.status {
			t.Errorf("%s %s %v = %d; want %d", c.method, c.target, c.header, response.status, c.status)
		}
		policy := response.header.Get("Content-Security-Policy")
		if !strings.HasPrefix(policy, "default-src 'self';") || strings.Contains(policy, "unsafe") {
			t.Errorf("%s %s: policy = %q; want this origin alone", c.method, c.target, policy)
		}
	}
	for accept, want := range map[string]string{"gzip": "gzip", "br, GZIP;q=0.5": "gzip", "gzip;q=0": "", "": "", "identity": "", "gzip;q=0.001": "gzip"} {
		if got := serve(t, "GET", "/", "Accept-Encoding", accept).header.Get("Content-Encoding"); got != want {
			t.Errorf("Accept-Encoding %q: Content-Encoding = %q; want %q", accept, got, want)
		}
	}
}

// TestSources: what the page's promises rest on, word for word.
func TestSources(t *testing.T) {
	files, err := filepath.Glob("assets/*.js")
	if err != nil {
		t.Fatal(err)
	}
	markup := regexp.MustCompile(`innerHTML|outerHTML|insertAdjacentHTML|document\.write|createContextualFragment|DOMParser|setHTML|\beval\(|new Function|srcdoc`)
	for _, file := range files {
		if strings.HasPrefix(filepath.Base(file), "uplot.") {
			continue
		}
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for n, line := range strings.Split(string(text), "\n") {
			code, _, _ := strings.Cut(line, "// ")
			if found := markup.FindString(code); found != "" {
				t.Errorf("%s:%d uses %s; elements are made by h in dom.js", file, n+1, found)
			}
			if strings.Contains(code, "://") && !strings.Contains(code, "^https?:") && !strings.Contains(code, "www.w3.org/2000/svg") {
				t.Errorf("%s:%d names an address elsewhere", file, n+1)
			}
		}
		if n := strings.Count(string(text), "\n"); n > 600 {
			t.Errorf("%s has %d lines; the cap is 600", file, n)
		}
	}
}
