package projections_test

import (
	"slices"
	"testing"

	"rollcall/eventlog"
	"rollcall/projections"
)

// TestLiveKeyIsDeletedOnce: what comes after the end of a session changes the
// document of the ended one, and nothing else. Readers get each change,
// and a key that is already gone does not change.
func TestLiveKeyIsDeletedOnce(t *testing.T) {
	f := projections.All()[0]
	r := newRunner(f)
	step := func(what string, want []string, ev eventlog.Event) {
		t.Helper()
		r.apply(t, &ev)
		c := collector{t: t, entity: "s1", written: make(map[string]bool)}
		r.cache["s1"].Flush(&c)
		var gone []string
		for _, w := range c.docs {
			if w.gone {
				gone = append(gone, w.key)
			}
		}
		if !slices.Equal(gone, want) {
			t.Errorf("%s: deleted keys = %q; want %q", what, gone, want)
		}
		for _, w := range c.parts {
			if r.parts["s1"] == nil {
				r.parts["s1"] = make(map[string]string)
			}
			r.parts["s1"][w.key] = w.value
		}
	}
	end := eventlog.Event{
		Type: eventlog.MeetingEnded, SessionID: "s1", MeetingID: "m1", Order: eventlog.Order{At: minutes(30), ID: "E"}, Repeat: repeatKey("e"),
		EndedAt: minutes(30),
	}
	step("join", nil, joined("p1", "c1", minutes(0)))
	step("end", []string{"live.s1"}, end)
	step("late join", nil, joined("p2", "c2", minutes(5)))
	r.restart()
	step("late join after a restart", nil, joined("p3", "c3", minutes(6)))
}
