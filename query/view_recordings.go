package query

import (
	"rollcall/eventlog"
	"rollcall/query/replica"
)

const viewRecordings = "recordings"

func recordingsView() *view {
	return &view{
		name: viewRecordings, item: "Recording", noun: "recording", id: "recordingId", order: "-startedAt",
		filters: []filter{
			{param: textParam("status", "Recordings in this state.")},
			{param: textParam("sessionId", "Recordings of this session.")},
			{param: textParam("meetingId", "Recordings of this meeting.")},
			{param: param{name: "stuckFor", kind: paramDuration, doc: "Not final, and no event for this long."}, where: whereStuck},
			{param: param{name: "expiresWithin", kind: paramDuration, doc: "The download link is valid, and ends within this time."}, where: whereExpires},
		},
		indexes: []string{"startedAt", "recordingId", "sessionId", "meetingId", "status, startedAt", "lastEventAt", "downloadUrlExpiresAt"},
		csv: map[string]*csvField{
			"history": {},
			"files":   {names: []string{"files"}, cells: joinFiles},
		},
	}
}

func whereStuck(_ *replica.Snapshot, c *call) (string, []any) {
	return "s.status NOT IN ('UPLOADED', 'ERRORED') AND s.lastEventAt <= ?", []any{int64(eventlog.TimeOf(c.now.Add(-c.durations["stuckFor"])))}
}

func whereExpires(_ *replica.Snapshot, c *call) (string, []any) {
	return "s.downloadUrl <> '' AND s.downloadUrlExpiresAt > ? AND s.downloadUrlExpiresAt <= ?",
		[]any{int64(eventlog.TimeOf(c.now)), int64(eventlog.TimeOf(c.now.Add(c.durations["expiresWithin"])))}
}
