package docs

import (
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// broken is a named change of meaning to one file, and the test that must go
// red for it. The two files of them, and their form, are described at the top of
// testdata/promises.txt.
type broken struct {
	promises []string // the headings it stands under
	what     string
	file     string
	old, new string
	pkg      string // the package of the test
	test     string // its name, or a pattern of go test -run
	tags     string // build tags that the test needs, with commas
}

// brokenFiles hold the changes that tests must see: of GUARANTEES' promises, and
// of faults that no test saw once.
var brokenFiles = []string{"promises", "holes"}

// readBroken reads one of brokenFiles.
func readBroken(t *testing.T, name string) []broken {
	t.Helper()
	text, err := os.ReadFile(filepath.Join("testdata", name+".txt"))
	if err != nil {
		t.Fatal(err)
	}
	return parseBroken(t, name, string(text))
}

func parseBroken(t *testing.T, name, text string) (all []broken) {
	t.Helper()
	var headings []string
	open := false // headings may still be added
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		mark, rest, _ := strings.Cut(line, " ")
		switch {
		case mark == "##" && !open:
			headings, open = []string{rest}, true
		case mark == "##":
			headings = append(headings, rest)
		case len(headings) == 0: // the file's own description
		case mark == "#":
			all, open = append(all, broken{promises: headings, what: rest}), false
		case line != "":
			if len(all) == 0 || open {
				t.Fatalf("%s.txt: %q stands before any change", name, line)
			}
			all[len(all)-1].add(mark, rest)
		}
	}
	return all
}

// add reads one line of a change.
func (b *broken) add(mark, rest string) {
	switch mark {
	case "-":
		b.old += rest + "\n"
	case "+":
		b.new += rest + "\n"
	case "!":
		words := strings.Fields(rest)
		b.pkg, b.test = words[0], words[1]
		if len(words) > 2 {
			b.tags = words[2]
		}
	default:
		b.file = mark
	}
}

// apply returns the file's text with the change. What is replaced stands once in it.
func (b *broken) apply(t *testing.T) string {
	t.Helper()
	source, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		t.Fatalf("%s: %v", b.what, err)
	}
	old, changed := strings.TrimSuffix(b.old, "\n"), strings.TrimSuffix(b.new, "\n")
	if n := strings.Count(string(source), old); old == "" || n != 1 {
		t.Fatalf("%s: %s has %q %d times; want once", b.what, b.file, old, n)
	}
	return strings.Replace(string(source), old, changed, 1)
}

// promiseRow is a row of the tables of promises: from, to, promise, held by.
var promiseRow = regexp.MustCompile(`^\| (.+?) \| (.+?) \| .+ \| .*` + "`Test")

// TestPromisesHaveMutants: each promise of GUARANTEES names a change that breaks
// it, which can still be made, and the test that goes red for it.
// TestMutantsPromises (make promises) makes each of them.
func TestPromisesHaveMutants(t *testing.T) {
	guarantees, err := os.ReadFile("GUARANTEES.md")
	if err != nil {
		t.Fatal(err)
	}
	var rows []string
	for line := range strings.Lines(string(guarantees)) {
		if m := promiseRow.FindStringSubmatch(line); m != nil {
			rows = append(rows, m[1]+" | "+m[2])
		}
	}
	if len(rows) < 40 {
		t.Fatalf("found %d promises in GUARANTEES; has the table another form?", len(rows))
	}
	held := map[string]bool{}
	for _, b := range readBroken(t, "promises") {
		for _, p := range b.promises {
			if held[p] = true; !slices.Contains(rows, p) {
				t.Errorf("promises.txt: GUARANTEES promises nothing from %s", p)
			}
		}
	}
	for _, row := range rows {
		if !held[row] {
			t.Errorf("promises.txt names no change that breaks: %s", row)
		}
	}
}

// TestBrokenApply: each named change can be made, and its test exists.
func TestBrokenApply(t *testing.T) {
	tests := map[string]bool{}
	for _, s := range sources(t) {
		for _, name := range s.testNames() {
			tests[filepath.ToSlash(filepath.Dir(s.path))+" "+name] = true
		}
	}
	for _, name := range brokenFiles {
		for _, b := range readBroken(t, name) {
			t.Run(b.what, func(t *testing.T) {
				b.apply(t)
				first, _, _ := strings.Cut(b.test, "/")
				if !tests[b.pkg+" "+first] {
					t.Errorf("%s.txt names %s of %s, which does not exist", name, b.test, b.pkg)
				}
			})
		}
	}
}
