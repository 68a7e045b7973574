package projections

import (
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
)

// Bounds of a stored value. A document stays below 512 KiB whatever was sent:
// its texts are cut where their JSON form is too long (only texts of many
// control characters or quotes are, since what is longer never leaves the
// decoder), and its lists are filled up to listBudget.
const (
	textLimit  = 32 << 10
	titleLimit = 128 << 10
	// listBudget is where a document's list must end.
	listBudget = 448 << 10
	// documentBudget is where a recording must end, its files included.
	documentBudget = 500 << 10
)

// quote appends s as a JSON string of at most limit bytes between the quotes.
func quote(b []byte, s string, limit int) []byte {
	n := len(b)
	b, _ = jsontext.AppendQuote(b, s) // an error says that bad UTF-8 was replaced
	if len(b)-n-2 <= limit {
		return b
	}
	size, cut := 0, 0
	for i, r := range s {
		width := escapedLen(r)
		if size+width > limit {
			break
		}
		size += width
		cut = i + utf8.RuneLen(r)
	}
	b, _ = jsontext.AppendQuote(b[:n], s[:cut])
	return b
}

// escapedLen is at least the number of bytes that r takes in a JSON string.
func escapedLen(r rune) int {
	switch {
	case r == '"' || r == '\\':
		return 2
	case r < ' ' || r == 0x7f:
		return 6
	}
	return utf8.RuneLen(r)
}

// text appends a JSON string, null for "".
func text(b []byte, s string) []byte {
	if s == "" {
		return append(b, "null"...)
	}
	return quote(b, s, textLimit)
}

func appendRaw(b []byte, raw []byte) []byte {
	if len(raw) == 0 {
		return append(b, "null"...)
	}
	return append(b, raw...)
}

func boolean(b []byte, v bool) []byte { return strconv.AppendBool(b, v) }

func integer(b []byte, v int) []byte { return strconv.AppendInt(b, int64(v), 10) }

func optional(b []byte, d *eventlog.Seconds) []byte {
	if d == nil {
		return append(b, "null"...)
	}
	return d.AppendJSON(b)
}

// AppendJSON appends the object, or null where nothing is known.
func (o Organizer) AppendJSON(b []byte) []byte {
	if o == (Organizer{}) {
		return append(b, "null"...)
	}
	b = text(append(b, `{"id":`...), o.ID)
	b = text(append(b, `,"name":`...), o.Name)
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (s *Session) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"sessionId":`...), s.SessionID)
	b = text(append(b, `,"meetingId":`...), s.MeetingID)
	b = append(b, `,"title":`...)
	if s.Title == "" {
		b = append(b, "null"...)
	} else {
		b = quote(b, s.Title, titleLimit)
	}
	b = text(append(b, `,"roomName":`...), s.RoomName)
	b = s.Organizer.AppendJSON(append(b, `,"organizer":`...))
	b = text(append(b, `,"status":`...), s.Status)
	b = s.StartedAt.AppendJSON(append(b, `,"startedAt":`...))
	b = s.EndedAt.AppendJSON(append(b, `,"endedAt":`...))
	b = text(append(b, `,"endReason":`...), s.EndReason)
	b = optional(append(b, `,"durationSeconds":`...), s.DurationSeconds)
	b = integer(append(b, `,"liveParticipants":`...), s.LiveParticipants)
	b = integer(append(b, `,"uniqueParticipants":`...), s.UniqueParticipants)
	b = integer(append(b, `,"connections":`...), s.Connections)
	b = integer(append(b, `,"maxConcurrentParticipants":`...), s.MaxConcurrentParticipants)
	b = s.ParticipantSeconds.AppendJSON(append(b, `,"participantSeconds":`...))
	b = boolean(append(b, `,"implicit":`...), s.Implicit)
	b = s.LastEventAt.AppendJSON(append(b, `,"lastEventAt":`...))
	b = append(b, `,"anomalies":[`...)
	for i, name := range s.Anomalies {
		if i > 0 {
			b = append(b, ',')
		}
		b = quote(b, name, textLimit)
	}
	b = s.DegradedSince.AppendJSON(append(b, `],"degradedSince":`...))
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (p *Participant) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"sessionId":`...), p.SessionID)
	b = text(append(b, `,"participantId":`...), p.ParticipantID)
	b = text(append(b, `,"displayName":`...), p.DisplayName)
	b = append(b, `,"connections":[`...)
	for i := range p.Connections {
		if i > 0 {
			b = append(b, ',')
		}
		b = p.Connections[i].AppendJSON(b)
	}
	b = p.FirstJoinedAt.AppendJSON(append(b, `],"firstJoinedAt":`...))
	b = p.LastLeftAt.AppendJSON(append(b, `,"lastLeftAt":`...))
	b = boolean(append(b, `,"present":`...), p.Present)
	b = p.ConnectedSeconds.AppendJSON(append(b, `,"connectedSeconds":`...))
	b = p.AttendedSeconds.AppendJSON(append(b, `,"attendedSeconds":`...))
	b = p.LongestGapSeconds.AppendJSON(append(b, `,"longestGapSeconds":`...))
	if p.ConnectionsOmitted > 0 {
		b = integer(append(b, `,"connectionsOmitted":`...), p.ConnectionsOmitted)
	}
	return append(b, '}')
}

// AppendJSON appends one element of a participant's connections.
func (c *Connection) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"peerId":`...), c.PeerID)
	b = c.JoinedAt.AppendJSON(append(b, `,"joinedAt":`...))
	b = c.LeftAt.AppendJSON(append(b, `,"leftAt":`...))
	b = text(append(b, `,"closedBy":`...), c.ClosedBy)
	b = c.Seconds.AppendJSON(append(b, `,"seconds":`...))
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (r *Recording) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"recordingId":`...), r.RecordingID)
	b = text(append(b, `,"status":`...), r.Status)
	b = boolean(append(b, `,"conflict":`...), r.Conflict)
	b = appendStatuses(append(b, `,"history":`...), r.History)
	b = text(append(b, `,"sessionId":`...), r.SessionID)
	b = text(append(b, `,"meetingId":`...), r.MeetingID)
	b = text(append(b, `,"organizationId":`...), r.OrganizationID)
	b = r.StartedAt.AppendJSON(append(b, `,"startedAt":`...))
	b = r.StoppedAt.AppendJSON(append(b, `,"stoppedAt":`...))
	b = optional(append(b, `,"durationSeconds":`...), r.DurationSeconds)
	b = append(b, `,"fileSizeBytes":`...)
	if r.FileSizeBytes == nil {
		b = append(b, "null"...)
	} else {
		b = strconv.AppendInt(b, *r.FileSizeBytes, 10)
	}
	b = text(append(b, `,"outputFileName":`...), r.OutputFileName)
	b = text(append(b, `,"error":`...), r.Error)
	b = appendRaw(append(b, `,"stopReason":`...), r.StopReason)
	b = text(append(b, `,"downloadUrl":`...), r.DownloadURL)
	b = text(append(b, `,"audioDownloadUrl":`...), r.AudioDownloadURL)
	b = r.DownloadURLExpiresAt.AppendJSON(append(b, `,"downloadUrlExpiresAt":`...))
	b = appendFiles(append(b, `,"files":`...), r.Files)
	b = r.LastEventAt.AppendJSON(append(b, `,"lastEventAt":`...))
	return append(b, '}')
}

func appendFiles(b []byte, list []File) []byte {
	if list == nil {
		return append(b, "null"...)
	}
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = list[i].AppendJSON(b)
	}
	return append(b, ']')
}

// AppendJSON appends one of a recording's files.
func (f *File) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"participantId":`...), f.ParticipantID)
	b = text(append(b, `,"url":`...), f.URL)
	b = text(append(b, `,"audioUrl":`...), f.AudioURL)
	return append(b, '}')
}

func appendStatuses(b []byte, list []StatusAt) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = list[i].AppendJSON(b)
	}
	return append(b, ']')
}

// AppendJSON appends one element of a history or of transitions.
func (s *StatusAt) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"status":`...), s.Status)
	b = s.At.AppendJSON(append(b, `,"at":`...))
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (a *Artifacts) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"sessionId":`...), a.SessionID)
	b = a.Chat.AppendJSON(append(b, `,"chat":`...))
	b = a.Transcript.AppendJSON(append(b, `,"transcript":`...))
	b = a.Summary.AppendJSON(append(b, `,"summary":`...))
	return append(b, '}')
}

// AppendJSON appends the object, null for a nil link.
func (l *Link) AppendJSON(b []byte) []byte {
	if l == nil {
		return append(b, "null"...)
	}
	b = text(append(b, `{"url":`...), l.URL)
	b = l.ExpiresAt.AppendJSON(append(b, `,"expiresAt":`...))
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (l *Livestream) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"streamId":`...), l.StreamID)
	b = text(append(b, `,"status":`...), l.Status)
	b = text(append(b, `,"meetingId":`...), l.MeetingID)
	b = appendStatuses(append(b, `,"transitions":`...), l.Transitions)
	b = l.OnAirSeconds.AppendJSON(append(b, `,"onAirSeconds":`...))
	return append(b, '}')
}

// AppendJSON appends the stored form of the document.
func (u *UsageSession) AppendJSON(b []byte) []byte {
	b = text(append(b, `{"sessionId":`...), u.SessionID)
	b = u.Organizer.AppendJSON(append(b, `,"organizer":`...))
	b = text(append(b, `,"status":`...), u.Status)
	b = u.StartedAt.AppendJSON(append(b, `,"startedAt":`...))
	b = integer(append(b, `,"maxConcurrentParticipants":`...), u.MaxConcurrentParticipants)
	b = u.ParticipantSeconds.AppendJSON(append(b, `,"participantSeconds":`...))
	b = u.AttendedSeconds.AppendJSON(append(b, `,"attendedSeconds":`...))
	b = strconv.AppendInt(append(b, `,"slotSeconds":`...), u.SlotSeconds, 10)
	b = append(b, `,"slots":[`...)
	for i := range u.Slots {
		if i > 0 {
			b = append(b, ',')
		}
		b = u.Slots[i].AppendJSON(b)
	}
	return append(b, "]}"...)
}

// AppendJSON appends the array of five numbers.
func (u *UsageSlot) AppendJSON(b []byte) []byte {
	b = strconv.AppendInt(append(b, '['), u.Slot, 10)
	for _, v := range [...]int64{u.ConnectedMicros, u.AttendedMicros, u.ConnectedChange, u.AttendedChange} {
		b = strconv.AppendInt(append(b, ','), v, 10)
	}
	return append(b, ']')
}

// MarshalJSON returns the stored form, or null where nothing is known.
func (o Organizer) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (s Session) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (p Participant) MarshalJSON() ([]byte, error) { return p.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (c Connection) MarshalJSON() ([]byte, error) { return c.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (r Recording) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (f File) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (s StatusAt) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (a Artifacts) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (l Link) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (l Livestream) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }

// MarshalJSON returns the stored form.
func (u UsageSession) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }

// MarshalJSON returns the array of five numbers.
func (u UsageSlot) MarshalJSON() ([]byte, error) { return u.AppendJSON(nil), nil }
