//go:build mutants && unix

package docs

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"flag"
	"fmt"
	"os"
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
	r := &sampling{accepted: equivalents(t), out: report(t), tests: suites{}}
	r.table = []string{fmt.Sprintf("%-32s %4s %8s %8s %8s %11s %6s", "package", "seed", "mutants", "tried", "killed", "equivalent", "left")}
	for _, h := range heldBy {
		if h.chosen() {
			t.Run(h.pkg, func(t *testing.T) { r.room(t, h) })
		}
	}
	r.out("\n%s", strings.Join(r.table, "\n"))
}

// sampling is one run of TestMutantsSample.
type sampling struct {
	accepted map[string]string // the reasons of equivalent mutants, by name
	out      func(format string, args ...any)
	tests    suites
	table    []string
}

// room breaks the samples of one package.
func (r *sampling) room(t *testing.T, h held) {
	all := mutations(t, h.pkg)
	if len(all) == 0 {
		t.Errorf("heldBy names %s, which has no code to break", h.pkg)
	}
	before, check := killedBefore(t, h.pkg), newChecker(t, h.pkg)
	seeds := strings.Split(*mutantSeeds, ",")
	samples, open := map[string][]mutation{}, []mutation(nil)
	for _, seed := range seeds {
		samples[seed] = check.sample(all, seed)
		for _, m := range samples[seed] {
			if r.accepted[m.String()] == "" && before.known[m.String()] == "" {
				open = append(open, m)
			}
		}
	}
	programs := check.programs(t, open)
	for _, seed := range seeds {
		count := map[string]int{}
		for _, m := range samples[seed] {
			fate, how := equivalent, r.accepted[m.String()]
			if how == "" {
				fate, how = killed, before.known[m.String()]
			}
			if how == "" {
				fate, how = programs[m.String()].try(t, m, h.tests, r.tests)
			}
			if fate == killed {
				before.add(t, m, how)
			}
			count[fate]++
			r.out("%-10s %s (line %d) %s", fate, m, m.line, how)
			if fate == survived {
				t.Errorf("survived: %s (line %d)", m, m.line)
			}
		}
		r.table = append(r.table, fmt.Sprintf("%-32s %4s %8d %8d %8d %11d %6d", h.pkg, seed, len(all), len(samples[seed]), count[killed], count[equivalent], count[survived]))
	}
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
func (p *program) try(t *testing.T, m mutation, tests []string, all suites) (fate, how string) {
	t.Helper()
	p.choose(t, m)
	how = "no test runs it"
	for _, pkg := range tests {
		fast, slow := all.of(t, m.pkg, pkg).covering(m)
		for _, some := range [][]coveringTest{fast, slow} {
			if len(some) == 0 {
				continue
			}
			if o := runSome(t, p.tests(t, pkg), pkg, some); o.failed {
				return killed, fmt.Sprintf("by %s in %s: %s", pkg, o.took.Round(time.Second), firstFailure(o.text))
			}
		}
		if n := len(fast) + len(slow); n > 0 {
			how = fmt.Sprintf("%d tests of %s run it", n, pkg)
		}
	}
	return survived, how
}

// runSome runs some tests of a package. A hang is found, too: they may take some
// times as long as without a mutant.
func runSome(t *testing.T, bin, pkg string, some []coveringTest) ran {
	t.Helper()
	limit := 30 * time.Second
	var names []string
	for _, c := range some {
		limit += 4 * c.Took
		names = append(names, c.Name)
	}
	return runTests(t, limit+30*time.Second, bin, pkg, nil, "-test.failfast", "-test.timeout", limit.String(), "-test.run", "^("+strings.Join(names, "|")+")$")
}
