package query

import (
	"context"
	"fmt"
	"net/http"
	"slices"

	"rollcall/eventlog"
	"rollcall/projections"
)

// past is what a session's meeting looked like at an earlier moment: the real
// folds over the records that were there then.
type past struct {
	documents map[string]map[string][]byte // by view, then key
	sequence  eventlog.Seq
	// leave gives back the place among the reads at work; the caller calls it.
	leave func()
}

// foldKey names one entity's state.
type foldKey struct{ view, key string }

// past folds the records of the session's slices up to the moment asked for.
func (a *API) past(ctx context.Context, c *call, views ...string) (*past, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	sliceList, err := a.slicesOf(ctx, c, head)
	if err != nil {
		return nil, err
	}
	if head.First > 1 {
		return nil, newProblem(http.StatusGone, "the log no longer holds the records before %d, so the past can't be computed", head.First)
	}
	p := &past{documents: map[string]map[string][]byte{}, sequence: head.Last}
	if c.asOf.at.IsZero() {
		p.sequence = min(head.Last, c.asOf.seq)
	}
	states := map[foldKey]eventlog.State{}
	if p.sequence > 0 {
		err := a.log.scan(ctx, eventlog.ReadOptions{UpTo: p.sequence, Slices: sliceList}, func(r *eventlog.Record) bool {
			if c.asOf.at.IsZero() || r.ReceivedAt <= c.asOf.at {
				ev := eventlog.Decode(r)
				a.apply(states, views, &ev, c.text["sessionId"])
			}
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
	}
	if p.leave, err = a.replica.pace.enter(ctx); err != nil {
		return nil, err
	}
	for k, st := range states {
		yield()
		docs := p.documents[k.view]
		if docs == nil {
			docs = map[string][]byte{}
			p.documents[k.view] = docs
		}
		st.Flush(capture(docs))
	}
	return p, nil
}

// apply folds one event. All sessions of the slices are folded, since another
// one may supersede the one asked for; their participants are not.
func (a *API) apply(states map[foldKey]eventlog.State, views []string, ev *eventlog.Event, sessionID string) {
	session, _ := ev.Session()
	for _, view := range views {
		fold := a.folds[view]
		if fold == nil || view == viewAttendance && session != sessionID {
			continue
		}
		key := fold.Key(ev)
		if key == "" {
			continue
		}
		k := foldKey{view, key}
		st := states[k]
		if st == nil {
			st = fold.New(key)
			states[k] = st
		}
		st.Apply(ev)
	}
}

// capture is an eventlog.Writer that keeps documents.
type capture map[string][]byte

func (w capture) Put(key string, document []byte) { w[key] = slices.Clone(document) }
func (w capture) Delete(key string)               { delete(w, key) }
func (w capture) PutPart(string, []byte)          {}

// sessionAsOf answers a session as it was.
func (a *API) sessionAsOf(ctx context.Context, c *call) (*answer, error) {
	p, err := a.past(ctx, c, viewSessions, viewRecordings, viewArtifacts)
	if err != nil {
		return nil, err
	}
	defer p.leave()
	doc, session, err := p.session(c)
	if err != nil {
		return nil, err
	}
	var others []projections.Session
	for _, d := range p.documents[viewSessions] {
		if o, err := projections.Parse[projections.Session](d); err == nil {
			others = append(others, o)
		}
	}
	by := session.SupersededBy(others)
	now := c.asOf.at.Std()
	if c.asOf.at.IsZero() {
		now = a.receivedAt(ctx, p.sequence, c.now)
	}
	doc = withAsked(doc, p.refs(session.SessionID), p.artifacts(session.SessionID), by, session.Stale(by != "", now, a.config.StaleAfter))
	return &answer{doc: doc, sequence: p.sequence}, nil
}

// session finds the session asked for among the documents.
func (p *past) session(c *call) ([]byte, *projections.Session, error) {
	id := c.text["sessionId"]
	for _, key := range []string{"live." + eventlog.EscapeID(id), "ended." + eventlog.EscapeID(id)} {
		if doc, ok := p.documents[viewSessions][key]; ok {
			s, err := projections.Parse[projections.Session](doc)
			if err != nil {
				return nil, nil, fmt.Errorf("read session: %w", err)
			}
			return doc, &s, nil
		}
	}
	return nil, nil, notFound("no session %q as of then", id)
}

// refs are the elements of a session's recordings.
func (p *past) refs(sessionID string) (refs []byte) {
	var all []projections.Recording
	for _, doc := range p.documents[viewRecordings] {
		if r, err := projections.Parse[projections.Recording](doc); err == nil && r.SessionID == sessionID {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b projections.Recording) int {
		if a.RecordingID < b.RecordingID {
			return -1
		}
		return 1
	})
	for _, r := range all {
		refs = appendRef(refs, r.RecordingID, r.Status)
	}
	return refs
}

func (p *past) artifacts(sessionID string) []byte {
	return p.documents[viewArtifacts][eventlog.EscapeID(sessionID)]
}

// participantsAsOf answers a session's participants as they were.
func (a *API) participantsAsOf(ctx context.Context, c *call) (*answer, error) {
	p, err := a.past(ctx, c, viewSessions, viewAttendance)
	if err != nil {
		return nil, err
	}
	defer p.leave()
	_, session, err := p.session(c)
	if err != nil {
		return nil, err
	}
	items := []item{}
	for _, doc := range p.documents[viewAttendance] {
		yield()
		who, err := projections.Parse[projections.Participant](doc)
		if err != nil {
			return nil, fmt.Errorf("read participant: %w", err)
		}
		if who.SessionID != session.SessionID {
			continue
		}
		ratio := []byte("null")
		if session.DurationSeconds != nil {
			ratio = ratioJSON(who.AttendedSeconds, *session.DurationSeconds)
		}
		items = append(items, item{id: who.ParticipantID, doc: splice(doc, "attendanceRatio", ratio)})
	}
	pg, err := pageOf(items, a.view(viewAttendance).fields, "participantId", c.values, c.key)
	if err != nil {
		return nil, err
	}
	return &answer{page: pg, sequence: p.sequence}, nil
}
