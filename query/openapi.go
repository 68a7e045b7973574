package query

import (
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
)

// openapi answers the description of the API.
func (a *API) openapi(ctx context.Context, c *call) (*answer, error) {
	var seq eventlog.Seq
	if c.minSequence() > 0 {
		head, err := a.waitHead(ctx, c)
		if err != nil {
			return nil, err
		}
		seq = head.Last
	}
	return &answer{doc: a.openAPI, sequence: seq}, nil
}

// describe makes the OpenAPI 3.1 document from the table of routes.
func (a *API) describe() ([]byte, error) {
	paths, schemas := map[string]any{}, map[string]any{
		"Problem": map[string]any{"type": "object", "required": []string{"type", "title", "status"}, "properties": map[string]any{
			"type": schema("string"), "title": schema("string"), "status": schema("integer"), "detail": schema("string")}},
		"AsOf": object(member{"sequence", schema("integer")}),
	}
	for _, v := range a.views {
		if v.item != "" {
			schemas[v.item] = documentSchema(v.fields)
		}
	}
	for _, r := range a.routes {
		if r.item != "" {
			schemas[r.item] = documentSchema(r.fields)
		}
		if r.list {
			schemas[r.item+"List"] = object(member{"items", list(ref(r.item))}, textOrNull("nextCursor"), member{"asOf", ref("AsOf")})
		}
		paths[r.path] = map[string]any{"get": r.operation()}
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Rollcall", "version": "1",
			"description": "Meetings, sessions, participants and recordings, from the providers' webhooks. Times are RFC 3339 in UTC, durations seconds."},
		"servers": []any{map[string]any{"url": "/"}},
		"paths":   paths,
		"components": map[string]any{"schemas": schemas, "securitySchemes": map[string]any{
			"bearer": map[string]any{"type": "http", "scheme": "bearer"}}},
		"security": []any{map[string]any{}, map[string]any{"bearer": []string{}}},
	}
	return json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent(" "))
}

func (r *route) operation() map[string]any {
	params := make([]any, len(r.params))
	for i, p := range r.params {
		params[i] = p.describe(r)
	}
	ok := map[string]any{"description": "OK", "headers": map[string]any{
		"Rollcall-Sequence": map[string]any{"description": "How far the views are that the answer is from.", "schema": schema("integer")}}}
	switch {
	case r.stream != nil:
		ok["content"] = map[string]any{"text/event-stream": map[string]any{"schema": schema("string")}}
	case r.list:
		ok["content"] = map[string]any{"application/json": map[string]any{"schema": ref(r.item + "List")},
			"text/csv": map[string]any{"schema": schema("string")}}
	case r.item != "":
		ok["content"] = map[string]any{"application/json": map[string]any{"schema": ref(r.item)}}
	default:
		ok["content"] = map[string]any{"application/json": map[string]any{"schema": schema("object")}}
	}
	responses := map[string]any{"200": ok}
	for code, text := range map[string]string{"304": "Not changed since If-None-Match"} {
		responses[code] = map[string]any{"description": text}
	}
	for code, text := range r.problems() {
		responses[code] = map[string]any{"description": text, "content": map[string]any{
			"application/problem+json": map[string]any{"schema": ref("Problem")}}}
	}
	return map[string]any{"operationId": r.id, "summary": r.summary, "parameters": params, "responses": responses}
}

func (r *route) problems() map[string]string {
	p := map[string]string{
		"400": "A parameter is unknown or can't be read", "401": "A bearer token is needed", "403": "The token's role does not read this",
		"503": "A view is not loaded yet, or the log can't be read", "504": "minSequence was not reached in time",
	}
	if strings.Contains(r.path, "{") {
		p["404"] = "No such item"
	}
	if r.takes("asOf") || r.takes("after") {
		p["410"] = "The log no longer holds these records"
	}
	return p
}

// takes reports whether a route has a parameter.
func (r *route) takes(name string) bool {
	return slices.ContainsFunc(r.params, func(p param) bool { return p.name == name })
}

// describe is a parameter as OpenAPI has it.
func (p param) describe(r *route) map[string]any {
	s := map[string]any{"type": "string"}
	switch p.kind {
	case paramText:
		s["minLength"] = 1
	case paramSeq:
		s = map[string]any{"type": "integer", "minimum": 0}
	case paramLimit:
		s = map[string]any{"type": "integer", "minimum": 1, "maximum": maxLimit, "default": defaultLimit}
	case paramBool:
		s = map[string]any{"type": "boolean"}
	case paramEnum:
		s["enum"] = p.enum
	case paramTime:
		s["format"] = "date-time"
	case paramDate:
		s["format"] = "date"
	case paramDuration, paramWait:
		s["pattern"] = `^([0-9]+(\.[0-9]+)?(ns|us|µs|ms|s|m|h))+$`
		s["examples"] = []string{"10m"}
		if p.kind == paramWait {
			s["default"], s["examples"] = "2s", []string{"2s"}
		}
	case paramZone:
		s["default"] = "UTC"
	case paramSort:
		s["examples"] = r.sortExamples()
	case paramRatio:
		s = map[string]any{"type": "number", "minimum": 0, "maximum": 1}
	case paramList:
		s = map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": p.enum}, "uniqueItems": true}
	}
	d := map[string]any{"name": p.name, "in": "query", "schema": s}
	if p.inPath {
		d["in"], d["required"] = "path", true
	}
	if p.kind == paramList {
		d["style"], d["explode"] = "form", false
	}
	if p.doc != "" {
		d["description"] = p.doc
	}
	return d
}

// sortExamples are the fields that a list can be sorted by.
func (r *route) sortExamples() []string {
	var names []string
	for _, f := range r.fields {
		if f.scalar() {
			names = append(names, f.Name)
		}
	}
	return names
}
