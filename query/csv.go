package query

import (
	"slices"
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// The CSV form of a list: RFC 4180 with a header line, UTF-8, times as in JSON.
// The API and `rollcall report` share it.

// csvHeader is the header line's cells for documents with these fields.
func csvHeader(fields []field) []string {
	var cells []string
	for _, f := range fields {
		switch {
		case f.optional:
		case f.scalar():
			cells = append(cells, f.name)
		case f.csv != nil:
			cells = append(cells, f.csv.names...)
		}
	}
	return cells
}

// csvCells is one document's line.
func csvCells(fields []field, doc []byte) ([]string, error) {
	found := make(map[string]jsontext.Value, len(fields))
	err := members(doc, func(name string, value jsontext.Value) { found[name] = slices.Clone(value) })
	if err != nil {
		return nil, err
	}
	var cells []string
	for _, f := range fields {
		raw := found[f.name]
		switch {
		case f.optional:
		case f.scalar():
			cells = append(cells, rawCell(raw)...)
		case f.csv == nil:
		case len(raw) == 0 || raw.Kind() == 'n':
			cells = append(cells, make([]string, len(f.csv.names))...)
		default:
			cells = append(cells, f.csv.cells(raw)...)
		}
	}
	return cells, nil
}

// appendCSV appends the whole file.
func appendCSV(b []byte, fields []field, docs [][]byte) ([]byte, error) {
	b = appendLine(b, csvHeader(fields))
	for _, doc := range docs {
		cells, err := csvCells(fields, doc)
		if err != nil {
			return nil, err
		}
		b = appendLine(b, cells)
	}
	return b, nil
}

func appendLine(b []byte, cells []string) []byte {
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		b = AppendCell(b, c)
	}
	return append(b, "\r\n"...)
}

// AppendCell appends one CSV cell, quoted where it must be. A text that a
// spreadsheet would take for a formula gets an apostrophe in front.
func AppendCell(b []byte, s string) []byte {
	if formula(s) {
		s = "'" + s
	}
	if !strings.ContainsAny(s, "\",\r\n") {
		return append(b, s...)
	}
	b = append(b, '"')
	b = append(b, strings.ReplaceAll(s, `"`, `""`)...)
	return append(b, '"')
}

// formula reports whether a spreadsheet may compute s. Spreadsheets skip white
// space and control characters in front, and take full-width signs too.
func formula(s string) bool {
	if s != "" && strings.ContainsRune("\t\r\n\x00", rune(s[0])) {
		return true
	}
	s = strings.TrimLeft(s, "\x00 \t\r\n\v\f\u00a0\u200b\u3000\ufeff")
	if s == "" {
		return false
	}
	first := []rune(s[:min(len(s), 4)])[0]
	return strings.ContainsRune("=+-@＝＋－＠", first)
}
