package query

import (
	"context"
	"database/sql"
	"fmt"

	"rollcall/eventlog"
)

// snapshot is a consistent look at the replica: one read transaction.
type snapshot struct {
	tx     *sql.Tx
	states map[string]viewState
	tables map[string]*table
}

// read calls f with a snapshot in which all of views are loaded and hold the
// record min; it waits for that as long as d.
func (r *Replica) read(ctx context.Context, views []string, v *values, f func(ctx context.Context, s *snapshot) error) error {
	if err := r.wait(ctx, views, v.minSequence(), v.wait()); err != nil {
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
		return errRemade
	}
	defer leave()
	return r.found(file, r.readFrom(inner, file, views, v, f))
}

func (r *Replica) readFrom(ctx context.Context, file *file, views []string, v *values, f func(ctx context.Context, s *snapshot) error) error {
	tx, err := file.reads.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("begin to read: %w", err)
	}
	defer tx.Rollback()
	states, err := readStates(ctx, tx)
	if err != nil {
		return err
	}
	// The file can't be behind what wait saw, unless it was made again: states are
	// published after their commit.
	if err := reached(states, views, v.minSequence()); err != nil {
		return err
	}
	s := &snapshot{tx: tx, states: states, tables: make(map[string]*table, len(r.tables))}
	for _, t := range r.tables {
		s.tables[t.view] = t
	}
	return f(ctx, s)
}

// table is the name of the table that holds a view's rows.
func (s *snapshot) table(view string) string { return s.tables[view].name(s.states[view].Table) }

// sequence is how far the least advanced of views is.
func (s *snapshot) sequence(views []string) eventlog.Seq {
	seq := s.states[views[0]].Sequence
	for _, v := range views[1:] {
		seq = min(seq, s.states[v].Sequence)
	}
	return seq
}

// each runs a query and calls scan for each of its rows.
func (s *snapshot) each(ctx context.Context, scan func(rows *sql.Rows) error, query string, args ...any) error {
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

// whole runs a query for whole rows of a view, in SQL after FROM, and calls
// visit for each of them once it is held against its sum.
func (s *snapshot) whole(ctx context.Context, view string, visit func(row *wholeRow) error, rest string, args ...any) error {
	row := newWholeRow(s.tables[view])
	return s.each(ctx, func(rows *sql.Rows) error {
		if err := row.scan(rows); err != nil {
			return err
		}
		return visit(row)
	}, "SELECT "+row.table.allColumns("t")+" FROM "+s.table(view)+" t "+rest, args...)
}
