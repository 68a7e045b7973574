package replica

import (
	"database/sql"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc64"
	"slices"
	"strings"
)

// errSum says that a row about the file itself is not what was written.
var errSum = errors.New("the sum of a stored row is wrong")

var sumTable = crc64.MakeTable(crc64.ECMA)

// sumOf is the sum of values as SQLite gives them back. A flipped bit, or a run
// of up to 64, changes it for certain.
func sumOf(parts ...[]any) int64 {
	var sum uint64
	for _, values := range parts {
		for _, v := range values {
			switch v := v.(type) {
			case int64:
				sum = sumBytes(sum, 'i', binary.LittleEndian.AppendUint64(nil, uint64(v)))
			case string:
				sum = sumBytes(sum, 't', []byte(v))
			case []byte:
				sum = sumBytes(sum, 'b', v)
			default: // no column of ours
				sum = sumBytes(sum, '?', fmt.Append(nil, v))
			}
		}
	}
	return int64(sum)
}

// sumBytes goes on with a value's kind, size and bytes, so that no value can be
// taken for a part of the next one.
func sumBytes(sum uint64, kind byte, b []byte) uint64 {
	var head [9]byte
	head[0] = kind
	binary.LittleEndian.PutUint64(head[1:], uint64(len(b)))
	return crc64.Update(crc64.Update(sum, sumTable, head[:]), sumTable, b)
}

// sumOfRow is the sum of a view's row, its own place left out.
func sumOfRow(row []any) int64 { return sumOf(row[:colSum], row[colSum+1:]) }

// Row is a row of a view read with all its columns, and so checked against its
// sum. It is used for one row after the other.
type Row struct {
	table  *Table
	names  []string
	values []any
}

func newRow(t *Table) *Row {
	names := t.names()
	return &Row{table: t, names: names, values: make([]any, len(names))}
}

// allColumns are what a query selects for the row of a table called alias.
func (t *Table) allColumns(alias string) string {
	return alias + "." + strings.Join(t.names(), ", "+alias+".")
}

// into appends the places that a scan fills.
func (w *Row) into(dest []any) []any {
	for i := range w.values {
		dest = append(dest, &w.values[i])
	}
	return dest
}

// check returns a DamagedRowError where the row is not what was written.
func (w *Row) check() error {
	if w.values[colSum] != sumOfRow(w.values) {
		return &DamagedRowError{View: w.table.View, Key: w.key()}
	}
	return nil
}

func (w *Row) key() string {
	key, _ := w.values[colKey].(string)
	return key
}

func (w *Row) rev() uint64 {
	rev, _ := w.values[colRev].(int64)
	return uint64(rev)
}

// Text is the value of a column that holds texts.
func (w *Row) Text(name string) string {
	text, _ := w.values[slices.Index(w.names, name)].(string)
	return text
}

// Document is the document. It is not used for the next row.
func (w *Row) Document() []byte {
	doc, _ := w.values[len(w.values)-1].([]byte)
	return doc
}

// scan reads a row that is selected by allColumns alone, and checks it.
func (w *Row) scan(rows *sql.Rows) error {
	if err := rows.Scan(w.into(nil)...); err != nil {
		return err
	}
	return w.check()
}
