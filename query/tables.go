package query

import (
	"context"
	"database/sql"
	"fmt"
	"hash/crc32"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
	"rollcall/projector/viewstore"
)

// viewsDDL makes the one table that says how far each view is.
const viewsDDL = `CREATE TABLE IF NOT EXISTS views (
	view TEXT PRIMARY KEY, number INTEGER NOT NULL, bucket TEXT NOT NULL, generation INTEGER NOT NULL, version TEXT NOT NULL,
	revision INTEGER NOT NULL, storedAt INTEGER NOT NULL, sequence INTEGER NOT NULL, parked INTEGER NOT NULL,
	loaded INTEGER NOT NULL, loadedRevision INTEGER NOT NULL, forgotten INTEGER NOT NULL, loading INTEGER NOT NULL, takeover TEXT NOT NULL, pasts TEXT NOT NULL, sum INTEGER NOT NULL
) WITHOUT ROWID`

// table says how a view is kept: a row a document, with the document's scalar
// fields as columns beside it. Each generation has its own table, <view>_<n>.
type table struct {
	view    string
	columns []column
	// indexes are column lists; made after the first load.
	indexes []string
	// search names the members that q looks in; nil: none.
	search []string
}

// column is one extracted value.
type column struct {
	name string
	kind projections.Kind
	// from, where set, derives the value from the document's members.
	from func(found map[string]jsontext.Value) any
}

func tablesOf(views []*view) []*table {
	tables := make([]*table, len(views))
	for i, v := range views {
		tables[i] = &table{view: v.name, columns: v.columns(), indexes: v.indexes, search: v.search}
	}
	return tables
}

// schemaOf is a number of the tables' form, which a file is marked with.
func schemaOf(tables []*table) int32 {
	sum := crc32.NewIEEE()
	write := func(ddl ...string) { _, _ = io.WriteString(sum, strings.Join(ddl, ";")) } // a sum takes everything
	write(viewsDDL, strconv.Itoa(rowVersion))
	for _, t := range tables {
		write(append(t.create(0), t.finish(0)...)...)
	}
	return int32(sum.Sum32()>>1) | 1 // never 0, which is an empty file's
}

// name is the table that holds the view's rows.
func (t *table) name(number int) string { return fmt.Sprintf("%s_%d", t.view, number) }

// create makes an empty table without the indexes that only readers need.
func (t *table) create(number int) []string {
	name := t.name(number)
	var b strings.Builder
	fmt.Fprintf(&b, "CREATE TABLE %s (id INTEGER PRIMARY KEY, key TEXT NOT NULL UNIQUE, rev INTEGER NOT NULL, seq INTEGER NOT NULL, sum INTEGER NOT NULL", name)
	for _, c := range t.columns {
		typ := "INTEGER"
		if c.kind == projections.KindText {
			typ = "TEXT"
		}
		fmt.Fprintf(&b, ", %s %s NOT NULL", c.name, typ)
	}
	if t.search != nil {
		b.WriteString(", search TEXT NOT NULL")
	}
	b.WriteString(", doc BLOB NOT NULL)")
	return []string{
		b.String(),
		fmt.Sprintf("CREATE TABLE %s_gone (key TEXT PRIMARY KEY, rev INTEGER NOT NULL, seq INTEGER NOT NULL) WITHOUT ROWID", name),
	}
}

// finish makes what readers need, once the table is filled.
func (t *table) finish(number int) []string {
	name := t.name(number)
	ddl := []string{
		fmt.Sprintf("CREATE INDEX %s_rev ON %s (rev)", name, name),
		fmt.Sprintf("CREATE INDEX %s_gone_rev ON %s_gone (rev)", name, name),
	}
	for i, columns := range t.indexes {
		ddl = append(ddl, fmt.Sprintf("CREATE INDEX %s_i%d ON %s (%s)", name, i, name, columns))
	}
	return ddl
}

// drop removes a generation's tables.
func (t *table) drop(number int) []string {
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
	colFirst // of the extracted columns; search, if there is one, and doc come last
)

// names are the columns in the order of a row.
func (t *table) names() []string {
	names := []string{"key", "rev", "seq", "sum"}
	for _, c := range t.columns {
		names = append(names, c.name)
	}
	if t.search != nil {
		names = append(names, "search")
	}
	return append(names, "doc")
}

// insert is the statement that stores a row.
func (t *table) insert(name string) string {
	names := t.names()
	return "INSERT OR REPLACE INTO " + name + " (" + strings.Join(names, ", ") + ") VALUES (?" + strings.Repeat(", ?", len(names)-1) + ")"
}

// row extracts the columns of a document.
func (t *table) row(c viewstore.Change, seq int64) ([]any, error) {
	found := make(map[string]jsontext.Value, 24)
	err := members(c.Value, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) })
	if err != nil {
		return nil, fmt.Errorf("document %s of view %s: %w", c.Key, t.view, err)
	}
	row := make([]any, 0, colFirst+len(t.columns)+2) // search, doc
	row = append(row, c.Key, int64(c.Revision), seq, int64(0))
	for _, col := range t.columns {
		if col.from != nil {
			row = append(row, col.from(found))
		} else {
			row = append(row, columnValue(col.kind, found[col.name]))
		}
	}
	if t.search != nil {
		parts := make([]string, len(t.search))
		for i, name := range t.search {
			parts[i] = text(found[name])
		}
		row = append(row, searchText(strings.Join(parts, "\n")))
	}
	row = append(row, c.Value)
	row[colSum] = sumOfRow(row)
	return row, nil
}

// stateColumns are the columns of the table views, in the order of viewState.row.
const stateColumns = "view, number, bucket, generation, version, revision, storedAt, sequence, parked, loaded, loadedRevision, forgotten, loading, takeover, pasts, sum"

// row is a state as it is stored; its sum comes last.
func (s viewState) row() []any {
	row := []any{s.View, int64(s.Table), s.Bucket, int64(s.Generation), s.Version, int64(s.Revision), s.StoredAt.UnixNano(), int64(s.Sequence), int64(s.Parked),
		int64(s.Loaded), int64(s.LoadedRevision), int64(s.Forgotten), int64(s.Loading), s.Takeover, string(s.Pasts)}
	return append(row, sumOf(row))
}

func readStates(ctx context.Context, tx *sql.Tx) (map[string]viewState, error) {
	rows, err := tx.QueryContext(ctx, "SELECT "+stateColumns+" FROM views")
	if err != nil {
		return nil, fmt.Errorf("read replica's positions: %w", err)
	}
	defer rows.Close()
	states := make(map[string]viewState, 8)
	for rows.Next() {
		var s viewState
		var storedAt, sum int64
		if err := rows.Scan(&s.View, &s.Table, &s.Bucket, &s.Generation, &s.Version, &s.Revision, &storedAt, &s.Sequence, &s.Parked,
			&s.Loaded, &s.LoadedRevision, &s.Forgotten, &s.Loading, &s.Takeover, &s.Pasts, &sum); err != nil {
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

func storeState(ctx context.Context, to execer, s viewState) error {
	row := s.row()
	_, err := to.ExecContext(ctx, "INSERT OR REPLACE INTO views ("+stateColumns+") VALUES (?"+strings.Repeat(", ?", len(row)-1)+")", row...)
	if err != nil {
		return fmt.Errorf("store replica's position: %w", err)
	}
	return nil
}

// dropOrphans removes tables that no view has in force: loads that broke off.
func dropOrphans(ctx context.Context, tx *sql.Tx, tables []*table, states map[string]viewState) error {
	for _, t := range tables {
		if s := states[t.view]; s.Loading > 0 {
			s.Loading = 0
			if err := storeState(ctx, tx, s); err != nil {
				return err
			}
			states[t.view] = s
		}
		numbers, err := t.numbers(ctx, tx)
		if err != nil {
			return err
		}
		for _, n := range numbers {
			if n == states[t.view].Table {
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
func (t *table) numbers(ctx context.Context, tx *sql.Tx) (all []int, err error) {
	rows, err := tx.QueryContext(ctx, `SELECT name FROM sqlite_master WHERE type = 'table' AND name GLOB ?`, t.view+"_[0-9]*")
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
		if _, err := fmt.Sscanf(name, t.view+"_%d", &n); err == nil && name == t.name(n) {
			all = append(all, n)
		}
	}
	if err := rows.Err(); err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	return all, nil
}
