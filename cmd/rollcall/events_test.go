package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestEventsOfASession: a record is listed with the session that its view has it
// in, also where the provider named that by a room or, as Dyte v1 does, by the
// meeting alone.
func TestEventsOfASession(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	for i, body := range []string{
		`{"event":"meeting.started","meeting":{"id":"v1-room","title":"A room"}}`,
		`{"event":"meeting.started","meeting":{"id":"m2","sessionId":"s2"}}`,
		`{"event":"recording.statusUpdate","recording":{"recordingId":"r","status":"UPLOADED","roomUUID":"s2"}}`,
		`{"event":"meeting.ended","meeting":{"id":"v1-room"}}`,
		`{"event":"livestreaming.statusUpdate","streamId":"l","meetingId":"v1-room","status":"LIVE"}`,
	} {
		r := &eventlog.Record{EventID: "01HX000000000000000000000" + string(rune('1'+i)), ReceivedAt: 1, Source: "test", Type: eventlog.Identify([]byte(body)).Name, Body: []byte(body)}
		if _, err := log.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	for session, want := range map[string]string{"v1-room": "1,4", "s2": "2,3", "m2": ""} {
		code, stdout, stderr := inProcess(t, nil, "events", "--session", session, "--output", "csv", "--nats-url", node.URL())
		if code != 0 {
			t.Fatalf("events --session %s = %d %s; want 0", session, code, stderr)
		}
		var got []string
		for _, line := range strings.Split(strings.TrimSpace(stdout), "\r\n")[1:] {
			cells := strings.Split(line, ",")
			if got = append(got, cells[0]); cells[4] != session {
				t.Errorf("events --session %s printed the session %q", session, cells[4])
			}
		}
		if strings.Join(got, ",") != want {
			t.Errorf("events --session %s = records %v; want %s", session, got, want)
		}
	}
}

// TestEventsOfATrimmedLog: what reads all of a log reads what a limit has left of it.
// Where --after names what is gone, that is an error: the records between are missing.
func TestEventsOfATrimmedLog(t *testing.T) {
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	log, err := natslog.Open(t.Context(), js, natslog.Config{})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	body := []byte(`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s"}}`)
	for i := range 5 {
		r := &eventlog.Record{EventID: "01HX000000000000000000000" + string(rune('1'+i)), ReceivedAt: 1, Source: "test", Type: "meeting.started", Body: body}
		if _, err := log.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	eventlogtest.Limit(t, js, eventlog.Stream, 2)
	key := filepath.Join(t.TempDir(), "key")
	if err := os.WriteFile(key, []byte("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{"events", "--output", "csv"}, {"events", "follow", "--limit", "2", "--output", "csv"},
		{"events", "export", "-"}, {"events", "scan"}, {"events", "verify", "--key", key, "--output", "json"},
	} {
		code, stdout, stderr := inProcess(t, nil, append(args, "--nats-url", node.URL())...)
		if code != 0 {
			t.Errorf("rollcall %s of a log of records 4 and 5 = %d, %s; want these two", strings.Join(args, " "), code, stderr)
		}
		if args[1] == "export" && strings.Count(stdout, "\n") != 2 {
			t.Errorf("export of a log of records 4 and 5 =\n%swant two lines", stdout)
		}
	}
	for _, args := range [][]string{{"events", "--after", "1"}, {"events", "export", "-", "--after", "1"}, {"events", "verify", "--key", key, "--after", "1"}} {
		if code, stdout, _ := inProcess(t, nil, append(args, "--nats-url", node.URL())...); code == 0 {
			t.Errorf("rollcall %s of a log that begins at record 4 = %s; want an error, since records 2 and 3 are gone", strings.Join(args, " "), stdout)
		}
	}
}
