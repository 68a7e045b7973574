package console

import (
	"bytes"
	"regexp"
	"testing"
)

// TestLogTimes: lines within one second can be put in order.
func TestLogTimes(t *testing.T) {
	var out bytes.Buffer
	for _, format := range []string{"json", "console"} {
		log, err := LogFlags{LogLevel: "info", LogFormat: format}.Logger(&out)
		if err != nil {
			t.Fatal(err)
		}
		log.Info().Msg("x")
	}
	if ok := regexp.MustCompile(`(?s)"time":"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z".*\n\S*\d\d:\d\d:\d\d\.\d{3}`).Match(out.Bytes()); !ok {
		t.Errorf("log lines %q; want times with milliseconds", out.String())
	}
}
