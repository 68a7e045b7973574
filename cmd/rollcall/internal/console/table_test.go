package console

import (
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"
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
	g.Add("2026-07-01T10:00:00Z", nil, 1.0, "0.8325")
	got := drawn(t, form{zone: berlin}, g)
	for _, want := range []string{"Started at (CET/CEST)", "2026-02-01 00:30:00", "2026-07-01 12:00:00", "Duration", "26:03:09", "0.25", "85.0 %", "83.3 %"} {
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

// TestNoLineIsWider: whatever is in a table, and however many columns it has, no line
// is wider than the terminal, down to one of 24 columns.
func TestNoLineIsWider(t *testing.T) {
	t.Parallel()
	names := []string{"id", "sessionId", "participantId", "displayName", "startedAt", "durationSeconds", "state", "error", "bucket", "sequence", "maxConcurrentParticipants", "key"}
	values := []any{"", nil, "Bob", strings.Repeat("Ä", 300), strings.Repeat("会議", 40), strings.Repeat("👩‍👩‍👧 🇩🇪 ❤️ ", 9), "a\x1b[31mb\nc\t", strings.Repeat("e\u0301", 90), "2026-03-02T09:00:00Z", "93789.4",
		"5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b", strings.Repeat("long words ", 20), 123456789, 0.123456, true}
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 1))
		g := &Grid{Least: []string{"error"}}
		for _, i := range r.Perm(len(names))[:1+r.IntN(len(names))] {
			g.Columns = append(g.Columns, names[i])
			if r.IntN(5) == 0 {
				g.Whole = append(g.Whole, names[i])
			}
		}
		for range r.IntN(6) {
			row := make([]any, len(g.Columns))
			for i := range row {
				row[i] = values[r.IntN(len(values))]
			}
			g.Add(row...)
		}
		width := 24 + r.IntN(180)
		got := drawn(t, form{zone: time.UTC, width: width}, g)
		for line := range strings.Lines(got) {
			if w := text.StringWidth(strings.TrimSuffix(line, "\n")); w > width {
				t.Fatalf("seed %d: a table at %d columns has a line of %d:\n%s", seed, width, w, got)
			}
		}
	}
}

// TestWholeColumns: what is passed on to another command is neither cut nor left out
// where there is another way.
func TestWholeColumns(t *testing.T) {
	t.Parallel()
	id := "2026-10.America.Argentina.Buenos_Aires.2"
	g := &Grid{Columns: []string{"id", "month", "timezone", "sequence", "sessions", "participantSeconds"}, Whole: []string{"id"}}
	g.Add(id, "2026-10", "America/Argentina/Buenos_Aires", 1234567, 5000, 123456.0)
	for _, width := range []int{80, 60, 44} {
		if got := drawn(t, form{zone: time.UTC, width: width}, g); !strings.Contains(got, " "+id+" ") {
			t.Errorf("table at %d columns =\n%s\nwant it to have %s", width, got, id)
		}
	}
	if got := drawn(t, form{zone: time.UTC, width: 30}, g); !strings.Contains(got, " 2026-10.America.Argentina") || !strings.Contains(got, "…") {
		t.Errorf("table at 30 columns =\n%s\nwant the id, cut", got)
	}
}

// BenchmarkTable draws 10,000 rows: at 80 columns, where cells are cut and columns left
// out, and with all of them.
func BenchmarkTable(b *testing.B) {
	g := &Grid{Columns: []string{"sessionId", "participantId", "displayName", "firstJoinedAt", "lastLeftAt", "present", "connectedSeconds", "attendedSeconds", "attendanceRatio", "gaps"},
		Least: []string{"connectedSeconds", "gaps", "present", "lastLeftAt"}}
	for i := range 10_000 {
		g.Add(fmt.Sprintf("5f1e2a3b-0c4d-4e5f-8a9b-%012d", i), fmt.Sprintf("student-%d", i), fmt.Sprintf("Herr Professor Doktor %d von Hohenlohe-Langenburg der Ältere", i),
			"2026-03-02T09:00:10Z", "2026-03-02T10:30:00Z", "false", "5400.25", "5100", "0.9444", 1)
	}
	for _, width := range []int{80, 0} {
		b.Run(fmt.Sprint(width), func(b *testing.B) {
			for b.Loop() {
				if err := (form{width: width, zone: time.UTC}).print(io.Discard, g); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// TestZone: times are of the zone that is named; --utc is stronger.
func TestZone(t *testing.T) {
	t.Parallel()
	var z Zone
	for _, name := range []string{"Local", "Nowhere", "posix/UTC"} {
		if err := z.UnmarshalText([]byte(name)); err == nil {
			t.Errorf("UnmarshalText(%q) = nil; want an error", name)
		}
	}
	if err := z.UnmarshalText([]byte("Asia/Kolkata")); err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)
	for want, f := range map[string]TableFlags{"2026-03-02 17:30:00 IST": {Timezone: z}, "2026-03-02 12:00:00 UTC": {Timezone: z, UTC: true}, at.Local().Format("2006-01-02 15:04:05 MST"): {}} {
		if got := f.Time(at); got != want {
			t.Errorf("Time() with %+v = %q; want %q", f, got, want)
		}
	}
}

// TestLine: what has no room beside a label goes on below it, and no sign of it is lost.
func TestLine(t *testing.T) {
	t.Setenv("COLUMNS", "20")
	for _, c := range []struct{ label, said, want string }{
		{"log   ", "short", "log   short\n"},
		{"log   ", "three words and more of them", "log   three words\n      and more of\n      them\n"},
		{"a label that is wide ", "word", "a label that is wide\nword\n"},
		{"", strings.Repeat("x", 45), strings.Repeat("x", 20) + "\n" + strings.Repeat("x", 20) + "\n" + "xxxxx\n"},
		{"  ", "", "  \n"},
	} {
		if got := (TableFlags{}).Line(io.Discard, c.label, c.said); got != c.want {
			t.Errorf("Line(%q, %q) = %q; want %q", c.label, c.said, got, c.want)
		}
	}
	if got := (TableFlags{Wide: true}).Line(io.Discard, "", strings.Repeat("x", 45)); got != strings.Repeat("x", 45)+"\n" {
		t.Errorf("Line with --wide = %q; want it whole", got)
	}
	// A word may be a document: 4 MB of one are a moment's work, not a quarter of an hour's.
	whole := strings.Repeat("é,", 4<<20/3)
	if got := (TableFlags{}).Line(io.Discard, "", whole); strings.ReplaceAll(got, "\n", "") != whole || strings.Count(got, "\n") != (2*(4<<20/3)+19)/20 {
		t.Errorf("Line of %d bytes = %d bytes on %d lines; want all of them, 20 to a line", len(whole), len(got), strings.Count(got, "\n"))
	}
}

// TestStream: rows that come one by one keep the width and the zone of the head; without
// a terminal nothing is cut.
func TestStream(t *testing.T) {
	like := &Grid{Columns: []string{"sequence", "receivedAt", "sessionId", "type"}}
	like.Add(1, "2026-01-01T12:00:00Z", strings.Repeat("i", 36), strings.Repeat("t", 20))
	for columns, want := range map[string]string{
		"60": " 1234567   2026-03-02 12:00:00  5f1e2a3b…  meeting.partici… \n",
		"":   " 1234567   2026-03-02 12:00:00  5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b  meeting.participantJoined \n",
	} {
		t.Setenv("COLUMNS", columns)
		var b strings.Builder
		s, err := TableFlags{UTC: true}.Stream(&b, &b, like)
		if err != nil || !strings.Contains(b.String(), "(UTC)") {
			t.Fatalf("Stream() = %v, %q; want a head with UTC", err, b.String())
		}
		b.Reset()
		if err := s.Add(1234567, "2026-03-02T12:00:00Z", "5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b", "meeting.participantJoined"); err != nil || b.String() != want {
			t.Errorf("a row at %q columns = %q, %v; want %q", columns, b.String(), err, want)
		}
	}
}

// TestShortIDsDiffer: ids that get short stay different from one another, however far
// they begin alike; what goes instead is another column.
func TestShortIDsDiffer(t *testing.T) {
	t.Parallel()
	ids := []string{"0193a1b2-7f00-7abc-8def-000000000001", "0193a1b2-7f00-7abc-8def-000000000002", "5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b"}
	alike := []string{"lesson-2026-03-02-a", "lesson-2026-03-02-b", "会議会議会議会議会議会議議", "会議会議会議会議会議会議会"}
	for _, list := range [][]string{ids, ids[1:], alike} {
		g := &Grid{Columns: []string{"sessionId", "title", "startedAt", "attendedSeconds", "attendanceRatio"}, Least: []string{"attendanceRatio"}}
		for _, id := range list {
			g.Add(id, "Introduction to the theory of computation, part two", "2026-03-02T09:00:00Z", "5100", "0.9444")
		}
		got := drawn(t, form{zone: time.UTC, width: 80}, g)
		seen := map[string]bool{}
		for line := range strings.Lines(got) {
			if first, _, _ := strings.Cut(strings.TrimSpace(line), " "); first != "" {
				for _, id := range list {
					if first == id || strings.HasSuffix(first, "…") && strings.HasPrefix(id, strings.TrimSuffix(first, "…")) {
						seen[first] = true
					}
				}
			}
		}
		if len(seen) != len(list) {
			t.Errorf("table at 80 columns =\n%s\nwant %d ids that differ", got, len(list))
		}
	}
}
