package query

import (
	"context"
	"database/sql"
	"slices"
	"strings"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
)

// personItem names the schema of a person.
const personItem = "Person"

// peopleFields are the members of a person.
func peopleFields() []field { return fieldsOf(projections.PersonFields()) }

// maxNames bounds the names of one person: an id that many share has any number.
const maxNames = 100

// personName is the SQL of a person's displayName: that of the latest session
// that has one.
func personName(table string) string {
	return `COALESCE(NULLIF(s.displayName, ''), (SELECT n.displayName FROM ` + table + ` n
		WHERE n.participantId = s.participantId AND n.displayName <> '' ORDER BY n.lastJoinedAt DESC, n.sessionId DESC LIMIT 1), '')`
}

// people lists persons: of each one's documents the latest stands for all.
func (a *API) people(s *replica.Snapshot) *replica.List {
	table := s.Table(viewAttendance)
	sessions := "(SELECT COUNT(*) FROM " + table + " n WHERE n.participantId = s.participantId)"
	l := listOf(s, a.view(viewAttendance))
	l.Orders = map[string]replica.Order{
		"participantId": {Expr: "s.participantId", Text: true}, "displayName": {Expr: personName(table), Text: true},
		"sessions": {Expr: sessions}, "lastJoinedAt": {Expr: "s.lastJoinedAt"},
	}
	l.Default = "-lastJoinedAt"
	l.Extra = []string{personName(table), sessions, "s.lastJoinedAt"}
	l.Filter("NOT EXISTS (SELECT 1 FROM " + table + ` n WHERE n.participantId = s.participantId
		AND (n.lastJoinedAt, n.sessionId) > (s.lastJoinedAt, s.sessionId))`)
	return l
}

// listPeople lists everybody who was in a session, or those whom q finds.
func (a *API) listPeople(ctx context.Context, c *call) (ans *answer, err error) {
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		l := a.people(s)
		if q := c.text["q"]; q != "" {
			condition, args := searchFor(q)
			l.Filter("s.participantId IN (SELECT participantId FROM "+s.Table(viewAttendance)+" WHERE "+condition+")", args...)
		}
		p, err := readPage(ctx, l, c.values, c.key)
		if err != nil {
			return err
		}
		ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
		return describePeople(ctx, s, p.items)
	})
	return ans, err
}

// describePeople replaces the documents of items by the person's own.
func describePeople(ctx context.Context, s *replica.Snapshot, items []replica.Item) error {
	names, err := namesOf(ctx, s, items)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		in, err := numbers(it, 1, 2)
		if err != nil {
			return err
		}
		who := projections.Person{ParticipantID: it.ID, DisplayName: it.Extra[0], Names: names[it.ID], Sessions: int(in[0]), LastJoinedAt: eventlog.Time(in[1])}
		it.Document = who.AppendJSON(nil)
	}
	return nil
}

// namesOf are the names of people, by id.
func namesOf(ctx context.Context, s *replica.Snapshot, items []replica.Item) (map[string][]string, error) {
	names := make(map[string][]string, len(items))
	if len(items) == 0 {
		return names, nil
	}
	ids := make([]any, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	err := s.Query(ctx, func(rows *sql.Rows) error {
		var id, name string
		if err := rows.Scan(&id, &name); err != nil {
			return err
		}
		if len(names[id]) < maxNames {
			names[id] = append(names[id], name)
		}
		return nil
	}, "SELECT participantId, displayName FROM "+s.Table(viewAttendance)+" WHERE displayName <> '' AND participantId IN (?"+strings.Repeat(", ?", len(ids)-1)+`)
		GROUP BY participantId, displayName ORDER BY participantId, MAX(lastJoinedAt) DESC, displayName`, ids...)
	for _, list := range names {
		slices.Sort(list)
	}
	return names, err
}
