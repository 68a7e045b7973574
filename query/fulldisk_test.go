package query_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
	"rollcall/query/replica"
)

// disk is a disk that is full, now and then.
type disk struct {
	ctx  context.Context
	full int // how often it was full
	// Of the database itself: the size before the last transaction, and how many
	// came to nothing since.
	pages, tries int
	// Of a statement: which one of a transaction fails, counted from BEGIN on.
	next, at int
}

// narrow lets the database grow by one page more at each try of a transaction,
// so that each place where a write needs space meets the full disk once.
func (d *disk) narrow(conn *sql.Conn, statement string) error {
	if !strings.HasPrefix(statement, "BEGIN") {
		return nil
	}
	var pages int
	if err := conn.QueryRowContext(d.ctx, "PRAGMA page_count").Scan(&pages); err != nil {
		return err
	}
	if pages == d.pages {
		d.tries, d.full = d.tries+1, d.full+1
	} else {
		d.pages, d.tries = pages, 0
	}
	_, err := conn.ExecContext(d.ctx, fmt.Sprintf("PRAGMA max_page_count = %d", pages+d.tries))
	return err
}

// each fails each statement once, of whatever transaction comes: the next one
// fails a statement later. COMMIT is one of them.
func (d *disk) each(conn *sql.Conn, statement string) error {
	if strings.HasPrefix(statement, "BEGIN") {
		d.at = 0
	}
	d.at++
	if d.at <= d.next || statement == "ROLLBACK" {
		if statement == "COMMIT" {
			d.next = 0 // all of this one failed once
		}
		return nil
	}
	d.next++
	d.full++
	return fullError()
}

// fullError is the error of a full database.
var fullError = sync.OnceValue(func() error {
	ctx := context.Background()
	db, err := sql.Open("sqlite", ":memory:")
	if err != nil {
		return err
	}
	defer db.Close()
	db.SetMaxOpenConns(1)
	for _, statement := range []string{"CREATE TABLE t (b BLOB)", "PRAGMA max_page_count = 1", "INSERT INTO t VALUES (zeroblob(100000))"} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			return err
		}
	}
	return errors.New("the database took more than it may")
})

// TestFullDisk has each write of the replica meet a full disk, with generations
// that come and go: what it holds is the view, whole and of one generation.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	for name, hook := range map[string]func(d *disk) func(*sql.Conn, string) error{
		"page":      func(d *disk) func(*sql.Conn, string) error { return d.narrow },
		"statement": func(d *disk) func(*sql.Conn, string) error { return d.each },
	} {
		t.Run(name, func(t *testing.T) {
			d := &disk{ctx: context.WithoutCancel(t.Context())}
			s := newScript()
			replica, stop := runReplica(t, replica.Config{Dir: t.TempDir(), Views: s, Before: hook(d), LoadRows: 16, Gather: 1, FullPause: time.Microsecond})
			w := &world{t: t, clock: &clock{now: epoch}, replica: replica}
			w.serve()
			w.generations(s)
			// What was stored is read before the writer has said that it could be.
			for end := time.Now().Add(eventlogtest.Patience); len(replica.Waiting()) > 0 && time.Now().Before(end) && wire.Pause(t.Context(), time.Millisecond) == nil; {
			}
			if got := replica.Waiting(); len(got) > 0 {
				t.Errorf("Waiting() = %v; want nothing", got)
			}
			if stop(); d.full < 100 {
				t.Errorf("full disks = %d; want at least 100", d.full)
			}
		})
	}
}

// generations changes a view, activates other generations of it, and holds
// what the API has of it against what it should have.
func (w *world) generations(s *script) {
	w.t.Helper()
	r := rand.New(rand.NewPCG(7, 0))
	want := map[string]string{}
	for step := range 40 {
		docs := map[string][]byte{}
		for range 1 + r.IntN(20) {
			id := fmt.Sprintf("s%03d", r.IntN(100))
			title := fmt.Sprintf("%d %s", step, strings.Repeat("long ", r.IntN(100)))
			docs["live."+id], want[id] = sessionDoc(id, "m", title, "LIVE", r.IntN(9)), title
			if r.IntN(4) == 0 {
				docs["live."+id] = nil
				delete(want, id)
			}
		}
		if step%4 == 3 {
			all := map[string][]byte{}
			for id, title := range want {
				all["live."+id] = sessionDoc(id, "m", title, "LIVE", r.IntN(9))
			}
			s.regenerate("sessions", all)
			w.last = s.commit("attendance", nil)
		} else {
			w.last = s.commit("sessions", docs)
		}
		var titles []string
		for _, id := range slices.Sorted(maps.Keys(want)) {
			titles = append(titles, want[id])
		}
		if got := w.items("/v1/sessions?limit=1000&sort=sessionId").column("title"); got != strings.Join(titles, ",") {
			w.t.Fatalf("step %d: titles = %.200s; want %.200s", step, got, strings.Join(titles, ","))
		}
	}
}
