package main

import (
	"errors"
	"fmt"
	"io"
	"net/url"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/chart"
)

// outputSVG is the form of a drawn report.
const outputSVG = "svg"

// reportSessionCmd is `rollcall report session`.
type reportSessionCmd struct {
	apiFlags `kong:"set='forms=table,json,csv,svg',set='formsHelp=table, json, csv, or svg for a chart',set='timezone=Time zone of times, like Europe/Berlin; without it tables have the local one, charts UTC.'"`
	ID       string `arg:"" name:"session" help:"The session's id, or a beginning that no other's has."`
	AsOf     string `help:"The session as it was at this time, or up to this sequence." placeholder:"TIME|SEQUENCE"`
}

// Help is the command's example.
func (reportSessionCmd) Help() string {
	return "Prints a row for each connection; --output svg draws the timeline: a bar for each connection, and attendance over time.\n\n" +
		"Example:\n  rollcall report session 05e57591-d89e-45c9-ae44-08dc1eaad0e0 --output svg --timezone Europe/Berlin > timeline.svg"
}

// Run reports.
func (c *reportSessionCmd) Run(a *app) error {
	q := url.Values{}
	set(q, "asOf", c.AsOf)
	var document jsontext.Value
	path := ""
	err := c.ofSession(a.Ctx, c.ID, func(id string) error {
		path = "/v1/sessions/" + segment(id)
		at := path
		if len(q) > 0 {
			at += "?" + q.Encode()
		}
		return c.ask(a.Ctx, at, &document)
	})
	if err != nil {
		return err
	}
	people, err := c.items(a.Ctx, path+"/participants", q)
	if err != nil {
		return err
	}
	if c.Output != outputSVG {
		rows, err := connectionRows(people)
		if err != nil {
			return err
		}
		return c.show(a.Stdout, rows, connectionColumns...)
	}
	session, err := projections.Parse[projections.Session](document)
	if err != nil {
		return fmt.Errorf("read session: %w", err)
	}
	participants, err := parsed[projections.Participant](people)
	if err != nil {
		return err
	}
	_, err = a.Stdout.Write(chart.Timeline(session, participants, chart.Options{Zone: c.Timezone.Or(time.UTC), Now: c.drawnUntil()}))
	return err
}

// connectionColumns are those of a session's connections.
var connectionColumns = []string{"participantId", "displayName", "peerId", "joinedAt", "leftAt", "closedBy", "seconds"}

// drawnUntil is where connections that are still open end.
func (c *reportSessionCmd) drawnUntil() time.Time {
	if c.AsOf == "" {
		return time.Now()
	}
	if t, ok := eventlog.ParseTime(c.AsOf); ok {
		return t.Std()
	}
	return time.Time{} // a sequence: the session's last event
}

// connectionRows has a row for each connection of each participant.
func connectionRows(people []item) ([]item, error) {
	var rows []item
	for _, p := range people {
		var connections []item
		if err := json.Unmarshal(p["connections"], &connections); err != nil {
			return nil, fmt.Errorf("read connections: %w", err)
		}
		for _, row := range connections {
			row["participantId"], row["displayName"] = p["participantId"], p["displayName"]
			rows = append(rows, row)
		}
	}
	return rows, nil
}

// parsed reads items as documents.
func parsed[D projections.Document](items []item) ([]D, error) {
	all := make([]D, len(items))
	for i, it := range items {
		b, err := json.Marshal(it)
		if err != nil {
			return nil, fmt.Errorf("read answer of the API: %w", err)
		}
		if all[i], err = projections.Parse[D](b); err != nil {
			return nil, fmt.Errorf("read answer of the API: %w", err)
		}
	}
	return all, nil
}

// drawUsage draws usage rows by day.
func drawUsage(w io.Writer, items []item, zone string) error {
	rows := make([]projections.UsageRow, len(items))
	for i, it := range items {
		r := &rows[i]
		r.Day, _ = projections.ParseDate(console.JSONText(it["day"])) // none: left out
		r.Organizer = projections.Organizer{ID: console.JSONText(it["organizerId"]), Name: console.JSONText(it["organizerName"])}
		if err := errors.Join(json.Unmarshal(it["participantSeconds"], &r.ParticipantSeconds), json.Unmarshal(it["recordingSeconds"], &r.RecordingSeconds)); err != nil {
			return fmt.Errorf("read usage: %w", err)
		}
	}
	_, err := w.Write(chart.Usage(rows, zone))
	return err
}
