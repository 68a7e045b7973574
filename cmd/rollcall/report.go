package main

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/console"
)

// reportCmd is `rollcall report`.
type reportCmd struct {
	Attendance reportAttendanceCmd `cmd:"" help:"Who was there, and for how long."`
	Person     reportPersonCmd     `cmd:"" help:"One person's sessions, found by name or id."`
	Recordings reportRecordingsCmd `cmd:"" help:"Recordings, their states and links."`
	Usage      reportUsageCmd      `cmd:"" help:"Sessions and minutes by day, week or month, organizer and meeting."`
	Closings   reportClosingsCmd   `cmd:"" help:"Closed months, and what has changed since."`
	Live       reportLiveCmd       `cmd:"" help:"Sessions that run now."`
	Session    reportSessionCmd    `cmd:"" help:"One session's connections, also drawn as an SVG timeline."`
}

// Help is an example of its commands.
func (reportCmd) Help() string {
	return "Examples:\n  rollcall report live\n  rollcall report usage --from 2026-03-01 --to 2026-04-01 --output csv"
}

// apiConn says where the read API is.
type apiConn struct {
	APIURL    string `name:"api-url" help:"Read API of a running rollcall." default:"http://127.0.0.1:8081" placeholder:"URL"`
	TokenFile string `help:"File with the API's bearer token." type:"path" placeholder:"FILE"`
}

// apiFlags are those of a report.
type apiFlags struct {
	apiConn
	console.OutputFlag
}

// listFlags are those of a report that is a list of the API: it has the API's forms.
type listFlags struct {
	apiFlags `kong:"set='forms=table,json,csv,sheet',set='formsHelp=table, json, csv for programs, or sheet for spreadsheets',set='timezone=Time zone of times, like Europe/Berlin; without it tables have the local one, sheets UTC.'"`
}

// outputSheet is the form for spreadsheets.
const outputSheet = "sheet"

// asFile reports whether the API writes the form that was chosen.
func (f apiFlags) asFile() bool { return f.Output == "csv" || f.Output == outputSheet }

// item is an item of the API, its values as they came.
type item map[string]jsontext.Value

// items asks for all pages of a list.
func (f apiConn) items(ctx context.Context, path string, query url.Values) (all []item, err error) {
	query.Set("limit", "1000")
	for {
		var page struct {
			Items      []item  `json:"items"`
			NextCursor *string `json:"nextCursor"`
		}
		if err := f.ask(ctx, path+"?"+query.Encode(), &page); err != nil {
			return nil, err
		}
		all = append(all, page.Items...)
		if page.NextCursor == nil || *page.NextCursor == "" {
			return all, nil
		}
		query.Set("cursor", *page.NextCursor)
	}
}

// segment is an id as one segment of a path: "." and ".." would go up.
func segment(id string) string {
	if id == "." || id == ".." {
		return strings.ReplaceAll(id, ".", "%2E")
	}
	return url.PathEscape(id)
}

// ofSession has read ask for the session that a text names: the one of this id, else the
// only one whose id begins so, as tables shorten them.
func (f apiConn) ofSession(ctx context.Context, text string, read func(id string) error) error {
	missing := read(text)
	if missing == nil || console.ExitCode(missing) != console.ExitNotFound {
		return missing
	}
	begins := strings.TrimSuffix(text, "…")
	like, err := f.items(ctx, "/v1/sessions", url.Values{"q": {begins}})
	if err != nil {
		return err
	}
	var ids []string
	for _, it := range like {
		if id := console.JSONText(it["sessionId"]); strings.HasPrefix(id, begins) {
			ids = append(ids, id)
		}
	}
	switch {
	case len(ids) == 0 || slices.Contains(ids, text):
		return missing
	case len(ids) > 1:
		return console.Usagef("%d sessions have an id that begins with %q: give more of it", len(ids), begins)
	}
	return read(ids[0])
}

// open asks the API for a path. The caller closes the body.
func (f apiConn) open(ctx context.Context, client *http.Client, path, form string) (io.ReadCloser, error) {
	base := strings.TrimSuffix(f.APIURL, "/")
	if !strings.HasPrefix(base, "http://") && !strings.HasPrefix(base, "https://") {
		return nil, console.Usagef("--api-url %q: want http://HOST:PORT or https://HOST:PORT", console.RedactURL(f.APIURL))
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, base+path, nil)
	if err != nil {
		return nil, console.Usagef("--api-url %q: %w", f.APIURL, err)
	}
	req.Header.Set("Accept", form)
	if f.TokenFile != "" {
		token, err := console.ReadSmallFile("--token-file", f.TokenFile)
		if err != nil {
			return nil, err
		}
		line, _, _ := strings.Cut(strings.TrimSpace(string(token)), "\n")
		req.Header.Set("Authorization", "Bearer "+line)
	}
	resp, err := client.Do(req)
	if err != nil {
		return nil, fmt.Errorf("no read API at %s: %w; start `rollcall serve`, or name it with --api-url", console.RedactURL(base), err)
	}
	if resp.StatusCode == http.StatusOK {
		return resp.Body, nil
	}
	defer resp.Body.Close()
	b, err := io.ReadAll(io.LimitReader(resp.Body, 1<<20))
	if err != nil {
		return nil, fmt.Errorf("read answer of the API: %w", err)
	}
	switch resp.StatusCode {
	case http.StatusNotFound:
		return nil, console.NotFoundf("%s", console.Problem(b))
	case http.StatusBadRequest:
		return nil, console.Usagef("%s", console.Problem(b))
	case http.StatusUnauthorized:
		return nil, fmt.Errorf("the API wants a token: name its file with --token-file")
	}
	return nil, fmt.Errorf("the API answered %s: %s", resp.Status, console.Problem(b))
}

// ask asks for a path, and reads the JSON of the answer into v.
func (f apiConn) ask(ctx context.Context, path string, v any) error {
	body, err := f.open(ctx, &http.Client{Timeout: 30 * time.Second}, path, "application/json")
	if err != nil {
		return err
	}
	defer body.Close()
	b, err := io.ReadAll(io.LimitReader(body, 256<<20))
	if err != nil {
		return fmt.Errorf("read answer of the API: %w", err)
	}
	if err := json.Unmarshal(b, v); err != nil {
		return fmt.Errorf("read answer of the API: %w", err)
	}
	return nil
}

// copy copies a list as the API writes it, to its end. Without header the first
// line is left out.
func (f apiFlags) copy(ctx context.Context, w io.Writer, path string, query url.Values, header bool) error {
	if f.Output == outputSheet {
		query.Set("format", outputSheet)
		if f.Timezone.Location != nil {
			query.Set("timezone", f.Timezone.String())
		}
	}
	if len(query) > 0 {
		path += "?" + query.Encode()
	}
	// A long list takes its time; an answer that does not begin is none.
	client := &http.Client{Transport: &http.Transport{ResponseHeaderTimeout: 30 * time.Second, Proxy: http.ProxyFromEnvironment}}
	defer client.CloseIdleConnections()
	body, err := f.open(ctx, client, path, "text/csv")
	if err != nil {
		return err
	}
	defer body.Close()
	from := bufio.NewReader(body)
	if !header {
		if _, err := from.ReadString('\n'); err != nil { // no name of a column has a line's end
			return fmt.Errorf("read answer of the API: %w", err)
		}
	}
	if _, err := io.Copy(w, from); err != nil {
		return fmt.Errorf("copy the API's list: %w", err)
	}
	return nil
}

// show prints items with the columns of the table; JSON has them whole.
func (f apiFlags) show(w io.Writer, items []item, columns ...string) error {
	return f.list(w, items, &console.Grid{Columns: columns, Least: leastColumns})
}

// list prints items as show does, in the table g.
func (f apiFlags) list(w io.Writer, items []item, g *console.Grid) error {
	if f.Output == "json" {
		if items == nil {
			items = []item{}
		}
		b, err := json.Marshal(items, json.Deterministic(true), jsontext.WithIndent("  "))
		if err != nil {
			return fmt.Errorf("encode output: %w", err)
		}
		_, err = fmt.Fprintf(w, "%s\n", b)
		return err
	}
	for _, it := range items {
		cells := make([]any, len(g.Columns))
		for i, c := range g.Columns {
			cells[i] = console.Cell(it[c])
		}
		g.Add(cells...)
	}
	return f.Print(w, g)
}

// span is a range of time, half-open.
type span struct {
	From string `help:"From this time or day on, like 2026-01-01." placeholder:"TIME"`
	To   string `help:"Before this time or day." placeholder:"TIME"`
}

func (s span) values() url.Values {
	q := url.Values{}
	set(q, "from", s.From)
	set(q, "to", s.To)
	return q
}

func set(q url.Values, name, value string) {
	if value != "" {
		q.Set(name, value)
	}
}

// reportRecordingsCmd is `rollcall report recordings`.
type reportRecordingsCmd struct {
	listFlags
	Status        string `help:"Only recordings of this status." placeholder:"STATUS"`
	Session       string `help:"Only recordings of this session." placeholder:"ID"`
	Meeting       string `help:"Only recordings of this meeting." placeholder:"ID"`
	StuckFor      string `help:"Only those that are not final and had no event for this long, like 10m." placeholder:"DURATION"`
	ExpiresWithin string `help:"Only those whose link expires within this time, like 24h." placeholder:"DURATION"`
}

// Help is the command's example.
func (reportRecordingsCmd) Help() string {
	return "Example:\n  rollcall report recordings --stuck-for 1h"
}

// Run reports.
func (c *reportRecordingsCmd) Run(a *app) error {
	q := url.Values{}
	set(q, "status", c.Status)
	set(q, "sessionId", c.Session)
	set(q, "meetingId", c.Meeting)
	set(q, "stuckFor", c.StuckFor)
	set(q, "expiresWithin", c.ExpiresWithin)
	if c.asFile() {
		return c.copy(a.Ctx, a.Stdout, "/v1/recordings", q, true)
	}
	items, err := c.items(a.Ctx, "/v1/recordings", q)
	if err != nil {
		return err
	}
	return c.show(a.Stdout, items, recordingColumns...)
}

// recordingColumns are those that a table has room for.
var recordingColumns = []string{"recordingId", "status", "sessionId", "meetingId", "startedAt", "durationSeconds", "fileSizeBytes",
	"downloadUrlExpiresAt", "error", "lastEventAt"}

// reportLiveCmd is `rollcall report live`.
type reportLiveCmd struct {
	listFlags
	Stale bool `help:"Also sessions that are LIVE but stale: superseded, or long without an event."`
}

// Help is the command's example.
func (reportLiveCmd) Help() string { return "Example:\n  rollcall report live --stale" }

// Run reports.
func (c *reportLiveCmd) Run(a *app) error {
	q := url.Values{}
	if c.Stale {
		q.Set("stale", "true")
	}
	if c.asFile() {
		return c.copy(a.Ctx, a.Stdout, "/v1/meetings/live", q, true)
	}
	items, err := c.items(a.Ctx, "/v1/meetings/live", q)
	if err != nil {
		return err
	}
	return c.show(a.Stdout, items, liveColumns...)
}

// liveColumns are those that a table has room for.
var liveColumns = []string{"sessionId", "meetingId", "title", "startedAt", "liveParticipants", "uniqueParticipants", "maxConcurrentParticipants",
	"recordings", "lastEventAt", "stale"}

// leastColumns are those of any report that a narrow terminal does without, the
// first one first: what another column says as well, or few ask for.
var leastColumns = []string{"stale", "connections", "connectedSeconds", "revisedAt", "participantSeconds", "recordingSeconds", "longestGapSeconds",
	"gaps", "present", "lastLeftAt", "firstJoinedAt",
	"meetingId", "downloadUrlExpiresAt", "uniqueParticipants", "organizerId", "lastEventAt", "closedBy", "peerId", "durationSeconds", "fileSizeBytes"}
