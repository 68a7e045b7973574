package projections_test

import (
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/projections"
)

// parker is a state that says which records are missing in it: what projector calls Degradable.
type parker interface {
	Park(at eventlog.Time)
	Unpark()
}

func TestParkedRecordsMarkTheSession(t *testing.T) {
	f := projections.All()[0]
	r := newRunner(f)
	ev := joined("p1", "c1", minutes(0))
	r.apply(t, &ev)
	s, ok := r.state(t, "s1").(parker)
	if !ok {
		t.Fatalf("the state of %s takes no parked records", f.Name())
	}
	check := func(step, want string) {
		t.Helper()
		r.dirty = []string{"s1"}
		r.commit(t, 1)
		if doc := r.docs["live.s1"]; !strings.HasSuffix(doc, `"degradedSince":`+want+`}`) {
			t.Errorf("%s: %s; want degradedSince %s at the end", step, doc, want)
		}
	}
	check("none parked", "null")
	s.Park(minutes(20))
	check("one parked", `"2026-03-08T00:20:00Z"`)
	s.Park(minutes(10))
	s.Park(minutes(30))
	check("three parked", `"2026-03-08T00:10:00Z"`)
	r.restart()
	s, _ = r.state(t, "s1").(parker)
	s.Unpark()
	check("retried", "null")
}
