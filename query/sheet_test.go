package query_test

import (
	"encoding/csv"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"
	"unicode"

	"pgregory.net/rapid"

	"rollcall/projections"
	"rollcall/query"
)

const byteOrderMark = "\ufeff"

// mixed is a session with the people that a spreadsheet makes something else of.
func (w *world) mixed() {
	w.post(started("s1", "m1", "=1+1", 0))
	for i, who := range []string{"007", "+4915112345678", "ann"} {
		peer := fmt.Sprint("peer-", i)
		w.post(joined("s1", "m1", peer, who, 60*i))
		w.post(left("s1", "m1", peer, who, 60*i, 93789))
	}
	w.post(ended("s1", "m1", 0, 93789))
	w.everywhere()
}

// sheet reads a list in the form for spreadsheets: its rows, by column.
func (w *world) sheet(path string) (rows []map[string]string) {
	w.t.Helper()
	a := w.get(path)
	body, marked := strings.CutPrefix(string(a.body), byteOrderMark)
	all, err := csv.NewReader(strings.NewReader(body)).ReadAll()
	if a.status != 200 || !marked || err != nil || len(all) == 0 {
		w.t.Fatalf("GET %s = %d %q, %v; want a byte order mark and CSV", path, a.status, a.body, err)
	}
	for _, line := range all[1:] {
		row := map[string]string{}
		for i, cell := range line {
			row[all[0][i]] = cell
		}
		rows = append(rows, row)
	}
	return rows
}

func TestSheet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mixed()
	people := w.sheet("/v1/sessions/s1/participants?format=sheet")
	if len(people) != 3 {
		t.Fatalf("participants = %v; want 3", people)
	}
	for i, want := range []map[string]string{
		{"participantId": `="+4915112345678"`, "displayName": `="Name +4915112345678"`, "attendedSeconds": "26:02:09", "attendanceRatio": "99.9%", "present": "FALSE"},
		{"participantId": `="007"`, "displayName": `="Name 007"`, "attendedSeconds": "26:03:09", "attendanceRatio": "100.0%", "sessionId": "s1"},
		{"participantId": "ann", "displayName": "Name ann", "attendedSeconds": "26:01:09", "gaps": "0"},
	} {
		for name, cell := range want {
			if got := people[i][name]; got != cell {
				t.Errorf("row %d, %s = %q; want %q", i, name, got, cell)
			}
		}
	}
	a := w.get("/v1/sessions?format=sheet&timezone=Asia/Kolkata", "Accept", "application/json")
	if got, want := a.header.Get("Content-Disposition"), `attachment; filename="sessions_sheet.csv"`; got != want {
		t.Errorf("Content-Disposition = %q; want %q", got, want)
	}
	if got, want := a.header.Get("Content-Type"), "text/csv; charset=utf-8; header=present"; got != want {
		t.Errorf("Content-Type = %q; want %q", got, want)
	}
	kolkata, err := time.LoadLocation("Asia/Kolkata")
	if err != nil {
		t.Fatal(err)
	}
	session := w.sheet("/v1/sessions?format=sheet&timezone=Asia/Kolkata")[0]
	if got, want := session["startedAt"], epoch.In(kolkata).Format(time.DateTime); got != want {
		t.Errorf("startedAt in Asia/Kolkata = %q; want %q", got, want)
	}
	if got, want := session["title"]+" "+session["durationSeconds"]+" "+session["stale"], "'=1+1 26:03:09 FALSE"; got != want {
		t.Errorf("session = %q; want %q", got, want)
	}
	usage := w.sheet("/v1/usage?format=sheet&groupBy=day,meeting&timezone=Asia/Kolkata")
	if got, want := usage[0]["day"], epoch.In(kolkata).Format(time.DateOnly); len(usage) != 3 && len(usage) != 2 || got != want {
		t.Errorf("usage = %v; want its first day %s", usage, want)
	}
	// The time zone changes the form alone: a page's cursor stays good.
	page := w.items("/v1/sessions/s1/participants?limit=1")
	if rest := w.sheet("/v1/sessions/s1/participants?format=sheet&timezone=Asia/Kolkata&cursor=" + *page.NextCursor); len(rest) != 2 {
		t.Errorf("the sheet from the second page on = %v; want 2 rows", rest)
	}
}

// TestEveryListIsASheet: all lists have the form, with the columns of CSV.
func TestEveryListIsASheet(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	w.close("2026-03")
	for _, path := range []string{"/v1/sessions", "/v1/meetings/live", "/v1/sessions/s1/participants", "/v1/sessions/s1/events", "/v1/participants", "/v1/participants/ann/sessions",
		"/v1/recordings", "/v1/livestreams", "/v1/usage", "/v1/projections", "/v1/events", "/v1/closings", "/v1/closings/2026-03.UTC/rows", "/v1/closings/2026-03.UTC/changes"} {
		programs, people := w.get(path+"?format=csv"), w.get(path+"?format=sheet")
		head, _, _ := strings.Cut(string(programs.body), "\r\n")
		if !strings.HasPrefix(string(people.body), byteOrderMark+head+"\r\n") {
			t.Errorf("GET %s?format=sheet = %q; want the columns %s", path, people.body, head)
		}
		if got, want := strings.Count(string(people.body), "\r\n"), strings.Count(string(programs.body), "\r\n"); got != want {
			t.Errorf("GET %s?format=sheet has %d lines; want %d as CSV has", path, got, want)
		}
	}
}

// TestFileNames: a list is saved by a name that says which list it is, what narrows it,
// and its form, and that any system takes.
func TestFileNames(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	for path, want := range map[string]string{
		"/v1/sessions?":                            "sessions",
		"/v1/meetings/live?stale=true&":            "live-meetings_stale",
		"/v1/sessions?sort=lastEventAt&":           "sessions",
		"/v1/sessions?from=2026-03-01&q=a%2Fb%22&": "sessions_2026-03-01_a-b",
		"/v1/usage?groupBy=month&groupBy=organizer&from=2026-03-01&to=2026-04-01&timezone=Asia/Kolkata&": "usage_month-organizer_2026-03-01_2026-04-01_Asia-Kolkata",
		"/v1/sessions/s1/participants?attendedAtLeast=0.85&":                                             "participants_0.85_s1",
		"/v1/participants/ann/sessions?":                                                                 "participant-sessions_ann",
		"/v1/sessions?q=" + strings.Repeat("é", 200) + "x" + strings.Repeat("y", 60) + "&":               "sessions_x" + strings.Repeat("y", 39),
	} {
		for form, end := range map[string]string{"csv": ".csv", "sheet": "_sheet.csv"} {
			a := w.get(path + "format=" + form)
			if got, want := a.header.Get("Content-Disposition"), `attachment; filename="`+want+end+`"`; a.status != 200 || got != want {
				t.Errorf("GET %sformat=%s = %d, Content-Disposition %q; want %q: %s", path, form, a.status, got, want, a.body[:min(len(a.body), 200)])
			}
		}
	}
	if a := w.get("/v1/sessions"); a.header.Get("Content-Disposition") != "" {
		t.Errorf("GET /v1/sessions = Content-Disposition %q; want none", a.header.Get("Content-Disposition"))
	}
}

// TestRecordsAndUsageEndWithAllRows: lists that are read from the log, or added
// up, have all rows as a file too.
func TestRecordsAndUsageEndWithAllRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	const n = 1010
	for i := range n {
		w.post(started("s1", fmt.Sprintf("m%04d", i), "", i))
		w.post(started(fmt.Sprintf("s%04d", i), fmt.Sprintf("m%04d", i), "", i))
	}
	w.everywhere() // an answer has 15 seconds, which a slow machine needs for the rows
	for path, want := range map[string]int{"/v1/events": 2 * n, "/v1/sessions/s1/events": n, "/v1/usage?groupBy=meeting": n, "/v1/sessions": n + 1} {
		for _, form := range []string{"csv", "sheet"} {
			mark := "?"
			if strings.Contains(path, "?") {
				mark = "&"
			}
			a := w.get(path + mark + "format=" + form)
			if got := strings.Count(string(a.body), "\r\n") - 1; a.status != 200 || got != want {
				t.Errorf("GET %s as %s = %d, %d rows; want %d", path, form, a.status, got, want)
			}
		}
	}
}

func TestSheetCells(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		kind     projections.Kind
		in, want string
	}{
		{projections.KindText, "007", `"=""007"""`}, {projections.KindText, "+49 151", `"=""+49 151"""`}, {projections.KindText, "1e5", `"=""1e5"""`},
		{projections.KindText, "Mar 5", `"=""Mar 5"""`}, {projections.KindText, "5-1", `"=""5-1"""`}, {projections.KindText, "true", `"=""true"""`}, {projections.KindText, "#N/A", `"=""#N/A"""`},
		{projections.KindText, "12:30", `"=""12:30"""`}, {projections.KindText, "５", `"=""５"""`}, {projections.KindText, `5"`, `"=""5''"""`}, {projections.KindText, "5;=1", `"=""5;'=1"""`},
		{projections.KindText, "ann", `"ann"`}, {projections.KindText, "s1", `"s1"`}, {projections.KindText, "p-1", `"p-1"`}, {projections.KindText, `a "b"`, `"a ''b''"`}, {projections.KindText, "", ""},
		{projections.KindText, "=1+1", `"'=1+1"`}, {projections.KindText, ";=1+1", `"';'=1+1"`}, {projections.KindText, "+1+x!A0", `"'+1+x!A0"`}, {projections.KindText, "\t=1", "\"'\t'=1\""}, {projections.KindText, "\r@x", "\"'\r'@x\""}, {projections.KindText, "-x", `"'-x"`},
		{projections.KindText, strings.Repeat("5", 256), `"` + strings.Repeat("5", 256) + `"`},
		{projections.KindTime, "2026-01-31T23:30:00.75Z", "2026-02-01 00:30:00"}, {projections.KindTime, "x", `"x"`}, {projections.KindDate, "2026-01-31", "2026-01-31"}, {projections.KindDate, "2026", `"=""2026"""`},
		{projections.KindSeconds, "93789", "26:03:09"}, {projections.KindSeconds, "59.5", "0:01:00"}, {projections.KindSeconds, "0", "0:00:00"}, {projections.KindSeconds, "36000000", "10000:00:00"},
		{projections.KindRatio, "0.85", "85.0%"}, {projections.KindRatio, "0.8325", "83.3%"}, {projections.KindRatio, "1", "100.0%"}, {projections.KindBool, "true", "TRUE"}, {projections.KindBool, "false", "FALSE"}, {projections.KindInteger, "12", "12"},
	} {
		if got := string(query.AppendSheet(nil, []projections.Kind{c.kind}, []string{c.in}, time.FixedZone("", 3600))); got != c.want+"\r\n" {
			t.Errorf("sheet's cell of %q = %q; want %q", c.in, got, c.want+"\r\n")
		}
	}
}

// TestNothingIsComputedInSheets: whatever a text is, and wherever a spreadsheet
// splits, no text is a part of a formula.
func TestNothingIsComputedInSheets(t *testing.T) {
	t.Parallel()
	alphabet := []rune{'=', '+', '-', '@', ';', ',', '\t', '\n', '\r', ' ', '"', '\'', 'x', 'A', '1', '5', '.', '!', '|', '&', '*', '(', '/', '\u00a0', '＝'}
	rapid.Check(t, func(rt *rapid.T) {
		cells := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 10, -1), 3, 3).Draw(rt, "cells")
		kinds := []projections.Kind{projections.KindText, projections.KindText, projections.KindSeconds, projections.KindText}
		text := string(query.AppendSheet(nil, kinds, []string{cells[0], cells[1], "62", cells[2]}, time.UTC))
		for _, cut := range []rune{',', ';', '\t'} {
			for _, cell := range append(keepsQuotes(text, cut), endsQuotes(text, cut)...) {
				if computed(cell) {
					rt.Errorf("%q, split at %q, has the cell %q", text, cut, cell)
				}
			}
		}
	})
}

// keepsQuotes splits as LibreOffice does: a quote that no separator follows is one
// of the cell's.
func keepsQuotes(text string, cut rune) (cells []string) {
	r := csv.NewReader(strings.NewReader(text))
	r.Comma, r.LazyQuotes, r.FieldsPerRecord = cut, true, -1
	rows, _ := r.ReadAll()
	return slices.Concat(rows...)
}

// endsQuotes splits as Excel does: the first single quote ends the quoted part.
func endsQuotes(text string, cut rune) (cells []string) {
	for text != "" {
		var cell strings.Builder
		if strings.HasPrefix(text, `"`) {
			for text = text[1:]; text != ""; text = text[1:] {
				if text[0] == '"' {
					if !strings.HasPrefix(text, `""`) {
						text = text[1:]
						break
					}
					text = text[1:]
				}
				cell.WriteByte(text[0])
			}
		}
		end := strings.IndexAny(text, string(cut)+"\r\n")
		if end < 0 {
			end = len(text)
		}
		cell.WriteString(text[:end])
		cells = append(cells, cell.String())
		if text = text[end:]; text != "" {
			text = text[1:]
		}
	}
	return cells
}

// computed reports whether a cell is a formula with anything in it but texts and
// numbers. A text that follows another without an operator makes it none.
func computed(cell string) bool {
	cell = strings.TrimLeftFunc(cell, unicode.IsSpace)
	if cell == "" || !strings.ContainsRune("=+-@＝", []rune(cell)[0]) {
		return false
	}
	literal, after := false, false
	for _, r := range cell {
		switch {
		case r == '"':
			literal, after = !literal, literal
		case literal:
		case unicode.IsSpace(r): // no operator: a text after it makes no formula either
		case strings.ContainsRune(",:.%()/=+-0123456789", r):
			after = false
		default:
			return !after
		}
	}
	return false
}
