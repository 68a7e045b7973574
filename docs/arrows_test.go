package docs

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const module = "rollcall"

// room is one line of the table in ARCHITECTURE.md: what a package may import.
type room struct {
	imports []string // packages of ours that it may import
	outside []string // where set, the only modules of others that it may import
	never   []string // packages that must not be reached, even through others
	noOS    bool     // neither it nor what it imports of ours touches os (fmt does, so others can't count)
	pure    bool     // no clock and no goroutine in its sources
	open    bool     // may import every package of ours but the test kit
}

const (
	natsClient = "github.com/nats-io/nats.go"
	natsServer = "github.com/nats-io/nats-server/v2"
	jsonCodec  = "github.com/go-json-experiment/json"
	ulidModule = "github.com/oklog/ulid/v2"
	hashModule = "github.com/minio/highwayhash"
	testKit    = "eventlog/eventlogtest"
)

// rooms is the whole table: a package that is not in it fails the test, so that
// nothing grows beside it.
var rooms = map[string]room{
	"eventlog": {
		outside: []string{jsonCodec, ulidModule},
		never:   []string{natsClient, natsServer, "net"},
		noOS:    true,
	},
	"eventlog/blocks": {
		outside: []string{hashModule},
		never:   []string{natsClient, natsServer, "net"},
	},
	"eventlog/wire": {
		never: []string{natsServer},
	},
	"eventlog/natslog": {
		imports: []string{"eventlog", "eventlog/wire"},
		never:   []string{natsServer},
	},
	"eventlog/traffic": {
		imports: []string{"eventlog"},
		never:   []string{natsClient, natsServer},
	},
	"eventlog/eventlogtest": {
		imports: []string{"eventlog", "eventlog/natslog", "eventlog/traffic"},
	},
	"projections": {
		imports: []string{"eventlog"},
		outside: []string{jsonCodec},
		never:   []string{natsClient, natsServer, "net"},
		noOS:    true,
		pure:    true,
	},
	"projector": {
		imports: []string{"eventlog"},
		never:   []string{natsClient, natsServer},
	},
	"projector/viewstore": {
		imports: []string{"eventlog", "eventlog/wire", "projector"},
		never:   []string{natsServer},
	},
	"ingest": {
		imports: []string{"eventlog", "ingest/web"},
		never:   []string{natsClient, natsServer},
	},
	"ingest/web": {
		imports: []string{"eventlog"},
		never:   []string{natsClient, natsServer},
	},
	"query": {
		imports: []string{"eventlog", "ingest/web", "projections", "query/closing", "query/cursor", "query/feed", "query/history", "query/pace", "query/page", "query/pipeline", "query/replica"},
		never:   []string{natsServer},
	},
	"query/replica": {
		imports: []string{"eventlog", "projector/viewstore", "query/cursor", "query/pace"},
		never:   []string{natsServer},
	},
	"query/closing": {
		imports: []string{"eventlog", "eventlog/wire", "projections"},
		never:   []string{natsServer},
	},
	"query/feed": {
		imports: []string{"eventlog", "query/replica"},
		never:   []string{natsServer},
	},
	"query/cursor": {
		outside: []string{jsonCodec},
		never:   []string{natsClient, natsServer, "net"},
	},
	"query/history": {
		imports: []string{"eventlog", "projections", "query/cursor", "query/pace"},
		never:   []string{natsClient, natsServer, "net"},
	},
	"query/pace": {
		outside: []string{},
		never:   []string{natsClient, natsServer, "net"},
	},
	"query/pipeline": {
		imports: []string{"eventlog"},
		never:   []string{natsServer},
	},
	"query/chart": {
		imports: []string{"eventlog", "projections"},
		outside: []string{},
		never:   []string{natsClient, natsServer, "net"},
	},
	"query/page": {
		outside: []string{},
		never:   []string{natsClient, natsServer},
	},
	"cmd/rollcall": {open: true},
	"cmd/rollcall/internal/console": {
		imports: []string{"eventlog", "eventlog/natslog", "eventlog/wire", "projector", "projector/viewstore", "query"},
		never:   []string{natsServer},
	},
	"cmd/rollcall/internal/provider": {
		imports: []string{"eventlog/wire", "cmd/rollcall/internal/console"},
		never:   []string{natsServer},
	},
	"cmd/rollcall/internal/bench": {
		imports: []string{"eventlog", "eventlog/natslog", "eventlog/traffic", "eventlog/wire", "projections", "projector", "projector/viewstore", "ingest", "cmd/rollcall/internal/console", "cmd/rollcall/internal/provider"},
	},
	"cmd/rollcall/internal/attach": {
		imports: []string{"eventlog", "eventlog/natslog", "projections", "projector/viewstore", "cmd/rollcall/internal/console", "cmd/rollcall/internal/natsd"},
	},
	"cmd/rollcall/internal/backup": {
		imports: []string{"eventlog", "eventlog/natslog", "projector", "projector/viewstore", "cmd/rollcall/internal/console", "cmd/rollcall/internal/natsd"},
	},
	"cmd/rollcall/internal/heartbeat": {
		imports: []string{"cmd/rollcall/internal/console", "eventlog", "projector", "query/pipeline"},
		never:   []string{natsServer},
	},
	"cmd/rollcall/internal/traces": {
		imports: []string{"cmd/rollcall/internal/console", "eventlog", "projector"},
		never:   []string{natsServer},
	},
	"cmd/rollcall/internal/node": {
		imports: []string{"cmd/rollcall/internal/traces", "cmd/rollcall/internal/attach", "cmd/rollcall/internal/console", "cmd/rollcall/internal/heartbeat", "cmd/rollcall/internal/natsd", "eventlog", "eventlog/natslog", "eventlog/wire", "ingest", "ingest/web", "projections", "projector", "projector/viewstore", "query", "query/closing", "query/pipeline", "query/replica"},
	},
	"cmd/rollcall/internal/natsd": {
		imports: []string{"eventlog", "eventlog/blocks", "eventlog/natslog", "projections", "projector/viewstore", "cmd/rollcall/internal/console"},
	},
	"docs": {},
}

// listed is what the test reads of `go list -json`.
type listed struct {
	ImportPath string
	Standard   bool
	Imports    []string
	Deps       []string
}

// graph is the import graph without tests: ours, and all that they reach.
// planted adds files that are not there, by path from the module's root.
func graph(t *testing.T, planted map[string]string) map[string]*listed {
	t.Helper()
	command := exec.CommandContext(t.Context(), "go", "list", "-mod=readonly", "-deps",
		"-json=ImportPath,Standard,Imports,Deps", "-overlay="+overlay(t, planted), "./...")
	command.Dir = root
	var stderr bytes.Buffer
	command.Stderr = &stderr
	out, err := command.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, stderr.Bytes())
	}
	packages := map[string]*listed{}
	for decoder := json.NewDecoder(bytes.NewReader(out)); ; {
		var p listed
		err := decoder.Decode(&p)
		if errors.Is(err, io.EOF) {
			return packages
		}
		if err != nil {
			t.Fatalf("decode go list: %v", err)
		}
		packages[p.ImportPath] = &p
	}
}

// overlay writes the planted files to a temporary folder, and the file that lists them for go.
func overlay(t *testing.T, planted map[string]string) string {
	t.Helper()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	replace := map[string]string{}
	for path, text := range planted {
		file := filepath.Join(t.TempDir(), "planted.go")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		replace[filepath.Join(top, filepath.FromSlash(path))] = file
	}
	text, err := json.Marshal(map[string]any{"Replace": replace})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "overlay.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return file
}

// ours returns a package's name in the table; ok is false for a package of others.
func ours(path string) (name string, ok bool) { return strings.CutPrefix(path, module+"/") }

// within reports whether an import path is a module or package, or lies below it.
func within(path, parent string) bool { return path == parent || strings.HasPrefix(path, parent+"/") }

func TestArrows(t *testing.T) {
	for _, problem := range arrows(graph(t, nil)) {
		t.Error(problem)
	}
}

// TestArrowsSeePlanted: each rule goes red on an import that breaks it.
func TestArrowsSeePlanted(t *testing.T) {
	cases := []struct{ file, text, want string }{
		{"util/planted.go", "package util", "package util is not in the table"},
		{"eventlog/planted.go", `package eventlog; import _ "net"`, "eventlog reaches net"},
		{"eventlog/planted.go", `package eventlog; import _ "github.com/rs/zerolog"`, "eventlog imports github.com/rs/zerolog"},
		{"eventlog/planted.go", `package eventlog; import _ "os"`, "projections must not touch os, but rollcall/eventlog imports it"},
		{"projections/planted.go", `package projections; import _ "rollcall/projector"`, "projections imports projector"},
		{"projections/planted.go", `package projections; import _ "github.com/nats-io/nats.go"`, "projections reaches github.com/nats-io/nats.go"},
		{"projector/planted.go", `package projector; import _ "rollcall/projections"`, "projector imports projections"},
		{"ingest/planted.go", `package ingest; import _ "rollcall/eventlog/natslog"`, "ingest reaches github.com/nats-io/nats.go: rollcall/ingest → rollcall/eventlog/natslog"},
		{"query/planted.go", `package query; import _ "github.com/nats-io/nats-server/v2/server"`, "query reaches github.com/nats-io/nats-server/v2"},
		{"cmd/rollcall/planted.go", `package main; import _ "rollcall/eventlog/eventlogtest"`, "cmd/rollcall imports eventlog/eventlogtest outside of a test"},
	}
	for _, c := range cases {
		t.Run(c.want, func(t *testing.T) {
			t.Parallel()
			problems := arrows(graph(t, map[string]string{c.file: c.text}))
			if !slices.ContainsFunc(problems, func(p string) bool { return strings.HasPrefix(p, c.want) }) {
				t.Errorf("arrows with %s planted in %s = %q; want one that starts with %q", c.text, c.file, problems, c.want)
			}
		})
	}
}

// arrows returns what in the graph breaks the table.
func arrows(packages map[string]*listed) []string {
	var problems []string
	for path, p := range packages {
		name, ok := ours(path)
		if !ok {
			continue
		}
		r, known := rooms[name]
		if !known {
			problems = append(problems, "package "+name+" is not in the table of docs/arrows_test.go; put the code where it belongs, or give the room a line there and in ARCHITECTURE.md")
			continue
		}
		problems = append(problems, badImports(packages, name, p, r)...)
		for _, banned := range r.never {
			if chain := reach(packages, path, banned); chain != nil {
				problems = append(problems, name+" reaches "+banned+": "+strings.Join(chain, " → "))
			}
		}
		if r.noOS {
			problems = append(problems, touchesOS(packages, name, p)...)
		}
	}
	slices.Sort(problems)
	return problems
}

// badImports holds a package's own import list against its room.
func badImports(packages map[string]*listed, name string, p *listed, r room) []string {
	var problems []string
	for _, imported := range p.Imports {
		if other, ok := ours(imported); ok {
			if other == testKit {
				problems = append(problems, name+" imports "+other+" outside of a test")
			} else if !r.open && !slices.Contains(r.imports, other) {
				problems = append(problems, fmt.Sprintf("%s imports %s; its room allows %v", name, other, r.imports))
			}
			continue
		}
		if q := packages[imported]; r.outside == nil || q == nil || q.Standard {
			continue
		}
		if !slices.ContainsFunc(r.outside, func(m string) bool { return within(imported, m) }) {
			problems = append(problems, fmt.Sprintf("%s imports %s; its room allows %v", name, imported, r.outside))
		}
	}
	return problems
}

// touchesOS finds the package, or one of ours that it reaches, importing os.
func touchesOS(packages map[string]*listed, name string, p *listed) []string {
	var problems []string
	for _, path := range append([]string{p.ImportPath}, p.Deps...) {
		q := packages[path]
		if _, mine := ours(path); mine && q != nil && (slices.Contains(q.Imports, "os") || slices.Contains(q.Imports, "os/exec")) {
			problems = append(problems, name+" must not touch os, but "+path+" imports it")
		}
	}
	return problems
}

// reach returns a shortest chain of imports from a package to one within target, or nil.
// A standard package such as "net" is meant exactly: net/url and net/netip do no I/O.
func reach(packages map[string]*listed, from, target string) []string {
	hit := func(path string) bool {
		return path == target || strings.Contains(target, ".") && within(path, target)
	}
	before := map[string]string{from: ""}
	for queue := []string{from}; len(queue) > 0; queue = queue[1:] {
		p := packages[queue[0]]
		if p == nil {
			continue
		}
		for _, next := range p.Imports {
			if _, seen := before[next]; seen {
				continue
			}
			before[next] = queue[0]
			if hit(next) {
				var chain []string
				for at := next; at != ""; at = before[at] {
					chain = append([]string{at}, chain...)
				}
				return chain
			}
			queue = append(queue, next)
		}
	}
	return nil
}

// servers are the packages of the binary that may run a nats-server.
var servers = []string{module + "/cmd/rollcall/internal/natsd", module + "/cmd/rollcall/internal/bench"}

// TestBinary holds what the binary's own graph may contain.
func TestBinary(t *testing.T) {
	packages := graph(t, nil)
	binary := packages[module+"/cmd/rollcall"]
	if binary == nil {
		t.Fatal("no cmd/rollcall in the graph")
	}
	for _, path := range append([]string{binary.ImportPath}, binary.Deps...) {
		p := packages[path]
		if p == nil || within(path, natsServer) {
			continue
		}
		if path == module+"/"+testKit || path == "testing" || within(path, "pgregory.net/rapid") || within(path, "github.com/rogpeppe/go-internal") {
			t.Errorf("the binary reaches %s: %s", path, strings.Join(reach(packages, binary.ImportPath, path), " → "))
		}
		for _, imported := range p.Imports {
			if within(imported, natsServer) && !slices.Contains(servers, path) {
				t.Errorf("%s imports %s; in the binary only %v may", path, imported, servers)
			}
		}
	}
}

// clocks are the names of package time that read a clock or wait on one.
var clocks = []string{"Now", "Since", "Until", "After", "AfterFunc", "Tick", "NewTimer", "NewTicker", "Sleep"}

// TestPure holds that folds have no clock and no goroutine.
func TestPure(t *testing.T) {
	for _, s := range sources(t) {
		dir, _, _ := cutLast(s.path, "/")
		if !rooms[dir].pure || s.test() {
			continue
		}
		ast.Inspect(s.file, func(n ast.Node) bool {
			switch n := n.(type) {
			case *ast.GoStmt:
				t.Errorf("%s:%d starts a goroutine; a fold has none", s.path, s.line(n))
			case *ast.SelectorExpr:
				if x, ok := n.X.(*ast.Ident); ok && x.Name == "time" && slices.Contains(clocks, n.Sel.Name) {
					t.Errorf("%s:%d uses time.%s; a fold has no clock", s.path, s.line(n), n.Sel.Name)
				}
			case *ast.ImportSpec:
				if n.Name != nil && n.Path.Value == `"time"` {
					t.Errorf("%s:%d imports time under another name, which hides a clock from this test", s.path, s.line(n))
				}
			}
			return true
		})
	}
}

// cutLast cuts s around the last sep.
func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return "", s, false
}
