package projections

import "rollcall/eventlog"

// The two values of a session's status.
const (
	Live  = "LIVE"
	Ended = "ENDED"
)

// The names of a session's anomalies.
const (
	BadTime        = "bad-time"
	EndBeforeStart = "end-before-start"
	EndInferred    = "end-inferred"
	JoinUnseen     = "join-unseen"
	LeftBeforeJoin = "left-before-joined"
	LeftAfterEnd   = "left-after-end"
	NoPeerID       = "no-peer-id"
	NoSessionID    = "no-session-id"
)

// ReasonUnknown is the end reason of a session that ended without one.
const ReasonUnknown = "UNKNOWN"

// Session is the document of view sessions.
type Session struct {
	SessionID string        `json:"sessionId"`
	MeetingID string        `json:"meetingId"`
	Title     string        `json:"title"`
	RoomName  string        `json:"roomName"`
	Organizer Organizer     `json:"organizer"`
	Status    string        `json:"status"`
	StartedAt eventlog.Time `json:"startedAt"`
	EndedAt   eventlog.Time `json:"endedAt"`
	EndReason string        `json:"endReason"`
	// DurationSeconds is nil while LIVE.
	DurationSeconds           *eventlog.Seconds `json:"durationSeconds"`
	LiveParticipants          int               `json:"liveParticipants"`
	UniqueParticipants        int               `json:"uniqueParticipants"`
	Connections               int               `json:"connections"`
	MaxConcurrentParticipants int               `json:"maxConcurrentParticipants"`
	ParticipantSeconds        eventlog.Seconds  `json:"participantSeconds"`
	Implicit                  bool              `json:"implicit"`
	LastEventAt               eventlog.Time     `json:"lastEventAt"`
	// Anomalies are sorted, each once.
	Anomalies     []string      `json:"anomalies"`
	DegradedSince eventlog.Time `json:"degradedSince"`
}

var sessionMembers = document(
	textField("sessionId", "The session: one live instance of a meeting.", func(s *Session) string { return s.SessionID }),
	textField("meetingId", "The meeting, a reusable room.", func(s *Session) string { return s.MeetingID }).orNull(),
	longTextField("title", titleLimit, "The first title of the meeting that was sent.", func(s *Session) string { return s.Title }).orNull(),
	textField("roomName", "The first name of the room that was sent.", func(s *Session) string { return s.RoomName }).orNull(),
	objectField("organizer", "Who the meeting belongs to.", func(s *Session) *Organizer { return s.Organizer.known() }, organizerMembers),
	textField("status", "ENDED once an event that ends the session was seen; it never goes back.", func(s *Session) string { return s.Status }).oneOf(Live, Ended),
	timeField("startedAt", "When the session began.", func(s *Session) eventlog.Time { return s.StartedAt }),
	timeField("endedAt", "When the session ended; null while LIVE.", func(s *Session) eventlog.Time { return s.EndedAt }),
	textField("endReason", "Why the session ended, as the provider says, else UNKNOWN; null while LIVE.", func(s *Session) string { return s.EndReason }).orNull(),
	secondsOrNullField("durationSeconds", "From startedAt to endedAt; null while LIVE.", func(s *Session) *eventlog.Seconds { return s.DurationSeconds }),
	integerField("liveParticipants", "Connections without an end.", func(s *Session) int64 { return int64(s.LiveParticipants) }),
	integerField("uniqueParticipants", "People who were there, each counted once.", func(s *Session) int64 { return int64(s.UniqueParticipants) }),
	integerField("connections", "Connections of all participants, open and closed.", func(s *Session) int64 { return int64(s.Connections) }),
	integerField("maxConcurrentParticipants", "The most connections at one time.", func(s *Session) int64 { return int64(s.MaxConcurrentParticipants) }),
	secondsField("participantSeconds", "The sum of the lengths of all closed connections.", func(s *Session) eventlog.Seconds { return s.ParticipantSeconds }),
	boolField("implicit", "No meeting.started was seen.", func(s *Session) bool { return s.Implicit }),
	timeField("lastEventAt", "When the latest event was received.", func(s *Session) eventlog.Time { return s.LastEventAt }),
	textsField("anomalies", "What is odd about the session's events, sorted.", func(s *Session) []string { return s.Anomalies }),
	timeField("degradedSince", "Received time of the earliest record that was set aside and is missing here.", func(s *Session) eventlog.Time { return s.DegradedSince }),
)

// AppendJSON appends the stored form of the document.
func (s *Session) AppendJSON(b []byte) []byte { return sessionMembers.appendJSON(b, s) }

// MarshalJSON returns the stored form.
func (s Session) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }
