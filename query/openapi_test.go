package query_test

import (
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog/eventlogtest"
)

// spec is the part of openapi.json that the tests read.
type spec struct {
	OpenAPI string `json:"openapi"`
	Paths   map[string]struct {
		Get operation `json:"get"`
	} `json:"paths"`
	Components struct {
		Schemas map[string]map[string]any `json:"schemas"`
	} `json:"components"`
	Info struct {
		License map[string]string `json:"license"`
	} `json:"info"`
}

type operation struct {
	OperationID string         `json:"operationId"`
	Summary     string         `json:"summary"`
	Formats     map[string]any `json:"x-formats"`
	Parameters  []struct {
		Name     string         `json:"name"`
		In       string         `json:"in"`
		Required bool           `json:"required"`
		Doc      string         `json:"description"`
		Style    string         `json:"style"`
		Explode  bool           `json:"explode"`
		Schema   map[string]any `json:"schema"`
	} `json:"parameters"`
	Responses map[string]struct {
		Doc     string `json:"description"`
		Content map[string]struct {
			Schema map[string]any `json:"schema"`
		} `json:"content"`
	} `json:"responses"`
}

func (w *world) spec() spec {
	w.t.Helper()
	var s spec
	if err := json.Unmarshal(w.do("/openapi.json").body, &s); err != nil {
		w.t.Fatal(err)
	}
	if s.OpenAPI != "3.1.0" {
		w.t.Fatalf("openapi = %q; want 3.1.0", s.OpenAPI)
	}
	return s
}

// check holds a value against a schema, as far as the document uses JSON Schema.
func (s spec) check(at string, schema map[string]any, v any) error {
	if r, ok := schema["$ref"].(string); ok {
		name := strings.TrimPrefix(r, "#/components/schemas/")
		def, ok := s.Components.Schemas[name]
		if !ok {
			return fmt.Errorf("%s: no schema %s", at, name)
		}
		return s.check(at, def, v)
	}
	if some, ok := schema["anyOf"].([]any); ok {
		var err error
		for _, one := range some {
			if err = s.check(at, one.(map[string]any), v); err == nil {
				return nil
			}
		}
		return err
	}
	if err := s.checkType(at, schema, v); err != nil {
		return err
	}
	if enum, ok := schema["enum"].([]any); ok && !slices.Contains(enum, v) {
		return fmt.Errorf("%s: %v is none of %v", at, v, enum)
	}
	if schema["format"] == "date-time" {
		if text, ok := v.(string); ok {
			if _, err := time.Parse(time.RFC3339Nano, text); err != nil || !strings.HasSuffix(text, "Z") {
				return fmt.Errorf("%s: %q is no time in UTC", at, text)
			}
		}
	}
	switch x := v.(type) {
	case []any:
		items, _ := schema["items"].(map[string]any)
		for i, e := range x {
			if err := s.check(fmt.Sprintf("%s[%d]", at, i), items, e); err != nil {
				return err
			}
		}
	case map[string]any:
		return s.checkObject(at, schema, x)
	}
	return nil
}

func (s spec) checkObject(at string, schema, v map[string]any) error {
	properties, _ := schema["properties"].(map[string]any)
	required, _ := schema["required"].([]any)
	for _, name := range required {
		if _, ok := v[name.(string)]; !ok {
			return fmt.Errorf("%s: %v is missing", at, name)
		}
	}
	for name, e := range v {
		p, ok := properties[name].(map[string]any)
		if !ok {
			if schema["additionalProperties"] == false {
				return fmt.Errorf("%s: %s is not described", at, name)
			}
			continue
		}
		if err := s.check(at+"."+name, p, e); err != nil {
			return err
		}
	}
	return nil
}

func (s spec) checkType(at string, schema map[string]any, v any) error {
	var types []any
	switch t := schema["type"].(type) {
	case nil:
		return nil
	case string:
		types = []any{t}
	case []any:
		types = t
	}
	is := "object"
	switch x := v.(type) {
	case nil:
		is = "null"
	case bool:
		is = "boolean"
	case string:
		is = "string"
	case []any:
		is = "array"
	case float64:
		is = "number"
		if x == float64(int64(x)) && slices.Contains(types, any("integer")) {
			is = "integer"
		}
	}
	if !slices.Contains(types, any(is)) {
		return fmt.Errorf("%s: found %s; want %v", at, is, types)
	}
	return nil
}

// TestOpenAPI holds the description against real answers: every path is asked,
// every answer has exactly what its schema says.
func TestOpenAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	w.close("2026-03")
	w.post(left("s1", "m1", "p9", "late", 0, 900)) // so that a closing has a change to show
	s := w.spec()
	ids := map[string]string{"closingId": "2026-03.UTC", "sessionId": "s1", "recordingId": "r1", "streamId": "l1", "participantId": "ann"}
	for path, p := range s.Paths {
		if path == "/v1/changes" {
			continue
		}
		target := path
		for name, id := range ids {
			target = strings.ReplaceAll(target, "{"+name+"}", id)
		}
		a := w.get(target)
		if a.status != http.StatusOK {
			t.Errorf("GET %s = %d %s; want 200", target, a.status, a.body)
			continue
		}
		var v any
		if err := json.Unmarshal(a.body, &v); err != nil {
			t.Errorf("GET %s = %s: %v", target, a.body, err)
			continue
		}
		if err := s.check(path, p.Get.Responses["200"].Content["application/json"].Schema, v); err != nil {
			t.Errorf("GET %s: %v in %s", target, err, a.body)
		}
		if m, ok := v.(map[string]any); ok && m["items"] != nil && len(m["items"].([]any)) == 0 {
			t.Errorf("GET %s is empty: it shows nothing", target)
		}
		w.checkParameters(s, target, p.Get)
	}
}

// checkParameters asks with each parameter in a form that is described, and with
// one that is not.
func (w *world) checkParameters(s spec, target string, op operation) {
	for _, p := range op.Parameters {
		if p.In != "query" || p.Name == "cursor" {
			continue
		}
		value := "x"
		if examples, ok := p.Schema["examples"].([]any); ok {
			for _, e := range examples {
				if a := w.do(target + "?" + p.Name + "=" + url.QueryEscape(e.(string))); a.status != http.StatusOK {
					w.t.Errorf("GET %s?%s=%s = %d %s; want 200", target, p.Name, e, a.status, a.body)
				}
			}
			continue
		}
		switch {
		case p.Schema["enum"] != nil:
			value = p.Schema["enum"].([]any)[0].(string)
		case p.Schema["type"] == "integer", p.Schema["type"] == "number":
			value = "1"
		case p.Schema["type"] == "boolean":
			value = "true"
		case p.Schema["type"] == "array":
			value = p.Schema["items"].(map[string]any)["enum"].([]any)[0].(string)
		case p.Schema["format"] == "date-time":
			value = "2026-01-01T00:00:00Z"
		case p.Schema["format"] == "date":
			value = "2026-01-01"
		case p.Name == "timezone":
			value = "Asia/Kolkata"
		case p.Name == "asOf":
			value = "1"
		}
		if a := w.do(target + "?" + p.Name + "=" + url.QueryEscape(value)); a.status != http.StatusOK {
			w.t.Errorf("GET %s?%s=%s = %d %s; want 200", target, p.Name, value, a.status, a.body)
		}
	}
	if a := w.do(target + "?undescribed=1"); a.status != http.StatusBadRequest {
		w.t.Errorf("GET %s?undescribed=1 = %d; want 400", target, a.status)
	}
	if a := w.do(strings.Replace(target, "s1", "nope", 1)); a.status == http.StatusNotFound {
		var v any
		if json.Unmarshal(a.body, &v) != nil || s.check("problem", s.Components.Schemas["Problem"], v) != nil {
			w.t.Errorf("GET %s of nothing = %s; want a problem", target, a.body)
		}
	}
}

// TestFuzzAPI asks every path of the description with parameters that are right,
// nearly right and hostile: whatever is asked, the answer is one that is
// described, and it comes.
func TestFuzzAPI(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	w.everywhere()
	s := w.spec()
	tries := eventlogtest.Rounds(1200, 300)
	if testing.Short() {
		tries = 300
	}
	seed := uint64(7)
	r := rand.New(rand.NewPCG(seed, 0))
	paths := slices.Sorted(func(yield func(string) bool) {
		for p := range s.Paths {
			if p != "/v1/changes" && !yield(p) {
				return
			}
		}
	})
	for i := range tries {
		path := paths[r.IntN(len(paths))]
		w.fuzzOne(s, i, r, path)
	}
}

func (w *world) fuzzOne(s spec, try int, r *rand.Rand, path string) {
	op := s.Paths[path].Get
	q := url.Values{}
	target := path
	for _, p := range op.Parameters {
		if p.In == "path" {
			target = strings.ReplaceAll(target, "{"+p.Name+"}", pathSegment(fuzzValue(r, p.Name)))
		} else if r.IntN(4) == 0 {
			q.Add(p.Name, fuzzValue(r, p.Name))
		}
	}
	if q.Get("wait") != "" || q.Get("minSequence") != "" {
		q.Set("wait", "1ms")
	}
	if r.IntN(20) == 0 {
		q.Add(fuzzValue(r, ""), fuzzValue(r, ""))
	}
	full := target + "?" + q.Encode()
	if _, err := url.Parse(full); err != nil || strings.Contains(target, "//") || strings.HasSuffix(target, "/") {
		return // an empty id is another path
	}
	begin := time.Now()
	a := w.do(full)
	if took := time.Since(begin); took > eventlogtest.Patience {
		w.t.Errorf("try %d: GET %s took %v", try, full, took)
	}
	if a.status == http.StatusMovedPermanently || a.status == http.StatusTemporaryRedirect {
		return
	}
	resp, ok := op.Responses[fmt.Sprint(a.status)]
	if !ok || a.status >= 500 && a.status != 504 {
		w.t.Errorf("try %d: GET %s = %d %s; want an answer that is described", try, full, a.status, a.body)
		return
	}
	kind := "application/problem+json"
	if a.status == 200 {
		if strings.HasPrefix(a.header.Get("Content-Type"), "text/csv") {
			return
		}
		kind = "application/json"
	}
	var v any
	if err := json.Unmarshal(a.body, &v); err != nil {
		w.t.Errorf("try %d: GET %s = %s: %v", try, full, a.body, err)
		return
	}
	if err := s.check(path, resp.Content[kind].Schema, v); err != nil {
		w.t.Errorf("try %d: GET %s: %v", try, full, err)
	}
}

// pathSegment escapes an id; dots too, or the segment is taken for a step up.
func pathSegment(s string) string { return strings.ReplaceAll(url.PathEscape(s), ".", "%2E") }

// fuzzValue is a value for a parameter: mostly one that gets far.
func fuzzValue(r *rand.Rand, name string) string {
	good := map[string][]string{
		"sessionId": {"s1", "s2"}, "recordingId": {"r1"}, "streamId": {"l1"}, "participantId": {"ann", "bob"}, "meetingId": {"m1"},
		"organizerId": {"org-m1"}, "status": {"LIVE", "ENDED", "UPLOADED"}, "from": {"2026-03-01", "2026-03-02T09:00:00Z", "0001-01-02", "9999-12-31"},
		"to": {"2026-03-05", "2026-03-02T09:05:00+05:30", "0001-01-03", "9999-12-31"}, "limit": {"1", "2", "1000"}, "sort": {"startedAt", "-title", "-stale", "attendanceRatio", "day", "sequence", "supersededBy"},
		"asOf": {"3", "7", "2026-03-02T09:05:00Z", "9223372036854775807"}, "stale": {"true", "false"}, "q": {"s1", "lin", "a", "%", "\"", "x\x00y", "日本語"}, "format": {"csv", "json"},
		"minSequence": {"0", "5", "12", "9223372036854775807"}, "wait": {"1ms"}, "groupBy": {"day", "organizer", "day,organizer", "organizer,day"},
		"timezone": {"UTC", "Asia/Kolkata", "America/New_York"}, "stuckFor": {"10m", "2562047h"}, "expiresWithin": {"24h", "2562047h"}, "attendedAtLeast": {"0", "0.5", "1"}, "type": {"meeting.participantJoined", "meeting.ended", "none"}, "after": {"0", "5", "9223372036854775807"},
	}
	hostile := []string{"", " ", "-", "'", "\"", ";", "%", "\x00", "../..", "..", ".", "0", "-1", "1e9", "9223372036854775808", "NaN", "null", "{}", "[]",
		"' OR 1=1 --", "\xff\xfe", "🙂", "a,b", strings.Repeat("x", 3000), "2026-02-30", "2026-13-01T00:00:00Z", "Local", "../../etc/passwd", "\r\nX: y", "-startedAt; DROP TABLE views"}
	if g := good[name]; g != nil && r.IntN(4) > 0 {
		return g[r.IntN(len(g))]
	}
	if name == "cursor" && r.IntN(2) == 0 {
		b := make([]byte, r.IntN(60))
		const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
		for i := range b {
			b[i] = alphabet[r.IntN(len(alphabet))]
		}
		return string(b)
	}
	return hostile[r.IntN(len(hostile))]
}
