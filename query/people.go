package query

import (
	"context"
	"database/sql"
	"fmt"
	"slices"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
)

// ratioScale turns an attendance ratio into an integer to sort by.
const ratioScale = 1_000_000_000_000

// participants joins each participant with the session, for what is asked.
func (a *API) participants(s *replica.Snapshot) *replica.List {
	l := listOf(s, a.view(viewAttendance)) // a person has one document in a session
	delete(l.Orders, "lastJoinedAt")
	l.Join(viewSessions, "m", "m.sessionId = s.sessionId")
	l.Extra = []string{"m.durationSeconds", "s.attendedSeconds", "m.endedAt"}
	l.Orders["attendanceRatio"] = replica.Order{Expr: fmt.Sprintf(
		"CASE WHEN m.durationSeconds > 0 THEN CAST(MIN(1.0, 1.0 * s.attendedSeconds / m.durationSeconds) * %d AS INTEGER) ELSE -1 END", ratioScale)}
	return l
}

// listParticipants answers a session's participants, with what needs the session's
// document: attendanceRatio and gaps.
func (a *API) listParticipants(ctx context.Context, c *call) (ans *answer, err error) {
	if c.asOf != nil {
		return a.participantsAsOf(ctx, c)
	}
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		if err := a.knownSession(ctx, s, c.text["sessionId"]); err != nil {
			return err
		}
		l := a.participants(s)
		l.Filter("s.sessionId = ?", c.text["sessionId"])
		narrow(l, a.view(viewAttendance).filters, s, c)
		p, err := readPage(ctx, l, c.values, c.key)
		if err != nil {
			return err
		}
		for i := range p.items {
			if err := addAttendance(&p.items[i]); err != nil {
				return err
			}
		}
		ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// personSessions lists the sessions that a person was in: the person's
// participant documents, each with a short form of its session.
func (a *API) personSessions(ctx context.Context, c *call) (ans *answer, err error) {
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		l := a.participants(s)
		l.ID = "s.sessionId"
		l.Extra = append(l.Extra, "m.doc")
		l.Orders["startedAt"] = replica.Order{Expr: "m.startedAt"}
		l.Default = "-startedAt"
		l.Filter("s.participantId = ?", c.text["participantId"])
		if t, ok := c.times["from"]; ok {
			l.Filter("m.startedAt >= ?", int64(t))
		}
		if t, ok := c.times["to"]; ok {
			l.Filter("m.startedAt < ?", int64(t))
		}
		narrow(l, a.view(viewAttendance).filters, s, c)
		p, err := readPage(ctx, l, c.values, c.key)
		if err != nil {
			return err
		}
		if len(p.items) == 0 && c.text["cursor"] == "" {
			if err := a.knownPerson(ctx, s, c.text["participantId"]); err != nil {
				return err
			}
		}
		session := a.sessionRefFields()
		for i := range p.items {
			it := &p.items[i]
			short, err := shortSession([]byte(it.Extra[3]), session)
			if err != nil {
				return err
			}
			if err := addAttendance(it, "session", short); err != nil {
				return err
			}
		}
		ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// sessionRefFields are what a person's history says of each session.
func (a *API) sessionRefFields() []field {
	return a.view(viewSessions).some("sessionId", "meetingId", "title", "status", "startedAt", "endedAt", "durationSeconds")
}

// personFields are the members of a person's session.
func (a *API) personFields() []field {
	session := a.sessionRefFields()
	columns := csvColumns(session[1:])
	cells := func(raw jsontext.Value) []string {
		cells, err := csvCells(columns, raw)
		if err != nil {
			return make([]string, len(columns))
		}
		return cells
	}
	// The list of gaps comes last, after what was there before it: CSV is read by place.
	who := slices.Clone(a.view(viewAttendance).fields)
	return slices.Insert(who, len(who)-1, field{
		Field: projections.Field{Name: "session", Kind: projections.KindObject, Doc: "The session in short."}, schema: documentSchema(session),
		csv: &csvField{names: csvHeader(columns), kinds: csvKinds(columns), cells: cells}})
}

// shortSession is a session's document with these members alone.
func shortSession(doc []byte, fields []field) ([]byte, error) {
	found := map[string]jsontext.Value{}
	if err := members(doc, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) }); err != nil {
		return nil, err
	}
	var more []any
	for _, f := range fields {
		value := []byte(found[f.Name])
		if value == nil {
			value = []byte("null")
		}
		more = append(more, f.Name, value)
	}
	return splice([]byte("{}"), more...), nil
}

// knownSession is a 404 where no such session is.
func (a *API) knownSession(ctx context.Context, s *replica.Snapshot, id string) error {
	return exists(ctx, s, notFound("no session %q", id), "SELECT 1 FROM "+s.Table(viewSessions)+" WHERE sessionId = ? LIMIT 1", id)
}

func (a *API) knownPerson(ctx context.Context, s *replica.Snapshot, id string) error {
	return exists(ctx, s, notFound("no participant %q", id), "SELECT 1 FROM "+s.Table(viewAttendance)+" WHERE participantId = ? LIMIT 1", id)
}

func exists(ctx context.Context, s *replica.Snapshot, missing error, query string, args ...any) error {
	found := false
	err := s.Query(ctx, func(rows *sql.Rows) error {
		found = true
		var one int
		return rows.Scan(&one)
	}, query, args...)
	if err == nil && !found {
		return missing
	}
	return err
}

// addAttendance completes the document of a participant whose numbers are in
// extra, with more members in front of the gaps.
func addAttendance(it *replica.Item, more ...any) error {
	in, err := numbers(it, 0, 1, 2)
	if err != nil {
		return err
	}
	var who struct {
		Connections        []projections.Connection `json:"connections"`
		ConnectionsOmitted int                      `json:"connectionsOmitted"`
	}
	if err := json.Unmarshal(it.Document, &who); err != nil {
		return fmt.Errorf("read connections: %w", err)
	}
	it.Document = withAttendance(it.Document, ratioJSON(eventlog.Seconds(in[1]), eventlog.Seconds(in[0])),
		&projections.Participant{Connections: who.Connections, ConnectionsOmitted: who.ConnectionsOmitted}, eventlog.Time(in[2]), more...)
	return nil
}

// withAttendance completes a participant's document; end is the session's endedAt.
func withAttendance(doc, ratio []byte, who *projections.Participant, end eventlog.Time, more ...any) []byte {
	all := append([]any{"attendanceRatio", ratio}, more...)
	return splice(doc, append(all, "gaps", gapsJSON(who, end))...)
}

func ratioJSON(attended, duration eventlog.Seconds) []byte {
	ratio, ok := projections.AttendanceRatio(attended, duration)
	b, err := json.Marshal(ratio)
	if !ok || err != nil || ratio < 0 {
		return []byte("null")
	}
	return b
}

func gapsJSON(who *projections.Participant, end eventlog.Time) []byte {
	gaps, ok := who.Gaps(end)
	if !ok {
		return []byte("null")
	}
	b := []byte{'['}
	for i := range gaps {
		if i > 0 {
			b = append(b, ',')
		}
		b = gaps[i].AppendJSON(b)
	}
	return append(b, ']')
}
