//go:build mutants

package projections_test

import (
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// TestMutants builds the package with each rule of testdata/mutants.txt broken,
// and wants a test to go red. The tree is not touched: the compiler gets the
// broken file as an overlay.
func TestMutants(t *testing.T) {
	text, err := os.ReadFile("testdata/mutants.txt")
	if err != nil {
		t.Fatal(err)
	}
	blocks := strings.Split(string(text), "\n# ")[1:]
	if len(blocks) < 15 {
		t.Fatalf("%d mutants; want 15 at least", len(blocks))
	}
	for _, b := range blocks {
		lines := strings.Split(strings.TrimSpace(b), "\n")
		if len(lines) != 4 {
			t.Fatalf("block %q has %d lines; want 4", lines[0], len(lines))
		}
		t.Run(lines[0], func(t *testing.T) {
			mutant(t, lines[1], strings.TrimPrefix(lines[2], "- "), strings.TrimPrefix(lines[3], "+ "))
		})
	}
}

func mutant(t *testing.T, file, old, broken string) {
	t.Helper()
	source, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if n := strings.Count(string(source), old); n != 1 {
		t.Fatalf("%s has %q %d times; want once", file, old, n)
	}
	path, err := filepath.Abs(file)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	changed, overlay := filepath.Join(dir, file), filepath.Join(dir, "overlay.json")
	list, err := json.Marshal(map[string]map[string]string{"Replace": {path: changed}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string]string{
		changed: strings.Replace(string(source), old, broken, 1), overlay: string(list),
	} {
		if err := os.WriteFile(name, []byte(data), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", "test", "-count=1", "-failfast", "-vet=off", "-overlay", overlay,
		"-run", "Scenarios|Folds|Views|Applying|UsageAgrees|Date", ".", "-rapid.checks=1500", "-rapid.nofailfile")
	out, err := cmd.CombinedOutput()
	switch {
	case err == nil:
		t.Errorf("every test passes with %q in %s; want one red", broken, file)
	case !strings.Contains(string(out), "--- FAIL"):
		t.Errorf("does not build:\n%s", out)
	}
}
