package replica

import (
	"context"
	"database/sql"
	"fmt"

	"rollcall/eventlog"
)

// Snapshot is a consistent look at the replica: one read transaction. It is good
// within the function that got it, in one goroutine.
type Snapshot struct {
	tx     *sql.Tx
	states map[string]Progress
	tables map[string]*Table
}

// Read calls f with a Snapshot that holds what n needs; see Wait for the errors if the
// copy does not get there in time. A damaged row is a *DamagedRowError, a copy that can't
// be read ErrRemade, and both are repaired. f's ctx ends also where the file is closed.
func (r *Replica) Read(ctx context.Context, n Need, f func(ctx context.Context, s *Snapshot) error) error {
	if err := r.Wait(ctx, n); err != nil {
		return err
	}
	rest, err := r.pace.Enter(ctx)
	if err != nil {
		return err
	}
	defer rest()
	file := r.opened()
	inner, leave, ok := file.enter(ctx)
	if !ok {
		return ErrRemade
	}
	defer leave()
	return r.found(file, r.readFrom(inner, file, n, f))
}

// readFrom calls f within a read transaction on a file.
func (r *Replica) readFrom(ctx context.Context, file *file, n Need, f func(ctx context.Context, s *Snapshot) error) error {
	tx, err := file.reads.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback()
	states, err := readProgress(ctx, tx)
	if err != nil {
		return err
	}
	// The file can't be behind what Wait saw, unless it was made again: progress is
	// published after its commit.
	if err := n.missing(states); err != nil {
		return err
	}
	s := &Snapshot{tx: tx, states: states, tables: make(map[string]*Table, len(r.tables))}
	for _, t := range r.tables {
		s.tables[t.View] = t
	}
	return f(ctx, s)
}

// Progress is how far the copy of a view is in this look.
func (s *Snapshot) Progress(view string) Progress { return s.states[view] }

// Table is the name in SQL of the table that holds a view's rows.
func (s *Snapshot) Table(view string) string { return s.tables[view].name(s.states[view].Table) }

// Sequence is how far the least advanced of views is.
func (s *Snapshot) Sequence(views []string) eventlog.Seq {
	seq := s.states[views[0]].Sequence
	for _, v := range views[1:] {
		seq = min(seq, s.states[v].Sequence)
	}
	return seq
}

// Query runs a query and calls scan for each of its rows. Values of such rows are
// not checked against their sums.
func (s *Snapshot) Query(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error {
	rows, err := s.tx.QueryContext(ctx, query, args...)
	if err != nil {
		return fmt.Errorf("query replica: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		if err := scan(rows); err != nil {
			return fmt.Errorf("read row: %w", err)
		}
	}
	if err := rows.Err(); err != nil {
		return fmt.Errorf("query replica: %w", err)
	}
	return nil
}

// Rows calls visit for whole rows of a view, whose table is t in rest, the SQL that
// comes after FROM. Each row is checked against its sum first, and is good within
// visit.
func (s *Snapshot) Rows(ctx context.Context, view string, visit func(row *Row) error, rest string, args ...any) error {
	row := newRow(s.tables[view])
	return s.Query(ctx, func(rows *sql.Rows) error {
		if err := row.scan(rows); err != nil {
			return err
		}
		return visit(row)
	}, "SELECT "+row.table.allColumns("t")+" FROM "+s.Table(view)+" t "+rest, args...)
}

// Changes calls visit for up to limit changes of a view after a revision, in the
// order of their revisions: the latest of each key, deletes too. more says that
// limit was reached.
func (s *Snapshot) Changes(ctx context.Context, view string, after uint64, limit int, visit func(key string, revision uint64, sequence eventlog.Seq)) (more bool, err error) {
	name, n := s.Table(view), 0
	err = s.Query(ctx, func(rows *sql.Rows) error {
		var key string
		var rev, seq int64
		if err := rows.Scan(&key, &rev, &seq); err != nil {
			return err
		}
		if n++; seq == 0 {
			seq = int64(s.states[view].LoadSequence)
		}
		visit(key, uint64(rev), eventlog.Seq(seq))
		return nil
	}, "SELECT key, rev, seq FROM "+name+" WHERE rev > ?1 UNION ALL SELECT key, rev, seq FROM "+name+"_gone WHERE rev > ?1 ORDER BY rev LIMIT ?2",
		int64(after), limit)
	return n == limit, err
}
