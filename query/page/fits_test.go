//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// wideScene has what takes much room: long titles, names and ids, dates of another year, many flags and figures of many digits.
func wideScene(s *standIn) {
	const long = "Introduction to the theory and practice of distributed systems, part 4 of 12"
	id := "0b6f6d1e-7b7e-4c43-9a55-2f1c4d9d0a77"
	person := "margaret.elaine.heafield.hamilton@students.college.example"
	ago := -400.0 * 24 * 60
	s.fill("sessions", map[string]doc{
		id: aSession(id, long, doc{"startedAt": stamp(minute(ago)), "lastEventAt": stamp(minute(ago + 90)), "organizer": doc{"id": "org-1", "name": "Department of Computer Science and Engineering"},
			"anomalies": []string{"bad-time", "end-inferred", "join-unseen", "left-before-joined"}, "implicit": true, "participantSeconds": 4000000.0, "recordings": []doc{{"recordingId": "r", "status": "RECORDING"}, {"recordingId": "r2", "status": "UPLOADING"}}}),
		"ended": aSession("ended", long, doc{"status": "ENDED", "startedAt": stamp(minute(ago)), "endedAt": stamp(minute(ago + 90)), "durationSeconds": 5400.0, "liveParticipants": 0, "anomalies": []string{"bad-time", "end-inferred", "join-unseen"}}),
	})
	gappy := []doc{}
	for i := range 8 {
		gappy = append(gappy, connection(fmt.Sprintf("c%d", i), ago+float64(10*i), ago+float64(10*i+6), "LEFT"))
	}
	one := withRatio(aParticipant("ended", person, "Margaret Elaine Heafield Hamilton-Lickly of Paoli, Indiana", gappy...), 0.5333, 240)
	s.fill("attendance", map[string]doc{"ended/" + person: one, "ended/2": withRatio(aParticipant("ended", "2", "Margaret Elaine Heafield Hamilton-Lickly of Paoli, Indiana", connection("x", ago, ago+90, "MEETING_END")), 1, 0)})
	s.fill("recordings", map[string]doc{
		"rec-1": aRecording("rec-1", "ended", "UPLOADED", doc{"outputFileName": "0b6f6d1e-7b7e-4c43-9a55-2f1c4d9d0a77_1764270000000.mp4", "lastEventAt": stamp(minute(ago)), "startedAt": stamp(minute(ago)), "history": []doc{{"status": "UPLOADED", "at": stamp(minute(ago))}}}),
		"rec-2": aRecording("rec-2", "ended", "ERRORED", doc{"conflict": true, "error": "the encoder could not write to its disk because no space was left on it", "startedAt": stamp(minute(ago))}),
	})
	s.fill("livestreams", map[string]doc{"stream-0b6f6d1e": {"streamId": "stream-0b6f6d1e-7b7e", "status": "OFFLINE", "meetingId": id, "transitions": []doc{{"status": "LIVE", "at": stamp(minute(ago))}, {"status": "OFFLINE", "at": stamp(minute(ago + 1))}}, "onAirSeconds": 400000.0}})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.events["ended"] = []doc{{"sequence": 123456789, "eventId": "01JD1000000000000000000001", "source": "production-eu-central-1", "type": "meeting.participantJoined", "receivedAt": stamp(minute(ago + 900)), "peerId": "c0", "participantId": person, "displayName": one["displayName"], "body": doc{"participant": doc{"joinedAt": stamp(minute(ago))}}}}
}

// TestFits: whatever the texts, no column is cut off at 1280 pixels, nor on a phone.
func TestFits(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	wideScene(s)
	person := "margaret.elaine.heafield.hamilton@students.college.example"
	p := open(t, s.URL)
	connected(p)
	for _, v := range []struct{ route, shown string }{
		{"#/live?stale=true", "theory and practice"}, {"#/attendance", "theory and practice"}, {"#/attendance/ended", "Hamilton-Lickly"}, {"#/attendance/ended/" + person, "while the session ran"},
		{"#/people", "Hamilton-Lickly"}, {"#/person/" + person, "theory and practice"}, {"#/recordings", "no space was left"}, {"#/livestreams", "stream-0…7b7e"}, {"#/session/ended?records=open", "production-eu-central-1"},
	} {
		p.size(1280, 900)
		p.route(v.route)
		p.text(v.shown)
		for _, width := range []int{1280, 390} {
			p.size(width, 844)
			p.settled()
			var cut []string
			p.eval(`[...document.querySelectorAll("main .scroll, main td, main .cards > li, main .figure")].filter((e) => e.scrollWidth > e.clientWidth + 1 && e.checkVisibility()).map((e) => (e.ariaLabel ?? e.dataset.label ?? e.tagName) + " " + e.scrollWidth + " in " + e.clientWidth)`, &cut)
			cut = append(cut, p.beyond()...)
			if len(cut) > 0 {
				t.Errorf("%s at %d px: cut off: %v; want nothing", v.route, width, cut)
			}
		}
	}
}
