package console

import (
	"slices"
	"strings"
	"unicode/utf8"

	"github.com/jedib0t/go-pretty/v6/text"
)

const (
	// shortID is how much is shown of an id longer than longID where a row would
	// not fit.
	shortID = 8
	longID  = 12
	// leastApart is how much is shown of what differs: the widest sign.
	leastApart = 2
	// Texts that don't fit are cut, evenly, to no less than leastText.
	leastText = 16
	// gap is what stands around a cell.
	gap = 2
)

// column is a column of a table as texts. Each cell is measured once: where it is to
// be cut is worked out by the widths alone.
type column struct {
	name   string
	title  []string // its lines
	cells  []string
	widths []int // of the cells
	width  int   // of the widest cell, cut as it will be
	to     int   // what cells that are longer will be cut to; 0: none will
	// short: its ids are abbreviated. They are kept here, for all tries to fit them.
	short bool
	brief *column
	// apart is how much of each part of an id tells it from the others; none: not known.
	apart []int
}

// set sets a cell.
func (c *column) set(i int, cell string) {
	c.cells[i], c.widths[i] = cell, widthOf(cell)
	c.width = max(c.width, c.widths[i])
}

// widthOf is how wide a text is on a terminal.
func widthOf(s string) int {
	for i := range len(s) {
		if s[i] < ' ' || s[i] > '~' {
			return text.StringWidth(s)
		}
	}
	return len(s)
}

func longest(texts []string) (w int) {
	for _, s := range texts {
		w = max(w, widthOf(s))
	}
	return w
}

// snipped is a text cut to a width, which it says by its last sign.
func snipped(s string, to int) string {
	s = text.Trim(s, to-1)
	for widthOf(s) > to-1 { // signs that are wider together than one by one
		_, n := utf8.DecodeLastRuneInString(s)
		s = s[:len(s)-n]
	}
	return s + "…"
}

// lines puts the words of a text on lines of at most a width, and breaks those that
// are wider.
func lines(said string, width int) (all []string) {
	words := strings.Split(said, " ")
	line := words[0]
	for _, word := range words[1:] {
		if widthOf(line)+1+widthOf(word) <= width {
			line += " " + word
			continue
		}
		all, line = append(all, broken(line, width)...), word
	}
	return append(all, broken(line, width)...)
}

// broken breaks a word that is wider than a line. It looks at a line's worth at a time:
// a word may be a document.
func broken(word string, width int) (all []string) {
	for {
		part := beginning(word, 8*width+64)
		if part == word && widthOf(word) <= width {
			return append(all, word)
		}
		head := strings.TrimSuffix(snipped(part, width+1), "…")
		if head == "" { // one sign is wider
			_, n := utf8.DecodeRuneInString(word)
			head = word[:n]
		}
		all, word = append(all, head), word[len(head):]
	}
}

// beginning is as much of a text as so many bytes hold.
func beginning(s string, most int) string {
	if len(s) <= most {
		return s
	}
	for most > 1 && !utf8.RuneStart(s[most]) {
		most--
	}
	return s[:most]
}

// room is what a column takes, without the gap.
func (c *column) room() int { return max(c.width, longest(c.title)) }

// words are those of the title.
func (c *column) words() []string { return strings.Fields(strings.Join(c.title, " ")) }

// ids reports whether a column has ids, which are known by their beginning.
func ids(name string) bool {
	return strings.HasSuffix(name, "Id") || slices.Contains([]string{"session", "key", "entity", "sha256"}, name)
}

// parts are the ids that a cell has: a key has several.
func (c *column) parts(id string) []string {
	if c.name == "key" {
		return strings.Split(id, ".")
	}
	return []string{id}
}

// abbreviated is an id as a narrow terminal has it.
func (c *column) abbreviated(id string) string {
	parts := c.parts(id)
	for i, p := range parts {
		to := shortID
		if i < len(c.apart) {
			to = c.apart[i]
		}
		if widthOf(p) > max(longID, to+1) {
			parts[i] = snipped(p, to+1)
		}
	}
	return strings.Join(parts, ".")
}

// tellApart works out how much of an id has to be shown: ids of which one is to be
// chosen must not look the same.
func (c *column) tellApart() {
	var each [][]string
	for _, id := range c.cells {
		for i, p := range c.parts(id) {
			if i == len(each) {
				each = append(each, nil)
			}
			each[i] = append(each[i], p)
		}
	}
	c.apart = nil
	for _, list := range each {
		slices.Sort(list)
		to := shortID
		for i, id := range list[1:] {
			if before := list[i]; id != before {
				to = max(to, widthOf(alike(before, id))+leastApart)
			}
		}
		c.apart = append(c.apart, to)
	}
}

// alike is the beginning that two texts share.
func alike(a, b string) string {
	n := 0
	for n < min(len(a), len(b)) && a[n] == b[n] {
		n++
	}
	return beginning(a, n)
}

// abbreviate makes ids short.
func (c *column) abbreviate() {
	if c.brief.cells == nil {
		c.tellApart()
		c.brief.cells, c.brief.widths = make([]string, len(c.cells)), make([]int, len(c.cells))
		for i, id := range c.cells {
			c.brief.set(i, c.abbreviated(id))
		}
	}
	c.short, c.cells, c.widths, c.width = true, c.brief.cells, c.brief.widths, c.brief.width
}

// fit makes the rows no wider than the terminal: titles take several lines, ids
// get short, long texts are cut, and at last columns are left out, which it
// returns. What is left then has the room of those that went.
func (t form) fit(g *Grid, all []column) (fits []column, left []string) {
	if t.width <= 0 {
		return all, nil
	}
	for {
		fits = slices.Clone(all)
		t.narrow(fits, func(c *column) bool { return c.short || g.fixed(c.name) })
		i := g.least(all)
		if i < 0 && t.over(fits) > 0 { // what should stay whole is too wide alone
			for i := range fits {
				fits[i].title = fits[i].words()
			}
			t.narrow(fits, func(*column) bool { return false })
			i = len(all) - 1
		}
		if t.over(fits) <= 0 || len(all) == 1 {
			break
		}
		left = append(left, strings.Join(all[i].title, " "))
		all = slices.Delete(all, i, i+1)
	}
	for i := range fits {
		c := &fits[i]
		if slices.Contains(g.Whole, c.name) && (c.short || c.to > 0) {
			left = append(left, "parts of "+strings.Join(c.title, " "))
		}
		c.apply()
	}
	return fits, left
}

// apply cuts the cells.
func (c *column) apply() {
	if c.to == 0 {
		return
	}
	c.cells, c.widths = slices.Clone(c.cells), slices.Clone(c.widths)
	for i, w := range c.widths {
		if w > c.to {
			c.set(i, snipped(c.cells[i], c.to))
		}
	}
}

// least is the column that is missed least: one that says so, else the last; -1:
// all are needed.
func (g *Grid) least(all []column) int {
	if len(all) == 1 {
		return -1
	}
	for _, name := range g.Least {
		if i := slices.IndexFunc(all, func(c column) bool { return c.name == name }); i >= 0 {
			return i
		}
	}
	for i := len(all) - 1; i >= 0; i-- {
		if !slices.Contains(g.Whole, all[i].name) {
			return i
		}
	}
	return -1
}

// fixed reports whether a column's values say nothing when they are cut.
func (g *Grid) fixed(name string) bool {
	_, measure := duration(name)
	return measure || strings.HasSuffix(name, "At") || name == "time" || name == "day" || name == "state" || name == "status" || slices.Contains(g.Whole, name)
}

// narrow makes columns narrower until the rows fit, or nothing helps.
func (t form) narrow(all []column, fixed func(c *column) bool) {
	t.wrap(all)
	for i := range all {
		if c := &all[i]; ids(c.name) && !fixed(c) && t.over(all) > 0 && c.width > longID {
			c.abbreviate()
		}
	}
	t.wrap(all)
	for over := t.over(all); over > 0; over = t.over(all) {
		widest, at := leastText, -1
		for i, c := range all {
			if c.width > max(widest, longest(c.title)) && !fixed(&all[i]) {
				widest, at = c.width, i
			}
		}
		if at < 0 {
			return
		}
		all[at].to = max(widest-over, leastText, widest/2)
		all[at].width = all[at].to
		t.wrap(all)
	}
}

// wrap gives titles that are wider than their cells several lines.
func (t form) wrap(all []column) {
	for i := range all {
		if c := &all[i]; t.over(all) > 0 {
			words := c.words()
			c.title = lines(strings.Join(words, " "), max(c.width, longest(words)))
		}
	}
}

// over is by how much the rows are wider than the terminal.
func (t form) over(all []column) int {
	wide := 0
	for i := range all {
		wide += gap + all[i].room()
	}
	return wide - t.width
}
