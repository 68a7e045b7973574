package docs

import (
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/projections"
)

// TestFormatVectors: the test vectors that FORMAT.md gives to other languages are ours.
func TestFormatVectors(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/FORMAT.md"))
	if err != nil {
		t.Fatal(err)
	}
	slices, tokens := 0, 0
	row := regexp.MustCompile("(?m)^\\| (`[^`]*`|\\(empty\\)) \\| (`[^`]*`|[0-9]+) \\|$")
	for _, m := range row.FindAllStringSubmatch(string(text), -1) {
		id := strings.Trim(strings.Replace(m[1], "(empty)", "", 1), "`")
		if want, err := strconv.Atoi(m[2]); err == nil {
			slices++
			if got := eventlog.Slice(id); got != want {
				t.Errorf("Slice(%q) = %d; FORMAT.md says %d", id, got, want)
			}
		} else if want := strings.Trim(m[2], "`"); strings.HasPrefix(want, "h_") || want == id {
			tokens++
			if got := eventlog.EscapeID(id); got != want {
				t.Errorf("EscapeID(%q) = %s; FORMAT.md says %s", id, got, want)
			}
		}
	}
	if slices < 4 || tokens < 2 {
		t.Errorf("FORMAT.md has %d slice and %d token vectors; want at least 4 and 2: did the tables change their form?", slices, tokens)
	}
}

var update = flag.Bool("update", false, "write what is generated in the documents")

const (
	membersBegin = "<!-- members: go test ./docs -run TestFormatMembers -update -->\n"
	membersEnd   = "<!-- end of members -->\n"
)

// TestFormatMembers: FORMAT.md says of each view what its documents hold, as the
// fields beside the folds do.
func TestFormatMembers(t *testing.T) {
	path := filepath.Join(root, "docs/FORMAT.md")
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begun := strings.Cut(string(text), membersBegin)
	got, after, ended := strings.Cut(rest, membersEnd)
	if !begun || !ended {
		t.Fatalf("FORMAT.md has no part between %s and %s", membersBegin, membersEnd)
	}
	var want strings.Builder
	for _, v := range projections.Views() {
		if !strings.Contains(before, "\n| `"+v.Fold.Name()+"` | `") {
			t.Errorf("FORMAT.md's table of views does not say which keys %s has", v.Fold.Name())
		}
		fmt.Fprintf(&want, "\n#### View `%s`\n\n| member | JSON | what |\n|---|---|---|\n", v.Fold.Name())
		writeMembers(&want, "", v.Fields)
	}
	want.WriteString("\n")
	if got == want.String() {
		return
	}
	if !*update {
		t.Fatalf("FORMAT.md's members are not those of the fields in projections; run go test ./docs -run TestFormatMembers -update")
	}
	if err := os.WriteFile(path, []byte(before+membersBegin+want.String()+membersEnd+after), 0o644); err != nil {
		t.Fatal(err)
	}
}

func writeMembers(w *strings.Builder, at string, fields []projections.Field) {
	for _, f := range fields {
		fmt.Fprintf(w, "| `%s` | %s | %s |\n", at+f.Name, typeOf(f), f.Doc)
		inner := at + f.Name + "."
		if f.Kind == projections.KindList {
			inner = at + f.Name + "[]."
		}
		writeMembers(w, inner, f.Members)
	}
}

// typeOf is what a member holds, in a few words.
func typeOf(f projections.Field) string {
	words := map[projections.Kind]string{
		projections.KindText: "text", projections.KindDate: "date", projections.KindTime: "time", projections.KindSeconds: "number", projections.KindInteger: "whole number", projections.KindBool: "true or false",
		projections.KindRatio: "number from 0 to 1", projections.KindTexts: "list of texts", projections.KindObject: "object", projections.KindList: "list of objects", projections.KindAny: "any",
	}[f.Kind]
	if f.Enum != nil {
		words = "`" + strings.Join(f.Enum, "` or `") + "`"
	}
	if f.Unit != "" {
		words += " of " + f.Unit
	}
	switch {
	case f.Nullable:
		words += ", or null"
	case f.Optional:
		words += ", or absent"
	}
	return words
}
