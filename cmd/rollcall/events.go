package main

import (
	"bufio"
	"errors"
	"io"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/query/history"
)

// eventsCmd is `rollcall events`.
type eventsCmd struct {
	List   eventsListCmd   `cmd:"" default:"withargs" help:"List the records of the log (the default)."`
	Follow eventsFollowCmd `cmd:"" help:"List the records, and go on with those that come."`
	Export eventsExportCmd `cmd:"" help:"Write the log to a file: NDJSON, one record a line."`
	Import eventsImportCmd `cmd:"" help:"Put an export into an empty log, as it is."`
	Scan   eventsScanCmd   `cmd:"" help:"Look for damaged records, and repair the log around them."`
	Verify eventsVerifyCmd `cmd:"" help:"Check the signatures of the records, or exports against their seals."`
}

// Help is an example of its commands.
func (eventsCmd) Help() string {
	return `Examples:
  rollcall events list --session 05e57591-d89e-45c9-ae44-08dc1eaad0e0
  rollcall events export backup.ndjson`
}

// recordFlags say which records are printed, and how.
type recordFlags struct {
	attach.ClientFlags
	console.OutputFlag
	Session string `help:"Only records of this session." placeholder:"ID"`
	Type    string `help:"Only records of this event type, like meeting.started." placeholder:"TYPE"`
	After   uint64 `help:"Only records after this sequence." placeholder:"N"`
	Limit   int    `help:"At most this many; 0 is no limit." default:"0" placeholder:"N"`
}

// eventsListCmd is `rollcall events list`.
type eventsListCmd struct {
	recordFlags
	Follow bool `short:"f" help:"Follow new records as they come."`
}

// Run lists.
func (c *eventsListCmd) Run(a *app) error { return c.list(a, c.Follow) }

// eventsFollowCmd is `rollcall events follow`.
type eventsFollowCmd struct{ recordFlags }

// Help is the command's example.
func (eventsFollowCmd) Help() string {
	return `Lists the records of the log in their order, and goes on with those that come, until it is stopped.

Example:
  rollcall events follow --type meeting.started --output json`
}

// Run lists and goes on.
func (c *eventsFollowCmd) Run(a *app) error { return c.list(a, true) }

// Help is the command's example.
func (eventsListCmd) Help() string {
	return `Lists the records of the log in their order. Stream keys, which are secrets, are masked; an export holds them.

Examples:
  rollcall events --follow --type meeting.started
  rollcall events --session 05e57591-d89e-45c9-ae44-08dc1eaad0e0 --output json`
}

// listed is a record as it is printed.
type listed struct {
	Sequence   eventlog.Seq   `json:"sequence"`
	EventID    string         `json:"eventId"`
	Source     string         `json:"source"`
	Type       string         `json:"type"`
	ReceivedAt eventlog.Time  `json:"receivedAt"`
	SessionID  string         `json:"sessionId"`
	DeliveryID string         `json:"deliveryId"`
	Body       jsontext.Value `json:"body"`
	BodyBase64 []byte         `json:"bodyBase64,omitempty"`
}

// listedOf is a record without what its event says.
func listedOf(r *eventlog.Record) listed {
	l := listed{Sequence: r.Seq, EventID: r.EventID, Source: r.Source, Type: r.Type, ReceivedAt: r.ReceivedAt,
		DeliveryID: r.DeliveryID, Body: jsontext.Value("null")}
	body, isJSON := history.MaskedBody(r)
	if isJSON {
		l.Body = body
	} else {
		l.BodyBase64 = body
	}
	return l
}

// list prints the records that there are and, with follow, those that come.
func (c *recordFlags) list(a *app, follow bool) (err error) {
	l, err := c.Attach(a.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	out := bufio.NewWriter(a.Stdout)
	defer out.Flush()
	show, err := c.shows(out, a.Stdout)
	if err := errors.Join(err, out.Flush()); err != nil {
		return err
	}
	n, at := 0, eventlog.Seq(c.After)
	for r, err := range l.Log.Read(a.Ctx, eventlog.ReadOptions{After: at, Oldest: at == 0, Follow: follow}) {
		if err != nil {
			return a.Left(errors.Join(err, out.Flush()), "the records up to %d were printed; --after %[1]d continues after them", at)
		}
		at = r.Seq
		ev := eventlog.Decode(&r)
		session, _ := ev.Session()
		if !c.wants(&r, session) {
			continue
		}
		if err := show(&r, session); err != nil {
			return err
		}
		if follow {
			if err := out.Flush(); err != nil {
				return err
			}
		}
		if n++; n == c.Limit {
			return nil
		}
	}
	return nil
}

func (c *recordFlags) wants(r *eventlog.Record, session string) bool {
	return (c.Type == "" || r.Type == c.Type) && (c.Session == "" || session == c.Session)
}

// recordColumns are those of a list of records, and a row of what they hold as a rule:
// times of a whole year, so that the head names both names of a zone.
func recordColumns() *console.Grid {
	g := &console.Grid{Columns: []string{"sequence", "receivedAt", "type", "source", "sessionId", "eventId"}}
	for _, month := range []time.Month{time.January, time.July} {
		g.Add(99_999_999, time.Date(time.Now().Year(), month, 1, 12, 0, 0, 0, time.UTC), "livestreaming.statusUpdate", "provider", "00000000-0000-0000-0000-000000000000", "01M84MC7VKWAQAAVVDAV9SPGDC")
	}
	return g
}

// shows writes the head of a list of records, and returns what writes one, to w, which
// goes to end.
func (c *recordFlags) shows(w, end io.Writer) (show func(r *eventlog.Record, session string) error, err error) {
	switch c.Output {
	case "json":
		return func(r *eventlog.Record, session string) error {
			l := listedOf(r)
			l.SessionID = session
			return console.PrintLine(w, l)
		}, nil
	case "csv":
		g := &console.Grid{Rows: [][]any{{"sequence", "receivedAt", "type", "source", "sessionId", "eventId", "deliveryId"}}}
		return func(r *eventlog.Record, session string) error {
			g := &console.Grid{Rows: [][]any{{r.Seq, r.ReceivedAt, r.Type, r.Source, session, r.EventID, r.DeliveryID}}}
			return g.CSVRows(w)
		}, g.CSVRows(w)
	}
	table, err := c.Stream(w, end, recordColumns())
	return func(r *eventlog.Record, session string) error {
		return table.Add(r.Seq, r.ReceivedAt, r.Type, r.Source, session, r.EventID)
	}, err
}

// elapsed is how long something took, as people read it.
func elapsed(since time.Time) string { return time.Since(since).Round(time.Millisecond).String() }
