package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"iter"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// patience is far longer than anything here takes.
const patience = 10 * time.Second

// script is a source of views that a test writes, commit by commit.
type script struct {
	mu    sync.Mutex
	grown chan struct{}
	views map[string]*generation
	fails map[string]error // the next change of the view is this error
	held  bool             // commits are held back, documents come
	begun map[string]int   // how often a view was followed
	seq   eventlog.Seq
}

// generation holds the latest change of each key, and the checkpoint, by revision.
type generation struct {
	number   int
	changes  []viewstore.Change
	revision uint64
}

// newScript has the views a and b, empty.
func newScript() *script {
	s := &script{grown: make(chan struct{}), views: map[string]*generation{"a": {number: 1}, "b": {number: 1}}, fails: map[string]error{}, begun: map[string]int{}}
	s.commit("a")
	return s
}

// grow changes the script and wakes those who follow.
func (s *script) grow(change func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	change()
	close(s.grown)
	s.grown = make(chan struct{})
}

func (g *generation) add(c viewstore.Change) {
	g.revision++
	c.Revision, c.StoredAt = g.revision, time.Unix(int64(g.revision), 0)
	g.changes = slices.DeleteFunc(g.changes, func(o viewstore.Change) bool {
		return o.Key == c.Key && (c.Kind == viewstore.Commit) == (o.Kind == viewstore.Commit)
	})
	g.changes = append(g.changes, c)
}

func (g *generation) commit(seq eventlog.Seq, pairs []string) {
	for p := range slices.Chunk(pairs, 2) {
		c := viewstore.Change{Kind: viewstore.Put, Key: p[0], Value: []byte(p[1])}
		if p[1] == "-" {
			c.Kind, c.Value = viewstore.Delete, nil
		}
		g.add(c)
	}
	g.add(viewstore.Change{Kind: viewstore.Commit, Checkpoint: projector.Checkpoint{Sequence: seq, Takeover: fmt.Sprint("t", g.number)}})
}

// commit puts keys with their documents, "-" deletes, and moves both checkpoints.
func (s *script) commit(view string, pairs ...string) (seq eventlog.Seq) {
	s.grow(func() {
		s.seq++
		for name, g := range s.views {
			if name == view {
				g.commit(s.seq, pairs)
			} else {
				g.commit(s.seq, nil)
			}
		}
		seq = s.seq
	})
	return seq
}

// regenerate makes another generation of a view the active one.
func (s *script) regenerate(view string, pairs ...string) {
	s.grow(func() {
		g := &generation{number: s.views[view].number + 1}
		g.commit(s.seq, pairs)
		s.views[view] = g
	})
}

// lie changes what the view has of a key, without another revision: what the copy has is
// wrong from then on.
func (s *script) lie(view, key string, change func(c *viewstore.Change)) {
	s.mu.Lock()
	defer s.mu.Unlock()
	g := s.views[view]
	changes := slices.Clone(g.changes)
	at := slices.IndexFunc(changes, func(c viewstore.Change) bool { return c.Key == key })
	change(&changes[at])
	g.changes = slices.DeleteFunc(changes, func(c viewstore.Change) bool { return c.Kind == 0 })
}

// Follow implements Views.
func (s *script) Follow(ctx context.Context, view string, from viewstore.Position) iter.Seq2[viewstore.Change, error] {
	return func(yield func(viewstore.Change, error) bool) {
		s.mu.Lock()
		s.begun[view]++
		s.mu.Unlock()
		for {
			s.mu.Lock()
			g, grown, failure, held := s.views[view], s.grown, s.fails[view], s.held
			number, changes := g.number, slices.Clone(g.changes)
			delete(s.fails, view)
			s.mu.Unlock()
			if failure != nil {
				yield(viewstore.Change{}, failure)
				return
			}
			bucket := viewstore.Bucket(view, number)
			if from.Bucket != bucket {
				from = viewstore.Position{Bucket: bucket}
				if !yield(viewstore.Change{Kind: viewstore.Reset, View: view, Bucket: bucket, Generation: number}, nil) {
					return
				}
			}
			for _, c := range changes {
				if c.Revision <= from.Revision || held && c.Kind == viewstore.Commit {
					continue
				}
				from.Revision = c.Revision
				c.View, c.Bucket, c.Generation, c.Version = view, bucket, number, "1"
				if !yield(c, nil) {
					return
				}
			}
			select {
			case <-grown:
			case <-ctx.Done():
				return
			}
		}
	}
}

// follows is how often a view was followed.
func (s *script) follows(view string) int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.begun[view]
}

// fields are of a document, like "anna/7": a name and a number.
func fields(row []any, document []byte) ([]any, error) {
	name, number, ok := strings.Cut(string(document), "/")
	var n int64
	if _, err := fmt.Sscan(number, &n); err != nil || !ok {
		return nil, errors.New("no name and number")
	}
	return append(row, name, n, n, n, n, n), nil
}

// tables are those of the script's views.
func tables() []Table {
	columns := []Column{{"name", true}, {"n", false}, {"n2", false}, {"n3", false}, {"n4", false}, {"n5", false}}
	return []Table{
		{View: "a", Columns: columns, Indexes: []string{"name", "n"}, Append: fields},
		{View: "b", Columns: columns, Append: fields},
	}
}

// copied is a replica of a script.
type copied struct {
	*Replica
	t       *testing.T
	script  *script
	metrics *prometheus.Registry
	log     *lines
	dir     string
	stop    func()
}

// lines is a log.
type lines struct {
	mu  sync.Mutex
	all strings.Builder
}

func (l *lines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.all.Write(p)
}

func (l *lines) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	all := l.all.String()
	return all[max(0, len(all)-20_000):]
}

// opened opens a replica, which does not run yet.
func opened(t *testing.T, s *script, change ...func(*Config)) *copied {
	t.Helper()
	w := &copied{t: t, script: s, metrics: prometheus.NewRegistry(), log: &lines{}}
	c := Config{Dir: t.TempDir(), Views: s, Tables: tables(), AuditEvery: -1, FullPause: time.Millisecond, LoadRows: 2, Registerer: w.metrics, Log: zerolog.New(w.log)}
	for _, f := range change {
		f(&c)
	}
	w.dir = c.Dir
	r, err := Open(t.Context(), c)
	if err != nil {
		t.Fatal(err)
	}
	w.Replica, w.stop = r, sync.OnceFunc(func() {
		if err := r.Close(); err != nil {
			t.Errorf("Close() = %v; want nil", err)
		}
	})
	t.Cleanup(func() { w.stop() })
	return w
}

// run runs it until stop.
func (w *copied) run() *copied {
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- w.Run(ctx) }()
	closed := w.stop
	w.stop = sync.OnceFunc(func() {
		cancel()
		select {
		case err := <-done:
			if err != nil {
				w.t.Errorf("Run() = %v; want nil", err)
			}
		case <-time.After(patience):
			w.t.Fatal("Run() did not end with its context")
		}
		closed()
	})
	return w
}

// running is a replica that copies.
func running(t *testing.T, s *script, change ...func(*Config)) *copied {
	t.Helper()
	return opened(t, s, change...).run()
}

// eventually waits for a condition.
func (w *copied) eventually(what string, holds func() bool) {
	w.t.Helper()
	deadline := time.After(patience)
	tick := time.NewTicker(time.Millisecond)
	defer tick.Stop()
	for !holds() {
		select {
		case <-tick.C:
		case <-deadline:
			log := w.log.String()
			w.t.Fatalf("waited in vain: %s\n%s", what, log[max(0, len(log)-1000):])
		}
	}
}

// waiting waits for done.
func waiting(t *testing.T, done <-chan struct{}, what string) {
	t.Helper()
	select {
	case <-done:
	case <-time.After(patience):
		t.Fatalf("waited in vain: %s", what)
	}
}

// documents are what the copy has of a view once it holds a sequence.
func (w *copied) documents(view string, seq eventlog.Seq) map[string]string {
	w.t.Helper()
	for end := time.Now().Add(patience); ; {
		got := map[string]string{}
		err := w.Read(w.t.Context(), Need{Views: []string{view}, Sequence: seq, Wait: patience}, func(ctx context.Context, s *Snapshot) error {
			return s.Rows(ctx, view, func(row *Row) error {
				got[row.key()] = string(row.Document())
				return nil
			}, "")
		})
		if err == nil {
			return got
		}
		if !errors.Is(err, ErrRemade) && !errors.Is(err, ErrBehind) && !errors.Is(err, ErrNotLoaded) || time.Now().After(end) {
			w.t.Fatalf("read the copy = %v\n%s", err, w.log)
		}
	}
}

// want holds the copy of a view against pairs of key and document.
func (w *copied) want(view string, seq eventlog.Seq, pairs ...string) {
	w.t.Helper()
	want := map[string]string{}
	for p := range slices.Chunk(pairs, 2) {
		want[p[0]] = p[1]
	}
	if got := w.documents(view, seq); !maps.Equal(got, want) {
		w.t.Errorf("the copy of %s at %d = %v; want %v\n%s", view, seq, got, want, w.log)
	}
}

// count is a counter's value, by its last label.
func (w *copied) count(name, label string) (sum float64) {
	w.t.Helper()
	all, err := w.metrics.Gather()
	if err != nil {
		w.t.Fatal(err)
	}
	for _, family := range all {
		for _, m := range family.GetMetric() {
			for _, l := range m.GetLabel() {
				if family.GetName() == "rollcall_query_replica_"+name && l.GetValue() == label {
					sum += m.GetCounter().GetValue()
				}
			}
		}
	}
	return sum
}

// sqlite runs statements on the copy's file, past the replica.
func (w *copied) sqlite(statements ...string) {
	w.t.Helper()
	db, err := sql.Open("sqlite", fileURI(w.opened().path, "_pragma=busy_timeout(5000)"))
	if err != nil {
		w.t.Fatal(err)
	}
	defer db.Close()
	for _, s := range statements {
		if _, err := db.ExecContext(w.t.Context(), s); err != nil {
			w.t.Fatalf("%s: %v", s, err)
		}
	}
}

// names are the tables of the file.
func (w *copied) names() (all string) {
	w.t.Helper()
	rows, err := w.opened().reads.QueryContext(w.t.Context(), "SELECT name FROM sqlite_master WHERE type = 'table' ORDER BY name")
	if err != nil {
		w.t.Fatal(err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		if err := rows.Scan(&name); err != nil {
			w.t.Fatal(err)
		}
		all += name + " "
	}
	if err := rows.Err(); err != nil {
		w.t.Fatal(err)
	}
	return all
}
