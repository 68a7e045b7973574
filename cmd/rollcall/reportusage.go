package main

import (
	"context"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/cmd/rollcall/internal/console"
)

// reportUsageCmd is `rollcall report usage`.
type reportUsageCmd struct {
	apiFlags `kong:"set='forms=table,json,csv,sheet,svg',set='formsHelp=table, json, csv for programs, sheet for spreadsheets, or svg for a chart',set='timezone=Time zone that days are counted in (default: UTC), and of times.'"`
	span
	ThisMonth bool   `help:"The month that it is in the time zone."`
	LastMonth bool   `help:"The month before."`
	GroupBy   string `help:"What a row is for: one of day, week and month, and organizer, meeting." default:"day,organizer" placeholder:"LIST"`
	Organizer string `help:"Only this organizer." placeholder:"ID"`
	Meeting   string `help:"Only this meeting." placeholder:"ID"`
}

// Help is the command's example.
func (reportUsageCmd) Help() string {
	return `Days are those of the time zone, the end of the range is not in it. Below the table stands what counts in part only.

Examples:
  rollcall report usage --last-month --group-by month,organizer --timezone Europe/Berlin
  rollcall report usage --from 2026-03-01 --to 2026-04-01 --timezone Asia/Kolkata --output svg`
}

// Run reports.
func (c *reportUsageCmd) Run(a *app) error {
	zone := c.Timezone.Or(time.UTC)
	if err := c.preset(time.Now().In(zone)); err != nil {
		return err
	}
	q := c.values()
	set(q, "groupBy", c.GroupBy)
	set(q, "timezone", zone.String())
	set(q, "organizerId", c.Organizer)
	set(q, "meetingId", c.Meeting)
	if c.asFile() {
		return c.copy(a.Ctx, a.Stdout, "/v1/usage", q, true)
	}
	items, err := c.items(a.Ctx, "/v1/usage", q)
	if err != nil {
		return err
	}
	switch c.Output {
	case outputSVG:
		return drawUsage(a.Stdout, items, zone.String())
	case "table":
		if err := c.table(a.Stdout, items); err != nil {
			return err
		}
		return c.inPart(a.Ctx, a.Stdout, q)
	}
	return c.show(a.Stdout, items)
}

// preset sets the days of a month that was asked for by its name.
func (c *reportUsageCmd) preset(now time.Time) error {
	if !c.ThisMonth && !c.LastMonth {
		return nil
	}
	if c.ThisMonth && c.LastMonth || c.From != "" || c.To != "" {
		return console.Usagef("--this-month, --last-month and --from with --to can't be used together")
	}
	back := 0
	if c.LastMonth {
		back = -1
	}
	first := time.Date(now.Year(), now.Month()+time.Month(back), 1, 0, 0, 0, 0, time.UTC)
	c.From, c.To = first.Format(time.DateOnly), first.AddDate(0, 1, 0).Format(time.DateOnly)
	return nil
}

// leastUsage are the columns that a narrow table does without: the measures stay in one
// unit, and what a row is of stays.
var leastUsage = []string{"revisedAt", "recordingSeconds", "attendedSeconds", "participantSeconds", "organizerId", "peakParticipants"}

// table prints the groups that were asked for, and minutes beside seconds.
func (c *reportUsageCmd) table(w io.Writer, items []item) error {
	g := &console.Grid{Least: leastUsage}
	for _, by := range []struct {
		group   string
		columns []string
	}{{"day", []string{"day"}}, {"week", []string{"week"}}, {"month", []string{"month"}}, {"organizer", []string{"organizerId", "organizerName"}}, {"meeting", []string{"meetingId"}}} {
		if slices.Contains(strings.Split(c.GroupBy, ","), by.group) {
			g.Columns = append(g.Columns, by.columns...)
		}
	}
	g.Columns = append(g.Columns, "sessions")
	measures := []string{"participant", "attended", "recording"}
	for _, m := range measures {
		g.Columns = append(g.Columns, m+"Seconds", m+"Minutes")
	}
	g.Columns = append(g.Columns, "peakParticipants", "revisedAt")
	for _, it := range items {
		row := make([]any, len(g.Columns))
		for i, name := range g.Columns {
			if measure, ok := strings.CutSuffix(name, "Minutes"); ok {
				var seconds float64
				if err := json.Unmarshal(it[measure+"Seconds"], &seconds); err != nil {
					return fmt.Errorf("read usage: %w", err)
				}
				row[i] = seconds / 60
				continue
			}
			row[i] = console.Cell(it[name])
		}
		g.Add(row...)
	}
	return c.Print(w, g)
}

// inPart says what of the sessions that started in these days counts in part only, or
// under nobody. q are the parameters of the rows.
func (c *reportUsageCmd) inPart(ctx context.Context, w io.Writer, q url.Values) error {
	for _, ofRows := range []string{"groupBy", "limit", "cursor"} {
		q.Del(ofRows)
	}
	var n struct {
		Sessions         int `json:"sessions"`
		Live             int `json:"live"`
		Stale            int `json:"stale"`
		OpenConnections  int `json:"openConnections"`
		LeftAfterEnd     int `json:"leftAfterEnd"`
		WithoutOrganizer int `json:"withoutOrganizer"`
	}
	if err := c.ask(ctx, "/v1/usage/cases?"+q.Encode(), &n); err != nil {
		return err
	}
	_, err := io.WriteString(w, c.Line(w, "", fmt.Sprintf("Sessions: %d. LIVE: %d, of them stale: %d; their open connections, which count once they end: %d. With a leave after the end, cut there: %d. Without an organizer: %d.",
		n.Sessions, n.Live, n.Stale, n.OpenConnections, n.LeftAfterEnd, n.WithoutOrganizer)))
	return err
}
