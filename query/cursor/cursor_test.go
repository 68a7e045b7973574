package cursor_test

import (
	"encoding/base64"
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

// TestCursorOfOtherPlace: the sum of one cursor does not fit the place of another; and
// cursors that a client holds stay good over an update.
func TestCursorOfOtherPlace(t *testing.T) {
	t.Parallel()
	scope := cursor.ScopeOf("/v1/sessions")
	var raw [2][]byte
	for i, id := range []string{"s1", "s2"} {
		text, err := cursor.Encode(cursor.Place{Number: 1, ID: id}, scope)
		if err == nil {
			raw[i], err = base64.RawURLEncoding.DecodeString(text)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	mixed := base64.RawURLEncoding.EncodeToString(append(raw[0][:8:8], raw[1][8:]...))
	if got, err := cursor.Decode(mixed, scope); !errors.Is(err, cursor.ErrForeign) {
		t.Errorf("Decode of one cursor's sum and another's place = %v, %v; want %v", got, err, cursor.ErrForeign)
	}
	const held = "JdvkLVgsEth7Im4iOjEsImkiOiJzMSJ9"
	if got, err := cursor.Decode(held, scope); err != nil || got.ID != "s1" {
		t.Errorf("Decode of a cursor of version 1 = %v, %v; want s1", got, err)
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
