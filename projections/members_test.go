package projections_test

import (
	"fmt"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/projections"
)

// eachMember is, by event type, every member that changes a document, in the
// object where it stands; "" is the body itself.
var eachMember = map[string][]struct{ object, member string }{
	"meeting.started": {
		{"meeting", `"title":"A"`}, {"meeting", `"roomName":"r"`}, {"meeting", `"organizedBy":{"id":"o1","name":"One"}`}, {"meeting", `"startedAt":"2026-01-05T09:00:00Z"`},
		{"meeting", `"startedAt":"never"`},
	},
	"meeting.ended": {{"meeting", `"endedAt":"2026-01-05T12:00:00Z"`}, {"", `"reason":"HOST_ENDED_MEETING"`}},
	"meeting.participantJoined": {
		{"participant", `"customParticipantId":"c1"`}, {"participant", `"clientSpecificId":"d1"`}, {"participant", `"userDisplayName":"Ann"`}, {"participant", `"joinedAt":"2026-01-05T09:00:00Z"`},
		{"participant", `"peerId":7`},
	},
	"meeting.participantLeft": {{"participant", `"leftAt":"2026-01-05T11:00:00Z"`}, {"participant", `"joinedAt":"2026-01-05T09:00:00Z"`}},
	"meeting.chatSynced":      {{"", `"chatDownloadUrl":"u"`}, {"", `"chatDownloadUrlExpiry":"2026-01-06T00:00:00Z"`}, {"", `"endedAt":"2026-01-05T12:00:00Z"`}},
	"meeting.transcript":      {{"", `"transcriptDownloadUrl":"u"`}, {"", `"transcriptDownloadUrlExpiry":"2026-01-06T00:00:00Z"`}},
	"meeting.summary":         {{"", `"summaryDownloadUrl":"u"`}, {"", `"summaryDownloadUrlExpiry":"2026-01-06T00:00:00Z"`}, {"meeting", `"endedAt":"2026-01-05T12:00:00Z"`}},
	"recording.statusUpdate": {
		{"recording", `"status":"UPLOADED"`}, {"recording", `"meetingId":"m9"`}, {"recording", `"roomUUID":"s9"`}, {"recording", `"organizationId":"o1"`}, {"recording", `"outputFileName":"f"`},
		{"recording", `"errMessage":"e"`}, {"recording", `"stopReason":{"a":1}`}, {"recording", `"startedTime":"2026-01-05T09:00:00Z"`}, {"recording", `"stoppedTime":"2026-01-05T11:00:00Z"`},
		{"recording", `"fileSize":10`}, {"recording", `"filesize":"10"`}, {"recording", `"downloadUrl":"u","audioDownloadUrl":"a","downloadUrlExpiry":"2026-01-06T00:00:00Z"`},
		{"recording", `"downloadUrl":[{"participantId":"c1","url":"u","audioUrl":"a"}]`}, {"meeting", `"id":"m2"`}, {"meeting", `"sessionId":"s2"`},
	},
	"livestreaming.statusUpdate": {{"", `"status":"LIVE"`}, {"meeting", `"id":"m2"`}},
}

// bodyOf is a body of a type with one more member. Without ids in the meeting
// object where the recording or livestream is what counts.
func bodyOf(typ, object, member string) string {
	ids := map[string]string{
		"": `"sessionId":"s1","meetingId":"m1","streamId":"l1"`, "meeting": `"sessionId":"s1","id":"m1"`, "participant": `"peerId":"p1"`, "recording": `"id":"r1"`,
	}
	if strings.HasPrefix(typ, "recording") || strings.HasPrefix(typ, "livestreaming") {
		ids[""], ids["meeting"] = `"streamId":"l1"`, `"x":1`
	}
	if member != "" {
		ids[object] += "," + member
	}
	return fmt.Sprintf(`{"event":%q,"meeting":{%s},"participant":{%s},"recording":{%s},%s}`, typ, ids["meeting"], ids["participant"], ids["recording"], ids[""])
}

// TestEachMemberIsKept: a member that comes alone, after everything else was
// stored, is in the document, and still is after a restart and one more record.
func TestEachMemberIsKept(t *testing.T) {
	for typ, members := range eachMember {
		for _, m := range members {
			var records []eventlog.Record
			for i, body := range []string{bodyOf(typ, "", ""), bodyOf(typ, m.object, m.member), bodyOf(typ, "", "")} {
				records = append(records, eventlog.Record{EventID: fmt.Sprint("E", i), Source: "s", DeliveryID: fmt.Sprint(i), ReceivedAt: minutes(i), Body: []byte(body)})
			}
			want := reference(records)
			got := make(views)
			for _, f := range projections.All() {
				r := newRunner(f)
				for _, ev := range decode(records) {
					r.apply(t, &ev)
					r.commit(t, 1)
					r.restart()
				}
				got[f.Name()] = r.docs
			}
			want["usage"] = fold(t, records)["usage"]
			if d := diff(got, want); d != "" {
				t.Errorf("%s with %s: %s", typ, m.member, d)
			}
		}
	}
}

// TestOthersEventsChangeNothing: a state takes nothing of an event that is not
// its own.
func TestOthersEventsChangeNothing(t *testing.T) {
	for _, f := range projections.All() {
		for typ := range eachMember {
			ev := eventlog.Decode(&eventlog.Record{EventID: "E", Source: "s", DeliveryID: "d", ReceivedAt: minutes(1), Body: []byte(bodyOf(typ, "", ""))})
			own := f.Key(&ev)
			for _, key := range []string{"", "r1", "l1", "s1", "another"} {
				if key == own {
					continue
				}
				for _, ev := range []eventlog.Event{ev, nameless(ev)} {
					if f.Key(&ev) == key && key != "" {
						continue
					}
					s := f.New(key)
					s.Apply(&ev)
					c := collector{t: t, entity: key, written: make(map[string]bool)}
					if s.Flush(&c); len(c.written) > 0 {
						t.Errorf("%s: an event %s of %q in the state of %q writes %v; want nothing", f.Name(), typ, f.Key(&ev), key, c.written)
					}
				}
			}
		}
	}
}

// nameless is an event without any id.
func nameless(ev eventlog.Event) eventlog.Event {
	ev.SessionID, ev.MeetingID, ev.Recording.ID, ev.Livestream.StreamID = "", "", "", ""
	return ev
}
