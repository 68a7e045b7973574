package main

import (
	"cmp"
	"fmt"
	"io"
	"net/url"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/query"
)

// reportAttendanceCmd is `rollcall report attendance`.
type reportAttendanceCmd struct {
	listFlags
	span
	attendedFlag
	ID      string `arg:"" optional:"" name:"session" help:"Only this session: its id, or a beginning that no other's has."`
	Session string `help:"The same as the argument." placeholder:"ID"`
	Meeting string `help:"Only sessions of this meeting." placeholder:"ID"`
}

// attendedFlag narrows a report to who was there for long enough.
type attendedFlag struct {
	AttendedAtLeast string `help:"Only people who attended at least this share of the session, from 0 to 1, like 0.85; sessions that ended alone." placeholder:"SHARE"`
}

func (f attendedFlag) add(q url.Values) url.Values {
	set(q, "attendedAtLeast", f.AttendedAtLeast)
	return q
}

// Help is the command's example.
func (reportAttendanceCmd) Help() string {
	return "Prints a row for each person and session: connected seconds are what providers bill, attended seconds count two devices once.\n\n" +
		"Examples:\n  rollcall report attendance 05e57591-d89e-45c9-ae44-08dc1eaad0e0 --attended-at-least 0.85\n" +
		"  rollcall report attendance --from 2026-03-01T00:00:00Z --to 2026-04-01T00:00:00Z --output csv"
}

// Run reports.
func (c *reportAttendanceCmd) Run(a *app) error {
	if c.ID != "" && c.Session != "" && c.ID != c.Session {
		return console.Usagef("sessions %q and %q are both named: give one of them", c.ID, c.Session)
	}
	if one := cmp.Or(c.ID, c.Session); one != "" {
		return c.ofSession(a.Ctx, one, func(id string) error { return c.report(a, []string{id}) })
	}
	q := c.values()
	set(q, "meetingId", c.Meeting)
	items, err := c.items(a.Ctx, "/v1/sessions", q)
	if err != nil {
		return err
	}
	var sessions []string
	for _, it := range items {
		sessions = append(sessions, console.JSONText(it["sessionId"]))
	}
	return c.report(a, sessions)
}

// report prints the participants of sessions.
func (c *reportAttendanceCmd) report(a *app, sessions []string) error {
	if c.asFile() {
		return c.attendanceFile(a, sessions)
	}
	var rows []item
	for _, id := range sessions {
		people, err := c.items(a.Ctx, "/v1/sessions/"+segment(id)+"/participants", c.add(url.Values{}))
		if err != nil {
			return err
		}
		rows = append(rows, people...)
	}
	return c.show(a.Stdout, rows, query.Columns("Participant")...)
}

// attendanceFile writes the sessions' participants under one header.
func (c *reportAttendanceCmd) attendanceFile(a *app, sessions []string) error {
	if len(sessions) == 0 {
		return c.show(a.Stdout, nil, query.Columns("Participant")...)
	}
	for i, id := range sessions {
		if err := c.copy(a.Ctx, a.Stdout, "/v1/sessions/"+segment(id)+"/participants", c.add(url.Values{}), i == 0); err != nil {
			return err
		}
	}
	return nil
}

// reportPersonCmd is `rollcall report person`.
type reportPersonCmd struct {
	listFlags
	span
	attendedFlag
	Person string `arg:"" name:"name-or-id" help:"The person's id, or a part of it or of a name; letter case and accents don't count."`
}

// Help is the command's example.
func (reportPersonCmd) Help() string {
	return "Prints a row for each session that the person was in. Where several people match, it lists them: name the one by id.\n\n" +
		"Examples:\n  rollcall report person \"Ada Lovelace\"\n  rollcall report person student-42 --from 2026-03-01"
}

// Run reports.
func (c *reportPersonCmd) Run(a *app) error {
	found := url.Values{"q": {c.Person}}
	people, err := c.items(a.Ctx, "/v1/participants", found)
	if err != nil {
		return err
	}
	who, one := chosen(people, c.Person)
	switch {
	case len(people) == 0:
		return console.NotFoundf("nobody has %q in an id or a name: give a shorter part of it", c.Person)
	case !one && c.asFile():
		return c.copy(a.Ctx, a.Stdout, "/v1/participants", url.Values{"q": {c.Person}}, true)
	case !one:
		if c.Output == "table" {
			for _, p := range people {
				p.join("names")
			}
			fmt.Fprintf(a.Stderr, "%d people have %q in an id or a name: name one by id\n", len(people), c.Person)
		}
		return c.showPeople(a.Stdout, people)
	}
	path, q := "/v1/participants/"+segment(who)+"/sessions", c.add(c.values())
	if c.asFile() {
		return c.copy(a.Ctx, a.Stdout, path, q, true)
	}
	sessions, err := c.items(a.Ctx, path, q)
	if err != nil {
		return err
	}
	if c.Output == "table" {
		for _, it := range sessions {
			it.lift("session", "title", "startedAt", "durationSeconds")
		}
	}
	return c.show(a.Stdout, sessions, personColumns...)
}

// showPeople prints the people of one name. One is to be named by id, so the ids stay whole.
func (f apiFlags) showPeople(w io.Writer, people []item) error {
	return f.list(w, people, &console.Grid{Columns: query.Columns("Person"), Whole: []string{"participantId"}, Least: []string{"names", "sessions"}})
}

// chosen is the person that a text names: the one of exactly this id, else the
// only one.
func chosen(people []item, text string) (id string, one bool) {
	for _, p := range people {
		if id = console.JSONText(p["participantId"]); id == text {
			return id, true
		}
	}
	return id, len(people) == 1
}

// join makes a list of texts one text.
func (it item) join(name string) {
	var list []string
	if json.Unmarshal(it[name], &list) == nil {
		it[name], _ = jsontext.AppendQuote(nil, strings.Join(list, ", ")) // it was UTF-8 already
	}
}

// lift copies members of an object within the item to the item.
func (it item) lift(from string, names ...string) {
	var object map[string]jsontext.Value
	if json.Unmarshal(it[from], &object) != nil {
		return // null: there is nothing to copy
	}
	for _, name := range names {
		it[name] = object[name]
	}
}

// personColumns are those that a table of a person's sessions has room for. The name is
// the last, and so the first that goes: whose sessions they are was asked.
var personColumns = []string{"sessionId", "title", "startedAt", "durationSeconds", "attendedSeconds", "attendanceRatio", "gaps", "longestGapSeconds", "displayName"}
