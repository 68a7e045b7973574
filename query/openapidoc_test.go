package query_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strings"
	"testing"

	"rollcall/query"
)

// unclear is what a generator of clients, or a reader, misses in a schema: a
// number without its width, a member that nobody explains.
func unclear(at string, schema map[string]any) (wrong []string) {
	types := []any{schema["type"]}
	if several, ok := schema["type"].([]any); ok {
		types = several
	}
	for typ, format := range map[string]string{"number": "double", "integer": "int64"} {
		if slices.Contains(types, any(typ)) && schema["format"] != format {
			wrong = append(wrong, at+" is "+typ+" and not "+format)
		}
	}
	if properties, ok := schema["properties"].(map[string]any); ok {
		for name, p := range properties {
			member := p.(map[string]any)
			if doc, _ := member["description"].(string); doc == "" {
				wrong = append(wrong, at+"."+name+" is not described")
			}
			wrong = append(wrong, unclear(at+"."+name, member)...)
		}
	}
	if items, ok := schema["items"].(map[string]any); ok {
		wrong = append(wrong, unclear(at+"[]", items)...)
	}
	return wrong
}

// TestOpenAPIIsClear holds what generators of clients read from the description:
// each number has its width, each member and parameter says what it is, lists
// have one form, every operation has a name of its own.
func TestOpenAPIIsClear(t *testing.T) {
	t.Parallel()
	s := newWorld(t).spec()
	if got := s.Info.License["identifier"]; got != "Apache-2.0" {
		t.Errorf("info.license.identifier = %q; want Apache-2.0", got)
	}
	for name, schema := range s.Components.Schemas {
		for _, wrong := range unclear(name, schema) {
			t.Error(wrong)
		}
	}
	names := map[string]string{}
	for path, p := range s.Paths {
		if other := names[p.Get.OperationID]; p.Get.OperationID == "" || other != "" {
			t.Errorf("operationId of %s = %q; want one of its own, not that of %q", path, p.Get.OperationID, other)
		}
		names[p.Get.OperationID] = path
		p.Get.mustBeClear(t, path)
	}
	chat := s.Components.Schemas["Artifacts"]["properties"].(map[string]any)["chat"].(map[string]any)
	if doc := chat["description"].(string); !strings.Contains(strings.ToLower(doc), "chat") {
		t.Errorf("Artifacts.chat is %q; want what it says of the chat", doc)
	}
}

func (op operation) mustBeClear(t *testing.T, path string) {
	t.Helper()
	if op.Summary == "" {
		t.Errorf("%s has no summary", path)
	}
	for _, p := range op.Parameters {
		for _, wrong := range unclear(path+"?"+p.Name, p.Schema) {
			t.Error(wrong)
		}
		if p.Doc == "" {
			t.Errorf("parameter %s of %s is not described", p.Name, path)
		}
		if p.Schema["type"] == "array" && (p.Style != "form" || !p.Explode) {
			t.Errorf("parameter %s of %s has style %q, explode %v; want form, true", p.Name, path, p.Style, p.Explode)
		}
	}
	for code, r := range op.Responses {
		switch kinds := slices.Sorted(maps.Keys(r.Content)); {
		case r.Doc == "":
			t.Errorf("%s of %s is not described", code, path)
		case code == "200" && len(kinds) != 1:
			t.Errorf("200 of %s has the forms %v; want one", path, kinds)
		case code >= "400" && !slices.Equal(kinds, []string{"application/problem+json"}):
			t.Errorf("%s of %s has the forms %v; want a problem", code, path, kinds)
		}
	}
}

// TestOpenAPIStatuses: what a path answers besides 200 is described, and is a
// problem where it is an error.
func TestOpenAPIStatuses(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	locked := newWorld(t, func(c *query.Config) {
		c.Tokens = []query.Token{{Name: "v", Role: query.RoleViewer, Secret: "viewer-viewer-viewer"}}
	})
	s := w.spec()
	w.get("/v1/sessions") // all is there
	same := w.do("/v1/sessions").header.Get("ETag")
	for _, c := range []struct {
		w        *world
		path, at string
		header   []string
		want     int
	}{
		{w, "/v1/sessions", "/v1/sessions", []string{"If-None-Match", same}, 304},
		{w, "/v1/events?limit=0", "/v1/events", nil, 400},
		{locked, "/v1/events", "/v1/events", nil, 401},
		{locked, "/v1/events", "/v1/events", []string{"Authorization", "Bearer viewer-viewer-viewer"}, 403},
		{w, "/v1/sessions/none", "/v1/sessions/{sessionId}", nil, 404},
		{w, "/v1/events", "/v1/events", []string{"Host", "elsewhere.example.com"}, 421},
		{w, "/v1/sessions?minSequence=999&wait=1ms", "/v1/sessions", nil, 504},
	} {
		got := c.w.do(c.path, c.header...)
		described, ok := s.Paths[c.at].Get.Responses[fmt.Sprint(c.want)]
		if got.status != c.want || !ok {
			t.Errorf("GET %s %v = %d, described: %v; want %d", c.path, c.header, got.status, ok, c.want)
			continue
		}
		if problem, ok := described.Content["application/problem+json"]; ok {
			var v any
			if err := json.Unmarshal(got.body, &v); err != nil || s.check(c.path, problem.Schema, v) != nil {
				t.Errorf("GET %s %v = %s; want a problem", c.path, c.header, got.body)
			}
		}
	}
}

// TestOpenAPILists: a list has the forms that its description has besides JSON,
// and takes a parameter of several values repeated and with commas.
func TestOpenAPILists(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	for path, p := range w.spec().Paths {
		if _, ok := p.Get.Formats["text/csv"]; ok && !strings.Contains(path, "{") {
			if got := w.get(path, "Accept", "text/csv").header.Get("Content-Type"); !strings.HasPrefix(got, "text/csv") {
				t.Errorf("GET %s as text/csv = %s; want text/csv", path, got)
			}
		}
	}
	repeated, commas := w.get("/v1/usage?groupBy=month&groupBy=meeting"), w.get("/v1/usage?groupBy=month,meeting")
	if repeated.status != http.StatusOK || string(repeated.body) != string(commas.body) {
		t.Errorf("groupBy repeated = %d %s; want %s", repeated.status, repeated.body, commas.body)
	}
	var l struct{ Items []any }
	if err := json.Unmarshal(repeated.body, &l); err != nil || len(l.Items) == 0 {
		t.Errorf("groupBy repeated = %s, %v; want rows", repeated.body, err)
	}
}
