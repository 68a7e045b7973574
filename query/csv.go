package query

import (
	"regexp"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projections"
)

// The CSV form of a list: RFC 4180 with a header line, UTF-8, times as in JSON.
// The same cells in a spreadsheet's forms are in sheet.go.
// `rollcall report --output csv` passes on what the API wrote; other commands
// write lines of their own with AppendCSV.

// cells are the names of a field's cells, and what fills them; nil: it has none.
func (f field) cells() *csvField {
	one := func(kind projections.Kind, cells func(raw jsontext.Value) []string) *csvField {
		return &csvField{[]string{f.Name}, []projections.Kind{kind}, cells}
	}
	switch {
	case f.Optional:
		return nil
	case f.csv != nil:
		return f.csv
	case f.scalar(), f.Kind == projections.KindAny:
		return one(f.Kind, rawCell)
	case f.Kind == projections.KindTexts:
		return one(f.Kind, joinTexts)
	case f.Kind == projections.KindList:
		return one(projections.KindInteger, countItems)
	}
	return nil
}

// csvColumn is what a member gives to a line.
type csvColumn struct {
	member string
	*csvField
}

// csvColumns are the columns of documents with these fields: worked out once a list.
// They have a kind for each name.
func csvColumns(fields []field) (columns []csvColumn) {
	for _, f := range fields {
		c := f.cells()
		if c == nil || len(c.names) == 0 {
			continue
		}
		if c.kinds == nil {
			c = &csvField{c.names, make([]projections.Kind, len(c.names)), c.cells}
		}
		columns = append(columns, csvColumn{f.Name, c})
	}
	return columns
}

// csvHeader is the header line's cells.
func csvHeader(columns []csvColumn) (names []string) {
	for _, c := range columns {
		names = append(names, c.names...)
	}
	return names
}

// csvKinds are the kinds of a line's cells.
func csvKinds(columns []csvColumn) (kinds []projections.Kind) {
	for _, c := range columns {
		kinds = append(kinds, c.kinds...)
	}
	return kinds
}

// Columns are the columns of the CSV of a list of items of a schema, such as
// Participant; nil: there is no such list.
func Columns(item string) []string {
	switch item {
	case usageItem:
		return csvHeader(csvColumns(usageFields()))
	case personItem:
		return csvHeader(csvColumns(peopleFields()))
	}
	all, err := views()
	if err != nil {
		return nil // Complete says why
	}
	for _, v := range all {
		if v.item == item {
			return csvHeader(csvColumns(v.fields))
		}
	}
	return nil
}

// csvCells is one document's line.
func csvCells(columns []csvColumn, doc []byte) ([]string, error) {
	found := make(map[string]jsontext.Value, len(columns))
	err := members(doc, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) })
	if err != nil {
		return nil, err
	}
	var line []string
	for _, c := range columns {
		if raw := found[c.member]; len(raw) == 0 || raw.Kind() == 'n' {
			line = append(line, make([]string, len(c.names))...)
		} else {
			line = append(line, c.cells(raw)...)
		}
	}
	return line, nil
}

// appendHeader appends the header line.
func (c *call) appendHeader(b []byte) []byte {
	if c.sheet {
		b = append(b, byteOrderMark...)
	}
	return AppendCSV(b, csvHeader(c.route.columns))
}

// appendDocs appends a line a document.
func (c *call) appendDocs(b []byte, docs [][]byte) ([]byte, error) {
	kinds := csvKinds(c.route.columns)
	for _, doc := range docs {
		cells, err := csvCells(c.route.columns, doc)
		if err != nil {
			return nil, err
		}
		if c.sheet {
			b = appendSheet(b, kinds, cells, c.zone)
		} else {
			b = AppendCSV(b, cells)
		}
	}
	return b, nil
}

// AppendCSV appends a line of CSV, its end included: the one encoder of the API
// and the commands. A text that a spreadsheet would take for a formula, whole or
// from a separator on, gets an apostrophe there.
func AppendCSV(b []byte, cells []string) []byte {
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		// In the first cell a number too: where nothing is split at commas, the whole
		// line is one cell, and begins with it.
		if i == 0 || !plainNumber.MatchString(c) {
			c = guardFormulas(c)
		}
		b = appendCell(b, c)
	}
	return append(b, "\r\n"...)
}

func appendCell(b []byte, s string) []byte {
	if !strings.ContainsAny(s, "\",\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

// plainNumber is what a spreadsheet takes for a number, and computes nothing of.
var plainNumber = regexp.MustCompile(`^-?[0-9]+(\.[0-9]+)?$`)

// cuts are the characters at which a spreadsheet may end a cell, besides the
// comma: where it splits at semicolons or tabs our quotes mean nothing to it.
const cuts = ";\t\r\n"

// guardFormulas puts an apostrophe in front of each part of s that a spreadsheet
// may compute.
func guardFormulas(s string) string {
	if s != "" && strings.ContainsRune("\t\r\n\x00", rune(s[0])) || formula(s, "") {
		return "'" + guardParts(s)
	}
	return guardParts(s)
}

// guardParts guards the parts that follow a separator.
func guardParts(s string) string {
	var b strings.Builder
	for {
		cut := strings.IndexAny(s, cuts)
		if cut < 0 {
			b.WriteString(s)
			return b.String()
		}
		rest := strings.TrimLeft(s[cut:], cuts)
		b.WriteString(s[:len(s)-len(rest)])
		if s = rest; formula(s, `"`) {
			b.WriteByte('\'')
		}
	}
}

// formula reports whether a spreadsheet may compute a text. It skips what can't
// be seen in front, and what is in skip, and takes full-width signs too.
func formula(s, skip string) bool {
	s = strings.TrimLeftFunc(s, func(r rune) bool {
		return unicode.IsSpace(r) || !unicode.IsGraphic(r) || strings.ContainsRune(skip, r)
	})
	first, _ := utf8.DecodeRuneInString(s)
	return strings.ContainsRune("=+-@＝＋－＠﹦﹢﹣﹫", first)
}
