package query

import (
	"slices"
	"strings"
	"testing"

	"rollcall/projections"
)

// TestViewsAreWhole: every fold has its read side and every read side its fold,
// and what a read side names is there.
func TestViewsAreWhole(t *testing.T) {
	all, err := views()
	if err != nil || len(all) != len(projections.Views()) {
		t.Fatalf("views() = %d views, %v; want %d", len(all), err, len(projections.Views()))
	}
	made := projections.Views()
	_, err = join(made, declared()[1:])
	wantError(t, "a fold alone", err, "view sessions has a fold, and nothing that says how it is read: add it to declared in query")
	_, err = join(slices.DeleteFunc(made, func(v projections.View) bool { return v.Fold.Name() == viewUsage }), declared())
	wantError(t, "a read side alone", err, "view usage is read, and no fold makes it: add it to Views in projections")
}

// TestViewsNameWhatTheyHave: a name in a declaration that is no column, or no
// member, is found at the start.
func TestViewsNameWhatTheyHave(t *testing.T) {
	for what, change := range map[string]func(v *view){
		"index":  func(v *view) { v.indexes = append(v.indexes, "startedAt, nothing") },
		"search": func(v *view) { v.search = []string{"nothing"} },
		"id":     func(v *view) { v.id = "nothing" },
		"order":  func(v *view) { v.order = "-nothing" },
		"filter": func(v *view) { v.filters = append(v.filters, filter{param: textParam("nothing", "")}) },
		"column": func(v *view) { v.kept = []string{"nothing"} },
		"csv":    func(v *view) { v.csv = map[string]*csvField{"nothing": {}} },
	} {
		read := declared()
		change(read[slices.IndexFunc(read, func(v *view) bool { return v.name == viewRecordings })])
		_, err := join(projections.Views(), read)
		wantError(t, what, err, "view recordings: it ")
		wantError(t, what, err, "nothing")
	}
}

// TestFieldsAreDocumented: each member of each answer says what it means.
func TestFieldsAreDocumented(t *testing.T) {
	all, err := views()
	if err != nil {
		t.Fatal(err)
	}
	for _, r := range (&API{views: all}).table() {
		for _, f := range r.fields {
			if !strings.HasSuffix(f.Doc, ".") {
				t.Errorf("%s of %s is documented by %q; want a sentence", f.Name, r.path, f.Doc)
			}
		}
	}
}

func wantError(t *testing.T, what string, err error, text string) {
	t.Helper()
	if err == nil || !strings.Contains(err.Error(), text) {
		t.Errorf("join with %s = %v; want %q", what, err, text)
	}
}
