package main

import (
	"io"
	"net/url"
	"slices"
	"strings"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/query/closing"
)

// reportClosingsCmd is `rollcall report closings`.
type reportClosingsCmd struct {
	listFlags
	ID   string `arg:"" optional:"" name:"closing" help:"What has changed since this closing, like 2026-10.Europe.Berlin; without it all closings are listed."`
	Rows bool   `help:"The closing's rows as they were, by day and organizer, instead of what has changed."`
}

// Help is the command's example.
func (reportClosingsCmd) Help() string {
	return "Lists the closed months; of one, each session and day whose usage is another now, every number as closed and as it is.\n\n" +
		"Examples:\n  rollcall report closings\n  rollcall report closings 2026-10.Europe.Berlin --output sheet > changes.csv\n  rollcall report closings 2026-10.Europe.Berlin --rows --output csv"
}

// Run reports.
func (c *reportClosingsCmd) Run(a *app) error {
	path, table := "/v1/closings", closingsTable
	switch {
	case c.ID == "" && c.Rows:
		return console.Usagef("--rows are those of one closing: name it; `rollcall report closings` lists them")
	case c.Rows:
		path, table = path+"/"+segment(c.ID)+"/rows", closingRowsTable
	case c.ID != "":
		path, table = path+"/"+segment(c.ID)+"/changes", closingChangesTable
	}
	if c.asFile() {
		return c.copy(a.Ctx, a.Stdout, path, url.Values{}, true)
	}
	items, err := c.items(a.Ctx, path, url.Values{})
	if err != nil {
		return err
	}
	return c.closings(a.Stdout, items, table)
}

// closings prints items in a table that is made for them.
func (f apiFlags) closings(w io.Writer, items []item, table func([]item) *console.Grid) error {
	return f.list(w, items, table(items))
}

// closingsTable is that of a list of closings. One is named by its id.
func closingsTable([]item) *console.Grid {
	return &console.Grid{Columns: []string{"id", "changed", "closedAt", "sessions", "participantSeconds", "attendedSeconds", "recordingSeconds", "sequence"},
		Whole: []string{"id", "changed"}, Least: []string{"sequence", "recordingSeconds", "attendedSeconds", "closedAt"}}
}

func closingRowsTable([]item) *console.Grid {
	return &console.Grid{Columns: []string{"day", "organizerId", "organizerName", "sessions", "participantSeconds", "attendedSeconds", "recordingSeconds", "peakParticipants", "revisedAt"},
		Least: []string{"revisedAt", "organizerId", "peakParticipants", "recordingSeconds", "attendedSeconds"}}
}

// closingChangesTable has the measures that differ in any of the items, as closed and now.
func closingChangesTable(items []item) *console.Grid {
	g := &console.Grid{Columns: []string{"sessionId", "title", "day"}, Least: []string{"meetingId", "recordType", "recordSequence", "revisedAt", "beforeAttendedSeconds", "afterAttendedSeconds", "title"}}
	for _, m := range closing.Measures {
		measure := strings.ToUpper(m.Name[:1]) + m.Name[1:]
		differs := func(it item) bool { return string(it["before"+measure]) != string(it["after"+measure]) }
		if slices.ContainsFunc(items, differs) {
			g.Columns = append(g.Columns, "before"+measure, "after"+measure)
		}
	}
	g.Columns = append(g.Columns, "revisedAt", "recordType", "recordSequence", "meetingId")
	return g
}
