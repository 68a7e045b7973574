//go:build mutants && unix

package docs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

var (
	mutantSeed   = flag.Uint64("seed", 1, "chooses the sample of TestMutantsSample")
	mutantCount  = flag.Int("mutants", 15, "how many mutants of each package that build; 0: all")
	mutantRooms  = flag.String("rooms", "", "packages to break, with commas; empty: all")
	mutantReport = flag.String("report", "", "a file that gets each mutant and the table")
	mutantFilter = flag.String("match", "", "break only where the mutant's name contains this")
)

// heldBy lists the packages that TestMutantsSample breaks, and whose tests hold
// each: its own first, then those of its users to whom it promises something.
var heldBy = []struct {
	pkg   string
	tests []string
}{
	{"eventlog", []string{"eventlog", "projections"}},
	{"projections", []string{"projections"}},
	{"eventlog/wire", []string{"eventlog/wire", "eventlog/natslog", "projector/viewstore"}},
	{"eventlog/natslog", []string{"eventlog/natslog", "ingest"}},
	{"projector", []string{"projector", "projector/viewstore"}},
	{"projector/viewstore", []string{"projector/viewstore", "query"}},
	{"ingest", []string{"ingest", "cmd/rollcall"}},
	{"query", []string{"query", "query/page"}},
	{"cmd/rollcall", []string{"cmd/rollcall"}},
}

// What can become of a mutant.
const (
	killed     = "killed"
	survived   = "survived"
	noBuild    = "does not build"
	equivalent = "equivalent"
)

// TestMutantsSample breaks a sample of each package's statements, one at a
// time, and wants a test to go red. It fails where a mutant survives that is
// not listed as equivalent.
func TestMutantsSample(t *testing.T) {
	accepted := equivalents(t)
	out := report(t)
	limits := limits{}
	table := []string{fmt.Sprintf("%-22s %8s %8s %8s %11s %6s", "package", "mutants", "tried", "killed", "equivalent", "left")}
	for _, h := range heldBy {
		if *mutantRooms != "" && !slices.Contains(strings.Split(*mutantRooms, ","), h.pkg) {
			continue
		}
		all := mutations(t, h.pkg)
		if len(all) == 0 {
			t.Errorf("heldBy names %s, which has no code to break", h.pkg)
		}
		count := map[string]int{}
		tried := 0
		for _, m := range shuffled(all, *mutantSeed) {
			if *mutantCount > 0 && tried == *mutantCount {
				break
			}
			if !strings.Contains(m.String(), *mutantFilter) {
				continue
			}
			fate, how := equivalent, accepted[m.String()]
			if how == "" {
				fate, how = try(t, m, h.tests, limits)
			}
			if fate == noBuild {
				continue
			}
			tried++
			count[fate]++
			out("%-10s %s (line %d) %s", fate, m, m.line, how)
			if fate == survived {
				t.Errorf("survived: %s (line %d)", m, m.line)
			}
		}
		table = append(table, fmt.Sprintf("%-22s %8d %8d %8d %11d %6d", h.pkg, len(all), tried, count[killed], count[equivalent], count[survived]))
	}
	out("\n%s", strings.Join(table, "\n"))
}

// limits is how long the tests of a package may take on a mutant, so that a
// hang is found, too: some times as long as on the code as it stands.
type limits map[string]time.Duration

// of measures a package on its first call. A package that is red without any
// mutant can judge none.
func (l limits) of(t *testing.T, pkg string) time.Duration {
	t.Helper()
	if l[pkg] == 0 {
		good := goTest(t, 20*time.Minute, "./"+pkg)
		if !good.green {
			t.Fatalf("the tests of %s are red without a mutant: %s", pkg, good.failure)
		}
		l[pkg] = time.Minute + 3*good.took
	}
	return l[pkg]
}

// report returns a function that writes a line to the log and to -report.
func report(t *testing.T) func(format string, args ...any) {
	t.Helper()
	var file *os.File
	if *mutantReport != "" {
		var err error
		if file, err = os.Create(*mutantReport); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = file.Close() }) // each write was checked
	}
	return func(format string, args ...any) {
		t.Logf(format, args...)
		if file == nil {
			return
		}
		if _, err := fmt.Fprintf(file, format+"\n", args...); err != nil {
			t.Fatal(err)
		}
	}
}

// shuffled puts mutations in an order that the seed and each name alone decide:
// a change of the code leaves the sample as it is, but for what changed.
func shuffled(all []mutation, seed uint64) []mutation {
	type ranked struct {
		rank [sha256.Size]byte
		m    mutation
	}
	ranks := make([]ranked, len(all))
	for i, m := range all {
		ranks[i] = ranked{sha256.Sum256(fmt.Appendf(nil, "%d %s", seed, m)), m}
	}
	slices.SortFunc(ranks, func(a, b ranked) int { return bytes.Compare(a.rank[:], b.rank[:]) })
	for i, r := range ranks {
		all[i] = r.m
	}
	return all
}

// equivalents reads the mutants that change nothing that anybody can see, with
// the reason of each, by name.
func equivalents(t *testing.T) map[string]string {
	t.Helper()
	f, err := os.Open("testdata/equivalent.txt")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	reasons := map[string]string{}
	lines := bufio.NewScanner(f)
	for name := ""; lines.Scan(); {
		line := lines.Text()
		switch {
		case line == "" || !strings.Contains(line, ".go ") && !strings.HasPrefix(line, "\t"):
		case strings.HasPrefix(line, "\t"):
			reasons[name] = strings.TrimSpace(line)
		default:
			name = line
			reasons[name] = ""
		}
	}
	for name, reason := range reasons {
		if reason == "" {
			t.Errorf("testdata/equivalent.txt gives no reason for %s", name)
		}
	}
	return reasons
}

// try runs the tests that hold a package on one mutant of it.
func try(t *testing.T, m mutation, tests []string, limits limits) (fate, how string) {
	t.Helper()
	file := path.Join(m.pkg, m.file)
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	list := overlay(t, map[string]string{file: string(source[:m.from]) + m.new + string(source[m.to:])})
	for _, pkg := range tests {
		switch o := goTest(t, limits.of(t, pkg), "-overlay", list, "./"+pkg); {
		case !o.built:
			return noBuild, ""
		case !o.green:
			return killed, fmt.Sprintf("by %s in %s: %s", pkg, o.took, o.failure)
		}
	}
	return survived, ""
}
