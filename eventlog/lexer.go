package eventlog

import (
	"errors"

	"github.com/go-json-experiment/json/jsontext"
)

// lexer reads the tokens of the JSON that nearly all bodies are: no escapes in
// strings and no deep nesting. It gives up on anything else, valid or not, and
// the body is read again with jsontext, which alone decides what is no JSON.
// What it does read it reads as jsontext would; a fuzz test holds the two
// against each other.
type lexer struct {
	b  []byte
	at int
	// name: the next value is a member's name; more: a comma has to come first.
	name, more bool
}

// errUnusual: see lexer.
var errUnusual = errors.New("unusual JSON")

// lexerDepth bounds the nesting of a value that is skipped.
const lexerDepth = 16

func (l *lexer) space() {
	for l.at < len(l.b) {
		switch l.b[l.at] {
		case ' ', '\t', '\r', '\n':
			l.at++
		default:
			return
		}
	}
}

// next moves to the start of the next token, over the comma or colon before it,
// and returns its first byte; 0 at the end, or where the text is unusual.
func (l *lexer) next() byte {
	l.space()
	if l.at == len(l.b) {
		return 0
	}
	c := l.b[l.at]
	if l.more && c != '}' {
		want := byte(',')
		if !l.name {
			want = ':'
		}
		if c != want {
			return 0
		}
		l.at++
		l.more = false
		l.space()
		if l.at == len(l.b) {
			return 0
		}
		c = l.b[l.at]
		if c == '}' { // after a comma
			return 0
		}
	}
	return c
}

// open reads the start of an object, and end its end.
func (l *lexer) open() error {
	if l.next() != '{' {
		return errUnusual
	}
	l.at++
	l.name, l.more = true, false
	return nil
}

func (l *lexer) end() error {
	if l.next() != '}' || !l.name {
		return errUnusual
	}
	l.at++
	l.name, l.more = true, true // where it lies, if anywhere, is an object
	return nil
}

// value reads a member's name, or a value.
func (l *lexer) value() (jsontext.Value, error) {
	c := l.next()
	if l.name && c != '"' {
		return nil, errUnusual
	}
	from := l.at
	if !l.any(c, 0) {
		return nil, errUnusual
	}
	l.name, l.more = !l.name, true
	return jsontext.Value(l.b[from:l.at]), nil
}

// any moves over the value that begins with c.
func (l *lexer) any(c byte, depth int) bool {
	switch {
	case c == '"':
		return l.text()
	case c == '{' || c == '[':
		return depth < lexerDepth && l.nested(c, depth)
	case c == 'n':
		return l.literal("null")
	case c == 't':
		return l.literal("true")
	case c == 'f':
		return l.literal("false")
	}
	return l.number()
}

func (l *lexer) text() bool {
	for i := l.at + 1; i < len(l.b); i++ {
		switch c := l.b[i]; {
		case c == '"':
			l.at = i + 1
			return true
		case c < ' ' || c == '\\':
			return false
		}
	}
	return false
}

func (l *lexer) literal(s string) bool {
	if len(l.b)-l.at < len(s) || string(l.b[l.at:l.at+len(s)]) != s {
		return false
	}
	l.at += len(s)
	return true
}

// number moves over an integer without a sign; others are unusual.
func (l *lexer) number() bool {
	from := l.at
	for l.at < len(l.b) && '0' <= l.b[l.at] && l.b[l.at] <= '9' {
		l.at++
	}
	n := l.at - from
	if n == 0 || n > 1 && l.b[from] == '0' || l.at == len(l.b) {
		return false
	}
	switch l.b[l.at] {
	case ',', '}', ']', ' ', '\t', '\r', '\n':
		return true
	}
	return false
}

// nested moves over an object or array.
func (l *lexer) nested(open byte, depth int) bool {
	shut := open + 2 // } after {, ] after [ in ASCII, with one between
	l.at++
	for first := true; ; first = false {
		l.space()
		if l.at == len(l.b) {
			return false
		}
		if first && l.b[l.at] == shut {
			l.at++
			return true
		}
		if open == '{' && !(l.b[l.at] == '"' && l.text() && l.byte(':')) {
			return false
		}
		l.space()
		if l.at == len(l.b) || !l.any(l.b[l.at], depth+1) {
			return false
		}
		if l.byte(shut) {
			return true
		}
		if !l.byte(',') {
			return false
		}
	}
}

// byte moves over white space and c, if it comes.
func (l *lexer) byte(c byte) bool {
	l.space()
	if l.at < len(l.b) && l.b[l.at] == c {
		l.at++
		return true
	}
	return false
}
