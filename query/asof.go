package query

import (
	"context"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/history"
	"rollcall/query/replica"
)

// past folds the records of the session's slices up to the moment asked for.
func (a *API) past(ctx context.Context, c *call, views ...string) (*history.Past, error) {
	head, slices, err := a.waitPart(ctx, c)
	if err != nil {
		return nil, err
	}
	q := history.Question{Moment: *c.asOf, Session: c.text["sessionId"], Slices: slices, Enter: a.replica.Enter}
	for _, view := range views {
		if fold := a.folds[view]; fold != nil {
			q.Folds = append(q.Folds, fold)
		}
	}
	return a.log.Past(ctx, head, q)
}

// sessionAsOf answers a session as it was.
func (a *API) sessionAsOf(ctx context.Context, c *call) (*answer, error) {
	p, err := a.past(ctx, c, viewSessions, viewRecordings, viewArtifacts)
	if err != nil {
		return nil, err
	}
	defer p.Leave()
	doc, session, err := p.Session()
	if err != nil {
		return nil, err
	}
	by := p.SupersededBy(&session)
	now := c.asOf.At.Std()
	if c.asOf.At.IsZero() {
		now = a.log.ReceivedAt(ctx, p.Sequence, c.now)
	}
	var refs []byte
	for _, r := range p.Recordings() {
		refs = appendRef(refs, r.RecordingID, r.Status)
	}
	doc = withAsked(doc, refs, p.Artifacts(), by, session.Stale(by != "", now, a.config.StaleAfter))
	return &answer{doc: doc, sequence: p.Sequence}, nil
}

// participantsAsOf answers a session's participants as they were.
func (a *API) participantsAsOf(ctx context.Context, c *call) (*answer, error) {
	p, err := a.past(ctx, c, viewSessions, viewAttendance)
	if err != nil {
		return nil, err
	}
	defer p.Leave()
	_, session, err := p.Session()
	if err != nil {
		return nil, err
	}
	var duration eventlog.Seconds
	if session.DurationSeconds != nil {
		duration = *session.DurationSeconds
	}
	least, limited := c.ratios["attendedAtLeast"]
	items := []replica.Item{}
	err = p.Participants(func(doc []byte, who projections.Participant) {
		if ratio, known := projections.AttendanceRatio(who.AttendedSeconds, duration); limited && (!known || ratio < least) {
			return
		}
		items = append(items, computed(who.ParticipantID, withAttendance(doc, ratioJSON(who.AttendedSeconds, duration), &who, session.EndedAt)))
	})
	if err != nil {
		return nil, err
	}
	pg, err := pageOf(items, a.view(viewAttendance).fields, "participantId", c.values, c.key)
	if err != nil {
		return nil, err
	}
	return &answer{page: pg, sequence: p.Sequence}, nil
}
