package docs

import (
	"go/ast"
	"go/parser"
	"go/token"
	"slices"
	"strings"
	"testing"
)

const (
	maxFileLines     = 600
	maxFunctionLines = 80
)

// topLevel is all that may stand at the module's root as a package or folder of packages.
var topLevel = []string{"cmd", "deploy", "docs", "eventlog", "ingest", "projections", "projector", "query"}

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

// TestFunctionLength leaves tests out: a table, or a scenario in steps, is one function.
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
// In a synctest bubble a sleep takes no time.
func TestNoSleep(t *testing.T) {
	for _, s := range sources(t) {
		for _, n := range sleeps(s.file) {
			t.Errorf("%s:%d sleeps; wait on a signal, on ctx, or in a synctest bubble", s.path, s.line(n))
		}
	}
}

// sleeps returns the uses of time.Sleep that are not in an argument of
// synctest.Test, or of a function of the file that passes it on, whatever the
// file calls the two packages.
func sleeps(file *ast.File) (found []ast.Node) {
	names := map[string]string{} // import path by the file's name for it
	for _, spec := range file.Imports {
		path := strings.Trim(spec.Path.Value, `"`)
		name := path[strings.LastIndex(path, "/")+1:]
		if spec.Name != nil {
			name = spec.Name.Name
		}
		names[name] = path
	}
	is := func(n ast.Node, path, member string) bool {
		sel, ok := n.(*ast.SelectorExpr)
		if !ok || sel.Sel.Name != member {
			return false
		}
		x, ok := sel.X.(*ast.Ident)
		return ok && names[x.Name] == path
	}
	bubbles := map[string]bool{} // functions of the file that run one of their parameters in a bubble
	for _, d := range file.Decls {
		if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
			ast.Inspect(f.Body, func(n ast.Node) bool {
				if call, ok := n.(*ast.CallExpr); ok && is(call.Fun, "testing/synctest", "Test") && len(call.Args) == 2 {
					_, passed := call.Args[1].(*ast.Ident)
					bubbles[f.Name.Name] = bubbles[f.Name.Name] || passed
				}
				return true
			})
		}
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if call, ok := n.(*ast.CallExpr); ok {
			name, _ := call.Fun.(*ast.Ident)
			if is(call.Fun, "testing/synctest", "Test") || name != nil && bubbles[name.Name] {
				return false
			}
		}
		if is(n, "time", "Sleep") {
			found = append(found, n)
		}
		return true
	})
	return found
}

// TestNoSleepSeesPlanted: a sleep is found by what it calls, under any name.
func TestNoSleepSeesPlanted(t *testing.T) {
	for text, want := range map[string]int{
		`import "time"; func f() { time.Sleep(1) }`:                                                                    1,
		`import clock "time"; func f() { clock.Sleep(1) }`:                                                             1,
		`import "time"; var wait = time.Sleep // as synctest says`:                                                     1,
		`import ("testing/synctest"; "time"); func f() { synctest.Test(nil, func(t any) { time.Sleep(1) }) }`:          0,
		`import ("testing/synctest"; "time"); func f() { synctest.Wait(); time.Sleep(1) }`:                             1,
		`type time struct{ Sleep func(int) }; func f(time time) { time.Sleep(1) } // "time.Sleep" is only a word here`: 0,
	} {
		file, err := parser.ParseFile(token.NewFileSet(), "planted.go", "package p; "+text, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		if got := len(sleeps(file)); got != want {
			t.Errorf("sleeps(%s) = %d; want %d", text, got, want)
		}
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
