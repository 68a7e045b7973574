package query

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
	for i, f := range fields {
		all[i] = member{f.name, f.jsonSchema()}
	}
	o := object(all...)
	required := make([]string, 0, len(fields))
	for _, f := range fields {
		if !f.optional {
			required = append(required, f.name)
		}
	}
	o["required"] = required
	return o
}

func (f field) jsonSchema() map[string]any {
	s := map[string]any{}
	types := []string{}
	switch f.kind {
	case kindText:
		types = append(types, "string")
	case kindTime:
		types = append(types, "string")
		s["format"] = "date-time"
	case kindSeconds:
		types = append(types, "number")
	case kindInteger:
		types = append(types, "integer")
	case kindBool:
		types = append(types, "boolean")
	case kindRatio:
		types = append(types, "number")
		s["minimum"], s["maximum"] = 0, 1
	case kindObject:
		return f.objectSchema()
	}
	if f.nullable {
		types = append(types, "null")
	}
	s["type"] = types
	if len(types) == 1 {
		s["type"] = types[0]
	}
	if f.enum != nil {
		s["enum"] = f.enum
	}
	if f.doc != "" {
		s["description"] = f.doc
	}
	return s
}

func (f field) objectSchema() map[string]any {
	if f.nullable && f.schema["type"] == nil && f.schema["$ref"] == nil {
		return f.schema // anything
	}
	if f.nullable {
		return map[string]any{"anyOf": []any{f.schema, schema("null")}}
	}
	return f.schema
}
