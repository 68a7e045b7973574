package page

import (
	"bytes"
	"embed"
	"net/http"
	"path"
	"strings"
)

//go:embed assets
var files embed.FS

// policy is the page's Content-Security-Policy. data: images are uPlot's and the
// style sheet's own; require-trusted-types-for makes every innerHTML an error.
const policy = "default-src 'self'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; " +
	"object-src 'none'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'; require-trusted-types-for 'script'"

// Config is what the program gives the page.
type Config struct {
	// Version is shown in the footer; empty: nothing is shown.
	Version string
}

// Handler serves the page at / and its files below /assets/; everything else is
// a 404. It answers GET and HEAD, from memory, and is safe for concurrent use.
// The read API has to be served on the same origin, and below the same path: the page
// names its files and the API relative to itself.
//
// It panics when the embedded files refer to each other in a circle or to one
// that is not there: a defect of the build, found by the first test.
func Handler(config Config) http.Handler {
	s, err := build(files, config)
	if err != nil {
		panic("page: " + err.Error())
	}
	return s
}

// ServeHTTP answers one request.
func (s *site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Security-Policy", policy)
	header.Set("X-Content-Type-Options", "nosniff")
	header.Set("Referrer-Policy", "no-referrer")
	header.Set("Cross-Origin-Opener-Policy", "same-origin")
	header.Set("Permissions-Policy", "camera=(), microphone=(), geolocation=()")
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		header.Set("Allow", "GET, HEAD")
		http.Error(w, "the page is read with GET", http.StatusMethodNotAllowed)
		return
	}
	if r.URL.Path == "/" {
		header.Set("Cache-Control", "no-cache")
		s.index.serve(w, r)
		return
	}
	a, ok := s.assets[path.Base(r.URL.Path)]
	if !ok || path.Dir(r.URL.Path) != "/assets" {
		http.Error(w, "no such page; the page is at /", http.StatusNotFound)
		return
	}
	header.Set("Cache-Control", "public, max-age=31536000, immutable")
	a.serve(w, r)
}

// serve writes the asset, compressed where the client takes that and it is smaller.
func (a *asset) serve(w http.ResponseWriter, r *http.Request) {
	header := w.Header()
	header.Set("Content-Type", a.mediaType)
	header.Set("Vary", "Accept-Encoding")
	body, tag := a.plain, `"`+a.hash+`"`
	if acceptsGzip(r.Header.Get("Accept-Encoding")) && len(a.gzipped()) < len(a.plain) {
		body, tag = a.gzipped(), `"`+a.hash+`-gz"`
		header.Set("Content-Encoding", "gzip")
	}
	header.Set("ETag", tag)
	// ServeContent answers If-None-Match, and knows ranges, which nobody asks for here.
	http.ServeContent(w, r, "", startOfTime(), bytes.NewReader(body))
}

// acceptsGzip reports whether an Accept-Encoding header allows gzip.
func acceptsGzip(header string) bool {
	for part := range strings.SplitSeq(header, ",") {
		name, quality, _ := strings.Cut(strings.TrimSpace(part), ";")
		if strings.EqualFold(strings.TrimSpace(name), "gzip") {
			q := strings.ReplaceAll(quality, " ", "")
			return q != "q=0" && !strings.HasPrefix(q, "q=0.000")
		}
	}
	return false
}
