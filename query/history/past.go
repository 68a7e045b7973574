package history

import (
	"context"
	"fmt"
	"slices"
	"strings"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/pace"
)

// Names of the views that the past of a session is made of.
const (
	viewSessions   = "sessions"
	viewAttendance = "attendance"
	viewRecordings = "recordings"
	viewArtifacts  = "artifacts"
)

// Moment is a point in the past: up to a received time or, where that is zero, up
// to a sequence.
type Moment struct {
	At  eventlog.Time
	Seq eventlog.Seq
}

// Question is what is asked of the past: a session at a moment.
type Question struct {
	Moment
	Session string
	// Slices are those of the log that hold the session's records; nil: all.
	Slices []int
	// Folds make the documents: those of sessions and whatever else is wanted.
	Folds []eventlog.Fold
	// Enter takes a place among the reads at work, for when the records are read.
	Enter func(ctx context.Context) (leave func(), err error)
}

// Past is what a session and its meeting looked like at an earlier moment: the real
// folds over the records that were there then.
type Past struct {
	// Sequence is how far the log was.
	Sequence eventlog.Seq
	// Leave gives back what Enter took. The caller must call it.
	Leave     func()
	session   string
	documents map[string]map[string][]byte // by view, then key
}

// StartedLaterError says that the log does not reach back to its beginning.
type StartedLaterError struct{ First eventlog.Seq }

func (e *StartedLaterError) Error() string {
	return fmt.Sprintf("the log no longer holds the records before %d, so the past can't be computed", e.First)
}

// Past answers a question; a *StartedLaterError where retention removed records, and
// a *NotYetError where there was no such session.
func (l *Reader) Past(ctx context.Context, head eventlog.Head, q Question) (*Past, error) {
	if head.First > 1 {
		return nil, &StartedLaterError{head.First}
	}
	p := &Past{Sequence: head.Last, session: q.Session}
	if q.At.IsZero() {
		p.Sequence = min(head.Last, q.Seq)
	}
	states := states{}
	if p.Sequence > 0 {
		err := l.Scan(ctx, eventlog.ReadOptions{UpTo: p.Sequence, Slices: q.Slices}, func(r *eventlog.Record) bool {
			if q.At.IsZero() || r.ReceivedAt <= q.At {
				ev := eventlog.Decode(r)
				q.apply(states, &ev)
			}
			return true
		})
		if err != nil {
			return nil, fmt.Errorf("read log: %w", err)
		}
	}
	var err error
	if p.Leave, err = q.Enter(ctx); err != nil {
		return nil, err
	}
	if p.documents = states.documents(); p.document() == nil {
		p.Leave()
		return nil, l.notYet(ctx, head, q)
	}
	return p, nil
}

// apply folds one event. All sessions of the slices are folded, since another
// one may supersede the one asked for; their participants are not.
func (q *Question) apply(to states, ev *eventlog.Event) {
	session, _ := ev.Session()
	for _, fold := range q.Folds {
		if fold.Name() != viewAttendance || session == q.Session {
			to.apply(fold, ev)
		}
	}
}

// states are the states of several folds, one an entity.
type states map[entity]eventlog.State

type entity struct{ view, key string }

func (s states) apply(fold eventlog.Fold, ev *eventlog.Event) {
	key := fold.Key(ev)
	if key == "" {
		return
	}
	e := entity{fold.Name(), key}
	st := s[e]
	if st == nil {
		st = fold.New(key)
		s[e] = st
	}
	st.Apply(ev)
}

// documents are those of all states, by view, then key.
func (s states) documents() map[string]map[string][]byte {
	all := map[string]map[string][]byte{}
	for e, st := range s {
		pace.Yield()
		if all[e.view] == nil {
			all[e.view] = map[string][]byte{}
		}
		st.Flush(capture(all[e.view]))
	}
	return all
}

// capture is an eventlog.Writer that keeps documents.
type capture map[string][]byte

func (w capture) Put(key string, document []byte) { w[key] = slices.Clone(document) }
func (w capture) Delete(key string)               { delete(w, key) }
func (w capture) PutPart(string, []byte)          {}

// Session returns the session asked for, as document and parsed.
func (p *Past) Session() (document []byte, s projections.Session, err error) {
	document = p.document()
	if s, err = projections.Parse[projections.Session](document); err != nil {
		return nil, s, fmt.Errorf("read session: %w", err)
	}
	return document, s, nil
}

// document is the session's; nil where there was no such session.
func (p *Past) document() []byte {
	key := eventlog.EscapeID(p.session)
	if live := p.documents[viewSessions]["live."+key]; live != nil {
		return live
	}
	return p.documents[viewSessions]["ended."+key]
}

// SupersededBy is the session of the same meeting that supersedes s; "": none does.
func (p *Past) SupersededBy(s *projections.Session) string {
	var others []projections.Session
	for _, d := range p.documents[viewSessions] {
		if o, err := projections.Parse[projections.Session](d); err == nil {
			others = append(others, o)
		}
	}
	return s.SupersededBy(others)
}

// Recordings are the session's, by id.
func (p *Past) Recordings() (all []projections.Recording) {
	for _, document := range p.documents[viewRecordings] {
		if r, err := projections.Parse[projections.Recording](document); err == nil && r.SessionID == p.session {
			all = append(all, r)
		}
	}
	slices.SortFunc(all, func(a, b projections.Recording) int { return strings.Compare(a.RecordingID, b.RecordingID) })
	return all
}

// Artifacts is the session's document of them; nil: there was none.
func (p *Past) Artifacts() []byte { return p.documents[viewArtifacts][eventlog.EscapeID(p.session)] }

// Participants calls visit for each participant of the session, in no order.
func (p *Past) Participants(visit func(document []byte, who projections.Participant)) error {
	for _, document := range p.documents[viewAttendance] {
		pace.Yield()
		who, err := projections.Parse[projections.Participant](document)
		if err != nil {
			return fmt.Errorf("read participant: %w", err)
		}
		if who.SessionID == p.session {
			visit(document, who)
		}
	}
	return nil
}
