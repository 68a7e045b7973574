package projections

import (
	"strconv"

	"rollcall/eventlog"
)

// Kind is what a member of a document holds.
type Kind uint8

// The kinds of members. In JSON a text, a time and any JSON are null where they
// are not known; of the other kinds only what is Nullable is.
const (
	KindText Kind = iota
	KindTime
	KindSeconds // a number of seconds, exact to the microsecond
	KindInteger
	KindBool
	KindDate   // a day as a text, like 2026-01-31
	KindRatio  // a number from 0 to 1
	KindTexts  // a list of texts
	KindObject // an object with Members
	KindList   // a list of objects with Members
	KindAny    // any JSON
)

// Scalar reports whether a value is one text, number, time or truth.
func (k Kind) Scalar() bool { return k <= KindRatio }

// Text reports whether a value is a text.
func (k Kind) Text() bool { return k == KindText || k == KindDate }

// Field describes one member of a document. What a reader offers of a document
// follows from its fields: columns, orders, schemas, tables.
type Field struct {
	Name string
	Kind Kind
	// Unit is what a KindSeconds or KindInteger counts, where it counts a measure.
	Unit     string
	Nullable bool
	// Optional: the member is absent where it would say nothing.
	Optional bool
	// Link: whoever has the text gets a file by it.
	Link bool
	// Enum lists all values of a KindText that has few.
	Enum []string
	// Members are those of a KindObject, and of each object in a KindList.
	Members []Field
	// Doc says in one line what the value means.
	Doc string
}

// member is a Field of documents of type D, and how it is written.
type member[D any] struct {
	Field
	append func(b []byte, d *D) []byte
	absent func(d *D) bool // nil unless Optional
	// prefix is what stands in front of the value.
	prefix string
}

// layout is the members of a document in the order of its JSON. The first one is
// never absent.
type layout[D any] struct {
	members []member[D]
	// room is about what a document takes, lists apart.
	room int
}

// valueRoom is about what a value takes: an id is 38 bytes long, a count 1.
const valueRoom = 24

func document[D any](members ...member[D]) layout[D] {
	room := 1
	for i := range members {
		mark := ","
		if i == 0 {
			mark = "{"
		}
		members[i].prefix = mark + `"` + members[i].Name + `":`
		room += len(members[i].prefix) + valueRoom
	}
	return layout[D]{members, room}
}

// appendJSON appends the document as a JSON object.
func (l *layout[D]) appendJSON(b []byte, d *D) []byte {
	if b == nil {
		b = make([]byte, 0, l.room)
	}
	for i := range l.members {
		m := &l.members[i]
		if m.absent != nil && m.absent(d) {
			continue
		}
		b = m.append(append(b, m.prefix...), d)
	}
	return append(b, '}')
}

// appendOrNull appends the document, null for nil.
func (l *layout[D]) appendOrNull(b []byte, d *D) []byte {
	if d == nil {
		return appendNull(b)
	}
	return l.appendJSON(b, d)
}

// fields describes the members.
func (l *layout[D]) fields() []Field {
	list := make([]Field, len(l.members))
	for i := range l.members {
		list[i] = l.members[i].Field
	}
	return list
}

func (m member[D]) orNull() member[D] {
	m.Nullable = true
	return m
}

// nullWhere is null instead of what the member would be.
func (m member[D]) nullWhere(null func(d *D) bool) member[D] {
	value := m.append
	m.append = func(b []byte, d *D) []byte {
		if null(d) {
			return appendNull(b)
		}
		return value(b, d)
	}
	return m.orNull()
}

// asLink marks a text by which a file can be had.
func (m member[D]) asLink() member[D] {
	m.Link = true
	return m
}

func (m member[D]) oneOf(values ...string) member[D] {
	m.Enum = values
	return m
}

func (m member[D]) unit(unit string) member[D] {
	m.Unit = unit
	return m
}

func (m member[D]) absentWhere(absent func(d *D) bool) member[D] {
	m.Optional, m.absent = true, absent
	return m
}

func textField[D any](name, doc string, of func(d *D) string) member[D] {
	return longTextField(name, textLimit, doc, of)
}

func longTextField[D any](name string, limit int, doc string, of func(d *D) string) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindText, Doc: doc},
		append: func(b []byte, d *D) []byte { return appendText(b, of(d), limit) }}
}

// dateField is a text field of days.
func dateField[D any](name, doc string, of func(d *D) string) member[D] {
	m := textField(name, doc, of)
	m.Kind = KindDate
	return m
}

func timeField[D any](name, doc string, of func(d *D) eventlog.Time) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindTime, Nullable: true, Doc: doc},
		append: func(b []byte, d *D) []byte { return of(d).AppendJSON(b) }}
}

func secondsField[D any](name, doc string, of func(d *D) eventlog.Seconds) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindSeconds, Unit: "seconds", Doc: doc},
		append: func(b []byte, d *D) []byte { return of(d).AppendJSON(b) }}
}

// secondsOrNullField is null where of returns nil.
func secondsOrNullField[D any](name, doc string, of func(d *D) *eventlog.Seconds) member[D] {
	return secondsField(name, doc, func(d *D) eventlog.Seconds { return *of(d) }).nullWhere(func(d *D) bool { return of(d) == nil })
}

func integerField[D any](name, doc string, of func(d *D) int64) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindInteger, Doc: doc},
		append: func(b []byte, d *D) []byte { return strconv.AppendInt(b, of(d), 10) }}
}

func boolField[D any](name, doc string, of func(d *D) bool) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindBool, Doc: doc},
		append: func(b []byte, d *D) []byte { return strconv.AppendBool(b, of(d)) }}
}

func textsField[D any](name, doc string, of func(d *D) []string) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindTexts, Doc: doc},
		append: func(b []byte, d *D) []byte {
			return appendList(b, of(d), func(b []byte, s *string) []byte { return quote(b, *s, textLimit) })
		}}
}

// objectField is null where of returns nil.
func objectField[D, M any](name, doc string, of func(d *D) *M, members layout[M]) member[D] {
	return member[D]{Field: Field{Name: name, Kind: KindObject, Nullable: true, Members: members.fields(), Doc: doc},
		append: func(b []byte, d *D) []byte { return members.appendOrNull(b, of(d)) }}
}

// listField is an empty list where of returns nil.
func listField[D, M any](name, doc string, of func(d *D) []M, members layout[M]) member[D] {
	element := members.appendJSON // bound once, not for each document
	return member[D]{Field: Field{Name: name, Kind: KindList, Members: members.fields(), Doc: doc},
		append: func(b []byte, d *D) []byte { return appendList(b, of(d), element) }}
}

func appendList[E any](b []byte, list []E, element func(b []byte, e *E) []byte) []byte {
	b = append(b, '[')
	for i := range list {
		if i > 0 {
			b = append(b, ',')
		}
		b = element(b, &list[i])
	}
	return append(b, ']')
}

func appendNull(b []byte) []byte { return append(b, "null"...) }

// appendText appends a JSON string of at most limit bytes, null for "".
func appendText(b []byte, s string, limit int) []byte {
	if s == "" {
		return appendNull(b)
	}
	return quote(b, s, limit)
}
