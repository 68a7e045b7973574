package eventlog

// Type is the kind of an event.
type Type uint8

// The nine types that the providers document, and the two for everything else.
const (
	// Unreadable: the body is no JSON object.
	Unreadable Type = iota
	// Unknown: a JSON object with a type that this version does not know.
	Unknown
	MeetingStarted
	MeetingEnded
	ParticipantJoined
	ParticipantLeft
	ChatSynced
	Transcript
	Summary
	RecordingStatus
	LivestreamStatus
	typeCount
)

var typeNames = [typeCount]string{
	Unreadable:        "other.unreadable",
	Unknown:           "other.unknown",
	MeetingStarted:    "meeting.started",
	MeetingEnded:      "meeting.ended",
	ParticipantJoined: "meeting.participantJoined",
	ParticipantLeft:   "meeting.participantLeft",
	ChatSynced:        "meeting.chatSynced",
	Transcript:        "meeting.transcript",
	Summary:           "meeting.summary",
	RecordingStatus:   "recording.statusUpdate",
	LivestreamStatus:  "livestreaming.statusUpdate",
}

// String is the type's name as the providers send it; other.unknown and
// other.unreadable for the two that they don't.
func (t Type) String() string {
	if t < typeCount {
		return typeNames[t]
	}
	return typeNames[Unknown]
}

// Types returns the nine types that the providers document.
func Types() []Type {
	return []Type{
		MeetingStarted, MeetingEnded, ParticipantJoined, ParticipantLeft, ChatSynced,
		Transcript, Summary, RecordingStatus, LivestreamStatus,
	}
}

// TypeOf returns the type that name stands for, Unknown where it is none.
func TypeOf(name string) Type {
	for t := MeetingStarted; t < typeCount; t++ {
		if typeNames[t] == name {
			return t
		}
	}
	return Unknown
}

// Known reports whether t is one of the nine documented types.
func (t Type) Known() bool { return t >= MeetingStarted && t < typeCount }

// Meeting reports whether t is a meeting.* event.
func (t Type) Meeting() bool { return t >= MeetingStarted && t <= Summary }

// BadTime is a set of time members that were sent, not null, and unreadable.
type BadTime uint8

// One bit for each time member that a session or participant reads.
const (
	BadStartedAt BadTime = 1 << iota
	BadEndedAt
	BadJoinedAt
	BadLeftAt
)

// Event is the decoded meaning of a record: the provider's three generations
// brought to one form. A text that was absent or could not be read is "", a
// time the zero Time.
type Event struct {
	Seq    Seq
	Type   Type
	Source string
	// Order decides between events which is "first"; Order.At is the received time.
	Order Order
	// Repeat is shared by records that are repeats of each other.
	Repeat RepeatKey

	// SessionID is meeting.sessionId, else the top-level sessionId; MeetingID is
	// meeting.id, else the top-level meetingId. The next three likewise.
	SessionID, MeetingID string
	Title, RoomName      string
	Organizer            Organizer
	// StartedAt and EndedAt are the meeting object's; of chatSynced the
	// top-level ones. EndedAt is read only from the four types that can end a
	// session: MeetingEnded, ChatSynced, Transcript, Summary.
	StartedAt, EndedAt Time
	// Reason is why a meeting ended; only MeetingEnded has one.
	Reason string

	// Participant is set for ParticipantJoined and ParticipantLeft, its LeftAt
	// only for the latter; Artifact is set for ChatSynced, Transcript and
	// Summary.
	Participant Participant
	Artifact    Artifact
	Recording   Recording
	Livestream  Livestream

	// BadTimes says which of StartedAt, EndedAt, JoinedAt, LeftAt were sent, not
	// null, and could not be read.
	BadTimes BadTime
	// Problems names the members that could not be read, like "recording.fileSize".
	Problems []string
}

// SessionSource says which of its members names an event's session.
type SessionSource uint8

const (
	// NoSession says that no member does.
	NoSession SessionSource = iota
	// FromSessionID is the member for it.
	FromSessionID
	// FromRoom is a recording's room, the provider's other word for a session.
	FromRoom
	// FromMeeting is the meeting id: Dyte v1 sends no session id in its four events.
	FromMeeting
)

// Session returns the session that the event belongs to, and what names it; ""
// where nothing does.
func (ev *Event) Session() (id string, from SessionSource) {
	switch {
	case ev.SessionID != "":
		return ev.SessionID, FromSessionID
	case ev.Type == RecordingStatus && ev.Recording.RoomUUID != "":
		return ev.Recording.RoomUUID, FromRoom
	case ev.Type >= MeetingStarted && ev.Type <= ParticipantLeft && ev.MeetingID != "":
		return ev.MeetingID, FromMeeting
	}
	return "", NoSession
}

// Organizer is organizedBy. Dyte's first edition sent a plain string: its name.
type Organizer struct {
	ID, Name string
}

// Participant is one connection of a person, as a join or a leave reports it.
type Participant struct {
	PeerID, CustomID, ClientID, Name string
	JoinedAt, LeftAt                 Time
}

// Artifact is a link to a chat dump, transcript or summary.
type Artifact struct {
	URL       string
	ExpiresAt Time
}

// Recording is the recording object of a status update.
type Recording struct {
	// ID is recordingId, else id.
	ID, Status string
	// InMeeting and InSession are meeting.id and meeting.sessionId as the meeting
	// object has them, without the top-level members that an Event falls back to.
	InMeeting, InSession                string
	MeetingID, RoomUUID, OrganizationID string
	OutputFileName, Error               string
	// StopReason is JSON as it was sent, in recording or in meeting; nil where
	// absent, null or "".
	StopReason           []byte
	StartedAt, StoppedAt Time
	// FileSize is in bytes, HasFileSize whether it was readable.
	FileSize                      int64
	HasFileSize                   bool
	DownloadURL, AudioDownloadURL string
	// Files are those of a track recording, whose DownloadURL is "": a file a
	// participant, in the order sent.
	Files     []File
	ExpiresAt Time
}

// File is one participant's part of a track recording. One of the URLs is not "".
type File struct {
	ParticipantID, URL, AudioURL string
}

// Livestream is a livestream's status update. The stream key, a secret, is not
// part of it: only the raw record has it.
type Livestream struct {
	StreamID, Status string
}
