//go:build mutants && unix

package docs

import (
	"bufio"
	"cmp"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// suite is the tests of a package, each with the lines of a room that it runs: a
// mutant is tried on those that can see it alone, the fast ones first.
type suite struct {
	Pkg   string
	Tests []coveringTest // the fastest first
}

// coveringTest is a test, and what it runs of a room.
type coveringTest struct {
	Name  string
	Took  time.Duration
	Lines map[string][][2]int // from and to, inclusive, by the file's base name
}

// suites are measured once, by room and package.
type suites map[[2]string]*suite

// of returns the tests of a package with what they run of a room.
func (all suites) of(t *testing.T, room, pkg string) *suite {
	t.Helper()
	key := [2]string{room, pkg}
	if all[key] == nil {
		all.measure(t, pkg)
	}
	return all[key]
}

// measure runs each test of a package alone, on the code as it stands, and sees
// what it runs of each room of this run that the package holds. With -cache, a test
// that was measured earlier on the same code of these rooms is not run again.
func (all suites) measure(t *testing.T, pkg string) {
	t.Helper()
	known, cover := map[string]suite{}, []string{}
	for _, h := range heldBy {
		if h.chosen() && slices.Contains(h.tests, pkg) {
			known[h.pkg] = cached(t, h.pkg, pkg)
			cover = append(cover, module+"/"+h.pkg)
			all[[2]string{h.pkg, pkg}] = &suite{Pkg: pkg}
		}
	}
	bin := filepath.Join(t.TempDir(), "tests")
	if o := goTool(t, buildLimit, "test", "-c", "-vet=off", "-cover", "-coverpkg="+strings.Join(cover, ","), "-o", bin, "./"+pkg); o.failed {
		t.Fatalf("the tests of %s do not build: %s", pkg, o.text)
	}
	for _, name := range testNames(t, bin, pkg) {
		var run *covered
		for room, before := range known {
			c, ok := before.test(name)
			if !ok && run == nil {
				run = runCovered(t, bin, pkg, name)
			}
			if !ok {
				c, ok = run.of(room)
			}
			if s := all[[2]string{room, pkg}]; ok {
				s.Tests = append(s.Tests, c)
			}
		}
	}
	for room := range known {
		s := all[[2]string{room, pkg}]
		slices.SortFunc(s.Tests, func(a, b coveringTest) int { return cmp.Compare(a.Took, b.Took) })
		s.keep(t, room)
	}
}

func cacheFile(t *testing.T, room, pkg string) string {
	t.Helper()
	return filepath.Join(*mutantCache, fmt.Sprintf("%s-%s-%.12x.json", flat(room), flat(pkg), fingerprint(t, room)))
}

// cached reads what was measured earlier.
func cached(t *testing.T, room, pkg string) (s suite) {
	t.Helper()
	text, err := os.ReadFile(cacheFile(t, room, pkg))
	if *mutantCache == "" || err != nil {
		return s
	}
	if err := json.Unmarshal(text, &s); err != nil {
		t.Fatal(err)
	}
	return s
}

// keep stores a suite for the next run.
func (s *suite) keep(t *testing.T, room string) {
	t.Helper()
	if *mutantCache == "" {
		return
	}
	text, err := json.Marshal(s)
	if err == nil {
		err = os.WriteFile(cacheFile(t, room, s.Pkg), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
}

func (s *suite) test(name string) (coveringTest, bool) {
	for _, c := range s.Tests {
		if c.Name == name {
			return c, true
		}
	}
	return coveringTest{}, false
}

func flat(pkg string) string { return strings.ReplaceAll(pkg, "/", "-") }

// fingerprint identifies a state of a room's code.
func fingerprint(t *testing.T, room string) []byte {
	t.Helper()
	h := sha256.New()
	for _, path := range sourcesOf(t, room) {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		fmt.Fprintf(h, "%s %d %s", path, len(text), text)
	}
	return h.Sum(nil)
}

// kills are the mutants of a room that a test killed, with what it said, by name.
// With -cache they are not tried again on the same code of the room: a run that
// was broken off goes on, and one with more tests looks at the survivors.
type kills struct {
	file  string
	known map[string]string
}

func killedBefore(t *testing.T, room string) kills {
	t.Helper()
	k := kills{known: map[string]string{}}
	if *mutantCache == "" {
		return k
	}
	k.file = filepath.Join(*mutantCache, fmt.Sprintf("%s-%.12x.killed", flat(room), fingerprint(t, room)))
	text, err := os.ReadFile(k.file)
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(text)) {
		name, how, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "\t")
		k.known[name] = how
	}
	return k
}

// add notes a mutant.
func (k kills) add(t *testing.T, m mutation, how string) {
	t.Helper()
	if k.file == "" || k.known[m.String()] != "" {
		return
	}
	how = strings.Join(strings.Fields(how), " ")
	k.known[m.String()] = how
	f, err := os.OpenFile(k.file, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err == nil {
		_, err = fmt.Fprintf(f, "%s\t%s\n", m, how)
		err = errors.Join(err, f.Close())
	}
	if err != nil {
		t.Fatal(err)
	}
}

// testNames lists what -test.run can choose from.
func testNames(t *testing.T, bin, pkg string) (names []string) {
	t.Helper()
	o := runTests(t, time.Minute, bin, pkg, nil, "-test.list", "^(Test|Fuzz|Example)")
	for line := range strings.Lines(o.text) {
		if name := strings.TrimSpace(line); strings.HasPrefix(name, "Test") || strings.HasPrefix(name, "Fuzz") || strings.HasPrefix(name, "Example") {
			names = append(names, name)
		}
	}
	return names
}

// covered is one run of a test.
type covered struct {
	name  string
	took  time.Duration
	red   bool
	lines map[string]map[string][][2]int // by package, then as in a coveringTest
}

// of is what the run saw of a room. A test that is red without a mutant can judge
// none: ok is false.
func (c *covered) of(room string) (_ coveringTest, ok bool) {
	return coveringTest{Name: c.name, Took: c.took, Lines: c.lines[room]}, !c.red
}

// runCovered runs one test, twice if it is red. What processes run that it starts
// counts too, but for those that it kills.
func runCovered(t *testing.T, bin, pkg, name string) *covered {
	t.Helper()
	dir := t.TempDir()
	profile, children := filepath.Join(dir, "profile"), filepath.Join(dir, "children")
	if err := os.Mkdir(children, 0o700); err != nil {
		t.Fatal(err)
	}
	var o ran
	for range 2 {
		o = runTests(t, 20*time.Minute, bin, pkg, []string{"GOCOVERDIR=" + children},
			"-test.run", wholeName(name), "-test.timeout", "20m", "-test.coverprofile", profile)
		if !o.failed {
			break
		}
	}
	c := &covered{name: name, took: o.took, red: o.failed, lines: map[string]map[string][][2]int{}}
	if o.failed {
		t.Errorf("%s of %s is red without a mutant: %s", name, pkg, firstFailure(o.text))
		return c
	}
	c.read(t, profile)
	if files, err := os.ReadDir(children); err == nil && len(files) > 0 {
		text := filepath.Join(dir, "text")
		if o := goTool(t, time.Minute, "tool", "covdata", "textfmt", "-i", children, "-o", text); o.failed {
			t.Fatalf("read what the processes of %s ran: %s", name, o.text)
		}
		c.read(t, text)
	}
	return c
}

// read adds the lines that a profile counts.
func (c *covered) read(t *testing.T, profile string) {
	t.Helper()
	f, err := os.Open(profile)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	lines := bufio.NewScanner(f)
	for lines.Scan() {
		var from, to, n, statements, count int
		file, rest, ok := strings.Cut(lines.Text(), ":")
		if !ok || file == "mode" {
			continue
		}
		if _, err := fmt.Sscanf(rest, "%d.%d,%d.%d %d %d", &from, &n, &to, &n, &statements, &count); err != nil {
			t.Fatalf("read %s: %q: %v", profile, lines.Text(), err)
		}
		dir, name := path.Split(strings.TrimPrefix(file, module+"/"))
		if dir = path.Clean(dir); c.lines[dir] == nil {
			c.lines[dir] = map[string][][2]int{}
		}
		of := c.lines[dir]
		if span := [2]int{from, to}; count > 0 && !slices.Contains(of[name], span) {
			of[name] = append(of[name], span)
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
}

// covering lists the tests that run a mutant's line: those of less than a
// second, and the others.
func (s *suite) covering(m mutation) (fast, slow []coveringTest) {
	for _, c := range s.Tests {
		runs := slices.ContainsFunc(c.Lines[m.file], func(l [2]int) bool { return l[0] <= m.probe && m.probe <= l[1] })
		switch {
		case *mutantLimit > 0 && c.Took > *mutantLimit:
		case runs && c.Took < time.Second:
			fast = append(fast, c)
		case runs:
			slow = append(slow, c)
		}
	}
	return fast, slow
}
