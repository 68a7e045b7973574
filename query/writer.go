package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"strings"
	"time"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"rollcall/projector/viewstore"
)

const (
	// gather is how many batches one transaction takes when they queue up.
	gather = 64
	// goneKeep is how many revisions back deletes are remembered for the change
	// feed; a reader that was away longer is told to start again.
	goneKeep = 500_000
)

// queued is a batch in the writer's queue; done is closed once it is applied.
type queued struct {
	batch
	done chan struct{}
}

// writer applies batches, several in one transaction when they queue up. It is
// the only goroutine that writes.
func (r *Replica) writer(ctx context.Context) error {
	// The connection's statements are prepared once. A context that can end
	// would cost a goroutine for each of them; transactions are short.
	plain := context.WithoutCancel(ctx)
	conn, err := r.write.Conn(plain)
	if err != nil {
		return fmt.Errorf("write replica: %w", err)
	}
	w := &rowWriter{replica: r, conn: conn, loading: map[string]int{}, statements: map[string]*sql.Stmt{}}
	defer w.close()
	for {
		var items []queued
		select {
		case q := <-r.queue:
			items = append(items, q)
		case <-ctx.Done():
			return ctx.Err()
		}
	more:
		for len(items) < gather {
			select {
			case q := <-r.queue:
				items = append(items, q)
			default:
				break more
			}
		}
		err := w.apply(plain, items)
		for full(err) && wait(ctx, fullPause) == nil {
			// The transaction came to nothing, so that it can be tried again when
			// there is space: answers get old meanwhile, and ingest goes on.
			w.forget()
			err = w.apply(plain, items)
		}
		if err != nil {
			if ctx.Err() != nil {
				return ctx.Err()
			}
			return fmt.Errorf("write replica: %w: if it stays, stop, delete %s and start again", err, r.dir)
		}
		for _, q := range items {
			if q.done != nil {
				close(q.done)
			}
		}
	}
}

// fullPause is the wait before a write to a full disk is tried again.
const fullPause = time.Second

// full reports whether err says that the disk is full.
func full(err error) bool {
	var e *sqlite.Error
	return errors.As(err, &e) && e.Code()&0xff == sqlite3.SQLITE_FULL
}

// wait pauses for d, or until ctx ends.
func wait(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return ctx.Err()
	case <-timer.C:
		return nil
	}
}

// rowWriter is the writer's own state.
type rowWriter struct {
	replica    *Replica
	conn       *sql.Conn
	loading    map[string]int // number of the table being filled beside, by view
	next       int            // last table number given
	statements map[string]*sql.Stmt
}

// close gives the connection back; what that reports was reported by a write.
func (w *rowWriter) close() {
	w.forget()
	_ = w.conn.Close()
}

// forget closes the prepared statements. SQLite frees one whatever it reports.
func (w *rowWriter) forget() {
	for _, s := range w.statements {
		_ = s.Close()
	}
	clear(w.statements)
}

// statement prepares a statement once.
func (w *rowWriter) statement(ctx context.Context, query string) (*sql.Stmt, error) {
	if s := w.statements[query]; s != nil {
		return s, nil
	}
	s, err := w.conn.PrepareContext(ctx, query)
	if err != nil {
		return nil, fmt.Errorf("%w: %s", err, query)
	}
	w.statements[query] = s
	return s, nil
}

// exec runs a prepared statement.
func (w *rowWriter) exec(ctx context.Context, query string, args ...any) error {
	s, err := w.statement(ctx, query) //nolint:sqlclosecheck // kept; forget closes it
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, args...)
	return err
}

// apply applies items in one transaction, then makes the new states known.
func (w *rowWriter) apply(ctx context.Context, items []queued) error {
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	changed, err := w.applyAll(ctx, items)
	if err == nil {
		_, err = w.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		_, rollback := w.conn.ExecContext(ctx, "ROLLBACK")
		return errors.Join(err, rollback)
	}
	if len(changed) > 0 {
		w.replica.publish(changed)
	}
	return nil
}

func (w *rowWriter) applyAll(ctx context.Context, items []queued) (changed []viewState, err error) {
	states, _ := w.replica.current()
	dirty := map[string]bool{}
	for _, q := range items {
		if !q.start && q.commit == nil && len(q.changes) == 0 {
			continue
		}
		s, ok := states[q.table.view]
		if !ok {
			s = viewState{View: q.table.view}
		}
		if err := w.applyBatch(ctx, q.batch, &s); err != nil {
			return nil, err
		}
		if q.commit != nil {
			states[s.View], dirty[s.View] = s, true
		}
	}
	for view := range dirty {
		if err := storeState(ctx, w.conn, states[view]); err != nil {
			return nil, err
		}
		changed = append(changed, states[view])
	}
	return changed, nil
}

func (w *rowWriter) applyBatch(ctx context.Context, b batch, s *viewState) error {
	number := s.Table
	if b.load {
		var err error
		if number, err = w.loadTable(ctx, b, s); err != nil {
			return err
		}
	}
	if number == 0 {
		return nil // changes of a load that was given up
	}
	t := b.table
	for _, c := range b.changes {
		if err := w.change(ctx, t, number, c, b); err != nil {
			return err
		}
	}
	if b.commit == nil {
		return nil
	}
	c := b.commit
	s.Bucket, s.Generation, s.Version = c.Bucket, c.Generation, c.Version
	s.Revision, s.StoredAt = c.Revision, c.StoredAt
	s.Sequence, s.Parked = c.Checkpoint.Sequence, c.Checkpoint.Parked
	if b.load {
		return w.switchTo(ctx, t, number, s)
	}
	if s.Revision > s.Forgotten+2*goneKeep {
		s.Forgotten = s.Revision - goneKeep
		return w.exec(ctx, "DELETE FROM "+t.name(number)+"_gone WHERE rev <= ?", int64(s.Forgotten))
	}
	return nil
}

// loadTable returns the number of the table beside, made anew at a load's start.
func (w *rowWriter) loadTable(ctx context.Context, b batch, s *viewState) (int, error) {
	view := b.table.view
	if !b.start {
		return w.loading[view], nil
	}
	if old := w.loading[view]; old > 0 {
		if err := execAll(ctx, w.conn, b.table.drop(old)); err != nil {
			return 0, err
		}
	}
	w.next = max(w.next, s.Table) + 1
	w.loading[view] = w.next
	return w.next, execAll(ctx, w.conn, b.table.create(w.next))
}

// switchTo puts the table that was filled beside in force, and drops the old
// one. Readers that have begun keep seeing the old one to their end.
func (w *rowWriter) switchTo(ctx context.Context, t *table, number int, s *viewState) error {
	begin := time.Now()
	w.forget() // statements on the old table
	if err := execAll(ctx, w.conn, t.finish(number)); err != nil {
		return err
	}
	if s.Table > 0 {
		if err := execAll(ctx, w.conn, t.drop(s.Table)); err != nil {
			return err
		}
	}
	s.Table = number
	s.Loaded, s.LoadedRevision, s.Forgotten = s.Sequence, s.Revision, s.Revision
	delete(w.loading, t.view)
	w.replica.config.Log.Info().Str(keyView, t.view).Str(keyBucket, s.Bucket).Int(keyGeneration, s.Generation).
		Uint64(keySequence, uint64(s.Sequence)).Int64(keyElapsedMS, time.Since(begin).Milliseconds()).Msg("view loaded")
	return nil
}

// change applies one put or delete.
func (w *rowWriter) change(ctx context.Context, t *table, number int, c viewstore.Change, b batch) error {
	name := t.name(number)
	seq := int64(0) // of a load: the sequence that the load ends at
	if b.commit != nil && !b.load {
		seq = int64(b.commit.Checkpoint.Sequence)
	}
	if c.Kind == viewstore.Delete {
		return w.remove(ctx, name, c, seq)
	}
	row, err := t.row(c, seq)
	if err != nil {
		// A document that can't be read is left out rather than stopping the view.
		w.replica.config.Log.Error().Err(err).Str(keyView, t.view).Msg("document can't be read; rebuild the view")
		return nil
	}
	if b.load {
		return w.exec(ctx, t.insert(name), row...)
	}
	if err := w.put(ctx, t, name, row); err != nil {
		return err
	}
	return w.exec(ctx, "DELETE FROM "+name+"_gone WHERE key = ?", c.Key)
}

// put stores a row. Of a row that is there only the columns that differ are
// written, so that an index costs something only when its columns change.
func (w *rowWriter) put(ctx context.Context, t *table, name string, row []any) error {
	names := t.names()
	look, err := w.statement(ctx, "SELECT id, "+strings.Join(names[colFirst:len(names)-1], ", ")+" FROM "+name+" WHERE key = ?") //nolint:sqlclosecheck // kept; forget closes it
	if err != nil {
		return err
	}
	old := make([]any, len(names)-colFirst) // id, then the columns up to doc
	into := make([]any, len(old))
	for i := range old {
		into[i] = &old[i]
	}
	err = look.QueryRowContext(ctx, row[colKey]).Scan(into...)
	if errors.Is(err, sql.ErrNoRows) {
		return w.exec(ctx, t.insert(name), row...)
	}
	if err != nil {
		return err
	}
	set, args := []string{"rev = ?", "seq = ?", "doc = ?"}, []any{row[colRev], row[colSeq], row[len(row)-1]}
	for i := colFirst; i < len(names)-1; i++ {
		if before := old[i-colFirst+1]; before != row[i] {
			set, args = append(set, names[i]+" = ?"), append(args, row[i])
		}
	}
	return w.exec(ctx, "UPDATE "+name+" SET "+strings.Join(set, ", ")+" WHERE id = ?", append(args, old[0])...)
}

func (w *rowWriter) remove(ctx context.Context, name string, c viewstore.Change, seq int64) error {
	if err := w.exec(ctx, "DELETE FROM "+name+" WHERE key = ?", c.Key); err != nil {
		return err
	}
	return w.exec(ctx, "INSERT OR REPLACE INTO "+name+"_gone (key, rev, seq) VALUES (?, ?, ?)", c.Key, int64(c.Revision), seq)
}

func execAll(ctx context.Context, conn *sql.Conn, statements []string) error {
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w: %s", err, s)
		}
	}
	return nil
}
