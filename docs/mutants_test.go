//go:build mutants

package docs

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
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
// each, those that fail fastest first. What a package promises to others is
// held by its users' tests too.
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
	{"cmd/rollcall", []string{"cmd/rollcall", "docs"}},
}

// What can become of a mutant.
const (
	killed     = "killed"
	survived   = "survived"
	noBuild    = "does not build"
	equivalent = "equivalent"
)

// mutantTimeout bounds the tests of one package on one mutant: a hang is found,
// too.
const mutantTimeout = 4 * time.Minute

// TestMutantsSample breaks a sample of each package's statements, one at a
// time, and wants a test to go red. The tree is not touched: the compiler gets
// the broken file as an overlay. It fails where a mutant survives that is not
// listed as equivalent.
func TestMutantsSample(t *testing.T) {
	accepted := equivalents(t)
	out := report(t)
	table := []string{fmt.Sprintf("%-22s %8s %8s %8s %11s %6s", "package", "mutants", "tried", "killed", "equivalent", "left")}
	for _, h := range heldBy {
		if *mutantRooms != "" && !slices.Contains(strings.Split(*mutantRooms, ","), h.pkg) {
			continue
		}
		if _, err := os.Stat(filepath.Join(root, h.pkg)); errors.Is(err, os.ErrNotExist) {
			t.Errorf("heldBy names %s, which is missing", h.pkg)
			continue
		}
		all := mutations(t, h.pkg)
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
				fate, how = try(t, m, h.tests)
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

func shuffled(all []mutation, seed uint64) []mutation {
	all = slices.Clone(all)
	r := rand.New(rand.NewPCG(seed, 0))
	r.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
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
		case line == "" || strings.HasPrefix(line, "#"):
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
func try(t *testing.T, m mutation, tests []string) (fate, how string) {
	t.Helper()
	list := overlayOf(t, m)
	build := exec.CommandContext(t.Context(), "go", "build", "-overlay", list, "./"+m.pkg)
	build.Dir = root
	if err := build.Run(); err != nil {
		return noBuild, ""
	}
	for _, pkg := range tests {
		began := time.Now()
		ctx, cancel := context.WithTimeout(t.Context(), mutantTimeout+time.Minute)
		run := exec.CommandContext(ctx, "go", "test", "-count=1", "-failfast", "-vet=off", "-timeout", mutantTimeout.String(), "-overlay", list, "./"+pkg)
		run.Dir = root
		text, err := run.CombinedOutput()
		cancel()
		if err != nil {
			return killed, fmt.Sprintf("by %s in %s: %s", pkg, time.Since(began).Round(time.Second), firstFailure(string(text)))
		}
	}
	return survived, ""
}

// firstFailure is the test that went red, in the words of go test.
func firstFailure(out string) string {
	for line := range strings.Lines(out) {
		if trimmed := strings.TrimSpace(line); strings.HasPrefix(trimmed, "--- FAIL") || strings.HasPrefix(trimmed, "panic:") {
			return trimmed
		}
	}
	return cmp.Or(strings.TrimSpace(out[max(0, len(out)-120):]), "no output")
}

// overlayOf writes the broken file and the list that puts it over the good one.
func overlayOf(t *testing.T, m mutation) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(root, m.pkg, m.file))
	if err != nil {
		t.Fatal(err)
	}
	source, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	broken, list := filepath.Join(dir, m.file), filepath.Join(dir, "overlay.json")
	text := slices.Concat(source[:m.from], []byte(m.new), source[m.to:])
	names, err := json.Marshal(map[string]map[string]string{"Replace": {path: broken}})
	if err != nil {
		t.Fatal(err)
	}
	for name, data := range map[string][]byte{broken: text, list: names} {
		if err := os.WriteFile(name, data, 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return list
}
