package history

import (
	"bytes"
	"errors"
	"io"
	"regexp"
	"strings"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
)

const (
	// masked stands for a secret.
	masked     = `"***"`
	maskedText = "***"
)

// secretName is the name of a secret in a text that is no JSON, or not as a
// whole: in any letter case, letters escaped or not, with the quote after it.
var secretName = regexp.MustCompile(secretPattern() + `\\*["']?`)

// secretMember is secretName where a value follows.
var secretMember = regexp.MustCompile(secretPattern() + `\\*["']?\s*[:=]`)

// secretPattern matches streamKey and stream_key.
func secretPattern() string {
	const hex = "0123456789abcdef"
	escaped := func(c byte) string { return string([]byte{hex[c>>4], hex[c&15]}) }
	var b strings.Builder
	b.WriteString("(?i)")
	for _, c := range []byte("stream_key") {
		b.WriteString(`(?:` + string(c) + `|\\+u00(?:` + escaped(c))
		if c != '_' {
			b.WriteString(`|` + escaped(c-'a'+'A'))
		}
		b.WriteString(`))`)
		if c == '_' {
			b.WriteString(`?`)
		}
	}
	return b.String()
}

// Masked copies a record's body for showing: the value of every member named
// streamKey, a secret of the provider, is replaced, in JSON within a text too.
// It reports false for a body that is no JSON, in which what looks like a stream
// key is replaced.
func Masked(body []byte) ([]byte, bool) {
	if masked, ok := maskBody(body); ok {
		return masked, true
	}
	return maskText(body), false
}

// MaskedBody is Masked of what a record's body says. Of a compressed body that says
// no JSON it shows nothing: a secret in it can't be seen.
func MaskedBody(r *eventlog.Record) (body []byte, isJSON bool) {
	body, isJSON = Masked(r.Content())
	if !isJSON && r.Encoding != "" {
		return nil, false
	}
	return body, isJSON
}

// maskBody copies a JSON text with the value of every member named streamKey
// masked, however deep it stands. It reports false for what is no JSON.
func maskBody(body []byte) ([]byte, bool) {
	dec := jsontext.NewDecoder(bytes.NewReader(body), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	hidden := mayHide(body)
	var out bytes.Buffer
	enc := jsontext.NewEncoder(&out, jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	for depth := 0; ; {
		tok, err := dec.ReadToken()
		if err != nil {
			return nil, false
		}
		secret := false
		switch tok.Kind() {
		case '{', '[':
			depth++
		case '}', ']':
			depth--
		case '"':
			if isName(dec) {
				secret = isSecret(tok.String())
			} else if hidden && secretMember.MatchString(tok.String()) {
				tok = jsontext.String(string(maskText([]byte(tok.String()))))
			}
		}
		if err := enc.WriteToken(tok); err != nil {
			return nil, false
		}
		if secret {
			if err := dec.SkipValue(); err != nil {
				return nil, false
			}
			if err := enc.WriteValue(jsontext.Value(masked)); err != nil {
				return nil, false
			}
		}
		if depth == 0 {
			break
		}
	}
	if _, err := dec.ReadToken(); !errors.Is(err, io.EOF) {
		return nil, false // something follows the value, be it JSON or not
	}
	return bytes.ToValidUTF8(bytes.TrimRight(out.Bytes(), "\n"), []byte("\uFFFD")), true
}

// mayHide is a quick look whether a body has the name of a secret anywhere, or
// escapes that it could be written with.
func mayHide(body []byte) bool {
	lower := bytes.ToLower(body)
	return bytes.Contains(lower, []byte("streamkey")) || bytes.Contains(lower, []byte("stream_key")) || bytes.Contains(lower, []byte(`\u`))
}

// maskText masks what looks like a stream key in a text that is no JSON, such
// as a body that was cut off, or that holds JSON as a text. Where the end of the
// value is not clear, nothing of the rest is shown.
func maskText(body []byte) []byte {
	var out []byte
	for {
		at := secretName.FindIndex(body)
		if at == nil {
			return append(out, body...)
		}
		rest := body[at[1]:]
		begin := len(rest) - len(bytes.TrimLeft(rest, " \t\r\n:=>"))
		out = append(out, body[:at[1]+begin]...)
		out = append(out, maskedText...)
		body = rest[begin+valueEnd(rest[begin:]):]
	}
}

// valueEnd is where the value at the beginning of a text ends.
func valueEnd(s []byte) int {
	slashes := len(s) - len(bytes.TrimLeft(s, `\`))
	if slashes == len(s) {
		return len(s)
	}
	switch quote := s[slashes]; quote {
	case '"', '\'':
		return slashes + 1 + stringEnd(s[slashes+1:], quote, slashes)
	case '{', '[':
		return len(s)
	}
	if end := bytes.IndexAny(s, ",;&<}] \t\r\n"); end >= 0 {
		return end
	}
	return len(s)
}

// stringEnd is where a string ends whose quotes have so many backslashes in
// front: none, or more where it stands within another string.
func stringEnd(s []byte, quote byte, slashes int) int {
	run := 0
	for i, c := range s {
		switch {
		case c == '\\':
			run++
			continue
		case c == quote && (run <= slashes || slashes == 0 && run%2 == 0):
			return i + 1
		}
		run = 0
	}
	return len(s)
}

// isName reports whether the token just read is a member's name.
func isName(dec *jsontext.Decoder) bool {
	kind, n := dec.StackIndex(dec.StackDepth())
	return kind == '{' && n%2 == 1
}

func isSecret(name string) bool {
	return strings.EqualFold(name, "streamKey") || strings.EqualFold(name, "stream_key")
}
