package eventlog

import (
	"strings"

	"github.com/go-json-experiment/json/jsontext"
)

// AppendText appends s as a JSON string. A run of bytes that are no UTF-8 becomes
// one U+FFFD, so that it can't fail.
func AppendText(b []byte, s string) []byte {
	b, _ = jsontext.AppendQuote(b, strings.ToValidUTF8(s, "\uFFFD"))
	return b
}
