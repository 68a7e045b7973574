//go:build browser

package page_test

import (
	"fmt"
	"testing"
)

// hostile are names and titles that people have sent to break pages.
var hostile = []string{
	`<script>window.pwned=1</script>`,
	`<img src=x onerror="window.pwned=1">`,
	`"><svg onload=window.pwned=1>`,
	`'-window.pwned=1-'`,
	`javascript:window.pwned=1`,
	`</title></textarea></style></script><iframe srcdoc="<script>parent.pwned=1</script>">`,
	`{{constructor.constructor('window.pwned=1')()}}${window.pwned=1}`,
	"admin\u202Egnp.exe",
	"zero\u200Bwidth\uFEFFjoin\u2060er",
	"bell\u0007 back\u0008 esc\u001B[31m nul\u0000",
	"tag\U000E0041s soft\u00ADhyphen",
	"line\u2028separator\u2029paragraph",
	"marks a\u0300\u0300\u0300\u0300\u0300\u0300\u0300\u0300",
	"__proto__",
	"שלום עולם",
	"👩‍👩‍👧 family",
}

// harmless fails where hostile text became more than text.
func harmless(p *tab, where string) {
	p.t.Helper()
	var found []string
	p.eval(`[window.pwned ? "pwned" : null, ...document.querySelectorAll("main script, main iframe, main img, main textarea, main style"),
		...[...document.querySelectorAll("main a")].filter((a) => !/^(https?|blob):$/.test(a.protocol))].filter(Boolean).map((e) => e.outerHTML ?? e)`, &found)
	if len(found) > 0 {
		p.t.Errorf("%s: hostile text became %q; want text alone", where, found)
	}
}

// TestHostile: hostile titles, names, ids and links are text, everywhere; what
// can't be seen is shown by its code point; what only looks odd is left alone.
func TestHostile(t *testing.T) {
	t.Parallel()
	s := newStandIn(t)
	sessions, people, recordings := map[string]doc{}, map[string]doc{}, map[string]doc{}
	for i, h := range hostile {
		id := fmt.Sprintf("%s/%d?#&", h, i)
		sessions[id] = aSession(id, h, doc{"organizer": doc{"id": h, "name": h}, "anomalies": []string{h}, "meetingId": h})
		people["all/"+id] = aParticipant("all", id, h, connection(h, 1, 9, "LEFT"))
		link := "javascript:window.pwned=1//" + h
		recordings[id] = aRecording(id, "all", "UPLOADED", doc{"outputFileName": h, "error": h, "status": h, "downloadUrl": link})
		recordings[id+"+"] = aRecording(id+"+", "all", "UPLOADED", doc{"files": []doc{{"participantId": h, "url": link, "audioUrl": h}}})
	}
	sessions["all"] = aSession("all", hostile[0], nil)
	s.fill("sessions", sessions)
	s.fill("attendance", people)
	s.fill("recordings", recordings)
	p := open(t, s.URL+"/#/live")
	p.text(`<img src=x onerror="window.pwned=1">`)
	p.wait(fmt.Sprintf(`document.querySelectorAll("tbody tr").length === %d`, len(sessions)))
	for _, want := range []string{"adminU+202Egnp.exe", "zeroU+200BwidthU+FEFFjoinU+2060er", "bellU+0007 backU+0008 escU+001B[31m nulU+0000", "tagU+E0041s softU+00ADhyphen", "lineU+2028separatorU+2029paragraph", "שלום עולם", "👩‍👩‍👧 family", "__proto__"} {
		p.text(want)
	}
	harmless(p, "live")
	for _, route := range []string{"#/session/all", "#/attendance/all", "#/recordings", "#/attendance"} {
		p.route(route)
		p.text(`<img src=x onerror="window.pwned=1">`)
		harmless(p, route)
	}
	// The id itself is hostile too: it leads to its own session.
	p.route("#/live")
	p.wait(`[...document.querySelectorAll("tbody a")].some((a) => a.innerText.includes("onerror"))`)
	p.eval(`[...document.querySelectorAll("tbody a")].find((a) => a.innerText.includes("onerror")).click()`, nil)
	p.wait(`document.querySelector("h1").innerText.includes("onerror")`)
	harmless(p, "session by a hostile id")
	// The last line of defence works: markup can't be parsed at all.
	p.expect("TrustedHTML")
	var refused bool
	p.eval(`(() => { try { document.body.innerHTML = "<b>x</b>"; return false; } catch { return true; } })()`, &refused)
	if !refused {
		t.Error("innerHTML works on the page; want the policy to refuse it")
	}
}
