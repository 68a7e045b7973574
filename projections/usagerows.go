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
	// ByDay and ByOrganizer group; without one of them rows hold the sum over
	// all days, or all organizers.
	ByDay, ByOrganizer bool
}

// UsageRow is one row of usage. Day is the zero Date, and Organizer empty, where
// the query does not group by it.
type UsageRow struct {
	Day                Date
	Organizer          Organizer
	Sessions           int
	ParticipantSeconds eventlog.Seconds
	AttendedSeconds    eventlog.Seconds
	RecordingSeconds   eventlog.Seconds
	PeakParticipants   int
}

var usageRowMembers = document(
	textField("day", "A date in the time zone asked for; null where rows are not grouped by day.", func(u *UsageRow) string { return u.Day.text() }).orNull(),
	textField("organizerId", "The organizer's id; null where it has none, or rows are not grouped by organizer.", func(u *UsageRow) string { return u.Organizer.ID }).orNull(),
	textField("organizerName", "The organizer's name.", func(u *UsageRow) string { return u.Organizer.Name }).orNull(),
	integerField("sessions", "Sessions that started on the day.", func(u *UsageRow) int64 { return int64(u.Sessions) }),
	secondsField("participantSeconds", "The lengths of all closed connections, split at midnight.", func(u *UsageRow) eventlog.Seconds { return u.ParticipantSeconds }),
	secondsField("attendedSeconds", "The participants' time in sessions, each one's devices at once counted once.", func(u *UsageRow) eventlog.Seconds { return u.AttendedSeconds }),
	secondsField("recordingSeconds", "The lengths of recordings, split at midnight.", func(u *UsageRow) eventlog.Seconds { return u.RecordingSeconds }),
	integerField("peakParticipants", "The greatest maxConcurrentParticipants of the day's sessions.", func(u *UsageRow) int64 { return int64(u.PeakParticipants) }),
)

// UsageRowFields are the members of a row in JSON.
func UsageRowFields() []Field { return usageRowMembers.fields() }

// AppendJSON appends the row as an object; what a row does not have is null.
func (u *UsageRow) AppendJSON(b []byte) []byte { return usageRowMembers.appendJSON(b, u) }

// MarshalJSON returns what AppendJSON appends.
func (u UsageRow) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }

// UsageRows adds usage up, by day, then by organizer. A session counts on the
// day of its startedAt, and so does its peak; connections and recordings count
// on the days that they cover. A recording belongs to its session's organizer,
// else to its organizationId. An organizer without an id is told by its name;
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
		names: make(map[string]usageName), organizers: make(map[string]Organizer),
	}
	for s := range sessions {
		t.session(&s)
	}
	for r := range recordings {
		t.recording(&r)
	}
	return t.list()
}

type usageKey struct {
	day  int // -1 where not grouped by day
	id   string
	name string // where there is no id
}

type usageName struct {
	at            eventlog.Time
	session, name string
}

type usageTable struct {
	query      UsageQuery
	calendar   calendar
	rows       map[usageKey]*UsageRow
	names      map[string]usageName // by organizer id
	organizers map[string]Organizer // by session id
}

func (t *usageTable) row(day int, who Organizer) *UsageRow {
	k := usageKey{day: -1}
	if t.query.ByDay {
		k.day = day
	}
	if t.query.ByOrganizer {
		if k.id = who.ID; k.id == "" {
			k.name = who.Name
		}
	}
	r := t.rows[k]
	if r == nil {
		r = new(UsageRow)
		t.rows[k] = r
	}
	return r
}

func (t *usageTable) session(s *UsageSession) {
	who := s.Organizer
	if who != (Organizer{}) {
		t.organizers[s.SessionID] = who
	}
	if who.ID != "" && who.Name != "" {
		n := usageName{s.StartedAt, s.SessionID, who.Name}
		if old, ok := t.names[who.ID]; !ok || old.at < n.at || old.at == n.at && old.session < n.session {
			t.names[who.ID] = n
		}
	}
	if day, ok := t.calendar.day(s.StartedAt); ok {
		r := t.row(day, who)
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
				r := t.row(day, who)
				r.ParticipantSeconds += eventlog.Seconds(v.ConnectedMicros)
				r.AttendedSeconds += eventlog.Seconds(v.AttendedMicros)
			})
		}
		connected += v.ConnectedChange
		attended += v.AttendedChange
		if i+1 < len(s.Slots) && (connected != 0 || attended != 0) {
			t.calendar.splitSlots(v.Slot, s.Slots[i+1].Slot, length, func(day int, d eventlog.Seconds) {
				r := t.row(day, who)
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
	who, ok := t.organizers[r.SessionID]
	if !ok {
		who = Organizer{ID: r.OrganizationID}
	}
	t.calendar.split(r.StartedAt, r.StoppedAt, func(day int, d eventlog.Seconds) {
		t.row(day, who).RecordingSeconds += d
	})
}

func (t *usageTable) list() []UsageRow {
	list := make([]UsageRow, 0, len(t.rows))
	for k, r := range t.rows {
		if k.day >= 0 {
			r.Day = t.calendar.days[k.day]
		}
		r.Organizer = Organizer{k.id, k.name}
		if k.id != "" {
			r.Organizer.Name = t.names[k.id].name
		}
		list = append(list, *r)
	}
	slices.SortFunc(list, func(a, b UsageRow) int {
		return cmp.Or(a.Day.utc().Compare(b.Day.utc()), cmp.Compare(a.Organizer.ID, b.Organizer.ID),
			cmp.Compare(a.Organizer.Name, b.Organizer.Name))
	})
	return list
}
