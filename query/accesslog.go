package query

import (
	"net/http"
	"time"
)

// answered is a request's answer, counted for the access log and for traces.
type answered struct {
	http.ResponseWriter
	pattern string
	status  int
	bytes   int64
}

// WriteHeader notes the status.
func (w *answered) WriteHeader(status int) {
	if w.status == 0 {
		w.status = status
	}
	w.ResponseWriter.WriteHeader(status)
}

// Write counts the body.
func (w *answered) Write(b []byte) (int, error) {
	if w.status == 0 {
		w.status = http.StatusOK
	}
	n, err := w.ResponseWriter.Write(b)
	w.bytes += int64(n)
	return n, err
}

// Unwrap is for http.ResponseController.
func (w *answered) Unwrap() http.ResponseWriter { return w.ResponseWriter }

// setPattern notes the pattern of the route that a request went to, for the access
// log. A path has ids in it, and a query may have names.
func setPattern(w http.ResponseWriter, pattern string) {
	if w, ok := w.(*answered); ok {
		w.pattern = pattern
	}
}

// watch returns a writer for the answer to a request, and what reports it once it is
// done.
func (a *API) watch(w http.ResponseWriter, req *http.Request, who Token) (http.ResponseWriter, func()) {
	begin, out := time.Now(), &answered{ResponseWriter: w}
	return out, func() {
		if a.config.Observe != nil {
			a.config.Observe(req, begin, out.pattern, out.status)
		}
		if !a.config.AccessLog {
			return
		}
		a.config.Logger.Info().Str("name", who.Name).Str("method", method(req.Method)).Str(keyRoute, out.pattern).Int("status", out.status).
			Int64("elapsed_ms", time.Since(begin).Milliseconds()).Int64("body_bytes", out.bytes).Msg("access")
	}
}

// method is a request's method, "other" for one that HTTP does not name.
func method(m string) string {
	switch m {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodOptions:
		return m
	}
	return "other"
}
