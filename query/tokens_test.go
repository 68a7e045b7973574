package query_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/rs/zerolog"

	"rollcall/eventlog/eventlogtest"
	"rollcall/projections"
	"rollcall/query"
)

const (
	viewerToken   = "viewer-0123456789"
	readerToken   = "reader-0123456789"
	operatorToken = "operator-0123456789"
)

func threeRoles() []query.Token {
	return []query.Token{{Name: "wall", Role: query.RoleViewer, Secret: viewerToken}, {Name: "ann", Role: query.RoleReader, Secret: readerToken}, {Name: "ops", Role: query.RoleOperator, Secret: operatorToken}}
}

// TestReadTokens: what a token file may hold, and what its refusal says: the line,
// and nothing that stands in it.
func TestReadTokens(t *testing.T) {
	t.Parallel()
	const secret = "0123456789abcdef"
	for file, want := range map[string]string{
		"":                       "holds no token",
		"# none\n\n":             "holds no token",
		"short\n":                "line 1: a token is shorter than 16",
		"\nfifteen-letters\n":    "line 2: a token is shorter than 16",
		secret + "\nshort":       "line 2: a token is shorter than 16",
		"ann reader short":       "line 1: a token is shorter than 16",
		"#\nann admin " + secret: "line 2: no such role",
		"ann Reader " + secret:   "line 1: no such role",
		"a/b reader " + secret:   "line 1: bad name",
		"reader " + secret:       "line 1: it has 2 words",
		"ann reader x " + secret: "line 1: it has 4 words",
		"a reader " + secret + "\na viewer fedcba9876543210":   "line 2: the name has another role",
		"a reader " + secret + "\n\nb viewer " + secret + "\n": "line 3: the token has another role",
	} {
		_, err := query.ReadTokens(writeFile(t, file))
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), secret) {
			t.Errorf("ReadTokens(%q) = %v; want %q, without the token", file, err, want)
		}
	}
	got, err := query.ReadTokens(writeFile(t, "# old and new\n"+secret+"\n\n\t sixteen-letters! \nann viewer fedcba9876543210 \nann viewer 1fedcba9876543210\nx@y.z operator 2fedcba9876543210"))
	want := []query.Token{{"line-2", "reader", secret}, {"line-4", "reader", "sixteen-letters!"}, {"ann", "viewer", "fedcba9876543210"}, {"ann", "viewer", "1fedcba9876543210"},
		{"x@y.z", "operator", "2fedcba9876543210"}}
	if err != nil || !slices.Equal(got, want) {
		t.Errorf("ReadTokens = %v, %v; want %v", got, err, want)
	}
	if _, err := query.ReadTokens(filepath.Join(t.TempDir(), "none")); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("ReadTokens of no file = %v; want %v", err, os.ErrNotExist)
	}
}

// TestLinksAreMarked: a member whose name says that it is an address is a link,
// which viewers don't get.
func TestLinksAreMarked(t *testing.T) {
	t.Parallel()
	found := 0
	var walk func(at string, fields []projections.Field)
	walk = func(at string, fields []projections.Field) {
		for _, f := range fields {
			if name := strings.ToLower(f.Name); f.Kind == projections.KindText && strings.HasSuffix(name, "url") {
				if found++; !f.Link {
					t.Errorf("%s.%s is no Link; want one", at, f.Name)
				}
			}
			walk(at+"."+f.Name, f.Members)
		}
	}
	for _, v := range projections.Views() {
		walk(v.Fold.Name(), v.Fields)
	}
	if found < 7 {
		t.Errorf("%d members are addresses; want those of recordings, their files and artifacts", found)
	}
}

// TestViewerSeesNoLinksAndNoRecords asks every path of the API as each role: the
// links that readers get stand in no answer to a viewer, and records are refused.
func TestViewerSeesNoLinksAndNoRecords(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Tokens = threeRoles() })
	w.story()
	w.post(`{"event":"recording.statusUpdate","meeting":{"id":"m1","sessionId":"s1"},"recording":{"recordingId":"r2","status":"UPLOADED","downloadUrl":[{"layer_name":"d","files":[{"url":"https://x/track"}]}]}}`)
	w.everywhere()
	as := func(token, path string, more ...string) answer {
		return w.get(path, append(more, "Authorization", "Bearer "+token)...)
	}
	var api struct {
		Paths map[string]any `json:"paths"`
	}
	if err := json.Unmarshal(as(readerToken, "/openapi.json").body, &api); err != nil || len(api.Paths) < 10 {
		t.Fatalf("paths of /openapi.json = %d, %v; want all", len(api.Paths), err)
	}
	ids := strings.NewReplacer("{sessionId}", "s1", "{recordingId}", "r1", "{participantId}", "ann", "{streamId}", "l1")
	shown := map[string]bool{}
	for path := range api.Paths {
		if path == "/v1/changes" || strings.HasPrefix(path, "/v1/closings/") {
			continue // keys alone, and no end; numbers alone, and none are closed here
		}
		for _, accept := range []string{"application/json", "text/csv"} {
			at := ids.Replace(path)
			viewer, reader, operator := as(viewerToken, at, "Accept", accept), as(readerToken, at, "Accept", accept), as(operatorToken, at, "Accept", accept)
			if reader.status != 200 || operator.status != 200 {
				t.Errorf("GET %s as reader = %d, as operator = %d; want 200", at, reader.status, operator.status)
			}
			shown[path] = shown[path] || bytes.Contains(reader.body, []byte("https://x/"))
			want := 200
			if strings.HasSuffix(path, "/events") {
				want = 403
			}
			if viewer.status != want || bytes.Contains(viewer.body, []byte("https://x/")) {
				t.Errorf("GET %s as viewer = %d %s; want %d without links", at, viewer.status, viewer.body, want)
			}
		}
	}
	for _, path := range []string{"/v1/sessions", "/v1/sessions/{sessionId}", "/v1/recordings", "/v1/recordings/{recordingId}", "/v1/events"} {
		if !shown[path] {
			t.Errorf("GET %s shows a reader no link; want one, or this test finds nothing", path)
		}
	}
	for path, want := range map[string]int{"/v1/recordings?sort=-downloadUrl": 403, "/v1/recordings?sort=startedAt": 200, "/v1/sessions/s1?asOf=99": 200} {
		if a := as(viewerToken, path); a.status != want || bytes.Contains(a.body, []byte("https://x/")) {
			t.Errorf("GET %s as viewer = %d %s; want %d without links", path, a.status, a.body, want)
		}
	}
	var doc map[string]any
	if err := json.Unmarshal(as(viewerToken, "/v1/recordings/r1").body, &doc); err != nil || doc["downloadUrl"] != nil || doc["downloadUrlExpiresAt"] == nil || doc["fileSizeBytes"] != 7.0 {
		t.Errorf("recording r1 as viewer = %v, %v; want downloadUrl null, the rest as it is", doc, err)
	}
}

// TestReplacedTokens: a token that was taken away is refused from then on, and its
// change feed ends.
func TestReplacedTokens(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Tokens = threeRoles() })
	w.post(started("s1", "m1", "T", 0))
	w.everywhere()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, w.server.URL+"/v1/changes", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readerToken)
	feed, err := w.server.Client().Do(req)
	if err != nil || feed.StatusCode != http.StatusOK {
		t.Fatalf("GET /v1/changes = %v, %v; want 200", feed, err)
	}
	defer feed.Body.Close()
	w.api.SetTokens(threeRoles()) // the same again: nothing ends
	if _, err := feed.Body.Read(make([]byte, 1)); err != nil {
		t.Fatalf("read feed = %v; want its first event", err)
	}
	w.api.SetTokens(append(threeRoles()[:1], query.Token{Name: "bob", Role: query.RoleReader, Secret: "bob-0123456789abc"}))
	var rest bytes.Buffer
	if _, err := rest.ReadFrom(feed.Body); err != nil {
		t.Errorf("read feed to its end = %v; want a whole end", err)
	}
	for secret, want := range map[string]int{readerToken: 401, viewerToken: 200, "bob-0123456789abc": 200} {
		if a := w.get("/v1/sessions", "Authorization", "Bearer "+secret); a.status != want {
			t.Errorf("GET /v1/sessions with %s = %d; want %d", secret, a.status, want)
		}
	}
}

// waited is a request's context that says when somebody begins to wait for its end.
type waited struct {
	context.Context
	begun func()
}

func (c waited) Done() <-chan struct{} {
	c.begun()
	return c.Context.Done()
}

// TestTokenRevokedWhileTheFeedWaits: a feed that was let in by a token, and still
// waits for a record when the token is revoked, ends as any other.
func TestTokenRevokedWhileTheFeedWaits(t *testing.T) {
	t.Parallel()
	w := newWorld(t, func(c *query.Config) { c.Tokens = threeRoles() })
	w.post(started("s1", "m1", "T", 0))
	w.everywhere()
	waits := make(chan struct{})
	begun := sync.OnceFunc(func() { close(waits) })
	handler := w.api.Handler()
	server := httptest.NewServer(http.HandlerFunc(func(rw http.ResponseWriter, r *http.Request) {
		handler.ServeHTTP(rw, r.WithContext(waited{r.Context(), begun}))
	}))
	t.Cleanup(server.Close)
	ctx, cancel := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, server.URL+"/v1/changes?minSequence=2&wait=20s", nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Authorization", "Bearer "+readerToken)
	ended := make(chan error, 1)
	go func() {
		feed, err := server.Client().Do(req)
		if err == nil {
			_, err = io.Copy(io.Discard, feed.Body)
			_ = feed.Body.Close()
		}
		ended <- err
	}()
	<-waits
	w.api.SetTokens(threeRoles()[:1])
	w.post(started("s2", "m1", "T", 1))
	if err := <-ended; err != nil {
		t.Errorf("read the feed of a revoked token = %v; want its end", err)
	}
}

// accessLines takes the lines of the access log among all that is logged.
type accessLines chan string

// Write is called with a line at a time.
func (l accessLines) Write(b []byte) (int, error) {
	if bytes.Contains(b, []byte(`"message":"access"`)) {
		l <- string(b)
	}
	return len(b), nil
}

// TestAccessLog: a line a request, with the token's name and the route, and
// nothing of ids, queries or tokens.
func TestAccessLog(t *testing.T) {
	t.Parallel()
	out := make(accessLines, 100)
	w := newWorld(t, func(c *query.Config) {
		c.Tokens, c.AccessLog, c.Logger = threeRoles(), true, zerolog.New(out)
	})
	w.post(started("secret-id", "m1", "T", 0))
	w.everywhere()
	for _, c := range []struct{ path, token, want string }{
		{"/v1/sessions/secret-id?minSequence=1", viewerToken, `"name":"wall","method":"GET","route":"/v1/sessions/{sessionId}","status":200`},
		{"/v1/sessions?q=secret-id", readerToken, `"name":"ann","method":"GET","route":"/v1/sessions","status":200`},
		{"/v1/sessions/secret-id/events", viewerToken, `"name":"wall","method":"GET","route":"/v1/sessions/{sessionId}/events","status":403`},
		{"/v1/sessions", "secret-id-of-nobody", `"name":"","method":"GET","route":"","status":401`},
		{"/v1/changes?views=nope&secret-id", readerToken, `"name":"ann","method":"GET","route":"/v1/changes","status":400`},
		{"/secret-id", readerToken, `"name":"ann","method":"GET","route":"/","status":404`},
		{"/", "", `"name":"","method":"GET","route":"/{$}","status":200`},
	} {
		a := w.do(c.path, "Authorization", "Bearer "+c.token, "Accept-Encoding", "identity")
		line := <-out
		if !strings.Contains(line, c.want) || !strings.Contains(line, fmt.Sprintf(`"body_bytes":%d`, len(a.body))) || !strings.Contains(line, `"elapsed_ms":`) ||
			strings.Contains(line, "secret-id") || strings.Contains(line, "0123456789") {
			t.Errorf("GET %s logs %s; want %s, the size %d, no id and no token", c.path, line, c.want, len(a.body))
		}
	}
	quiet := newWorld(t, func(c *query.Config) { c.Logger = zerolog.New(out) })
	quiet.do("/v1/projections")
	quiet.server.Close() // waits for the request's end
	if len(out) > 0 {
		t.Errorf("without AccessLog a request logs %s; want nothing", <-out)
	}
}
