package eventlog

import (
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"
)

func TestDecodeTolerates(t *testing.T) {
	tests := []struct {
		name, body string
		want       Event
	}{
		{"no object", `[1]`, Event{Type: Unreadable}},
		{"empty", ``, Event{Type: Unreadable}},
		{"cut short", `{"event":"meeting.started"`, Event{Type: Unreadable}},
		{"trailing text", `{"event":"meeting.started"} x`, Event{Type: Unreadable}},
		{"second object", `{"event":"meeting.started"}{}`, Event{Type: Unreadable}},
		{"trailing space", "{\"event\":\"meeting.started\"} \r\n\t", Event{Type: MeetingStarted}},
		{"unknown type", `{"event":"meeting.paused","meeting":{"id":"m"}}`, Event{Type: Unknown}},
		{"type is a number", `{"event":1}`, Event{Type: Unknown, Problems: []string{"event"}}},
		{"type in other case", `{"Event":"meeting.started"}`, Event{Type: Unknown}},
		{"escaped name", `{"\u0065vent":"meeting.started"}`, Event{Type: MeetingStarted}},
		{"ids of the wrong type", `{"event":"meeting.started","meeting":{"id":7,"sessionId":{"a":[1]}}}`,
			Event{Type: MeetingStarted, Problems: []string{"meeting.id", "meeting.sessionId"}}},
		{"meeting is no object", `{"event":"meeting.started","meeting":[],"sessionId":"s"}`,
			Event{Type: MeetingStarted, SessionID: "s", Problems: []string{"meeting"}}},
		{"last of a name counts", `{"event":"meeting.ended","reason":"A","reason":"B","meeting":{"id":"a","title":"x"},"meeting":{"id":"b"}}`,
			Event{Type: MeetingEnded, MeetingID: "b", Reason: "B"}},
		{"last of a name is unreadable", `{"event":"meeting.started","meeting":{"id":"a","id":1}}`,
			Event{Type: MeetingStarted, Problems: []string{"meeting.id"}}},
		{"bad UTF-8", "{\"event\":\"meeting.started\",\"meeting\":{\"title\":\"a\xffb\"}}",
			Event{Type: MeetingStarted, Title: "a\ufffdb"}},
		{"organizer is a name", `{"event":"meeting.started","meeting":{"organizedBy":"Org"}}`,
			Event{Type: MeetingStarted, Organizer: Organizer{Name: "Org"}}},
		{"bad times", `{"event":"meeting.ended","meeting":{"startedAt":"null","endedAt":17}}`,
			Event{Type: MeetingEnded, BadTimes: BadStartedAt | BadEndedAt, Problems: []string{"meeting.startedAt", "meeting.endedAt"}}},
		{"null times", `{"event":"meeting.ended","meeting":{"startedAt":null,"endedAt":null}}`, Event{Type: MeetingEnded}},
		{"leftAt of a join means nothing", `{"event":"meeting.participantJoined","participant":{"peerId":"p","leftAt":"x"}}`,
			Event{Type: ParticipantJoined, Participant: Participant{PeerID: "p"}, Problems: []string{"participant.leftAt"}}},
		{"endedAt of a leave means nothing", `{"event":"meeting.participantLeft","meeting":{"endedAt":"2026-01-01T00:00:00Z"},"participant":{"leftAt":"x"}}`,
			Event{Type: ParticipantLeft, BadTimes: BadLeftAt, Problems: []string{"participant.leftAt"}}},
		{"flat chat", `{"event":"meeting.chatSynced","sessionId":"s","meetingId":"m","title":"T","startedAt":"2026-01-01T00:00:00Z","chatDownloadUrl":"u","chatDownloadUrlExpiry":"2026-01-02 00:00:00.5Z"}`,
			Event{Type: ChatSynced, SessionID: "s", MeetingID: "m", Title: "T", StartedAt: at("2026-01-01T00:00:00Z"),
				Artifact: Artifact{URL: "u", ExpiresAt: at("2026-01-02T00:00:00.5Z")}}},
		{"recording sizes", `{"event":"recording.statusUpdate","recording":{"id":"r","filesize":2.5e3,"fileSize":"x","downloadUrl":[1]}}`,
			Event{Type: RecordingStatus, Recording: Recording{ID: "r", FileSize: 2500, HasFileSize: true}, Problems: []string{"recording.fileSize", "recording.downloadUrl"}}},
		{"recording size as text", `{"event":"recording.statusUpdate","recording":{"id":"r","recordingId":"q","fileSize":"2044680"}}`,
			Event{Type: RecordingStatus, Recording: Recording{ID: "q", FileSize: 2044680, HasFileSize: true}}},
		{"recording ids of the meeting object", `{"event":"recording.statusUpdate","sessionId":"top","meetingId":"top","recording":{"id":"r"},"meeting":{"id":"m"}}`,
			Event{Type: RecordingStatus, SessionID: "top", MeetingID: "m", Recording: Recording{ID: "r", InMeeting: "m"}}},
		{"stop reason beside the recording", `{"event":"recording.statusUpdate","recording":{"id":"r"},"meeting":{"stopReason":{ "reason":"API_CALL" }}}`,
			Event{Type: RecordingStatus, Recording: Recording{ID: "r", StopReason: []byte(`{"reason":"API_CALL"}`)}}},
		{"stop reason with names twice", "{\"event\":\"recording.statusUpdate\",\"recording\":{\"id\":\"r\",\"stopReason\":[{\"a\":1,\"\xff\":2,\"\xfe\":{\"c\":{},\"c\":[]},\"\\u0061\":3.0}]}}",
			Event{Type: RecordingStatus, Recording: Recording{ID: "r", StopReason: []byte(`[{"�":{"c":[]},"a":3.0}]`)}}},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			got := Decode(&Record{Body: []byte(test.body)})
			if !reflect.DeepEqual(got, test.want) {
				t.Errorf("Decode(%s) = %+v; want %+v", test.body, got, test.want)
			}
		})
	}
}

func at(s string) Time {
	t, ok := ParseTime(s)
	if !ok {
		panic("test time " + s)
	}
	return t
}

func TestDecodeCutsLongTexts(t *testing.T) {
	long := strings.Repeat("é", 70<<10) // 140 KiB
	ev := Decode(&Record{Body: []byte(`{"event":"meeting.started","meeting":{"id":"` + long + `","title":"x` + long + `","roomName":"` + long + `"}}`)})
	if ev.MeetingID != "" {
		t.Errorf("MeetingID has %d bytes; want none", len(ev.MeetingID))
	}
	if got, want := len(ev.Title), maxTitle-1; got != want { // one byte off: no rune is cut in two
		t.Errorf("len(Title) = %d; want %d", got, want)
	}
	if got, want := len(ev.RoomName), maxText; got != want {
		t.Errorf("len(RoomName) = %d; want %d", got, want)
	}
}

func TestRepeatKey(t *testing.T) {
	r := Record{Source: "a", DeliveryID: "u", Body: []byte("{}")}
	same := r
	same.EventID, same.ReceivedAt = "other", 5
	if r.RepeatKey() != same.RepeatKey() {
		t.Errorf("RepeatKey() differs between repeats")
	}
	for name, change := range map[string]func(*Record){
		"source": func(r *Record) { r.Source = "b" },
		"uuid":   func(r *Record) { r.DeliveryID = "v" },
		"body":   func(r *Record) { r.Body = []byte("{} ") },
	} {
		other := r
		change(&other)
		if other.RepeatKey() == r.RepeatKey() {
			t.Errorf("RepeatKey() with another %s = %v; want another key", name, other.RepeatKey())
		}
	}
	if r.DeliveryID = ""; !r.RepeatKey().IsZero() {
		t.Errorf("RepeatKey() without uuid = %v; want none", r.RepeatKey())
	}
}

func TestIdentify(t *testing.T) {
	tests := []struct {
		name, body string
		want       Identity
	}{
		{"unreadable", `nope`, Identity{Type: Unreadable, Name: "other.unreadable"}},
		{"unknown", `{"event":"a.b","meetingId":"m"}`, Identity{Type: Unknown, Name: "a.b", SliceKey: "m"}},
		{"hostile name", `{"event":"a\nb"}`, Identity{Type: Unknown, Name: "other.unknown"}},
		{"meeting.id first", `{"event":"recording.statusUpdate","meeting":{"id":"m","organizedBy":{"id":"o"}},"meetingId":"n","recording":{"meetingId":"x","organizationId":"p"}}`,
			Identity{Type: RecordingStatus, Name: "recording.statusUpdate", SliceKey: "m", OrganizationIDs: []string{"o", "p"}}},
		{"recording.meetingId", `{"event":"recording.statusUpdate","recording":{"meetingId":"x"},"sessionId":"s"}`,
			Identity{Type: RecordingStatus, Name: "recording.statusUpdate", SliceKey: "x"}},
		{"session", `{"event":"meeting.started","meeting":{"sessionId":"s"}}`,
			Identity{Type: MeetingStarted, Name: "meeting.started", SliceKey: "s"}},
		{"livestream", `{"event":"livestreaming.statusUpdate","streamId":"l","meeting":{"id":"m"}}`,
			Identity{Type: LivestreamStatus, Name: "livestreaming.statusUpdate", SliceKey: "l"}},
		{"defects", "{\"event\":\"a\",\"x\":1,\"x\":\"\xff\"}",
			Identity{Type: Unknown, Name: "a", DuplicateNames: true, InvalidUTF8: true}},
	}
	for _, test := range tests {
		if got := Identify([]byte(test.body)); !reflect.DeepEqual(got, test.want) {
			t.Errorf("%s: Identify(%s) = %+v; want %+v", test.name, test.body, got, test.want)
		}
	}
}

func TestEscapeID(t *testing.T) {
	for id, literal := range map[string]bool{
		"a": true, "A_b-9": true, strings.Repeat("x", 64): true,
		"": false, "a.b": false, "*": false, "a b": false, "é": false, strings.Repeat("x", 65): false,
	} {
		got := EscapeID(id)
		if literal && got != id {
			t.Errorf("EscapeID(%q) = %q; want it as it is", id, got)
		}
		if !literal && (len(got) != 66 || !strings.HasPrefix(got, "h_")) {
			t.Errorf("EscapeID(%q) = %q; want h_ and 64 hex digits", id, got)
		}
	}
}

func FuzzDecode(f *testing.F) {
	f.Add([]byte(`{"event":"meeting.started","meeting":{"id":"a","startedAt":"2026-01-01T00:00:00Z"}}`))
	f.Add([]byte(`{"event":"recording.statusUpdate","recording":{"fileSize":"12","stopReason":{"a":1}}}`))
	f.Fuzz(func(t *testing.T, body []byte) {
		ev := Decode(&Record{Body: body})
		id := Identify(body)
		if (ev.Type == Unreadable) != (id.Type == Unreadable) || ev.Type.Known() != id.Type.Known() {
			t.Errorf("Decode says %v, Identify says %v", ev.Type, id.Type)
		}
		if parts := strings.Split(id.Subject(), "."); len(parts) != 4 {
			t.Errorf("Subject() = %q; want four tokens", id.Subject())
		}
	})
}

// Whatever the fast reader takes, the other one takes, and reads the same.
func FuzzParse(f *testing.F) {
	files, err := filepath.Glob("testdata/samples/*/*.json")
	if err != nil || len(files) == 0 {
		f.Fatalf("no samples: %v", err)
	}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		x := newParser()
		var p payload
		if !x.parseFast(body, &p) && strings.Contains(name, "participant") {
			f.Errorf("parseFast(%s) = false; want such a body to be usual", name)
		}
		f.Add(body)
	}
	for _, body := range []string{
		`{}`, `{ "event" : "a" , "meeting" : { } }`, `{"a":[1,{"b":[]},null,true],"event":"x"}`, `{"event":"x",}`, `{"event" "x"}`,
		`{"event":01}`, `{"event":1.5e3,"id":-1}`, `{"a":{"b":1 2}}`, `{"meeting":{"id":"m"}"sessionId":"s"}`, `{"a":[1,]}`, `{"a":{,}}`,
		"{\"event\":\"\xff\",\"meeting\":{\"title\":\"\xc3\xa9\"}}", `{"meeting":{"id":"m"},"participant":null}x`, `{"event":"\u0061"}`,
		`{"meeting":{"organizedBy":{"id":"o"},"id":7,"startedAt":tru}}`, `{,"a":1}`, `{:"a"}`, `{"a":1:2}`, `{"a","b"}`, `{"a":}`, `{"meeting":}`,
		`{"recording":{"downloadUrl":[{"url":"u"},{"a":"b"}],"download_url":{"c":"\u0061"}}}`,
	} {
		f.Add([]byte(body))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		x := newParser()
		var fast, slow payload
		if !x.parseFast(body, &fast) {
			return
		}
		problems := x.problems
		if !x.parseSlow(body, &slow) {
			t.Fatalf("parseFast(%q) = true; want false as of jsontext", body)
		}
		if !reflect.DeepEqual(fast, slow) || !reflect.DeepEqual(problems, x.problems) {
			t.Errorf("parseFast(%q) = %+v, %q; want %+v, %q", body, fast, problems, slow, x.problems)
		}
	})
}

func BenchmarkDecode(b *testing.B) {
	body := []byte(`{"event":"meeting.participantLeft","meeting":{"id":"d9fc4d6a-a5a0-4430-9a73-d4ba14e597f9","sessionId":"79365b9b-e5ef-452f-934e-e171d75d254b","title":"Meeting title","status":"LIVE","createdAt":"2022-12-13T07:00:23.404Z","startedAt":"2022-12-13T07:00:23.404Z","organizedBy":{"id":"70c5d391-4bac-4cf3-9907-bec205798adb","name":"Dyte"}},"participant":{"peerId":"023d3ea6-0af0-40ad-8aa3-6645c4ff1db8","userDisplayName":"Guest 1","clientSpecificId":"dj287lon9c","customParticipantId":"dj287lon9c","joinedAt":"2022-12-13T07:01:41.535Z","leftAt":"2022-12-13T07:03:42.420Z"}}`)
	r := &Record{Body: body, Source: "prod", DeliveryID: "x"}
	b.ReportAllocs()
	for b.Loop() {
		Decode(r)
	}
}

// TestEveryPrefix: a body that ends anywhere, in a string, a number or an object,
// is no JSON, and reading it ends.
func TestEveryPrefix(t *testing.T) {
	files, err := filepath.Glob("testdata/samples/*/*.json")
	if err != nil || len(files) == 0 {
		t.Fatalf("no samples: %v", err)
	}
	bodies := []string{`{"event":"x","a":{"b":[1,{"c":null},"d"],"e":true},"f":false,"g":12 }`, `{"a":[[],{},"",0],"b":{"c":{}}}`}
	for _, name := range files {
		body, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		bodies = append(bodies, strings.TrimSpace(string(body)))
	}
	for _, body := range bodies {
		for n := range len(body) {
			r := Record{Body: []byte(body[:n])}
			if got := Decode(&r).Type; got != Unreadable {
				t.Errorf("Decode(%q) = %v; want %v", r.Body, got, Unreadable)
			}
			if got := Identify(r.Body).Type; got != Unreadable {
				t.Errorf("Identify(%q) = %v; want %v", r.Body, got, Unreadable)
			}
		}
		if got := Decode(&Record{Body: []byte(body)}).Type; got == Unreadable {
			t.Errorf("Decode(%q) = %v; want a type", body, got)
		}
	}
}
