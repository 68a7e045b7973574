package eventlog

import (
	"cmp"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// Identity is the little that the ingester needs to know of a body: where it is
// stored and whom it is about.
type Identity struct {
	Type Type
	// Name is the event type as sent where it is clean, that is
	// [A-Za-z0-9._-]{1,64}; else other.unknown, or other.unreadable.
	Name string
	// SliceKey is the id that the subject's slice is the hash of: meeting.id, else
	// meetingId, else recording.meetingId, else the session id; of a livestream
	// always the streamId. "" where there is none.
	SliceKey string
	// OrganizationIDs are the ids that say whose event it is: organizedBy.id and
	// recording.organizationId, each once.
	OrganizationIDs []string
	// DuplicateNames and InvalidUTF8 are defects that a strict decoder refuses:
	// counted, and the body stored all the same.
	DuplicateNames, InvalidUTF8 bool
}

// Identify reads type and ids out of a body, given as what Content returns. It
// never fails.
func Identify(body []byte) Identity {
	body = Content(body, "")
	x := parsers.Get().(*parser)
	defer x.release()
	var p payload
	if !x.parse(body, &p) {
		return Identity{Type: Unreadable, Name: Unreadable.String()}
	}
	id := Identity{Type: TypeOf(p.event), Name: Unknown.String()}
	if cleanName(p.event) {
		id.Name = p.event
	}
	id.SliceKey = cmp.Or(p.meeting.id, p.top.id, p.recording.meetingID, p.meeting.sessionID, p.top.sessionID, p.recording.roomUUID)
	if id.Type == LivestreamStatus {
		id.SliceKey = p.streamID
	}
	for _, org := range []string{p.meeting.organizer.ID, p.top.organizer.ID, p.recording.organizationID} {
		if org != "" && !slices.Contains(id.OrganizationIDs, org) {
			id.OrganizationIDs = append(id.OrganizationIDs, org)
		}
	}
	if v := jsontext.Value(body); !v.IsValid() {
		id.DuplicateNames = !v.IsValid(jsontext.AllowInvalidUTF8(true))
		id.InvalidUTF8 = !v.IsValid(jsontext.AllowDuplicateNames(true))
	}
	return id
}

func cleanName(s string) bool {
	if s == "" || len(s) > 64 {
		return false
	}
	for i := range len(s) {
		c := s[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '.' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
