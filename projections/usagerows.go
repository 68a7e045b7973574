package projections

import (
	"cmp"
	"iter"
	"slices"
	"time"

	"rollcall/eventlog"
)

// UsageQuery says which usage rows are asked for.
type UsageQuery struct {
	// Zone's midnights end the days; nil is UTC.
	Zone *time.Location
	// From and To are days of that zone, half-open. The cost grows with their
	// number: the caller bounds it.
	From, To Date
	// Per and the others group; without one of them rows hold the sum over all
	// days, organizers, meetings, or sessions.
	Per                               Period
	ByOrganizer, ByMeeting, BySession bool
	// OrganizerID and MeetingID choose; "" chooses all.
	OrganizerID, MeetingID string
}

// UsageRow is one row of usage. Period and Day are zero, and Organizer, MeetingID
// and SessionID empty, where the query does not group by them.
type UsageRow struct {
	// Day is the period's first day.
	Day                Date
	Period             Period
	Organizer          Organizer
	MeetingID          string
	SessionID          string
	Sessions           int
	ParticipantSeconds eventlog.Seconds
	AttendedSeconds    eventlog.Seconds
	RecordingSeconds   eventlog.Seconds
	PeakParticipants   int
	// RevisedAt is the latest received time among the records that the numbers
	// rest on: of the sessions and recordings that are added up.
	RevisedAt eventlog.Time
}

var usageRowMembers = document(
	dateField("day", "A date in the time zone asked for; null where rows are not grouped by day.", func(u *UsageRow) string { return u.label(PerDay) }).orNull(),
	textField("organizerId", "The organizer's id; null where it has none, or rows are not grouped by organizer.", func(u *UsageRow) string { return u.Organizer.ID }).orNull(),
	textField("organizerName", "The organizer's name.", func(u *UsageRow) string { return u.Organizer.Name }).orNull(),
	integerField("sessions", "Sessions that started on the day.", func(u *UsageRow) int64 { return int64(u.Sessions) }),
	secondsField("participantSeconds", "The lengths of all closed connections, split at midnight.", func(u *UsageRow) eventlog.Seconds { return u.ParticipantSeconds }),
	secondsField("attendedSeconds", "The participants' time in sessions, each one's devices at once counted once.", func(u *UsageRow) eventlog.Seconds { return u.AttendedSeconds }),
	secondsField("recordingSeconds", "The lengths of recordings, split at midnight.", func(u *UsageRow) eventlog.Seconds { return u.RecordingSeconds }),
	integerField("peakParticipants", "The greatest maxConcurrentParticipants of the day's sessions.", func(u *UsageRow) int64 { return int64(u.PeakParticipants) }),
	// What follows came later: the columns of CSV stay where they were.
	textField("week", "The ISO week, like 2026-W05, in the time zone asked for; null where rows are not grouped by week.", func(u *UsageRow) string { return u.label(PerWeek) }).orNull(),
	textField("month", "The month, like 2026-01, in the time zone asked for; null where rows are not grouped by month.", func(u *UsageRow) string { return u.label(PerMonth) }).orNull(),
	textField("meetingId", "The meeting; null where it has no id, or rows are not grouped by meeting.", func(u *UsageRow) string { return u.MeetingID }).orNull(),
	timeField("revisedAt", "The latest received time among the records that the numbers rest on.", func(u *UsageRow) eventlog.Time { return u.RevisedAt }),
)

// label is the row's period where that is of a kind, else "".
func (u *UsageRow) label(p Period) string {
	if u.Period != p {
		return ""
	}
	return p.label(u.Day)
}

// UsageRowFields are the members of a row in JSON.
func UsageRowFields() []Field { return usageRowMembers.fields() }

// AppendJSON appends the row as an object; what a row does not have is null.
func (u *UsageRow) AppendJSON(b []byte) []byte { return usageRowMembers.appendJSON(b, u) }

// MarshalJSON returns what AppendJSON appends.
func (u UsageRow) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }

// UsageRows adds usage up, by day, then by organizer, meeting and session. A
// session counts on the day of its startedAt, and so does its peak; connections
// and recordings count on the days that they cover. A recording belongs to its
// session's organizer, else to its organizationId, and to its session's meeting,
// else to the one that it names. An organizer without an id is identified by its name;
// one with an id shows the name that the session with the latest startedAt has.
// Rows of nothing are left out.
//
// Both sequences may come in any order; the rows are the same. They are read
// once, sessions first.
func UsageRows(q UsageQuery, sessions iter.Seq[UsageSession], recordings iter.Seq[Recording]) []UsageRow {
	if q.Zone == nil {
		q.Zone = time.UTC
	}
	if !q.From.Before(q.To) {
		return nil
	}
	t := usageTable{
		query: q, calendar: newCalendar(q.Zone, q.From, q.To), rows: make(map[usageKey]*UsageRow),
		names: make(map[string]usageName), owners: make(map[string]owner),
	}
	t.periods = t.calendar.periods(q.Per)
	for s := range sessions {
		t.session(&s)
	}
	for r := range recordings {
		t.recording(&r)
	}
	return t.list()
}

// usageKey identifies a row. period is the index of the first day that is asked
// for of a period, -1 where rows are not grouped by one.
type usageKey struct {
	period  int
	id      string
	name    string // where there is no id
	meeting string
	session string
}

// owner is what a session's or a recording's time belongs to.
type owner struct {
	organizer Organizer
	meeting   string
	session   string
}

// usageName is a name of an organizer, with the session that gave it: the latest
// one counts.
type usageName struct {
	at            eventlog.Time
	session, name string
}

// usageTable is the rows of a query while they are added up.
type usageTable struct {
	query    UsageQuery
	calendar calendar
	periods  []int // by day
	rows     map[usageKey]*UsageRow
	names    map[string]usageName // by organizer id
	owners   map[string]owner     // by session id
}

// row is where a day's share of something counts, which was revised then.
func (t *usageTable) row(day int, of owner, revised eventlog.Time) *UsageRow {
	k := usageKey{period: t.periods[day]}
	if t.query.ByOrganizer {
		if k.id = of.organizer.ID; k.id == "" {
			k.name = of.organizer.Name
		}
	}
	if t.query.ByMeeting {
		k.meeting = of.meeting
	}
	if t.query.BySession {
		k.session = of.session
	}
	r := t.rows[k]
	if r == nil {
		r = new(UsageRow)
		t.rows[k] = r
	}
	latest(&r.RevisedAt, revised)
	return r
}

// wanted reports whether the query chooses an owner's time.
func (t *usageTable) wanted(of owner) bool {
	return (t.query.OrganizerID == "" || of.organizer.ID == t.query.OrganizerID) &&
		(t.query.MeetingID == "" || of.meeting == t.query.MeetingID)
}

// meet notes a session for the organizers' names and the recordings.
func (t *usageTable) meet(s *UsageSession) owner {
	who := s.Organizer
	of := owner{who, s.MeetingID, s.SessionID}
	t.owners[s.SessionID] = of
	if who.ID != "" && who.Name != "" {
		n := usageName{s.StartedAt, s.SessionID, who.Name}
		if old, ok := t.names[who.ID]; !ok || old.at < n.at || old.at == n.at && old.session < n.session {
			t.names[who.ID] = n
		}
	}
	return of
}

// session adds a session's row on the day of its startedAt, and its connected time
// slot by slot. Between two listed slots the number of connections that cover a
// slot as a whole stays as it is.
func (t *usageTable) session(s *UsageSession) {
	of := t.meet(s)
	if !t.wanted(of) {
		return
	}
	if day, ok := t.calendar.day(s.StartedAt); ok {
		r := t.row(day, of, s.RevisedAt)
		r.Sessions++
		r.PeakParticipants = max(r.PeakParticipants, s.MaxConcurrentParticipants)
	}
	length := eventlog.Seconds(s.SlotSeconds) * eventlog.Second
	if length <= 0 {
		return
	}
	var connected, attended int64
	for i, v := range s.Slots {
		if v.ConnectedMicros != 0 || v.AttendedMicros != 0 {
			t.calendar.splitSlots(v.Slot, v.Slot+1, length, func(day int, _ eventlog.Seconds) {
				r := t.row(day, of, s.RevisedAt)
				r.ParticipantSeconds += eventlog.Seconds(v.ConnectedMicros)
				r.AttendedSeconds += eventlog.Seconds(v.AttendedMicros)
			})
		}
		connected += v.ConnectedChange
		attended += v.AttendedChange
		if i+1 < len(s.Slots) && (connected != 0 || attended != 0) {
			t.calendar.splitSlots(v.Slot, s.Slots[i+1].Slot, length, func(day int, d eventlog.Seconds) {
				r := t.row(day, of, s.RevisedAt)
				r.ParticipantSeconds += d * eventlog.Seconds(connected)
				r.AttendedSeconds += d * eventlog.Seconds(attended)
			})
		}
	}
}

func (t *usageTable) recording(r *Recording) {
	if r.StartedAt.IsZero() || r.StoppedAt <= r.StartedAt {
		return
	}
	of := t.ownerOf(r)
	if !t.wanted(of) {
		return
	}
	revised := r.revisedAt()
	t.calendar.split(r.StartedAt, r.StoppedAt, func(day int, d eventlog.Seconds) {
		t.row(day, of, revised).RecordingSeconds += d
	})
}

// ownerOf is what a recording belongs to.
func (t *usageTable) ownerOf(r *Recording) owner {
	of := t.owners[r.SessionID]
	if of.organizer == (Organizer{}) {
		of.organizer = Organizer{ID: r.OrganizationID}
	}
	of.meeting = cmp.Or(of.meeting, r.MeetingID)
	of.session = r.SessionID
	return of
}

// revisedAt is since when the recording's length is known, as far as its document
// says: the latest of the times at which it reached a status. A status that is
// sent again does not count.
func (r *Recording) revisedAt() (at eventlog.Time) {
	for _, h := range r.History {
		latest(&at, h.At)
	}
	return at
}

// list returns the rows in order, with the organizers' names.
func (t *usageTable) list() []UsageRow {
	list := make([]UsageRow, 0, len(t.rows))
	for k, r := range t.rows {
		if k.period >= 0 {
			r.Day, r.Period = t.query.Per.first(t.calendar.days[k.period]), t.query.Per
		}
		r.MeetingID, r.SessionID = k.meeting, k.session
		r.Organizer = Organizer{k.id, k.name}
		if k.id != "" {
			r.Organizer.Name = t.names[k.id].name
		}
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b UsageRow) int {
		return cmp.Or(a.Day.utc().Compare(b.Day.utc()), cmp.Compare(a.Organizer.ID, b.Organizer.ID),
			cmp.Compare(a.Organizer.Name, b.Organizer.Name), cmp.Compare(a.MeetingID, b.MeetingID), cmp.Compare(a.SessionID, b.SessionID))
	})
	return list
}

// Add adds another row's numbers to u's.
func (u *UsageRow) Add(v *UsageRow) {
	u.Sessions += v.Sessions
	u.ParticipantSeconds += v.ParticipantSeconds
	u.AttendedSeconds += v.AttendedSeconds
	u.RecordingSeconds += v.RecordingSeconds
	u.PeakParticipants = max(u.PeakParticipants, v.PeakParticipants)
	latest(&u.RevisedAt, v.RevisedAt)
}
