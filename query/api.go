package query

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"net/http"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/ingest/web"
	"rollcall/projections"
	"rollcall/query/closing"
	"rollcall/query/feed"
	"rollcall/query/history"
	"rollcall/query/pace"
	"rollcall/query/pipeline"
	"rollcall/query/replica"
)

const (
	// keyRoute is the key of a log field.
	keyRoute = "route"
	// defaultStaleAfter is when a LIVE session without an event counts as stale.
	defaultStaleAfter = 24 * time.Hour
	// answerTimeout bounds an answer's work, waiting for minSequence apart.
	answerTimeout = 15 * time.Second
	// longPage is how many items a page has that takes a turn to be written down.
	longPage = 100
)

// Config says what the API answers from and to whom.
type Config struct {
	// Replica and Log are required.
	Replica *replica.Replica
	Log     history.Log
	// Folds compute documents as of a moment; those of sessions, attendance,
	// recordings and artifacts are used. Without them asOf is refused.
	Folds []eventlog.Fold
	// Closings is where closed months are kept; nil: there are none.
	Closings Closings
	// Pipeline gathers what the processes report; nil: no process is known.
	Pipeline *pipeline.Monitor
	// StaleAfter is how long without an event makes a LIVE session stale: 24 h.
	StaleAfter time.Duration
	// IdleTimeout is how long a connection stays open between two requests; 0 is
	// 75 s, above the 60 s of common load balancers.
	IdleTimeout time.Duration
	// Tokens are who is let in; none: everybody is. SetTokens replaces them.
	Tokens []Token
	// AccessLog writes a line for each request: who asked for what kind of thing, and
	// what came of it. It has no ids, queries or tokens.
	AccessLog bool
	// Observe is called after each request, with the pattern of its route and the status
	// of its answer; nil: nothing is. It must not block.
	Observe func(req *http.Request, begin time.Time, route string, status int)
	// Hosts are names that the API may be addressed by, besides localhost and
	// addresses. It keeps pages of other sites from reaching a loopback address
	// through a name that they make point to it. With Tokens it is not needed.
	Hosts []string
	// BasePath is the path below which everything is served, as CheckBasePath takes it;
	// "": at /.
	BasePath string
	// Version is shown on the page.
	Version string
	// Now is the clock; nil: time.Now.
	Now func() time.Time
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	Logger     zerolog.Logger
}

func (c Config) validate() error {
	switch {
	case c.Replica == nil:
		return errors.New("query: no replica: set Replica")
	case c.Log == nil:
		return errors.New("query: no log to read events from: set Log")
	case CheckBasePath(c.BasePath) != nil:
		return fmt.Errorf("query: BasePath: %w", CheckBasePath(c.BasePath))
	case c.StaleAfter < 0:
		return errors.New("query: StaleAfter is negative: leave it 0 for 24h")
	}
	return nil
}

// API answers questions about the views, over HTTP and over NATS alike. Its
// methods may be used from several goroutines.
type API struct {
	config   Config
	replica  *replica.Replica
	log      *history.Reader
	closings Closings
	// rows is the place for reading a closing's rows, one reader at a time: they may be
	// many, and decoding them takes a core.
	rows pace.Pace
	// lastClosing is the one that was read last. Whoever is in rows may use it.
	lastClosing *closing.Closing
	changed     counts
	folds       map[string]eventlog.Fold
	views       []*view
	routes      []*route
	byPath      map[string]*route
	openAPI     []byte
	metrics     *metrics
	feeds       *feed.Feeds
	doors       atomic.Pointer[doors]
	now         func() time.Time
	// wholeLog: up to so many records a session's are looked for in all slices.
	wholeLog eventlog.Seq
}

// New makes an API.
func New(c Config) (*API, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	if c.StaleAfter == 0 {
		c.StaleAfter = defaultStaleAfter
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	if c.Pipeline == nil {
		c.Pipeline = pipeline.New(c.Now)
	}
	a := &API{config: c, replica: c.Replica, log: history.NewReader(c.Log, maxWait+answerTimeout), now: c.Now, folds: map[string]eventlog.Fold{},
		byPath: map[string]*route{}, wholeLog: wholeLog, rows: pace.New(1), feeds: feed.New(c.Replica, c.Logger)}
	a.SetTokens(c.Tokens)
	a.changed.byID = map[string]stamped{}
	if a.closings = c.Closings; a.closings == nil {
		a.closings = noClosings{}
	}
	for _, f := range c.Folds {
		a.folds[f.Name()] = f
	}
	var err error
	if a.views, err = views(); err != nil {
		return nil, err
	}
	a.routes = a.table()
	for _, r := range a.routes {
		r.links, r.columns = linksOf(r.fields), csvColumns(r.fields)
		a.byPath[r.path] = r
	}
	if a.openAPI, err = a.describe(); err != nil {
		return nil, fmt.Errorf("describe API: %w", err)
	}
	a.metrics = newMetrics(a.feeds, c.Registerer)
	return a, nil
}

// route is one path of the API: what it takes, what it answers from, and what
// it answers. The OpenAPI document is made from the same table.
type route struct {
	path    string // as in OpenAPI, {name} for a parameter
	id      string // operationId
	summary string
	params  []param
	// item names the schema of the document; fields are its members.
	item   string
	fields []field
	// links are those of fields that a viewer does not see, columns the CSV's. New sets
	// both.
	links   []projections.Field
	columns []csvColumn
	list    bool
	views   []string
	raw     bool // it shows records
	// answer gives a document or a page.
	answer answerer
	// stream, instead of answer, is for the change feed.
	stream func(w http.ResponseWriter, r *http.Request, c *call) error
}

// answerer finds what a route is asked for.
type answerer func(ctx context.Context, c *call) (*answer, error)

// call is one request, wherever it came from.
type call struct {
	*values
	route *route
	now   time.Time
	// staleAfter is how long without an event makes a LIVE session stale.
	staleAfter time.Duration
	// csv: the answer is a table; sheet: in a spreadsheet's forms.
	csv, sheet bool
	viewer     bool            // see forViewer
	closing    <-chan struct{} // ends change feeds
	// key is what the cursors of this list are good for.
	key string
}

// answer is what a route found: one document, or a page of them.
type answer struct {
	doc      []byte
	page     *page
	sequence eventlog.Seq
}

// reply is an answer in the form that goes out.
type reply struct {
	status      int
	contentType string
	body        []byte
	etag        string
	sequence    eventlog.Seq
	next        string
	retryAfter  int
	// file is the name that a browser saves the answer by; "" shows it.
	file string
	// rest, where set, is the call whose other pages follow the body, from next on.
	rest *call
}

// begin parses a request for a route.
func (a *API) begin(ctx context.Context, r *route, path map[string]string, query url.Values, csv bool) (*call, error) {
	v, err := parse(r.params, path, query)
	if err != nil {
		return nil, err
	}
	looks := viewer(ctx)
	if looks {
		if err := r.forViewer(v.text["sort"]); err != nil {
			return nil, err
		}
	}
	switch v.text["format"] {
	case "csv", formatSheet:
		csv = true
	case "json":
		csv = false
	}
	if v.asOf != nil && len(a.folds) == 0 {
		return nil, badRequest("asOf is not available here: this process was started without folds")
	}
	c := &call{values: v, route: r, now: a.now(), staleAfter: a.config.StaleAfter, csv: csv && r.list, sheet: v.text["format"] == formatSheet, viewer: looks}
	_, limited := v.numbers["limit"]
	v.all = c.csv && !limited
	c.key = r.path
	for _, p := range r.params {
		switch s, ok := path[p.name]; {
		case p.inPath && ok:
			c.key += "\x00" + p.name + "=" + s
		case p.form:
		default:
			c.key += "\x00" + p.name + "=" + strings.Join(query[p.name], ",")
		}
	}
	return c, nil
}

// do answers a request.
func (a *API) do(ctx context.Context, r *route, path map[string]string, query url.Values, csv bool) *reply {
	c, err := a.begin(ctx, r, path, query, csv)
	if err != nil {
		return a.refuse(r, err)
	}
	ctx, cancel := context.WithTimeout(ctx, c.wait()+answerTimeout)
	defer cancel()
	ans, err := a.ask(ctx, c)
	if err != nil {
		return a.refuse(r, err)
	}
	leave, err := a.turn(ctx, ans)
	if err != nil {
		return a.refuse(r, err)
	}
	defer leave()
	rep, err := ans.encode(c)
	if err != nil {
		return a.refuse(r, err)
	}
	return rep
}

// turn waits for a place among those who work, where there is a long page to write
// down; leave gives it back.
func (a *API) turn(ctx context.Context, ans *answer) (leave func(), err error) {
	if ans.page == nil || len(ans.page.items) <= longPage {
		return func() {}, nil
	}
	return a.replica.Enter(ctx)
}

// need is what a request needs of the replica.
func (c *call) need(views []string) replica.Need {
	return replica.Need{Views: views, Sequence: c.minSequence(), Wait: c.wait()}
}

// read calls f with a look at the replica in which views are as the request needs them.
func (a *API) read(ctx context.Context, c *call, views []string, f func(ctx context.Context, s *replica.Snapshot) error) error {
	return a.replica.Read(ctx, c.need(views), f)
}

// rest yields the pages that follow a reply's body.
func (a *API) rest(ctx context.Context, rep *reply) iter.Seq2[[]byte, error] {
	return func(yield func([]byte, error) bool) {
		for c, next := rep.rest, rep.next; c != nil && next != ""; {
			c.text["cursor"] = next
			var b []byte
			var err error
			b, next, err = a.nextPage(ctx, c)
			if !yield(b, err) || err != nil {
				return
			}
		}
	}
}

// nextPage writes the page at a call's cursor down; next is the cursor after it.
func (a *API) nextPage(ctx context.Context, c *call) (b []byte, next string, err error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	ans, err := a.ask(ctx, c)
	if err != nil {
		return nil, "", err
	}
	leave, err := a.turn(ctx, ans)
	if err != nil {
		return nil, "", err
	}
	defer leave()
	b, err = c.appendDocs(nil, ans.page.docs())
	return b, ans.page.next, err
}

// maxCollected bounds an answer that is sent as a whole.
const maxCollected = 8 << 20

// collect makes a reply whole, for one that is sent at once.
func (a *API) collect(ctx context.Context, r *route, rep *reply) *reply {
	for b, err := range a.rest(ctx, rep) {
		if err != nil {
			return a.refuse(r, err)
		}
		if rep.body = append(rep.body, b...); len(rep.body) > maxCollected {
			return a.refuse(r, newProblem(http.StatusRequestEntityTooLarge, "the answer has more than %d bytes: ask for it by limit and cursor", maxCollected))
		}
	}
	if rep.rest != nil {
		rep.next, rep.rest = "", nil
	}
	return rep
}

// refuse turns an error into a problem detail.
func (a *API) refuse(r *route, err error) *reply {
	p := problemOf(err)
	if p.Status == http.StatusInternalServerError {
		a.config.Logger.Error().Err(err).Str(keyRoute, r.path).Msg("request failed")
	}
	return &reply{status: p.Status, contentType: web.ProblemType, body: p.AppendJSON(nil), retryAfter: p.RetrySeconds()}
}
