package query

import (
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
)

// basePath is the form of a base path: it stands in URLs as it is.
var basePath = regexp.MustCompile(`^(/[A-Za-z0-9_~-][A-Za-z0-9._~-]*)+$`)

// CheckBasePath refuses what is no path to serve below; "" is none.
func CheckBasePath(path string) error {
	if path == "" || len(path) <= 256 && basePath.MatchString(path) {
		return nil
	}
	return fmt.Errorf("path %q: want one like /rollcall, with a slash in front and none at its end; leave it out to serve at /", path)
}

// below serves what is below the base path; next sees paths without it.
func (a *API) below(next http.Handler) http.Handler {
	base := a.config.BasePath
	if base == "" {
		return next
	}
	inside := http.StripPrefix(base, next)
	outside := a.guard(http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		write(w, req, a.refuse(&route{path: "/"}, notFound("no such path: the read API and the page are below %s/ (--api-base-path); a reverse proxy in front must pass that on", base)))
	}))
	return http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		asked := req.URL.EscapedPath() // nothing of base is escaped
		switch {
		case asked == base:
			to := base + "/"
			if req.URL.RawQuery != "" {
				to += "?" + req.URL.RawQuery
			}
			// The page's references are relative to it: they need the slash.
			w.Header().Set("Location", to)
			w.WriteHeader(http.StatusTemporaryRedirect)
		case strings.HasPrefix(asked, base+"/") && !unclean(asked[len(base):]):
			inside.ServeHTTP(w, req)
		default:
			outside.ServeHTTP(w, req)
		}
	})
}

// unclean reports whether a path has empty parts, or ones that go up or nowhere, which
// are no ids (literalDots). A ServeMux redirects to the clean one, which would be
// outside of the base path.
func unclean(below string) bool {
	if strings.HasPrefix(below, "/v1/") {
		return strings.Contains(below, "//")
	}
	clean := path.Clean(below)
	return below != clean && below != clean+"/"
}
