package query_test

import (
	"fmt"
	"strings"
	"testing"
)

// TestClosingChanges: what has changed since a month was closed is a list: a line for each
// row that differs, with every number as closed and now, the session and the record that
// did it. Files say which closing it is, and with which record it was compared.
func TestClosingChanges(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "Algebra", 0))
	w.post(left("s1", "m1", "p1", "ann", 0, 600))
	w.post(started("s2", "m1", "Biology", 0))
	w.post(left("s2", "m1", "p1", "ann", 0, 300))
	w.post(recorded("r1", "", "2026-03-04T09:00:00Z", "2026-03-04T09:10:00Z"))
	kept := w.close("2026-03")
	const path = "/v1/closings/2026-03.UTC/changes"
	if l := w.items(path); len(l.Items) != 0 {
		t.Errorf("GET %s = %v; want none yet", path, l.Items)
	}
	late := w.post(left("s2", "m1", "p1", "ann", 0, 450))
	end := w.post(recorded("r1", "", "2026-03-04T09:00:00Z", "2026-03-04T09:12:00Z"))
	l := w.items(path)
	if got := l.column("day") + " " + l.column("sessionId") + " " + l.column("title"); got != "2026-03-02,2026-03-04 s2,<nil> Biology,<nil>" {
		t.Fatalf("GET %s = %s, %v; want the session s2 and a recording without one", path, got, l.Items)
	}
	for member, want := range map[string]any{"beforeSessions": 1.0, "afterSessions": 1.0, "beforeParticipantSeconds": 300.0, "afterParticipantSeconds": 450.0, "beforeAttendedSeconds": 300.0, "afterAttendedSeconds": 450.0,
		"beforeRecordingSeconds": 0.0, "meetingId": "m1", "recordSequence": float64(late), "recordType": "meeting.participantLeft", "comparedSequence": float64(end), "sequence": float64(kept.Sequence), "timezone": "UTC"} {
		if got := l.Items[0][member]; got != want {
			t.Errorf("%s of s2 = %v; want %v", member, got, want)
		}
	}
	if r := l.Items[1]; r["beforeRecordingSeconds"] != 600.0 || r["afterRecordingSeconds"] != 720.0 || r["recordSequence"] != nil {
		t.Errorf("change of a recording = %v; want 600 seconds, then 720", r)
	}
	if got := w.items(path + "?sort=-afterParticipantSeconds&limit=1"); got.column("sessionId") != "s2" || got.NextCursor == nil {
		t.Errorf("GET %s by time, a page of one = %v; want s2, and another page", path, got)
	}
	csv := string(w.get(path + "?format=csv").body)
	if want := "2026-03-02,s2,Biology,org-m1,Org m1,m1,1,1,300,450,300,450,0,0,1,1,"; !strings.HasPrefix(csv, "day,sessionId,title,") || !strings.Contains(csv, "\r\n"+want) || !strings.Contains(csv, ",comparedSequence,sequence,timezone,closedAt\r\n") {
		t.Errorf("GET %s?format=csv = %s; want a line that begins with %s", path, csv, want)
	}
	sheet := w.get(path + "?format=sheet&timezone=Europe/Berlin")
	if body := string(sheet.body); !strings.Contains(body, ",0:05:00,0:07:30,") || !strings.Contains(body, fmt.Sprintf(",%d,%d,", end, kept.Sequence)) {
		t.Errorf("GET %s?format=sheet = %s; want 0:05:00, then 0:07:30", path, body)
	}
	if a := w.get("/v1/closings/2026-04.UTC/changes"); a.status != 404 {
		t.Errorf("changes of a month that is not closed = %d; want 404", a.status)
	}
}
