package query

import (
	"maps"

	"rollcall/projections"
)

// JSON Schema (2020-12, as OpenAPI 3.1 uses it) built from field lists.

// member is a named schema, and what it means.
type member struct {
	name, doc string
	schema    map[string]any
}

// numberFormats are the formats of JSON's numbers. Without one, generators of
// clients read a number as 32 bits.
var numberFormats = map[string]string{"integer": "int64", "number": "double"}

func schema(types ...string) map[string]any {
	s := map[string]any{"type": types}
	if len(types) == 1 {
		s["type"] = types[0]
	}
	if format, ok := numberFormats[types[0]]; ok {
		s["format"] = format
	}
	return s
}

// described is a copy of a schema, with what it means.
func described(s map[string]any, doc string) map[string]any {
	s = maps.Clone(s)
	if doc != "" {
		s["description"] = doc
	}
	return s
}

func ref(name string) map[string]any {
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func list(items map[string]any) map[string]any {
	return map[string]any{"type": "array", "items": items}
}

func textOrNull(name, doc string) member { return member{name, doc, schema("string", "null")} }

// object is an object with exactly these members.
func object(members ...member) map[string]any {
	properties := make(map[string]any, len(members))
	required := make([]string, len(members))
	for i, m := range members {
		properties[m.name], required[i] = described(m.schema, m.doc), m.name
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// documentSchema is the schema of a document with these fields.
func documentSchema(fields []field) map[string]any {
	all := make([]member, len(fields))
	required := make([]string, 0, len(fields))
	for i, f := range fields {
		all[i] = member{f.Name, f.Doc, f.jsonSchema()}
		if !f.Optional {
			required = append(required, f.Name)
		}
	}
	o := object(all...)
	o["required"] = required
	return o
}

// jsonSchema describes the field's values.
func (f field) jsonSchema() map[string]any {
	s := maps.Clone(f.schema)
	if s == nil {
		s = f.kindSchema()
	}
	if f.Enum != nil {
		s["enum"] = f.Enum
	}
	if !f.Nullable || f.Kind == projections.KindAny {
		return s
	}
	return orNull(s)
}

// orNull has a schema take null too: as one more type, which generators read
// better than a choice, or as a choice where the schema is a reference.
func orNull(s map[string]any) map[string]any {
	switch typ := s["type"].(type) {
	case string:
		s["type"] = []string{typ, "null"}
	case nil:
		return map[string]any{"anyOf": []any{s, schema("null")}}
	}
	return s
}

// kindSchema is the schema of values that are not null.
func (f field) kindSchema() map[string]any {
	switch f.Kind {
	case projections.KindTime:
		return map[string]any{"type": "string", "format": "date-time"}
	case projections.KindDate:
		return map[string]any{"type": "string", "format": "date"}
	case projections.KindSeconds:
		return schema("number")
	case projections.KindInteger:
		return schema("integer")
	case projections.KindBool:
		return schema("boolean")
	case projections.KindRatio:
		return ratioSchema()
	case projections.KindTexts:
		return list(schema("string"))
	case projections.KindObject:
		return documentSchema(fieldsOf(f.Members))
	case projections.KindList:
		return list(documentSchema(fieldsOf(f.Members)))
	case projections.KindAny:
		return map[string]any{}
	}
	return schema("string")
}

func ratioSchema() map[string]any {
	s := schema("number")
	s["minimum"], s["maximum"] = 0, 1
	return s
}
