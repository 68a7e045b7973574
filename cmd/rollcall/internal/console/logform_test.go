package console

import (
	"bytes"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// TestLogForms: JSON for machines, lines for people, and by itself what the writer is.
func TestLogForms(t *testing.T) {
	for form, json := range map[string]bool{"json": true, "auto": true, "console": false} {
		var out bytes.Buffer
		log, level, err := LogFlags{LogLevel: "info", LogFormat: form}.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Debug().Msg("hidden")
		log.Info().Msg("shown")
		if got := out.String(); strings.HasPrefix(got, "{") != json || !strings.Contains(got, "shown") || strings.Contains(got, "hidden") {
			t.Errorf("a log of form %s = %q; want JSON %v, and nothing of debug", form, got, json)
		}
		if err := level.Set("debug"); err != nil {
			t.Fatal(err)
		}
		if log.Debug().Msg("hidden"); !strings.Contains(out.String(), "hidden") {
			t.Errorf("a log of form %s at debug = %q; want the line of debug", form, out.String())
		}
	}
	if _, _, err := (LogFlags{LogLevel: "loud"}).Logger(os.Stderr); ExitCode(err) != ExitUsage {
		t.Errorf("Logger of level loud = %v; want an error of --log-level", err)
	}
}

// TestIsTerminal: a file is none, nor is a terminal that takes no control sequences.
func TestIsTerminal(t *testing.T) {
	t.Setenv("TERM", "xterm")
	file, err := os.Create(filepath.Join(t.TempDir(), "out"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	if IsTerminal(file) || IsTerminal(new(bytes.Buffer)) {
		t.Error("a file, or a buffer, is a terminal")
	}
	terminal, err := os.OpenFile("/dev/ptmx", os.O_RDWR, 0)
	if err != nil {
		t.Skip("no terminal: ", err)
	}
	defer terminal.Close()
	if !IsTerminal(terminal) {
		t.Error("a terminal is none")
	}
	if t.Setenv("TERM", "dumb"); IsTerminal(terminal) {
		t.Error("a dumb terminal takes control sequences")
	}
}
