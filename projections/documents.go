package projections

import (
	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// In all documents a text that is not known is "" here and null in JSON, and so
// is a zero Time. Lists are never null, but for a recording's files.

// Organizer is who a session belongs to; null in JSON where nothing is known.
type Organizer struct {
	ID   string `json:"id"`
	Name string `json:"name"`
}

var organizerMembers = document(
	textField("id", "The organizer's id.", func(o *Organizer) string { return o.ID }).orNull(),
	textField("name", "The organizer's name.", func(o *Organizer) string { return o.Name }).orNull(),
)

// known is o, nil where nothing is known.
func (o *Organizer) known() *Organizer {
	if *o == (Organizer{}) {
		return nil
	}
	return o
}

// AppendJSON appends the object, or null where nothing is known.
func (o *Organizer) AppendJSON(b []byte) []byte { return organizerMembers.appendOrNull(b, o.known()) }

// MarshalJSON returns what AppendJSON appends.
func (o Organizer) MarshalJSON() ([]byte, error) { return o.AppendJSON(nil), nil }

// StatusAt is one entry of a recording's history or a livestream's transitions.
type StatusAt struct {
	Status string        `json:"status"`
	At     eventlog.Time `json:"at"`
}

var statusMembers = document(
	textField("status", "The status.", func(s *StatusAt) string { return s.Status }).orNull(),
	timeField("at", "When it was received.", func(s *StatusAt) eventlog.Time { return s.At }),
)

// AppendJSON appends one element of a history or of transitions.
func (s *StatusAt) AppendJSON(b []byte) []byte { return statusMembers.appendJSON(b, s) }

// MarshalJSON returns what AppendJSON appends.
func (s StatusAt) MarshalJSON() ([]byte, error) { return s.AppendJSON(nil), nil }

// RawJSON is a JSON value as it was sent.
type RawJSON []byte

func appendRaw(b []byte, raw []byte) []byte {
	if len(raw) == 0 {
		return appendNull(b)
	}
	return append(b, raw...)
}

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

// Document is a document of a view, which writes its own stored form.
type Document interface {
	MarshalJSON() ([]byte, error)
}

// Parse reads a stored document. Members that this version does not know are
// ignored.
func Parse[D Document](doc []byte) (D, error) {
	var d D
	err := json.Unmarshal(doc, &d)
	return d, err
}
