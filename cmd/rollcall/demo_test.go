package main

import (
	"bytes"
	"fmt"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
)

// TestDemo: the demo needs nothing, and shows sessions that start and end; Ctrl-C and
// --duration end it in order.
func TestDemo(t *testing.T) {
	if testing.Short() {
		t.Skip("waits for meetings to end")
	}
	t.Parallel()
	if err := eventlogtest.Steadily(func() error { return demo(t) }); err != nil {
		t.Error(err)
	}
}

// demo runs one until a session has ended, and one for a moment.
func demo(t *testing.T) error {
	t.Helper()
	demo := []string{"demo", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--nats-listen", "127.0.0.1:0"}
	p := start(t, "demo", "rollcall", append(demo, "--seed", "3")...)
	ended := regexp.MustCompile(`(?s)http://127\.0\.0\.1:.*started .*ended .* people`)
	waitFor(t, "the demo shows a session that ended", func() bool { return ended.MatchString(p.log.String()) })
	if code, _ := p.interrupt(syscall.SIGINT); code != console.ExitDone {
		return fmt.Errorf("an interrupted demo = %d; want %d\n%s", code, console.ExitDone, p.log)
	}
	short := start(t, "short demo", "rollcall", append(demo, "--duration", "100ms")...)
	<-short.ended
	for _, p := range []*process{p, short} {
		if said := p.log.String(); !strings.Contains(said, "Next:") || strings.Contains("\n"+said, "\nrollcall: ") { // what was on its way may be logged
			return fmt.Errorf("the %s prints\n%s\nwant what to do next, and no error", p.name, said)
		}
	}
	if code := short.cmd.ProcessState.ExitCode(); code != console.ExitDone {
		return fmt.Errorf("a demo that ends by itself = %d; want %d\n%s", code, console.ExitDone, short.log)
	}
	return nil
}

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
