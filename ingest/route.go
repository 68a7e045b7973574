package ingest

import (
	"crypto/sha256"
	"crypto/subtle"
	"errors"
	"fmt"
	"net/http"
	"path"
	"regexp"
	"strings"
	"time"
)

// route reads source and token from a path: /webhooks/{source} or
// /webhooks/{source}/{token}. Extra slashes and capital letters are
// accepted: a 404, or a redirect, would lose the delivery for good.
func route(p string) (name, token string) {
	parts := strings.Split(strings.TrimPrefix(path.Clean("/"+p), "/"), "/")
	if len(parts) < 2 || len(parts) > 3 || !strings.EqualFold(parts[0], pathRoot) {
		return "", ""
	}
	if len(parts) == 3 {
		token = parts[2]
	}
	return strings.ToLower(parts[1]), token
}

// source finds the source of a request. A source that requires a token does not
// exist for a request without it.
func (h *Handler) source(r *http.Request) (*source, *refusal) {
	name, token := route(r.URL.Path)
	src := h.active.Load().byName[name]
	switch {
	case src == nil || !src.admits(token):
		return nil, &refusal{status: http.StatusNotFound, reason: "unknown-source", detail: "there is no such source; deliveries go to /" + pathRoot + "/{source}"}
	case r.Method != http.MethodPost:
		return nil, &refusal{status: http.StatusMethodNotAllowed, reason: "method", detail: "deliveries are posted"}
	case src.config.Unsigned() && browsed(r.Header):
		return nil, &refusal{status: http.StatusForbidden, reason: "cross-site", detail: "a browser sent this for a page; a source without signatures takes deliveries from programs alone"}
	}
	return src, nil
}

// browsed reports whether a page in a browser made the request: browsers name the
// page's origin with every POST, and no provider does. Whoever runs a server on
// loopback for tests also opens pages, and those can post there.
func browsed(h http.Header) bool {
	return h.Get("Origin") != "" || h.Get("Sec-Fetch-Site") != "" && h.Get("Sec-Fetch-Site") != "none"
}

// pathToken is a secret of a source's path, known by its sum.
type pathToken [sha256.Size]byte

func (t pathToken) name() string { return fingerprint(t[:]) }

// admits compares a token with each of the source's, in constant time.
func (s *source) admits(token string) bool {
	if s.tokens == nil {
		return token == ""
	}
	sum := sha256.Sum256([]byte(token))
	found := 0
	for _, t := range s.tokens.keys() {
		found |= subtle.ConstantTimeCompare(sum[:], t[:])
	}
	return found == 1
}

var pathTokenForm = regexp.MustCompile(`^[A-Za-z0-9_-]{16,256}$`)

const pathTokenHelp = "a path token has 16 to 256 of A-Z, a-z, 0-9, - and _; `openssl rand -hex 24` makes one"

// parsePathTokens reads one token a line, so that one can be replaced by another;
// empty lines and lines that start with # are skipped.
func parsePathTokens(file []byte) ([]pathToken, error) {
	var tokens []pathToken
	for n, line := range strings.Split(string(file), "\n") {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		if !pathTokenForm.MatchString(line) {
			return nil, fmt.Errorf("line %d is no path token: %s", n+1, pathTokenHelp)
		}
		tokens = append(tokens, sha256.Sum256([]byte(line)))
	}
	if len(tokens) == 0 {
		return nil, errors.New("no path token in it: " + pathTokenHelp)
	}
	return tokens, nil
}

// newPathTokens are a source's tokens; nil where it wants none.
func newPathTokens(s Source, now func() time.Time) (*fileKeys[pathToken], error) {
	switch {
	case s.PathTokenFile != "":
		return newFileKeys(s.PathTokenFile, parsePathTokens, now)
	case s.PathToken != "":
		ring, err := parsePathTokens([]byte(s.PathToken))
		return &fileKeys[pathToken]{ring: ring, now: now}, err
	}
	return nil, nil
}
