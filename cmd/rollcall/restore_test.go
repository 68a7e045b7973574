package main

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestRestoreDrill is the drill of OPERATIONS: export while webhooks come in, go on
// from there later, lose the data directory, restore, and every view is the one
// that was lost, byte for byte. A cluster that gets the same files has them too.
func TestRestoreDrill(t *testing.T) {
	if testing.Short() {
		t.Skip("starts seven processes")
	}
	t.Parallel()
	dir, kept := filepath.Join(t.TempDir(), "data"), t.TempDir()
	first, second := filepath.Join(kept, "first.ndjson.zst"), filepath.Join(kept, "second.ndjson")
	node := startServe(t, "lost", "--data-dir", dir, "--nats-listen", "127.0.0.1:0", "--source", "test=none")
	url := node.at.NATS
	load := start(t, "simulate", "rollcall", "simulate", "--url", "http://"+node.at.Ingest+"/webhooks/test", "--seed", "7",
		"--sessions", "40", "--shuffle", "--duplicates", "0.2", "--rate", "200")
	cliCommand(t, "events", "follow", "--limit", "100", "--nats-url", url)
	cliCommand(t, "events", "export", first, "--nats-url", url)
	<-load.ended
	cliCommand(t, "simulate", "--url", "http://"+node.at.Ingest+"/webhooks/test", "--seed", "8", "--sessions", "1") // there is something to go on with
	want := viewTexts(t, url)
	cliCommand(t, "events", "export", second, "--after", first, "--nats-url", url)
	cliCommand(t, "events", "verify", first, second)
	if b, err := os.ReadFile(second); err != nil || len(b) == 0 {
		t.Fatalf("the second export has %d bytes, %v; want the records that came after the first", len(b), err)
	}
	node.kill()
	if err := os.RemoveAll(dir); err != nil {
		t.Fatal(err)
	}

	refusedExports(t, dir, first, second)
	t.Log(cliCommand(t, "restore", first, second, "--data-dir", dir))
	again := startServe(t, "restored", "--data-dir", dir, "--nats-listen", "127.0.0.1:0")
	sameViews(t, viewTexts(t, again.at.NATS), want)

	cluster, _ := plainNATS(t, t.TempDir(), "0")
	cliCommand(t, "restore", first, second, "--nats-url", cluster)
	sameViews(t, viewTexts(t, cluster), want)
	if code, said := refused(t, "restore", first, "--nats-url", cluster); code != console.ExitFailed || !strings.Contains(said, "not empty") {
		t.Errorf("a second restore = %d, %q; want %d, since the log is not empty", code, said, console.ExitFailed)
	}
	if code, said := refused(t, "events", "export", filepath.Join(kept, "x"), "--after", first, "--nats-url", cluster); code != console.ExitFailed || !strings.Contains(said, "another incarnation") {
		t.Errorf("export --after a file of another log = %d, %q; want %d", code, said, console.ExitFailed)
	}
}

// refusedExports: files that are cut, or not in their order, leave no data directory.
func refusedExports(t *testing.T, dir, first, second string) {
	t.Helper()
	cut := filepath.Join(t.TempDir(), "cut.ndjson.zst")
	b, err := os.ReadFile(first)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(cut, b[:len(b)/2], 0o600); err != nil {
		t.Fatal(err)
	}
	for _, files := range [][]string{{cut}, {cut, second}, {second}, {second, first}, {first, first}} {
		for _, command := range [][]string{{"restore"}, {"events", "import"}} {
			code, said := refused(t, append(append(command, files...), "--data-dir", dir)...)
			if code != console.ExitFailed || !strings.Contains(said, "nothing was imported") {
				t.Errorf("rollcall %s %s = %d, %q; want %d and nothing imported", strings.Join(command, " "), files, code, said, console.ExitFailed)
			}
		}
		if code, said := refused(t, append([]string{"events", "verify"}, files...)...); code != console.ExitDifference {
			t.Errorf("rollcall events verify %s = %d, %q; want %d", files, code, said, console.ExitDifference)
		}
	}
	if _, err := os.Stat(dir); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("what was refused made %s: %v", dir, err)
	}
}

// TestRestoreReadsFilesAlone: an export on stdin could be stored, and not compared:
// it is refused before anything is made.
func TestRestoreReadsFilesAlone(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "data")
	code, _, errs := inProcess(t, nil, "restore", "-", "--data-dir", dir)
	if _, err := os.Stat(dir); code != console.ExitUsage || !strings.Contains(errs, "events import -") || !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("restore - = %d, %s, and the directory: %v; want %d, what to do instead, and no directory", code, errs, err, console.ExitUsage)
	}
}

// TestExportThatCanNotBeOpened is no difference of a backup, whatever keeps it from
// being read.
func TestExportThatCanNotBeOpened(t *testing.T) {
	file := writeFile(t, "export.ndjson", nil)
	for _, path := range []string{file + "/below", file + ".missing"} {
		if code, _, errs := inProcess(t, nil, "events", "verify", path); code != console.ExitUsage {
			t.Errorf("events verify %s = %d, %s; want %d", path, code, errs, console.ExitUsage)
		}
	}
}
