package query

import (
	"context"
	"fmt"
	"strings"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/replica"
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
func (a *API) sessions(s *replica.Snapshot, c *call) *replica.List {
	table := s.Table(viewSessions)
	l := listOf(s, a.view(viewSessions))
	l.Orders["supersededBy"] = replica.Order{Expr: superseded(table), Text: true}
	l.Orders["stale"] = replica.Order{Expr: stale(table, c)}
	l.Extra = []string{superseded(table), stale(table, c)}
	return l
}

func (a *API) listSessions(ctx context.Context, c *call) (ans *answer, err error) {
	views := sessionViews()
	if c.text["participantId"] != "" {
		views = append(views, viewAttendance)
	}
	err = a.read(ctx, c, views, func(ctx context.Context, s *replica.Snapshot) error {
		l := a.sessions(s, c)
		narrow(l, a.view(viewSessions).filters, s, c)
		p, err := readPage(ctx, l, c.values, c.key)
		if err != nil {
			return err
		}
		ans = &answer{page: p, sequence: s.Sequence(views)}
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
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		it, err := a.oneSession(ctx, s, c)
		if err != nil {
			return err
		}
		ans = &answer{doc: it.Document, sequence: s.Sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// oneSession reads a session with its asked fields, or says that there is none.
func (a *API) oneSession(ctx context.Context, s *replica.Snapshot, c *call) (replica.Item, error) {
	l := a.sessions(s, c)
	l.Filter("s.sessionId = ?", c.text["sessionId"])
	it, ok, err := l.One(ctx)
	if err != nil {
		return it, err
	}
	if !ok {
		return it, notFound("no session %q", c.text["sessionId"])
	}
	items := []replica.Item{it}
	err = a.addAsked(ctx, s, items)
	return items[0], err
}

// addAsked adds the asked fields to sessions.
func (a *API) addAsked(ctx context.Context, s *replica.Snapshot, items []replica.Item) error {
	if len(items) == 0 {
		return nil
	}
	ids := make([]any, len(items))
	for i, it := range items {
		ids[i] = it.ID
	}
	in := "WHERE t.sessionId IN (?" + strings.Repeat(", ?", len(ids)-1) + ")"
	recordings := make(map[string][]byte, len(items))
	err := s.Rows(ctx, viewRecordings, func(row *replica.Row) error {
		session := row.Text("sessionId")
		recordings[session] = appendRef(recordings[session], row.Text("recordingId"), row.Text("status"))
		return nil
	}, in+" ORDER BY t.recordingId", ids...)
	if err != nil {
		return err
	}
	artifacts := make(map[string][]byte, len(items))
	err = s.Rows(ctx, viewArtifacts, func(row *replica.Row) error {
		artifacts[row.Text("sessionId")] = row.Document()
		return nil
	}, in, ids...)
	if err != nil {
		return err
	}
	for i := range items {
		it := &items[i]
		it.Document = withAsked(it.Document, recordings[it.ID], artifacts[it.ID], it.Extra[0], it.Extra[1] == "1")
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
