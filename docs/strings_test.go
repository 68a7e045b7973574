package docs

import (
	"fmt"
	"go/ast"
	"go/token"
	"maps"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// grammar is the command line as its structs declare it.
type grammar struct {
	commands map[string]map[string]bool // the subcommands of each
	flags    map[string]bool            // of all commands
	metrics  map[string]bool
}

// commandLine reads the grammar from the structs of cmd: a field with the tag cmd
// is a command, one with a help text alone is a flag or an argument.
func commandLine(t *testing.T) grammar {
	t.Helper()
	g := grammar{map[string]map[string]bool{}, map[string]bool{"help": true}, exportedMetrics(t)}
	below := map[string]map[string]string{} // commands of each struct, with the type of each
	nested := map[string]bool{}
	for _, s := range sources(t) {
		if s.test() || !strings.HasPrefix(s.path, "cmd/") {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			spec, ok := n.(*ast.TypeSpec)
			if !ok {
				return true
			}
			under, ok := spec.Type.(*ast.StructType)
			if !ok {
				return true
			}
			for _, f := range under.Fields.List {
				word, kind := tagged(f)
				if kind == "" {
					continue
				}
				if kind == "flag" {
					g.flags[word] = true
					continue
				}
				if below[spec.Name.Name] == nil {
					below[spec.Name.Name] = map[string]string{}
				}
				typ := fmt.Sprint(f.Type)
				below[spec.Name.Name][word], nested[typ] = typ, true
			}
			return true
		})
	}
	for name, commands := range below {
		if nested[name] {
			continue // not the root
		}
		for word, typ := range commands {
			g.commands[word] = map[string]bool{}
			for sub := range below[typ] {
				g.commands[word][sub] = true
			}
		}
	}
	if len(g.commands) < 10 || len(g.flags) < 50 {
		t.Fatalf("found %d commands and %d flags; has the command line another form?", len(g.commands), len(g.flags))
	}
	return g
}

// tagged returns how the command line spells a field, and whether it is a command
// or a flag; "" for neither.
func tagged(f *ast.Field) (word, kind string) {
	if f.Tag == nil || len(f.Names) != 1 {
		return "", ""
	}
	text, err := strconv.Unquote(f.Tag.Value)
	if err != nil {
		return "", ""
	}
	tag := reflect.StructTag(text)
	if word = tag.Get("name"); word == "" {
		word = kebab(f.Names[0].Name)
	}
	if _, ok := tag.Lookup("cmd"); ok {
		return word, "command"
	}
	if _, ok := tag.Lookup("help"); ok {
		return word, "flag"
	}
	return "", ""
}

var (
	advised     = regexp.MustCompile("`rollcall ([^`]*)`")
	anyFlag     = regexp.MustCompile(`(?:^|[\s(,"'=/])--([a-z][a-z0-9-]*[a-z0-9])`)
	plainWord   = regexp.MustCompile(`^[a-z]+$`)
	metricName  = regexp.MustCompile(`rollcall_[a-z_]+[a-z]`)
	otherTool   = regexp.MustCompile("`(?:nats|openssl|ssh-keygen|git|go|systemctl|curl) [^`]*`|^nats .*")
	schemaTable = regexp.MustCompile(`rollcall_(sum|fold|find)\b`) // functions of the replica's SQLite, no metrics
)

// command says what is wrong with a command line without its first word, or "".
func (g grammar) command(line string) string {
	words := strings.Fields(line)
	if len(words) == 0 || !plainWord.MatchString(words[0]) {
		return ""
	}
	subs, ok := g.commands[words[0]]
	switch {
	case !ok:
		return "no such command: " + words[0]
	case len(subs) > 0 && len(words) > 1 && plainWord.MatchString(words[1]) && !subs[words[1]]:
		return fmt.Sprintf("%s has no %s: it has %s", words[0], words[1], strings.Join(slices.Sorted(maps.Keys(subs)), ", "))
	}
	return ""
}

// unknown lists what a text names that does not exist: commands in back quotes,
// flags and metrics anywhere.
func (g grammar) unknown(text string) (all []string) {
	text = otherTool.ReplaceAllString(text, "")
	for _, m := range advised.FindAllStringSubmatch(text, -1) {
		if why := g.command(m[1]); why != "" {
			all = append(all, why)
		}
	}
	for _, m := range anyFlag.FindAllStringSubmatch(text, -1) {
		if !g.flags[m[1]] {
			all = append(all, "no such flag: --"+m[1])
		}
	}
	for _, name := range metricName.FindAllString(schemaTable.ReplaceAllString(text, ""), -1) {
		if !g.metrics[name] {
			all = append(all, "no such metric: "+name)
		}
	}
	return all
}

// TestStrings: what an error, a help text or a log line names exists, be it a
// command, a flag or a metric. So does what a comment and a document name.
func TestStrings(t *testing.T) {
	g := commandLine(t)
	for _, s := range sources(t) {
		if s.test() || strings.HasPrefix(s.path, "deploy/") { // what only tests of deploy/ use has flags of other programs
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			lit, ok := n.(*ast.BasicLit)
			if !ok || lit.Kind != token.STRING {
				return true
			}
			text := lit.Value
			if unquoted, err := strconv.Unquote(text); err == nil {
				text = unquoted
			}
			for _, why := range g.unknown(text) {
				t.Errorf("%s:%d: %.80q: %s", s.path, s.line(lit), text, why)
			}
			return true
		})
		for _, c := range s.file.Comments {
			for _, why := range g.unknown(c.Text()) {
				t.Errorf("%s:%d: a comment: %s", s.path, s.line(c), why)
			}
		}
	}
	for _, d := range documents(t) {
		for i, line := range d.prose {
			for _, why := range g.unknown(line) {
				t.Errorf("%s:%d: %s", d.path, i+1, why)
			}
		}
	}
}

// TestStringsSeePlanted: each rule goes red on a name that there is not.
func TestStringsSeePlanted(t *testing.T) {
	g := commandLine(t)
	for text, want := range map[string]string{
		"run `rollcall views list`":              "views has no list",
		"run `rollcall mend sessions`":           "no such command: mend",
		"add the name with --no-such-flag":       "no such flag: --no-such-flag",
		"watch rollcall_projector_no_such_total": "no such metric: rollcall_projector_no_such_total",
		"`rollcall views ls --output json`":      "",
		"`nats stream rm MEETINGS --force-it`":   "",
	} {
		got := g.unknown(text)
		if want == "" && len(got) > 0 || want != "" && (len(got) != 1 || !strings.HasPrefix(got[0], want)) {
			t.Errorf("unknown(%q) = %q; want %q", text, got, want)
		}
	}
}
