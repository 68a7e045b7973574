package query

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
	"rollcall/query/replica"
)

// column is a value that the replica keeps beside a document.
type column struct {
	name string
	kind projections.Kind
	// from, where set, derives the value from the document's members.
	from func(found map[string]jsontext.Value) any
}

func (c column) value(found map[string]jsontext.Value) any {
	if c.from != nil {
		return c.from(found)
	}
	return columnValue(c.kind, found[c.name])
}

// Tables says what the replica keeps of each view.
func Tables() ([]replica.Table, error) {
	all, err := views()
	tables := make([]replica.Table, len(all))
	for i, v := range all {
		tables[i] = v.table()
	}
	return tables, err
}

// table says what the replica keeps of a view: its columns, then what a search
// looks in.
func (v *view) table() replica.Table {
	columns := v.columns()
	if v.search != nil {
		columns = append(columns, column{name: "search", kind: projections.KindText, from: v.searched})
	}
	t := replica.Table{View: v.name, Indexes: v.indexes}
	for _, c := range columns {
		t.Columns = append(t.Columns, replica.Column{Name: c.name, Text: c.kind.Text()})
	}
	t.Append = func(row []any, document []byte) ([]any, error) {
		found := make(map[string]jsontext.Value, 24)
		err := members(document, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) })
		if err != nil {
			return nil, err
		}
		for _, c := range columns {
			row = append(row, c.value(found))
		}
		return row, nil
	}
	return t
}

// searched is the text of a document that a search looks in.
func (v *view) searched(found map[string]jsontext.Value) any {
	parts := make([]string, len(v.search))
	for i, name := range v.search {
		parts[i] = text(found[name])
	}
	return searchText(strings.Join(parts, "\n"))
}
