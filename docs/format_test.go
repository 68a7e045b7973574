package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"rollcall/eventlog"
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
