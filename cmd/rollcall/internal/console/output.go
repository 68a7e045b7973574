package console

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

	"rollcall/query"
)

// OutputFlag chooses the form of data on stdout. The variables forms and formsHelp are
// for commands that have more of them.
type OutputFlag struct {
	Output string `short:"o" help:"Output format: ${formsHelp=table, json or csv}." default:"table" enum:"${forms=table,json,csv}" placeholder:"FORM"`
	TableFlags
}

// Grid is data in rows: one table, JSON array or CSV file.
type Grid struct {
	Columns []string // JSON names, like lastEventAt
	Rows    [][]any
	// Least are columns that a narrow terminal does without, the first one first.
	Least []string
	// Whole are columns that are never left out, and not cut where there is another
	// way: what is said there is passed on to another command.
	Whole []string
}

// Add adds a row.
func (g *Grid) Add(cells ...any) { g.Rows = append(g.Rows, cells) }

// Print writes g in the form that f chose. An empty table says so on the
// terminal only as a header without rows.
func (f OutputFlag) Print(w io.Writer, g *Grid) error {
	switch f.Output {
	case "json":
		return PrintJSON(w, g.objects())
	case "csv":
		return g.CSV(w)
	}
	return f.Draw(w, g, w)
}

// DocumentFlag chooses the form of documents, which are JSON by nature.
type DocumentFlag struct {
	Output string `short:"o" help:"Output format: json (as it is stored), table or csv, which show how long a list is." default:"json" enum:"json,table,csv" placeholder:"FORM"`
	TableFlags
}

// AddDocument adds a document as a row, after the given cells. The
// first one's members are the columns.
func (g *Grid) AddDocument(doc []byte, before ...any) error {
	var members map[string]jsontext.Value
	if err := json.Unmarshal(doc, &members); err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	if len(g.Columns) == len(before) {
		if err := g.addColumns(doc); err != nil {
			return fmt.Errorf("read document: %w", err)
		}
	}
	row := before
	for _, name := range g.Columns[len(before):] {
		row = append(row, Cell(members[name]))
	}
	g.Add(row...)
	return nil
}

// addColumns adds the names of a document's members, in their order.
func (g *Grid) addColumns(doc []byte) error {
	dec := jsontext.NewDecoder(bytes.NewReader(doc))
	if _, err := dec.ReadToken(); err != nil {
		return err
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return err
		}
		g.Columns = append(g.Columns, name.String())
		if err := dec.SkipValue(); err != nil {
			return err
		}
	}
	return nil
}

// Cell is a JSON value in a table: lists as their length, objects as JSON.
func Cell(v jsontext.Value) any {
	switch v.Kind() {
	case 0, 'n':
		return nil
	case '"':
		return JSONText(v)
	case '[':
		var list []jsontext.Value
		_ = json.Unmarshal(v, &list) // it was decoded once already
		return len(list)
	}
	return string(v)
}

// JSONText is a value that is a text; "" where it is none, or is absent.
func JSONText(v jsontext.Value) (s string) {
	_ = json.Unmarshal(v, &s)
	return s
}

// Object is a row that keeps the order of its members.
type Object struct {
	names  []string
	values []any
}

// MarshalJSONTo writes the members in their order.
func (o Object) MarshalJSONTo(e *jsontext.Encoder) error {
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

func (g *Grid) objects() []Object {
	out := make([]Object, len(g.Rows))
	for i, r := range g.Rows {
		out[i] = Object{g.Columns, r}
	}
	return out
}

// PrintJSON writes v as indented JSON.
func PrintJSON(w io.Writer, v any) error {
	b, err := json.Marshal(v, jsontext.WithIndent("  "))
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// PrintLine writes v as one line of JSON.
func PrintLine(w io.Writer, v any) error {
	b, err := json.Marshal(v)
	if err != nil {
		return fmt.Errorf("encode output: %w", err)
	}
	_, err = w.Write(append(b, '\n'))
	return err
}

// CSV writes g by the encoder that the read API has.
func (g *Grid) CSV(w io.Writer) error {
	var b []byte
	if len(g.Columns) > 0 {
		b = query.AppendCSV(b, g.Columns)
	}
	for _, cells := range g.Rows {
		row := make([]string, len(cells))
		for i, cell := range cells {
			row[i] = cellText(cell)
		}
		b = query.AppendCSV(b, row)
	}
	_, err := w.Write(b)
	return err
}

// CSVRows writes rows without a header, for data that comes one by one.
func (g *Grid) CSVRows(w io.Writer) error { return (&Grid{Rows: g.Rows}).CSV(w) }

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

// human is a cell for people that holds no time: control characters are shown, not
// acted on.
func human(cell any) string {
	switch v := cell.(type) {
	case nil:
		return "-"
	case time.Duration:
		return v.Round(time.Millisecond).String()
	case float64:
		return strconv.FormatFloat(v, 'f', 2, 64)
	}
	return Printable(cellText(cell))
}

// Printable replaces what a terminal would act on: control characters, and the
// invisible ones that reorder or hide text.
func Printable(s string) string {
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

// ShellWord is a text as one word of a shell's command line.
func ShellWord(s string) string {
	plain := func(r rune) bool {
		return 'a' <= r && r <= 'z' || 'A' <= r && r <= 'Z' || '0' <= r && r <= '9' || strings.ContainsRune("_./-+,:@%", r)
	}
	if s != "" && strings.IndexFunc(s, func(r rune) bool { return !plain(r) }) < 0 {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}

// Round leaves three decimals, as many as output has.
func Round(v float64) float64 { return float64(int64(v*1000+0.5)) / 1000 }
