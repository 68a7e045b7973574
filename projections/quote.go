package projections

import (
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"
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
