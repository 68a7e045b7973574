package docs

import (
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// TestTargetsAreListed: TESTING has a row for each target of the Makefile that tests or
// measures, and no row of a target that is no more.
func TestTargetsAreListed(t *testing.T) {
	makefile, err := os.ReadFile("../Makefile")
	if err != nil {
		t.Fatal(err)
	}
	testing, err := os.ReadFile("TESTING.md")
	if err != nil {
		t.Fatal(err)
	}
	var targets []string
	for _, m := range regexp.MustCompile(`(?m)^([a-z-]+):.* ## `).FindAllStringSubmatch(string(makefile), -1) {
		targets = append(targets, m[1])
		if !slices.Contains([]string{"help", "build", "fmt", "fmt-check", "deploy-copies", "clean"}, m[1]) && !strings.Contains(string(testing), "\n| `make "+m[1]+"` | ") {
			t.Errorf("TESTING.md has no row for make %s", m[1])
		}
	}
	for _, m := range regexp.MustCompile("`make ([a-z-]+)").FindAllStringSubmatch(string(testing), -1) {
		if !slices.Contains(targets, m[1]) {
			t.Errorf("TESTING.md names make %s, which there is not", m[1])
		}
	}
}
