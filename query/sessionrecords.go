package query

import (
	"cmp"
	"context"
	"fmt"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/history"
	"rollcall/query/replica"
)

// sessionEventFields are the members of a session's event.
func sessionEventFields() []field {
	return append(eventFields(),
		known("peerId", projections.KindText, "The connection that joined or left; null where it is another event.").orNull(),
		known("participantId", projections.KindText, "The person whose connection it is, as the session's participants have it; null where it is none's.").orNull(),
		known("displayName", projections.KindText, "The person's name among the session's participants; null where there is none.").orNull())
}

// sessionEvents lists the records of a session: those that name it, and those
// of its recordings.
func (a *API) sessionEvents(ctx context.Context, c *call) (*answer, error) {
	head, slices, err := a.waitPart(ctx, c)
	if err != nil {
		return nil, err
	}
	who, err := a.subjects(ctx, c)
	if err != nil {
		return nil, err
	}
	id, person, typ := c.text["sessionId"], c.text["participantId"], c.text["type"]
	return a.recordPage(ctx, c, head, slices, func(r *eventlog.Record) (*history.Subject, bool) {
		if typ != "" && r.Type != typ {
			return nil, false
		}
		ev, ok := history.InSession(r, id)
		if !ok {
			return nil, false
		}
		about := subjectOf(ev, who)
		return &about, person == "" || about.ParticipantID == person
	})
}

// subjects are the people of a session, by their connections' peer ids.
func (a *API) subjects(ctx context.Context, c *call) (map[string]history.Subject, error) {
	who := map[string]history.Subject{}
	err := a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
		return s.Rows(ctx, viewAttendance, func(row *replica.Row) error {
			var doc struct {
				ParticipantID string `json:"participantId"`
				DisplayName   string `json:"displayName"`
				Connections   []struct {
					PeerID string `json:"peerId"`
				} `json:"connections"`
			}
			if err := json.Unmarshal(row.Document(), &doc); err != nil {
				return fmt.Errorf("read participant: %w", err)
			}
			for _, peer := range doc.Connections {
				who[peer.PeerID] = history.Subject{PeerID: peer.PeerID, ParticipantID: doc.ParticipantID, DisplayName: doc.DisplayName}
			}
			return nil
		}, "WHERE t.sessionId = ?", c.text["sessionId"])
	})
	return who, err
}

// subjectOf is who an event is about. Of a connection that the view does not list,
// because it has not come so far or leaves it out, the record itself says it.
func subjectOf(ev *eventlog.Event, who map[string]history.Subject) history.Subject {
	p := &ev.Participant
	if about, ok := who[p.PeerID]; ok || p.PeerID == "" {
		return about
	}
	return history.Subject{PeerID: p.PeerID, ParticipantID: cmp.Or(p.CustomID, p.ClientID, p.PeerID), DisplayName: p.Name}
}
