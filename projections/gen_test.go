package projections_test

import (
	"fmt"
	"strings"

	"pgregory.net/rapid"

	"rollcall/eventlog"
)

// The generator draws from few ids, few times and few texts, so that records
// collide, and from every way in which a member can be missing or unreadable.

func member(t *rapid.T, name string, choices ...string) string {
	v := rapid.SampledFrom(choices).Draw(t, name)
	if v == "" {
		return ""
	}
	return fmt.Sprintf(`%q:%s,`, name, v)
}

// someTime draws a time of a short, busy stretch around a midnight of several
// zones; now and then one of another year.
func someTime(t *rapid.T, name string) string {
	switch rapid.IntRange(0, 19).Draw(t, name+" kind") {
	case 0:
		return ""
	case 1:
		return "null"
	case 2:
		return rapid.SampledFrom([]string{`"null"`, `""`, `17`, `"2026-13-01T00:00:00Z"`, `{}`}).Draw(t, name)
	case 3:
		return rapid.SampledFrom([]string{`"2025-12-31T10:00:00Z"`, `"2026-03-20T00:00:00.25Z"`, `"2026-03-08T10:07:30+05:30"`, `"2026-03-08 06:30:00.000001"`}).Draw(t, name)
	}
	minutes := rapid.IntRange(0, 40).Draw(t, name)
	return fmt.Sprintf(`"2026-03-0%dT%02d:%02d:00.%03dZ"`, 8+minutes/30, 4+minutes/10, minutes*7%60, minutes%2*500)
}

func times2(t *rapid.T, names ...string) string {
	var b strings.Builder
	for _, name := range names {
		if v := someTime(t, name); v != "" {
			fmt.Fprintf(&b, `%q:%s,`, name, v)
		}
	}
	return b.String()
}

func object(members string) string { return "{" + strings.TrimSuffix(members, ",") + "}" }

const organizers = `{"id":"o1","name":"One"}|{"id":"o1","name":"Uno"}|{"id":"o2"}|"Old"|{}|null|7`

func meetingMembers(t *rapid.T) string {
	return member(t, "id", `"m1"`, `"m1"`, `"m2"`, `3`, "") +
		member(t, "sessionId", `"s1"`, `"s1"`, `"s1"`, `"s 2"`, `null`, "") +
		member(t, "title", `"A"`, `"B"`, `null`, "", "") +
		member(t, "roomName", `"r1"`, `"r2"`, "", "") +
		member(t, "organizedBy", append(strings.Split(organizers, "|"), "", "")...) +
		`"status":"LIVE",` + times2(t, "startedAt", "endedAt")
}

func body(t *rapid.T) string {
	types := []string{
		"meeting.participantJoined", "meeting.participantLeft", "meeting.participantJoined", "meeting.participantLeft",
		"meeting.started", "meeting.ended", "meeting.chatSynced", "meeting.transcript", "meeting.summary",
		"recording.statusUpdate", "livestreaming.statusUpdate", "meeting.paused",
	}
	typ := rapid.SampledFrom(types).Draw(t, "event")
	b := fmt.Sprintf(`"event":%q,`, typ)
	flat := typ == "meeting.chatSynced" || rapid.IntRange(0, 15).Draw(t, "flat") == 0
	if flat {
		b += strings.Replace(meetingMembers(t), `"id":`, `"meetingId":`, 1)
	} else {
		b += `"meeting":` + object(meetingMembers(t)) + ","
	}
	switch typ {
	case "meeting.participantJoined", "meeting.participantLeft":
		b += `"participant":` + object(
			member(t, "peerId", `"p1"`, `"p2"`, `"p3"`, `"p4"`, `5`, "")+
				member(t, "customParticipantId", `"c1"`, `"c2"`, `"p1"`, `""`, "", "")+
				member(t, "clientSpecificId", `"c1"`, `"d1"`, "", "")+
				member(t, "userDisplayName", `"Guest"`, `"Guest 2"`, `""`, "")+
				times2(t, "joinedAt", "leftAt")) + ","
	case "meeting.ended":
		b += member(t, "reason", `"HOST_ENDED_MEETING"`, `"ALL_PARTICIPANTS_LEFT"`, `4`, "")
	case "meeting.chatSynced":
		b += member(t, "chatDownloadUrl", `"u1"`, `"u2"`, `""`, "") + times2(t, "chatDownloadUrlExpiry")
	case "meeting.transcript":
		b += member(t, "transcriptDownloadUrl", `"u1"`, `"u2"`, `""`, "") + times2(t, "transcriptDownloadUrlExpiry")
	case "meeting.summary":
		b += member(t, "summaryDownloadUrl", `"u1"`, `"u2"`, `""`, "") + times2(t, "summaryDownloadUrlExpiry")
	case "livestreaming.statusUpdate":
		b += member(t, "streamId", `"l1"`, `"l1"`, `"l2"`, "") + member(t, "status", `"LIVE"`, `"LIVE"`, `"OFFLINE"`, `"IDLE"`, "")
	case "recording.statusUpdate":
		b += `"recording":` + object(
			member(t, "recordingId", `"r1"`, `"r1"`, `"r2"`, "")+member(t, "id", `"r1"`, "")+
				member(t, "status", `"INVOKED"`, `"PAUSED"`, `"RECORDING"`, `"UPLOADING"`, `"ERRORED"`, `"UPLOADED"`, `"odd"`, `"other"`, `1`, "")+
				member(t, "meetingId", `"m1"`, `"m3"`, "")+member(t, "roomUUID", `"s1"`, `"s3"`, "")+
				member(t, "organizationId", `"o1"`, `"o3"`, "")+member(t, "outputFileName", `"f1"`, `"f2"`, "")+
				member(t, "errMessage", `"e1"`, `"e2"`, "")+member(t, "stopReason", `{"reason":"X"}`, `{"a":1,"b":2,"a":3}`, `"text"`, `null`, "")+
				member(t, "fileSize", `10`, `"20"`, `"x"`, "")+member(t, "filesize", `3e1`, "")+
				member(t, "downloadUrl", `"u1"`, `"u2"`, `[1]`, `[{"participantId":"c1","url":"u1"},{"audioUrl":"a"}]`, `{"c1":"u1","c2":{"download_url":"u2"}}`, "")+
				member(t, "download_url", `[{"layer_name":"default","download_urls":{"default_c1_p1_peer_audio_1.webm":{"download_url":"u3"}}}]`, `"u4"`, "", "", "")+
				member(t, "audioDownloadUrl", `"a1"`, `"a2"`, "")+
				times2(t, "startedTime", "stoppedTime", "downloadUrlExpiry")) + ","
	}
	return object(b)
}

// someRecords draws a log: records with their own event ids, some of them
// repeats of earlier ones with another received time.
func someRecords(most int) *rapid.Generator[[]eventlog.Record] {
	return rapid.Custom(func(t *rapid.T) []eventlog.Record {
		n := rapid.IntRange(1, most).Draw(t, "records")
		list := make([]eventlog.Record, 0, n)
		for i := range n {
			r := eventlog.Record{
				EventID: fmt.Sprintf("E%02d", rapid.IntRange(0, 9).Draw(t, "id")*100+i),
				Source:  "src",
				ReceivedAt: eventlog.TimeOfUnixMicro(1773000000e6).Add(
					eventlog.Seconds(rapid.IntRange(0, 30).Draw(t, "received")) * 60 * eventlog.Second),
			}
			if i > 0 && rapid.IntRange(0, 4).Draw(t, "repeat") == 0 {
				old := list[rapid.IntRange(0, i-1).Draw(t, "of")]
				r.Body, r.DeliveryID = old.Body, old.DeliveryID
				if rapid.IntRange(0, 3).Draw(t, "again") == 0 { // the same body, another delivery
					r.DeliveryID = fmt.Sprint("again", i)
				}
			} else {
				r.Body = []byte(body(t))
				r.DeliveryID = rapid.SampledFrom([]string{"", fmt.Sprint("d", i), fmt.Sprint("d", i)}).Draw(t, "delivery")
			}
			list = append(list, r)
		}
		return list
	})
}
