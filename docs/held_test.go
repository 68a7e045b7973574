package docs

import (
	"maps"
	"slices"
	"testing"
)

// held is a package that TestMutantsSample breaks, and whose tests hold it: its own
// first, then those of its users to whom it promises something.
type held struct {
	pkg   string
	tests []string
}

const command = "cmd/rollcall"

// heldBy lists them all.
var heldBy = []held{
	{"eventlog", []string{"eventlog", "projections"}},
	{"projections", []string{"projections"}},
	{"eventlog/blocks", []string{"eventlog/blocks", command}},
	{"eventlog/wire", []string{"eventlog/wire", "eventlog/natslog", "projector/viewstore"}},
	{"eventlog/natslog", []string{"eventlog/natslog", "ingest"}},
	{"projector", []string{"projector", "projector/viewstore"}},
	{"projector/viewstore", []string{"projector/viewstore", "query"}},
	{"ingest", []string{"ingest", command}},
	{"ingest/web", []string{"ingest/web", "ingest", "query"}},
	{"query", []string{"query", "query/page"}},
	{"query/replica", []string{"query/replica", "query"}},
	{"query/feed", []string{"query/feed", "query"}},
	{"query/cursor", []string{"query/cursor", "query"}},
	{"query/closing", []string{"query/closing", "query"}},
	{"query/history", []string{"query/history", "query"}},
	{"query/pace", []string{"query/pace", "query"}},
	{"query/pipeline", []string{"query/pipeline", "query"}},
	{"query/page", []string{"query/page", "query"}},
	{"query/chart", []string{"query/chart", "query/page", command}},
	{command + "/internal/backup", []string{command + "/internal/backup", command}},
	{command + "/internal/natsd", []string{command + "/internal/natsd", command}},
	{command + "/internal/heartbeat", []string{command + "/internal/heartbeat", command}},
	{command + "/internal/traces", []string{command + "/internal/traces", command}},
	{command + "/internal/node", []string{command + "/internal/node", command}},
	{command + "/internal/attach", []string{command + "/internal/attach", command}},
	{command + "/internal/console", []string{command + "/internal/console", command}},
	{command + "/internal/provider", []string{command + "/internal/provider", command}},
	{command, []string{command}},
}

// unbroken are the packages whose mutants say nothing: what makes and measures
// traffic for tests, and these tests.
var unbroken = []string{"eventlog/eventlogtest", "eventlog/traffic", command + "/internal/bench", "docs"}

// TestHeldBy: each package is broken by TestMutantsSample, or is said not to be.
func TestHeldBy(t *testing.T) {
	named := slices.Clone(unbroken)
	for _, h := range heldBy {
		named = append(named, h.pkg)
		for _, pkg := range h.tests {
			if _, ok := rooms[pkg]; !ok {
				t.Errorf("heldBy names the tests of %s, which is no package", pkg)
			}
		}
	}
	slices.Sort(named)
	if want := slices.Sorted(maps.Keys(rooms)); !slices.Equal(named, want) {
		t.Errorf("heldBy and unbroken name %q; want each package once: %q", named, want)
	}
}
