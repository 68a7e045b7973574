package query_test

import (
	"encoding/json"
	"os"
	"slices"
	"strings"
	"testing"

	"rollcall/projections"
)

// describedSubjects are the addresses of docs/asyncapi.json.
func describedSubjects(t *testing.T) (all []string) {
	t.Helper()
	b, err := os.ReadFile("../docs/asyncapi.json")
	if err != nil {
		t.Fatal(err)
	}
	var doc struct {
		Channels map[string]struct {
			Address string `json:"address"`
		} `json:"channels"`
	}
	if err := json.Unmarshal(b, &doc); err != nil {
		t.Fatal(err)
	}
	for _, c := range doc.Channels {
		all = append(all, c.Address)
	}
	return all
}

// TestAsyncAPIService: FORMAT and docs/asyncapi.json name the same questions, and
// docs/asyncapi.json names each view's subjects.
func TestAsyncAPIService(t *testing.T) {
	format, err := os.ReadFile("../docs/FORMAT.md")
	if err != nil {
		t.Fatal(err)
	}
	subjects, questions := describedSubjects(t), 0
	for _, s := range subjects {
		if strings.HasPrefix(s, "rollcall.query.") {
			questions++
			if !strings.Contains(string(format), "| `"+s+"` |") {
				t.Errorf("FORMAT.md does not name %s", s)
			}
		}
	}
	if rows := strings.Count(string(format), "| `rollcall.query."); questions != rows || questions == 0 {
		t.Errorf("docs/asyncapi.json has %d questions; FORMAT.md has %d", questions, rows)
	}
	for _, fold := range projections.All() {
		for _, want := range []string{"rollcall.views." + fold.Name() + ".{key}", "$KV." + fold.Name() + "_g{generation}.{key}"} {
			if !slices.Contains(subjects, want) {
				t.Errorf("docs/asyncapi.json has no %s", want)
			}
		}
	}
}
