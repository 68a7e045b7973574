package query

import (
	"strings"
	"unicode"

	"golang.org/x/text/unicode/norm"
)

// plainer are letters that Unicode takes for letters of their own, and people for
// others with a stroke, or joined.
var plainer = strings.NewReplacer("ß", "ss", "ø", "o", "ł", "l", "đ", "d", "ħ", "h", "ı", "i", "æ", "ae", "œ", "oe", "ς", "σ")

// searchText is the form in which texts are compared by q: letter case, accents
// and the form of Unicode do not count. LIKE ends a text at a NUL, so there is none.
func searchText(s string) string {
	s = strings.ToLower(strings.ReplaceAll(s, "\x00", "\uFFFD"))
	if isASCII(s) {
		return s
	}
	s = strings.Map(func(r rune) rune {
		if unicode.In(r, unicode.Mn) && unicode.In(r, unicode.Inherited) {
			return -1
		}
		return r
	}, norm.NFKD.String(s))
	// What came out of a form of its own may have a case of its own.
	return plainer.Replace(strings.ToLower(strings.ToUpper(s)))
}

func isASCII(s string) bool {
	return strings.IndexFunc(s, func(r rune) bool { return r > unicode.MaxASCII }) < 0
}
