package console

import (
	"strings"
	"testing"
	"time"
)

func drawn(t *testing.T, f form, g *Grid) string {
	t.Helper()
	var b strings.Builder
	if err := f.print(&b, g); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

// TestTableTimes: times are of the zone that the head names; both names of one
// that changes its clocks.
func TestTableTimes(t *testing.T) {
	t.Parallel()
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	g := &Grid{Columns: []string{"startedAt", "durationSeconds", "lagSeconds", "attendanceRatio"}}
	g.Add("2026-01-31T23:30:00.5Z", "93789.4", 0.25, "0.85")
	g.Add("2026-07-01T10:00:00Z", nil, 1.0, nil)
	got := drawn(t, form{zone: berlin}, g)
	for _, want := range []string{"Started at (CET/CEST)", "2026-02-01 00:30:00", "2026-07-01 12:00:00", "Duration", "26:03:09", "0.25", "85.0 %"} {
		if !strings.Contains(got, want) {
			t.Errorf("table =\n%s\nwant it to have %q", got, want)
		}
	}
	if got := drawn(t, form{zone: time.UTC}, g); !strings.Contains(got, "Started at (UTC)") || !strings.Contains(got, "2026-01-31 23:30:00") {
		t.Errorf("table in UTC =\n%s\nwant its times in UTC", got)
	}
}

// TestTableColors: states have colors where the form says so, and no other cell.
func TestTableColors(t *testing.T) {
	t.Parallel()
	g := &Grid{Columns: []string{"status", "title"}}
	g.Add("ERRORED", "LIVE")
	if got := drawn(t, form{zone: time.UTC, color: true}, g); strings.Count(got, "\x1b[31mERRORED\x1b[0m") != 1 || strings.Contains(got, "mLIVE") {
		t.Errorf("table = %q; want ERRORED in red and LIVE, a title, as it is", got)
	}
	if got := drawn(t, form{zone: time.UTC}, g); strings.Contains(got, "\x1b") {
		t.Errorf("table without colors = %q", got)
	}
}

// TestOneLongName: one long name makes no other column narrower than it must.
func TestOneLongName(t *testing.T) {
	t.Parallel()
	g := &Grid{Columns: []string{"sessionId", "displayName", "attendedSeconds"}}
	g.Add("5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b", strings.Repeat("Ä", 300), "60")
	g.Add("s1", "Bob", "3600")
	got := drawn(t, form{zone: time.UTC, width: 60}, g)
	for _, want := range []string{"5f1e2a3b…", " s1 ", " Bob ", "1:00:00", "ÄÄ…"} {
		if !strings.Contains(got, want) {
			t.Errorf("table =\n%s\nwant it to have %q", got, want)
		}
	}
	if strings.Contains(got, "Left out") {
		t.Errorf("table =\n%s\nwant all columns: there is room", got)
	}
	if whole := drawn(t, form{zone: time.UTC}, g); !strings.Contains(whole, strings.Repeat("Ä", 300)) {
		t.Error("a table of any width cuts a name")
	}
}
