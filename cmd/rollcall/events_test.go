package main

import (
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
