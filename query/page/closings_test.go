//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// closingDocs are two closed months; of the first one three sessions have changed.
func closingDocs() map[string]doc {
	rows := []doc{}
	for i := range 24 {
		n := float64((i*37)%23 + 2)
		rows = append(rows, doc{"day": fmt.Sprintf("2026-10-%02d", i/3+1), "week": nil, "month": nil, "organizerId": fmt.Sprintf("org-%d", i%3), "organizerName": []string{"Acme GmbH", "Northwind", "City College"}[i%3], "meetingId": nil,
			"sessions": int(n/3) + 1, "participantSeconds": n * 2400, "attendedSeconds": n * 2300, "recordingSeconds": n * 700, "peakParticipants": int(n) + 3, "revisedAt": fmt.Sprintf("2026-10-%02dT18:04:05.000000Z", i/3+1)})
	}
	difference := func(member string, before, after float64) doc {
		return doc{"day": "2026-10-02", "organizerId": "org-1", "meetingId": "room-7", "member": member, "before": before, "after": after}
	}
	record := func(sequence int) doc {
		return doc{"sequence": sequence, "eventId": "01JD0000000000000000000009", "type": "meeting.participantLeft", "receivedAt": "2026-11-04T09:30:00.000000Z"}
	}
	changes := []doc{
		{"sessionId": "lecture-1", "title": "Lecture: distributed systems", "revisedAt": "2026-11-04T09:30:00.000000Z", "record": record(48209), "differences": []doc{difference("participantSeconds", 300, 450.57), difference("attendedSeconds", 300, 450.25), difference("peakParticipants", 3, 2)}},
		{"sessionId": "ended-1", "title": nil, "revisedAt": "2026-11-05T09:30:00.000000Z", "record": nil, "differences": []doc{difference("sessions", 1, 0)}},
		{"sessionId": nil, "title": nil, "revisedAt": "2026-11-05T10:30:00.000000Z", "record": nil, "differences": []doc{difference("recordingSeconds", 0, 90)}},
	}
	closed := func(id, month string, sequence int, changed any, changes []doc) doc {
		return doc{"id": id, "month": month, "timezone": "Europe/Berlin", "sequence": sequence, "closedAt": "2026-11-02T08:00:00.000000Z", "sessions": 412, "participantSeconds": 720000.0,
			"attendedSeconds": 690000.0, "recordingSeconds": 210000.0, "changed": changed, "rows": rows, "changes": changes, "dropped": 0}
	}
	october := closed("2026-10.Europe.Berlin", "2026-10", 48000, 3, changes)
	october["dropped"] = 2
	return map[string]doc{
		"2026-10.Europe.Berlin": october,
		"2026-09.Europe.Berlin": closed("2026-09.Europe.Berlin", "2026-09", 31000, 0, []doc{}),
		"2026-08.Europe.Berlin": closed("2026-08.Europe.Berlin", "2026-08", 50000, nil, []doc{}),
	}
}

// TestClosings: which months are closed, when and at which record, and in how many
// sessions they differ now; how one is closed and verified.
func TestClosings(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL+"/#/usage")
	p.wait(`[...document.querySelectorAll("a")].find((a) => a.innerText === "Closed months")`)
	p.eval(`[...document.querySelectorAll("a")].find((a) => a.innerText === "Closed months").click()`, nil)
	p.text("No month is closed yet.")
	p.wait(`/^rollcall close \d{4}-\d\d --timezone Europe\/Berlin\nrollcall verify --closing \d{4}-\d\d\.Europe\.Berlin$/.test(document.querySelector("pre.command").innerText)`)
	p.wait(`document.querySelector("#nav [aria-current]").innerText === "Usage"`)
	s.fill("closings", closingDocs())
	s.put("usage", "x", doc{"day": "2026-10-01", "organizerId": nil, "meetingId": nil})
	p.wait(rowOf("Closed months", "2026-10"))
	p.cells(rowOf("Closed months", "2026-10"), [][2]string{{"Time zone", "^Europe/Berlin$"}, {"Closed", `2026, 09:00:00$`}, {"At record", "^48,000$"}, {"Sessions", "^412$"}, {"Participant minutes", "^12,000$"}, {"Sessions changed since", "▲[^]*3 changed"}})
	p.cells(rowOf("Closed months", "2026-09"), [][2]string{{"Sessions changed since", "none"}})
	p.cells(rowOf("Closed months", "2026-08"), [][2]string{{"Sessions changed since", "not known yet"}})
	p.wait(`document.querySelectorAll('a[download][href*="/v1/closings"]').length === 2`)
	p.eval(`[...document.querySelectorAll("th button")].find((b) => b.innerText.startsWith("Month")).click()`, nil)
	p.wait(`location.hash.includes("sort=-month") && document.querySelector("tbody td").innerText === "2026-10"`)
}

// TestClosing: one closing, worked with the keyboard alone: its rows as they were, and
// what each session has become since, with the record that did it and the session.
func TestClosing(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/closings")
	p.wait(rowOf("Closed months", "2026-10"))
	p.eval(rowOf("Closed months", "2026-10")+`.querySelector("a").focus()`, nil)
	p.press("Enter", "Enter", 13)
	p.wait(`document.querySelector("h1").innerText === "2026-10 in Europe/Berlin" && document.querySelector(".summary").innerText.endsWith("at record 48,000")`)
	p.wait(`document.querySelectorAll('[aria-label="Rows as closed"] tbody tr').length === 24 && document.querySelector("code").innerText === "rollcall verify --closing 2026-10.Europe.Berlin"`)
	p.cells(rowOf("Changed sessions", "Lecture"), [][2]string{
		{"As closed → now", `^2026-10-02: participant time 0:05:00 → 0:07:30.570 \(\+0:02:30.570\)\n2026-10-02: attended time [^\n]*\n2026-10-02: peak 3 → 2 \(−1\)$`}, {"Received", `2026, 10:30:00$`}})
	p.cells(rowOf("Changed sessions", "ended-1"), [][2]string{{"Session", "^untitled"}, {"Record that did it", "not found in time"}})
	p.cells(rowOf("Changed sessions", "recordings without a session"), [][2]string{{"As closed → now", "recording time 0:00:00 → 0:01:30"}, {"Record that did it", "^–$"}})
	p.text("In total: sessions −1, participant time +0:02:30.570, attended time +0:02:30.250, recording time +0:01:30.")
	p.text("2 sessions can't be compared")
	p.wait(`[...document.querySelectorAll("a[download]")].map((a) => /(rows|changes)\?timezone=Europe%2FBerlin&format=(csv|sheet)/.exec(a.getAttribute("href")).slice(1).join(" ")).join() === "changes csv,changes sheet,rows csv,rows sheet"`)
	p.eval(`[...document.querySelectorAll("th button")].find((b) => b.innerText.startsWith("Participant minutes")).click()`, nil)
	p.wait(`location.hash.endsWith("?sort=-participantSeconds") && document.querySelector('[aria-label="Rows as closed"] th[aria-sort=descending]').innerText.startsWith("Participant minutes")`)
	p.eval(rowOf("Changed sessions", "Lecture")+`.querySelector("summary").focus()`, nil)
	p.press("Enter", "Enter", 13)
	p.wait(rowOf("Changed sessions", "Lecture") + `.querySelector("pre").innerText.includes('"leftAt"')`)
	asked := s.asked("/v1/closings/2026-10.Europe.Berlin")
	later := s.put("livestreams", "stream-1", doc{"streamId": "stream-1", "status": "OFFLINE", "transitions": []doc{}, "onAirSeconds": 0.0})
	p.eval(`[...document.querySelectorAll("button")].find((b) => b.innerText === "Compare again").focus()`, nil)
	p.press("Enter", "Enter", 13)
	p.wait(fmt.Sprintf(`document.querySelector("#changes-h").closest("section").querySelector("p").innerText.includes("with record %d.")`, later))
	p.wait(rowOf("Changed sessions", "Lecture") + `.querySelector("details").open`)
	if n := s.asked("/v1/closings/2026-10.Europe.Berlin") - asked; n != 1 {
		t.Errorf("Compare again asked %d times; want once", n)
	}
	p.eval(rowOf("Changed sessions", "Lecture")+`.querySelector("a").focus()`, nil)
	p.press("Enter", "Enter", 13)
	p.wait(`location.hash === "#/session/lecture-1"`)
	p.expect("404")
	p.route("#/closings/2026-01.UTC")
	p.text("There is no such closing.")
}
