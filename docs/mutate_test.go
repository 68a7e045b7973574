//go:build mutants && unix

package docs

import (
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// mutation is one change of meaning to one source file: the bytes from..to are
// replaced. Its name has no line number, so that it stays the same while the
// code around it moves.
type mutation struct {
	pkg, file string // file is the base name
	function  string
	kind      string
	old       string // the source that is replaced, on one line
	nth       int    // distinguishes mutations of one name; from 1
	from, to  int
	new       string
	switched  []string // forms of old and new in one, of which the first that compiles will do; on stands for the switch
	line      int
	probe     int // a line that is counted where the mutated one runs: no counter stands in front of a case
}

// String names the mutation; the file of equivalent mutations holds these names.
func (m mutation) String() string {
	name := fmt.Sprintf("%s/%s %s: %s %s", m.pkg, m.file, m.function, m.kind, m.old)
	if m.nth > 1 {
		return fmt.Sprintf("%s #%d", name, m.nth)
	}
	return name
}

// Kinds of mutations.
const (
	negate  = "negate"          // the condition of an if or for
	noCheck = "drop-check"      // an if that leaves the function or the loop
	noCall  = "drop-call"       // a statement that is a call, defer included
	noError = "return-nil"      // the error of a return
	noErr   = "drop-error"      // the error of an assignment, where no check follows it
	logic   = "swap-logic"      // && and ||
	bound   = "shift-bound"     // < and <=, > and >=
	equal   = "swap-equality"   // == and !=
	sum     = "swap-arithmetic" // + and - of what is no text
	number  = "off-by-one"      // a small integer
	flip    = "flip-bool"
)

// maxOld bounds the source that is quoted in a mutation's name.
const maxOld = 90

// mutator collects the mutations of one file.
type mutator struct {
	pkg, file, function string
	source              []byte
	set                 *token.FileSet
	all                 []mutation
	cases               []caseSpan
}

// caseSpan is what stands between a case and its colon, and the line of its switch.
type caseSpan struct {
	from, to token.Pos
	line     int
}

// mutations lists every mutation of a package's sources, tests left out, in a
// fixed order.
func mutations(t *testing.T, pkg string) (all []mutation) {
	t.Helper()
	for _, path := range sourcesOf(t, pkg) {
		source, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		m := &mutator{pkg: pkg, file: filepath.Base(path), source: source, set: token.NewFileSet()}
		tree, err := parser.ParseFile(m.set, path, source, parser.SkipObjectResolution)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range tree.Decls {
			if f, ok := d.(*ast.FuncDecl); ok && f.Body != nil {
				m.function = functionName(f)
				ast.Inspect(f.Body, m.visit)
			}
		}
		all = append(all, m.all...)
	}
	seen := map[string]int{}
	for i := range all {
		name := all[i].String()
		seen[name]++
		all[i].nth = seen[name]
	}
	return all
}

func functionName(f *ast.FuncDecl) string {
	if f.Recv == nil || len(f.Recv.List) == 0 {
		return f.Name.Name
	}
	of := f.Recv.List[0].Type
	if star, ok := of.(*ast.StarExpr); ok {
		of = star.X
	}
	if generic, ok := of.(*ast.IndexExpr); ok {
		of = generic.X
	}
	if name, ok := of.(*ast.Ident); ok {
		return name.Name + "." + f.Name.Name
	}
	return f.Name.Name
}

func (m *mutator) offset(p token.Pos) int { return m.set.Position(p).Offset }

func (m *mutator) text(n ast.Node) string {
	return string(m.source[m.offset(n.Pos()):m.offset(n.End())])
}

// add notes that a node is replaced, by itself or in a switched form.
func (m *mutator) add(kind string, n ast.Node, replacement string, switched ...string) {
	old := strings.Join(strings.Fields(m.text(n)), " ")
	if len(old) > maxOld {
		old = old[:maxOld] + "…"
	}
	line := m.set.Position(n.Pos()).Line
	probe := line
	for _, c := range m.cases { // the innermost comes last
		if c.from <= n.Pos() && n.Pos() < c.to {
			probe = c.line
		}
	}
	m.all = append(m.all, mutation{
		pkg: m.pkg, file: m.file, function: m.function, kind: kind, old: old,
		from: m.offset(n.Pos()), to: m.offset(n.End()), new: replacement, switched: switched, line: line, probe: probe,
	})
}

// visit adds the mutations of one node, and says whether to look below it.
func (m *mutator) visit(n ast.Node) bool {
	switch n := n.(type) {
	case *ast.SwitchStmt:
		m.noteCases(n, n.Body)
	case *ast.SelectStmt:
		m.noteCases(n, n.Body)
	case *ast.ExprStmt:
		if onlyLogs(n.X) {
			return false
		}
		if _, ok := n.X.(*ast.CallExpr); ok {
			m.add(noCall, n, "", "if !"+on+" { "+m.text(n)+" }")
		}
	case *ast.DeferStmt:
		m.add(noCall, n, "", "if !"+on+" { "+m.text(n)+" }")
	case *ast.IfStmt:
		m.negate(n.Cond)
		if cond := "(" + m.text(n.Cond) + ")"; n.Else == nil && leaves(n.Body) {
			m.add(noCheck, n.Cond, "false && "+cond, "!"+on+" && "+cond)
		}
	case *ast.ForStmt:
		if n.Cond != nil {
			m.negate(n.Cond)
		}
	case *ast.AssignStmt:
		m.visitAssign(n)
	case *ast.ReturnStmt:
		m.visitReturn(n)
	case *ast.BinaryExpr:
		m.visitBinary(n)
	case *ast.BasicLit:
		if v, err := strconv.Atoi(n.Value); err == nil && n.Kind == token.INT && v < 1000 {
			next := strconv.Itoa(v + 1)
			m.add(number, n, next, picks(n.Value, next)...)
		}
	case *ast.Ident:
		if n.Name == "true" {
			m.add(flip, n, "false", "!"+on)
		} else if n.Name == "false" {
			m.add(flip, n, "true", on)
		}
	}
	return true
}

func (m *mutator) negate(cond ast.Expr) {
	text := "(" + m.text(cond) + ")"
	m.add(negate, cond, "!"+text, text+" != "+on)
}

func (m *mutator) noteCases(of ast.Node, body *ast.BlockStmt) {
	line := m.set.Position(of.Pos()).Line
	for _, clause := range body.List {
		switch c := clause.(type) {
		case *ast.CaseClause:
			m.cases = append(m.cases, caseSpan{c.Case, c.Colon, line})
		case *ast.CommClause:
			m.cases = append(m.cases, caseSpan{c.Case, c.Colon, line})
		}
	}
}

// visitAssign drops an error that is joined to others, or kept in a field. One
// that a check follows is dropped with the check.
func (m *mutator) visitAssign(n *ast.AssignStmt) {
	if n.Tok != token.ASSIGN || len(n.Lhs) != 1 {
		return
	}
	to := m.text(n.Lhs[0])
	if to == "err" && !strings.Contains(m.text(n.Rhs[0]), "errors.Join") {
		return
	}
	if to = to[strings.LastIndex(to, ".")+1:]; strings.HasPrefix(to, "err") || strings.HasSuffix(to, "Err") {
		dropped := "_ = " + m.text(n.Rhs[0])
		m.add(noErr, n, dropped, "if "+on+" { "+dropped+" } else { "+m.text(n)+" }")
	}
}

// visitReturn drops the error that a return ends with.
func (m *mutator) visitReturn(n *ast.ReturnStmt) {
	if len(n.Results) == 0 {
		return
	}
	last := n.Results[len(n.Results)-1]
	name, ok := last.(*ast.Ident)
	call, made := last.(*ast.CallExpr)
	if ok && (name.Name == "err" || strings.HasPrefix(name.Name, "err")) || made && strings.HasPrefix(m.text(call.Fun), "fmt.Errorf") {
		m.add(noError, last, "nil", "mutantPick[error]("+on+", "+m.text(last)+", nil)")
	}
}

var swapped = map[token.Token][2]string{
	token.LAND: {logic, "||"}, token.LOR: {logic, "&&"},
	token.LSS: {bound, "<="}, token.LEQ: {bound, "<"}, token.GTR: {bound, ">="}, token.GEQ: {bound, ">"},
	token.EQL: {equal, "!="}, token.NEQ: {equal, "=="},
	token.ADD: {sum, "-"}, token.SUB: {sum, "+"},
}

func (m *mutator) visitBinary(n *ast.BinaryExpr) {
	to, ok := swapped[n.Op]
	if !ok || n.Op == token.ADD && strings.ContainsAny(m.text(n), "\"`") {
		return
	}
	old, changed := m.text(n), m.text(n.X)+" "+to[1]+" "+m.text(n.Y)
	switch {
	case to[0] != sum:
		m.add(to[0], n, changed, "("+on+" && ("+changed+") || !"+on+" && ("+old+"))")
	case calls(n):
		m.add(sum, n, changed) // to call twice may change more
	default:
		m.add(sum, n, changed, picks(old, changed)...)
	}
}

// calls reports whether an expression calls what may have an effect.
func calls(x ast.Expr) (found bool) {
	ast.Inspect(x, func(n ast.Node) bool {
		if c, ok := n.(*ast.CallExpr); ok {
			f, ok := c.Fun.(*ast.Ident)
			found = found || !ok || !slices.Contains([]string{"len", "cap", "int", "int64", "uint64"}, f.Name)
		}
		return !found
	})
	return found
}

// onlyLogs reports whether a call is one of zerolog's, which no user relies on.
func onlyLogs(x ast.Expr) bool {
	call, ok := x.(*ast.CallExpr)
	if !ok {
		return false
	}
	f, ok := call.Fun.(*ast.SelectorExpr)
	return ok && slices.Contains([]string{"Msg", "Msgf", "Send"}, f.Sel.Name)
}

// leaves reports whether a block ends by leaving the function or the loop.
func leaves(b *ast.BlockStmt) bool {
	if len(b.List) == 0 {
		return false
	}
	switch b.List[len(b.List)-1].(type) {
	case *ast.ReturnStmt, *ast.BranchStmt:
		return true
	}
	return false
}
