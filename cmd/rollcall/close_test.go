package main

import (
	"strings"
	"testing"

	"rollcall/cmd/rollcall/internal/backup"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// TestCloseOfAnotherLog: views that were folded from a log that is gone make no
// closing, which would name the log that there is now, and can't be verified with either.
func TestCloseOfAnotherLog(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	store, err := viewstore.Open(t.Context(), js, viewstore.Config{})
	if err != nil {
		t.Fatal(err)
	}
	body := []byte(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s","startedAt":"2026-10-07T08:00:00Z"}}`)
	log := func(records string) *natslog.Log {
		l, err := natslog.Open(t.Context(), js, natslog.Config{})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(l.Close)
		for _, n := range records {
			r := &eventlog.Record{EventID: "01HX000000000000000000000" + string(n), ReceivedAt: 1, Source: "test", Type: "meeting.started", Body: body}
			if _, err := l.Append(t.Context(), r); err != nil {
				t.Fatal(err)
			}
		}
		return l
	}
	build := backup.Build{Log: log("123"), Store: store, Folds: allFolds(), CacheBytes: 64 << 20, Progress: func(string, projector.Progress) {}}
	if _, err := build.Run(t.Context(), 3); err != nil {
		t.Fatal(err)
	}
	if err := js.DeleteStream(t.Context(), eventlog.Stream); err != nil {
		t.Fatal(err)
	}
	log("1")
	code, stdout, stderr := inProcess(t, nil, "close", "2026-10", "--nats-url", node.URL())
	if code != console.ExitFailed || !strings.Contains(stderr, "rollcall rebuild usage") {
		t.Errorf("close of views of another log = %d, %s%s; want %d, and how to make them again", code, stdout, stderr, console.ExitFailed)
	}
}
