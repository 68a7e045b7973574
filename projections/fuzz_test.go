package projections_test

import (
	"bytes"
	"testing"

	"github.com/go-json-experiment/json/jsontext"

	"rollcall/eventlog"
	"rollcall/projections"
)

// FuzzFolds takes lines as bodies: no input makes a fold fail, every document is
// valid JSON below the size limit, and the law and the reference hold.
func FuzzFolds(f *testing.F) {
	f.Add([]byte(`{"event":"meeting.participantJoined","meeting":{"id":"m","sessionId":"s"},"participant":{"peerId":"p","joinedAt":"2026-01-05T10:00:00Z"}}
{"event":"meeting.participantLeft","meeting":{"id":"m","sessionId":"s"},"participant":{"peerId":"p","leftAt":"2026-01-05T09:00:00Z"}}
{"event":"meeting.ended","meeting":{"id":"m","sessionId":"s","endedAt":"2026-01-05T11:00:00Z"}}`))
	f.Add([]byte(`{"event":"recording.statusUpdate","recording":{"id":"r","status":"UPLOADED","fileSize":"1","stopReason":[1]}}
{"event":"livestreaming.statusUpdate","streamId":"l","status":"LIVE"}
{"event":"meeting.chatSynced","sessionId":"s","chatDownloadUrl":"u"}`))
	f.Fuzz(func(t *testing.T, data []byte) {
		var records []eventlog.Record
		for i, line := range bytes.Split(data, []byte("\n")) {
			if i == 12 {
				break
			}
			records = append(records, eventlog.Record{
				EventID: string(rune('A' + (i*7)%12)), ReceivedAt: minutes(i * 5 % 7), Source: "s", DeliveryID: string(rune('a' + i%9)), Body: line,
			})
		}
		got := fold(t, records)
		for view, docs := range got {
			for key, doc := range docs {
				if len(doc) > maxValue || !jsontext.Value(doc).IsValid() {
					t.Errorf("%s %s is no valid document: %.300s", view, key, doc)
				}
			}
		}
		usage, recordings := usageOf(t, got)
		projections.UsageRows(projections.UsageQuery{From: projections.Date{Year: 2026, Month: 1, Day: 1}, To: projections.Date{Year: 2026, Month: 2, Day: 1}, Per: projections.PerDay},
			func(yield func(projections.UsageSession) bool) {
				for _, s := range usage {
					if !yield(s) {
						return
					}
				}
			}, func(yield func(projections.Recording) bool) {
				for _, r := range recordings {
					if !yield(r) {
						return
					}
				}
			})
		want := reference(records)
		for view := range want {
			if d := diff(views{view: got[view]}, views{view: want[view]}); d != "" {
				t.Errorf("%.2000s\nrecords:\n%.2000s", d, list(records))
			}
		}
	})
}
