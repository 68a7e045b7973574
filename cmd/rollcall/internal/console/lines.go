package console

import (
	"io"
	"slices"
	"strings"
)

// Line is a line of text for a writer. On a terminal, text that has no room
// beside the label goes on in the next lines, indented.
func (f TableFlags) Line(w io.Writer, label, said string) string {
	return tableOf(w, f).line(label, said)
}

func (t form) line(label, said string) string {
	indent := widthOf(label)
	if t.width <= 0 || indent+widthOf(said) <= t.width {
		return label + said + "\n"
	}
	if indent > t.width/2 {
		label, said, indent = "", label+said, 0
	}
	return label + strings.Join(lines(said, t.width-indent), "\n"+strings.Repeat(" ", indent)) + "\n"
}

// Stream is a table whose rows come one by one. Its columns are as wide as those of
// rows that are expected.
type Stream struct {
	form
	columns []column
	at      []int // where in a row each column's cell is
	w       io.Writer
}

// Stream writes the head of a table whose rows look like those of g.
func (f TableFlags) Stream(w, end io.Writer, g *Grid) (*Stream, error) {
	s := &Stream{form: tableOf(end, f), w: w}
	s.columns, _ = s.fit(g, s.form.columns(g))
	if last := &s.columns[len(s.columns)-1]; s.width > 0 {
		last.width = last.room() - s.over(s.columns) // it has the rest of the line
	}
	for _, c := range s.columns {
		s.at = append(s.at, slices.Index(g.Columns, c.name))
	}
	var b strings.Builder
	s.write(&b, s.columns, 0)
	_, err := io.WriteString(w, b.String())
	return s, err
}

// Add writes a row. On a terminal what is wider than expected is cut.
func (s *Stream) Add(cells ...any) error {
	var b strings.Builder
	for i, c := range s.columns {
		cell, _ := s.text(c.name, cells[s.at[i]])
		if c.short {
			cell = c.abbreviated(cell)
		}
		room := c.room()
		if s.width > 0 && widthOf(cell) > room {
			cell = snipped(cell, room)
		}
		b.WriteString(" " + cell + " ")
		if i < len(s.columns)-1 {
			b.WriteString(strings.Repeat(" ", max(room-widthOf(cell), 0)))
		}
	}
	_, err := io.WriteString(s.w, b.String()+"\n")
	return err
}
