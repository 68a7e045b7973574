//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// TestNamesOfMembers: ids, statuses and addresses that are what every JavaScript object
// has a member for are like any other.
func TestNamesOfMembers(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	for _, name := range []string{"constructor", "__proto__", "toString"} {
		s.fill("sessions", map[string]doc{name: aSession(name, "Session "+name, doc{"status": "ENDED", "endedAt": stamp(minute(30)), "endReason": name})})
		s.fill("attendance", map[string]doc{name + "/" + name: aParticipant(name, name, "Person "+name, connection("p", 1, 9, "LEFT"))})
		s.fill("recordings", map[string]doc{name: aRecording(name, name, name, nil)})
		s.events[name] = []doc{{"sequence": 1, "eventId": name, "source": "prod", "type": name, "receivedAt": stamp(base), "body": doc{}}}
	}
	p := open(t, s.URL+"/#/live")
	connected(p)
	for _, name := range []string{"constructor", "__proto__", "toString"} {
		p.route("#/session/" + name + "?records=open")
		p.text("Session " + name)
		p.wait(rowOf("Raw records", name))
		p.route("#/attendance/" + name + "/" + name)
		p.text("Person " + name + " in Session " + name)
		p.route("#/person/" + name)
		p.wait(rowOf("Sessions of this person", "Session "+name))
		p.route("#/" + name)
		p.wait(`document.querySelector("#main h1")?.innerText === "Live"`)
	}
	p.route("#/recordings")
	p.wait(`document.querySelectorAll('[aria-label="Recordings"] tbody .badge.idle').length === 3`)
}

// TestTimesOfNoText: times in records that are numbers or lists, which the views take for
// absent, are absent on the page too.
func TestTimesOfNoText(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	for i, at := range []any{2020, []string{"2020-01-01"}, doc{"at": "2020"}, true} {
		s.events["ended-1"] = append(s.events["ended-1"], doc{"sequence": 900 + i, "eventId": fmt.Sprint("odd", i), "source": "prod", "type": "meeting.participantLeft", "receivedAt": stamp(base),
			"peerId": "p", "participantId": "ada", "displayName": "Ada", "body": doc{"participant": doc{"leftAt": at}}})
	}
	p := open(t, s.URL+"/#/attendance/ended-1/ada?records=open")
	p.wait(rowOf("Raw records", "903"))
	p.cells(rowOf("Raw records", "900"), [][2]string{{"Delay", "^–$"}})
	p.wait(`document.querySelectorAll('[aria-label="Late facts"] tbody tr').length === 2`)
}

// TestOddAddresses: an address whose dates and moments are none is shown as if it did
// not have them.
func TestOddAddresses(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/live")
	connected(p)
	for _, asOf := range []string{"1e300", "Infinity", "-5", "999999999999999"} {
		p.route(lectureRoute + "?asOf=" + asOf)
		p.wait(connectionsNow + ` === "21" && document.querySelector("output").innerText === "now"`)
	}
	for _, days := range []string{"from=%2B275760-09-13", "to=-271821-04-20", "from=2026-1-1", "to=20260101"} {
		p.route("#/usage?" + days)
		p.wait(`document.querySelector("main h1")?.innerText === "Usage" && [...document.querySelectorAll("main input[type=date]")].every((i) => i.value)`)
		p.wait(`document.querySelector("main .cases")`)
	}
	p.route("#/attendance?from=yesterday")
	p.wait(rowOf("Sessions", "Yesterday"))
}

// TestSessionsOfMany: what a person's page adds up is of the sessions that it lists, and
// says so where there are more.
func TestSessionsOfMany(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	many := map[string]doc{}
	for i := range 1001 {
		id := fmt.Sprintf("s-%04d", i)
		many[id+"/ada"] = aParticipant(id, "ada", "Ada", connection("p", 1, 9, "LEFT"))
	}
	s.fill("attendance", many)
	p := open(t, s.URL+"/#/person/ada")
	p.wait(`document.querySelector(".figure dd")?.innerText === "more than 1,000"`)
	p.text("The latest 1,000 are listed and added up.")
}

// TestTitlesOfMany: the titles of many meetings' sessions are read a few at a time, so
// that what the view asks for itself does not wait for them.
func TestTitlesOfMany(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	sessions, recordings := map[string]doc{}, map[string]doc{}
	for i := range 90 {
		id := fmt.Sprintf("s-%02d", i)
		sessions[id] = aSession(id, "Title of "+id, nil)
		recordings[id] = aRecording("rec-"+id, id, "UPLOADED", doc{"meetingId": "meeting-" + id})
	}
	s.fill("sessions", sessions)
	s.fill("recordings", recordings)
	p := open(t, s.URL+"/#/livestreams")
	connected(p)
	p.eval(`(() => { const whole = window.fetch; let now = 0; window.most = 0;
		window.fetch = (url, options) => {
			if (!url.includes("meetingId=")) return whole(url, options);
			window.most = Math.max(window.most, ++now);
			return whole(url, options).finally(() => now--);
		}; })()`, nil)
	p.route("#/recordings")
	p.wait(`[...document.querySelectorAll('[aria-label="Recordings"] tbody tr')].filter((r) => r.innerText.includes("Title of")).length === 90`)
	p.wait(`window.most > 0 && window.most <= 2`)
}
