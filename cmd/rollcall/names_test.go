package main

import (
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kong"

	"rollcall/cmd/rollcall/internal/console"
)

var (
	// commandLine is a command as help, errors and documents show it: a line of an
	// example, or what stands between backticks. In a document an example need not
	// be indented.
	commandLine    = regexp.MustCompile("(?m)(?:^[ \\t]+(?:\\$ )?|`)rollcall ([a-z][^`\n]*)")
	commandLineDoc = regexp.MustCompile("(?m)(?:^[ \\t]*(?:\\$ )?|`)rollcall ([a-z][^`\n]*)")
	anyFlag        = regexp.MustCompile(`(?:^|[\s("'` + "`" + `=/])--([a-z][a-z0-9-]*[a-z0-9])`)
	metricName     = regexp.MustCompile(`\brollcall_(?:ingest|projector|query|audit|build|nats|log)_[a-z_]*[a-z]`)
	word           = regexp.MustCompile(`^[a-z]+$`)
)

// foreignFlags are those of other programs that are named.
var foreignFlags = []string{"user", "check", "data-binary", "defaults", "server", "js", "raw", "from-file", "from-literal", "lines", "no-pager", "now", "property", "set", "no-legend", "plain"}

// TestWhatIsNamedExists: each command, flag and metric that a string of the
// program or a document names is there, and the flags of a command line are that
// command's.
func TestWhatIsNamedExists(t *testing.T) {
	var grammar cli
	p, err := newParser(&grammar, &app{file: &fileConfig{}, IO: &console.IO{Stdout: os.Stdout, Stderr: os.Stderr}})
	if err != nil {
		t.Fatal(err)
	}
	var flags []string
	visit(p.Model.Node, nil, func(_ []string, n *kong.Node) {
		for _, f := range n.Flags {
			flags = append(flags, f.Name)
		}
	})
	operations, err := os.ReadFile("../../docs/OPERATIONS.md")
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	eachText(t, func(where, text string) {
		for _, m := range anyFlag.FindAllStringSubmatch(text, -1) {
			if !slices.Contains(flags, m[1]) && !slices.Contains(foreignFlags, m[1]) {
				t.Errorf("%s names the flag --%s, which there is not", where, m[1])
			}
		}
		lines := commandLine
		if strings.HasSuffix(where, ".md") {
			lines = commandLineDoc
		}
		for _, m := range lines.FindAllStringSubmatch(text, -1) {
			seen++
			if why := wrongCommand(p.Model.Node, strings.Fields(m[1])); why != "" {
				t.Errorf("%s names `rollcall %s`: %s", where, m[1], why)
			}
		}
		for _, name := range metricName.FindAllString(text, -1) {
			if !strings.Contains(string(operations), name) {
				t.Errorf("%s names the metric %s, which OPERATIONS.md does not list", where, name)
			}
		}
	})
	if seen < 100 {
		t.Errorf("%d command lines found; want more: does the test still look everywhere?", seen)
	}
}

// eachText calls do for each string of the program, and each document's text.
func eachText(t *testing.T, do func(where, text string)) {
	t.Helper()
	err := filepath.WalkDir("../..", func(path string, d fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case d.IsDir() && path != "../.." && (strings.HasPrefix(d.Name(), ".") || d.Name() == "testdata" || d.Name() == "perf" || d.Name() == "node_modules"):
			return filepath.SkipDir
		case d.IsDir() && path == "../../deploy/internal": // what drives podman, by its flags
			return filepath.SkipDir
		case d.Name() == "CHANGELOG.md": // it also says what is no more
		case strings.HasSuffix(path, ".md"):
			b, err := os.ReadFile(path)
			if err != nil {
				return err
			}
			do(path, string(b))
		case strings.HasSuffix(path, ".go") && !strings.HasSuffix(path, "_test.go"):
			return goStrings(path, do)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
}

func goStrings(path string, do func(where, text string)) error {
	fset := token.NewFileSet()
	file, err := parser.ParseFile(fset, path, nil, parser.SkipObjectResolution)
	if err != nil {
		return err
	}
	ast.Inspect(file, func(n ast.Node) bool {
		if lit, ok := n.(*ast.BasicLit); ok && lit.Kind == token.STRING {
			if text, err := strconv.Unquote(lit.Value); err == nil {
				do(path, text)
			}
		}
		return true
	})
	return nil
}

// wrongCommand says what is wrong with the words after rollcall, or "".
func wrongCommand(n *kong.Node, words []string) string {
	flags := slices.Clone(n.Flags)
	for len(words) > 0 && len(n.Children) > 0 && word.MatchString(words[0]) {
		at := slices.IndexFunc(n.Children, func(c *kong.Node) bool { return c.Name == words[0] })
		if at < 0 {
			if n.DefaultCmd != nil {
				break
			}
			return "no command " + words[0]
		}
		n, words = n.Children[at], words[1:]
		flags = append(flags, n.Flags...)
	}
	if n.DefaultCmd != nil {
		flags = append(flags, n.DefaultCmd.Flags...)
	}
	for _, c := range n.Children { // a group, named as a whole
		flags = append(flags, c.Flags...)
	}
	line := strings.Join(words, " ")
	for _, end := range []string{" #", "; ", ", ", " | ", " && "} {
		line, _, _ = strings.Cut(line, end)
	}
	for _, m := range anyFlag.FindAllStringSubmatch(line, -1) {
		if !slices.ContainsFunc(flags, func(f *kong.Flag) bool { return f.Name == m[1] }) {
			return "it has no flag --" + m[1]
		}
	}
	return ""
}
