package query

import (
	"strconv"
	"strings"
	"time"
	"unicode"
	"unicode/utf16"

	"rollcall/eventlog"
	"rollcall/projections"
)

// The form of a list for spreadsheets: the cells of the CSV, written so that a
// spreadsheet reads each as what it is. Times are those of a time zone,
// durations [h]:mm:ss, shares percent, and texts stay texts.

const (
	formatSheet = "sheet"
	// byteOrderMark says to a spreadsheet that the file is UTF-8.
	byteOrderMark = "\ufeff"
	// maxLiteral is how long a text in a formula may be, in UTF-16 units.
	maxLiteral = 255
)

// appendSheet appends a line. All texts stand in quotes: a spreadsheet that does
// not split at commas has the line as one cell, which may begin with ="…". Where
// it is a formula as a whole, texts are literals in it, or follow one without an
// operator, which is no formula: see sheetText.
func appendSheet(b []byte, kinds []projections.Kind, cells []string, zone *time.Location) []byte {
	for i, c := range cells {
		if i > 0 {
			b = append(b, ',')
		}
		if c == "" {
			continue
		}
		if value, ok := sheetValue(kinds[i], c, zone); ok {
			b = append(b, value...)
			continue
		}
		b = append(b, '"')
		b = append(b, strings.ReplaceAll(sheetText(c), `"`, `""`)...)
		b = append(b, '"')
	}
	return append(b, "\r\n"...)
}

// sheetValue is a value that is no text, as a spreadsheet reads it.
func sheetValue(kind projections.Kind, c string, zone *time.Location) (string, bool) {
	switch kind {
	case projections.KindTime:
		t, ok := eventlog.ParseTime(c)
		return t.Std().In(zone).Format(time.DateTime), ok
	case projections.KindDate:
		_, err := time.Parse(time.DateOnly, c)
		return c, err == nil
	case projections.KindSeconds:
		var d eventlog.Seconds
		err := d.UnmarshalJSON([]byte(c))
		return d.Clock(), err == nil
	case projections.KindRatio:
		x, err := strconv.ParseFloat(c, 64)
		return eventlog.Percent(x) + "%", err == nil
	case projections.KindBool:
		return strings.ToUpper(c), c == "true" || c == "false"
	case projections.KindInteger:
		return c, plainNumber.MatchString(c)
	}
	return "", false
}

// sheetText is a text that stays one. What a spreadsheet makes something else of
// is written as the formula ="…", whose value is that text: an apostrophe in front
// would be shown by Excel, and quotes don't keep a number from being one. What
// begins with an operator gets the apostrophe, numbers apart. A double quote is
// written as two single ones: where a spreadsheet splits a line at another character
// than the comma, it would end the text of a formula that a cell before began.
func sheetText(s string) string {
	s = strings.ReplaceAll(s, `"`, "''")
	number := strings.Trim(s, numberRunes) == ""
	switch {
	case !number && operator(s):
		return "'" + guardParts(s)
	case (number || converted(s)) && len(utf16.Encode([]rune(s))) <= maxLiteral:
		return `="` + guardParts(s) + `"`
	}
	return guardFormulas(s)
}

// numberRunes are those of numbers, telephone numbers and times.
const numberRunes = "0123456789 +-().,/:%"

// operator reports whether a text begins with an operator of formulas, which may
// come after a character that can't be seen. Where a spreadsheet splits
// at another character than the comma, a line's texts can stand in one cell, and what
// begins with one would go on with a formula that another began.
func operator(s string) bool {
	s = strings.TrimLeftFunc(s, func(r rune) bool { return unicode.IsSpace(r) || !unicode.IsGraphic(r) })
	return s != "" && strings.ContainsRune("&*/^<>,;%:!|~()[]{}.'", rune(s[0])) || formula(s, "")
}

// truths are the texts that spreadsheets in several languages take for a truth.
const truths = " TRUE FALSE WAHR FALSCH VRAI FAUX VERDADERO FALSO VERO VERDADEIRO WAAR ONWAAR "

// converted reports whether a spreadsheet may make a number, a date, a truth or
// an error of a text, in any language. It may say so of a text that stays one.
func converted(s string) bool {
	s = strings.TrimSpace(s)
	digit := strings.IndexFunc(s, unicode.IsNumber)
	if digit < 0 {
		return strings.HasPrefix(s, "#") || s != "" && strings.Contains(truths, " "+strings.ToUpper(s)+" ")
	}
	// "Mar 5", "5 Mar", "R5.1.1" and "kr 5" are dates and money; "s1" and "p-1" are not.
	word := strings.IndexFunc(s, func(r rune) bool { return !unicode.IsLetter(r) })
	plain := strings.IndexFunc(s, func(r rune) bool { return r != '-' && r != '_' && !unicode.IsLetter(r) && !unicode.IsNumber(r) }) < 0
	return word == 0 || word > 2 || !plain
}
