package console

import (
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"rollcall/eventlog"
)

// TableFlags choose how a table shows what it has.
type TableFlags struct {
	Wide bool `help:"Tables with all columns and whole ids, however wide the terminal."`
	UTC  bool `name:"utc" help:"Times in tables in UTC, not in the local time zone."`
}

const (
	// shortID is how much is shown of an id longer than longID where a row would
	// not fit.
	shortID = 8
	longID  = 12
	// Texts that don't fit are cut, evenly, to no less than leastText.
	leastText = 10
	// gap is what go-pretty puts around a cell.
	gap = 2
)

// form is how a table is drawn. width 0 has room for everything.
type form struct {
	width int
	zone  *time.Location
	color bool
}

// tableOf is the form for a writer: that of its terminal, or of COLUMNS. What
// goes elsewhere has everything, for whoever searches in it.
func tableOf(w io.Writer, f TableFlags) form {
	t := form{zone: time.Local, color: !noColor(w)}
	if f.UTC {
		t.zone = time.UTC
	}
	if f.Wide {
		return t
	}
	t.width, _ = strconv.Atoi(os.Getenv("COLUMNS")) // 0 where it is no number
	if file, ok := w.(*os.File); ok && t.width == 0 && IsTerminal(w) {
		t.width, _, _ = term.GetSize(int(file.Fd())) // 0 where it has none
	}
	return t
}

// Draw writes g as a table that fits another writer, to which w goes in the end.
func (f TableFlags) Draw(w io.Writer, g *Grid, end io.Writer) error {
	return tableOf(end, f).print(w, g)
}

// print writes g.
func (t form) print(w io.Writer, g *Grid) error {
	fits, left := t.fit(g, t.cells(g))
	out := table.NewWriter()
	out.SetStyle(table.StyleLight)
	out.Style().Format.Header = text.FormatDefault
	out.Style().Options.SeparateColumns = false
	out.Style().Options.DrawBorder = false
	out.AppendHeader(row(fits.names))
	for _, line := range fits.lines {
		for i, name := range fits.columns {
			if t.color && (name == "state" || name == "status") {
				line[i] = colored(line[i])
			}
		}
		out.AppendRow(row(line))
	}
	_, err := fmt.Fprintln(w, out.Render())
	if err == nil && len(left) > 0 {
		_, err = fmt.Fprintln(w, text.WrapSoft("Left out: "+strings.Join(left, ", ")+" (--wide shows all)", t.width))
	}
	return err
}

func row(cells []string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = c
	}
	return r
}

// cells are the titles and the rows as texts.
func (t form) cells(from *Grid) grid {
	g := grid{columns: slices.Clone(from.Columns)}
	zones := make([][]string, len(from.Columns))
	for _, cells := range from.Rows {
		line := make([]string, len(from.Columns))
		for i, name := range from.Columns {
			at, isTime := timeOf(name, cells[i])
			if !isTime {
				line[i] = shown(name, cells[i])
				continue
			}
			at = at.In(t.zone)
			line[i] = at.Format(time.DateTime)
			if zone, _ := at.Zone(); !slices.Contains(zones[i], zone) {
				zones[i] = append(zones[i], zone)
			}
		}
		g.lines = append(g.lines, line)
	}
	for i, c := range from.Columns {
		g.names = append(g.names, title(c))
		if zones[i] != nil {
			g.names[i] += " (" + strings.Join(zones[i], "/") + ")"
		}
	}
	return g
}

// timeOf is the time that a cell holds: as one, or as JSON has it.
func timeOf(name string, cell any) (time.Time, bool) {
	switch v := cell.(type) {
	case time.Time:
		return v, true
	case string:
		if t, ok := eventlog.ParseTime(v); ok && (strings.HasSuffix(name, "At") || name == "time") {
			return t.Std(), true
		}
	}
	return time.Time{}, false
}

// duration is the name without its unit of a column that is shown as h:mm:ss.
// How far and how long something here is stays a number, as it may be a fraction.
func duration(name string) (measure string, ok bool) {
	measure, ok = strings.CutSuffix(name, "Seconds")
	return measure, ok && measure != "lag" && measure != "elapsed"
}

// shown is any other cell.
func shown(name string, cell any) string {
	switch v := cell.(type) {
	case float64:
		if _, ok := duration(name); ok {
			return eventlog.Seconds(v * 1e6).Clock()
		}
	case string:
		x, err := strconv.ParseFloat(v, 64)
		switch _, ok := duration(name); {
		case err != nil:
		case ok:
			return eventlog.Seconds(x * 1e6).Clock()
		case strings.HasSuffix(name, "Ratio"):
			return strconv.FormatFloat(100*x, 'f', 1, 64) + " %"
		}
	}
	return Human(cell)
}

// fit makes the rows no wider than the terminal: titles take several lines, ids
// get short, long texts are cut, and at last columns are left out, which it
// returns. What is left then has the room of those that went.
func (t form) fit(g *Grid, whole grid) (fits grid, left []string) {
	if t.width <= 0 {
		return whole, nil
	}
	for {
		fits = whole.clone()
		t.narrow(&fits)
		if t.over(&fits) <= 0 || len(whole.columns) < 2 {
			return fits, left
		}
		i := least(g, whole.columns)
		left = append(left, whole.names[i])
		whole.remove(i)
	}
}

// grid is a table as texts.
type grid struct {
	columns, names []string
	lines          [][]string
}

func (g grid) clone() grid {
	lines := make([][]string, len(g.lines))
	for i, line := range g.lines {
		lines[i] = slices.Clone(line)
	}
	return grid{slices.Clone(g.columns), slices.Clone(g.names), lines}
}

func (g *grid) remove(i int) {
	*g = g.clone()
	g.columns, g.names = slices.Delete(g.columns, i, i+1), slices.Delete(g.names, i, i+1)
	for j := range g.lines {
		g.lines[j] = slices.Delete(g.lines[j], i, i+1)
	}
}

// least is the column that is missed least: one that says so, else the last.
func least(g *Grid, head []string) int {
	for _, name := range g.Least {
		if i := slices.Index(head, name); i >= 0 {
			return i
		}
	}
	return len(head) - 1
}

// narrow makes columns narrower until the rows fit, or nothing helps.
func (t form) narrow(g *grid) {
	t.wrap(g)
	for i, name := range g.columns {
		if id := strings.HasSuffix(name, "Id") || name == "session"; id && t.over(g) > 0 && g.width(i) > longID {
			g.cut(i, longID, shortID+1)
		}
	}
	t.wrap(g)
	for over := t.over(g); over > 0; over = t.over(g) {
		widest, at := leastText, -1
		for i := range g.columns {
			if w := g.width(i); w > max(widest, longest(strings.Split(g.names[i], "\n"))) && !fixed(g.columns[i]) {
				widest, at = w, i
			}
		}
		if at < 0 {
			return
		}
		to := max(widest-over, leastText, widest/2)
		g.cut(at, to, to)
	}
}

// wrap gives titles that are wider than their cells several lines.
func (t form) wrap(g *grid) {
	for i, name := range g.names {
		if t.over(g) > 0 {
			g.names[i] = text.WrapSoft(name, max(g.width(i), longest(strings.Fields(name))))
		}
	}
}

// fixed reports whether a column's values say nothing when they are cut.
func fixed(name string) bool {
	_, measure := duration(name)
	return measure || strings.HasSuffix(name, "At") || name == "day" || name == "state" || name == "status"
}

// over is by how much the rows are wider than the terminal.
func (t form) over(g *grid) int {
	all := 0
	for i, name := range g.names {
		all += gap + max(longest(strings.Split(name, "\n")), g.width(i))
	}
	return all - t.width
}

func longest(texts []string) (w int) {
	for _, s := range texts {
		w = max(w, text.StringWidth(s))
	}
	return w
}

// width is that of a column's widest cell.
func (g *grid) width(i int) (w int) {
	for _, line := range g.lines {
		w = max(w, text.StringWidth(line[i]))
	}
	return w
}

// cut shortens cells of a column that are longer than a width.
func (g *grid) cut(i, longer, to int) {
	for _, line := range g.lines {
		if text.StringWidth(line[i]) > longer {
			line[i] = text.Snip(line[i], to, "…")
		}
	}
}

// colors are those of states.
var colors = map[string]text.Color{
	"LIVE": text.FgGreen, "live": text.FgGreen, "ready": text.FgGreen, "UPLOADED": text.FgGreen, "active": text.FgGreen,
	"ERRORED": text.FgRed, "absent": text.FgRed, "lost": text.FgRed, "failed": text.FgRed,
	"catching-up": text.FgYellow, "RECORDING": text.FgYellow, "UPLOADING": text.FgYellow, "building": text.FgYellow,
}

// colored gives a state its color. The sequences are written whatever the
// program's other streams are: the form has said that there is a terminal.
func colored(state string) string {
	c, ok := colors[state]
	if !ok {
		return state
	}
	return c.EscapeSeq() + state + text.Reset.EscapeSeq()
}

// title turns lastEventAt into "Last event at", and durationSeconds, which is
// shown as a duration, into "Duration".
func title(column string) string {
	if measure, ok := duration(column); ok {
		column = measure
		if column != "duration" {
			column += "Time"
		}
	}
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
