//go:build browser

package page_test

import (
	"fmt"
	"testing"
	"time"
)

// TestWhyThisPercentage: from "I was there the whole time" to the answer in three
// steps, without a mouse: find the person, choose them, choose the session.
func TestWhyThisPercentage(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/live")
	connected(p)
	p.tabTo(`e.closest("#find")`)
	p.typed("ada")
	p.press("Enter", "Enter", 13)
	p.wait(rowOf("People", "ada"))
	p.tabTo(`e.tagName === "A" && e.getAttribute("href") === "#/person/ada"`)
	p.press("Enter", "Enter", 13)
	p.wait(rowOf("Sessions of this person", "Yesterday"))
	p.tabTo(`e.tagName === "A" && e.closest("tr")`)
	p.press("Enter", "Enter", 13)
	p.wait(`location.hash === "#/attendance/ended-1/ada" && document.querySelector("h1").innerText === "Ada in Yesterday's lecture"`)
	p.text("0:35:00 of 0:38:00 while the session ran: 92 %.")
	p.text("Missed: 0:03:00 away in between.")
	p.wait(`[...document.querySelectorAll('[aria-label="Stretches"] tbody tr')].map((r) => r.cells[0].innerText.replace(/^\W+/, "") + " " + r.cells[3].innerText).join(", ") === "in the session 0:12:00, away 0:03:00, in the session 0:23:00"`)
	p.cells(rowOf("Late facts", "leave"), [][2]string{{"Delay", `^▲ 0:09:00$`}, {"Happened", `\d\d:\d\d:\d\d`}})
	p.cells(rowOf("Late facts", "end"), [][2]string{{"Delay", `^▲ 0:02:00$`}})
	// What was known before the leave came: a link to exactly that place.
	p.tabTo(`e.innerText === "as known then"`)
	p.press("Enter", "Enter", 13)
	p.wait(fmt.Sprintf(`location.hash === "#/session/ended-1?asOf=%d"`, minute(21).UnixMilli()-1))
	p.text("0:20:59 into the session")

	p.route("#/attendance/ended-1/grace")
	p.text("0:34:00 of 0:38:00 while the session ran: 89 %.")
	p.text("Missed: 0:04:00 not there yet at the start.")
	p.text("No leave was received for a connection: it counts up to the session's end.")
	p.route("#/attendance/ended-1/nobody")
	p.text("This participant was not in this session.")
	p.route("#/attendance/lecture-1/person-01")
	p.text("0:09:00 so far; the session still runs")
}

// TestCopyLink: the address holds what is chosen, and a button copies it; where a
// page may not copy, it shows the link.
func TestCopyLink(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/attendance/ended-1?attendedAtLeast=0.9")
	p.wait(`document.querySelectorAll('[aria-label="Attendance sheet"] tbody tr').length === 1`)
	p.eval(`void (navigator.clipboard.writeText = (s) => (window.copied = s, Promise.resolve()))`, nil)
	p.tabTo(`e.className === "copy-link"`)
	p.press("Enter", "Enter", 13)
	p.wait(`window.copied === location.href && location.href.endsWith("?attendedAtLeast=0.9") && document.querySelector(".copy-link.copied")`)
	p.eval(`Object.defineProperty(navigator, "clipboard", { value: undefined }); window.prompt = (say, link) => void (window.shown = link); document.querySelector(".copy-link").click()`, nil)
	p.wait(`window.shown === location.href`)
}

// TestThreshold: who attended at least so much: on the page, in the address and in the file.
func TestThreshold(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/attendance/ended-1?attendedAtLeast=0.9")
	shows := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll('[aria-label="Attendance sheet"] tbody tr').length === %d`, n)
	}
	fill := func(value string) {
		t.Helper()
		p.eval(fmt.Sprintf(`(() => { const i = document.querySelector("input[type=number]"); i.value = %q; i.dispatchEvent(new Event("input")); })()`, value), nil)
	}
	p.wait(shows(1) + ` && document.querySelector("input[type=number]").value === "90" && document.querySelector("a[download]").href.includes("attendedAtLeast=0.9")`)
	fill("89")
	p.wait(shows(2) + ` && location.hash.endsWith("?attendedAtLeast=0.89")`)
	fill("")
	p.wait(shows(3) + ` && location.hash === "#/attendance/ended-1"`)
	p.route("#/person/grace?attendedAtLeast=0.95")
	p.wait(`document.querySelectorAll('[aria-label="Sessions of this person"] tbody tr').length === 1 && document.querySelector("tbody").innerText.includes("Seminar")`)
	p.route("#/person/ada?attendedAtLeast=0.95")
	p.text("No matching sessions.")
}

// TestRecords: the raw records say whom they are about, and how late they were; person,
// type and lateness narrow them, in the address too; one that can't be read is shown.
func TestRecords(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/session/ended-1")
	shows := func(n int) string {
		return fmt.Sprintf(`document.querySelectorAll('[aria-label="Raw records"] tbody tr').length === %d`, n)
	}
	p.text("Raw records")
	p.tabTo(`e.tagName === "SUMMARY" && e.innerText.includes("What the provider sent")`)
	p.press("Enter", "Enter", 13)
	p.wait(shows(10) + ` && location.hash.endsWith("records=open")`)
	p.cells(rowOf("Raw records", "205"), [][2]string{{"About", `^Ada\s+ada$`}, {"Type", "^meeting.participantLeft$"}, {"Delay", `^▲ 0:09:00$`}})
	p.cells(rowOf("Raw records", "recording.statusUpdate"), [][2]string{{"About", `^recording\s+rec-done$`}, {"Delay", "^–$"}})
	p.cells(rowOf("Raw records", "meeting.started"), [][2]string{{"About", "^the session$"}})
	p.tabTo(`e.getAttribute("list") === "records-people"`)
	p.typed("grace")
	p.press("Enter", "Enter", 13)
	p.wait(shows(1) + ` && location.hash.includes("person=grace")`)
	p.eval(`[...document.querySelectorAll("button")].find((b) => b.innerText === "All participants").click()`, nil)
	p.wait(shows(10) + ` && !location.hash.includes("person=")`)
	p.eval(`(() => { const i = document.querySelector("input[list]"); i.value = "a"; i.dispatchEvent(new Event("change")); })()`, nil)
	p.text("2 participants match “a”: choose one of the list.")

	p.route("#/session/ended-1?records=open&late=true")
	p.wait(shows(2))
	p.route("#/session/ended-1?records=open&person=ada&type=meeting.participantLeft")
	p.wait(shows(2) + ` && document.querySelector("a[download][href*=events]").href.includes("participantId=ada&type=meeting.participantLeft")`)
	p.route(lectureRoute + "?records=open")
	p.wait(shows(3))
	p.eval(`[...document.querySelectorAll("td summary")].at(-1).click()`, nil)
	p.text("e25vdCBqc29u")
	p.cells(rowOf("Raw records", "unreadable"), [][2]string{{"About", "^not known$"}})
}

// TestHelp: what is not plain has its meaning beside it, by keyboard, within the window.
func TestHelp(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL)
	for _, c := range []struct{ route, word, says string }{
		{"#/live", "Flags", "What is odd about a session"}, {lectureRoute, "Artifacts", "its chat, its transcript"},
		{"#/attendance/ended-1", "% of session attended", "as a part of the time"}, {"#/recordings", "Finished", "the recording failed"},
	} {
		p.route(c.route)
		p.wait(fmt.Sprintf(`document.querySelector('[aria-label="What is %s?"]')`, c.word))
		p.tabTo(fmt.Sprintf(`e.ariaLabel === "What is %s?"`, c.word))
		p.press("Enter", "Enter", 13)
		p.wait(fmt.Sprintf(`document.querySelector(":popover-open")?.innerText.includes(%q)`, c.says))
		p.wait(`((r) => r.left >= 0 && r.right <= innerWidth && r.top >= 0)(document.querySelector(":popover-open").getBoundingClientRect())`)
		p.press("Escape", "Escape", 27)
		p.wait(`!document.querySelector(":popover-open")`)
	}
}

// TestStretches: whatever the connections, the stretches are what a count of each
// minute finds: in, away between two, not there yet, gone.
func TestStretches(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	p := open(t, s.URL)
	connected(p)
	inPage(p, `
		const { stretches } = `+module("stay")+`;
		let seed = 11;
		const random = (n) => (seed = (seed * 1103515245 + 12345) % 2147483648) % n;
		const at = (m) => new Date(m * 60000).toISOString();
		const [start, end] = [10, 35];
		for (let round = 0; round < 300; round++) {
			const list = Array.from({ length: 1 + random(4) }, () => { const from = random(40); return [from, from + random(15)]; }).sort((a, b) => a[0] - b[0]);
			const out = stretches({ connections: list.map(([a, b]) => ({ joinedAt: at(a), leftAt: at(b) })) }, { startedAt: at(start), endedAt: at(end) });
			const valid = list.filter(([a]) => a < end);
			const [first, last] = [Math.min(...valid.map(([a]) => a)), Math.max(...valid.map(([, b]) => Math.min(b, end)))];
			const want = { in: 0, away: 0, before: 0, after: 0 };
			for (let m = 0; m < end; m++) {
				if (valid.some(([a, b]) => a <= m && m < b)) want.in++;
				else if (m >= first && m < last) want.away++;
				else if (m >= start && !(m >= first)) want.before++;
				else if (m >= last) want.after++;
			}
			const got = { in: 0, away: 0, before: 0, after: 0 };
			for (const s of out) got[s.kind] += (s.to - s.from) / 60000;
			is(got, want, "stretches of " + JSON.stringify(list));
			is(out.every((s, i) => !i || s.from === out[i - 1].to), true, "no hole in " + JSON.stringify(list));
		}
		const open = stretches({ connections: [{ joinedAt: at(12), leftAt: null }, { joinedAt: at(20), leftAt: at(21) }] }, { startedAt: at(10), endedAt: null });
		is(open.map((s) => [s.kind, s.to]), [["before", 12 * 60000], ["in", null]], "an open connection covers the rest");`)
}

const connectionsNow = `[...document.querySelectorAll(".figure")].find((f) => f.innerText.startsWith("Connections")).querySelector("dd").innerText`

// slideTo moves the slider to a share of its range.
func (p *tab) slideTo(share float64) {
	p.t.Helper()
	p.eval(fmt.Sprintf(`(() => { const r = document.getElementById("asof"); r.value = Number(r.min) + (r.max - r.min) * %g; r.dispatchEvent(new Event("input")); })()`, share), nil)
}

// TestAsOf: the slider shows the session as it was known then, with the session's
// own time beside it, and leads back to now.
func TestAsOf(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/"+lectureRoute)
	p.text("Ada Lovelace")
	p.text("As known at")
	p.wait(connectionsNow + ` === "21"`)
	p.slideTo(0.1)
	p.wait(connectionsNow + ` === "2"`)
	p.wait(`document.querySelector(".then time").title.endsWith("UTC") && location.hash.includes("asOf=") && /\d:\d\d:\d\d into the session by the session's own time/.test(document.querySelector(".moment").innerText)`)
	p.eval(`[...document.querySelectorAll("button")].find((b) => b.innerText === "Back to now").click()`, nil)
	p.wait(connectionsNow + ` === "21" && !location.hash.includes("asOf=")`)
}

// TestAsKnownAt: from record to record, on the real API, whose received times have
// microseconds: each step has the record that it stops at. What is before the first
// is never asked for: a 404 in the console fails the test.
func TestAsKnownAt(t *testing.T) {
	t.Parallel()
	world := newProduct(t)
	start := time.Now().UTC().Add(-time.Hour)
	meeting := fmt.Sprintf(`"meeting":{"id":"m-1","sessionId":"s-1","title":"Thesis defence","startedAt":%q}`, stamp(start))
	world.post(`{"event":"meeting.started",` + meeting + `}`)
	p := open(t, world.api.URL+"/#/session/s-1")
	p.wait(connectionsNow + ` === "0"`)
	for i, name := range []string{"Ada", "Grace"} {
		world.post(fmt.Sprintf(`{"event":"meeting.participantJoined",%s,"participant":{"peerId":"p-%d","userDisplayName":%q,"joinedAt":%q}}`, meeting, i, name, stamp(start.Add(time.Minute))))
		p.wait(fmt.Sprintf(connectionsNow+` === "%d"`, i+1))
	}
	step := func(label, want string) {
		t.Helper()
		p.eval(fmt.Sprintf(`window.was = location.hash; document.querySelector('[aria-label=%q]').click()`, label), nil)
		p.wait(`location.hash !== window.was && ` + connectionsNow + ` === "` + want + `"`)
	}
	for _, want := range []string{"2", "1", "0"} {
		step("one record back", want)
	}
	p.wait(`document.querySelector('[aria-label="one record back"]').disabled`)
	p.slideTo(0)
	p.wait(connectionsNow + ` === "0" && document.querySelector(".moment").innerText.includes("into the session")`)
	for _, want := range []string{"1", "2"} {
		step("one record on", want)
	}
	p.route(fmt.Sprintf("#/session/s-1?asOf=%d", start.UnixMilli()))
	p.text("Nothing was known about this session at that time: its first record was received at")
}
