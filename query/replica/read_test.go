package replica

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/query/cursor"
)

// look reads the copy of both views.
func (w *copied) look(f func(ctx context.Context, s *Snapshot) error) error {
	return w.Read(w.t.Context(), Need{Views: []string{"a", "b"}, Wait: patience}, f)
}

// TestList: pages of any size, one after the other, are the list, by a text, a number or the
// id, up and down.
func TestList(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.script.commit("b", "k1", "other/1", "k3", "other/3")
	seq := w.script.commit("a", "k1", "anna/3", "k2", "anna/1", "k3", "ben/3", "k4", "anna/2", "k5", "carl/3")
	w.want("b", seq, "k1", "other/1", "k3", "other/3")
	w.documents("a", seq)
	key, name, n := Order{Expr: "s.key", Text: true}, Order{Expr: "s.name", Text: true}, Order{Expr: "s.n"}
	for _, c := range []struct {
		by         Order
		descending bool
		want       string
	}{
		{key, false, "k1 k2 k3 k4 k5"}, {key, true, "k5 k4 k3 k2 k1"},
		{name, false, "k1 k2 k4 k3 k5"}, {name, true, "k5 k3 k1 k2 k4"},
		{n, false, "k2 k4 k1 k3 k5"}, {n, true, "k1 k3 k5 k4 k2"},
	} {
		for size := 1; size <= 6; size++ {
			var got []string
			var from *cursor.Place
			for {
				var page []Item
				err := w.look(func(ctx context.Context, s *Snapshot) (err error) {
					page, err = s.List("a", "s.key").Read(ctx, c.by, c.descending, from, size)
					return err
				})
				if err != nil || len(page) > size {
					t.Fatalf("page of %d after %+v = %d items, %v", size, from, len(page), err)
				}
				for _, it := range page {
					got, from = append(got, it.ID), &it.Place
				}
				if len(page) < size {
					break
				}
			}
			if strings.Join(got, " ") != c.want {
				t.Errorf("by %s, descending %v, in pages of %d = %v; want %s", c.by.Expr, c.descending, size, got, c.want)
			}
		}
	}
	err := w.look(func(ctx context.Context, s *Snapshot) error {
		l := s.List("a", "s.key")
		l.Join("b", "o", "o.key = s.key")
		l.Extra = []string{"o.name || s.n"}
		l.Filter("s.name = ?", "ben")
		it, ok, err := l.One(ctx)
		if err != nil || !ok || it.ID != "k3" || fmt.Sprint(it.Extra) != "[other3]" || string(it.Document) != "ben/3" {
			t.Errorf("One() = %+v, %v, %v; want k3", it, ok, err)
		}
		l.Filter("s.n = ?", 7)
		if it, ok, err := l.One(ctx); err != nil || ok {
			t.Errorf("One() of none = %+v, %v, %v; want none", it, ok, err)
		}
		l.Filter("nonsense(")
		if _, ok, err := l.One(ctx); err == nil || ok {
			t.Errorf("One() of nonsense = %v, %v; want an error", ok, err)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestSequence is that of the view that is least advanced.
func TestSequence(t *testing.T) {
	t.Parallel()
	s := &Snapshot{states: map[string]Progress{"a": {Sequence: 7}, "b": {Sequence: 5}, "c": {Sequence: 6}}}
	for views, want := range map[string]eventlog.Seq{"a": 7, "a b": 5, "b a": 5, "a c": 6, "a b c": 5, "a c b": 5} {
		if got := s.Sequence(strings.Fields(views)); got != want {
			t.Errorf("Sequence(%s) = %d; want %d", views, got, want)
		}
	}
}

// TestSnapshotChanges: the latest change of each key after a revision, deletes too, with the
// sequence of its commit; up to a limit.
func TestSnapshotChanges(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", 1)
	w.script.commit("a", "k", "anna/1", "l", "ben/1")
	w.documents("a", 2)
	w.script.commit("a", "k", "-", "m", "carl/1")
	w.want("a", 3, "l", "ben/1", "m", "carl/1")
	for _, c := range []struct {
		after uint64
		limit int
		want  string
		more  bool
	}{
		{1, 9, "l:3@2 k:5@3 m:6@3", false}, {3, 9, "k:5@3 m:6@3", false}, {1, 2, "l:3@2 k:5@3", true}, {1, 3, "l:3@2 k:5@3 m:6@3", true}, {6, 9, "", false},
	} {
		err := w.look(func(ctx context.Context, s *Snapshot) error {
			var got []string
			more, err := s.Changes(ctx, "a", c.after, c.limit, func(key string, revision uint64, seq eventlog.Seq) {
				got = append(got, fmt.Sprintf("%s:%d@%d", key, revision, seq))
			})
			if strings.Join(got, " ") != c.want || more != c.more {
				t.Errorf("Changes(%d, limit %d) = %v, more %v; want %s, %v", c.after, c.limit, got, more, c.want, c.more)
			}
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	// A row that can't be read is an error, not the end of the changes.
	w.sqlite("UPDATE a_1 SET rev = 'x' WHERE key = 'm'")
	err := w.look(func(ctx context.Context, s *Snapshot) error {
		_, err := s.Changes(ctx, "a", 1, 9, func(string, uint64, eventlog.Seq) {})
		return err
	})
	if err == nil {
		t.Error("Changes() with a row that can't be read = nil; want an error")
	}
}

// TestSequenceOfALoad: what a load stored has the sequence that the load ended at.
func TestSequenceOfALoad(t *testing.T) {
	t.Parallel()
	s := newScript()
	s.commit("a", "k", "anna/1", "l", "ben/1", "m", "carl/1")
	w := running(t, s)
	w.documents("a", s.commit("b"))
	err := w.look(func(ctx context.Context, s *Snapshot) error {
		_, err := s.Changes(ctx, "a", 0, 9, func(key string, _ uint64, seq eventlog.Seq) {
			if want := s.Progress("a").LoadSequence; seq != want || want < 2 {
				t.Errorf("sequence of %s = %d; want %d", key, seq, want)
			}
		})
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestReadsThatFail: the error of what reads is its own. A damaged row is loaded again, once,
// and a file that is gone is made again.
func TestReadsThatFail(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
	own := errors.New("own")
	if err := w.look(func(context.Context, *Snapshot) error { return own }); !errors.Is(err, own) || errors.Is(err, ErrRemade) {
		t.Errorf("Read() of a reader that fails = %v; want its error", err)
	}
	if err := w.look(func(ctx context.Context, s *Snapshot) error { return s.Query(ctx, nil, "SELECT nonsense") }); err == nil || errors.Is(err, ErrRemade) {
		t.Errorf("Read() of nonsense = %v; want an error of the query", err)
	}
	w.script.grow(func() { w.script.held = true }) // the load takes its time
	w.sqlite("UPDATE a_1 SET doc = 'bella/1' WHERE key = 'k'")
	var row *DamagedRowError
	for range 3 {
		err := w.look(func(ctx context.Context, s *Snapshot) error {
			return s.Rows(ctx, "a", func(*Row) error { t.Error("a damaged row was handed out"); return nil }, "")
		})
		if !errors.As(err, &row) || row.View != "a" || row.Key != "k" {
			t.Fatalf("Read() of a damaged row = %v; want a DamagedRowError of k", err)
		}
	}
	w.script.grow(func() { w.script.held = false })
	w.eventually("the view is loaded again", func() bool { s, _ := w.Progress(); return s["a"].Table == 2 })
	w.want("a", 2, "k", "anna/1")
	if got := w.count("damaged_rows_total", "a"); got != 3 {
		t.Errorf("damaged rows = %v; want each read of one counted", got)
	}
	w.documents("b", w.script.commit("b"))
	if s, _ := w.Progress(); s["a"].Table != 2 {
		t.Errorf("table = %d; want the view loaded again once", s["a"].Table)
	}
	w.sqlite("UPDATE views SET sum = 0")
	if err := w.look(func(context.Context, *Snapshot) error { return nil }); !errors.Is(err, ErrRemade) {
		t.Errorf("Read() of a damaged position = %v; want %v", err, ErrRemade)
	}
	w.want("a", 3, "k", "anna/1")
	if got := w.count("remade_total", "damage"); got != 1 {
		t.Errorf("remade %v times; want once", got)
	}
}
