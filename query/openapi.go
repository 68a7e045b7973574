package query

import (
	"cmp"
	"context"
	"slices"
	"strings"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/ingest/web"
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
	paths, schemas := map[string]any{}, map[string]any{"Problem": problemSchema(), "AsOf": object(
		member{"sequence", "The record up to which all views that the answer is from hold the log.", schema("integer")})}
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
			schemas[r.item+"List"] = object(member{"items", "The page's items.", list(ref(r.item))},
				textOrNull("nextCursor", "The cursor of the next page; null on the last one."), member{"asOf", "What the answer is from.", ref("AsOf")})
		}
		paths[r.path] = map[string]any{"get": r.operation()}
	}
	doc := map[string]any{
		"openapi": "3.1.0",
		"info": map[string]any{"title": "Rollcall", "version": "1", "license": map[string]any{"name": "Apache License 2.0", "identifier": "Apache-2.0"},
			"description": "Meetings, sessions, participants and recordings, from the providers' webhooks. Times are RFC 3339 in UTC, durations seconds."},
		"servers": []any{map[string]any{"url": cmp.Or(a.config.BasePath, "/"), "description": "The server that this was read from."}},
		"paths":   paths,
		"components": map[string]any{"schemas": schemas, "securitySchemes": map[string]any{
			"bearer": map[string]any{"type": "http", "scheme": "bearer", "description": "A token of --api-token-file. Without that flag none is needed."}}},
		"security": []any{map[string]any{}, map[string]any{"bearer": []string{}}},
	}
	return json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent(" "))
}

// problemSchema is that of web.Problem.
func problemSchema() map[string]any {
	s := object(member{"type", "A URI that names the reason; about:blank where the status says it.", schema("string")},
		member{"title", "The status in words.", schema("string")}, member{"status", "The HTTP status.", schema("integer")},
		member{"detail", "What failed, why, and what to do.", schema("string")})
	s["required"] = []string{"type", "title", "status"}
	return s
}

func (r *route) operation() map[string]any {
	params := make([]any, len(r.params))
	for i, p := range r.params {
		params[i] = p.describe(r)
	}
	responses := map[string]any{"200": r.ok()}
	if r.stream == nil {
		responses["304"] = map[string]any{"description": "Not changed since If-None-Match"}
	}
	for code, text := range r.problems() {
		responses[code] = map[string]any{"description": text, "content": media(web.ProblemType, ref("Problem"))}
	}
	op := map[string]any{"operationId": r.id, "summary": r.summary, "parameters": params, "responses": responses}
	if r.list {
		// Not beside JSON in the answer's content: a client that is generated from two
		// forms of one answer has a type that is neither.
		op["x-formats"] = media("text/csv", schema("string"))
	}
	return op
}

func media(kind string, schema map[string]any) map[string]any {
	return map[string]any{kind: map[string]any{"schema": schema}}
}

// ok is the answer of a route that finds what it is asked for.
func (r *route) ok() map[string]any {
	header := func(doc string, s map[string]any) map[string]any {
		return map[string]any{"description": doc, "schema": s}
	}
	headers := map[string]any{"Rollcall-Sequence": header("How far the views are that the answer is from.", schema("integer"))}
	ok := map[string]any{"description": "OK", "headers": headers}
	switch {
	case r.stream != nil:
		ok["content"] = media("text/event-stream", schema("string"))
		return ok
	case r.list:
		ok["content"] = media("application/json", ref(r.item+"List"))
	case r.item != "":
		ok["content"] = media("application/json", ref(r.item))
	default:
		ok["content"] = media("application/json", schema("object"))
	}
	headers["ETag"] = header("For If-None-Match. A list that is sent as CSV has none.", schema("string"))
	return ok
}

func (r *route) problems() map[string]string {
	p := map[string]string{
		"400": "A parameter is unknown or can't be read", "401": "A bearer token is needed", "403": "The token's role does not read this",
		"421": "The host's name is not known", "500": "An error of the server, which its log explains",
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
		s = schema("integer")
		s["minimum"] = 0
	case paramLimit:
		s = schema("integer")
		s["minimum"], s["maximum"], s["default"] = 1, maxLimit, defaultLimit
	case paramBool:
		s = schema("boolean")
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
		s = ratioSchema()
	case paramList:
		s = map[string]any{"type": "array", "items": map[string]any{"type": "string", "enum": p.enum}, "uniqueItems": true}
	}
	d := map[string]any{"name": p.name, "in": "query", "schema": s}
	if p.inPath {
		d["in"], d["required"] = "path", true
	}
	if p.kind == paramList {
		d["style"], d["explode"] = "form", true
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
