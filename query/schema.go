package query

import "rollcall/projections"

// JSON Schema (2020-12, as OpenAPI 3.1 uses it) built from field lists.

// member is a named schema.
type member struct {
	name   string
	schema map[string]any
}

func schema(types ...string) map[string]any {
	if len(types) == 1 {
		return map[string]any{"type": types[0]}
	}
	return map[string]any{"type": types}
}

func ref(name string) map[string]any {
	return map[string]any{"$ref": "#/components/schemas/" + name}
}

func list(items map[string]any) map[string]any {
	return map[string]any{"type": "array", "items": items}
}

func textOrNull(name string) member { return member{name, schema("string", "null")} }

func timeOrNull(name string) member {
	return member{name, map[string]any{"type": []string{"string", "null"}, "format": "date-time"}}
}

// object is an object with exactly these members.
func object(members ...member) map[string]any {
	properties := make(map[string]any, len(members))
	required := make([]string, len(members))
	for i, m := range members {
		properties[m.name], required[i] = m.schema, m.name
	}
	return map[string]any{"type": "object", "properties": properties, "required": required, "additionalProperties": false}
}

// documentSchema is the schema of a document with these fields.
func documentSchema(fields []field) map[string]any {
	all := make([]member, len(fields))
	required := make([]string, 0, len(fields))
	for i, f := range fields {
		all[i] = member{f.Name, f.jsonSchema()}
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
	s := f.schema
	if s == nil {
		s = f.kindSchema()
	}
	if typ, ok := s["type"].(string); ok && f.Nullable && f.Kind.Scalar() {
		s["type"] = []string{typ, "null"}
	} else if f.Nullable && f.Kind != projections.KindAny {
		s = map[string]any{"anyOf": []any{s, schema("null")}}
	}
	if f.Enum != nil {
		s["enum"] = f.Enum
	}
	if f.Doc != "" {
		s["description"] = f.Doc
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
		return map[string]any{"type": "number", "minimum": 0, "maximum": 1}
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
