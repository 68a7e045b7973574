package chart

import (
	"encoding/xml"
	"fmt"
	"strings"
	"time"
	"unicode"
	"unicode/utf8"
)

// blanks are letters that show nothing.
var blanks = map[rune]bool{0x034F: true, 0x115F: true, 0x1160: true, 0x2800: true, 0x3164: true, 0xFFA0: true}

// Visible returns a text with every character that can't be seen, or that turns
// a line's direction, as [U+XXXX]; bytes that are no UTF-8 likewise. A joiner
// within an emoji stays. Texts are cut after limit characters.
func Visible(s string, limit int) string {
	var b strings.Builder
	runes := []rune(s)
	if !utf8.ValidString(s) {
		runes = []rune(strings.ToValidUTF8(s, "\x00"))
	}
	for i, r := range runes {
		if i >= limit {
			fmt.Fprintf(&b, "[… %d more]", len(runes)-limit)
			break
		}
		joiner := r == 0x200D && i > 0 && i+1 < len(runes) && pictured(runes[i-1]) && pictured(runes[i+1])
		if !joiner && (unicode.In(r, unicode.Cc, unicode.Cf, unicode.Cs, unicode.Co, unicode.Zl, unicode.Zp) || blanks[r]) {
			fmt.Fprintf(&b, "[U+%04X]", r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// pictured reports whether a joiner may stand beside r: emoji, their selector and skin tones.
func pictured(r rune) bool {
	return unicode.Is(unicode.So, r) || r == 0xFE0F || r >= 0x1F3FB && r <= 0x1F3FF
}

// escape makes a text safe inside an element or attribute.
func escape(s string) string {
	var b strings.Builder
	_ = xml.EscapeText(&b, []byte(s)) // a strings.Builder takes everything
	return b.String()
}

// label is what a name becomes in a chart.
func label(s string, limit int) string { return escape(Visible(s, limit)) }

// ticks are round moments in a range, at most n + 1; none where the range is more
// than 100 years.
func ticks(from, to time.Time, n int) []time.Time {
	seconds := []int{1, 2, 5, 10, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200, 10800, 21600, 43200, 86400}
	if to.Unix()-from.Unix() > 100*366*86400 {
		return nil // such times are invented; a Duration would not hold them either
	}
	step := time.Duration(0)
	for _, s := range seconds {
		if step = time.Duration(s) * time.Second; to.Sub(from) <= time.Duration(n)*step {
			break
		}
	}
	for to.Sub(from) > time.Duration(n)*step {
		step *= 2
	}
	midnight := time.Date(from.Year(), from.Month(), from.Day(), 0, 0, 0, 0, from.Location())
	at := func(passed time.Duration) time.Time {
		if step <= time.Hour {
			return midnight.Add(passed)
		}
		// Days begin at midnight, also after the clocks were changed.
		return time.Date(from.Year(), from.Month(), from.Day(), 0, 0, int(passed/time.Second), 0, from.Location())
	}
	var all []time.Time
	for passed := from.Sub(midnight).Truncate(step); !at(passed).After(to); passed += step {
		if t := at(passed); !t.Before(from) {
			all = append(all, t)
		}
	}
	return all
}
