package query

import (
	"crypto/sha256"
	"encoding/base64"

	"github.com/go-json-experiment/json"
)

// cursor is where a page ends: the sort value and the id of its last item. A
// page that goes on from it neither repeats nor leaves out an item whose sort
// value stayed the same, whatever came or went in between.
type cursor struct {
	Text   string `json:"t,omitzero"`
	Number int64  `json:"n,omitzero"`
	ID     string `json:"i"`
}

// scope is what a cursor is good for: the list, its filters and its order.
func scope(parts ...string) [8]byte {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return [8]byte(h.Sum(nil))
}

// encode gives the cursor a form that says nothing to the client, with a sum
// that shows where it was changed or taken to another list. It is no secret:
// who forges one gets another page of a list that he may read anyway.
func (c cursor) encode(s [8]byte) (string, error) {
	b, err := json.Marshal(c)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(cursorSum(b, s), b...)), nil
}

func cursorSum(b []byte, s [8]byte) []byte {
	h := sha256.New()
	h.Write([]byte("rollcall cursor 1"))
	h.Write(s[:])
	h.Write(b)
	return h.Sum(nil)[:8]
}

// decodeCursor reads a cursor that encode made for the same list.
func decodeCursor(text string, s [8]byte) (cursor, error) {
	var c cursor
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= 8 || string(cursorSum(b[8:], s)) != string(b[:8]) || json.Unmarshal(b[8:], &c) != nil {
		return cursor{}, badRequest("cursor is not one that this list gave: take nextCursor as it is, with the same parameters")
	}
	return c, nil
}
