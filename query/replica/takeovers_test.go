package replica

import (
	"fmt"
	"testing"
)

// TestTakeovers: a revision is in a past with the take-over that wrote it alone, and
// the oldest take-overs are forgotten.
func TestTakeovers(t *testing.T) {
	t.Parallel()
	past := Takeovers("").with("a", 0).with("a", 5).with("", 6).with("b", 9)
	if want := Takeovers("a@1 b@10"); past != want {
		t.Fatalf("with = %q; want %q", past, want)
	}
	for _, c := range []struct {
		revision uint64
		takeover string
		holds    bool
		at       string
	}{
		{0, "a", false, ""}, {1, "a", true, "a"}, {9, "a", true, "a"}, {9, "b", false, "a"},
		{10, "a", false, "b"}, {10, "b", true, "b"}, {1000, "b", true, "b"}, {1000, "c", false, "b"},
	} {
		if got := past.Holds(c.takeover, c.revision); got != c.holds {
			t.Errorf("Holds(%s, %d) of %q = %v; want %v", c.takeover, c.revision, past, got, c.holds)
		}
		if got := past.At(c.revision); got != c.at {
			t.Errorf("At(%d) of %q = %q; want %q", c.revision, past, got, c.at)
		}
	}
	for i := range uint64(maxTakeovers) {
		past = past.with(fmt.Sprint(i), 20+i)
	}
	if past.Holds("b", 15) || !past.Holds("0", 21) || past.At(15) != "" {
		t.Errorf("%d more take-overs: %q; want the older ones forgotten, and only those", maxTakeovers, past)
	}
}
