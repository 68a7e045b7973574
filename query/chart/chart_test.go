package chart_test

import (
	"bytes"
	"encoding/xml"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/chart"
)

var update = flag.Bool("update", false, "rewrite the golden files")

var base = time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)

func at(minutes float64) eventlog.Time {
	return eventlog.TimeOf(base.Add(time.Duration(minutes * float64(time.Minute))))
}

func person(id, name string, connections ...projections.Connection) projections.Participant {
	return projections.Participant{SessionID: "s", ParticipantID: id, DisplayName: name, Connections: connections, FirstJoinedAt: connections[0].JoinedAt}
}

func between(peer string, from, to float64, closedBy string) projections.Connection {
	return projections.Connection{PeerID: peer, JoinedAt: at(from), LeftAt: at(to), ClosedBy: closedBy}
}

func lecture() (projections.Session, []projections.Participant) {
	return projections.Session{SessionID: "s", Title: "Lecture: waves", Status: projections.Ended, StartedAt: at(0), EndedAt: at(50), LastEventAt: at(50)},
		[]projections.Participant{
			person("ada", "Ada", between("p1", 0, 20, "LEFT"), between("p2", 25, 50, "MEETING_END")),
			person("grace", "Grace", between("p3", 5, 30, "LEFT"), between("p4", 20, 45, "LEFT")),
			person("late", "", between("p5", 40, 60, "LEFT")),
			person("open", "Who stays", projections.Connection{PeerID: "p6", JoinedAt: at(10)}),
		}
}

// golden holds a chart against its file, and that it is well-formed.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	elements(t, got)
	file := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(file, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what is drawn; look at the difference, then run go test ./query/chart -update", file)
	}
}

// elements reads the file as XML and counts its elements by name.
func elements(t *testing.T, svg []byte) map[string]int {
	t.Helper()
	names := map[string]int{}
	for d := xml.NewDecoder(bytes.NewReader(svg)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return names
		}
		if err != nil {
			t.Fatalf("the chart is no XML: %v\n%s", err, svg)
		}
		if e, ok := token.(xml.StartElement); ok {
			names[e.Name.Local]++
			for _, a := range e.Attr {
				if strings.HasPrefix(a.Name.Local, "on") || a.Name.Local == "href" {
					t.Errorf("<%s> has an attribute %s", e.Name.Local, a.Name.Local)
				}
			}
		}
	}
}

func TestTimeline(t *testing.T) {
	s, people := lecture()
	golden(t, "timeline.svg", chart.Timeline(s, people, chart.Options{}))
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	s.Status, s.EndedAt = projections.Live, 0
	golden(t, "timeline-live.svg", chart.Timeline(s, people, chart.Options{Zone: berlin, Now: base.Add(time.Hour)}))
}

// TestTimelineOfAnything: no document makes a chart fail, or endless.
func TestTimelineOfAnything(t *testing.T) {
	many := make([]projections.Participant, 3000)
	for i := range many {
		many[i] = person(fmt.Sprint(i), fmt.Sprint("P", i), between("p", float64(i%60), float64(i%60)-3, "LEFT"))
	}
	cases := map[string]struct {
		session projections.Session
		people  []projections.Participant
	}{
		"nothing":    {},
		"no times":   {projections.Session{Status: projections.Live}, []projections.Participant{person("a", "A", projections.Connection{})}},
		"a lifetime": {projections.Session{StartedAt: 1, EndedAt: at(1e9)}, []projections.Participant{person("a", "A", between("p", -1e6, 1e9, "LEFT"))}},
		"backwards":  {projections.Session{StartedAt: at(9), EndedAt: at(1), Status: projections.Ended}, []projections.Participant{person("a", "A", between("p", 8, 2, "LEFT"))}},
		"many":       {projections.Session{StartedAt: at(0), EndedAt: at(60), Status: projections.Ended}, many},
	}
	for name, c := range cases {
		svg := chart.Timeline(c.session, c.people, chart.Options{})
		if n := elements(t, svg)["svg"]; n != 1 {
			t.Errorf("Timeline(%s) has %d svg elements; want 1", name, n)
		}
		if len(svg) > 400_000 {
			t.Errorf("Timeline(%s) = %d bytes; want a bounded file", name, len(svg))
		}
		if bytes.Contains(svg, []byte("NaN")) || bytes.Contains(svg, []byte("Inf")) {
			t.Errorf("Timeline(%s) draws a number that is none", name)
		}
	}
}

func TestUsage(t *testing.T) {
	var rows []projections.UsageRow
	for i := range 14 {
		for _, org := range []string{"a", "b"} {
			rows = append(rows, projections.UsageRow{Day: projections.Date{Year: 2026, Month: 2, Day: 20}, Organizer: projections.Organizer{ID: org}, ParticipantSeconds: eventlog.Seconds(i*1000) * eventlog.Second, RecordingSeconds: eventlog.Seconds(i*300) * eventlog.Second})
			for range i {
				rows[len(rows)-1].Day = rows[len(rows)-1].Day.Next()
			}
		}
	}
	golden(t, "usage.svg", chart.Usage(rows, "Europe/Berlin"))
	elements(t, chart.Usage(nil, "UTC"))
	far := []projections.UsageRow{{Day: projections.Date{Year: 1, Month: 1, Day: 1}}, {Day: projections.Date{Year: 9999, Month: 12, Day: 31}}, {}}
	if n := elements(t, chart.Usage(far, "UTC"))["rect"]; n > 410 {
		t.Errorf("Usage over 9,999 years has %d bars; want at most a year or so", n)
	}
}

func TestHostile(t *testing.T) {
	s, people := lecture()
	want := elements(t, chart.Timeline(s, people, chart.Options{}))
	for _, h := range []string{`<script>alert(1)</script>`, `"><image href="x" onload="x"/>`, "]]>&lt;", "a\u202Eb\u0000c\uFFFF", "\xff\xfe", strings.Repeat("x", 100_000)} {
		s.Title, people[0].DisplayName, people[0].Connections[0].PeerID, s.SessionID = h, h, h, h
		got := elements(t, chart.Timeline(s, people, chart.Options{}))
		if fmt.Sprint(got) != fmt.Sprint(want) {
			t.Errorf("Timeline with %.40q has elements %v; want %v", h, got, want)
		}
	}
}

func TestVisible(t *testing.T) {
	cases := []struct {
		in, want string
		limit    int
	}{
		{"Ada", "Ada", 10},
		{"שלום", "שלום", 10},
		{"a\u202Eb", "a[U+202E]b", 10},
		{"x\u200By\x00", "x[U+200B]y[U+0000]", 10},
		{"👩\u200D👧", "👩\u200D👧", 10},
		{"a\u200Db", "a[U+200D]b", 10},
		{"abcdef", "abc[… 3 more]", 3},
		{"a\xffb", "a[U+0000]b", 10},
		{"\U000E0041", "[U+E0041]", 10},
	}
	for _, c := range cases {
		if got := chart.Visible(c.in, c.limit); got != c.want {
			t.Errorf("Visible(%q, %d) = %q; want %q", c.in, c.limit, got, c.want)
		}
	}
}
