package docs

import (
	"go/ast"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

// topLevel is all that may stand at the module's root as a package or folder of packages.
var topLevel = []string{"cmd", "docs", "eventlog", "ingest", "projections", "projector", "query"}

func TestTopLevel(t *testing.T) {
	for _, s := range sources(t) {
		top, _, nested := strings.Cut(s.path, "/")
		if !nested || !slices.Contains(topLevel, top) {
			t.Errorf("%s: Go files stand under %v only", s.path, topLevel)
		}
	}
}

func TestFileLength(t *testing.T) {
	for _, s := range sources(t) {
		if s.lines > maxFileLines {
			t.Errorf("%s has %d lines; the cap is %d: split it by what its parts do", s.path, s.lines, maxFileLines)
		}
	}
}

// TestFunctionLength leaves tests out: a table, or a story told in steps, is one function.
func TestFunctionLength(t *testing.T) {
	for _, s := range sources(t) {
		if s.test() {
			continue
		}
		for _, d := range s.file.Decls {
			f, ok := d.(*ast.FuncDecl)
			if !ok || f.Body == nil {
				continue
			}
			lines := s.fset.Position(f.Body.Rbrace).Line - s.fset.Position(f.Body.Lbrace).Line
			if lines > maxFunctionLines {
				t.Errorf("%s: %s has %d lines; the cap is %d", s.path, f.Name.Name, lines, maxFunctionLines)
			}
		}
	}
}

// TestNoSleep: a test that sleeps is slow when it passes and wrong when the machine is slow.
func TestNoSleep(t *testing.T) {
	for _, s := range sources(t) {
		if strings.HasPrefix(s.path, "docs/") {
			continue // this package only names what it forbids
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			call, ok := n.(*ast.SelectorExpr)
			if !ok || call.Sel.Name != "Sleep" {
				return true
			}
			if x, ok := call.X.(*ast.Ident); ok && x.Name == "time" && !strings.Contains(s.text, "synctest") {
				t.Errorf("%s:%d sleeps; wait on a signal, on ctx, or in a synctest bubble", s.path, s.line(n))
			}
			return true
		})
	}
}

// TestPackageDoc: each package has a design page of its own.
func TestPackageDoc(t *testing.T) {
	documented := map[string]bool{}
	for _, s := range sources(t) {
		dir, _, _ := cutLast(s.path, "/")
		if s.test() && dir != "docs" {
			continue
		}
		documented[dir] = documented[dir] || s.file.Doc != nil
	}
	for dir, ok := range documented {
		if !ok {
			t.Errorf("package %s has no package comment", dir)
		}
	}
}
