//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// rowOf is the row of a table whose text has something in it.
func rowOf(table, text string) string {
	return fmt.Sprintf(`[...document.querySelectorAll('[aria-label=%q] tbody tr')].find((r) => r.textContent.includes(%q))`, table, text)
}

// cells waits until the cells of a row, by their columns' names, match patterns.
func (p *tab) cells(row string, want [][2]string) {
	p.t.Helper()
	for _, w := range want {
		p.wait(fmt.Sprintf(`new RegExp(%q).test(%s.querySelector('[data-label=%q]').innerText)`, w[1], row, w[0]))
	}
}

// TestLiveRow: all that a row of Live says, in words and not by colour alone.
func TestLiveRow(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	s.put("sessions", "odd", aSession("odd", "Odd one", doc{"anomalies": []string{"join-unseen"}, "implicit": true, "degradedSince": stamp(base)}))
	p := open(t, s.URL+"/#/live")
	p.text("Weekly planning")
	p.cells(rowOf("Live meetings", "distributed systems"), [][2]string{
		{"Meeting", `^Lecture: distributed systems\n*lecture-1$`}, {"Organizer", "Acme GmbH"}, {"Started", `^\d\d:\d\d:\d\d$|, \d`}, {"Elapsed", `^0:\d\d:\d\d$`}, {"Present", "^11$"},
		{"Peak", "^16$"}, {"Participants", "^14$"}, {"Recording / streaming", `◆\s*RECORDING[^]*◉\s*on air`}, {"Last event", `\d\d:\d\d:\d\d`}, {"Flags", "^–$"},
	})
	p.cells(rowOf("Live meetings", "Odd one"), [][2]string{{"Flags", "join-unseen[^]*implicit[^]*degraded"}})
	p.wait(rowOf("Live meetings", "distributed systems") + `.querySelector("time").title.endsWith(" UTC")`)
	s.put("livestreams", "stream-1", doc{"streamId": "stream-1", "status": "OFFLINE", "meetingId": "room-7", "transitions": []doc{{"status": "OFFLINE", "at": stamp(base)}}, "onAirSeconds": 9.0})
	p.wait(`!` + rowOf("Live meetings", "distributed systems") + `.innerText.includes("on air")`)
}

// TestSession: totals, who was in and how each connection closed, the step line,
// recordings with their stages, artifacts that expire.
func TestSession(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/"+lectureRoute)
	p.text("Ada Lovelace")
	for label, want := range map[string]string{"Present": "11", "Peak": "16", "Participants": "14", "Connections": "21", "Participant time": "6:05:30"} {
		p.wait(fmt.Sprintf(`[...document.querySelectorAll(".figure")].find((f) => f.querySelector("dt").innerText === %q).querySelector("dd").innerText === %q`, label, want))
	}
	p.wait(`/0:\d\d:\d\d/.test([...document.querySelectorAll(".figure")].find((f) => f.innerText.startsWith("Elapsed")).innerText)`)
	const bars = `[...document.querySelectorAll(".gantt tbody tr")].find((r) => r.innerText.includes("Grace Hopper")).querySelectorAll(".bar")`
	p.wait(bars + `.length === 2 && ` + bars + `[0].ariaLabel.endsWith("0:09:00, left") && ` + bars + `[1].ariaLabel.endsWith("still in")`)
	p.wait(`/^Participants over time: peak \d+ at \d\d:\d\d:\d\d/.test(document.querySelector(".steps svg").ariaLabel) && document.querySelector(".steps figcaption").innerText.includes("peak")`)
	at := clockPattern()
	p.wait(`/INVOKED ` + at + `\s+RECORDING ` + at + `/.test(document.querySelector(".stages").innerText)`)
	p.wait(`/chat[^]*download[^]*in \d+:\d\d:\d\d/.test(document.querySelector("[aria-labelledby=art-h]").innerText)`)
	p.eval(`window.then = document.querySelector("[aria-labelledby=art-h] .tick").innerText`, nil)
	p.wait(`document.querySelector("[aria-labelledby=art-h] .tick").innerText !== window.then`)
	for _, width := range []int{1280, 390} {
		p.size(width, 844)
		p.wait(`[...document.querySelectorAll(".axis")].every((a) => [...a.children].every((l) => l.getBoundingClientRect().right <= a.getBoundingClientRect().right + 1))`)
	}
	p.route("#/session/ghost-1")
	p.text("The meeting continues in a later session")
	p.route("#/session/ended-1")
	p.text("left-after-end")
	p.wait(`[...document.querySelectorAll(".gantt tbody tr")].find((r) => r.innerText.includes("Grace")).querySelector(".bar.end").ariaLabel.endsWith("until the meeting ended")`)
}

// TestAttendance: a session's sheet and a person's history say present, attended,
// connected, gaps and share; flags are in the list of sessions.
func TestAttendance(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/attendance/ended-1")
	p.text("Grace")
	for _, c := range []struct{ route, table, row string }{{"#/attendance/ended-1", "Attendance sheet", "Ada"}, {"#/person/ada", "Sessions of this person", "Yesterday"}} {
		p.route(c.route)
		p.wait(rowOf(c.table, c.row))
		p.cells(rowOf(c.table, c.row), [][2]string{{"Closed by", "left"}, {"Attended", "^0:35:00$"}, {"Connected", "^0:35:00$"}, {"Connections", "^2"}, {"Gaps", "^0:03:00$"}, {"% of session attended", "92 %"}})
	}
	p.route("#/attendance/ended-1")
	p.wait(rowOf("Attendance sheet", "Grace"))
	p.cells(rowOf("Attendance sheet", "Grace"), [][2]string{{"Closed by", "meeting end"}})
	p.route("#/attendance")
	p.wait(rowOf("Sessions", "Yesterday"))
	p.cells(rowOf("Sessions", "Yesterday"), [][2]string{{"Flags", "left-after-end"}})
}

// TestRecordingTabs: stuck for longer than what is chosen, links that expire,
// errors; each narrows the list, and the CSV with it.
func TestRecordingTabs(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/recordings")
	p.wait(`document.querySelectorAll('[aria-label="Recordings"] tbody tr').length === 6`)
	pick := func(tab string) {
		t.Helper()
		p.eval(fmt.Sprintf(`[...document.querySelectorAll(".tabs button")].find((b) => b.innerText.startsWith(%q)).click()`, tab), nil)
	}
	choose := func(value string) {
		t.Helper()
		p.eval(fmt.Sprintf(`(() => { const s = document.querySelector(".filters select"); s.value = %q; s.dispatchEvent(new Event("change")); })()`, value), nil)
	}
	pick("Stuck")
	p.wait(rowOf("Recordings", "rec-stuck") + ` && !` + rowOf("Recordings", "rec-new") + ` && document.querySelector("a[download]").href.includes("stuckFor=600s")`)
	p.cells(rowOf("Recordings", "rec-stuck"), [][2]string{{"Finished", `^not yet; in this state for\s+\d:\d\d:\d\d$`}})
	choose("10")
	p.wait(rowOf("Recordings", "rec-new") + ` && document.querySelector("a[download]").href.includes("stuckFor=10s")`)
	pick("Link expiring")
	p.wait(rowOf("Recordings", "rec-done") + ` && document.querySelectorAll('[aria-label="Recordings"] tbody tr').length === 1`)
	p.cells(rowOf("Recordings", "rec-done"), [][2]string{{"Link", `^download, expires in \d+:\d\d:\d\d$`}, {"Session", `^Yesterday's lecture\s+ended-1$`}, {"Finished", `^\d\d:\d\d:\d\d$|, \d`}, {"Size", "46.1 MiB"}, {"Duration", "0:09:00"}})
	s.put("recordings", "rec-done", aRecording("rec-done", "ended-1", "UPLOADED", doc{"downloadUrl": nil, "files": []doc{
		{"participantId": "student-7", "url": "https://files.example/7.webm", "audioUrl": nil}, {"participantId": nil, "url": nil, "audioUrl": "https://files.example/8.mp3"}}}))
	p.cells(rowOf("Recordings", "rec-done"), [][2]string{{"Link", "2 files"}})
	p.wait(rowOf("Recordings", "rec-done") + `.querySelector("details").textContent === "2 filesstudent-7 downloadwhose is not known audio"`)
	pick("Errors")
	p.wait(rowOf("Recordings", "rec-error") + `.innerText.includes("✖ the encoder ran out of disk")`)
}

// TestLivestreams: what is on air counts on, and the changes are there to open.
func TestLivestreams(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/livestreams")
	p.text("stream-1")
	p.cells(rowOf("Livestreams", "stream-1"), [][2]string{{"Status", `●\s*LIVE`}, {"On air now", `^0:\d\d:\d\d$`}, {"On air before", "^0:05:00$"}, {"Changes", "^3"}})
	s.put("livestreams", "stream-2", doc{"streamId": "stream-2", "status": "LIVE", "meetingId": nil, "transitions": []doc{{"status": "LIVE", "at": stamp(base)}}, "onAirSeconds": 0.0})
	p.cells(rowOf("Livestreams", "stream-2"), [][2]string{{"Status", "LIVE"}})
}
