package query

import (
	"context"
	"fmt"
	"strings"

	"rollcall/eventlog"
	"rollcall/projections"
)

// sessionViews are what a Session with its asked fields is answered from.
func sessionViews() []string { return []string{viewSessions, viewRecordings, viewArtifacts} }

// superseded is the SQL of supersededBy: the meeting's next session by
// startedAt, then id, where this one is LIVE; else ”.
func superseded(table string) string {
	return `CASE WHEN s.status = 'LIVE' AND s.meetingId <> '' THEN COALESCE((SELECT n.sessionId FROM ` + table + ` n
		WHERE n.meetingId = s.meetingId AND (n.startedAt, n.sessionId) > (s.startedAt, s.sessionId)
		ORDER BY n.startedAt, n.sessionId LIMIT 1), '') ELSE '' END`
}

// stale is the SQL of stale, 0 or 1.
func stale(table string, c *call) string {
	cutoff := eventlog.TimeOf(c.now.Add(-c.staleAfter))
	return fmt.Sprintf("(s.status = 'LIVE' AND (s.lastEventAt <= %d OR (%s) <> ''))", int64(cutoff), superseded(table))
}

// sessions is the list that all questions about sessions start from.
func (a *API) sessions(s *snapshot, c *call) *listing {
	table := s.table(viewSessions)
	l := s.listing(a.view(viewSessions))
	l.orders["supersededBy"] = order{expr: superseded(table), text: true}
	l.orders["stale"] = order{expr: stale(table, c)}
	l.extra = []string{superseded(table), stale(table, c)}
	return l
}

func (a *API) listSessions(ctx context.Context, c *call) (ans *answer, err error) {
	views := sessionViews()
	if c.text["participantId"] != "" {
		views = append(views, viewAttendance)
	}
	err = a.replica.read(ctx, views, c.values, func(ctx context.Context, s *snapshot) error {
		l := a.sessions(s, c)
		l.narrow(a.view(viewSessions).filters, s, c)
		p, err := l.page(ctx, s, c.values, c.key)
		if err != nil {
			return err
		}
		ans = &answer{page: p, sequence: s.sequence(views)}
		return a.addAsked(ctx, s, p.items)
	})
	return ans, err
}

// liveSessions lists what goes on now.
func (a *API) liveSessions(ctx context.Context, c *call) (*answer, error) {
	c.text["status"] = "LIVE"
	if !c.bools["stale"] {
		c.bools["stale"] = false
	} else {
		delete(c.bools, "stale") // those too
	}
	return a.listSessions(ctx, c)
}

func (a *API) session(ctx context.Context, c *call) (ans *answer, err error) {
	if c.asOf != nil {
		return a.sessionAsOf(ctx, c)
	}
	err = a.replica.read(ctx, c.route.views, c.values, func(ctx context.Context, s *snapshot) error {
		it, err := a.oneSession(ctx, s, c)
		if err != nil {
			return err
		}
		ans = &answer{doc: it.doc, sequence: s.sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// oneSession reads a session with its asked fields, or says that there is none.
func (a *API) oneSession(ctx context.Context, s *snapshot, c *call) (item, error) {
	l := a.sessions(s, c)
	l.filter("s.sessionId = ?", c.text["sessionId"])
	q := reader{listing: l, by: l.orders["sessionId"], snapshot: s, want: 1}
	if err := q.run(ctx, "", nil); err != nil {
		return item{}, err
	}
	if len(q.items) == 0 {
		return item{}, notFound("no session %q", c.text["sessionId"])
	}
	err := a.addAsked(ctx, s, q.items)
	return q.items[0], err
}

// addAsked adds the asked fields to sessions.
func (a *API) addAsked(ctx context.Context, s *snapshot, items []item) error {
	if len(items) == 0 {
		return nil
	}
	ids := make([]any, len(items))
	for i, it := range items {
		ids[i] = it.id
	}
	in := "WHERE t.sessionId IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
	recordings := make(map[string][]byte, len(items))
	err := s.whole(ctx, viewRecordings, func(row *wholeRow) error {
		session := row.text("sessionId")
		recordings[session] = appendRef(recordings[session], row.text("recordingId"), row.text("status"))
		return nil
	}, in+" ORDER BY t.recordingId", ids...)
	if err != nil {
		return err
	}
	artifacts := make(map[string][]byte, len(items))
	err = s.whole(ctx, viewArtifacts, func(row *wholeRow) error {
		artifacts[row.text("sessionId")] = row.doc()
		return nil
	}, in, ids...)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		it.doc = withAsked(it.doc, recordings[it.id], artifacts[it.id], it.extra[0], it.extra[1] == "1")
	}
	return nil
}

func appendRef(b []byte, id, status string) []byte {
	if len(b) > 0 {
		b = append(b, ',')
	}
	ref := projections.RecordingRef{RecordingID: id, Status: status}
	return ref.AppendJSON(b)
}

// withAsked completes a Session. refs are the elements of recordings.
func withAsked(doc, refs, artifacts []byte, supersededBy string, stale bool) []byte {
	if artifacts == nil {
		artifacts = []byte("null")
	}
	all := append(append([]byte{'['}, refs...), ']')
	return splice(doc, "recordings", all, "artifacts", artifacts, "supersededBy", quoteOrNull(supersededBy), "stale", boolJSON(stale))
}
