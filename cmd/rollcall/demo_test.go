package main

import (
	"bytes"
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
)

// TestDemoIsQuiet: the demo's screen has no informational lines between what it
// shows, unless somebody asks for more.
func TestDemoIsQuiet(t *testing.T) {
	for level, want := range map[string]bool{"info": false, "debug": true} {
		var out bytes.Buffer
		a := &app{IO: &console.IO{Stderr: &out}}
		var err error
		if a.Logger, a.level, err = (console.LogFlags{LogLevel: level, LogFormat: "json"}).Logger(&out); err != nil {
			t.Fatal(err)
		}
		logger := new(demoCmd).quiet(a)
		logger.Info().Msg("in passing")
		logger.Warn().Msg("to be seen")
		if got := strings.Contains(out.String(), "in passing"); got != want || !strings.Contains(out.String(), "to be seen") {
			t.Errorf("the demo with --log-level %s logs %q; want informational lines: %v, and warnings", level, out.String(), want)
		}
	}
}
