package docs

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// word is a room's name in the picture: the last part of its path, but for the command's own.
func word(room string) string {
	if room == "cmd/rollcall" {
		return room
	}
	return path.Base(room)
}

// drawn returns the line of each word in the picture, the first code block below "## Rooms".
func drawn(document string) map[string]int {
	_, rest, _ := strings.Cut(document, "\n## Rooms\n")
	_, rest, _ = strings.Cut(rest, "```\n")
	picture, _, _ := strings.Cut(rest, "```\n")
	at := map[string]int{}
	for i, line := range strings.Split(picture, "\n") {
		for _, w := range regexp.MustCompile(`[a-z/]+`).FindAllString(line, -1) {
			at[w] = i + 1
		}
	}
	return at
}

// untrue returns what in the picture breaks the table: a room that is missing, or
// an import that does not point down.
func untrue(at map[string]int) []string {
	var problems []string
	for name, r := range rooms {
		if name == "docs" {
			continue
		}
		if at[word(name)] == 0 {
			problems = append(problems, name+" is not in the picture")
			continue
		}
		for _, imported := range r.imports {
			if below := at[word(imported)]; below != 0 && below <= at[word(name)] {
				problems = append(problems, fmt.Sprintf("%s imports %s, which must stand below it", name, imported))
			}
		}
	}
	slices.Sort(problems)
	return problems
}

// TestPicture holds the picture of the rooms to the table: all are in it, and
// arrows point down only.
func TestPicture(t *testing.T) {
	b, err := os.ReadFile(filepath.Join(root, "docs/ARCHITECTURE.md"))
	if err != nil {
		t.Fatal(err)
	}
	text := string(b)
	for _, problem := range untrue(drawn(text)) {
		t.Errorf("picture of the rooms in ARCHITECTURE: %s", problem)
	}

	turned := strings.NewReplacer(" ingest ", " web ", " web ", " ingest ", " replica ", " ").Replace(text)
	want := []string{"ingest imports ingest/web, which must stand below it", "query/replica is not in the picture"}
	if got := untrue(drawn(turned)); !slices.Equal(got, want) {
		t.Errorf("untrue() of a picture with two faults = %q; want %q", got, want)
	}
}
