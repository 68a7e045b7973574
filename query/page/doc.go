// Package page is the live page: where people in support, in operations or in a
// lecture hall see the meetings, the recordings and the pipeline.
//
//	query's mux ──▶ /            index.html        no-cache, ETag
//	            └─▶ /assets/…    modules and CSS   content-hashed names, cached for a year
//	browser     ──▶ /v1/…        the read API, same origin
//	            └─▶ /v1/changes  server-sent events: which key changed, nothing more
//
// # No build chain
//
// The page is plain ES modules, one style sheet and uPlot (vendored, with its
// licence), embedded in the binary. [Handler] reads them once, replaces each
// reference from one asset to another by a name that holds the hash of the
// content, and compresses each once. Nothing is fetched from elsewhere.
//
// The page names its files and the API relative to itself, so that it works below any
// path of a reverse proxy.
//
// # Order
//
// The page holds no state that the API doesn't have. A change event names a view,
// a key and a sequence; the page asks the API for that document with minSequence,
// so an answer can't be older than the change. After a cut it resumes with
// Last-Event-ID and reloads the open view, so that no change is lost.
//
// # Address
//
// What is chosen in a view, its filter, order, moment and what is open, stands in the
// address, so that a link leads to exactly that; another address opens the view with
// what it says. Questions over many sessions (People) and the explanation of one
// figure (assets/stay.js) are views like any other.
//
// # Cost
//
// Many changes in one animation frame are drawn once. A view keeps its documents
// by id; drawing compares descriptions of elements by key and touches only what
// differs, so scroll, focus and selection stay. Long lists draw their first rows
// and a button for more. The measured figures are in docs/perf/page.txt.
//
// # Trust
//
// Names, titles and ids are hostile text. Elements are made by one function
// (assets/dom.js) that knows no markup: there is no innerHTML, links are http(s)
// or ours, and control, bidi and zero-width characters are shown by their code
// points. The Content-Security-Policy allows this origin's files alone, no inline
// script or style, and requires Trusted Types, which turns a forgotten innerHTML
// into an error. If the API asks for a bearer token, the page asks the reader and
// keeps it in sessionStorage; it is why changes are read by fetch: EventSource
// can't send a header.
//
// # Failure
//
// A view is loading, empty, failed (with what to do next, and a button) or shown;
// the badge in the header says connected, or stale and since when. What is shown
// stays while the server is away.
package page
