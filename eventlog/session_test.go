package eventlog_test

import (
	"testing"

	"rollcall/eventlog"
)

// TestSession: which session an event belongs to, and what says so.
func TestSession(t *testing.T) {
	for _, c := range []struct {
		body, want string
		from       eventlog.SessionSource
	}{
		{`{"event":"meeting.started","meeting":{"id":"m","sessionId":"s"}}`, "s", eventlog.FromSessionID},
		{`{"event":"meeting.transcript","sessionId":"s"}`, "s", eventlog.FromSessionID},
		{`{"event":"recording.statusUpdate","meeting":{"sessionId":"s"},"recording":{"roomUUID":"r"}}`, "s", eventlog.FromSessionID},
		{`{"event":"recording.statusUpdate","meeting":{"id":"m"},"recording":{"roomUUID":"r"}}`, "r", eventlog.FromRoom},
		{`{"event":"meeting.started","meeting":{"id":"m"}}`, "m", eventlog.FromMeeting},
		{`{"event":"meeting.ended","meeting":{"id":"m"}}`, "m", eventlog.FromMeeting},
		{`{"event":"meeting.participantJoined","meeting":{"id":"m"}}`, "m", eventlog.FromMeeting},
		{`{"event":"meeting.participantLeft","meeting":{"id":"m"}}`, "m", eventlog.FromMeeting},
		{`{"event":"meeting.chatSynced","meeting":{"id":"m"}}`, "", eventlog.NoSession},
		{`{"event":"recording.statusUpdate","meeting":{"id":"m"}}`, "", eventlog.NoSession},
		{`{"event":"livestreaming.statusUpdate","meetingId":"m"}`, "", eventlog.NoSession},
		{`{"event":"something.new","meeting":{"id":"m","sessionId":"s"}}`, "", eventlog.NoSession}, // only known types are decoded
		{`{"event":"meeting.started"}`, "", eventlog.NoSession},
	} {
		ev := eventlog.Decode(&eventlog.Record{Body: []byte(c.body)})
		if id, from := ev.Session(); id != c.want || from != c.from {
			t.Errorf("Session() of %s = %q, %d; want %q, %d", c.body, id, from, c.want, c.from)
		}
	}
}
