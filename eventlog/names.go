package eventlog

import (
	"bytes"
	"slices"

	"github.com/go-json-experiment/json/jsontext"
)

// lastNames returns a value in which no object has a name twice: the last value
// counts, as everywhere in a body.
func lastNames(value jsontext.Value) (jsontext.Value, error) {
	if value.IsValid() {
		return value, nil
	}
	return appendLast(nil, jsontext.NewDecoder(bytes.NewReader(value), tolerant))
}

// appendLast appends the decoder's next value.
func appendLast(b []byte, dec *jsontext.Decoder) ([]byte, error) {
	switch dec.PeekKind() {
	case '{':
		return appendMembers(b, dec)
	case '[':
		return appendElements(b, dec)
	}
	v, err := dec.ReadValue()
	return append(b, v...), err
}

func appendElements(b []byte, dec *jsontext.Decoder) ([]byte, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	b = append(b, '[')
	for i := 0; dec.PeekKind() != ']'; i++ {
		if i > 0 {
			b = append(b, ',')
		}
		var err error
		if b, err = appendLast(b, dec); err != nil {
			return nil, err
		}
	}
	_, err := dec.ReadToken()
	return append(b, ']'), err
}

// appendMembers appends an object. A name that comes again removes the member
// before, so the last one keeps its own place.
func appendMembers(b []byte, dec *jsontext.Decoder) ([]byte, error) {
	if _, err := dec.ReadToken(); err != nil {
		return nil, err
	}
	last := make(map[string]int) // by the name as it reads, where in members
	var members [][]byte
	for dec.PeekKind() != '}' {
		name, err := dec.ReadValue()
		if err != nil {
			return nil, err
		}
		text, err := jsontext.AppendUnquote(nil, name)
		if err != nil {
			return nil, err
		}
		member, err := appendLast(append(slices.Clone(name), ':'), dec)
		if err != nil {
			return nil, err
		}
		if i, ok := last[string(text)]; ok {
			members[i] = nil
		}
		last[string(text)] = len(members)
		members = append(members, member)
	}
	members = slices.DeleteFunc(members, func(m []byte) bool { return m == nil })
	b = append(append(append(b, '{'), bytes.Join(members, []byte{','})...), '}')
	_, err := dec.ReadToken()
	return b, err
}
