package main

import (
	"bytes"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"

	"rollcall/query"
)

// outputFlag chooses the form of data on stdout.
type outputFlag struct {
	Output string `short:"o" help:"Form of the data: table, json or csv." default:"table" enum:"table,json,csv" placeholder:"FORM"`
}

// grid is data in rows: one table, JSON array or CSV file.
type grid struct {
	columns []string // JSON names, like lastEventAt
	rows    [][]any
}

func (g *grid) add(cells ...any) { g.rows = append(g.rows, cells) }

// print writes g in the form that f chose. An empty table says so on the
// terminal only as a header without rows.
func (f outputFlag) print(w io.Writer, g *grid) error {
	switch f.Output {
	case "json":
		return printJSON(w, g.objects())
	case "csv":
		return g.csv(w)
	}
	t := table.NewWriter()
	t.SetStyle(table.StyleLight)
	t.Style().Format.Header = text.FormatDefault
	t.Style().Options.SeparateColumns = false
	t.Style().Options.DrawBorder = false
	header := make(table.Row, len(g.columns))
	for i, c := range g.columns {
		header[i] = title(c)
	}
	t.AppendHeader(header)
	for _, cells := range g.rows {
		row := make(table.Row, len(cells))
		for i, cell := range cells {
			row[i] = human(cell)
		}
		t.AppendRow(row)
	}
	_, err := fmt.Fprintln(w, t.Render())
	return err
}

// documentFlag chooses the form of documents, which are JSON by nature.
type documentFlag struct {
	Output string `short:"o" help:"Form of the data: json (as it is stored), table or csv; these have lists as their length." default:"json" enum:"json,table,csv" placeholder:"FORM"`
}

// addDocument adds a document as a row, behind cells that stand before it. The
// first one's members are the columns.
func (g *grid) addDocument(doc []byte, before ...any) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(doc, &members); err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	if len(g.columns) == len(before) {
		if err := g.addColumns(doc); err != nil {
			return fmt.Errorf("read document: %w", err)
		}
	}
	row := before
	for _, name := range g.columns[len(before):] {
		row = append(row, cell(members[name]))
	}
	g.add(row...)
	return nil
}

// addColumns adds the names of a document's members, in their order.
func (g *grid) addColumns(doc []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		g.columns = append(g.columns, name.String())
		if err := dec.SkipValue(); err != nil {
			return err
		}
	}
	return nil
}

// object is a row that keeps the order of its members.
type object struct {
	names  []string
	values []any
}

// MarshalJSONTo writes the members in their order.
func (o object) MarshalJSONTo(e *jsontext.Encoder) error {
	if err := e.WriteToken(jsontext.BeginObject); err != nil {
		return err
	}
	for i, n := range o.names {
		if err := e.WriteToken(jsontext.String(n)); err != nil {
			return err
		}
		if err := json.MarshalEncode(e, o.values[i]); err != nil {
			return err
		}
	}
	return e.WriteToken(jsontext.EndObject)
}

func (g *grid) objects() []object {
	out := make([]object, len(g.rows))
	for i, r := range g.rows {
		out[i] = object{g.columns, r}
	}
	return out
}

func printJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// printLine writes v as one line of JSON.
func printLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// csv writes g by the encoder that the read API has.
func (g *grid) csv(w io.Writer) error {
	var b []byte
	if len(g.columns) > 0 {
		b = query.AppendCSV(b, g.columns)
	}
	for _, cells := range g.rows {
		row := make([]string, len(cells))
		for i, cell := range cells {
			row[i] = cellText(cell)
		}
		b = query.AppendCSV(b, row)
	}
	_, err := w.Write(b)
	return err
}

// csvRows writes rows without a header, for data that comes one by one.
func (g *grid) csvRows(w io.Writer) error { return (&grid{rows: g.rows}).csv(w) }

// cellText is a cell for machines.
func cellText(cell any) string {
	switch v := cell.(type) {
	case nil:
		return ""
	case string:
		return v
	case time.Time:
		return v.UTC().Format(time.RFC3339Nano)
	case float64:
		return strconv.FormatFloat(v, 'f', -1, 64)
	case fmt.Stringer:
		return v.String()
	}
	return fmt.Sprint(cell)
}

// human is a cell for people: control characters shown, not obeyed.
func human(cell any) string {
	switch v := cell.(type) {
	case nil:
		return "-"
	case time.Time:
		return v.UTC().Format("2006-01-02 15:04:05Z")
	case time.Duration:
		return v.Round(time.Millisecond).String()
	case float64:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return printable(cellText(cell))
}

// printable replaces what a terminal would act on: control characters, and the
// invisible ones that reorder or hide text.
func printable(s string) string {
	safe := func(r rune) bool {
		return r == ' ' || unicode.IsGraphic(r) && !unicode.Is(unicode.Zs, r) && r != unicode.ReplacementChar
	}
	if strings.IndexFunc(s, func(r rune) bool { return !safe(r) }) < 0 {
		return s
	}
	var b strings.Builder
	for _, r := range s {
		if safe(r) {
			b.WriteRune(r)
			continue
		}
		q := strconv.QuoteRuneToASCII(r)
		b.WriteString(q[1 : len(q)-1])
	}
	return b.String()
}

// title turns lastEventAt into "Last event at".
func title(column string) string {
	var b strings.Builder
	for i, r := range column {
		switch {
		case i == 0:
			b.WriteRune(unicode.ToUpper(r))
		case unicode.IsUpper(r):
			b.WriteByte(' ')
			b.WriteRune(unicode.ToLower(r))
		default:
			b.WriteRune(r)
		}
	}
	return b.String()
}
