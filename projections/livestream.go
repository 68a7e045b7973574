package projections

import "rollcall/eventlog"

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

var livestreamMembers = document(
	textField("streamId", "The livestream.", func(l *Livestream) string { return l.StreamID }),
	textField("status", "The last status that was sent.", func(l *Livestream) string { return l.Status }).orNull(),
	textField("meetingId", "The meeting that is streamed.", func(l *Livestream) string { return l.MeetingID }).orNull(),
	listField("transitions", "Each change of status, by received time: the latest 1,000.", func(l *Livestream) []StatusAt { return l.Transitions }, statusMembers),
	secondsField("onAirSeconds", "Time in status LIVE until the next status.", func(l *Livestream) eventlog.Seconds { return l.OnAirSeconds }),
)

// AppendJSON appends the stored form of the document.
func (l *Livestream) AppendJSON(b []byte) []byte { return livestreamMembers.appendJSON(b, l) }

// MarshalJSON returns the stored form.
func (l Livestream) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }
