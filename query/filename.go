package query

import (
	"strings"
	"unicode"
)

// namePart bounds what a file's name has of a parameter.
const namePart = 40

// fileName is the name of a list as a file: the list, what narrows it, as for its
// cursors, and the form. Two lists don't overwrite one another where they are saved.
func (c *call) fileName() string {
	name := c.route.noun()
	_, narrowed, _ := strings.Cut(c.key, "\x00")
	for part := range strings.SplitSeq(narrowed, "\x00") {
		param, value, _ := strings.Cut(part, "=")
		if value == "true" {
			value = param
		}
		if value = strings.Trim(strings.Map(plainRune, value), "-."); value != "" {
			name += "_" + value[:min(len(value), namePart)]
		}
	}
	if c.sheet {
		name += "_" + formatSheet
	}
	return name + ".csv"
}

// plainRune is what stands for a character in a file's name, on any system, and in a
// header.
func plainRune(r rune) rune {
	if r < unicode.MaxASCII && (unicode.IsLetter(r) || unicode.IsDigit(r) || r == '.' || r == '-') {
		return r
	}
	return '-'
}

// noun is what a list is of: live-meetings.
func (r *route) noun() string {
	var b strings.Builder
	for i, c := range strings.TrimPrefix(r.id, "list") {
		if i > 0 && unicode.IsUpper(c) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(c))
	}
	return b.String()
}
