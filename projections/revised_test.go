package projections_test

import (
	"maps"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"rollcall/eventlog"
	"rollcall/projections"
)

// refRevised is the latest of the received times of what a session's usage rests
// on: for each value that counts, of the earliest record that gives it.
func refRevised(evs []eventlog.Event, conns []refConn) (at eventlog.Time) {
	since := func(only func(*eventlog.Event) bool, of func(*eventlog.Event) eventlog.Time, value eventlog.Time) {
		at = max(at, head(times(evs, func(ev *eventlog.Event) bool { return only(ev) && of(ev) == value }, received)))
	}
	all := func(*eventlog.Event) bool { return true }
	startedAt := func(ev *eventlog.Event) eventlog.Time { return ev.StartedAt }
	endedAt := func(ev *eventlog.Event) eventlog.Time { return ev.EndedAt }
	meeting := func(ev *eventlog.Event) bool { return ev.Type.Meeting() }
	other := func(ev *eventlog.Event) bool { return !ev.Type.Meeting() }
	switch ofMeeting, ofOther := times(evs, meeting, startedAt), times(evs, other, startedAt); {
	case len(ofMeeting) > 0:
		since(meeting, startedAt, ofMeeting[0])
	case len(ofOther) > 0:
		since(other, startedAt, ofOther[0])
	case len(conns) == 0:
		at = max(at, head(times(evs, all, received)))
	}
	if ended := times(evs, ends, endedAt); len(ended) > 0 {
		since(ends, endedAt, tail(ended))
	} else {
		at = max(at, head(times(evs, ends, received)))
	}
	named := func(of func(*eventlog.Event) bool) { at = max(at, head(times(evs, of, received))) }
	named(func(ev *eventlog.Event) bool { return ev.MeetingID != "" })
	named(func(ev *eventlog.Event) bool { return ev.Organizer.ID != "" || ev.Organizer.Name != "" })
	for _, c := range conns {
		at = max(at, refPeerRevised(group(evs, func(ev *eventlog.Event) string { return ev.Participant.PeerID })[c.peer], c))
	}
	return at
}

// refPeerRevised is the same for one connection.
func refPeerRevised(evs []eventlog.Event, c refConn) (at eventlog.Time) {
	joinedAt := func(ev *eventlog.Event) eventlog.Time { return ev.Participant.JoinedAt }
	leftAt := func(ev *eventlog.Event) eventlog.Time { return ev.Participant.LeftAt }
	first := func(only func(*eventlog.Event) bool) { at = max(at, head(times(evs, only, received))) }
	if len(times(evs, moves, joinedAt)) > 0 {
		first(func(ev *eventlog.Event) bool { return moves(ev) && joinedAt(ev) == c.joined })
	} else {
		first(joins)
	}
	if last := tail(times(evs, leaves, leftAt)); last != 0 {
		first(func(ev *eventlog.Event) bool { return leaves(ev) && leftAt(ev) == last })
	} else {
		first(leaves)
	}
	custom := func(ev *eventlog.Event) bool { return moves(ev) && ev.Participant.CustomID != "" }
	if len(times(evs, custom, received)) > 0 {
		first(custom)
	} else {
		first(func(ev *eventlog.Event) bool { return moves(ev) && ev.Participant.ClientID != "" })
	}
	return at
}

// TestRevisedAtAgreesWithReference compares when usage was revised with what
// looking at all records of a session gives.
func TestRevisedAtAgreesWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		want := reference(records)["sessions"]
		sessions, _ := usageOf(t, fold(t, records))
		evs := group(decode(records), (&ref{}).session)
		for _, u := range sessions {
			sorted := slices.Clone(evs[u.SessionID])
			slices.SortFunc(sorted, func(a, b eventlog.Event) int {
				if a.Order.Less(b.Order) {
					return -1
				}
				return 1
			})
			s := sessionIn(want, u.SessionID)
			if at := refRevised(sorted, connections(sorted, s.EndedAt)); u.RevisedAt != at || u.MeetingID != s.MeetingID {
				t.Fatalf("usage of %s is of meeting %q, revised at %s; want %q at %s\nrecords:\n%s", u.SessionID, u.MeetingID, u.RevisedAt, s.MeetingID, at, list(records))
			}
		}
	})
}

func sessionIn(docs map[string]string, id string) projections.Session {
	for key := range maps.Values(docs) {
		if s, err := projections.Parse[projections.Session]([]byte(key)); err == nil && s.SessionID == id {
			return s
		}
	}
	return projections.Session{}
}

// TestTheSameBodyAgainRevisesNothing: another delivery of a body changes no usage,
// however late it comes.
func TestTheSameBodyAgainRevisesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		want := fold(t, records)["usage"]
		again := rapid.SampledFrom(records).Draw(t, "again")
		again.EventID, again.DeliveryID = again.EventID+"A", again.DeliveryID+"A"
		again.ReceivedAt = again.ReceivedAt.Add(eventlog.Seconds(rapid.IntRange(1, 90).Draw(t, "later")) * 60 * eventlog.Second)
		if d := diff(views{"usage": fold(t, append(records, again))["usage"]}, views{"usage": want}); d != "" {
			t.Fatalf("with %s again: %s\nrecords:\n%s", again.Body, d, list(records))
		}
	})
}

// TestUsageSumsInEveryGrouping: however rows are grouped, and in whatever zone,
// their sum is that of the sessions and recordings, and filters take rows apart.
func TestUsageSumsInEveryGrouping(t *testing.T) {
	from, to := projections.Date{Year: 2025, Month: 12, Day: 25}, projections.Date{Year: 2026, Month: 3, Day: 25}
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		sessions, recordings := usageOf(t, fold(t, records))
		q := projections.UsageQuery{From: from, To: to}
		rows := func() []projections.UsageRow {
			return projections.UsageRows(q, slices.Values(sessions), slices.Values(recordings))
		}
		want := sumOfRows(rows())
		var perSession projections.UsageRow
		for _, s := range sessions {
			perSession.ParticipantSeconds += s.ParticipantSeconds
			perSession.AttendedSeconds += s.AttendedSeconds
		}
		if want.ParticipantSeconds != perSession.ParticipantSeconds || want.AttendedSeconds != perSession.AttendedSeconds {
			t.Fatalf("all rows sum to %s; sessions to %s", want.AppendJSON(nil), perSession.AppendJSON(nil))
		}
		q.Zone = rapid.SampledFrom(someZones(t)).Draw(t, "zone")
		q.Per = projections.Period(rapid.IntRange(0, 3).Draw(t, "per"))
		q.ByOrganizer, q.ByMeeting, q.BySession = rapid.Bool().Draw(t, "organizer"), rapid.Bool().Draw(t, "meeting"), rapid.Bool().Draw(t, "session")
		grouped := rows()
		if got := sumOfRows(grouped); got != want {
			t.Fatalf("rows by %+v sum to %s; want %s\nrecords:\n%s", q, got.AppendJSON(nil), want.AppendJSON(nil), list(records))
		}
		for _, r := range grouped {
			q.OrganizerID, q.MeetingID = r.Organizer.ID, r.MeetingID
			alone := rows()
			if (r.Organizer.ID != "" || r.MeetingID != "") && !slices.Contains(alone, r) && q.ByOrganizer && q.ByMeeting {
				t.Fatalf("rows by %+v lack %s", q, r.AppendJSON(nil))
			}
			for _, o := range alone {
				if q.ByOrganizer && r.Organizer.ID != "" && o.Organizer.ID != r.Organizer.ID || q.ByMeeting && r.MeetingID != "" && o.MeetingID != r.MeetingID {
					t.Fatalf("rows by %+v hold %s, which is not asked for", q, o.AppendJSON(nil))
				}
			}
		}
	})
}

// sumOfRows adds rows up; of the peaks and revisions the greatest.
func sumOfRows(rows []projections.UsageRow) (sum projections.UsageRow) {
	for _, r := range rows {
		sum.Sessions += r.Sessions
		sum.ParticipantSeconds += r.ParticipantSeconds
		sum.AttendedSeconds += r.AttendedSeconds
		sum.RecordingSeconds += r.RecordingSeconds
		sum.PeakParticipants = max(sum.PeakParticipants, r.PeakParticipants)
		sum.RevisedAt = max(sum.RevisedAt, r.RevisedAt)
	}
	return sum
}
