package closing

import (
	"cmp"
	"fmt"
	"iter"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

// Head says which month a closing keeps, what it was made from, and its sums.
type Head struct {
	ID       string `json:"id"`
	Month    string `json:"month"`
	Timezone string `json:"timezone"`
	// Sequence is the least of Sequences, which are those of the views.
	Sequence  eventlog.Seq            `json:"sequence"`
	Sequences map[string]eventlog.Seq `json:"sequences"`
	// Versions are those of the folds.
	Versions map[string]string `json:"versions"`
	// Incarnation is the log's.
	Incarnation string `json:"incarnation"`
	// Horizon: sessions and recordings that were over before it are not in the
	// closing, as the views had dropped them.
	Horizon  eventlog.Time `json:"horizon"`
	ClosedAt eventlog.Time `json:"closedAt"`

	Sessions           int              `json:"sessions"`
	ParticipantSeconds eventlog.Seconds `json:"participantSeconds"`
	AttendedSeconds    eventlog.Seconds `json:"attendedSeconds"`
	RecordingSeconds   eventlog.Seconds `json:"recordingSeconds"`
	// Parts is how many values hold the rows.
	Parts int `json:"parts"`
}

// Closing is a month's usage at a sequence.
type Closing struct {
	Head
	// Rows are the finest: by day, organizer, meeting and session.
	Rows []projections.UsageRow
}

// ParseMonth reads YYYY-MM as its first day and the one after its last.
func ParseMonth(month string) (from, to projections.Date, err error) {
	t, err := time.Parse("2006-01", month)
	if err != nil {
		return from, to, fmt.Errorf("month %q: want YYYY-MM, like 2026-10", month)
	}
	end := t.AddDate(0, 1, 0)
	return projections.Date{Year: t.Year(), Month: t.Month(), Day: 1}, projections.Date{Year: end.Year(), Month: end.Month(), Day: 1}, nil
}

// idOf names the closing of a month in a time zone; the nth one ends in n.
// What a KV key can't hold of a zone's name is replaced, and nothing else is
// written like that.
func idOf(month, zone string, n int) string {
	id := month + "." + strings.NewReplacer("/", ".", "+", "=").Replace(zone)
	if n > 1 {
		id += "." + strconv.Itoa(n)
	}
	return id
}

// Query asks for the finest rows of a closing's month.
func (h *Head) Query(zone *time.Location) (projections.UsageQuery, error) {
	from, to, err := ParseMonth(h.Month)
	return projections.UsageQuery{Zone: zone, From: from, To: to, Per: projections.PerDay, ByOrganizer: true, ByMeeting: true, BySession: true}, err
}

// Make adds up a month; the head says which, in which zone, and of what.
func Make(h Head, zone *time.Location, sessions iter.Seq[projections.UsageSession], recordings iter.Seq[projections.Recording]) (*Closing, error) {
	q, err := h.Query(zone)
	if err != nil {
		return nil, err
	}
	c := &Closing{Head: h, Rows: projections.UsageRows(q, sessions, recordings)}
	c.Head.Sessions, c.Head.ParticipantSeconds, c.Head.AttendedSeconds, c.Head.RecordingSeconds = 0, 0, 0, 0
	for _, r := range c.Rows {
		c.Head.Sessions += r.Sessions
		c.Head.ParticipantSeconds += r.ParticipantSeconds
		c.Head.AttendedSeconds += r.AttendedSeconds
		c.Head.RecordingSeconds += r.RecordingSeconds
	}
	return c, nil
}

// ByOrganizer are the rows by day and organizer, as usage is asked for when nothing
// else is said.
func (c *Closing) ByOrganizer() []projections.UsageRow {
	var rows []projections.UsageRow
	for _, r := range c.Rows { // sorted so
		r.MeetingID, r.SessionID = "", ""
		if n := len(rows) - 1; n >= 0 && rows[n].Day == r.Day && rows[n].Organizer == r.Organizer {
			rows[n].Add(&r)
		} else {
			rows = append(rows, r)
		}
	}
	return rows
}

// Change is how a session's usage differs between two moments.
type Change struct {
	// SessionID is "" for recordings without a session.
	SessionID string
	// RevisedAt is since when the later usage is as it is; zero where there is none.
	RevisedAt   eventlog.Time
	Differences []Difference
	// Rows are the finest rows that differ.
	Rows []Pair
}

// Pair is a finest row at two moments; one of them is zero where there was none.
type Pair struct{ Before, After projections.UsageRow }

// Place is the row that says what the pair is of: the later one, where there is one.
func (p *Pair) Place() *projections.UsageRow {
	if p.After != (projections.UsageRow{}) {
		return &p.After
	}
	return &p.Before
}

// Difference is a number that differs, of a session on one day for one organizer and
// meeting.
type Difference struct {
	Day         string `json:"day"`
	OrganizerID string `json:"organizerId"`
	MeetingID   string `json:"meetingId"`
	Member      string `json:"member"`
	// Before and After are counts, or seconds where Member says so.
	Before Number `json:"before"`
	After  Number `json:"after"`
}

// Number is a count, or seconds, in whole microseconds of what it counts.
type Number int64

// MarshalJSON writes the number with the digits that it needs.
func (n Number) MarshalJSON() ([]byte, error) { return eventlog.Seconds(n).AppendJSON(nil), nil }

// Measure is a number of a row, by its name in JSON.
type Measure struct {
	Name string
	Of   func(r *projections.UsageRow) Number
}

// Measures are what is compared of a row.
var Measures = []Measure{
	{"sessions", func(r *projections.UsageRow) Number { return count(r.Sessions) }},
	{"participantSeconds", func(r *projections.UsageRow) Number { return Number(r.ParticipantSeconds) }},
	{"attendedSeconds", func(r *projections.UsageRow) Number { return Number(r.AttendedSeconds) }},
	{"recordingSeconds", func(r *projections.UsageRow) Number { return Number(r.RecordingSeconds) }},
	{"peakParticipants", func(r *projections.UsageRow) Number { return count(r.PeakParticipants) }},
}

func count(n int) Number { return Number(n) * Number(eventlog.Second) }

// place identifies a finest row. A name identifies an organizer without an id.
type place struct {
	session, day, organizer, name, meeting string
}

func placeOf(r *projections.UsageRow) place {
	p := place{r.SessionID, r.Day.String(), r.Organizer.ID, "", r.MeetingID}
	if p.organizer == "" {
		p.name = r.Organizer.Name
	}
	return p
}

func (p place) compare(q place) int {
	return cmp.Or(cmp.Compare(p.session, q.session), cmp.Compare(p.day, q.day), cmp.Compare(p.organizer, q.organizer),
		cmp.Compare(p.name, q.name), cmp.Compare(p.meeting, q.meeting))
}

// Compare says what differs between the finest rows of two moments, by session.
func Compare(before, after []projections.UsageRow) []Change {
	old, now := byPlace(before), byPlace(after)
	revised := map[string]eventlog.Time{}
	for _, r := range after {
		revised[r.SessionID] = max(revised[r.SessionID], r.RevisedAt)
	}
	var changes []Change
	for _, p := range places(old, now) {
		a, b := old[p], now[p]
		differences := p.differences(&a, &b)
		if len(differences) == 0 {
			continue
		}
		if last := len(changes) - 1; last < 0 || changes[last].SessionID != p.session {
			changes = append(changes, Change{SessionID: p.session, RevisedAt: revised[p.session]})
		}
		c := &changes[len(changes)-1]
		c.Differences = append(c.Differences, differences...)
		c.Rows = append(c.Rows, Pair{a, b})
	}
	return changes
}

// differences are the numbers that differ between two rows of a place.
func (p place) differences(a, b *projections.UsageRow) (all []Difference) {
	for _, m := range Measures {
		if was, is := m.Of(a), m.Of(b); was != is {
			all = append(all, Difference{p.day, p.organizer, p.meeting, m.Name, was, is})
		}
	}
	return all
}

func byPlace(rows []projections.UsageRow) map[place]projections.UsageRow {
	m := make(map[place]projections.UsageRow, len(rows))
	for _, r := range rows {
		m[placeOf(&r)] = r
	}
	return m
}

// places are those of both, sorted.
func places(a, b map[place]projections.UsageRow) []place {
	var all []place
	for p := range a {
		all = append(all, p)
	}
	for p := range b {
		if _, both := a[p]; !both {
			all = append(all, p)
		}
	}
	slices.SortFunc(all, place.compare)
	return all
}
