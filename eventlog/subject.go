package eventlog

import (
	"crypto/sha256"
	"encoding/hex"
	"hash/fnv"
	"strconv"
)

const (
	// Stream is the name of the JetStream stream that is the log.
	Stream = "MEETINGS"
	// SubjectAll matches every subject of the log and nothing else: exactly four
	// tokens, so that what somebody else publishes below "meetings" is no record.
	SubjectAll = "meetings.*.*.*"
	// Slices is how many slices the log's subjects have.
	Slices = 64
)

// Slice returns the slice, 0 to 63, that an id belongs to: its FNV-1a hash of
// 64 bits modulo 64.
func Slice(id string) int {
	h := fnv.New64a()
	h.Write([]byte(id))
	return int(h.Sum64() % Slices)
}

// SliceSubject matches all records of one slice.
func SliceSubject(slice int) string { return "meetings." + strconv.Itoa(slice) + ".*.*" }

// Subject returns the log subject of a body:
// meetings.<slice>.<resource>.<action>, like meetings.17.meeting.started.
func (id Identity) Subject() string {
	name := "other.unknown"
	switch {
	case id.Type == Unreadable:
		name = "other.unreadable"
	case id.Type != Unknown:
		name = id.Type.String()
	}
	return "meetings." + strconv.Itoa(Slice(id.SliceKey)) + "." + name
}

// EscapeID returns an id as one token of a subject or KV key: as it is where it
// matches [A-Za-z0-9_-]{1,64}, else h_ and its SHA-256 in 64 hex digits, which
// is longer than a literal id may be, so that none can be forged.
func EscapeID(id string) string {
	if literal(id) {
		return id
	}
	sum := sha256.Sum256([]byte(id))
	return "h_" + hex.EncodeToString(sum[:])
}

func literal(id string) bool {
	if id == "" || len(id) > 64 {
		return false
	}
	for i := range len(id) {
		c := id[i]
		if !('a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '_' || c == '-') {
			return false
		}
	}
	return true
}
