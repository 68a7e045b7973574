package query

import (
	"bytes"
	"flag"
	"os"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"

	"rollcall/projector/viewstore"
)

var updateAsyncAPI = flag.Bool("update-asyncapi", false, "write docs/asyncapi.json")

const asyncAPIFile = "../docs/asyncapi.json"

// natsAPI collects the channels of the NATS subjects.
type natsAPI struct{ channels, operations map[string]any }

func reference(path string) map[string]any { return map[string]any{"$ref": "#/" + path} }

// add describes a subject. action is Rollcall's: send, or receive.
func (n natsAPI) add(name, action, address, doc string, message map[string]any) map[string]any {
	parameters := map[string]any{}
	for _, part := range strings.Split(address, "{")[1:] {
		p, _, _ := strings.Cut(part, "}")
		parameters[p] = map[string]any{"description": "See FORMAT."}
	}
	message["name"], message["contentType"] = name, "application/json"
	n.channels[name] = map[string]any{"address": address, "description": doc, "parameters": parameters, "messages": map[string]any{"message": message}}
	op := map[string]any{"action": action, "channel": reference("channels/" + name), "summary": doc,
		"messages": []any{reference("channels/" + name + "/messages/message")}}
	n.operations[action+strings.ToUpper(name[:1])+name[1:]] = op
	return op
}

// addViews describes what a view is read by: its KV keys, and plain subjects.
func (n natsAPI) addViews(views []*view, schemas map[string]any) {
	for _, v := range views {
		var stored []field
		for _, f := range v.fields {
			if !f.asked {
				stored = append(stored, field{Field: f.Field})
			}
		}
		schemas[v.name] = documentSchema(stored)
		payload := reference("components/schemas/" + v.name)
		n.add(v.name+"Keys", "send", "$KV."+v.name+"_g{generation}.{key}", "The documents of "+v.name+", in a KV bucket; the alias names the generation.",
			map[string]any{"payload": payload})
		n.add(v.name+"Changes", "send", viewstore.PlainSubject(v.name, "{key}"), "The changes of "+v.name+", each once after a commit; empty for a deleted key.",
			map[string]any{"payload": payload, "headers": headerSchema("KV-Operation", "Rollcall-Revision", "Rollcall-Sequence")})
	}
}

// headerSchema is that of texts, any of which may be missing.
func headerSchema(names ...string) map[string]any {
	properties := map[string]any{}
	for _, name := range names {
		properties[name] = schema("string")
	}
	return map[string]any{"type": "object", "properties": properties}
}

// addQuestions describes the questions, with the parameters and answers of their routes.
func (n natsAPI) addQuestions(a *API) {
	for _, e := range endpoints() {
		r, name := a.byPath[e[2]], strings.ReplaceAll(e[0], "-", "_")
		properties, required := map[string]any{}, []string{}
		for _, p := range r.params {
			d := p.describe(r)
			s := described(d["schema"].(map[string]any), p.doc)
			properties[p.name] = s
			if p.inPath {
				required = append(required, p.name)
			}
		}
		item := r.item
		if r.list {
			item += "List"
		}
		op := n.add(name, "receive", e[1], "Answers what GET "+e[2]+" does.", map[string]any{"payload": map[string]any{
			"type": "object", "properties": properties, "required": required, "additionalProperties": false}})
		reply := name + "_reply"
		n.channels[reply] = map[string]any{"address": nil, "description": "The reply subject of the request.", "messages": map[string]any{
			"message": map[string]any{"name": reply, "contentType": "application/json", "payload": reference("components/schemas/" + item), "headers": headerSchema("Rollcall-Sequence")},
			"problem": map[string]any{"name": reply + "_problem", "contentType": "application/problem+json", "payload": reference("components/schemas/Problem"),
				"headers": headerSchema("Nats-Service-Error", "Nats-Service-Error-Code")}}}
		op["reply"] = map[string]any{"address": map[string]any{"location": "$message.header#/reply"}, "channel": reference("channels/" + reply),
			"messages": []any{reference("channels/" + reply + "/messages/message"), reference("channels/" + reply + "/messages/problem")}}
	}
}

// asyncAPI is the description of the NATS subjects, from the same tables as the
// service and openapi.json.
func asyncAPI(t *testing.T) []byte {
	t.Helper()
	a := &API{byPath: map[string]*route{}}
	var err error
	if a.views, err = views(); err != nil {
		t.Fatal(err)
	}
	a.routes = a.table()
	for _, r := range a.routes {
		a.byPath[r.path] = r
	}
	described, err := a.describe()
	if err != nil {
		t.Fatal(err)
	}
	var open struct {
		Components struct {
			Schemas map[string]any `json:"schemas"`
		} `json:"components"`
	}
	if err := json.Unmarshal(described, &open); err != nil {
		t.Fatal(err)
	}
	all, schemas := open.Components.Schemas, map[string]any{}
	for _, name := range []string{"Session", "SessionList", "ParticipantList", "Participant", "Recording", "Artifacts", "AsOf", "Problem"} {
		schemas[name] = all[name]
	}
	n := natsAPI{map[string]any{}, map[string]any{}}
	n.add("records", "send", "meetings.{slice}.{resource}.{action}", "The log: each webhook's body, byte for byte, in the stream MEETINGS.", map[string]any{
		"payload": map[string]any{"description": "The body as it was sent."},
		"headers": headerSchema("ce-specversion", "ce-id", "ce-type", "ce-source", "ce-time", "Rollcall-Delivery", "Rollcall-Webhook", "Rollcall-Signature", "Rollcall-Key", "Rollcall-Encoding", "traceparent", "Nats-Msg-Id")})
	n.add("alias", "send", "$KV.rollcall.alias.{view}", "Which generation of a view is current.", map[string]any{"payload": object(
		words("bucket", "The KV bucket."), whole("generation", "Its number."), words("version", "The version of the fold."), whole("epoch", "It grows with each change."))})
	n.add("status", "send", "rollcall.status.{process}", "What a process reports each second.", map[string]any{"payload": schema("object")})
	n.addViews(a.views, schemas)
	n.addQuestions(a)
	doc := map[string]any{"asyncapi": "3.0.0", "defaultContentType": "application/json", "channels": n.channels, "operations": n.operations,
		"info": map[string]any{"title": "Rollcall on NATS", "version": "1", "license": map[string]any{"name": "Apache License 2.0", "url": "https://www.apache.org/licenses/LICENSE-2.0"},
			"description": "The subjects that other services may rely on. FORMAT.md says what they mean and how to follow a view."},
		"components": map[string]any{"schemas": schemas}}
	b, err := json.Marshal(doc, json.Deterministic(true), jsontext.WithIndent(" "))
	if err != nil {
		t.Fatal(err)
	}
	return append(b, '\n')
}

// TestAsyncAPI: docs/asyncapi.json is what the tables say. -update-asyncapi writes it.
func TestAsyncAPI(t *testing.T) {
	want := asyncAPI(t)
	if *updateAsyncAPI {
		if err := os.WriteFile(asyncAPIFile, want, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(asyncAPIFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("%s is not what the tables say: go test ./query -run TestAsyncAPI -update-asyncapi", asyncAPIFile)
	}
}
