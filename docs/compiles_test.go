package docs

import (
	"errors"
	"fmt"
	"go/ast"
	"go/build"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"slices"
	"strings"
	"testing"
)

// TestBrokenCompile: the program compiles with each named change; else the change
// shows nothing. Nearly all are inside of a function: a copy of it with the change
// stands in its package under another name, so that a package is checked once for all.
func TestBrokenCompile(t *testing.T) {
	changes := map[string][]broken{}
	for _, b := range slices.Concat(readBroken(t, "promises"), readBroken(t, "holes"), readBrokenFolds(t)) {
		if dir := path.Dir(b.file); path.Ext(b.file) == ".go" {
			changes[dir] = append(changes[dir], b)
		}
	}
	packages := map[string]*checked{}
	imports := map[string]bool{}
	for pkg := range changes {
		packages[pkg] = parsePackage(t, pkg)
		for _, f := range packages[pkg].files {
			for _, i := range f.Imports {
				imports[importPath(i)] = true
			}
		}
	}
	exports := exportFiles(t, imports)
	for pkg, c := range packages {
		t.Run(pkg, func(t *testing.T) {
			t.Parallel()
			for _, b := range changes[pkg] {
				c.add(t, b)
			}
			c.check(t, exports)
		})
	}
}

// readBrokenFolds reads the changes of the folds, which all stand under one heading.
func readBrokenFolds(t *testing.T) []broken {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "projections/testdata/mutants.txt"))
	if err != nil {
		t.Fatal(err)
	}
	_, list, _ := strings.Cut(string(text), "\n# ")
	all := parseBroken(t, "mutants", "## folds\n# "+list)
	for i := range all {
		all[i].file = "projections/" + all[i].file
	}
	return all
}

// checked is a package, and copies of its functions with a change in each.
type checked struct {
	set    *token.FileSet
	files  map[string]*ast.File // by path from the root
	copies []*brokenCopy
	apart  []apart
}

// apart is a change outside of functions: its package is checked once more for it.
type apart struct {
	broken
	files []*ast.File
}

// brokenCopy is a file of the imports of another, and the copy of one function.
type brokenCopy struct {
	broken
	tree     *ast.File
	original *ast.FuncDecl
	changed  *ast.FuncDecl
}

func parsePackage(t *testing.T, pkg string) *checked {
	t.Helper()
	c := &checked{set: token.NewFileSet(), files: map[string]*ast.File{}}
	for _, name := range sourcesOf(t, pkg) {
		tree, err := parser.ParseFile(c.set, name, nil, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		c.files[path.Join(pkg, filepath.Base(name))] = tree
	}
	return c
}

// sourcesOf lists the files of a package that this system builds, tests left out.
func sourcesOf(t *testing.T, pkg string) (paths []string) {
	t.Helper()
	dir := filepath.Join(root, filepath.FromSlash(pkg))
	p, err := build.ImportDir(dir, 0)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range p.GoFiles {
		paths = append(paths, filepath.Join(dir, name))
	}
	return paths
}

// add puts a copy of the function that a change is in beside the package.
func (c *checked) add(t *testing.T, b broken) {
	t.Helper()
	whole := c.files[b.file]
	if whole == nil {
		return // of another system
	}
	text := b.apply(t)
	tree, err := parser.ParseFile(c.set, fmt.Sprintf("%s#%d", b.file, len(c.copies)), text, parser.SkipObjectResolution)
	if err != nil {
		t.Errorf("%s: %v", b.what, err)
		return
	}
	source, err := os.ReadFile(filepath.Join(root, b.file))
	if err != nil {
		t.Fatal(err)
	}
	at := strings.Index(string(source), strings.TrimSuffix(b.old, "\n"))
	changed, original := c.bodyAt(tree, at, len(b.new)-1), c.bodyAt(whole, at, len(b.old)-1)
	if changed == nil || original == nil {
		others := maps.Clone(c.files)
		others[b.file] = tree
		c.apart = append(c.apart, apart{b, slices.Collect(maps.Values(others))})
		return
	}
	changed.Name.Name = fmt.Sprintf("broken%d", len(c.copies))
	tree.Decls = slices.DeleteFunc(tree.Decls, func(d ast.Decl) bool {
		g, ok := d.(*ast.GenDecl)
		return d != changed && (!ok || g.Tok != token.IMPORT)
	})
	c.copies = append(c.copies, &brokenCopy{broken: b, tree: tree, original: original, changed: changed})
}

// bodyAt finds the function whose body holds length bytes of a file.
func (c *checked) bodyAt(tree *ast.File, at, length int) *ast.FuncDecl {
	file := c.set.File(tree.FileStart)
	for _, d := range tree.Decls {
		f, ok := d.(*ast.FuncDecl)
		if ok && f.Body != nil && file.Offset(f.Body.Lbrace) < at && at+length <= file.Offset(f.Body.Rbrace) {
			return f
		}
	}
	return nil
}

// check has the type checker of the compiler look at the package with its copies.
func (c *checked) check(t *testing.T, exports map[string]string) {
	t.Helper()
	all, byName := slices.Collect(maps.Values(c.files)), map[string]*brokenCopy{}
	for _, b := range c.copies {
		all = append(all, b.tree)
		byName[c.nameAt(b.tree.FileStart)] = b
	}
	info := &types.Info{Uses: map[*ast.Ident]types.Object{}}
	config := types.Config{
		Importer: importer.ForCompiler(c.set, "gc", func(path string) (io.ReadCloser, error) { return os.Open(exports[path]) }),
		Sizes:    types.SizesFor("gc", runtime.GOARCH),
		Error: func(err error) {
			var e types.Error
			if !errors.As(err, &e) {
				t.Error(err)
				return
			}
			switch b := byName[c.nameAt(e.Pos)]; {
			case b == nil:
				t.Error(err)
			case e.Pos > b.changed.Pos(): // the rest are imports, of which a copy does not need all
				t.Errorf("%s does not compile: %v", b.what, err)
			}
		},
	}
	_, _ = config.Check(module, c.set, all, info) // reported above
	c.checkImports(t, info)
	config.Error = nil
	for _, b := range c.apart {
		if _, err := config.Check(module, c.set, b.files, nil); err != nil {
			t.Errorf("%s does not compile: %v", b.what, err)
		}
	}
}

// checkImports finds the changes that leave an import of their file without use.
func (c *checked) checkImports(t *testing.T, info *types.Info) {
	t.Helper()
	uses := map[[2]string][]token.Pos{} // by file and path
	for ident, of := range info.Uses {
		if name, ok := of.(*types.PkgName); ok {
			key := [2]string{c.nameAt(ident.Pos()), name.Imported().Path()}
			uses[key] = append(uses[key], ident.Pos())
		}
	}
	for _, b := range c.copies {
		within := func(at token.Pos) bool { return b.original.Pos() <= at && at < b.original.End() }
		for _, i := range b.tree.Imports {
			before := uses[[2]string{c.nameAt(b.original.Pos()), importPath(i)}]
			after := uses[[2]string{c.nameAt(b.tree.FileStart), importPath(i)}]
			if len(before) > 0 && len(after) == 0 && !slices.ContainsFunc(before, func(at token.Pos) bool { return !within(at) }) {
				t.Errorf("%s does not compile: %s imports %s and does not use it", b.what, b.file, importPath(i))
			}
		}
	}
}

func (c *checked) nameAt(at token.Pos) string { return c.set.File(at).Name() }

func importPath(i *ast.ImportSpec) string { return strings.Trim(i.Path.Value, `"`) }

// exportFiles lists the files that the compiler left of packages, and of what they
// import. They are there: this test is built with the same flags.
func exportFiles(t *testing.T, imports map[string]bool) map[string]string {
	t.Helper()
	args := []string{"list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}"}
	if info, ok := debug.ReadBuildInfo(); ok {
		for _, s := range info.Settings {
			if s.Key == "-race" || s.Key == "-gcflags" {
				args = append(args, s.Key+"="+s.Value)
			}
		}
	}
	cmd := exec.CommandContext(t.Context(), "go", append(args, slices.Sorted(maps.Keys(imports))...)...)
	cmd.Dir, cmd.Stderr = root, os.Stderr
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("go list: %v", err)
	}
	files := map[string]string{}
	for line := range strings.Lines(string(out)) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[name] = file
	}
	return files
}
