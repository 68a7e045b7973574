package projections

import "rollcall/eventlog"

// Person is a participant id over all sessions, gathered from the documents of
// view attendance when somebody asks.
type Person struct {
	ParticipantID string
	DisplayName   string
	Names         []string
	Sessions      int
	LastJoinedAt  eventlog.Time
}

var personMembers = document(
	textField("participantId", "The person's id in every session.", func(p *Person) string { return p.ParticipantID }),
	textField("displayName", "The name in the latest session that has one, by its last joinedAt.", func(p *Person) string { return p.DisplayName }).orNull(),
	textsField("names", "The person's names in all sessions, sorted, each once; of more than 100 those used last.", func(p *Person) []string { return p.Names }),
	integerField("sessions", "How many sessions the person was in.", func(p *Person) int64 { return int64(p.Sessions) }),
	timeField("lastJoinedAt", "When the latest connection of all began.", func(p *Person) eventlog.Time { return p.LastJoinedAt }),
)

// PersonFields are the members of a person in JSON.
func PersonFields() []Field { return personMembers.fields() }

// AppendJSON appends the person as an object.
func (p *Person) AppendJSON(b []byte) []byte { return personMembers.appendJSON(b, p) }
