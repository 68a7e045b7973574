package replica

import (
	"context"
	"testing"
	"time"

	"rollcall/projector/viewstore"
)

// auditing audits all the time.
func auditing(c *Config) { c.AuditEvery = time.Millisecond }

// TestAuditOfEqual: audits of a copy that is right say so, while commits go on.
func TestAuditOfEqual(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.commit("a", "k", "anna/1", "l", "ben/1")
	w := running(t, s, auditing)
	w.eventually("audits of both views", func() bool {
		s.commit("a", "k", "anna/1", "l", "-")
		s.commit("a", "l", "ben/1", "k", "-")
		return w.count("audits_total", "a") >= 3 && w.count("audits_total", "b") >= 3
	})
	for result, none := range map[string]bool{auditEqual: false, auditDifferent: true, auditFailed: true} {
		if got := w.count("audits_total", result); (got == 0) != none {
			t.Errorf("audits that were %s = %v; none of them: %v", result, got, none)
		}
	}
}

// TestAuditOfDifferent: whatever the copy has otherwise than the view is found, and the view
// loaded again.
func TestAuditOfDifferent(t *testing.T) {
	t.Parallel()
	const damaged = "INSERT INTO a_1 (key, rev, seq, sum, name, n, n2, n3, n4, n5, doc) VALUES ('x', 3, 2, 1, 'x', 1, 1, 1, 1, 1, 'x/1')"
	for how, spoil := range map[string]func(w *copied){
		"another document": func(w *copied) {
			w.script.lie("a", "k", func(c *viewstore.Change) { c.Value = []byte("nobody/1") })
		},
		"another revision": func(w *copied) { w.script.lie("a", "m", func(c *viewstore.Change) { c.Revision++ }) },
		"a row too many":   func(w *copied) { w.script.lie("a", "l", func(c *viewstore.Change) { c.Kind = 0 }) },
		"a row too few":    func(w *copied) { w.sqlite("DELETE FROM a_1 WHERE key = 'l'") },
		"a damaged row":    func(w *copied) { w.sqlite("UPDATE a_1 SET n = 8 WHERE key = 'l'") },
		// The view has no such key, and its sum is wrong.
		"a damaged row too many": func(w *copied) { w.sqlite(damaged) },
		"an index": func(w *copied) {
			w.sqlite("PRAGMA writable_schema = ON", "UPDATE sqlite_master SET sql = replace(sql, '(n)', '(n DESC)') WHERE name = 'a_1_i1'")
		},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := running(t, newScript())
			// m's revision has a place free before the checkpoint's.
			w.script.commit("a", "k", "anna/1", "l", "ben/2", "m", "carl/3")
			w.script.grow(func() { w.script.views["a"].revision++ })
			seq := w.script.commit("a")
			w.want("a", seq, "k", "anna/1", "l", "ben/2", "m", "carl/3")
			spoil(w)
			next := w.again(auditing)
			next.eventually("an audit finds it", func() bool { return next.count("audits_total", auditDifferent) > 0 })
			next.eventually("the view is loaded again", func() bool { s, _ := next.Progress(); return s["a"].Table == 2 })
			found, equal := next.count("audits_total", auditDifferent), next.count("audits_total", "a")
			next.eventually("more audits", func() bool { return next.count("audits_total", "a") > equal+3 })
			if got := next.count("audits_total", auditDifferent); got > found+1 { // one was under way
				t.Errorf("audits after the load that found a difference = %v; want none", got-found)
			}
		})
	}
}

// TestAuditOfAViewThatStops: a wait for the copy ends, and says what it waited for.
func TestAuditOfAViewThatStops(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", 1)
	states, _ := w.Progress()
	a := &audit{copier: &copier{Replica: w.Replica}, table: w.tables[0], state: states["a"]}
	ctx, cancel := context.WithTimeout(t.Context(), time.Millisecond)
	defer cancel()
	if err := a.reaches(ctx, states["a"].Revision+1); err == nil {
		t.Error("reaches() of a revision that never comes = nil; want an error")
	}
	if err := a.reaches(t.Context(), states["a"].Revision); err != nil {
		t.Errorf("reaches() of the copy's revision = %v", err)
	}
}
