package query

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
)

// usageCases count the sessions that started in some days, and those of them that
// count in part, or under nobody.
type usageCases struct {
	Sessions         int `json:"sessions"`
	Live             int `json:"live"`
	Stale            int `json:"stale"`
	OpenConnections  int `json:"openConnections"`
	LeftAfterEnd     int `json:"leftAfterEnd"`
	WithoutOrganizer int `json:"withoutOrganizer"`
}

func usageCasesFields() []field {
	return []field{
		known("sessions", projections.KindInteger, "Sessions that started on the days."),
		known("live", projections.KindInteger, "Those that are LIVE: their closed connections count."),
		known("stale", projections.KindInteger, "The LIVE ones that are stale: nobody ended them, and no time is guessed."),
		known("openConnections", projections.KindInteger, "Open connections of LIVE sessions: each counts once a leave or the session's end closes it."),
		known("leftAfterEnd", projections.KindInteger, "Sessions with a leave after their end: it counts up to the end."),
		known("withoutOrganizer", projections.KindInteger, "Sessions without an organizer: they are in a row of their own."),
	}
}

// usageCases answers how many sessions of usage's days count in part.
func (a *API) usageCases(ctx context.Context, c *call) (ans *answer, err error) {
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		var n usageCases
		where, args := startedOn(c)
		err := s.Query(ctx, func(rows *sql.Rows) error {
			return rows.Scan(&n.Sessions, &n.Live, &n.Stale, &n.OpenConnections, &n.LeftAfterEnd, &n.WithoutOrganizer)
		}, fmt.Sprintf(`SELECT COUNT(*), COALESCE(SUM(s.status = '%s'), 0), COALESCE(SUM(%s), 0), COALESCE(SUM(s.liveParticipants), 0),
			COALESCE(SUM(EXISTS (SELECT 1 FROM json_each(CAST(s.doc AS TEXT), '$.anomalies') WHERE value = '%s')), 0),
			COALESCE(SUM(s.organizerId = '' AND s.organizerName = ''), 0) FROM %s s WHERE %s`,
			projections.Live, stale(s.Table(viewSessions), c), projections.LeftAfterEnd, s.Table(viewSessions), where), args...)
		if err != nil {
			return err
		}
		b, err := json.Marshal(n)
		if err != nil {
			return fmt.Errorf("encode usage cases: %w", err)
		}
		ans = &answer{doc: b, sequence: s.Sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// startedOn is the condition on sessions that a question about usage asks for.
func startedOn(c *call) (where string, args []any) {
	conditions := []string{"s.startedAt > 0"}
	for name, is := range map[string]string{"from": "s.startedAt >= ?", "to": "s.startedAt < ?"} {
		if day, ok := projections.ParseDate(c.text[name]); ok {
			conditions, args = append(conditions, is), append(args, int64(eventlog.TimeOf(day.Start(c.zone))))
		}
	}
	for _, name := range []string{"organizerId", "meetingId"} {
		if id := c.text[name]; id != "" {
			conditions, args = append(conditions, "s."+name+" = ?"), append(args, id)
		}
	}
	return strings.Join(conditions, " AND "), args
}
