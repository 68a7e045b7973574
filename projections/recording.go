package projections

import (
	"rollcall/eventlog"
)

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

var recordingMembers = document(
	textField("recordingId", "The recording.", func(r *Recording) string { return r.RecordingID }),
	textField("status", "The status furthest on that was seen, of INVOKED, PAUSED, RECORDING, UPLOADING, ERRORED, UPLOADED; it never goes back.", func(r *Recording) string { return r.Status }).orNull(),
	boolField("conflict", "ERRORED and UPLOADED were both seen.", func(r *Recording) bool { return r.Conflict }),
	listField("history", "Each status, with the time when it was first received.", func(r *Recording) []StatusAt { return r.History }, statusMembers),
	textField("sessionId", "The session that was recorded.", func(r *Recording) string { return r.SessionID }).orNull(),
	textField("meetingId", "The session's meeting.", func(r *Recording) string { return r.MeetingID }).orNull(),
	textField("organizationId", "The provider's organization.", func(r *Recording) string { return r.OrganizationID }).orNull(),
	timeField("startedAt", "When recording began.", func(r *Recording) eventlog.Time { return r.StartedAt }),
	timeField("stoppedAt", "When recording ended.", func(r *Recording) eventlog.Time { return r.StoppedAt }),
	secondsOrNullField("durationSeconds", "From startedAt to stoppedAt.", func(r *Recording) *eventlog.Seconds { return r.DurationSeconds }),
	integerField("fileSizeBytes", "The size of the file.", func(r *Recording) int64 { return *r.FileSizeBytes }).unit("bytes").
		nullWhere(func(r *Recording) bool { return r.FileSizeBytes == nil }),
	textField("outputFileName", "The file's name at the provider.", func(r *Recording) string { return r.OutputFileName }).orNull(),
	textField("error", "Why the recording failed, as the provider says.", func(r *Recording) string { return r.Error }).orNull(),
	stopReasonField,
	textField("downloadUrl", "Where the video can be had, until downloadUrlExpiresAt.", func(r *Recording) string { return r.DownloadURL }).orNull().asLink(),
	textField("audioDownloadUrl", "Where the sound alone can be had.", func(r *Recording) string { return r.AudioDownloadURL }).orNull().asLink(),
	timeField("downloadUrlExpiresAt", "When the links end.", func(r *Recording) eventlog.Time { return r.DownloadURLExpiresAt }),
	listField("files", "A track recording's files, one a participant; null where none were sent.", func(r *Recording) []File { return r.Files }, fileMembers).
		nullWhere(func(r *Recording) bool { return r.Files == nil }),
	timeField("lastEventAt", "When the latest event was received.", func(r *Recording) eventlog.Time { return r.LastEventAt }),
)

var stopReasonField = member[Recording]{
	Field:  Field{Name: "stopReason", Kind: KindAny, Nullable: true, Doc: "As the provider sent it."},
	append: func(b []byte, r *Recording) []byte { return appendRaw(b, r.StopReason) },
}

var fileMembers = document(
	textField("participantId", "Whose file it is; null where its name does not say.", func(f *File) string { return f.ParticipantID }).orNull(),
	textField("url", "Where it can be had.", func(f *File) string { return f.URL }).orNull().asLink(),
	textField("audioUrl", "Where its sound alone can be had.", func(f *File) string { return f.AudioURL }).orNull().asLink(),
)

// AppendJSON appends the stored form of the document.
func (r *Recording) AppendJSON(b []byte) []byte { return recordingMembers.appendJSON(b, r) }

// MarshalJSON returns the stored form.
func (r Recording) MarshalJSON() ([]byte, error) { return r.AppendJSON(nil), nil }

// AppendJSON appends one of a recording's files.
func (f *File) AppendJSON(b []byte) []byte { return fileMembers.appendJSON(b, f) }

// MarshalJSON returns what AppendJSON appends.
func (f File) MarshalJSON() ([]byte, error) { return f.AppendJSON(nil), nil }
