package query

import "net/http"

// pages serves the page. The API works without it.
func (a *API) pages(*http.ServeMux) {}

// open reports whether a path is shown to everybody.
func (a *API) open(*http.Request) bool { return false }

// cookieToken is the token of a browser that signed in.
func cookieToken(*http.Request) string { return "" }
