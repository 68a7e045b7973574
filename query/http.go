package query

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"time"

	"rollcall/eventlog"
	"rollcall/ingest/web"
	webpage "rollcall/query/page"
)

const (
	// Limits of the server: a request is a line and a few headers.
	readHeaderTimeout = 5 * time.Second
	readTimeout       = 10 * time.Second
	idleTimeout       = 75 * time.Second
	// A parameter of maxParam has room, and ids in a path are escaped.
	maxHeaderBytes = 512 << 10
	// writeMargin is what is left to send an answer once it is made.
	writeMargin = 30 * time.Second
	// shutdownTimeout bounds the wait for requests under way.
	shutdownTimeout = 5 * time.Second
)

// Serve answers on l until ctx ends, then finishes what is under way. Change
// feeds are cut, and resume elsewhere.
func (a *API) Serve(ctx context.Context, l net.Listener) error {
	closing := make(chan struct{})
	end := sync.OnceFunc(func() { close(closing) })
	defer end()
	srv := &http.Server{
		Handler:           a.handler(closing),
		ReadHeaderTimeout: readHeaderTimeout,
		ReadTimeout:       readTimeout,
		IdleTimeout:       cmp.Or(a.config.IdleTimeout, idleTimeout),
		MaxHeaderBytes:    maxHeaderBytes,
	}
	srv.RegisterOnShutdown(end)
	return web.Serve(ctx, l, srv, shutdownTimeout, a.config.Logger)
}

// Handler answers over HTTP. Its change feeds end with their requests.
func (a *API) Handler() http.Handler { return a.handler(nil) }

func (a *API) handler(closing <-chan struct{}) http.Handler {
	mux := http.NewServeMux()
	for _, r := range a.routes {
		mux.HandleFunc(r.path, func(w http.ResponseWriter, req *http.Request) { a.serve(w, req, r, closing) })
	}
	site := webpage.Handler(webpage.Config{Version: a.config.Version})
	mux.Handle("/{$}", site)
	mux.Handle(assetsPath, site)
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		write(w, req, a.refuse(&route{path: "/"}, notFound("no such path; see /openapi.json")))
	})
	return a.below(a.guard(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		req = literalDots(req)
		defer func() { setPattern(w, req.Pattern) }() // also of an answer that is cut
		mux.ServeHTTP(w, req)
	})))
}

// literalDots has "." and ".." below /v1/ mean the ids that they are: no path of
// ours goes up.
func literalDots(req *http.Request) *http.Request {
	segments := strings.Split(req.URL.EscapedPath(), "/")
	changed := false
	for i, s := range segments {
		if dots := s == "." || s == ".."; dots && len(segments) > 2 && segments[1] == "v1" {
			segments[i], changed = strings.ReplaceAll(s, ".", "%2E"), true
		}
	}
	if !changed {
		return req
	}
	literal, u := *req, *req.URL
	u.RawPath = strings.Join(segments, "/")
	literal.URL = &u
	return &literal
}

// pathID is the id that a path's segment stands for. A browser takes "." and ".."
// out of a path, escaped or not, so these two have the form of a view's key too.
func pathID(segment string) string {
	for _, dots := range []string{".", ".."} {
		if segment == eventlog.EscapeID(dots) {
			return dots
		}
	}
	return segment
}

// serve answers one request for a route.
func (a *API) serve(w http.ResponseWriter, req *http.Request, r *route, closing <-chan struct{}) {
	begin := time.Now()
	if req.Method != http.MethodGet && req.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		write(w, req, a.refuse(r, newProblem(http.StatusMethodNotAllowed, "this path is only read: use GET")))
		return
	}
	path := map[string]string{}
	for _, p := range r.params {
		if p.inPath {
			path[p.name] = pathID(req.PathValue(p.name))
		}
	}
	query, err := url.ParseQuery(req.URL.RawQuery)
	if err != nil {
		write(w, req, a.refuse(r, badRequest("the query can't be read: escape it")))
		return
	}
	if r.stream != nil {
		c, err := a.begin(req.Context(), r, path, query, false)
		if err == nil {
			c.closing = closing
			err = r.stream(w, req, c)
		}
		if err != nil {
			write(w, req, a.refuse(r, err))
		}
		return
	}
	rep := a.do(req.Context(), r, path, query, wantsCSV(req.Header.Values("Accept")))
	if req.Context().Err() == nil {
		// What does not go out within the deadline is a client that does not read.
		_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(writeMargin))
	}
	if rep.rest != nil {
		a.stream(w, req, rep)
	} else {
		write(w, req, rep)
	}
	a.metrics.answered(r, rep.status, time.Since(begin))
}

// stream sends a list to its end. One that breaks off must not look whole: the
// connection is cut, which a client sees.
func (a *API) stream(w http.ResponseWriter, req *http.Request, rep *reply) {
	h := w.Header()
	rep.describe(h)
	h.Set("Rollcall-Sequence", strconv.FormatUint(uint64(rep.sequence), 10))
	if req.Method == http.MethodHead {
		return
	}
	rc := http.NewResponseController(w)
	_, err := w.Write(rep.body)
	for b, failed := range a.rest(req.Context(), rep) {
		if err = errors.Join(err, failed); err != nil {
			break
		}
		_ = rc.SetWriteDeadline(time.Now().Add(writeMargin))
		_, err = w.Write(b)
	}
	if err != nil {
		a.config.Logger.Warn().Err(err).Msg("list broke off")
		panic(http.ErrAbortHandler)
	}
}

// describe sets what a reply says of its body, however it is sent.
func (rep *reply) describe(h http.Header) {
	h.Set("Content-Type", rep.contentType)
	if rep.file != "" {
		h.Set("Content-Disposition", `attachment; filename="`+rep.file+`"`)
	}
	h.Set("Cache-Control", "private, no-cache")
	h.Add("Vary", "Accept")
}

// write sends a reply, or 304 where the client has it.
func write(w http.ResponseWriter, req *http.Request, rep *reply) {
	h := w.Header()
	rep.describe(h)
	if rep.status == http.StatusOK && rep.contentType != web.ProblemType {
		h.Set("Rollcall-Sequence", strconv.FormatUint(uint64(rep.sequence), 10))
	}
	if rep.next != "" {
		h.Set("Rollcall-Next-Cursor", rep.next)
	}
	if rep.retryAfter > 0 {
		h.Set("Retry-After", strconv.Itoa(rep.retryAfter))
	}
	if rep.etag != "" {
		h.Set("ETag", rep.etag)
		if matches(req.Header.Values("If-None-Match"), rep.etag) {
			h.Del("Content-Type")
			w.WriteHeader(http.StatusNotModified)
			return
		}
	}
	h.Set("Content-Length", strconv.Itoa(len(rep.body)))
	w.WriteHeader(rep.status)
	_, _ = w.Write(rep.body) // the client may be gone
}

// matches is the weak comparison of If-None-Match.
func matches(header []string, etag string) bool {
	etag = strings.TrimPrefix(etag, "W/")
	for _, h := range header {
		for one := range strings.SplitSeq(h, ",") {
			one = strings.TrimPrefix(strings.TrimSpace(one), "W/")
			if one == "*" || one == etag {
				return true
			}
		}
	}
	return false
}

// wantsCSV reports whether the Accept header prefers CSV to JSON.
func wantsCSV(accept []string) bool {
	var csv, json float64
	for one := range strings.SplitSeq(strings.Join(accept, ","), ",") {
		kind, rest, _ := strings.Cut(one, ";")
		q := 1.0
		if _, v, ok := strings.Cut(rest, "q="); ok {
			v, _, _ = strings.Cut(v, ";")
			q, _ = strconv.ParseFloat(strings.TrimSpace(v), 64)
		}
		switch strings.ToLower(strings.TrimSpace(kind)) {
		case "text/csv":
			csv = max(csv, q)
		case "application/json", "application/*":
			json = max(json, q)
		}
	}
	return csv > json
}

// guard lets in who may come in, and sets the headers that every answer has.
func (a *API) guard(next http.Handler) http.Handler {
	at := &route{path: "*"}
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		rc := http.NewResponseController(w)
		if req.ContentLength == 0 {
			// The request is read whole. Its deadline would end the context of an
			// answer that waits, or of a change feed.
			_ = rc.SetReadDeadline(time.Time{})
		}
		_ = rc.SetWriteDeadline(time.Now().Add(maxWait + answerTimeout + writeMargin))
		h := w.Header()
		h.Set("X-Content-Type-Options", "nosniff")
		h.Set("Referrer-Policy", "no-referrer")
		h.Set("Cross-Origin-Resource-Policy", "same-origin")
		h.Set("X-Frame-Options", "DENY")
		h.Set("Content-Security-Policy", "default-src 'none'; frame-ancestors 'none'")
		doors := a.doors.Load()
		who, known := doors.caller(req)
		req = req.WithContext(context.WithValue(req.Context(), callerKey{}, admission{who, doors}))
		if a.config.AccessLog || a.config.Observe != nil {
			var done func()
			w, done = a.watch(w, req, who)
			defer done()
		}
		switch {
		case len(doors.tokens) == 0 && !web.KnownHost(req.Host, a.config.Hosts):
			write(w, req, a.refuse(at, newProblem(http.StatusMisdirectedRequest,
				"host %q is not known here: address the API by localhost or its IP, or add the name with --api-host", req.Host)))
		case len(doors.tokens) > 0 && !open(req) && !known:
			h.Set("WWW-Authenticate", `Bearer realm="rollcall"`)
			write(w, req, a.refuse(at, newProblem(http.StatusUnauthorized, "a bearer token is needed: Authorization: Bearer <token>")))
		default:
			next.ServeHTTP(w, req)
		}
	})
}

// assetsPath is below what the page's files are.
const assetsPath = "/assets/"

// open reports whether a path is shown to everybody: the page, which holds no
// data and asks for the token.
func open(req *http.Request) bool {
	return req.URL.Path == "/" || strings.HasPrefix(req.URL.Path, assetsPath)
}
