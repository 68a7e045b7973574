package main

import (
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog/eventlogtest"
)

// refused runs a command that must fail, and returns its exit code and message.
func refused(t *testing.T, args ...string) (int, string) {
	t.Helper()
	code, _, stderr := inProcess(t, nil, append(args, "--log-level", "error")...)
	if code == console.ExitDone {
		t.Fatalf("rollcall %s = %d; want it to fail", strings.Join(args, " "), code)
	}
	var own []string
	for line := range strings.Lines(stderr) {
		if strings.HasPrefix(line, "rollcall: ") {
			own = append(own, strings.TrimSpace(line))
		}
	}
	if len(own) != 1 {
		t.Errorf("rollcall %s prints %d errors; want one line:\n%s", strings.Join(args, " "), len(own), stderr)
		return code, stderr
	}
	return code, own[0]
}

func TestServersThatCanNotHoldTheLog(t *testing.T) {
	serve := []string{"serve", "--ingest-addr", "127.0.0.1:0", "--api-addr", "127.0.0.1:0", "--admin-addr", "127.0.0.1:0", "--data-dir", t.TempDir(), "--nats-url"}

	t.Run("without JetStream", func(t *testing.T) {
		url := "nats://" + natsWithoutJetStream(t)
		code, message := refused(t, append(serve, url)...)
		if code != console.ExitFailed || !strings.Contains(message, "JetStream") {
			t.Errorf("serve = %d, %q; want %d and a word about JetStream", code, message, console.ExitFailed)
		}
	})

	t.Run("stream with other settings", func(t *testing.T) {
		s := eventlogtest.Server(t)
		js := s.JetStream(t)
		if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "MEETINGS", Subjects: []string{"meetings.>"}, Storage: jetstream.MemoryStorage}); err != nil {
			t.Fatal(err)
		}
		code, message := refused(t, append(serve, s.URL())...)
		if code != console.ExitFailed || !strings.Contains(message, "MEETINGS") {
			t.Errorf("serve = %d, %q; want %d and the stream's name", code, message, console.ExitFailed)
		}
	})
}

func natsWithoutJetStream(t *testing.T) string {
	t.Helper()
	ports := t.TempDir()
	p := start(t, "plain", "nats-server", "-a", "127.0.0.1", "-p", "-1", "--ports_file_dir", ports)
	return portOf(t, p, filepath.Join(ports, "*.ports"))
}
