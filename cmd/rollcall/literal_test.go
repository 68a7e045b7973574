package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// TestDataDirIsLiteral runs the whole program in directories whose names mean
// something in a URI, a glob pattern, a format or a shell: each has its own data,
// and nothing appears beside them.
func TestDataDirIsLiteral(t *testing.T) {
	t.Parallel()
	root := t.TempDir()
	names := []string{"srv#1", "srv#2", "50%25", "50%", "p%41q", "a?b=c&d", "[ab]*", "*", `back\slash`, "{x,y}", "sp ace", "$HOME", "ünï", "%s%d", "semi;colon", "'quote'"}
	for i, name := range names {
		n := testNode(t, filepath.Join(root, name))
		stop := runNode(t, n)
		for range i%3 + 1 {
			postStarted(t, n, string(rune('a'+i%3))+"-"+time.Now().Format("150405.000000000"))
		}
		for deadline := time.Now().Add(eventlogtest.Patience); sessionsOf(n) != i%3+1; {
			if time.Now().After(deadline) || wire.Pause(t.Context(), 5*time.Millisecond) != nil {
				t.Fatalf("--data-dir %q shows %d sessions; want its own, %d", name, sessionsOf(n), i%3+1)
			}
		}
		if err := stop(); err != nil {
			t.Errorf("run() with --data-dir %q = %v; want no error", name, err)
		}
	}
	entries, err := os.ReadDir(root)
	if err != nil {
		t.Fatal(err)
	}
	if len(entries) != len(names) {
		t.Errorf("entries beside the data directories = %v; want %d", entries, len(names))
	}
}

// TestShellWord has a shell read what is printed for it.
func TestShellWord(t *testing.T) {
	for _, want := range []string{"/srv/plain-1.2", "a b", "it's", "$HOME", "a;b", "`x`", "\"q\"", "*", "", "a\nb", "~", "#x"} {
		got, err := exec.CommandContext(t.Context(), "sh", "-c", "printf %s "+console.ShellWord(want)).Output()
		if err != nil || string(got) != want {
			t.Errorf("sh reads %s as %q, %v; want %q", console.ShellWord(want), got, err, want)
		}
	}
}
