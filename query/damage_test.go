package query_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/projector/viewstore"
	"rollcall/query/replica"
)

// ask opens the API over a replica.
func ask(t *testing.T, r *replica.Replica, w *world) *world {
	next := &world{t: t, clock: &clock{now: epoch}, replica: r, last: w.last}
	next.serve()
	return next
}

// until asks for a path, which is answered with want in the end, and with a 503
// before that: never with anything else.
func (w *world) until(path, column, want string) {
	w.t.Helper()
	for deadline := time.Now().Add(time.Minute); ; {
		a := w.get(path)
		if a.status == http.StatusOK {
			var l list
			if err := json.Unmarshal(a.body, &l); err != nil || l.column(column) != want {
				w.t.Fatalf("GET %s = %s, %v; want %s", path, a.body, err, want)
			}
			return
		}
		if a.status != http.StatusServiceUnavailable && a.status != http.StatusGatewayTimeout || time.Now().After(deadline) || wire.Pause(w.t.Context(), time.Millisecond) != nil {
			w.t.Fatalf("GET %s = %d %s; want 503, then %s", path, a.status, a.body, want)
		}
	}
}

// edit changes the replica's file behind its back.
func edit(t *testing.T, dir string, statements ...string) {
	t.Helper()
	db, err := sql.Open("sqlite", (&url.URL{Scheme: "file", OmitHost: true, Path: filepath.Join(dir, "replica.db")}).String())
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	var table string
	if err := db.QueryRowContext(t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB 'sessions_[0-9]'").Scan(&table); err != nil {
		t.Fatal(err)
	}
	for _, s := range statements {
		if _, err := db.ExecContext(t.Context(), strings.ReplaceAll(s, "$T", table)); err != nil {
			t.Fatalf("%s: %v", s, err)
		}
	}
}

// twelve puts twelve sessions into a script.
func (w *world) twelve(s *script) string {
	docs, ids := map[string][]byte{}, []string{}
	for i := range 12 {
		id := fmt.Sprintf("s%02d", i)
		docs["live."+id] = sessionDoc(id, "m", fmt.Sprintf("title %d", i), "LIVE", i)
		ids = append(ids, id)
	}
	w.last = s.commit("sessions", docs)
	return strings.Join(ids, ",")
}

// TestReplicaThatCanNotBeMade: where something stands in the file's place the
// process runs all the same. It says what is wrong, answers with a 503, and can be
// stopped; and goes on by itself once the file can be made.
func TestReplicaThatCanNotBeMade(t *testing.T) {
	t.Parallel()
	dir, s := t.TempDir(), newScript()
	place := filepath.Join(dir, "replica.db")
	if err := os.MkdirAll(filepath.Join(place, "in the way"), 0o700); err != nil {
		t.Fatal(err)
	}
	r, err := replica.Open(t.Context(), replica.Config{Dir: dir, Views: s, Tables: tables(t)})
	if err != nil {
		t.Fatal(err)
	}
	if got := r.Waiting(); len(got) != 1 || !strings.HasPrefix(got[0], "wipe replica: ") || !strings.Contains(got[0], place) {
		t.Errorf("Waiting() = %v; want that %s can't be wiped", got, place)
	}
	if err := r.Close(); err != nil {
		t.Errorf("Close() of a replica without a file = %v; want nil", err)
	}
	r, _ = runReplica(t, replica.Config{Dir: dir, Views: s})
	w := ask(t, r, &world{last: s.commit("sessions", map[string][]byte{"live.a": sessionDoc("a", "m", "A", "LIVE", 0)})})
	if a := w.do("/v1/sessions"); a.status != http.StatusServiceUnavailable {
		t.Errorf("GET /v1/sessions without a file = %d %s; want 503", a.status, a.body)
	}
	if err := os.RemoveAll(place); err != nil {
		t.Fatal(err)
	}
	w.until("/v1/sessions", "sessionId", "a")
	if got := r.Waiting(); len(got) != 0 {
		t.Errorf("Waiting() once the file is made = %v; want nothing", got)
	}
}

// TestDirectoryIsLiteral: what means something in a URI means nothing in the
// path of the replica's directory, and nobody else may read the file.
func TestDirectoryIsLiteral(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	names := []string{"srv#1", "srv#2", "srv", "50%25", "50%", "p%41q", "pAq", "a?mode=memory", "a", "sp ace", "ünï", "q&x=1", "%2e%2e", "b;c"}
	for i, name := range names {
		s := newScript()
		r, _ := runReplica(t, replica.Config{Dir: filepath.Join(root, name), Views: s})
		w := ask(t, r, &world{last: s.commit("sessions", map[string][]byte{fmt.Sprintf("live.%d", i): sessionDoc(fmt.Sprint(i), "m", name, "LIVE", 0)})})
		if got := w.items("/v1/sessions").column("title"); got != name {
			t.Errorf("sessions of the replica in %q = %s; want its own", name, got)
		}
	}
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		info, err := d.Info()
		if err == nil && info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s = %o; want 600", path, info.Mode().Perm())
		}
		if filepath.Dir(path) == root {
			t.Errorf("%s is in no replica's directory", path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
}

// TestDamagedFile spoils the file at rest, page by page: the replica is loaded
// again, nothing wrong is answered meanwhile, and Run goes on.
func TestDamagedFile(t *testing.T) {
	t.Parallel()
	s, dir := newScript(), t.TempDir()
	first, stop := runReplica(t, replica.Config{Dir: dir, Views: s})
	w := ask(t, first, &world{})
	want := w.twelve(s)
	w.items("/v1/sessions")
	stop()
	file := filepath.Join(dir, "replica.db")
	sound, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	const page = 4096
	for at := 0; at < len(sound); at += page * eventlogtest.Rounds(1, 4) {
		spoilt := append([]byte(nil), sound...)
		copy(spoilt[at:at+page], strings.Repeat("\xa5\x5agarbage", page))
		for _, end := range []string{"-wal", "-shm"} {
			_ = os.Remove(file + end) // gone after a stop in order
		}
		if err := os.WriteFile(file, spoilt, 0o600); err != nil {
			t.Fatal(err)
		}
		r, stop := runReplica(t, replica.Config{Dir: dir, Views: s})
		w := ask(t, r, w)
		w.until("/v1/sessions?sort=sessionId", "sessionId", want)
		w.last = s.commit("sessions", map[string][]byte{"live.s00": sessionDoc("s00", "m", "again", "LIVE", 0)})
		w.until("/v1/sessions?sort=sessionId&q=again", "sessionId", "s00")
		stop()
	}
}

// TestDamageWhileRunning spoils the file, or takes it away, under a replica that
// runs.
func TestDamageWhileRunning(t *testing.T) {
	t.Parallel()
	for name, spoil := range map[string]func(dir string) error{
		"garbage": func(dir string) error {
			for _, end := range []string{"", "-wal"} {
				info, err := os.Stat(filepath.Join(dir, "replica.db"+end))
				if err != nil {
					return err
				}
				f, err := os.OpenFile(filepath.Join(dir, "replica.db"+end), os.O_WRONLY, 0)
				if err != nil {
					return err
				}
				_, err = f.WriteAt([]byte(strings.Repeat("\xa5\x5a", int(info.Size())/2)), 0)
				if f.Close(); err != nil {
					return err
				}
			}
			return nil
		},
		"removed": func(dir string) error { return os.Remove(filepath.Join(dir, "replica.db")) },
		"cut":     func(dir string) error { return os.Truncate(filepath.Join(dir, "replica.db"), 5000) },
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newScript(), t.TempDir()
			r, _ := runReplica(t, replica.Config{Dir: dir, Views: s})
			w := ask(t, r, &world{})
			want := w.twelve(s)
			w.items("/v1/sessions")
			if err := spoil(dir); err != nil {
				t.Fatal(err)
			}
			for i := range 20 {
				w.last = s.commit("sessions", map[string][]byte{"live.s00": sessionDoc("s00", "m", fmt.Sprint("again", i), "LIVE", 0)})
				w.until("/v1/sessions?sort=sessionId", "sessionId", want)
			}
		})
	}
}

// TestFlippedDigit changes a row behind its sum: it is not answered, and loaded
// again.
func TestFlippedDigit(t *testing.T) {
	t.Parallel()
	for _, change := range []string{
		`UPDATE $T SET doc = CAST(replace(CAST(doc AS TEXT), 'title 7', 'title 1') AS BLOB) WHERE sessionId = 's07'`,
		`UPDATE $T SET durationSeconds = durationSeconds + 1 WHERE sessionId = 's07'`, `UPDATE $T SET lastEventAt = 1 WHERE sessionId = 's07'`,
		`UPDATE $T SET seq = seq + 1 WHERE sessionId = 's07'`, `UPDATE $T SET sum = sum + 1 WHERE sessionId = 's07'`,
		`UPDATE $T SET title = 'other' WHERE sessionId = 's07'`, `UPDATE $T SET search = 'other' WHERE sessionId = 's07'`,
		`UPDATE $T SET connections = '0x' WHERE sessionId = 's07'`, `UPDATE views SET revision = revision - 1`, `UPDATE views SET sequence = sequence + 7`,
	} {
		s, dir := newScript(), t.TempDir()
		r, stop := runReplica(t, replica.Config{Dir: dir, Views: s})
		w := ask(t, r, &world{})
		w.twelve(s)
		titles := w.items("/v1/sessions?sort=sessionId").column("title")
		stop()
		edit(t, dir, change)
		r, stop = runReplica(t, replica.Config{Dir: dir, Views: s})
		ask(t, r, w).until("/v1/sessions?sort=sessionId", "title", titles)
		stop()
	}
}

// TestReplicaAudit spoils the copy so that no row's sum shows it, or nobody
// asks for the row: the audit finds it, and has the view loaded again.
func TestReplicaAudit(t *testing.T) {
	t.Parallel()
	keep := []string{"DROP TABLE IF EXISTS kept", "CREATE TABLE kept AS SELECT * FROM $T WHERE sessionId = 's07'"}
	for name, c := range map[string]struct{ before, after []string }{
		"a row is missing":     {nil, []string{"DELETE FROM $T WHERE sessionId = 's07'"}},
		"a row came back":      {keep, []string{"INSERT INTO $T SELECT * FROM kept", "DELETE FROM $T_gone"}},
		"a row is an old one":  {keep, []string{"INSERT OR REPLACE INTO $T SELECT * FROM kept"}},
		"a row is damaged":     {nil, []string{"UPDATE $T SET title = 'other' WHERE sessionId = 's07'"}},
		"all rows are missing": {nil, []string{"DELETE FROM $T"}},
	} {
		t.Run(name, func(t *testing.T) {
			s, dir := newScript(), t.TempDir()
			run := func(every time.Duration) (*replica.Replica, *world, func()) {
				r, stop := runReplica(t, replica.Config{Dir: dir, Views: s, AuditEvery: every})
				return r, ask(t, r, &world{}), stop
			}
			_, w, stop := run(-1)
			w.twelve(s)
			w.items("/v1/sessions")
			stop()
			edit(t, dir, c.before...)
			_, w, stop = run(-1)
			change := map[string][]byte{"live.s07": sessionDoc("s07", "m", "newer", "LIVE", 0)}
			if name == "a row came back" {
				change["live.s07"] = nil
			}
			w.last = s.commit("sessions", change)
			want := w.items("/v1/sessions?sort=sessionId").column("title")
			last := w.last
			stop()
			edit(t, dir, c.after...)
			_, w, _ = run(time.Millisecond)
			w.last = last
			for deadline := time.Now().Add(time.Minute); w.get("/v1/sessions").status != 200 || w.items("/v1/sessions?sort=sessionId").column("title") != want; {
				if time.Now().After(deadline) || wire.Pause(t.Context(), time.Millisecond) != nil {
					t.Fatalf("titles after an audit = %s; want %s", w.items("/v1/sessions?sort=sessionId").column("title"), want)
				}
			}
		})
	}
}

// TestAuditOfALiveView audits all the time while the view changes and its
// generations come and go: nothing is ever found to differ.
func TestAuditOfALiveView(t *testing.T) {
	t.Parallel()
	s := newScript()
	registry := prometheus.NewRegistry()
	r, _ := runReplica(t, replica.Config{Dir: t.TempDir(), Views: s, AuditEvery: time.Microsecond, Registerer: registry})
	w := ask(t, r, &world{})
	for round := 0; counted(t, registry, "rollcall_query_replica_audits_total", "equal") < 20; round++ {
		w.generations(s)
		s.regenerate("sessions", nil)
	}
	for _, result := range []string{"different", "failed"} {
		if n := counted(t, registry, "rollcall_query_replica_audits_total", result); n > 0 {
			t.Errorf("audits that came to %s = %v; want none", result, n)
		}
	}
}

// counted sums up a counter over the series that have a label of this value.
func counted(t *testing.T, from prometheus.Gatherer, name, label string) (sum float64) {
	t.Helper()
	families, err := from.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			for _, l := range m.GetLabel() {
				if f.GetName() == name && l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// TestReplicaOfAnotherTimeline: servers that share a replica's directory one
// after the other, or one that was set back, each find their own views in it.
func TestReplicaOfAnotherTimeline(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	one, other := newWorld(t), newWorld(t)
	for _, id := range []string{"a", "b", "c"} {
		one.post(started(id, "m", id, 0))
	}
	other.post(started("x", "m", "x", 0))
	for _, w := range []*world{one, other} {
		w.get("/v1/sessions") // its own copy has them
	}
	for i, w := range []*world{one, other, one, other} {
		r, stop := runReplica(t, replica.Config{Dir: dir, Views: viewstore.NewReader(w.js)})
		w.post(started(fmt.Sprint("r", i), "m", "later", 9))
		want := w.items("/v1/sessions?sort=sessionId").column("sessionId")
		shared := ask(t, r, w)
		for deadline := time.Now().Add(time.Minute); ; {
			a := shared.get("/v1/sessions?sort=sessionId")
			if a.status == http.StatusOK && shared.items("/v1/sessions?sort=sessionId").column("sessionId") == want {
				break
			}
			if time.Now().After(deadline) || wire.Pause(t.Context(), time.Millisecond) != nil {
				t.Fatalf("round %d: sessions = %s; want %s", i, a.body, want)
			}
		}
		stop()
	}
}

// TestAuditOfARealView audits the copy of real views all the time while records
// come in: nothing is found to differ.
func TestAuditOfARealView(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	registry := prometheus.NewRegistry()
	r, _ := runReplica(t, replica.Config{Dir: t.TempDir(), Views: viewstore.NewReader(w.js), AuditEvery: time.Microsecond, Registerer: registry})
	audited := ask(t, r, w)
	for i := 0; counted(t, registry, "rollcall_query_replica_audits_total", "equal") < 12; i++ {
		id := fmt.Sprint("s", i%20)
		audited.last = w.post(joined(id, "m", fmt.Sprint("p", i), fmt.Sprint("w", i%50), i))
		audited.items("/v1/sessions/" + id + "/participants")
	}
	for _, result := range []string{"different", "failed"} {
		if n := counted(t, registry, "rollcall_query_replica_audits_total", result); n > 0 {
			t.Errorf("audits that came to %s = %v; want none", result, n)
		}
	}
}
