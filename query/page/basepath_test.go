//go:build browser

package page_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"
	"time"
)

// TestPageBehindAProxy: below a prefix of a reverse proxy the page works as at /: its
// files, its lists, what it follows, its links and downloads. A proxy that takes the
// prefix away needs no flag; one that passes it on needs the path to be set.
func TestPageBehindAProxy(t *testing.T) {
	t.Parallel()
	for _, way := range []struct {
		name, base string
	}{{"stripped", ""}, {"kept", "/tools/rollcall"}} {
		t.Run(way.name, func(t *testing.T) {
			t.Parallel()
			world := newProductBelow(t, way.base)
			to, err := url.Parse(world.api.URL)
			if err != nil {
				t.Fatal(err)
			}
			var proxy http.Handler = &httputil.ReverseProxy{Rewrite: func(r *httputil.ProxyRequest) { r.SetURL(to) }}
			if way.base == "" {
				proxy = http.StripPrefix("/tools/rollcall", proxy)
			}
			mux := http.NewServeMux()
			mux.Handle("/tools/rollcall/", proxy)
			front := httptest.NewServer(mux)
			t.Cleanup(func() { front.CloseClientConnections(); front.Close() })
			meeting := func(session, title string) string {
				return fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m-%s","sessionId":%q,"title":%q,"startedAt":%q,"organizedBy":{"id":"o-1","name":"City College"}}}`, session, session, title, stamp(time.Now().Add(-time.Minute)))
			}
			world.post(meeting("s-1", "Thesis defence"))
			p := open(t, front.URL+"/tools/rollcall/")
			p.text("Thesis defence")
			connected(p)
			world.post(meeting("s-2", "Followed"))
			p.text("Followed")
			for _, v := range []struct{ route, shown string }{{"#/session/s-1", "Raw records"}, {"#/list/sessions", "Thesis defence"}, {"#/pipeline", "all up to date"}, {"#/usage", "City College"}} {
				p.route(v.route)
				p.text(v.shown)
			}
			p.wait(`document.querySelector(".plot canvas")`)
			var links []string
			p.eval(`Promise.all([...document.querySelectorAll("a[download], .foot a")].map((a) => fetch(a.href).then((r) => r.status + " " + new URL(a.href).pathname)))`, &links)
			if got, want := strings.Join(links, ", "), "200 /tools/rollcall/v1/usage, 200 /tools/rollcall/v1/usage, 200 /tools/rollcall/openapi.json"; got != want {
				t.Errorf("links = %s; want %s", got, want)
			}
		})
	}
}
