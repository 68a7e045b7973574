package eventlog

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// samples are what each generation's file of each type must decode to, in a few
// words: the ids, the times and what is special about it.
var samples = map[string]string{
	"v1/meeting.started":             "m=50c8940e s= room=lcfvaa-absxch org=/Dyte",
	"v1/meeting.ended":               "m=50c8940e s= room=lcfvaa-absxch org=70c5d391/Dyte reason=ALL_PARTICIPANTS_LEFT",
	"v1/meeting.participantJoined":   "m=50c8940e s= room=lcfvaa-absxch org=70c5d391/Dyte peer=e32fb785 custom= client=l08is183rld name=Guest 1",
	"v1/meeting.participantLeft":     "m=50c8940e s= room=lcfvaa-absxch org=70c5d391/Dyte peer=e32fb785 custom= client=l08is183rld name=Guest 1",
	"v1/recording.statusUpdate":      "m=50c8940e s= room=lcfvaa-absxch org=70c5d391/Dyte rec=97cb480d ERRORED 2021-12-13T06:58:03Z..2021-12-13T07:01:00Z size=216787 err=upload failed",
	"v1/livestreaming.statusUpdate":  "m= s= stream=63513912 LIVE",
	"v2/meeting.started":             "m=50c8940e s=05e57591 title=Meeting title room=lcfvaa-absxch org=70c5d391/Dyte start=2022-12-13T06:57:09.736Z",
	"v2/meeting.ended":               "m=50c8940e s=05e57591 title=Meeting title org=70c5d391/Dyte start=2022-12-13T06:57:09.736Z end=2022-12-13T07:04:37.052Z reason=HOST_ENDED_MEETING",
	"v2/meeting.participantJoined":   "m=50c8940e s=05e57591 title=Meeting title org=70c5d391/Dyte start=2022-12-13T06:57:09.736Z peer=e32fb785 custom=l08is183rld client=l08is183rld name=Guest 1 joined=2022-12-13T06:57:51.631Z",
	"v2/meeting.participantLeft":     "m=d9fc4d6a s=79365b9b title=Meeting title org=70c5d391/Dyte start=2022-12-13T07:00:23.404Z peer=023d3ea6 custom=dj287lon9c client=dj287lon9c name=Guest 2 joined=2022-12-13T07:01:41.535Z left=2022-12-13T07:03:42.42Z",
	"v2/meeting.chatSynced":          "m=d9fc4d6a s=79365b9b org=70c5d391/Dyte url= expires=2022-12-13T07:08:39.051621Z",
	"v2/meeting.transcript":          "m=bbbba351 s=01eab2e1 title=Meeting org=70c5d391/Dyte start=2023-08-10T10:31:20.173Z end=2023-08-10T10:33:56.771Z url= expires=2023-12-13T07:08:39.051621Z",
	"v2/meeting.summary":             "m=bbbba351 s=01eab2e1 title=Meeting org=70c5d391/Dyte start=2023-08-10T10:31:20.173Z end=2023-08-10T10:33:56.771Z url=https://files.example/summary.md expires=2023-12-13T07:08:39.051621Z",
	"v2/recording.statusUpdate":      "m=26c31468 s=56b81d16 title=Meeting title org=c94c437b/Dyte start=2023-01-26T03:36:23.224Z rec=97cb480d RECORDING 2023-01-25T04:51:35.903816Z.. room=56b81d16 file=26c31468",
	"v2/livestreaming.statusUpdate":  "m= s= stream=d231d346 LIVE",
	"rtk/meeting.started":            "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture room=8f4a1c7e org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z",
	"rtk/meeting.ended":              "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z end=2026-06-03T10:30:00Z reason=ALL_PARTICIPANTS_LEFT",
	"rtk/meeting.participantJoined":  "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z peer=6a1f0f3e custom=student-7 client=student-7 name=Guest 7 joined=2026-06-03T10:00:05Z",
	"rtk/meeting.participantLeft":    "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z peer=6a1f0f3e custom=student-7 client=student-7 name=Guest 7 joined=2026-06-03T10:00:05Z left=2026-06-03T10:25:00Z",
	"rtk/meeting.chatSynced":         "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z end=2026-06-03T10:30:00Z url=https://files.example/chat.json expires=2026-06-10T10:30:00Z",
	"rtk/meeting.transcript":         "m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z end=2026-06-03T10:30:00Z url=https://files.example/transcript.csv expires=2026-06-10T10:30:00Z",
	"rtk/meeting.summary":            "m=8f4a1c7e s=2c1f3a54 org=b0a1c2d3/Organization url=https://files.example/summary.md expires=2026-06-10T10:30:00Z",
	"rtk/recording.statusUpdate":     `m=8f4a1c7e s=2c1f3a54 title=Weekly lecture org=b0a1c2d3/Organization start=2026-06-03T10:00:00Z rec=5b7f7c5e UPLOADED 2026-06-03T10:00:30Z..2026-06-03T10:30:30Z room=2c1f3a54 file=8f4a1c7e size=2044680 stop="{'reason':'ALL_PEERS_LEFT','caller':{'type':'INTERNAL'}}" url=https://files.example/r.mp4 audio=https://files.example/r.mp3 expires=2026-06-10T10:30:00Z`,
	"rtk/livestreaming.statusUpdate": "m=8f4a1c7e s= title=Weekly lecture org=b0a1c2d3/Organization stream=0c2f5a7e OFFLINE",
}

func TestSamples(t *testing.T) {
	files, err := filepath.Glob("testdata/samples/*/*.json")
	if err != nil || len(files) != len(samples) {
		t.Fatalf("%d sample files, %v; want %d", len(files), err, len(samples))
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.ToSlash(strings.TrimPrefix(file, filepath.FromSlash("testdata/samples/"))), ".json")
		t.Run(name, func(t *testing.T) {
			body, err := os.ReadFile(file)
			if err != nil {
				t.Fatal(err)
			}
			ev := Decode(&Record{Body: body})
			if got, want := ev.Type.String(), filepath.Base(name); got != want {
				t.Errorf("Type = %s; want %s", got, want)
			}
			if len(ev.Problems) > 0 || ev.BadTimes != 0 {
				t.Errorf("Problems = %v, BadTimes = %b; want none", ev.Problems, ev.BadTimes)
			}
			if got, want := summary(&ev), samples[name]; got != want {
				t.Errorf("Decode() reads\n%s; want\n%s", got, want)
			}
		})
	}
}

// summary puts an event into a few words; ids are cut to 8 characters.
func summary(ev *Event) string {
	short := func(id string) string {
		if len(id) > 24 || len(id) == 24 {
			return id[:8]
		}
		return id
	}
	words := []string{"m=" + short(ev.MeetingID), "s=" + short(ev.SessionID)}
	add := func(name, value string) {
		if value != "" {
			words = append(words, name+"="+value)
		}
	}
	add("title", ev.Title)
	add("room", short(ev.RoomName))
	if ev.Organizer != (Organizer{}) {
		add("org", short(ev.Organizer.ID)+"/"+ev.Organizer.Name)
	}
	add("start", ev.StartedAt.String())
	add("end", ev.EndedAt.String())
	add("reason", ev.Reason)
	if p := ev.Participant; p != (Participant{}) {
		words = append(words, "peer="+short(p.PeerID), "custom="+p.CustomID, "client="+p.ClientID, "name="+p.Name)
		add("joined", p.JoinedAt.String())
		add("left", p.LeftAt.String())
	}
	if r := ev.Recording; r.ID != "" {
		words = append(words, fmt.Sprintf("rec=%s %s %s..%s", short(r.ID), r.Status, r.StartedAt, r.StoppedAt))
		add("room", short(r.RoomUUID))
		add("file", short(r.OutputFileName))
		if r.HasFileSize {
			add("size", fmt.Sprint(r.FileSize))
		}
		add("err", r.Error)
		add("stop", string(r.StopReason))
		add("url", r.DownloadURL)
		add("audio", r.AudioDownloadURL)
		add("expires", r.ExpiresAt.String())
	}
	switch ev.Type {
	case ChatSynced, Transcript, Summary:
		words = append(words, "url="+ev.Artifact.URL, "expires="+ev.Artifact.ExpiresAt.String())
	case LivestreamStatus:
		words = append(words, "stream="+short(ev.Livestream.StreamID)+" "+ev.Livestream.Status)
	}
	return strings.Join(words, " ")
}
