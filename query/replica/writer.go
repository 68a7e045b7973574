package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"strings"
	"time"

	"rollcall/projector/viewstore"
	"rollcall/query/pace"
)

const (
	// defaultGather is how many batches one transaction takes when they queue up.
	defaultGather = 64
	// goneKeep is how many revisions back deletes are remembered for the change
	// feed; a reader that was away longer starts again.
	goneKeep = 500_000
)

// queued is a batch in the writer's queue; done is closed once it is applied.
type queued struct {
	batch
	done chan struct{}
}

// writer applies batches, several in one transaction when they queue up. It is
// the only goroutine that writes. Its error says that the file can't be used.
func (c *copier) writer(ctx context.Context) error {
	// The connection's statements are prepared once. A context that can end
	// would cost a goroutine for each of them; transactions are short.
	plain := context.WithoutCancel(ctx)
	conn, err := c.file.write.Conn(plain)
	if err != nil {
		return fmt.Errorf("write replica: %w", err)
	}
	w := &rowWriter{replica: c.Replica, conn: writeConn{conn, c.config.Before}, statements: map[string]*sql.Stmt{}}
	defer w.close()
	for {
		var items []queued
		select {
		case q := <-c.queue:
			items = append(items, q)
		case <-ctx.Done():
			return ctx.Err()
		}
	more:
		for len(items) < c.config.Gather {
			select {
			case q := <-c.queue:
				items = append(items, q)
			default:
				break more
			}
		}
		if err := w.insist(ctx, plain, items); err != nil {
			return fmt.Errorf("write replica: %w", err)
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

// insist applies items, and retries while the disk is full: the transaction
// had no effect, answers get old meanwhile, and everything else goes on.
func (w *rowWriter) insist(ctx, plain context.Context, items []queued) error {
	for first := true; ; first = false {
		err := w.apply(plain, items)
		if !full(err) {
			w.replica.await(waitDisk, "")
			return err
		}
		if first {
			w.replica.config.Log.Error().Err(err).Str(keyDir, w.replica.dir).Msg("the copy of the views can't be written: make space on its disk")
		}
		w.replica.await(waitDisk, fmt.Sprintf("the copy of the views gets old: %v", err))
		if pace.Wait(ctx, w.replica.config.FullPause) != nil {
			return ctx.Err()
		}
	}
}

// rowWriter is the writer's own state.
type rowWriter struct {
	replica *Replica
	conn    writeConn
	// statements are prepared ones. Nothing else is kept from one transaction to
	// the next: what one that failed had come to is void.
	statements map[string]*sql.Stmt
}

// writeConn is the writer's connection.
type writeConn struct {
	*sql.Conn
	// before, where a test sets it, is called before each statement, which does
	// not run where it returns an error.
	before func(conn *sql.Conn, statement string) error
}

func (c writeConn) check(statement string) error {
	if c.before == nil {
		return nil
	}
	return c.before(c.Conn, statement)
}

// ExecContext runs a statement.
func (c writeConn) ExecContext(ctx context.Context, statement string, args ...any) (sql.Result, error) {
	if err := c.check(statement); err != nil {
		return nil, err
	}
	return c.Conn.ExecContext(ctx, statement, args...)
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
	if err == nil {
		err = w.conn.check(query)
	}
	if err != nil {
		return err
	}
	_, err = s.ExecContext(ctx, args...)
	return err
}

// apply applies items in one transaction, then makes the new states known.
func (w *rowWriter) apply(ctx context.Context, items []queued) error {
	begin := time.Now()
	if _, err := w.conn.ExecContext(ctx, "BEGIN IMMEDIATE"); err != nil {
		return err
	}
	changed, err := w.applyAll(ctx, items)
	if err == nil {
		_, err = w.conn.ExecContext(ctx, "COMMIT")
	}
	if err != nil {
		w.forget()
		// It fails where SQLite has rolled back by itself.
		_, _ = w.conn.ExecContext(ctx, "ROLLBACK")
		return err
	}
	before := w.replica.publish(changed)
	for _, s := range changed {
		if s.Table != before[s.View].Table {
			w.replica.config.Log.Info().Str(keyView, s.View).Str(keyBucket, s.Bucket).Int(keyGeneration, s.Generation).
				Uint64(keySequence, uint64(s.Sequence)).Int64(keyElapsedMS, time.Since(begin).Milliseconds()).Msg("view loaded")
		}
	}
	return nil
}

// applyAll applies batches within the transaction, and stores the states that they
// changed. It returns these; they are published after the commit.
func (w *rowWriter) applyAll(ctx context.Context, items []queued) (changed []Progress, err error) {
	before, _ := w.replica.Progress()
	states := maps.Clone(before)
	for _, q := range items {
		if !q.start && q.commit == nil && len(q.changes) == 0 {
			continue
		}
		s := states[q.table.View]
		s.View = q.table.View
		if err := w.applyBatch(ctx, q.batch, &s); err != nil {
			return nil, err
		}
		states[s.View] = s
	}
	for view, s := range states {
		if s == before[view] {
			continue
		}
		if err := storeProgress(ctx, w.conn, s); err != nil {
			return nil, err
		}
		changed = append(changed, s)
	}
	return changed, nil
}

// applyBatch writes a batch into the view's current table, or into the one that is
// being loaded, and notes in s where the view then is. The commit that ends a load
// makes that table the current one.
func (w *rowWriter) applyBatch(ctx context.Context, b batch, s *Progress) error {
	number := s.Table
	if b.load {
		if b.start {
			if err := w.startLoad(ctx, b.table, s); err != nil {
				return err
			}
		}
		number = s.Loading
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
	if b.load {
		s.Takeovers = Takeovers("").with(c.Checkpoint.Takeover, c.Revision-1)
	} else {
		s.Takeovers = s.Takeovers.with(c.Checkpoint.Takeover, s.Revision)
	}
	s.Revision, s.StoredAt, s.Takeover = c.Revision, c.StoredAt, c.Checkpoint.Takeover
	s.Sequence, s.Parked = c.Checkpoint.Sequence, c.Checkpoint.Parked
	if b.load {
		return w.switchTo(ctx, t, s)
	}
	if s.Revision > s.Forgotten+2*goneKeep {
		s.Forgotten = s.Revision - goneKeep
		return w.exec(ctx, "DELETE FROM "+t.name(number)+"_gone WHERE rev <= ?", int64(s.Forgotten))
	}
	return nil
}

// startLoad makes an empty table next to the current one.
func (w *rowWriter) startLoad(ctx context.Context, t *Table, s *Progress) error {
	if s.Loading > 0 {
		w.forget() // statements on it
		if err := execAll(ctx, w.conn, t.drop(s.Loading)); err != nil {
			return err
		}
	}
	s.Loading = max(s.Loading, s.Table) + 1
	return execAll(ctx, w.conn, t.create(s.Loading))
}

// switchTo makes the table that was filled the current one, and drops the old
// one. Readers that have begun keep seeing the old one to their end.
func (w *rowWriter) switchTo(ctx context.Context, t *Table, s *Progress) error {
	w.forget() // statements on the old table
	if err := execAll(ctx, w.conn, t.finish(s.Loading)); err != nil {
		return err
	}
	if s.Table > 0 {
		if err := execAll(ctx, w.conn, t.drop(s.Table)); err != nil {
			return err
		}
	}
	s.Table, s.Loading = s.Loading, 0
	s.LoadSequence, s.Forgotten = s.Sequence, s.Revision
	return nil
}

// change applies one put or delete.
func (w *rowWriter) change(ctx context.Context, t *Table, number int, c viewstore.Change, b batch) error {
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
		w.replica.config.Log.Error().Err(err).Str(keyView, t.View).Msg("document can't be read; rebuild the view")
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
func (w *rowWriter) put(ctx context.Context, t *Table, name string, row []any) error {
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
	set, args := []string{"rev = ?", "seq = ?", "sum = ?", "doc = ?"}, []any{row[colRev], row[colSeq], row[colSum], row[len(row)-1]}
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

func execAll(ctx context.Context, conn execer, statements []string) error {
	for _, s := range statements {
		if _, err := conn.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w: %s", err, s)
		}
	}
	return nil
}
