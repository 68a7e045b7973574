package eventlog_test

import (
	"testing"

	"rollcall/eventlog"
)

// TestAppendText: whatever a text is, what is appended is a JSON string.
func TestAppendText(t *testing.T) {
	for s, want := range map[string]string{
		"": `""`, "a\"\\\x01": `"a\"\\\u0001"`, "会議": `"会議"`, "a\xff\xfeb": `"a` + "\uFFFD" + `b"`, "<&>": `"<&>"`,
	} {
		if got := string(eventlog.AppendText([]byte("x"), s)); got != "x"+want {
			t.Errorf("AppendText(x, %q) = %s; want x%s", s, got, want)
		}
	}
}
