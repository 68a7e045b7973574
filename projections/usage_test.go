package projections_test

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"rollcall/eventlog"
	"rollcall/projections"
)

// usageOf parses the usage and recordings documents of a fold.
func usageOf(t fataler, got views) (sessions []projections.UsageSession, recordings []projections.Recording) {
	for key, doc := range got["usage"] {
		s, err := projections.Parse[projections.UsageSession]([]byte(doc))
		if err != nil {
			t.Fatalf("Parse(usage %s) = %v", key, err)
		}
		sessions = append(sessions, s)
	}
	for key, doc := range got["recordings"] {
		r, err := projections.Parse[projections.Recording]([]byte(doc))
		if err != nil {
			t.Fatalf("Parse(recordings %s) = %v", key, err)
		}
		recordings = append(recordings, r)
	}
	return sessions, recordings
}

// someZones are time zones with whole hours, and without.
func someZones(t fataler) (zones []*time.Location) {
	for _, name := range []string{"UTC", "Asia/Kolkata", "America/New_York", "Asia/Kathmandu", "Australia/Lord_Howe"} {
		z, err := time.LoadLocation(name)
		if err != nil {
			t.Fatalf("LoadLocation(%s) = %v", name, err)
		}
		zones = append(zones, z)
	}
	return zones
}

func zone(t testing.TB, name string) *time.Location {
	t.Helper()
	z, err := time.LoadLocation(name)
	if err != nil {
		t.Skipf("no time zone data: %v", err)
	}
	return z
}

// TestUsageAgreesWithReference compares rows by day and organizer with what
// overlapping each connection with each day gives, and their sums with the
// sessions' own.
func TestUsageAgreesWithReference(t *testing.T) {
	zones := someZones(t)
	from, to := projections.Date{Year: 2025, Month: 12, Day: 25}, projections.Date{Year: 2026, Month: 3, Day: 25}
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		z := rapid.SampledFrom(zones).Draw(t, "zone")
		got := fold(t, records)
		sessions, recordings := usageOf(t, got)
		rows := projections.UsageRows(
			projections.UsageQuery{Zone: z, From: from, To: to, Per: projections.PerDay, ByOrganizer: true},
			slices.Values(sessions), slices.Values(recordings))
		want := refRows(reference(records), records, z, from, to)
		total := projections.UsageRow{}
		for _, r := range rows {
			total.ParticipantSeconds += r.ParticipantSeconds
			total.AttendedSeconds += r.AttendedSeconds
			k := rowKey{r.Day.String(), r.Organizer}
			w := want[k]
			if w == nil {
				t.Fatalf("in %s: row %s; want none\nrecords:\n%s", z, r.AppendJSON(nil), list(records))
			}
			if r.Sessions != w.Sessions || r.ParticipantSeconds != w.ParticipantSeconds || r.AttendedSeconds != w.AttendedSeconds ||
				r.RecordingSeconds != w.RecordingSeconds || r.PeakParticipants != w.PeakParticipants {
				t.Fatalf("in %s: row %s; want %s\nrecords:\n%s", z, r.AppendJSON(nil), w.AppendJSON(nil), list(records))
			}
			delete(want, k)
		}
		for k, w := range want {
			t.Fatalf("in %s: no row; want %v %s\nrecords:\n%s", z, k, w.AppendJSON(nil), list(records))
		}
		var perSession projections.UsageRow
		for _, s := range sessions {
			perSession.ParticipantSeconds += s.ParticipantSeconds
			perSession.AttendedSeconds += s.AttendedSeconds
		}
		if total.ParticipantSeconds != perSession.ParticipantSeconds || total.AttendedSeconds != perSession.AttendedSeconds {
			t.Fatalf("in %s: days sum to %v and %v; sessions to %v and %v\nrecords:\n%s", z,
				total.ParticipantSeconds, total.AttendedSeconds, perSession.ParticipantSeconds, perSession.AttendedSeconds, list(records))
		}
	})
}

type rowKey struct {
	day string
	who projections.Organizer
}

// refRows takes the rows from the reference's documents, day by day.
func refRows(docs views, records []eventlog.Record, z *time.Location, from, to projections.Date) map[rowKey]*projections.UsageRow {
	var sessions []projections.Session
	for _, doc := range docs["sessions"] {
		s, _ := projections.Parse[projections.Session]([]byte(doc))
		sessions = append(sessions, s)
	}
	name := func(id string) string { // of the latest session that has one
		best := projections.Session{}
		for _, s := range sessions {
			if s.Organizer.ID == id && s.Organizer.Name != "" && (best.SessionID == "" ||
				s.StartedAt > best.StartedAt || s.StartedAt == best.StartedAt && s.SessionID > best.SessionID) {
				best = s
			}
		}
		return best.Organizer.Name
	}
	rows := make(map[rowKey]*projections.UsageRow)
	row := func(d projections.Date, who projections.Organizer) *projections.UsageRow {
		if who.ID != "" {
			who.Name = name(who.ID)
		}
		k := rowKey{d.String(), who}
		if rows[k] == nil {
			rows[k] = new(projections.UsageRow)
		}
		return rows[k]
	}
	evs := group(decode(records), (&ref{}).session)
	for d := from; d.Before(to); d = d.Next() {
		begin := eventlog.TimeOf(time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, z))
		end := eventlog.TimeOf(time.Date(d.Year, d.Month, d.Day+1, 0, 0, 0, 0, z))
		for _, s := range sessions {
			if begin <= s.StartedAt && s.StartedAt < end {
				r := row(d, s.Organizer)
				r.Sessions++
				r.PeakParticipants = max(r.PeakParticipants, s.MaxConcurrentParticipants)
			}
			sorted := slices.Clone(evs[s.SessionID])
			slices.SortFunc(sorted, func(a, b eventlog.Event) int {
				if a.Order.Less(b.Order) {
					return -1
				}
				return 1
			})
			people := make(map[string][]refConn)
			for _, c := range connections(sorted, s.EndedAt) {
				people[c.participant] = append(people[c.participant], c)
				if n := covered([]refConn{c}, s.EndedAt, begin, end); n > 0 {
					row(d, s.Organizer).ParticipantSeconds += n
				}
			}
			for _, list := range people {
				if n := covered(list, s.EndedAt, begin, end); n > 0 {
					row(d, s.Organizer).AttendedSeconds += n
				}
			}
		}
		for _, doc := range docs["recordings"] {
			rec, _ := projections.Parse[projections.Recording]([]byte(doc))
			if rec.StartedAt == 0 || rec.StoppedAt == 0 {
				continue
			}
			who := projections.Organizer{ID: rec.OrganizationID}
			for _, s := range sessions {
				if s.SessionID == rec.SessionID && s.Organizer != (projections.Organizer{}) {
					who = s.Organizer
				}
			}
			if a, b := max(begin, rec.StartedAt), min(end, rec.StoppedAt); a < b {
				row(d, who).RecordingSeconds += b.Sub(a)
			}
		}
	}
	return rows
}

func TestDateStart(t *testing.T) {
	tests := []struct{ zone, day, want string }{
		{"UTC", "2026-03-08", "2026-03-08T00:00:00Z"},
		{"Asia/Kolkata", "2026-03-08", "2026-03-07T18:30:00Z"},
		{"America/New_York", "2026-03-08", "2026-03-08T05:00:00Z"}, // clocks go forward on this day
		{"America/New_York", "2026-03-09", "2026-03-09T04:00:00Z"},
		{"America/Sao_Paulo", "2018-11-04", "2018-11-04T03:00:00Z"}, // no midnight: 00:00 became 01:00
		{"America/Sao_Paulo", "2018-02-18", "2018-02-18T03:00:00Z"}, // 00:00 became 23:00 once
		{"America/Havana", "2025-11-02", "2025-11-02T04:00:00Z"},    // midnight to 01:00 comes twice
		{"Pacific/Apia", "2011-12-30", "2011-12-30T10:00:00Z"},      // a day that was left out
		{"Pacific/Apia", "2011-12-31", "2011-12-30T10:00:00Z"},
	}
	for _, test := range tests {
		day, ok := projections.ParseDate(test.day)
		if !ok {
			t.Fatalf("ParseDate(%q) failed", test.day)
		}
		// A session of no length at that instant counts on that day, one a
		// microsecond earlier on the day before.
		start := at(t, test.want)
		s := projections.UsageSession{SessionID: "s", StartedAt: start, SlotSeconds: 900}
		before := s
		before.StartedAt--
		rows := projections.UsageRows(projections.UsageQuery{Zone: zone(t, test.zone), From: day, To: day.Next().Next(), Per: projections.PerDay},
			slices.Values([]projections.UsageSession{s, before}), slices.Values([]projections.Recording{}))
		want := day
		if test.day == "2011-12-30" {
			want = day.Next() // the day has no instant
		}
		if len(rows) != 1 || rows[0].Sessions != 1 || rows[0].Day != want {
			t.Errorf("day %s in %s begins elsewhere than %s: rows %v", test.day, test.zone, test.want, rows)
		}
	}
}

// TestDateOfALongSlot: midnight in Kolkata is 18:30 UTC, in the middle of an
// hour's slot. All of the slot counts for the day that it begins in.
func TestDateOfALongSlot(t *testing.T) {
	hour := start.UnixMicro()/3600e6 + 18
	s := projections.UsageSession{SessionID: "s", SlotSeconds: 3600, Slots: []projections.UsageSlot{
		{Slot: hour, ConnectedMicros: 60e6, AttendedMicros: 30e6},
	}}
	rows := projections.UsageRows(projections.UsageQuery{Zone: zone(t, "Asia/Kolkata"),
		From: projections.Date{Year: 2026, Month: 3, Day: 1}, To: projections.Date{Year: 2026, Month: 4, Day: 1}, Per: projections.PerDay},
		slices.Values([]projections.UsageSession{s}), slices.Values([]projections.Recording{}))
	if len(rows) != 1 || rows[0].Day.String() != "2026-03-08" || rows[0].ParticipantSeconds != 60*eventlog.Second || rows[0].AttendedSeconds != 30*eventlog.Second {
		t.Errorf("rows = %v; want 60 and 30 seconds on 2026-03-08", rows)
	}
}

// Days follow each other without hole or overlap for two centuries, in zones
// with and without daylight saving, far beyond the end of their tables.
func TestUsageDaysOfTwoCenturies(t *testing.T) {
	for _, name := range []string{"UTC", "America/New_York", "Europe/Berlin", "Asia/Kolkata", "Australia/Lord_Howe", "America/Santiago", "Pacific/Apia"} {
		zone, err := time.LoadLocation(name)
		if err != nil {
			t.Fatal(err)
		}
		session := projections.UsageSession{SessionID: "s", StartedAt: eventlog.TimeOf(time.Date(2096, 12, 31, 12, 0, 0, 0, zone))}
		rows := projections.UsageRows(projections.UsageQuery{
			From: projections.Date{Year: 2000, Month: 1, Day: 1}, To: projections.Date{Year: 2200, Month: 1, Day: 1}, Zone: zone, Per: projections.PerDay,
		}, slices.Values([]projections.UsageSession{session}), slices.Values([]projections.Recording(nil)))
		if len(rows) != 1 || rows[0].Sessions != 1 || rows[0].Day.String() != "2096-12-31" {
			t.Errorf("%s: UsageRows() = %+v; want the session on 2096-12-31", name, rows)
		}
	}
}
