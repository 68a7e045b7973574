//go:build browser

package page_test

import (
	"fmt"
	"testing"
	"time"
)

// choose picks an option of the field with a label.
func (p *tab) choose(label, value string) {
	p.t.Helper()
	p.wait(fmt.Sprintf(`[...document.querySelectorAll(".field")].some((f) => f.innerText.startsWith(%q) && [...f.querySelectorAll("option")].some((o) => o.value === %q))`, label, value))
	p.eval(fmt.Sprintf(`(() => { const s = [...document.querySelectorAll(".field")].find((f) => f.innerText.startsWith(%q)).querySelector("select"); s.value = %q; s.dispatchEvent(new Event("change")); })()`, label, value), nil)
}

// TestUsage: the chart is drawn; an organizer, a meeting, a time zone and what rows are
// for can be chosen; totals, rows and files are of what is chosen, and so is the address.
func TestUsage(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/usage")
	p.wait(`document.querySelector(".plot canvas")`)
	const total = `[...document.querySelectorAll(".figure")].find((f) => f.innerText.startsWith("Participant minutes")).querySelector("dd").innerText`
	const number = `Number((` + total + `).replace(/,/g, ""))`
	const rows = `document.querySelectorAll('[aria-label="Usage rows"] tbody tr').length`
	p.wait(rows + ` === 90`)
	p.eval(`window.whole = `+number, nil)
	p.choose("Organizer", "org-1")
	p.wait(number + ` < window.whole && location.hash.includes("organizerId=org-1") && ` + rows + ` === 30`)
	p.choose("Time zone", "Asia/Tokyo")
	p.wait(`document.querySelector("a[download]").href.includes("timezone=Asia%2FTokyo") && document.querySelector(".summary").innerText.includes("Asia/Tokyo")`)
	p.choose("Rows per", "week")
	p.wait(`location.hash.includes("groupBy=week%2Corganizer") && [...document.querySelectorAll("a[download]")].every((a) => a.href.includes("groupBy=week%2Corganizer") && a.href.includes("organizerId=org-1"))`)
	p.wait(`/^\d{4}-W\d\d$/.test(document.querySelector('[aria-label="Usage rows"] td').innerText) && ` + rows + ` <= 6`)
	p.choose("Rows per", "")
	p.wait(rows + ` === 1 && !document.querySelector('[data-label="Week"]')`)
	p.eval(`document.querySelector("input[name=meeting]").click()`, nil)
	p.wait(`document.querySelectorAll('[data-label="Meeting"]').length === 4 && ` + number + ` < window.whole`)
	p.eval(`document.querySelector("button.only").click()`, nil)
	p.wait(`location.hash.includes("meetingId=room-") && ` + rows + ` === 1 && !document.querySelector("button.only")`)
	p.eval(`document.getElementById("theme").click()`, nil)
	p.wait(`document.documentElement.dataset.theme === "light" && document.querySelector(".plot canvas")`)
}

// TestUsageMonths: the months that are asked for by name are those of the time zone;
// minutes stand above h:mm:ss; a late record shows; what counts has its numbers; and
// the address has it all, so that a link shows the same.
func TestUsageMonths(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	day := steadyMonth(t).AddDate(0, 0, -5)
	s.fill("usage", map[string]doc{"late": {"day": day.Format(time.DateOnly), "week": "", "month": day.Format("2006-01"), "organizerId": "org-late", "organizerName": "Late Ltd", "meetingId": nil,
		"sessions": 1, "participantSeconds": 5400.5, "attendedSeconds": 3600.0, "recordingSeconds": 0.0, "peakParticipants": 2, "revisedAt": stamp(day.AddDate(0, 0, 3))}})
	p := open(t, s.URL+"/#/usage?timezone=UTC")
	p.wait(rowOf("Usage rows", "Late Ltd"))
	p.cells(rowOf("Usage rows", "Late Ltd"), [][2]string{{"Participant minutes", `^90\n1:30:01$`}, {"Attended minutes", `^60\n1:00:00$`}, {"Last revised", "^▲ late: "}})
	p.wait(`!` + rowOf("Usage rows", "Northwind") + `.innerText.includes("late")`)
	p.wait(`document.querySelector("#cases summary").innerText === "What counts: of 412 sessions 13 are LIVE, 1 of them stale, with 87 open connections; 4 are cut at their end; 2 have no organizer"`)
	p.eval(`document.querySelector("#cases summary").click()`, nil)
	p.wait(`document.querySelectorAll('[aria-label="What counts as usage"] tbody tr').length === 7`)
	p.cells(rowOf("What counts as usage", "Open connections"), [][2]string{{"Number", "^87$"}, {"What counts", "^Count nothing yet"}})
	press := func(label string) {
		t.Helper()
		p.eval(fmt.Sprintf(`[...document.querySelectorAll(".tabs button")].find((b) => b.innerText === %q).click()`, label), nil)
		p.wait(fmt.Sprintf(`document.querySelector(".tabs [aria-pressed=true]").innerText === %q`, label))
	}
	press("This month")
	press("Last month")
	p.choose("Rows per", "month")
	var address, first string
	now := time.Now().UTC()
	begin := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	p.wait(fmt.Sprintf(`document.querySelector('[aria-label="Usage rows"] td')?.innerText === %q`, begin.Format("2006-01")))
	p.eval(`location.href`, &address)
	p.eval(`document.querySelector('[aria-label="Usage rows"]').innerText`, &first)
	again := open(t, address)
	again.wait(fmt.Sprintf(`document.querySelector('[aria-label="Usage rows"]')?.innerText === %s && document.querySelector(".tabs [aria-pressed=true]").innerText === "Last month"`, quoted(first)))
	p.eval(`[...document.querySelectorAll("th button")].find((b) => b.innerText.startsWith("Sessions")).click()`, nil)
	p.wait(`location.hash.includes("sort=-sessions") && document.querySelector('[aria-sort="descending"]').innerText.startsWith("Sessions")`)
}

// TestUsageKeyboard: a period, what counts and the order of rows without a mouse.
func TestUsageKeyboard(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/usage?groupBy=organizer")
	p.wait(rowOf("Usage rows", "Northwind"))
	enter := func(element, then string) {
		t.Helper()
		p.eval(element+`.focus()`, nil)
		p.press("Enter", "Enter", 13)
		p.wait(then)
	}
	enter(`[...document.querySelectorAll(".tabs button")].find((b) => b.innerText === "This month")`, `document.activeElement.innerText === "This month" && document.activeElement.ariaPressed === "true" && location.hash.includes("from=")`)
	p.press("Tab", "Tab", 9)
	p.press("Tab", "Tab", 9)
	p.wait(`document.activeElement.type === "date" || document.activeElement.innerText === "Last 30 days"`)
	enter(`document.querySelector("#cases summary")`, `document.getElementById("cases").open && document.querySelector('[aria-label="What counts as usage"]').clientHeight > 100`)
	enter(`[...document.querySelectorAll("th button")].find((b) => b.innerText.startsWith("Organizer"))`, `document.querySelector('[aria-label="Usage rows"] tbody td').innerText.startsWith("Northwind") && document.activeElement.closest("th")`)
}

// TestDays: months, weeks and days end where calendars say, and a time is on the day of
// its time zone.
func TestDays(t *testing.T) {
	t.Parallel()
	p := open(t, newStandIn(t).URL)
	connected(p)
	inPage(p, `
		const d = `+module("days")+`;
		is(["2026-01-31", "2024-02-28", "2026-12", "2026-W01", "2026-W53", "2020-W53", "2025-W01"].map(d.after), ["2026-02-01", "2024-02-29", "2027-01-01", "2026-01-05", "2027-01-04", "2021-01-04", "2025-01-06"], "after");
		is([d.monthFrom("2026-01-31", -1), d.monthFrom("2026-01-31", 1), d.daysFrom("2026-03-01", -1)], ["2025-12-01", "2026-02-01", "2026-02-28"], "monthFrom, daysFrom");
		const at = Date.parse("2026-03-31T22:30:00Z");
		is([d.dayIn("UTC", at), d.dayIn("Europe/Berlin", at), d.dayIn("America/New_York", at)], ["2026-03-31", "2026-04-01", "2026-03-31"], "dayIn");`)
}
