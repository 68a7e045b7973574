package projections

import "rollcall/eventlog"

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

var artifactsMembers = document(
	textField("sessionId", "The session.", func(a *Artifacts) string { return a.SessionID }),
	objectField("chat", "The chat's messages; null where none were announced.", func(a *Artifacts) *Link { return a.Chat }, linkMembers),
	objectField("transcript", "The transcript; null where none was announced.", func(a *Artifacts) *Link { return a.Transcript }, linkMembers),
	objectField("summary", "The summary; null where none was announced.", func(a *Artifacts) *Link { return a.Summary }, linkMembers),
)

var linkMembers = document(
	textField("url", "Where to get it.", func(l *Link) string { return l.URL }).orNull().asLink(),
	timeField("expiresAt", "Until when the link works.", func(l *Link) eventlog.Time { return l.ExpiresAt }),
)

// AppendJSON appends the stored form of the document.
func (a *Artifacts) AppendJSON(b []byte) []byte { return artifactsMembers.appendJSON(b, a) }

// MarshalJSON returns the stored form.
func (a Artifacts) MarshalJSON() ([]byte, error) { return a.AppendJSON(nil), nil }

// AppendJSON appends the object, null for a nil link.
func (l *Link) AppendJSON(b []byte) []byte { return linkMembers.appendOrNull(b, l) }

// MarshalJSON returns what AppendJSON appends.
func (l Link) MarshalJSON() ([]byte, error) { return l.AppendJSON(nil), nil }
