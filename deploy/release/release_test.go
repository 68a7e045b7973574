// Package release holds the test of how a release is made.
package release

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"sigs.k8s.io/yaml"

	"rollcall/deploy/internal/built"
)

const config = built.Root + "/.goreleaser.yaml"

// check has goreleaser itself read a config.
func check(t *testing.T, path string) (string, error) {
	t.Helper()
	out, err := exec.Command(built.Tool(t, "goreleaser"), "check", path).CombinedOutput()
	return string(out), err
}

func TestConfigIsAccepted(t *testing.T) {
	out, err := check(t, config)
	if err != nil || !strings.Contains(out, "1 configuration file(s) validated") {
		t.Errorf("goreleaser check: %v\n%s", err, out)
	}
	t.Log(out)
}

// TestUnknownKey: the check above goes red on a misspelt key, and names it.
func TestUnknownKey(t *testing.T) {
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte(strings.Replace(string(text), "mod_timestamp:", "mod_timestamps:", 1)), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, err := check(t, path); err == nil || !strings.Contains(out, "mod_timestamps") {
		t.Errorf("goreleaser check of a config with mod_timestamps: %v\n%s", err, out)
	}
}

// TestArchives: what an archive holds is there, and is what an operator installs:
// units, alerts and their like, without their tests.
func TestArchives(t *testing.T) {
	text, err := os.ReadFile(config)
	if err != nil {
		t.Fatal(err)
	}
	var release struct{ Archives []struct{ Files []string } }
	if err := yaml.Unmarshal(text, &release); err != nil || len(release.Archives) != 1 {
		t.Fatalf("%s: %v, %d archives; want one", config, err, len(release.Archives))
	}
	held := map[string]bool{}
	for _, glob := range release.Archives[0].Files {
		paths, err := filepath.Glob(filepath.Join(built.Root, glob))
		if err != nil || len(paths) == 0 {
			t.Errorf("%s names %s, which is nothing: %v", config, glob, err)
		}
		for _, path := range paths {
			held[strings.TrimPrefix(path, built.Root+"/")] = true
			if strings.Contains(path, "test") {
				t.Errorf("an archive would hold %s; want no tests", path)
			}
		}
	}
	for _, want := range []string{"LICENSE", "docs/OPERATIONS.md", "docs/examples/nats-server.conf", "deploy/README.md", "deploy/systemd/rollcall@.service", "deploy/monitoring/board.json", "deploy/monitoring/rules.yaml"} {
		if !held[want] {
			t.Errorf("an archive would not hold %s", want)
		}
	}
}

// TestDistIsIgnored: goreleaser works in dist/, and a tree with files that git does not
// know would put "+dirty" into the version of what is built there.
func TestDistIsIgnored(t *testing.T) {
	built.Tool(t, "git")
	built.Run(t, "git", "-C", built.Root, "check-ignore", "dist/x")
}

// TestChangelog: every section but the first, Unreleased, is of a version with a date,
// as a tag finds it.
func TestChangelog(t *testing.T) {
	text, err := os.ReadFile(filepath.Join(built.Root, "CHANGELOG.md"))
	if err != nil {
		t.Fatal(err)
	}
	sections := regexp.MustCompile(`(?m)^## .*$`).FindAllString(string(text), -1)
	version := regexp.MustCompile(`^## \[\d+\.\d+\.\d+\] - \d{4}-\d{2}-\d{2}$`)
	for i, section := range sections {
		if i == 0 && section != "## [Unreleased]" || i > 0 && !version.MatchString(section) {
			t.Errorf("CHANGELOG.md has the section %q; want Unreleased, then versions with dates", section)
		}
	}
	if len(sections) < 2 {
		t.Errorf("CHANGELOG.md has %d sections; want Unreleased and a version", len(sections))
	}
}
