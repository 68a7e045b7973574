package query

import (
	"net/http"
	"time"

	"rollcall/ingest/web"
)

// answered is a request's answer, watched for the access log and for traces.
type answered struct {
	web.Answer
	pattern string
}

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
	begin, out := time.Now(), &answered{Answer: web.Answer{ResponseWriter: w}}
	return out, func() {
		if a.config.Observe != nil {
			a.config.Observe(req, begin, out.pattern, out.Status)
		}
		if !a.config.AccessLog {
			return
		}
		a.config.Logger.Info().Str("name", who.Name).Str("method", method(req.Method)).Str(keyRoute, out.pattern).Int("status", out.Status).
			Int64("elapsed_ms", time.Since(begin).Milliseconds()).Int64("body_bytes", out.Bytes).Msg("access")
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
