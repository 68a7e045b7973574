//go:build browser

package page_test

import (
	"fmt"
	"strings"
	"testing"
)

// typed types into what has the focus.
func (p *tab) typed(text string) {
	p.t.Helper()
	p.call("Input.insertText", map[string]any{"text": text}, nil)
}

// tabTo presses Tab until an element has the focus, as somebody without a mouse does.
func (p *tab) tabTo(expression string) {
	p.t.Helper()
	for range 200 {
		p.press("Tab", "Tab", 9)
		var there bool
		p.eval(fmt.Sprintf("Boolean(((e) => %s)(document.activeElement))", expression), &there)
		if there {
			return
		}
	}
	p.t.Fatalf("pressed Tab 200 times; want the focus on %s", expression)
}

// TestFindPersonAtEveryWidth: the header's search is there at every width: where there is
// no room for it a button opens it. With the keyboard alone; Escape closes it.
func TestFindPersonAtEveryWidth(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/usage")
	connected(p)
	for _, width := range []int{1280, 1024, 768, 390} {
		p.size(width, 844)
		p.route("#/live")
		p.wait(`document.querySelector("h1").innerText === "Live"`)
		if width <= 1180 {
			p.wait(`!document.querySelector("#find").checkVisibility()`)
			p.eval(`document.querySelector(".brand").focus()`, nil)
			p.tabTo(`e.id === "find-open"`)
			p.press("Enter", "Enter", 13)
			p.wait(`document.activeElement.name === "q"`)
			p.press("Escape", "Escape", 27)
			p.wait(`document.activeElement.id === "find-open" && !document.querySelector("#find").checkVisibility()`)
			p.press("Enter", "Enter", 13)
			p.wait(`document.activeElement.name === "q"`)
		} else {
			p.wait(`!document.querySelector("#find-open").checkVisibility()`)
			p.eval(`document.querySelector("#find input").focus()`, nil)
		}
		var inside bool
		p.eval(`(() => { const [input, head] = ["#find input", ".top"].map((s) => document.querySelector(s).getBoundingClientRect()); return input.left >= 0 && input.right <= innerWidth && input.bottom < innerHeight && document.documentElement.scrollWidth <= innerWidth && head.height < 110; })()`, &inside)
		if !inside {
			t.Errorf("at %d px the search is not within the window", width)
		}
		p.typed("grace")
		p.press("Enter", "Enter", 13)
		p.wait(`location.hash === "#/people?q=grace" && document.activeElement.id === "main" && document.querySelector("#find input").value === ""`)
	}
}

// TestOrderOfCards: where rows are cards, a list and a button choose their order.
func TestOrderOfCards(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/recordings")
	connected(p)
	p.wait(rowOf("Recordings", "rec-stuck") + ` && !document.querySelector(".order").checkVisibility()`)
	p.size(390, 844)
	p.wait(`document.querySelector(".order").checkVisibility()`)
	p.choose("Sort by", "durationSeconds")
	p.wait(`location.hash.endsWith("sort=-durationSeconds")`)
	const durations = `[...document.querySelectorAll('[aria-label="Recordings"] td[data-label=Duration]')].map((c) => c.innerText).filter((d) => d !== "–")`
	p.wait(durations + `.join() === ` + durations + `.sort().reverse().join()`)
	p.eval(`document.querySelector(".order button").focus()`, nil)
	p.press("Enter", "Enter", 13)
	p.wait(`location.hash.endsWith("sort=durationSeconds") && document.querySelector(".order button").ariaLabel.startsWith("ascending")`)
	p.wait(durations + `.join() === ` + durations + `.sort().join()`)
}

// TestFindPerson: the header's search, above every view, leads to the people of
// a name; two of one name are told apart; each leads to all sessions.
func TestFindPerson(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	scene(s)
	p := open(t, s.URL+"/#/usage")
	connected(p)
	p.tabTo(`e.closest("#find")`)
	p.typed("grace")
	p.press("Enter", "Enter", 13)
	p.wait(`location.hash === "#/people?q=grace" && document.activeElement.id === "main" && document.querySelector("#find input").value === ""`)
	p.text("Several people have the same name")
	p.cells(rowOf("People", "grace.h@college.example"), [][2]string{{"Person", "^Grace$"}, {"Id", `^grace\.h@college\.example$`}, {"Also named", "^–$"}, {"Sessions", "^1$"}, {"Last joined", `\d\d:\d\d:\d\d`}})
	p.cells(rowOf("People", "Grace H."), [][2]string{{"Person", "^Grace$"}, {"Id", "^grace$"}, {"Also named", `^Grace H\.$`}, {"Sessions", "^2$"}})
	p.tabTo(`e.closest("tr")?.innerText.includes("Grace H.") && e.tagName === "A"`)
	p.press("Enter", "Enter", 13)
	p.wait(`location.hash === "#/person/grace" && document.querySelectorAll('[aria-label="Sessions of this person"] tbody tr').length === 2`)
	p.wait(`/also named Grace H\./.test(document.querySelector(".summary").innerText)`)
	p.wait(`[...document.querySelectorAll(".figure")].find((f) => f.innerText.startsWith("Total attended")).querySelector("dd").innerText === "1:34:00"`)
	p.cells(rowOf("Sessions of this person", "ended-1"), [][2]string{{"% of session attended", "89 %"}})

	// The address is the search: another one is followed, and Back returns.
	p.route("#/people?q=nobody")
	p.text("No matching people.")
	p.eval("history.back()", nil)
	p.wait(`location.hash === "#/person/grace" && document.querySelector("h1").innerText === "Grace"`)
	p.route("#/people?q=ada")
	p.wait(`document.querySelectorAll('[aria-label="People"] tbody tr').length === 2`)
	p.eval(`document.querySelector("main input[type=search]").focus()`, nil)
	p.typed(" love")
	p.wait(`document.querySelectorAll('[aria-label="People"] tbody tr').length === 1 && location.hash === "#/people?q=ada+love"`)
	p.route("#/people?q=ada&sort=-sessions")
	p.wait(`document.querySelector('[aria-sort="descending"]').innerText.startsWith("Sessions")`)
}

// TestHostilePeople: names and ids that people have sent to break pages are text in the search too.
func TestHostilePeople(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	people := map[string]doc{}
	for i, h := range hostile {
		id := fmt.Sprintf("%s/%d?#&", h, i)
		people["all/"+id] = aParticipant("all", id, h, connection(h, 1, 9, "LEFT"))
	}
	s.fill("sessions", map[string]doc{"all": aSession("all", hostile[0], nil)})
	s.fill("attendance", people)
	records := []doc{}
	for i, h := range hostile {
		records = append(records, doc{"sequence": i, "eventId": fmt.Sprint("e", i), "source": h, "type": h, "receivedAt": stamp(base), "peerId": h, "participantId": h, "displayName": h, "body": doc{h: h}})
	}
	s.events["all"] = records
	p := open(t, s.URL+"/#/people?q="+strings.ReplaceAll(`"><img src=x onerror=window.pwned=1>`, " ", "%20"))
	p.text("No matching people.")
	p.route("#/people")
	p.wait(fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d`, len(people)))
	p.text("adminU+202Egnp.exe")
	harmless(p, "people")
	p.eval(`[...document.querySelectorAll("tbody a")].find((a) => a.innerText.includes("onerror")).click()`, nil)
	p.wait(`location.hash.startsWith("#/person/") && document.querySelector("h1").innerText.includes("onerror") && document.querySelectorAll("tbody tr").length === 1`)
	harmless(p, "person")
	p.eval(`document.querySelector("tbody a").click()`, nil)
	p.wait(`location.hash.startsWith("#/attendance/all/") && document.querySelector("h1").innerText.includes("onerror") && document.querySelector('[aria-label="Stretches"]')`)
	harmless(p, "stay")
	p.route("#/session/all?records=open&type=" + "%3Cimg%20src%3Dx%20onerror%3Dwindow.pwned%3D1%3E")
	p.text("No matching records.")
	p.route("#/session/all?records=open")
	p.wait(fmt.Sprintf(`document.querySelectorAll('[aria-label="Raw records"] tbody tr').length === %d && document.querySelectorAll("#records-people option").length === %d`, len(records), len(people)))
	harmless(p, "records")
}
