package projections_test

import (
	"fmt"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/eventlog"
	"rollcall/projections"
)

// someAttendance draws the records of one person's connections to one session: some
// without a leave, some backwards, some after the session's end, if it ends.
func someAttendance(t *rapid.T) []eventlog.Record {
	at := func(minute int) string { return eventlog.TimeOfUnixMicro(1773000000e6 + int64(minute)*60e6).String() }
	minute := rapid.IntRange(10, 40)
	var list []eventlog.Record
	add := func(event, members string) {
		list = append(list, eventlog.Record{EventID: fmt.Sprintf("E%02d", len(list)), Source: "src", ReceivedAt: eventlog.TimeOfUnixMicro(1773000000e6),
			Body: fmt.Appendf(nil, `{"event":"meeting.%s","meeting":{"id":"m","sessionId":"s"%s}`, event, members)})
	}
	for i := range rapid.IntRange(1, 6).Draw(t, "connections") {
		joined := minute.Draw(t, "joined")
		person := fmt.Sprintf(`},"participant":{"peerId":"p%d","customParticipantId":"c","joinedAt":"%s"`, i, at(joined))
		add("participantJoined", person+"}")
		if rapid.IntRange(0, 9).Draw(t, "open") < 9 {
			add("participantLeft", person+fmt.Sprintf(`,"leftAt":"%s"}`, at(joined+rapid.IntRange(-2, 9).Draw(t, "length"))))
		}
	}
	if rapid.Bool().Draw(t, "ends") {
		add("ended", fmt.Sprintf(`,"endedAt":"%s"}`, at(minute.Draw(t, "ended"))))
	}
	return list
}

// uncovered are the gaps, found the slow way: of the stretches between all times at
// which a connection begins or ends, those that lie in none, and between two.
func uncovered(conns []projections.Connection, end eventlog.Time) (list []projections.Gap) {
	type stretch struct{ from, to eventlog.Time }
	var in []stretch
	var times []eventlog.Time
	for _, c := range conns {
		to := c.LeftAt
		switch {
		case !end.IsZero() && c.JoinedAt >= end:
			continue
		case !end.IsZero():
			to = min(to, end)
		case to.IsZero():
			to = 1 << 62
		}
		in = append(in, stretch{c.JoinedAt, max(c.JoinedAt, to)})
		times = append(times, c.JoinedAt, max(c.JoinedAt, to))
	}
	slices.Sort(times)
	times = slices.Compact(times)
	for i := 1; i < len(times); i++ {
		from, to := times[i-1], times[i]
		covered := slices.ContainsFunc(in, func(s stretch) bool { return s.from <= from && to <= s.to })
		if !covered && slices.ContainsFunc(in, func(s stretch) bool { return s.from >= to }) {
			list = append(list, projections.Gap{From: from, To: to, Seconds: to.Sub(from)})
		}
	}
	return list
}

// TestGaps: the gaps of a document are what none of its connections covers, and the
// longest is what the fold says, whatever was sent.
func TestGaps(t *testing.T) {
	most := 0
	check := func(t *rapid.T, records []eventlog.Record) {
		got := fold(t, records)
		ends := map[string]eventlog.Time{}
		for _, doc := range got["sessions"] {
			s, err := projections.Parse[projections.Session]([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			ends[s.SessionID] = s.EndedAt
		}
		for _, doc := range got["attendance"] {
			p, err := projections.Parse[projections.Participant]([]byte(doc))
			if err != nil {
				t.Fatal(err)
			}
			gaps, ok := p.Gaps(ends[p.SessionID])
			if want := uncovered(p.Connections, ends[p.SessionID]); !ok || !slices.Equal(gaps, want) {
				t.Fatalf("Gaps(%v) of %s = %v, %v; want %v", ends[p.SessionID], doc, gaps, ok, want)
			}
			var longest eventlog.Seconds
			for _, g := range gaps {
				longest = max(longest, g.Seconds)
			}
			if longest != p.LongestGapSeconds {
				t.Fatalf("the longest of Gaps(%v) of %s = %v; want longestGapSeconds, %v", ends[p.SessionID], doc, longest, p.LongestGapSeconds)
			}
			most = max(most, len(gaps))
		}
	}
	rapid.Check(t, func(t *rapid.T) { check(t, someAttendance(t)) })
	rapid.Check(t, func(t *rapid.T) { check(t, someRecords(16).Draw(t, "log")) })
	if most < 2 {
		t.Errorf("no document had more than %d gap; want some with several", most)
	}
}

// TestGapsUnknown: where a document leaves connections out, its gaps are not known.
func TestGapsUnknown(t *testing.T) {
	p := projections.Participant{ConnectionsOmitted: 1, Connections: []projections.Connection{{JoinedAt: 1, LeftAt: 2}, {JoinedAt: 5, LeftAt: 6}}}
	if gaps, ok := p.Gaps(0); ok {
		t.Errorf("Gaps of a document that leaves connections out = %v, true; want false", gaps)
	}
}
