package console

import (
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/jedib0t/go-pretty/v6/text"
	"golang.org/x/term"

	"rollcall/eventlog"
)

// TableFlags choose how a table shows what it has. The variable timezone says what
// else a command uses its time zone for.
type TableFlags struct {
	Wide     bool `help:"Tables with all columns and whole ids, however wide the terminal."`
	UTC      bool `name:"utc" help:"Times in tables in UTC, whatever the time zone."`
	Timezone Zone `help:"${timezone=Time zone of the times in tables, like Europe/Berlin; the local one by default.}" placeholder:"NAME"`
}

// form is how a table is drawn. width 0 has room for everything.
type form struct {
	width int
	zone  *time.Location
	color bool
}

// tableOf is the form for a writer: that of its terminal, or of COLUMNS. What
// goes elsewhere has everything, for whoever searches in it.
func tableOf(w io.Writer, f TableFlags) form {
	t := form{zone: f.zone(), color: !noColor(w)}
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
	fits, left := t.fit(g, t.columns(g))
	var b strings.Builder
	t.write(&b, fits, len(g.Rows))
	if len(left) > 0 {
		b.WriteString(t.line("", "Left out: "+strings.Join(left, ", ")+" (--wide shows all)"))
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// write writes titles, a line and the rows.
func (t form) write(b *strings.Builder, columns []column, rows int) {
	high, wide, rooms := 1, 0, make([]int, len(columns))
	for i, c := range columns {
		rooms[i] = c.room()
		high, wide = max(high, len(c.title)), wide+rooms[i]+gap
	}
	blank := strings.Repeat(" ", wide)
	put := func(i int, cell string, width int) {
		b.WriteByte(' ')
		b.WriteString(cell)
		b.WriteString(blank[:rooms[i]-width+1])
	}
	for line := range high {
		for i, c := range columns {
			title := ""
			if line < len(c.title) {
				title = c.title[line]
			}
			put(i, title, widthOf(title))
		}
		b.WriteByte('\n')
	}
	b.WriteString(strings.Repeat("─", wide) + "\n")
	for line := range rows {
		for i, c := range columns {
			cell := c.cells[line]
			if t.color && (c.name == "state" || c.name == "status") {
				cell = colored(cell)
			}
			put(i, cell, c.widths[line])
		}
		b.WriteByte('\n')
	}
}

// columns are those of g as texts.
func (t form) columns(g *Grid) []column {
	all := make([]column, len(g.Columns))
	for i, name := range g.Columns {
		c := column{name: name, cells: make([]string, len(g.Rows)), widths: make([]int, len(g.Rows)), brief: &column{}}
		var zones []string
		for j, row := range g.Rows {
			cell, zone := t.text(name, row[i])
			c.set(j, cell)
			if zone != "" && !slices.Contains(zones, zone) {
				zones = append(zones, zone)
			}
		}
		words := title(name)
		if zones != nil {
			words += " (" + strings.Join(zones, "/") + ")"
		}
		c.title = []string{words}
		all[i] = c
	}
	return all
}

// text is a cell, and the zone of the time that it holds; "": it holds none.
func (t form) text(name string, cell any) (shows, zone string) {
	at, isTime := timeOf(name, cell)
	if !isTime {
		return shown(name, cell), ""
	}
	at = at.In(t.zone)
	zone, _ = at.Zone()
	return at.Format(time.DateTime), zone
}

// timeOf is the time that a cell holds: as one, or as JSON has it.
func timeOf(name string, cell any) (time.Time, bool) {
	switch v := cell.(type) {
	case time.Time:
		return v, true
	case eventlog.Time:
		return v.Std(), true
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
	if name == "seconds" {
		return "duration", true
	}
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
			return eventlog.Percent(x) + " %"
		}
	}
	return human(cell)
}

// colors are those of states.
var colors = map[string]text.Color{
	"LIVE": text.FgGreen, "live": text.FgGreen, "ready": text.FgGreen, "UPLOADED": text.FgGreen,
	"ERRORED": text.FgRed, "absent": text.FgRed, "lost": text.FgRed, "failed": text.FgRed,
	"catching-up": text.FgYellow, "RECORDING": text.FgYellow, "UPLOADING": text.FgYellow, "staging": text.FgYellow,
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
