package projections

import (
	"time"

	"rollcall/eventlog"
)

// The fields that need a clock or another view are computed here, when somebody
// asks, and never stored. Questions that choose documents, such as which
// recordings are stuck, are the read side's.

// RecordingRef is one element of a session's asked field recordings.
type RecordingRef struct {
	RecordingID string `json:"recordingId"`
	Status      string `json:"status"`
}

var recordingRefMembers = document(
	textField("recordingId", "The recording.", func(r *RecordingRef) string { return r.RecordingID }),
	textField("status", "Its status.", func(r *RecordingRef) string { return r.Status }).orNull(),
)

// ArtifactsFields are the members of a session's artifacts in JSON.
func ArtifactsFields() []Field { return artifactsMembers.fields() }

// RecordingRefFields are the members of a reference in JSON.
func RecordingRefFields() []Field { return recordingRefMembers.fields() }

// AppendJSON appends the reference as an object.
func (r *RecordingRef) AppendJSON(b []byte) []byte { return recordingRefMembers.appendJSON(b, r) }

// Superseded reports whether next, of the same meeting, comes after s: the
// meeting's next session is the least of those that do. Sessions are ordered by
// startedAt, then by id. Only a LIVE session is superseded.
func (s *Session) Superseded(next *Session) bool {
	return s.Status == Live && s.MeetingID != "" && s.MeetingID == next.MeetingID && s.before(next)
}

func (s *Session) before(other *Session) bool {
	if s.StartedAt != other.StartedAt {
		return s.StartedAt < other.StartedAt
	}
	return s.SessionID < other.SessionID
}

// SupersededBy returns the id of the session that follows s in its meeting, ""
// where s is not LIVE or none does. Sessions of other meetings are ignored.
func (s *Session) SupersededBy(others []Session) string {
	var next *Session
	for i := range others {
		if o := &others[i]; s.Superseded(o) && (next == nil || o.before(next)) {
			next = o
		}
	}
	if next == nil {
		return ""
	}
	return next.SessionID
}

// Stale reports whether s is LIVE, and superseded or without an event for at
// least after (24 h unless configured).
func (s *Session) Stale(superseded bool, now time.Time, after time.Duration) bool {
	return s.Status == Live && (superseded || now.Sub(s.LastEventAt.Std()) >= after)
}

// AttendanceRatio is a participant's attendedSeconds / the session's
// durationSeconds, at most 1; ok is false (null) where that is not above 0.
func AttendanceRatio(attended, duration eventlog.Seconds) (ratio float64, ok bool) {
	if duration <= 0 {
		return 0, false
	}
	return min(1, float64(attended)/float64(duration)), true
}
