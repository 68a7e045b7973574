package query_test

import (
	"encoding/csv"
	"fmt"
	"net/http"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"

	"pgregory.net/rapid"

	"rollcall/query"
)

func line(cells ...string) string { return string(query.AppendCSV(nil, cells)) }

func TestAppendCSV(t *testing.T) {
	t.Parallel()
	for in, want := range map[string]string{
		"": "", "plain": "plain", "=1+1": "'=1+1", "+1": "'+1", "-1": "'-1", "@x": "'@x", "\tx": "'\tx", "\rx": "\"'\rx\"",
		" =x": "' =x", "＝x": "'＝x", "\x00=": "'\x00=", "a,b": `"a,b"`, `a"b`: `"a""b"`, "a\nb": "\"a\nb\"", "12": "12", "a=b": "a=b", "a-b": "a-b",
		"x;=1+1;y": "x;'=1+1;y", "Bob\t=1+1": "Bob\t'=1+1", " =1+1": "' =1+1", "\u00a0=1+1": "'\u00a0=1+1", "\ufeff=1+1": "'\ufeff=1+1", "\v=1+1": "'\v=1+1", "-2-3": "'-2-3",
		"a;\u200b -x": "a;'\u200b -x", `x;"=1+1"`: `"x;'""=1+1"""`, "a\r\n@x": "\"a\r\n'@x\"", "Ann; Bob": "Ann; Bob", "﹣x": "'﹣x",
	} {
		if got := line(in); got != want+"\r\n" {
			t.Errorf("AppendCSV(%q) = %q; want %q", in, got, want+"\r\n")
		}
	}
	if got, want := line("a", "", "=b", "-1.5", "-2-3"), "a,,'=b,-1.5,'-2-3\r\n"; got != want {
		t.Errorf("AppendCSV = %q; want %q", got, want)
	}
}

// TestNothingIsComputed: whatever a text is, and wherever a spreadsheet splits
// and whether it respects quotes there, no cell begins as a formula does.
func TestNothingIsComputed(t *testing.T) {
	t.Parallel()
	alphabet := []rune{'=', '+', '-', '@', ';', ',', '\t', '\n', '\r', ' ', '"', '\'', 'x', '1', '.', '\v', '\x00', '\u00a0', '\ufeff', '\u200b', '＝', '\u2028'}
	computed := func(cell string) bool {
		cell = strings.TrimLeftFunc(cell, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) })
		return cell != "" && strings.ContainsRune("=+-@＝＋－＠", []rune(cell)[0])
	}
	plain := regexp.MustCompile(`^-[0-9]+(\.[0-9]+)?$`).MatchString
	rapid.Check(t, func(rt *rapid.T) {
		cells := rapid.SliceOfN(rapid.StringOfN(rapid.SampledFrom(alphabet), 0, 8, -1), 1, 3).Draw(rt, "cells")
		text := line(cells...)
		for _, cut := range []rune{',', ';', '\t'} {
			r := csv.NewReader(strings.NewReader(text))
			r.Comma, r.LazyQuotes, r.FieldsPerRecord = cut, true, -1
			rows, _ := r.ReadAll()
			for _, row := range rows {
				for i, cell := range row {
					if computed(cell) && (i == 0 || !plain(cell)) {
						rt.Errorf("%q, split at %q, has the cell %q", text, cut, cell)
					}
				}
			}
		}
		for _, cell := range strings.FieldsFunc(text, func(r rune) bool { return strings.ContainsRune(";\t\r\n", r) }) {
			if computed(cell) {
				rt.Errorf("%q, split without a look at quotes, has the cell %q", text, cell)
			}
		}
	})
}

// TestCSVEndsWithAllRows: without a limit a list as CSV has all rows, with one
// a page; over NATS and as HEAD too.
func TestCSVEndsWithAllRows(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	docs, people := map[string][]byte{}, map[string][]byte{}
	const n = 1203
	for i := range n {
		id := fmt.Sprintf("s%04d", i)
		docs["live."+id] = sessionDoc(id, "m", "=title", "LIVE", i%7)
		people["s0000."+id] = mustJSON(map[string]any{"sessionId": "s0000", "participantId": id, "displayName": id, "connections": []any{}, "present": true})
	}
	s.commit("sessions", docs)
	w.last = s.commit("attendance", people)
	for path, want := range map[string]int{
		"/v1/sessions?format=csv": n, "/v1/sessions?format=csv&sort=title": n, "/v1/sessions?format=sheet": n, "/v1/sessions?format=csv&limit=7": 7, "/v1/sessions?format=csv&q=s01": 100,
		"/v1/sessions/s0000/participants?format=csv": n, "/v1/sessions?format=csv&q=nothing": 0,
	} {
		a := w.get(path)
		rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
		if err != nil || len(rows) != want+1 {
			t.Errorf("GET %s = %d rows, %v; want a header and %d", path, len(rows), err, want)
			continue
		}
		item := "Session"
		if strings.Contains(path, "participants") {
			item = "Participant"
		}
		if columns := query.Columns(item); strings.Contains(path, "csv") && !slices.Equal(rows[0], columns) {
			t.Errorf("GET %s has the header %q; Columns(%s) says %q", path, rows[0], item, columns)
		}
		seen := map[string]bool{}
		for _, row := range rows[1:] {
			seen[row[0]+row[1]] = true
		}
		if len(seen) != want {
			t.Errorf("GET %s has %d different rows; want %d", path, len(seen), want)
		}
		if got := a.header.Get("Rollcall-Next-Cursor"); (got != "") != strings.Contains(path, "limit") {
			t.Errorf("GET %s: Rollcall-Next-Cursor = %q; want one where there is a limit", path, got)
		}
	}
	rows := w.items("/v1/sessions")
	rest := w.get("/v1/sessions?format=csv&cursor=" + url.QueryEscape(*rows.NextCursor))
	if got := strings.Count(string(rest.body), "\r\n"); got != n-100+1 {
		t.Errorf("CSV from the second page on = %d lines; want %d", got, n-100+1)
	}
	res, err := w.server.Client().Head(w.server.URL + "/v1/sessions?format=csv")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK || !strings.HasPrefix(res.Header.Get("Content-Type"), "text/csv") {
		t.Errorf("HEAD = %d %v; want 200 and CSV", res.StatusCode, res.Header)
	}
}
