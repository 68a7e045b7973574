package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"

	"rollcall/eventlog"
	"rollcall/projector/viewstore"
)

// errFull is the error of a database that takes no more.
var errFull = func() error {
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, s := range []string{"CREATE TABLE t (b BLOB)", "PRAGMA max_page_count = 1", "INSERT INTO t VALUES (zeroblob(100000))"} {
		if _, err := db.ExecContext(context.Background(), s); err != nil {
			return err
		}
	}
	return errors.New("the database took more than it may")
}()

// life is what a view goes through: each kind of write comes in it.
func (w *copied) life() {
	w.t.Helper()
	w.script.commit("b", "x", "x/1")
	w.want("a", w.script.commit("a", "k", "anna/1", "l", "ben/2", "m", "carl/3"), "k", "anna/1", "l", "ben/2", "m", "carl/3")
	w.want("a", w.script.commit("a", "k", "anna/2", "l", "-", "n", "dora/4"), "k", "anna/2", "m", "carl/3", "n", "dora/4")
	w.want("a", w.script.commit("a", "l", "ben/5", "m", "-"), "k", "anna/2", "l", "ben/5", "n", "dora/4")
	w.script.regenerate("a", "k", "anna/9", "l", "ben/5", "z", "zoe/1")
	seq := w.script.commit("a", "z", "zoe/2")
	w.eventually("the second generation", func() bool { s, _ := w.Progress(); return s["a"].Generation == 2 && s["a"].Sequence == seq })
	w.want("a", seq, "k", "anna/9", "l", "ben/5", "z", "zoe/2")
	w.want("b", seq, "x", "x/1")
	if names := w.names(); strings.Count(names, "a_") != 2 || strings.Count(names, "b_") != 2 {
		w.t.Errorf("tables = %s; want one of each view with its deletes", names)
	}
}

// TestFullDiskAtEachWrite has each statement of each transaction meet a full disk once.
func TestFullDiskAtEachWrite(t *testing.T) {
	t.Parallel()
	at, next, full := 0, 0, 0 // of the writer's goroutine
	w := running(t, newScript(), func(c *Config) {
		c.Before = func(_ *sql.Conn, statement string) error {
			if strings.HasPrefix(statement, "BEGIN") {
				at = 0
			}
			if at++; at <= next || statement == "ROLLBACK" {
				if statement == "COMMIT" {
					next = 0 // all of this one failed once
				}
				return nil
			}
			next, full = next+1, full+1
			return errFull
		}
	})
	w.life()
	w.eventually("it waits for nothing", func() bool { return len(w.Waiting()) == 0 })
	if got := w.count("remade_total", "damage"); got != 0 {
		t.Errorf("remade %v times; want the same file", got)
	}
	if w.stop(); full < 40 {
		t.Errorf("%d full disks; want one at each statement", full)
	}
}

// TestWritesThatFail has each statement of the writer fail once: the file is wiped and loaded
// again, and the copy is the view.
func TestWritesThatFail(t *testing.T) {
	t.Parallel()
	var statements atomic.Int64
	w := running(t, newScript(), func(c *Config) {
		c.Gather = 1
		c.Before = func(*sql.Conn, string) error { statements.Add(1); return nil }
	})
	w.life()
	w.stop()
	if statements.Load() < 40 {
		t.Fatalf("%d statements; want each kind of them", statements.Load())
	}
	for n := range statements.Load() {
		t.Run(fmt.Sprint(n+1), func(t *testing.T) {
			t.Parallel()
			var at atomic.Int64
			var failed atomic.Value
			w := running(t, newScript(), func(c *Config) {
				c.Gather = 1
				c.Before = func(_ *sql.Conn, statement string) error {
					if at.Add(1) != n+1 {
						return nil
					}
					failed.Store(statement)
					return errors.New("broken")
				}
			})
			w.life()
			want := 1.0
			if failed.Load() == nil { // commits that were gathered need fewer
				want = 0
			}
			if got := w.count("remade_total", "damage"); got != want {
				t.Errorf("after %v: remade %v times; want %v", failed.Load(), got, want)
			}
			if log := w.log.String(); strings.Contains(log, "not closed in order") {
				t.Errorf("after %v: %s", failed.Load(), log)
			}
			w.eventually("it waits for nothing", func() bool { return len(w.Waiting()) == 0 })
		})
	}
}

// TestTableIsGone: a statement that can't be prepared, or run, is an error, and no row is
// left out because of it.
func TestTableIsGone(t *testing.T) {
	t.Parallel()
	for _, commits := range []int{1, 2} { // the first one prepares what the second one runs
		t.Run(fmt.Sprint(commits), func(t *testing.T) {
			t.Parallel()
			var hide atomic.Bool
			w := running(t, newScript(), func(c *Config) {
				c.Before = func(conn *sql.Conn, statement string) error {
					if !strings.HasPrefix(statement, "BEGIN") || !hide.CompareAndSwap(true, false) {
						return nil
					}
					_, err := conn.ExecContext(context.WithoutCancel(t.Context()), "ALTER TABLE a_1 RENAME TO hidden")
					return err
				}
			})
			w.want("a", 1)
			for range commits - 1 {
				w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
			}
			hide.Store(true)
			w.want("a", w.script.commit("a", "k", "anna/2"), "k", "anna/2")
			if got := w.count("remade_total", "damage"); got != 1 {
				t.Errorf("remade %v times; want once", got)
			}
		})
	}
}

// TestStopOnAFullDisk: a replica that waits for space ends with its context.
func TestStopOnAFullDisk(t *testing.T) {
	t.Parallel()
	w := running(t, newScript(), func(c *Config) { c.Before = func(*sql.Conn, string) error { return errFull } })
	w.eventually("it says that the disk is full", func() bool { return len(w.Waiting()) == 1 })
	w.stop()
}

// TestWriterWithoutAFile: a file that is closed is an error of the writer.
func TestWriterWithoutAFile(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript())
	f := w.opened()
	if err := f.close(); err != nil {
		t.Fatal(err)
	}
	c := &copier{Replica: w.Replica, file: f, queue: make(chan queued)}
	if err := c.writer(t.Context()); err == nil {
		t.Error("writer() of a closed file = nil; want an error")
	}
}

// TestUnreadableDocumentIsLeftOut: the rest of the commit is stored.
func TestUnreadableDocumentIsLeftOut(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", w.script.commit("a", "k", "nothing", "l", "ben/1"), "l", "ben/1")
}

// TestDeletesAreForgotten: the feed's memory of deletes is bounded.
func TestDeletesAreForgotten(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.script.commit("a", "k", "anna/1", "l", "ben/1")
	w.want("a", w.script.commit("a", "k", "-"), "l", "ben/1")
	w.script.grow(func() { w.script.views["a"].revision += 2*goneKeep + 10 })
	w.want("a", w.script.commit("a", "l", "-"))
	states, _ := w.Progress()
	if s := states["a"]; s.Forgotten != s.Revision-goneKeep {
		t.Errorf("forgotten up to %d of %d; want the last %d remembered", s.Forgotten, s.Revision, goneKeep)
	}
	if got := w.changes(0); got != "l" {
		t.Errorf("remembered deletes = %q; want l", got)
	}
}

// changes are the keys of the feed of view a after a revision.
func (w *copied) changes(after uint64) string {
	w.t.Helper()
	var keys []string
	err := w.Read(w.t.Context(), Need{Views: []string{"a"}, Wait: patience}, func(ctx context.Context, s *Snapshot) error {
		_, err := s.Changes(ctx, "a", after, 100, func(key string, _ uint64, _ eventlog.Seq) { keys = append(keys, key) })
		return err
	})
	if err != nil {
		w.t.Fatalf("changes after %d = %v", after, err)
	}
	return strings.Join(keys, " ")
}

// TestFollowingBreaksOff: the copy goes on from what it holds, and is not loaded again.
func TestFollowingBreaksOff(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
	w.script.grow(func() { w.script.fails["a"] = errors.New("broke off") })
	w.eventually("it says so", func() bool { return strings.Contains(strings.Join(w.Waiting(), ""), "broke off") })
	w.want("a", w.script.commit("a", "l", "ben/1"), "k", "anna/1", "l", "ben/1")
	states, _ := w.Progress()
	if s := states["a"]; s.Table != 1 {
		t.Errorf("table = %d; want the first one", s.Table)
	}
	w.eventually("it waits for nothing", func() bool { return len(w.Waiting()) == 0 })
	w.script.grow(func() { w.script.fails["a"] = viewstore.ErrNoView })
	w.want("a", w.script.commit("a", "l", "-"), "k", "anna/1")
}
