//go:build mutants && unix

package docs

import (
	"strings"
	"testing"
	"time"
)

// TestMutantsPromises makes each change of testdata/promises.txt and
// testdata/holes.txt, and wants the test that is named for it to go red.
func TestMutantsPromises(t *testing.T) {
	out := report(t)
	for _, name := range brokenFiles {
		for _, b := range readBroken(t, name) {
			if !strings.Contains(b.pkg+" "+b.file+" "+b.what, *mutantFilter) {
				continue
			}
			t.Run(b.what, func(t *testing.T) {
				list := overlay(t, map[string]string{b.file: b.apply(t)})
				o := goTest(t, 3*time.Minute, "-tags="+b.tags, "-overlay", list, "-run", wholeName(b.test), "./"+b.pkg)
				fate := killed
				switch {
				case !o.built:
					fate = noBuild
					t.Errorf("%s does not build: %s", b.what, o.failure)
				case o.green:
					fate = survived
					t.Errorf("%s is green with %q in %s; want it red", b.test, b.new, b.file)
				}
				out("%-10s %s, %s: %s in %s", fate, b.file, b.what, o.failure, o.took)
			})
		}
	}
}

// wholeName is a test's name as a pattern that no longer name matches.
func wholeName(test string) string {
	return "^" + strings.ReplaceAll(test, "/", "$/^") + "$"
}
