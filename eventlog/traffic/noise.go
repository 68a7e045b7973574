package traffic

import (
	"bytes"
	"time"
)

// noise adds one malformed or unknown thing to a session's traffic.
func (s *session) noise() {
	at := s.start.Add(s.within(s.end.Sub(s.start)))
	switch s.IntN(9) {
	case 0: // a type that nobody knows yet
		s.send(at, event("meeting.handRaised").obj("meeting", s.meeting(meetingAt{})).json())
	case 1: // a type of another resource, with more tokens than a name should have
		s.send(at, event("whiteboard.page.added >").str("id", s.uuid()).json())
	case 2: // JSON, but no object
		s.send(at, []byte(`["meeting.started"]`))
	case 3: // no JSON at all
		s.send(at, []byte("event=meeting.started&id="+s.room.id))
	case 4: // a name that stands twice, as in the provider's own sample
		b := s.startedBody()
		s.send(at, bytes.Replace(b, []byte(`"createdAt":`), []byte(`"createdAt":"2020-01-01T00:00:00.000Z","createdAt":`), 1))
	case 5: // bytes that are no UTF-8, in a name of a person
		c := &connection{peer: s.uuid(), person: &person{}, name: "Guest", joined: at}
		s.send(at, bytes.Replace(s.joinedBody(c), []byte(`"Guest"`), []byte("\"Guest \xff\xfe\""), 1))
	case 6: // values of another JSON type
		s.send(at, event("meeting.participantJoined").obj("meeting", s.meeting(meetingAt{})).
			obj("participant", new(object).num("peerId", 7).raw("userDisplayName", "[]").raw("joinedAt", "true")).json())
	case 7: // a time that can't be read, and fields that nobody knows
		s.send(at, event("meeting.participantLeft").obj("meeting", s.meeting(meetingAt{})).
			obj("participant", new(object).str("peerId", s.uuid()).str("joinedAt", `2026-13-45T99:00:00Z"`).str("leftAt", "null").
				raw("device", `{"kind":"phone","tags":[1,2,3]}`)).json())
	case 8: // ids at the edge of what a key may hold
		o := new(object).str("id", "a.b c>*").str("sessionId", "h_"+s.letters(70)).str("startedAt", at.Format(time.RFC3339Nano))
		s.send(at, event("meeting.started").obj("meeting", o).json())
	}
}
