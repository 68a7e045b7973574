package projections_test

import (
	"maps"
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

// TestEarlierStartIsKept: a record that comes late and says an earlier start, and
// nothing else that is new, is in the state and not in the document alone.
func TestEarlierStartIsKept(t *testing.T) {
	recording := func(id string, at, start eventlog.Time) eventlog.Event {
		return eventlog.Event{
			Type: eventlog.RecordingStatus, SessionID: "s1", MeetingID: "m1", Order: eventlog.Order{At: at, ID: id}, Repeat: repeatKey(id), StartedAt: start,
		}
	}
	events := []eventlog.Event{
		joined("p1", "c1", minutes(20)), recording("R1", minutes(21), minutes(10)), recording("R2", minutes(22), minutes(5)), left("p1", "c1", minutes(20), minutes(23)),
	}
	for _, f := range projections.All()[:3] {
		whole, restarted := newRunner(f), newRunner(f)
		for i := range events {
			whole.apply(t, &events[i])
			restarted.apply(t, &events[i])
			restarted.commit(t, 1)
			restarted.restart()
		}
		whole.commit(t, 1)
		if !maps.Equal(whole.docs, restarted.docs) {
			t.Errorf("%s: documents with a restart after each record = %v; want %v", f.Name(), restarted.docs, whole.docs)
		}
	}
}
