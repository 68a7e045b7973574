package projections

import "rollcall/eventlog"

// What closed a connection.
const (
	ClosedByLeave = "LEFT"
	ClosedByEnd   = "MEETING_END"
)

// Participant is the document of view attendance: one person in one session.
type Participant struct {
	SessionID     string `json:"sessionId"`
	ParticipantID string `json:"participantId"`
	DisplayName   string `json:"displayName"`
	// Connections are the latest that fit 448 KiB; almost always all of them.
	Connections       []Connection     `json:"connections"`
	FirstJoinedAt     eventlog.Time    `json:"firstJoinedAt"`
	LastLeftAt        eventlog.Time    `json:"lastLeftAt"`
	Present           bool             `json:"present"`
	ConnectedSeconds  eventlog.Seconds `json:"connectedSeconds"`
	AttendedSeconds   eventlog.Seconds `json:"attendedSeconds"`
	LongestGapSeconds eventlog.Seconds `json:"longestGapSeconds"`
	// ConnectionsOmitted is how many earlier connections the list leaves out;
	// the sums count them. In JSON it stands only where it is not 0.
	ConnectionsOmitted int `json:"connectionsOmitted"`
}

// Connection is one peer of a participant.
type Connection struct {
	PeerID   string           `json:"peerId"`
	JoinedAt eventlog.Time    `json:"joinedAt"`
	LeftAt   eventlog.Time    `json:"leftAt"`
	ClosedBy string           `json:"closedBy"`
	Seconds  eventlog.Seconds `json:"seconds"`
}

var participantMembers = document(
	textField("sessionId", "The session.", func(p *Participant) string { return p.SessionID }),
	textField("participantId", "The person: the customParticipantId, else the clientSpecificId, else the peer's id.", func(p *Participant) string { return p.ParticipantID }),
	textField("displayName", "The name that the latest connection with one has.", func(p *Participant) string { return p.DisplayName }).orNull(),
	listField("connections", "The person's connections, by joinedAt.", func(p *Participant) []Connection { return p.Connections }, connectionMembers),
	timeField("firstJoinedAt", "When the first connection began.", func(p *Participant) eventlog.Time { return p.FirstJoinedAt }),
	timeField("lastLeftAt", "When the last connection ended; null while present.", func(p *Participant) eventlog.Time { return p.LastLeftAt }),
	boolField("present", "A connection is open.", func(p *Participant) bool { return p.Present }),
	secondsField("connectedSeconds", "Sum over connections: what providers bill.", func(p *Participant) eventlog.Seconds { return p.ConnectedSeconds }),
	secondsField("attendedSeconds", "Time in the session, two devices at once counted once.", func(p *Participant) eventlog.Seconds { return p.AttendedSeconds }),
	secondsField("longestGapSeconds", "The longest time between two connections that none covers.", func(p *Participant) eventlog.Seconds { return p.LongestGapSeconds }),
	integerField("connectionsOmitted", "How many earlier connections the list leaves out; only where it does.", func(p *Participant) int64 { return int64(p.ConnectionsOmitted) }).
		absentWhere(func(p *Participant) bool { return p.ConnectionsOmitted == 0 }),
)

var connectionMembers = document(
	textField("peerId", "The connection.", func(c *Connection) string { return c.PeerID }),
	timeField("joinedAt", "When it began.", func(c *Connection) eventlog.Time { return c.JoinedAt }),
	timeField("leftAt", "When it ended; null while it is open.", func(c *Connection) eventlog.Time { return c.LeftAt }),
	textField("closedBy", "LEFT by a leave, MEETING_END by the session's end; null while it is open.", func(c *Connection) string { return c.ClosedBy }).orNull(),
	secondsField("seconds", "How long it was, cut at the session's end; 0 while it is open.", func(c *Connection) eventlog.Seconds { return c.Seconds }),
)

// AppendJSON appends the stored form of the document.
func (p *Participant) AppendJSON(b []byte) []byte { return participantMembers.appendJSON(b, p) }

// MarshalJSON returns the stored form.
func (p Participant) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// AppendJSON appends one element of a participant's connections.
func (c *Connection) AppendJSON(b []byte) []byte { return connectionMembers.appendJSON(b, c) }

// MarshalJSON returns what AppendJSON appends.
func (c Connection) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil), nil }
