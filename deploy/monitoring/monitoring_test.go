// Package monitoring holds the tests of the alerts and of the board: each query
// is valid, of metrics that there are; each alert fires, and has its runbook.
package monitoring

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"rollcall/deploy/internal/built"
)

// rule is one of rules.yaml.
type rule struct {
	Alert       string            `json:"alert,omitempty"`
	Record      string            `json:"record,omitempty"`
	Expr        string            `json:"expr"`
	For         string            `json:"for,omitempty"`
	Labels      map[string]string `json:"labels,omitempty"`
	Annotations map[string]string `json:"annotations,omitempty"`
}

type ruleFile struct {
	Groups []struct {
		Name  string `json:"name"`
		Rules []rule `json:"rules"`
	} `json:"groups"`
}

func readRules(t *testing.T) (file ruleFile) {
	t.Helper()
	readYAML(t, "rules.yaml", &file)
	return file
}

func readYAML(t *testing.T, path string, to any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.UnmarshalStrict(text, to); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

func (f ruleFile) all() (all []rule) {
	for _, g := range f.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

func TestRulesAreValid(t *testing.T) {
	promtool := built.Tool(t, "promtool")
	t.Log(built.Run(t, promtool, "check", "rules", "rules.yaml"))
	built.Run(t, promtool, "check", "config", "prometheus.yaml")
}

func TestAlertsFireAndDoNot(t *testing.T) {
	t.Log(built.Run(t, built.Tool(t, "promtool"), "test", "rules", "rules_test.yaml"))
}

// TestCasesSeeEachAlert: with an alert that never fires its cases go red, so they
// hold it; and each has a case in which it does not fire.
func TestCasesSeeEachAlert(t *testing.T) {
	promtool := built.Tool(t, "promtool")
	for _, r := range readRules(t).all() {
		if r.Alert == "" {
			continue
		}
		cases, quiet := casesOf(t, r.Alert)
		if len(cases.Tests) < 2 || quiet == 0 || quiet == len(cases.Tests) {
			t.Errorf("%s has %d cases, %d of them quiet; want some of both", r.Alert, len(cases.Tests), quiet)
		}
		broken := readRules(t)
		for g := range broken.Groups {
			broken.Groups[g].Rules = slices.DeleteFunc(broken.Groups[g].Rules, func(other rule) bool { return other.Alert != "" && other.Alert != r.Alert })
			for i := range broken.Groups[g].Rules {
				if broken.Groups[g].Rules[i].Alert != "" {
					broken.Groups[g].Rules[i].Expr = "vector(0) > 1"
				}
			}
		}
		dir := t.TempDir()
		writeYAML(t, filepath.Join(dir, "rules.yaml"), broken)
		writeYAML(t, filepath.Join(dir, "rules_test.yaml"), cases)
		if out, err := exec.CommandContext(t.Context(), promtool, "test", "rules", filepath.Join(dir, "rules_test.yaml")).CombinedOutput(); err == nil || !strings.Contains(string(out), r.Alert) {
			t.Errorf("the cases of %s where it never fires: %v\n%s", r.Alert, err, out)
		}
	}
}

// caseFile is rules_test.yaml.
type caseFile struct {
	RuleFiles          []string   `json:"rule_files"`
	EvaluationInterval string     `json:"evaluation_interval"`
	GroupOrder         []string   `json:"group_eval_order"`
	Tests              []testCase `json:"tests"`
}

type testCase struct {
	Name        string           `json:"name"`
	Interval    string           `json:"interval"`
	InputSeries []map[string]any `json:"input_series"`
	Alerts      []struct {
		EvalTime  string           `json:"eval_time"`
		AlertName string           `json:"alertname"`
		Expected  []map[string]any `json:"exp_alerts"`
	} `json:"alert_rule_test"`
}

// casesOf are the cases of an alert, and how many of them expect nothing.
func casesOf(t *testing.T, alert string) (file caseFile, quiet int) {
	t.Helper()
	readYAML(t, "rules_test.yaml", &file)
	file.Tests = slices.DeleteFunc(file.Tests, func(c testCase) bool { return c.Alerts[0].AlertName != alert })
	for _, c := range file.Tests {
		if len(c.Alerts[0].Expected) == 0 {
			quiet++
		}
	}
	return file, quiet
}

func writeYAML(t *testing.T, path string, v any) {
	t.Helper()
	text, err := yaml.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
}

// others are metrics that Rollcall does not make itself.
var others = []string{"up", "process_resident_memory_bytes", "process_cpu_seconds_total", "go_goroutines"}

// TestMetricsExist: what board and rules ask for is in the table of OPERATIONS.md,
// which the program's own tests hold against its metrics, or in rules.yaml.
func TestMetricsExist(t *testing.T) {
	known := map[string]bool{}
	for _, name := range others {
		known[name] = true
	}
	for _, name := range regexp.MustCompile("rollcall_[a-z_]+").FindAllString(read(t, built.Root+"/docs/OPERATIONS.md"), -1) {
		known[name] = true
	}
	rules := readRules(t).all()
	for _, r := range rules {
		known[r.Record] = true
	}
	for _, r := range rules {
		missing(t, known, "rules.yaml: "+r.Alert+r.Record, r.Expr)
	}
	for _, q := range boardQueries(t) {
		missing(t, known, "board.json: "+q.title, q.expr)
	}
	if names := metrics("sum(rate(nothing_total[5m]))"); !slices.Equal(names, []string{"nothing_total"}) {
		t.Errorf("metrics(…) = %v; want nothing_total, or nothing would be missed", names)
	}
}

func missing(t *testing.T, known map[string]bool, where, expr string) {
	t.Helper()
	names := metrics(expr)
	if len(names) == 0 {
		t.Errorf("%s asks for no metric: %s", where, expr)
	}
	for _, name := range names {
		base := regexp.MustCompile(`_(bucket|count|sum)$`).ReplaceAllString(name, "")
		if !known[name] && !known[base] {
			t.Errorf("%s asks for %s, which there is not", where, name)
		}
	}
}

// metrics are the names in a query that are neither labels, functions nor words of the language.
func metrics(expr string) (names []string) {
	expr = regexp.MustCompile(`\{[^}]*\}|"[^"]*"|\[[^\]]*\]|\b(?:by|on|without|ignoring|group_left|group_right)\s*\([^)]*\)`).ReplaceAllString(expr, " ")
	for _, m := range regexp.MustCompile(`[a-zA-Z_:][a-zA-Z0-9_:]*\s*\(?`).FindAllString(expr, -1) {
		name := strings.TrimSpace(m)
		if !strings.HasSuffix(name, "(") && !slices.Contains([]string{"and", "or", "unless", "bool", "offset", "by"}, name) && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	return names
}

// TestRunbooks: each alert has a section in OPERATIONS.md, links to it, and says how bad it is.
func TestRunbooks(t *testing.T) {
	operations := read(t, built.Root+"/docs/OPERATIONS.md")
	for _, r := range readRules(t).all() {
		if r.Alert == "" {
			continue
		}
		if !strings.Contains(operations, "\n#### "+r.Alert+"\n") {
			t.Errorf("docs/OPERATIONS.md has no section %s", r.Alert)
		}
		if want := "docs/OPERATIONS.md#" + strings.ToLower(r.Alert); r.Annotations["runbook_url"] != want {
			t.Errorf("%s has the runbook %q; want %q", r.Alert, r.Annotations["runbook_url"], want)
		}
		if s := r.Labels["severity"]; s != "critical" && s != "warning" {
			t.Errorf("%s has the severity %q; want critical or warning", r.Alert, s)
		}
	}
}

// query is one of the board's.
type query struct{ title, expr string }

func boardQueries(t *testing.T) (all []query) {
	t.Helper()
	var board struct {
		Panels []struct {
			ID      int
			Title   string
			Type    string
			GridPos struct{ H, W, X, Y int }
			Targets []struct{ Expr string }
		}
	}
	if err := json.Unmarshal([]byte(read(t, "board.json")), &board); err != nil {
		t.Fatal(err)
	}
	ids := map[int]bool{}
	for _, p := range board.Panels {
		if ids[p.ID] {
			t.Errorf("board.json: two panels have the id %d", p.ID)
		}
		ids[p.ID] = true
		if p.GridPos.X+p.GridPos.W > 24 {
			t.Errorf("board.json: panel %q is wider than the board", p.Title)
		}
		if p.Type != "row" && len(p.Targets) == 0 {
			t.Errorf("board.json: panel %q asks for nothing", p.Title)
		}
		for _, target := range p.Targets {
			all = append(all, query{p.Title, target.Expr})
		}
	}
	return all
}

// promQL is a query of the board as Prometheus takes it.
func (q query) promQL() string {
	return strings.NewReplacer("$__rate_interval", "1m", "$job", ".*").Replace(q.expr)
}

// TestBoardQueriesAreValid has promtool parse each query of the board.
func TestBoardQueriesAreValid(t *testing.T) {
	promtool := built.Tool(t, "promtool")
	var rules []rule
	for i, q := range boardQueries(t) {
		rules = append(rules, rule{Record: fmt.Sprintf("board:query%d", i), Expr: q.promQL()})
	}
	text, err := yaml.Marshal(map[string]any{"groups": []any{map[string]any{"name": "board", "rules": rules}}})
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "board.yaml")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		t.Fatal(err)
	}
	built.Run(t, promtool, "check", "rules", file)
}

func read(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
