package query

import (
	"testing"

	"rollcall/eventlog"
	"rollcall/query/history"
)

// TestSubjectOf: the view says whose a record is; of a connection that it does not
// list, the record itself says it.
func TestSubjectOf(t *testing.T) {
	who := map[string]history.Subject{"p1": {PeerID: "p1", ParticipantID: "ann", DisplayName: "Ann"}}
	for _, c := range []struct {
		in   eventlog.Participant
		want history.Subject
	}{
		{eventlog.Participant{PeerID: "p1", CustomID: "other", Name: "Other"}, who["p1"]},
		{eventlog.Participant{PeerID: "p2", CustomID: "bob", ClientID: "c", Name: "Bob"}, history.Subject{PeerID: "p2", ParticipantID: "bob", DisplayName: "Bob"}},
		{eventlog.Participant{PeerID: "p2", ClientID: "c"}, history.Subject{PeerID: "p2", ParticipantID: "c"}},
		{eventlog.Participant{PeerID: "p2"}, history.Subject{PeerID: "p2", ParticipantID: "p2"}},
		{eventlog.Participant{CustomID: "bob"}, history.Subject{}}, {eventlog.Participant{}, history.Subject{}},
	} {
		if got := subjectOf(&eventlog.Event{Participant: c.in}, who); got != c.want {
			t.Errorf("subjectOf(%+v) = %+v; want %+v", c.in, got, c.want)
		}
	}
}
