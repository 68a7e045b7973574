package query

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	"rollcall/projector/viewstore"
)

const (
	// gather is how many batches one transaction takes when they queue up.
	gather = 64
	// goneKeep is how many revisions back deletes are remembered for the change
	// feed; a reader that was away longer is told to start again.
	goneKeep = 500_000
	// writeTimeout bounds one transaction after ctx ended.
	writeTimeout = 5 * time.Minute
)

// queued is a batch in the writer's queue; done is closed once it is applied.
type queued struct {
	batch
	done chan struct{}
}

// writer applies batches, several in one transaction when they queue up. It is
// the only goroutine that writes.
func (r *Replica) writer(ctx context.Context) error {
	w := &rowWriter{replica: r, loading: map[string]int{}}
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
		if err := w.apply(ctx, items); err != nil {
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

// rowWriter is the writer's own state.
type rowWriter struct {
	replica *Replica
	loading map[string]int // number of the table being filled beside, by view
	next    int            // last table number given
	puts    map[string]*sql.Stmt
}

// apply applies items in one transaction, then makes the new states known.
func (w *rowWriter) apply(ctx context.Context, items []queued) error {
	// A transaction that has begun is finished: its time is short.
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), writeTimeout)
	defer cancel()
	tx, err := w.replica.write.BeginTx(ctx, nil)
	if err != nil {
		return err
	}
	defer tx.Rollback()
	w.puts = map[string]*sql.Stmt{}
	states, _ := w.replica.current()
	dirty := map[string]bool{}
	for _, q := range items {
		if q.table == nil || !q.start && q.commit == nil && len(q.changes) == 0 {
			continue
		}
		s, ok := states[q.table.view]
		if !ok {
			s = viewState{View: q.table.view}
		}
		if err := w.applyBatch(ctx, tx, q.batch, &s); err != nil {
			return err
		}
		if q.commit != nil {
			states[s.View], dirty[s.View] = s, true
		}
	}
	var changed []viewState
	for view := range dirty {
		if err := storeState(ctx, tx, states[view]); err != nil {
			return err
		}
		changed = append(changed, states[view])
	}
	if err := tx.Commit(); err != nil {
		return err
	}
	if len(changed) > 0 {
		w.replica.publish(changed)
	}
	return nil
}

func (w *rowWriter) applyBatch(ctx context.Context, tx *sql.Tx, b batch, s *viewState) error {
	number := s.Table
	if b.load {
		var err error
		if number, err = w.loadTable(ctx, tx, b, s); err != nil {
			return err
		}
	}
	if number == 0 {
		return nil // changes of a load that was given up
	}
	t := b.table
	for _, c := range b.changes {
		if err := w.change(ctx, tx, t, number, c, b); err != nil {
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
		return w.switchTo(ctx, tx, t, number, s)
	}
	if s.Revision > s.Forgotten+2*goneKeep {
		s.Forgotten = s.Revision - goneKeep
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+t.name(number)+"_gone WHERE rev <= ?", int64(s.Forgotten)); err != nil {
			return err
		}
	}
	return nil
}

// loadTable returns the number of the table beside, made anew at a load's start.
func (w *rowWriter) loadTable(ctx context.Context, tx *sql.Tx, b batch, s *viewState) (int, error) {
	view := b.table.view
	if !b.start {
		return w.loading[view], nil
	}
	if old := w.loading[view]; old > 0 {
		if err := execAll(ctx, tx, b.table.drop(old)); err != nil {
			return 0, err
		}
	}
	w.next = max(w.next, s.Table) + 1
	w.loading[view] = w.next
	return w.next, execAll(ctx, tx, b.table.create(w.next))
}

// switchTo puts the table that was filled beside in force, and drops the old
// one. Readers that have begun keep seeing the old one to their end.
func (w *rowWriter) switchTo(ctx context.Context, tx *sql.Tx, t *table, number int, s *viewState) error {
	begin := time.Now()
	if err := execAll(ctx, tx, t.finish(number)); err != nil {
		return err
	}
	if s.Table > 0 {
		if err := execAll(ctx, tx, t.drop(s.Table)); err != nil {
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
func (w *rowWriter) change(ctx context.Context, tx *sql.Tx, t *table, number int, c viewstore.Change, b batch) error {
	name := t.name(number)
	seq := int64(0) // of a load: the sequence that the load ends at
	if b.commit != nil && !b.load {
		seq = int64(b.commit.Checkpoint.Sequence)
	}
	if c.Kind == viewstore.Delete {
		return w.remove(ctx, tx, t, name, c, seq, b.load)
	}
	args, searched, err := t.row(c, 0)
	if err != nil {
		// A document that can't be read is left out rather than stopping the view.
		w.replica.config.Log.Error().Err(err).Str(keyView, t.view).Msg("document can't be read; rebuild the view")
		return nil
	}
	args[2] = seq
	search := t.search != nil && !b.load
	var before string
	if search {
		err := tx.QueryRowContext(ctx, "SELECT search FROM "+name+" WHERE key = ?", c.Key).Scan(&before)
		if err != nil && err != sql.ErrNoRows {
			return err
		}
	}
	stmt := w.puts[name]
	if stmt == nil {
		if stmt, err = tx.PrepareContext(ctx, t.put(number)); err != nil {
			return err
		}
		w.puts[name] = stmt
	}
	var id int64
	if err := stmt.QueryRowContext(ctx, args...).Scan(&id); err != nil {
		return err
	}
	if search && before != searched {
		if _, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO "+name+"_fts (rowid, search) VALUES (?, ?)", id, searched); err != nil {
			return err
		}
	}
	if b.load {
		return nil
	}
	_, err = tx.ExecContext(ctx, "DELETE FROM "+name+"_gone WHERE key = ?", c.Key)
	return err
}

func (w *rowWriter) remove(ctx context.Context, tx *sql.Tx, t *table, name string, c viewstore.Change, seq int64, load bool) error {
	if t.search != nil && !load {
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+name+"_fts WHERE rowid = (SELECT id FROM "+name+" WHERE key = ?)", c.Key); err != nil {
			return err
		}
	}
	if _, err := tx.ExecContext(ctx, "DELETE FROM "+name+" WHERE key = ?", c.Key); err != nil {
		return err
	}
	_, err := tx.ExecContext(ctx, "INSERT OR REPLACE INTO "+name+"_gone (key, rev, seq) VALUES (?, ?, ?)", c.Key, int64(c.Revision), seq)
	return err
}

func execAll(ctx context.Context, tx *sql.Tx, statements []string) error {
	for _, s := range statements {
		if _, err := tx.ExecContext(ctx, s); err != nil {
			return fmt.Errorf("%w: %s", err, s)
		}
	}
	return nil
}
