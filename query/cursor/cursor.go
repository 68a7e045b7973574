package cursor

import (
	"cmp"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"strings"

	"github.com/go-json-experiment/json"
)

// Place is where an item stands in a list: its sort value, a text or a number, and
// its id, which breaks ties.
type Place struct {
	Text   string `json:"t,omitzero"`
	Number int64  `json:"n,omitzero"`
	ID     string `json:"i"`
}

// Compare orders two places: by their sort values, then by id, ascending always.
func (p Place) Compare(q Place, descending bool) int {
	c := cmp.Or(cmp.Compare(p.Number, q.Number), strings.Compare(p.Text, q.Text))
	if descending {
		c = -c
	}
	return cmp.Or(c, strings.Compare(p.ID, q.ID))
}

// Scope is what a cursor belongs to: a list, its filters and its order.
type Scope [8]byte

// ScopeOf is the scope of what the parts name.
func ScopeOf(parts ...string) Scope {
	h := sha256.New()
	for _, p := range parts {
		h.Write([]byte(p))
		h.Write([]byte{0})
	}
	return Scope(h.Sum(nil))
}

// ErrForeign says that a text is no cursor of the list.
var ErrForeign = errors.New("cursor is not one that this list gave: take nextCursor as it is, with the same parameters")

// Encode gives a place a form that says nothing to the client, with a sum that
// shows where it was changed or taken to another list. It is no secret: a client
// that forges one gets another page of a list that it may read anyway.
func Encode(p Place, s Scope) (string, error) {
	b, err := json.Marshal(p)
	if err != nil {
		return "", err
	}
	return base64.RawURLEncoding.EncodeToString(append(sum(b, s), b...)), nil
}

func sum(b []byte, s Scope) []byte {
	h := sha256.New()
	h.Write([]byte("rollcall cursor 1"))
	h.Write(s[:])
	h.Write(b)
	return h.Sum(nil)[:8]
}

// Decode reads what Encode made for the same list; else ErrForeign.
func Decode(text string, s Scope) (p Place, err error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(text)
	if err != nil || len(b) <= 8 || string(sum(b[8:], s)) != string(b[:8]) || json.Unmarshal(b[8:], &p) != nil {
		return Place{}, ErrForeign
	}
	return p, nil
}
