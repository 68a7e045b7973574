package query

import (
	"bytes"
	"fmt"
	"math"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/projections"
)

// field is one member of an answer's document. The list of a document's fields
// is the one place from which columns, sorting, CSV and the OpenAPI schema follow.
type field struct {
	projections.Field
	// asked: computed when asked, never stored.
	asked bool
	// schema is the member's where its kind and members don't say it.
	schema map[string]any
	// csv gives the member's cells where they don't follow from its kind.
	csv *csvField
}

// csvField gives the cells of a member that is no scalar. Without names the
// member is left out. kinds are the cells'; nil: they are texts.
type csvField struct {
	names []string
	kinds []projections.Kind
	cells func(raw jsontext.Value) []string
}

func fieldsOf(list []projections.Field) []field {
	fields := make([]field, len(list))
	for i, f := range list {
		fields[i] = field{Field: f}
	}
	return fields
}

// scalar reports whether the field can be a column, and sorted by.
func (f field) scalar() bool { return f.Kind.Scalar() && !f.Optional }

// stored reports whether the field is a column of the replica.
func (f field) stored() bool { return f.scalar() && !f.asked }

// none is the column value of null: it sorts before every value. A zero
// eventlog.Time is "no time" already.
const none = math.MinInt64

// columnValue turns a member into a column value: texts stay texts, everything
// else becomes an integer (times and seconds in microseconds). What is null,
// absent or of another type is as if null.
func columnValue(k projections.Kind, raw jsontext.Value) any {
	null := len(raw) == 0 || raw.Kind() == 'n'
	switch k {
	case projections.KindText, projections.KindDate:
		if null || raw.Kind() != '"' {
			return ""
		}
		return text(raw)
	case projections.KindTime:
		var t eventlog.Time
		if null || t.UnmarshalJSON(raw) != nil {
			return int64(0)
		}
		return int64(t)
	case projections.KindSeconds:
		var d eventlog.Seconds
		if null || d.UnmarshalJSON(raw) != nil {
			return int64(none)
		}
		return int64(d)
	case projections.KindBool:
		return boolInt(!null && raw.Kind() == 't')
	default:
		var n int64
		if null || json.Unmarshal(raw, &n) != nil {
			return int64(none)
		}
		return n
	}
}

func boolInt(b bool) int64 {
	if b {
		return 1
	}
	return 0
}

// text decodes a JSON string; "" where it is none.
func text(raw jsontext.Value) string {
	if len(raw) == 0 || raw.Kind() != '"' {
		return ""
	}
	b, err := jsontext.AppendUnquote(nil, raw)
	if err != nil {
		return ""
	}
	return string(b)
}

// members splits a JSON object into its members, in order.
func members(doc []byte, visit func(name string, value jsontext.Value)) error {
	dec := jsontext.NewDecoder(bytes.NewReader(doc), jsontext.AllowDuplicateNames(true), jsontext.AllowInvalidUTF8(true))
	tok, err := dec.ReadToken()
	if err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	if tok.Kind() != '{' {
		return fmt.Errorf("read document: found %v; want an object", tok.Kind())
	}
	for dec.PeekKind() == '"' {
		name, err := dec.ReadToken()
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		n := name.String()
		value, err := dec.ReadValue()
		if err != nil {
			return fmt.Errorf("read document: %w", err)
		}
		visit(n, value)
	}
	if _, err := dec.ReadToken(); err != nil {
		return fmt.Errorf("read document: %w", err)
	}
	return nil
}

// splice returns doc with more members at its end. more is a list of
// alternating names and JSON values.
func splice(doc []byte, more ...any) []byte {
	doc = bytes.TrimRight(doc, " \t\r\n")
	if len(doc) < 2 || doc[len(doc)-1] != '}' {
		return doc
	}
	size := len(doc)
	for i := 1; i < len(more); i += 2 {
		size += len(more[i].([]byte)) + len(more[i-1].(string)) + 4
	}
	out := make([]byte, 0, size)
	out = append(out, doc[:len(doc)-1]...)
	for i := 0; i < len(more); i += 2 {
		if len(out) > 1 {
			out = append(out, ',')
		}
		out = append(out, '"')
		out = append(out, more[i].(string)...)
		out = append(out, `":`...)
		out = append(out, more[i+1].([]byte)...)
	}
	return append(out, '}')
}

// quote returns s as a JSON string.
func quote(s string) []byte { return eventlog.AppendText(nil, s) }

// quoteOrNull is quote, and null for "".
func quoteOrNull(s string) []byte {
	if s == "" {
		return []byte("null")
	}
	return quote(s)
}

func boolJSON(b bool) []byte {
	if b {
		return []byte("true")
	}
	return []byte("false")
}
