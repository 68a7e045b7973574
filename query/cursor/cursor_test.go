package cursor_test

import (
	"errors"
	"testing"

	"rollcall/query/cursor"
)

// TestCursor: a cursor works for its own list alone, and unchanged.
func TestCursor(t *testing.T) {
	t.Parallel()
	scope, other := cursor.ScopeOf("/v1/sessions", "title"), cursor.ScopeOf("/v1/sessionst", "itle")
	want := cursor.Place{Text: "a", Number: -7, ID: "s1"}
	text, err := cursor.Encode(want, scope)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := cursor.Decode(text, scope); got != want || err != nil {
		t.Errorf("Decode(Encode(%v)) = %v, %v; want it back", want, got, err)
	}
	for _, bad := range []string{"", "AAAA", text[:len(text)-1], "A" + text[1:], text + "="} {
		if got, err := cursor.Decode(bad, scope); bad != text && !errors.Is(err, cursor.ErrForeign) {
			t.Errorf("Decode(%q) = %v, %v; want %v", bad, got, err, cursor.ErrForeign)
		}
	}
	if got, err := cursor.Decode(text, other); !errors.Is(err, cursor.ErrForeign) {
		t.Errorf("Decode for another list = %v, %v; want %v", got, err, cursor.ErrForeign)
	}
}

// TestCompare: ids break ties, and are ascending always.
func TestCompare(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		p, q     cursor.Place
		up, down int
	}{
		{cursor.Place{Number: 1, ID: "b"}, cursor.Place{Number: 2, ID: "a"}, -1, 1},
		{cursor.Place{Text: "b", ID: "a"}, cursor.Place{Text: "a", ID: "b"}, 1, -1},
		{cursor.Place{Text: "a", ID: "a"}, cursor.Place{Text: "a", ID: "b"}, -1, -1},
		{cursor.Place{ID: "a"}, cursor.Place{ID: "a"}, 0, 0},
	} {
		if up, down := c.p.Compare(c.q, false), c.p.Compare(c.q, true); up != c.up || down != c.down {
			t.Errorf("Compare(%v, %v) = %d, descending %d; want %d, %d", c.p, c.q, up, down, c.up, c.down)
		}
	}
}
