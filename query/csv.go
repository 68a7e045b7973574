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

// csvHeader is the header line's cells for documents with these fields.
func csvHeader(fields []field) (names []string) {
	for _, f := range fields {
		if c := f.cells(); c != nil {
			names = append(names, c.names...)
		}
	}
	return names
}

// Columns are the columns of the CSV of a list of items of a schema, such as
// Participant; nil: there is no such list.
func Columns(item string) []string {
	switch item {
	case usageItem:
		return csvHeader(usageFields())
	case personItem:
		return csvHeader(peopleFields())
	}
	all, err := views()
	if err != nil {
		return nil // Complete says why
	}
	for _, v := range all {
		if v.item == item {
			return csvHeader(v.fields)
		}
	}
	return nil
}

// csvCells is one document's line.
func csvCells(fields []field, doc []byte) ([]string, error) {
	found := make(map[string]jsontext.Value, len(fields))
	err := members(doc, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) })
	if err != nil {
		return nil, err
	}
	var line []string
	for _, f := range fields {
		switch c, raw := f.cells(), found[f.Name]; {
		case c == nil || len(c.names) == 0:
		case len(raw) == 0 || raw.Kind() == 'n':
			line = append(line, make([]string, len(c.names))...)
		default:
			line = append(line, c.cells(raw)...)
		}
	}
	return line, nil
}

// csvKinds are the kinds of a line's cells.
func csvKinds(fields []field) (kinds []projections.Kind) {
	for _, f := range fields {
		switch c := f.cells(); {
		case c == nil:
		case c.kinds != nil:
			kinds = append(kinds, c.kinds...)
		default:
			kinds = append(kinds, make([]projections.Kind, len(c.names))...)
		}
	}
	return kinds
}

// appendHeader appends the header line.
func (c *call) appendHeader(b []byte) []byte {
	if c.sheet {
		b = append(b, byteOrderMark...)
	}
	return AppendCSV(b, csvHeader(c.route.fields))
}

// appendDocs appends a line a document.
func (c *call) appendDocs(b []byte, docs [][]byte) ([]byte, error) {
	kinds := csvKinds(c.route.fields)
	for _, doc := range docs {
		cells, err := csvCells(c.route.fields, doc)
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
