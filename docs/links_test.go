package docs

import (
	"go/ast"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"unicode"
)

// document is a Markdown file taken apart: prose apart from fenced blocks.
type document struct {
	path  string
	prose []string // a line each; empty where a fenced block stands
	slugs map[string]bool
}

func documents(t *testing.T) []document {
	t.Helper()
	var all []document
	for _, name := range files(t, ".md") {
		text, err := os.ReadFile(filepath.Join(root, name))
		if err != nil {
			t.Fatal(err)
		}
		d := document{path: name, slugs: map[string]bool{}}
		fenced := false
		for line := range strings.SplitSeq(string(text), "\n") {
			if strings.HasPrefix(strings.TrimSpace(line), "```") {
				fenced = !fenced
				line = ""
			}
			if fenced {
				line = ""
			}
			if title, ok := strings.CutPrefix(strings.TrimLeft(line, "#"), " "); ok && strings.HasPrefix(line, "#") {
				d.slugs[slug(title)] = true
			}
			d.prose = append(d.prose, line)
		}
		if fenced {
			t.Errorf("%s: a fenced block is not closed", name)
		}
		all = append(all, d)
	}
	return all
}

// slug is GitHub's anchor of a heading.
func slug(title string) string {
	return strings.Map(func(r rune) rune {
		switch {
		case r == ' ':
			return '-'
		case r == '-' || r == '_' || unicode.IsLetter(r) || unicode.IsDigit(r):
			return unicode.ToLower(r)
		default:
			return -1
		}
	}, strings.TrimSpace(title))
}

var (
	link = regexp.MustCompile(`\]\(([^)\s]+)\)`)
	span = regexp.MustCompile("`([^`]+)`")
)

// TestLinks: a link inside the tree leads to a file, and to a heading in it.
func TestLinks(t *testing.T) {
	all := documents(t)
	bySlug := map[string]map[string]bool{}
	for _, d := range all {
		bySlug[d.path] = d.slugs
	}
	for _, d := range all {
		for i, line := range d.prose {
			for _, m := range link.FindAllStringSubmatch(line, -1) {
				target, anchor, _ := strings.Cut(m[1], "#")
				if strings.Contains(target, "://") || strings.HasPrefix(target, "mailto:") {
					continue
				}
				at := d.path
				if target != "" {
					at = path.Join(path.Dir(d.path), target)
				}
				if _, err := os.Stat(filepath.Join(root, at)); err != nil {
					t.Errorf("%s:%d links to %s, which does not exist", d.path, i+1, m[1])
				} else if anchor != "" && !bySlug[at][anchor] {
					t.Errorf("%s:%d links to %s, but %s has no such heading", d.path, i+1, m[1], at)
				}
			}
		}
	}
}

// names is every name that the sources declare, for documents to be held against.
type names struct {
	packages map[string]bool            // last elements of import paths
	symbols  map[string]bool            // natslog.Log, natslog.Log.Append (method or field)
	tests    map[string]bool            // TestX, FuzzX, BenchmarkX
	flags    map[string]map[string]bool // by folder: kebab-case of struct fields, and what name tags say
}

// flag reports whether a command has a flag of this name.
func (n names) flag(name string) bool {
	for dir, flags := range n.flags {
		if within(dir, "cmd/rollcall") && flags[name] {
			return true
		}
	}
	return false
}

func declared(t *testing.T) names {
	t.Helper()
	n := names{map[string]bool{}, map[string]bool{}, map[string]bool{}, map[string]map[string]bool{}}
	for _, s := range sources(t) {
		dir := path.Dir(s.path)
		name := path.Base(dir)
		if dir != "cmd/rollcall" { // its name is also the first token of our subjects and keys
			n.packages[name] = true
		}
		if n.flags[dir] == nil {
			n.flags[dir] = map[string]bool{}
		}
		for _, d := range s.file.Decls {
			switch d := d.(type) {
			case *ast.FuncDecl:
				if d.Recv == nil {
					n.symbols[name+"."+d.Name.Name] = true
					if s.test() {
						n.tests[d.Name.Name] = true
					}
				} else {
					n.symbols[name+"."+receiver(d)+"."+d.Name.Name] = true
				}
			case *ast.GenDecl:
				for _, spec := range d.Specs {
					n.addSpec(name, spec)
				}
			}
		}
		ast.Inspect(s.file, func(node ast.Node) bool {
			if f, ok := node.(*ast.Field); ok {
				for _, id := range f.Names {
					n.flags[dir][kebab(id.Name)] = true
				}
				if f.Tag != nil {
					for _, m := range nameTag.FindAllStringSubmatch(f.Tag.Value, -1) {
						n.flags[dir][m[1]] = true
					}
				}
			}
			return true
		})
	}
	return n
}

var nameTag = regexp.MustCompile(`\bname:"([a-z0-9-]+)"`)

func (n names) addSpec(pkg string, spec ast.Spec) {
	switch spec := spec.(type) {
	case *ast.ValueSpec:
		for _, id := range spec.Names {
			n.symbols[pkg+"."+id.Name] = true
		}
	case *ast.TypeSpec:
		n.symbols[pkg+"."+spec.Name.Name] = true
		var members *ast.FieldList
		switch under := spec.Type.(type) {
		case *ast.StructType:
			members = under.Fields
		case *ast.InterfaceType:
			members = under.Methods
		default:
			return
		}
		for _, f := range members.List {
			for _, id := range f.Names {
				n.symbols[pkg+"."+spec.Name.Name+"."+id.Name] = true
			}
		}
	}
}

// receiver is the name of a method's type, without star and type parameters.
func receiver(d *ast.FuncDecl) string {
	e := d.Recv.List[0].Type
	for {
		switch x := e.(type) {
		case *ast.StarExpr:
			e = x.X
		case *ast.IndexExpr:
			e = x.X
		case *ast.IndexListExpr:
			e = x.X
		case *ast.Ident:
			return x.Name
		default:
			return ""
		}
	}
}

// kebab is how the command line spells a field: IngestAddr is --ingest-addr.
func kebab(field string) string {
	var b strings.Builder
	runes := []rune(field)
	for i, r := range runes {
		upper := unicode.IsUpper(r)
		if upper && i > 0 && (!unicode.IsUpper(runes[i-1]) || i+1 < len(runes) && unicode.IsLower(runes[i+1])) {
			b.WriteByte('-')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

var (
	symbolSpan = regexp.MustCompile(`^([a-z]+)\.([A-Za-z_]\w*)(?:\.([A-Za-z_]\w*))?(?:\(.*\))?$`)
	testSpan   = regexp.MustCompile(`^(?:[a-z]+\.)?((?:Test|Fuzz|Benchmark)[A-Z]\w*)(?:/.*)?$`)
	flagSpan   = regexp.MustCompile(`(?:^|\s)--([a-z][a-z0-9-]+)`)
	makeSpan   = regexp.MustCompile(`^make ([a-z-]+)`)
	pathSpan   = regexp.MustCompile(`^[a-z.]+(/[\w.-]+)+$`)
	rollcall   = regexp.MustCompile(`^(?:go run \./cmd/)?rollcall(?: |$)`)
)

// TestDocuments holds what the documents name in code spans against the
// sources: symbols, tests, flags, make targets and paths. Line numbers are
// never cited; they move.
func TestDocuments(t *testing.T) {
	n := declared(t)
	makefile, err := os.ReadFile(filepath.Join(root, "Makefile"))
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range documents(t) {
		for i, line := range d.prose {
			for _, m := range span.FindAllStringSubmatch(line, -1) {
				if why := n.check(m[1], string(makefile)); why != "" {
					t.Errorf("%s:%d: `%s`: %s", d.path, i+1, m[1], why)
				}
			}
		}
	}
}

// check says what is wrong with a code span, or "".
func (n names) check(text, makefile string) string {
	if m := testSpan.FindStringSubmatch(text); m != nil {
		if !n.tests[m[1]] {
			return "no such test"
		}
		return ""
	}
	if m := symbolSpan.FindStringSubmatch(text); m != nil && n.packages[m[1]] && !fileEndings[m[2]] {
		name := m[1] + "." + m[2]
		if m[3] != "" {
			name += "." + m[3]
		}
		if !n.symbols[name] {
			return "no such symbol"
		}
		return ""
	}
	if m := makeSpan.FindStringSubmatch(text); m != nil {
		if !strings.Contains(makefile, "\n"+m[1]+":") {
			return "no such make target"
		}
		return ""
	}
	if top, _, nested := strings.Cut(text, "/"); nested && pathSpan.MatchString(text) && slices.Contains(topLevel, top) {
		if _, err := os.Stat(filepath.Join(root, text)); err != nil {
			return "no such file"
		}
		return ""
	}
	if strings.HasPrefix(text, "--") || rollcall.MatchString(text) {
		for _, m := range flagSpan.FindAllStringSubmatch(text, -1) {
			if !n.flag(m[1]) && !builtin[m[1]] {
				return "no such flag: --" + m[1]
			}
		}
	}
	return ""
}

var (
	// fileEndings and builtin are what looks like one of ours and is not.
	fileEndings = map[string]bool{"go": true, "md": true, "json": true, "yaml": true}
	builtin     = map[string]bool{"help": true}
)

// TestNoLineNumbers: a document that cites file.go:123 is wrong after the next edit.
func TestNoLineNumbers(t *testing.T) {
	cited := regexp.MustCompile(`\.go:\d+`)
	for _, d := range documents(t) {
		for i, line := range d.prose {
			if at := cited.FindString(line); at != "" {
				t.Errorf("%s:%d cites a line number (%s); cite the symbol", d.path, i+1, at)
			}
		}
	}
}

// TestComments: a comment that names a document names one that exists.
func TestComments(t *testing.T) {
	cited := regexp.MustCompile(`\bdocs/[\w./-]*\w`)
	for _, s := range sources(t) {
		for _, group := range s.file.Comments {
			for _, at := range cited.FindAllString(group.Text(), -1) {
				if _, err := os.Stat(filepath.Join(root, at)); err != nil {
					t.Errorf("%s:%d names %s, which does not exist", s.path, s.line(group), at)
				}
			}
		}
	}
}

// TestOperations: OPERATIONS.md lists every metric of ours and every reason for
// a refusal, and none that there is not.
func TestOperations(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(root, "docs/OPERATIONS.md"))
	if err != nil {
		t.Fatal(err)
	}
	documented := map[string]bool{}
	for _, name := range regexp.MustCompile(`rollcall_[a-z_]+`).FindAllString(string(text), -1) {
		documented[name] = true
	}
	exported := exportedMetrics(t)
	reason := regexp.MustCompile(`reason: +"([a-z-]+)"`)
	for _, s := range sources(t) {
		if s.test() || path.Dir(s.path) != "ingest" {
			continue
		}
		for _, m := range reason.FindAllStringSubmatch(s.text, -1) {
			if !strings.Contains(string(text), "`"+m[1]+"`") {
				t.Errorf("OPERATIONS.md does not name the refusal %s of %s", m[1], s.path)
			}
		}
	}
	for name := range exported {
		if !documented[name] {
			t.Errorf("OPERATIONS.md does not list the metric %s", name)
		}
	}
	for name := range documented {
		if !exported[name] {
			t.Errorf("OPERATIONS.md lists the metric %s, which there is not", name)
		}
	}
}

// exportedMetrics reads the names of our metrics off the sources.
func exportedMetrics(t *testing.T) map[string]bool {
	t.Helper()
	exported := map[string]bool{}
	whole := regexp.MustCompile(`"(rollcall_[a-z_]+)"`)
	part := regexp.MustCompile(`(?:Name: |counter\(|histogram\(|gauge\()"([a-z_]+)"`)
	for _, s := range sources(t) {
		if s.test() || path.Dir(s.path) == "docs" {
			continue
		}
		for _, m := range whole.FindAllStringSubmatch(s.text, -1) {
			exported[m[1]] = true
		}
		if path.Dir(s.path) == "ingest" && strings.Contains(s.text, `Subsystem: "ingest"`) {
			for _, m := range part.FindAllStringSubmatch(s.text, -1) {
				exported["rollcall_ingest_"+m[1]] = true
			}
		}
	}
	return exported
}
