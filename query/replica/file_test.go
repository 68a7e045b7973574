package replica

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
)

// again opens a replica on the directory of one that was stopped, and runs it.
func (w *copied) again(change ...func(*Config)) *copied {
	w.t.Helper()
	w.stop()
	return running(w.t, w.script, append(change, func(c *Config) { c.Dir = w.dir })...)
}

// TestOpenAgain: a file that is whole is used as it is, and goes on where it was.
func TestOpenAgain(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
	w.want("b", 2)
	before, _ := w.Progress()
	w.stop()
	next := opened(t, w.script, func(c *Config) { c.Dir = w.dir })
	if after, _ := next.Progress(); after["a"] != before["a"] || !next.Loaded() {
		t.Errorf("position of a file that is opened again = %+v; want %+v", after["a"], before["a"])
	}
	next.run()
	next.want("a", w.script.commit("a", "l", "ben/1"), "k", "anna/1", "l", "ben/1")
	if after, _ := next.Progress(); after["a"].Table != 1 || next.count("remade_total", "open") != 0 {
		t.Errorf("a file that is whole was loaded again: table %d", after["a"].Table)
	}
}

// TestLoadThatBrokeOff: what a load left is removed when the file is opened again.
func TestLoadThatBrokeOff(t *testing.T) {
	t.Parallel()
	w := running(t, newScript())
	w.want("a", w.script.commit("a", "k", "anna/1", "l", "ben/1"), "k", "anna/1", "l", "ben/1")
	w.script.grow(func() { w.script.held = true })
	w.script.regenerate("a", "k", "anna/2", "l", "ben/2", "m", "carl/2")
	w.eventually("a load has begun", func() bool { s, _ := w.Progress(); return s["a"].Loading == 2 })
	w.want("a", 2, "k", "anna/1", "l", "ben/1")
	w.stop()
	next := opened(t, w.script, func(c *Config) { c.Dir = w.dir })
	if names := next.names(); !strings.Contains(names, "a_1 ") || strings.Contains(names, "a_2") {
		t.Errorf("tables = %s; want what the load left removed", names)
	}
	if s, _ := next.Progress(); s["a"].Loading != 0 || s["a"].Table != 1 {
		t.Errorf("position = %+v; want no load", s["a"])
	}
	next.stop()
	w.script.grow(func() { w.script.held = false })
	last := w.again()
	last.eventually("the second generation", func() bool { s, _ := last.Progress(); return s["a"].Generation == 2 })
	last.want("a", 2, "k", "anna/2", "l", "ben/2", "m", "carl/2")
}

// TestFileThatCanNotBePrepared: it is wiped and loaded again, and nothing of it is kept open.
func TestFileThatCanNotBePrepared(t *testing.T) {
	t.Parallel()
	for how, statements := range map[string][]string{
		"another schema":        {"PRAGMA user_version = 7"},
		"no table of positions": {"DROP TABLE views", "CREATE VIEW views AS SELECT 1 AS view"},
		"a position's sum":      {"UPDATE views SET sequence = sequence + 1"},
		"a position's kind":     {"UPDATE views SET number = 'one'"},
		"a table that stays":    {"CREATE TABLE a_5 (x)", "CREATE VIEW a_5_gone AS SELECT 1"},
		"a position that stays": {"CREATE TABLE a_9 (x)", "CREATE TRIGGER stays BEFORE INSERT ON views BEGIN SELECT RAISE(ABORT, 'no'); END"},
	} {
		t.Run(how, func(t *testing.T) {
			t.Parallel()
			w := running(t, newScript())
			w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
			if how == "a position that stays" { // it is written where a load broke off
				w.script.grow(func() { w.script.held = true })
				w.script.regenerate("a", "k", "anna/2", "l", "ben/2")
				w.eventually("a load has begun", func() bool { s, _ := w.Progress(); return s["a"].Loading == 2 })
			}
			w.sqlite(statements...)
			w.stop()
			next := opened(t, w.script, func(c *Config) { c.Dir = w.dir })
			if got := next.count("remade_total", "open"); got != 1 || next.Loaded() {
				t.Errorf("wiped %v times, loaded %v; want an empty file", got, next.Loaded())
			}
			next.eventually("no file that was removed is open", func() bool { return len(removedFiles(w.dir)) == 0 })
			w.script.grow(func() { w.script.held = false })
			next.run().eventually("it is loaded", next.Loaded)
		})
	}
}

// removedFiles are those of a directory that this process has open and that are gone, where
// the system says so.
func removedFiles(dir string) (all []string) {
	fds, _ := filepath.Glob("/proc/self/fd/*")
	for _, fd := range fds {
		if name, err := os.Readlink(fd); err == nil && strings.HasPrefix(name, dir) && strings.HasSuffix(name, "(deleted)") {
			all = append(all, name)
		}
	}
	return all
}

// TestOrphansOfAnEndedTransaction: tables that can't be listed are an error.
func TestOrphansOfAnEndedTransaction(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript())
	tx, err := w.opened().write.BeginTx(t.Context(), nil)
	if err != nil {
		t.Fatal(err)
	}
	if err := tx.Rollback(); err != nil {
		t.Fatal(err)
	}
	if err := dropOrphans(t.Context(), tx, w.tables, map[string]Progress{}); err == nil {
		t.Error("dropOrphans() in a transaction that is over = nil; want an error")
	}
	if _, err := readProgress(t.Context(), tx); err == nil {
		t.Error("readProgress() in a transaction that is over = nil; want an error")
	}
}

// TestNoFile: while no file can be made the replica says so, goes on trying, and ends with
// its context.
func TestNoFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	inTheWay := filepath.Join(dir, fileName, "x")
	if err := os.MkdirAll(inTheWay, 0o700); err != nil {
		t.Fatal(err)
	}
	w := opened(t, newScript(), func(c *Config) { c.Dir = dir })
	if got := w.Waiting(); len(got) != 1 || !strings.Contains(got[0], fileName) {
		t.Errorf("Waiting() without a file = %q; want one line that names it", got)
	}
	if err := w.Read(t.Context(), Need{}, nil); !errors.Is(err, ErrRemade) {
		t.Errorf("Read() without a file = %v; want %v", err, ErrRemade)
	}
	w.run()
	w.eventually("it tries again and again", func() bool { return strings.Count(w.log.String(), "trying again") > 2 })
	if err := os.RemoveAll(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	w.want("a", w.script.commit("a", "k", "anna/1"), "k", "anna/1")
	w.eventually("it waits for nothing", func() bool { return len(w.Waiting()) == 0 })
}

// TestStopWithoutAFile: a replica that can't make its file ends with its context.
func TestStopWithoutAFile(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	if err := os.MkdirAll(filepath.Join(dir, fileName, "x"), 0o700); err != nil {
		t.Fatal(err)
	}
	running(t, newScript(), func(c *Config) { c.Dir = dir }).stop()
}

// TestRemakeWithoutADirectory: an error, and what there was stays.
func TestRemakeWithoutADirectory(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript())
	before := w.opened()
	w.await(waitFile, "no file")
	if err := os.RemoveAll(w.dir); err != nil {
		t.Fatal(err)
	}
	if err := w.remake(t.Context()); err == nil || w.opened() != before || len(w.Waiting()) != 1 {
		t.Errorf("remake() without a directory = %v, waiting for %v; want an error", err, w.Waiting())
	}
}

// TestDirectoryThatCanNotBeUsed: it is an error at once.
func TestDirectoryThatCanNotBeUsed(t *testing.T) {
	t.Parallel()
	used := opened(t, newScript())
	locked := t.TempDir()
	if err := os.Mkdir(filepath.Join(locked, "lock"), 0o700); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for dir, want := range map[string]string{used.dir: "another process uses it", locked: "lock replica", filepath.Join(file, "x"): "make replica directory"} {
		_, err := Open(t.Context(), Config{Dir: dir, Views: newScript(), Tables: tables()})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%s) = %v; want %q", dir, err, want)
		}
	}
	for want, c := range map[string]Config{"set Views": {Tables: tables()}, "set Tables": {Views: newScript()}} {
		if _, err := Open(t.Context(), c); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("Open(%+v) = %v; want %q", c, err, want)
		}
	}
}

// TestTemporaryDirectory: it is removed with the replica.
func TestTemporaryDirectory(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript(), func(c *Config) { c.Dir = "" })
	dir := w.Replica.dir
	if _, err := os.Stat(filepath.Join(dir, fileName)); err != nil {
		t.Fatal(err)
	}
	w.stop()
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("stat of the directory after Close = %v; want that it is gone", err)
	}
}

// TestNeed: what is missing is said, at the end of the time for it.
func TestNeed(t *testing.T) {
	t.Parallel()
	w := opened(t, newScript())
	for _, c := range []struct {
		sequence eventlog.Seq
		want     error
	}{{0, ErrNotLoaded}, {1, ErrBehind}} {
		if err := w.Wait(t.Context(), Need{Views: []string{"a"}, Sequence: c.sequence, Wait: time.Millisecond}); !errors.Is(err, c.want) {
			t.Errorf("Wait(%d) of a view that is not loaded = %v; want %v", c.sequence, err, c.want)
		}
	}
	w.run().want("a", 1)
	if err := w.Wait(t.Context(), Need{Views: []string{"a"}, Sequence: 2, Wait: time.Millisecond}); !errors.Is(err, ErrBehind) {
		t.Errorf("Wait(2) of a view at 1 = %v; want %v", err, ErrBehind)
	}
	for seq, want := range map[eventlog.Seq]bool{0: true, 1: true, 2: false} {
		if got := w.Holds(Need{Views: []string{"a"}, Sequence: seq}); got != want {
			t.Errorf("Holds(%d) of a view at 1 = %v; want %v", seq, got, want)
		}
	}
}
