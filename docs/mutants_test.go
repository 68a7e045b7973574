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
	mutantSeeds  = flag.String("seed", "1", "chooses the sample of TestMutantsSample; several with commas: a sample of each")
	mutantCount  = flag.Int("mutants", 15, "how many mutants of each package that build; 0: all")
	mutantRooms  = flag.String("rooms", "", "packages to break, with commas; empty: all")
	mutantReport = flag.String("report", "", "a file that gets each mutant and the table")
	mutantFilter = flag.String("match", "", "break only where the mutant's name contains this")
	mutantLimit  = flag.Duration("longest", 0, "leave out tests that take longer: a quick look, after which a survivor is tried again without; 0: none is")
	mutantCache  = flag.String("cache", "", "a folder that keeps for the next run what each test covers, and what was killed on the same code")
)

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
	tests := suites{}
	table := []string{fmt.Sprintf("%-22s %4s %8s %8s %8s %11s %6s", "package", "seed", "mutants", "tried", "killed", "equivalent", "left")}
	for _, h := range heldBy {
		if !h.chosen() {
			continue
		}
		all := mutations(t, h.pkg)
		if len(all) == 0 {
			t.Errorf("heldBy names %s, which has no code to break", h.pkg)
		}
		before := killedBefore(t, h.pkg)
		for seed := range strings.SplitSeq(*mutantSeeds, ",") {
			count, tried := map[string]int{}, 0
			for _, m := range shuffled(all, seed) {
				if *mutantCount > 0 && tried == *mutantCount {
					break
				}
				if !strings.Contains(m.String(), *mutantFilter) {
					continue
				}
				fate, how := equivalent, accepted[m.String()]
				if how == "" {
					fate, how = killed, before.known[m.String()]
				}
				if how == "" {
					fate, how = try(t, m, h.tests, tests)
				}
				switch fate {
				case noBuild:
					continue
				case killed:
					before.add(t, m, how)
				}
				tried++
				count[fate]++
				out("%-10s %s (line %d) %s", fate, m, m.line, how)
				if fate == survived {
					t.Errorf("survived: %s (line %d)", m, m.line)
				}
			}
			table = append(table, fmt.Sprintf("%-22s %4s %8d %8d %8d %11d %6d", h.pkg, seed, len(all), tried, count[killed], count[equivalent], count[survived]))
		}
	}
	out("\n%s", strings.Join(table, "\n"))
}

// chosen reports whether -rooms names a package.
func (h held) chosen() bool {
	return *mutantRooms == "" || slices.Contains(strings.Split(*mutantRooms, ","), h.pkg)
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
func shuffled(all []mutation, seed string) []mutation {
	type ranked struct {
		rank [sha256.Size]byte
		m    mutation
	}
	ranks := make([]ranked, len(all))
	for i, m := range all {
		ranks[i] = ranked{sha256.Sum256(fmt.Appendf(nil, "%s %s", seed, m)), m}
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

// try runs the tests that hold a package on one mutant of it, as far as they
// run its line.
func try(t *testing.T, m mutation, tests []string, all suites) (fate, how string) {
	t.Helper()
	file := path.Join(m.pkg, m.file)
	source, err := os.ReadFile(filepath.Join(root, file))
	if err != nil {
		t.Fatal(err)
	}
	list := overlay(t, map[string]string{file: string(source[:m.from]) + m.new + string(source[m.to:])})
	bin := filepath.Join(t.TempDir(), "tests")
	defer os.Remove(bin) // it is large; the folder goes with the test
	how = "no test runs it"
	for i, pkg := range tests {
		fast, slow := all.of(t, m.pkg, pkg).covering(m)
		if i > 0 && len(fast)+len(slow) == 0 {
			continue
		}
		if o := goTool(t, buildLimit, "test", "-c", "-vet=off", "-overlay", list, "-o", bin, "./"+pkg); o.failed {
			return noBuild, ""
		}
		for _, some := range [][]coveringTest{fast, slow} {
			if o, red := runSome(t, bin, pkg, some); red {
				return killed, fmt.Sprintf("by %s in %s: %s", pkg, o.took.Round(time.Second), firstFailure(o.text))
			}
		}
		if n := len(fast) + len(slow); n > 0 {
			how = fmt.Sprintf("%d tests of %s run it", n, pkg)
		}
	}
	return survived, how
}

// runSome runs some tests of a package, and reports whether one went red. A
// hang is found, too: they may take some times as long as without a mutant.
func runSome(t *testing.T, bin, pkg string, some []coveringTest) (o ran, red bool) {
	t.Helper()
	if len(some) == 0 {
		return ran{}, false
	}
	limit := 30 * time.Second
	var names []string
	for _, c := range some {
		limit += 4 * c.Took
		names = append(names, c.Name)
	}
	o = runTests(t, limit+30*time.Second, bin, pkg, nil, "-test.failfast", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
	return o, o.failed
}
