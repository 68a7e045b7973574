package replica

import (
	"context"
	"errors"
	"testing"
)

// damage damages a row of view a, and has it read.
func (w *copied) damage(key string) {
	w.t.Helper()
	s, _ := w.Progress()
	w.sqlite("UPDATE " + w.tables[0].name(s["a"].Table) + " SET doc = 'nobody/1' WHERE key = '" + key + "'")
	var row *DamagedRowError
	err := w.look(func(ctx context.Context, s *Snapshot) error {
		return s.Rows(ctx, "a", func(*Row) error { return nil }, "WHERE t.key = ?", key)
	})
	if !errors.As(err, &row) {
		w.t.Fatalf("Read() of a damaged row = %v; want a DamagedRowError", err)
	}
}

// TestReloadThatBreaksOff: a view with a damaged row is loaded again also where the load is
// interrupted, before or after its first rows were stored.
func TestReloadThatBreaksOff(t *testing.T) {
	t.Parallel()
	for how, rows := range map[string]int{"after its first rows": 1, "before its first rows": 100} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := running(t, newScript(), func(c *Config) { c.LoadRows = rows })
			w.want("a", w.script.commit("a", "k", "anna/1", "l", "ben/1"), "k", "anna/1", "l", "ben/1")
			w.want("b", 2)
			w.script.grow(func() { w.script.held = true })
			followed := w.script.follows("a")
			w.damage("k")
			w.eventually("the load has begun", func() bool {
				s, _ := w.Progress()
				return w.script.follows("a") > followed && (rows > 1 || s["a"].Loading == 2)
			})
			w.script.grow(func() { w.script.fails["a"] = errors.New("broke off") })
			w.eventually("it broke off", func() bool { return w.script.follows("a") > followed+1 })
			w.script.grow(func() { w.script.held = false })
			w.eventually("the view is loaded again", func() bool { s, _ := w.Progress(); return s["a"].Table > 1 && s["a"].Loading == 0 })
			w.want("a", 2, "k", "anna/1", "l", "ben/1")
		})
	}
}

// TestReloadBesideAnotherLoad: a reload that is asked for while another load ends, before the
// follower has taken the first, is one reload more, and keeps nobody waiting.
func TestReloadBesideAnotherLoad(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript())
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.reload("a")
		w.publish([]Progress{{View: "a", Table: 2}})
		w.reload("a")
		w.reload("a")
	}()
	waiting(t, done, "reload() while another one is due")
	if len(w.reloads["a"]) != 1 {
		t.Errorf("%d reloads are due; want one", len(w.reloads["a"]))
	}
}
