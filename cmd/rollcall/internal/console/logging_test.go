package console

import (
	"bytes"
	"regexp"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// TestLogTimes: lines within one second can be put in order.
func TestLogTimes(t *testing.T) {
	var out bytes.Buffer
	for _, format := range []string{"json", "console"} {
		log, _, err := LogFlags{LogLevel: "info", LogFormat: format}.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("x")
	}
	if ok := regexp.MustCompile(`(?s)"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z".*\n\S*\d\d:\d\d:\d\d\.\d{3}`).Match(out.Bytes()); !ok {
		t.Errorf("log lines %q; want times with milliseconds", out.String())
	}
}

// TestLevelChanges: a level that is set later applies to loggers made before, those
// with a sampler of their own too.
func TestLevelChanges(t *testing.T) {
	var out bytes.Buffer
	log, level, err := LogFlags{LogLevel: "error", LogFormat: "json"}.Logger(&out)
	if err != nil {
		t.Fatal(err)
	}
	part := log.With().Str("part", "x").Logger()
	sampled := part.Sample(&zerolog.BurstSampler{Burst: 10, Period: time.Minute})
	lines := func() int {
		out.Reset()
		part.Warn().Msg("warn")
		sampled.Warn().Msg("warn")
		part.Debug().Msg("debug")
		sampled.Debug().Msg("debug")
		return bytes.Count(out.Bytes(), []byte("\n"))
	}
	for _, c := range []struct {
		level string
		want  int
	}{{"error", 0}, {"debug", 4}, {"info", 2}} {
		if err := level.Set(c.level); err != nil {
			t.Fatal(err)
		}
		if got := lines(); got != c.want {
			t.Errorf("lines at level %s = %d; want %d\n%s", c.level, got, c.want, out.String())
		}
	}
	if err := level.Set("loud"); err == nil {
		t.Error(`Set("loud") = nil; want an error`)
	}
}
