//go:build mutants && unix

package docs

import (
	"fmt"
	"go/ast"
	"go/importer"
	"go/parser"
	"go/token"
	"go/types"
	"io"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// A program of tests takes many seconds to build, and most tests run in less. So
// many mutants stand in one program, each with a switch, and a file says which
// one is on: a variable of the environment would not reach all processes that
// tests start.

// on stands for the switch in a switched form.
const on = "⟨on⟩"

// pickTypes are the types of numbers that are mutated.
var pickTypes = []string{"int", "int64", "uint64", "byte", "rune", "uint32", "uint16", "float64", "mutantDuration"}

// picks are the switched forms of a number.
func picks(old, changed string) (forms []string) {
	for _, kind := range pickTypes {
		forms = append(forms, fmt.Sprintf("mutantPick[%s](%s, %s, %s)", kind, on, old, changed))
	}
	return forms
}

// switchSource declares what switched forms call; it gets the package's name and
// the file with the number of the mutant that is on.
const switchSource = `package %s

import (
	mutantOS "os"
	mutantTime "time"
)

var mutantNumber = func() string { b, _ := mutantOS.ReadFile(%q); return string(b) }()

func mutantOn(number string) bool { return mutantNumber == number }

func mutantPick[T any](on bool, a, b T) T {
	if on {
		return b
	}
	return a
}

type mutantDuration = mutantTime.Duration
`

// switchFile is where it stands in its package.
const switchFile = "zz_mutants.go"

// checker says in some milliseconds what the compiler would say of a changed file.
type checker struct {
	pkg     string
	set     *token.FileSet
	imports types.Importer
	files   map[string]*ast.File // by base name
	sources map[string]string
}

func newChecker(t *testing.T, pkg string) *checker {
	t.Helper()
	c := &checker{pkg: pkg, set: token.NewFileSet(), files: map[string]*ast.File{}, sources: map[string]string{}}
	for _, p := range sourcesOf(t, pkg) {
		text, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		c.sources[filepath.Base(p)] = string(text)
	}
	for name, text := range c.sources {
		c.files[name] = c.parse(name, text)
	}
	c.files[switchFile] = c.parse(switchFile, fmt.Sprintf(switchSource, c.name(), "file"))
	c.imports = importer.ForCompiler(c.set, "gc", exportsOf(t, pkg))
	if !c.compiles(switchFile, fmt.Sprintf(switchSource, c.name(), "file")) {
		t.Fatalf("%s does not compile as it stands", pkg)
	}
	return c
}

// name is what the package calls itself.
func (c *checker) name() string {
	for _, f := range c.files {
		return f.Name.Name
	}
	return ""
}

// parse reads a file's text; nil says that it is none.
func (c *checker) parse(name, text string) *ast.File {
	f, err := parser.ParseFile(c.set, name, text, parser.SkipObjectResolution)
	if err != nil {
		return nil
	}
	return f
}

// exportsOf finds what the compiler wrote down of each package that one imports.
func exportsOf(t *testing.T, pkg string) func(string) (io.ReadCloser, error) {
	t.Helper()
	o := goTool(t, buildLimit, "list", "-export", "-deps", "-f", "{{.ImportPath}} {{.Export}}", "./"+pkg)
	if o.failed {
		t.Fatalf("list what %s imports: %s", pkg, o.text)
	}
	files := map[string]string{}
	for line := range strings.Lines(o.text) {
		name, file, _ := strings.Cut(strings.TrimSpace(line), " ")
		files[name] = file
	}
	return func(name string) (io.ReadCloser, error) { return os.Open(files[name]) }
}

// compiles reports whether the package compiles with another text of a file.
func (c *checker) compiles(file, text string) bool {
	changed := c.parse(file, text)
	if changed == nil {
		return false
	}
	files := maps.Clone(c.files)
	files[file] = changed
	config := types.Config{Importer: c.imports}
	_, err := config.Check(module+"/"+c.pkg, c.set, slices.Collect(maps.Values(files)), nil)
	return err == nil
}

// with is a file's text with one mutant in it.
func (c *checker) with(m mutation, replacement string) string {
	source := c.sources[m.file]
	return source[:m.from] + strings.ReplaceAll(replacement, on, "mutantOn(\"\")") + source[m.to:]
}

// sample chooses the mutants of a seed among those that compile.
func (c *checker) sample(all []mutation, seed string) (some []mutation) {
	for _, m := range shuffled(all, seed) {
		if *mutantCount > 0 && len(some) == *mutantCount {
			break
		}
		if strings.Contains(m.String(), *mutantFilter) && c.compiles(m.file, c.with(m, m.new)) {
			some = append(some, m)
		}
	}
	return some
}

// program is the tests of a room with mutants in it.
type program struct {
	room    *checker
	dir     string
	mutants []mutation
	forms   []string          // that stand in place of each
	built   map[string]string // the programs, by the package of the tests
}

// programs puts mutants into as few programs as they fit in: their places must
// not overlap, and one without a switched form that compiles stands alone.
func (c *checker) programs(t *testing.T, open []mutation) map[string]*program {
	t.Helper()
	of := map[string]*program{}
	var all []*program
	for _, m := range open {
		if of[m.String()] != nil {
			continue // of another seed
		}
		form := c.switchedForm(m)
		i := slices.IndexFunc(all, func(p *program) bool { return form != "" && p.fits(m) })
		if i < 0 {
			i = len(all)
			all = append(all, &program{room: c, dir: t.TempDir(), built: map[string]string{}})
		}
		all[i].mutants, all[i].forms = append(all[i].mutants, m), append(all[i].forms, form)
		of[m.String()] = all[i]
	}
	return of
}

// switchedForm is the first form that compiles, or empty.
func (c *checker) switchedForm(m mutation) string {
	for _, form := range m.switched {
		if c.compiles(m.file, c.with(m, form)) {
			return form
		}
	}
	return ""
}

func (p *program) fits(m mutation) bool {
	if p.forms[0] == "" {
		return false
	}
	return !slices.ContainsFunc(p.mutants, func(o mutation) bool {
		return o.file == m.file && o.from < m.to && m.from < o.to
	})
}

// choose switches a mutant on, and the others off.
func (p *program) choose(t *testing.T, m mutation) {
	t.Helper()
	i := slices.IndexFunc(p.mutants, func(o mutation) bool { return o.String() == m.String() })
	if err := os.WriteFile(p.switchPath(), []byte(strconv.Itoa(i)), 0o600); err != nil {
		t.Fatal(err)
	}
}

func (p *program) switchPath() string { return filepath.Join(p.dir, "on") }

// tests builds the tests of a package once.
func (p *program) tests(t *testing.T, pkg string) string {
	t.Helper()
	if p.built[pkg] != "" {
		return p.built[pkg]
	}
	bin := filepath.Join(p.dir, flat(pkg))
	if o := goTool(t, buildLimit, "test", "-c", "-vet=off", "-overlay", overlay(t, p.sources()), "-o", bin, "./"+pkg); o.failed {
		t.Fatalf("build the tests of %s with %v: %s", pkg, p.mutants, o.text)
	}
	p.built[pkg] = bin
	return bin
}

// sources are the files that change.
func (p *program) sources() map[string]string {
	order := make([]int, len(p.mutants))
	for i := range order {
		order[i] = i
	}
	slices.SortFunc(order, func(a, b int) int { return p.mutants[b].from - p.mutants[a].from }) // the last first
	changed := map[string]string{
		path.Join(p.room.pkg, switchFile): fmt.Sprintf(switchSource, p.room.name(), p.switchPath()),
	}
	for _, i := range order {
		m, file := p.mutants[i], path.Join(p.room.pkg, p.mutants[i].file)
		if changed[file] == "" {
			changed[file] = p.room.sources[m.file]
		}
		form := m.new
		if p.forms[i] != "" {
			form = strings.ReplaceAll(p.forms[i], on, fmt.Sprintf("mutantOn(\"%d\")", i))
		}
		changed[file] = changed[file][:m.from] + form + changed[file][m.to:]
	}
	return changed
}
