package projections

import (
	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// The two values of a session's status.
const (
	Live  = "LIVE"
	Ended = "ENDED"
)

// What closed a connection.
const (
	ClosedByLeave = "LEFT"
	ClosedByEnd   = "MEETING_END"
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

// In all documents a text that is not known is "" here and null in JSON, and so
// is a zero Time. Lists are never null, but for a recording's files.

// Organizer is who a session belongs to; null in JSON where nothing is known.
type Organizer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

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

// Recording is the document of view recordings.
type Recording struct {
	RecordingID    string        `json:"recordingId"`
	Status         string        `json:"status"`
	Conflict       bool          `json:"conflict"`
	History        []StatusAt    `json:"history"`
	SessionID      string        `json:"sessionId"`
	MeetingID      string        `json:"meetingId"`
	OrganizationID string        `json:"organizationId"`
	StartedAt      eventlog.Time `json:"startedAt"`
	StoppedAt      eventlog.Time `json:"stoppedAt"`
	// DurationSeconds is nil unless both times are known.
	DurationSeconds *eventlog.Seconds `json:"durationSeconds"`
	FileSizeBytes   *int64            `json:"fileSizeBytes"`
	OutputFileName  string            `json:"outputFileName"`
	Error           string            `json:"error"`
	// StopReason is any JSON, as it was sent; nil for null.
	StopReason           RawJSON       `json:"stopReason"`
	DownloadURL          string        `json:"downloadUrl"`
	AudioDownloadURL     string        `json:"audioDownloadUrl"`
	DownloadURLExpiresAt eventlog.Time `json:"downloadUrlExpiresAt"`
	// Files are those of a track recording; nil for null: none were sent.
	Files       []File        `json:"files"`
	LastEventAt eventlog.Time `json:"lastEventAt"`
}

// File is one participant's part of a track recording.
type File struct {
	ParticipantID string `json:"participantId"`
	URL           string `json:"url"`
	AudioURL      string `json:"audioUrl"`
}

// StatusAt is one entry of a recording's history or a livestream's transitions.
type StatusAt struct {
	Status string        `json:"status"`
	At     eventlog.Time `json:"at"`
}

// Artifacts is the document of view artifacts. A nil link was never seen.
type Artifacts struct {
	SessionID  string `json:"sessionId"`
	Chat       *Link  `json:"chat"`
	Transcript *Link  `json:"transcript"`
	Summary    *Link  `json:"summary"`
}

// Link is where an artifact can be had, and until when.
type Link struct {
	URL       string        `json:"url"`
	ExpiresAt eventlog.Time `json:"expiresAt"`
}

// Livestream is the document of view livestreams.
type Livestream struct {
	StreamID  string `json:"streamId"`
	Status    string `json:"status"`
	MeetingID string `json:"meetingId"`
	// Transitions are the latest 1,000 (fewer where they exceed 448 KiB);
	// OnAirSeconds counts all.
	Transitions  []StatusAt       `json:"transitions"`
	OnAirSeconds eventlog.Seconds `json:"onAirSeconds"`
}

// UsageSession is the document of view usage: what one session adds to usage
// rows, in any time zone. [UsageRows] adds them up.
type UsageSession struct {
	SessionID                 string           `json:"sessionId"`
	Organizer                 Organizer        `json:"organizer"`
	Status                    string           `json:"status"`
	StartedAt                 eventlog.Time    `json:"startedAt"`
	MaxConcurrentParticipants int              `json:"maxConcurrentParticipants"`
	ParticipantSeconds        eventlog.Seconds `json:"participantSeconds"`
	AttendedSeconds           eventlog.Seconds `json:"attendedSeconds"`
	// SlotSeconds is the length of a slot, 900 unless the session has more than
	// 2,048 slots with something in them; then the least 900·2ⁿ that has not.
	SlotSeconds int64 `json:"slotSeconds"`
	// Slots are sorted; one that is not listed changes nothing.
	Slots []UsageSlot `json:"slots"`
}

// UsageSlot is what begins, ends, or changes in one slot. In JSON it is an array
// of the five numbers. The connected time of a slot is ConnectedMicros plus the
// slot's length times the sum of ConnectedChange up to and with this slot;
// attended time likewise.
type UsageSlot struct {
	// Slot counts slots from 1970-01-01T00:00:00Z.
	Slot int64
	// ConnectedMicros and AttendedMicros are of intervals that cover a part of
	// the slot, in microseconds.
	ConnectedMicros, AttendedMicros int64
	// ConnectedChange and AttendedChange are by how many more intervals cover
	// this slot as a whole than the one before.
	ConnectedChange, AttendedChange int64
}

// RawJSON is a JSON value as it was sent.
type RawJSON []byte

// MarshalJSON returns the value itself, null for nil.
func (r RawJSON) MarshalJSON() ([]byte, error) { return appendRaw(nil, r), nil }

// UnmarshalJSON keeps a copy of b, nil for null.
func (r *RawJSON) UnmarshalJSON(b []byte) error {
	*r = nil
	if string(b) != "null" {
		*r = append(RawJSON(nil), b...)
	}
	return nil
}

// UnmarshalJSON reads the array of five numbers.
func (u *UsageSlot) UnmarshalJSON(b []byte) error {
	var v [5]int64
	if err := json.Unmarshal(b, &v); err != nil {
		return err
	}
	*u = UsageSlot{v[0], v[1], v[2], v[3], v[4]}
	return nil
}

// Document is one of the document types of this package.
type Document interface {
	Session | Participant | Recording | Artifacts | Livestream | UsageSession
}

// Parse reads a stored document. Members that this version does not know are
// ignored.
func Parse[D Document](doc []byte) (D, error) {
	var d D
	err := json.Unmarshal(doc, &d)
	return d, err
}
