package main

import (
	"strings"
	"testing"
)

// TestSuggestions: what is mistyped is refused with what may have been meant.
func TestSuggestions(t *testing.T) {
	t.Parallel()
	for typed, want := range map[string]string{
		"stauts":                "did you mean \"status\"? `rollcall --help`",
		"events folow":          "did you mean `rollcall events follow`? ",
		"events lst":            "did you mean `rollcall events list`? ",
		"attendance s-1":        "did you mean `rollcall report attendance`? ",
		"ls":                    "did you mean `rollcall views ls`? ",
		"list":                  "did you mean `rollcall events list` or `rollcall parked list`? ",
		"parked retyr sessions": "did you mean `rollcall parked retry`?",
		"status --otput json":   "did you mean \"--output\"? ",
		"rebuild session":       "no view \"session\"; did you mean sessions? There are sessions, attendance",
		"verify atendance":      "did you mean attendance? ",
		"views watch recording": "did you mean recordings? ",
		"nonsense":              "unexpected argument nonsense; `rollcall --help`",
		"rebuild nonsense":      "no view \"nonsense\"; there are sessions, attendance",
	} {
		code, _, stderr := inProcess(t, nil, strings.Fields(typed)...)
		if code != 2 && code != 3 || !strings.Contains(stderr, want) {
			t.Errorf("rollcall %s = %d, %q; want 2 or 3, and %q", typed, code, stderr, want)
		}
	}
}

// TestDistance: letters that are changed, added and left out count one each.
func TestDistance(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		from, to string
		want     int
	}{{"", "", 0}, {"", "abc", 3}, {"abc", "", 3}, {"status", "status", 0}, {"stauts", "status", 2}, {"folow", "follow", 1}, {"kitten", "sitting", 3}} {
		if got := distance(c.from, c.to); got != c.want {
			t.Errorf("distance(%q, %q) = %d; want %d", c.from, c.to, got, c.want)
		}
	}
}
