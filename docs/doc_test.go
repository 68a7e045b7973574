// Package docs holds the tests that keep the tree and its documents in order:
// who may import whom (arrows_test.go), how the sources are cut
// (sources_test.go), and that the documents speak of things that exist
// (links_test.go). Nothing imports it, and it holds no code.
package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// root is the module's directory, as seen from this package.
const root = ".."

// source is one parsed Go file.
type source struct {
	path  string // from the module's root, with slashes
	text  string
	fset  *token.FileSet
	file  *ast.File
	lines int
}

func (s *source) test() bool { return strings.HasSuffix(s.path, "_test.go") }

// line says where a node stands, for a failure's text.
func (s *source) line(n ast.Node) int { return s.fset.Position(n.Pos()).Line }

// parsed is what sources has read, once for all tests.
var parsed []*source

// sources parses every Go file of the module, whatever its build tags. The
// tests that call it do not run in parallel.
func sources(t *testing.T) []*source {
	t.Helper()
	if parsed != nil {
		return parsed
	}
	var all []*source
	for _, path := range files(t, ".go") {
		text, err := os.ReadFile(filepath.Join(root, path))
		if err != nil {
			t.Fatal(err)
		}
		fset := token.NewFileSet()
		file, err := parser.ParseFile(fset, path, text, parser.ParseComments|parser.SkipObjectResolution)
		if err != nil {
			t.Errorf("parse %s: %v", path, err)
			continue
		}
		all = append(all, &source{path: path, text: string(text), fset: fset, file: file, lines: strings.Count(string(text), "\n")})
	}
	if len(all) == 0 {
		t.Fatal("no Go file found: is the test run outside its module?")
	}
	parsed = all
	return all
}

// files lists the module's files with an ending, but for hidden folders and testdata.
func files(t *testing.T, ending string) []string {
	t.Helper()
	var paths []string
	err := filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != root && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case !d.IsDir() && strings.HasSuffix(path, ending):
			rel, err := filepath.Rel(root, path)
			if err != nil {
				return err
			}
			paths = append(paths, filepath.ToSlash(rel))
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return paths
}

// testNames lists the functions of a test file that go test may run.
func (s *source) testNames() (names []string) {
	if !s.test() {
		return nil
	}
	for _, d := range s.file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Recv == nil {
			names = append(names, f.Name.Name)
		}
	}
	return names
}
