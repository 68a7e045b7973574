package replica

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"io"
	"strconv"
	"strings"
	"time"

	"rollcall/projector/viewstore"
)

// viewsDDL makes the one table that says how far each view is.
const viewsDDL = `CREATE TABLE IF NOT EXISTS views (
	view TEXT PRIMARY KEY, number INTEGER NOT NULL, bucket TEXT NOT NULL, generation INTEGER NOT NULL, version TEXT NOT NULL,
	revision INTEGER NOT NULL, storedAt INTEGER NOT NULL, sequence INTEGER NOT NULL, parked INTEGER NOT NULL,
	loaded INTEGER NOT NULL, forgotten INTEGER NOT NULL, loading INTEGER NOT NULL, takeover TEXT NOT NULL, pasts TEXT NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID`

// Table says how a view is kept: a row a document, with values of the document as
// columns beside it. Each load has its own table, <view>_<n>.
type Table struct {
	View    string
	Columns []Column
	// Indexes are column lists; they are made after the first load.
	Indexes []string
	// Append appends the columns' values of a document to a row, in their order: a
	// string for a column of texts, an int64 for the others.
	Append func(row []any, document []byte) ([]any, error)
}

// Column is a value beside a document.
type Column struct {
	Name string
	Text bool // it holds texts, else integers
}

// schemaOf is a number of the tables' form, which a file is marked with.
func schemaOf(tables []*Table) int32 {
	sum := crc32.NewIEEE()
	write := func(ddl ...string) { _, _ = io.WriteString(sum, strings.Join(ddl, ";")) } // a sum takes everything
	write(viewsDDL, strconv.Itoa(rowVersion))
	for _, t := range tables {
		write(append(t.create(0), t.finish(0)...)...)
	}
	return int32(sum.Sum32()>>1) | 1 // never 0, which is an empty file's
}

// name is the table that holds the view's rows.
func (t *Table) name(number int) string { return fmt.Sprintf("%s_%d", t.View, number) }

// create makes an empty table without the indexes that only readers need.
func (t *Table) create(number int) []string {
	name := t.name(number)
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL, seq INTEGER NOT NULL, sum INTEGER NOT NULL", name)
	for _, c := range t.Columns {
		typ := "INTEGER"
		if c.Text {
			typ = "TEXT"
		}
		fmt.Fprintf(&b, ", %s %s NOT NULL", c.Name, typ)
	}
	b.WriteString(", doc BLOB NOT NULL)")
	return []string{
		b.String(),
		fmt.Sprintf("CREATE TABLE %s_gone (key TEXT PRIMARY KEY, rev INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID", name),
	}
}

// finish makes what readers need, once the table is filled.
func (t *Table) finish(number int) []string {
	name := t.name(number)
	ddl := []string{
		fmt.Sprintf("CREATE INDEX %s_rev ON %s (rev)", name, name),
		fmt.Sprintf("CREATE INDEX %s_gone_rev ON %s_gone (rev)", name, name),
	}
	for i, columns := range t.Indexes {
		ddl = append(ddl, fmt.Sprintf("CREATE INDEX %s_i%d ON %s (%s)", name, i, name, columns))
	}
	return ddl
}

// drop removes a generation's tables.
func (t *Table) drop(number int) []string {
	name := t.name(number)
	return []string{
		"DROP TABLE IF EXISTS " + name, "DROP TABLE IF EXISTS " + name + "_gone",
	}
}

// Places of the columns that every table has, in a row.
const (
	colKey = iota
	colRev
	colSeq
	colSum   // of all the others; see sumOf
	colFirst // of the table's own columns; doc comes last
)

// names are the columns in the order of a row.
func (t *Table) names() []string {
	names := []string{"key", "rev", "seq", "sum"}
	for _, c := range t.Columns {
		names = append(names, c.Name)
	}
	return append(names, "doc")
}

// insert is the statement that stores a row.
func (t *Table) insert(name string) string {
	names := t.names()
	return "INSERT OR REPLACE INTO " + name + " (" + strings.Join(names, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(names)-1) + ")"
}

// row is a document as it is stored.
func (t *Table) row(c viewstore.Change, seq int64) ([]any, error) {
	row := make([]any, 0, colFirst+len(t.Columns)+1)
	row, err := t.Append(append(row, c.Key, int64(c.Revision), seq, int64(0)), c.Value)
	if err != nil {
		return nil, fmt.Errorf("document %s of view %s: %w", c.Key, t.View, err)
	}
	row = append(row, c.Value)
	row[colSum] = sumOfRow(row)
	return row, nil
}

// progressColumns are the columns of the table views, in the order of Progress.row.
const progressColumns = "view, number, bucket, generation, version, revision, storedAt, sequence, parked, loaded, forgotten, loading, takeover, pasts, sum"

// row is a state as it is stored; its sum comes last.
func (s Progress) row() []any {
	row := []any{s.View, int64(s.Table), s.Bucket, int64(s.Generation), s.Version, int64(s.Revision), s.StoredAt.UnixNano(), int64(s.Sequence), int64(s.Parked),
		int64(s.LoadSequence), int64(s.Forgotten), int64(s.Loading), s.Takeover, string(s.Takeovers)}
	return append(row, sumOf(row))
}

// readProgress reads how far each view is. A row whose sum is wrong means that the
// file can't be used.
func readProgress(ctx context.Context, tx *sql.Tx) (map[string]Progress, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+progressColumns+" FROM views")
	if err != nil {
		return nil, fmt.Errorf("read replica's positions: %w", err)
	}
	defer rows.Close()
	states := make(map[string]Progress, 8)
	for rows.Next() {
		var s Progress
		var storedAt, sum int64
		if err := rows.Scan(&s.View, &s.Table, &s.Bucket, &s.Generation, &s.Version, &s.Revision, &storedAt, &s.Sequence, &s.Parked,
			&s.LoadSequence, &s.Forgotten, &s.Loading, &s.Takeover, &s.Takeovers, &sum); err != nil {
			return nil, fmt.Errorf("read replica's positions: %w: %w", errSum, err)
		}
		s.StoredAt = time.Unix(0, storedAt)
		if row := s.row(); row[len(row)-1] != sum {
			return nil, fmt.Errorf("read replica's positions: %w", errSum)
		}
		states[s.View] = s
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("read replica's positions: %w", err)
	}
	return states, nil
}

// execer is a connection or a transaction.
type execer interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

func storeProgress(ctx context.Context, to execer, s Progress) error {
	row := s.row()
	_, err := to.ExecContext(ctx, "INSERT OR REPLACE INTO views ("+progressColumns+") VALUES (?"+strings.Repeat(", ?", len(row)-1)+")", row...)
	if err != nil {
		return fmt.Errorf("store replica's position: %w", err)
	}
	return nil
}

// dropOrphans removes tables that are not current: loads that broke off.
func dropOrphans(ctx context.Context, tx *sql.Tx, tables []*Table, states map[string]Progress) error {
	for _, t := range tables {
		if s := states[t.View]; s.Loading > 0 {
			s.Loading = 0
			if err := storeProgress(ctx, tx, s); err != nil {
				return err
			}
			states[t.View] = s
		}
		numbers, err := t.numbers(ctx, tx)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			if n == states[t.View].Table {
				continue
			}
			for _, ddl := range t.drop(n) {
				if _, err := tx.ExecContext(ctx, ddl); err != nil {
					return fmt.Errorf("prepare replica: %w", err)
				}
			}
		}
	}
	return nil
}

// numbers are those of the view's tables that there are.
func (t *Table) numbers(ctx context.Context, tx *sql.Tx) (all []int, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ?`, t.View+"_[0-9]*")
	if err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	defer rows.Close()
	for rows.Next() {
		var name string
		var n int
		if err := rows.Scan(&name); err != nil {
			return nil, fmt.Errorf("prepare replica: %w", err)
		}
		if _, err := fmt.Sscanf(name, t.View+"_%d", &n); err == nil && name == t.name(n) {
			all = append(all, n)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	return all, nil
}
