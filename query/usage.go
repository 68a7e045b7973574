package query

import (
	"cmp"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
)

// maxUsageDays bounds the days of one question, since each costs a step of about
// a microsecond. It reaches from any year of a real record to 2262.
const maxUsageDays = 100_000

// usageGroups are what usage rows can be for. At most one of the periods is.
var usageGroups = []string{"day", "week", "month", "organizer", "meeting"}

var usagePeriods = map[string]projections.Period{"day": projections.PerDay, "week": projections.PerWeek, "month": projections.PerMonth}

// usageQuery is what a call asks for, its days apart.
func usageQuery(c *call) (projections.UsageQuery, error) {
	q := projections.UsageQuery{Zone: c.zone, OrganizerID: c.text["organizerId"], MeetingID: c.text["meetingId"]}
	by, ok := c.lists["groupBy"]
	if !ok {
		by = []string{"day", "organizer"}
	}
	for _, g := range by {
		q.ByOrganizer = q.ByOrganizer || g == "organizer"
		q.ByMeeting = q.ByMeeting || g == "meeting"
		if per := usagePeriods[g]; per != projections.AllDays {
			if q.Per != projections.AllDays {
				return q, badRequest("groupBy takes one of day, week and month; got %s", strings.Join(by, ","))
			}
			q.Per = per
		}
	}
	return q, nil
}

// usage answers usage rows.
func (a *API) usage(ctx context.Context, c *call) (ans *answer, err error) {
	q, err := usageQuery(c)
	if err != nil {
		return nil, err
	}
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		if err := a.usageDays(ctx, s, c, &q); err != nil {
			return err
		}
		rows, err := usageRows(ctx, s, q)
		if err != nil {
			return err
		}
		items := make([]replica.Item, len(rows))
		for i := range rows {
			items[i] = usageItemOf(&rows[i])
		}
		p, err := pageOf(items, usageFields(), "day", c.values, c.key)
		if err != nil {
			return err
		}
		ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// usageItemOf is a row as an item of a list: its id sorts as UsageRows does.
func usageItemOf(r *projections.UsageRow) replica.Item {
	return computed(strings.Join([]string{r.Day.String(), r.Organizer.ID, r.Organizer.Name, r.MeetingID}, "\n"), r.AppendJSON(nil))
}

// usageDays sets the days of a question: those asked for, or all that something
// happened on. One stray time, such as a recording that stops in the year 9999,
// must not hide the others: where there are too many days, those that nobody
// asked for end tomorrow, and begin as early as there is room for.
func (a *API) usageDays(ctx context.Context, s *replica.Snapshot, c *call, q *projections.UsageQuery) error {
	var first, last eventlog.Time
	err := s.Query(ctx, func(rows *sql.Rows) error { return rows.Scan(&first, &last) },
		"SELECT COALESCE(MIN(t), 0), COALESCE(MAX(u), 0) FROM (SELECT MIN(begins) AS t, MAX(ends) AS u FROM "+s.Table(viewUsage)+
			" WHERE begins > 0 UNION ALL SELECT MIN(startedAt), MAX(stoppedAt) FROM "+s.Table(viewRecordings)+" WHERE startedAt > 0)")
	if err != nil {
		return err
	}
	var from, to bool
	if q.From, from = projections.ParseDate(c.text["from"]); !from {
		q.From = dayOf(first, c.zone)
	}
	if q.To, to = projections.ParseDate(c.text["to"]); !to {
		q.To = dayOf(last, c.zone).Next()
	}
	tooMany := func() bool { return q.From.Days(q.To) > maxUsageDays }
	if tomorrow := dayOf(eventlog.TimeOf(c.now.Add(24*time.Hour)), c.zone); !to && tooMany() && q.From.Before(tomorrow) {
		q.To = tomorrow.Next()
	}
	if !from && tooMany() {
		q.From = dayOf(eventlog.TimeOf(time.Date(q.To.Year, q.To.Month, q.To.Day-maxUsageDays, 0, 0, 0, 0, time.UTC)), time.UTC)
	}
	if tooMany() {
		return badRequest("from %s to %s are more than %d days; ask for fewer, with from and to", q.From, q.To, maxUsageDays)
	}
	return nil
}

func dayOf(t eventlog.Time, zone *time.Location) projections.Date {
	y, m, d := t.Std().In(zone).Date()
	return projections.Date{Year: y, Month: m, Day: d}
}

// usageSource is the rows of the replica that usage of some days is made of: what
// overlaps the days, with a margin for any time zone, and the sessions of such
// recordings, for their organizers.
type usageSource struct {
	args                 []any
	sessions, recordings string // SQL from WHERE on
}

func usageSourceOf(s *replica.Snapshot, q projections.UsageQuery) usageSource {
	const margin = 36 * time.Hour
	from := eventlog.TimeOf(time.Date(q.From.Year, q.From.Month, q.From.Day, 0, 0, 0, 0, time.UTC).Add(-margin))
	to := eventlog.TimeOf(time.Date(q.To.Year, q.To.Month, q.To.Day, 0, 0, 0, 0, time.UTC).Add(margin))
	recorded := "startedAt > 0 AND stoppedAt > startedAt AND startedAt < ?2 AND stoppedAt > ?1"
	return usageSource{
		args:       []any{int64(from), int64(to)},
		sessions:   "WHERE (begins < ?2 AND ends >= ?1) OR sessionId IN (SELECT sessionId FROM " + s.Table(viewRecordings) + " WHERE " + recorded + ")",
		recordings: "WHERE " + recorded,
	}
}

// usageRows adds usage up.
func usageRows(ctx context.Context, s *replica.Snapshot, q projections.UsageQuery) ([]projections.UsageRow, error) {
	var failed error
	from := usageSourceOf(s, q)
	sessions := documents[projections.UsageSession](ctx, s, &failed, viewUsage, from.sessions, from.args...)
	recordings := documents[projections.Recording](ctx, s, &failed, viewRecordings, from.recordings, from.args...)
	rows := projections.UsageRows(q, sessions, recordings)
	return rows, cmp.Or(failed, ctx.Err())
}

// usageStamp is another one once any row that usage is made of has changed, came or
// went.
func usageStamp(ctx context.Context, s *replica.Snapshot, q projections.UsageQuery) (stamp string, err error) {
	from := usageSourceOf(s, q)
	for _, of := range [...]struct{ view, where string }{{viewUsage, from.sessions}, {viewRecordings, from.recordings}} {
		p := s.Progress(of.view)
		err = errors.Join(err, s.Query(ctx, func(rows *sql.Rows) error {
			var count, last int64
			err := rows.Scan(&count, &last)
			stamp += fmt.Sprintln(of.view, p.Bucket, p.Table, p.Takeover, count, last)
			return err
		}, "SELECT COUNT(*), COALESCE(MAX(rev), 0) FROM "+s.Table(of.view)+" "+of.where, from.args...))
	}
	return stamp, err
}

// errEnough ends a query whose rest nobody wants.
var errEnough = errors.New("enough")

// documents yields a view's parsed documents; an error ends it and is left in
// failed.
func documents[D projections.Document](ctx context.Context, s *replica.Snapshot, failed *error, view, where string, args ...any) iter.Seq[D] {
	return func(yield func(D) bool) {
		err := s.Rows(ctx, view, func(row *replica.Row) error {
			d, err := projections.Parse[D](row.Document())
			if err == nil && !yield(d) {
				err = errEnough
			}
			return err
		}, where, args...)
		if !errors.Is(err, errEnough) {
			*failed = cmp.Or(*failed, err)
		}
	}
}
