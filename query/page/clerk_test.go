//go:build browser

package page_test

import (
	"fmt"
	"maps"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
	"rollcall/query/closing"
)

// closeMonth keeps a month's usage of the product in a time zone, once the views hold
// its sessions.
func (p *product) closeMonth(month, timezone string, sessions int) {
	p.t.Helper()
	zone, err := time.LoadLocation(timezone)
	if err != nil {
		p.t.Fatal(err)
	}
	h := closing.Head{Month: month, Timezone: timezone, ClosedAt: eventlog.TimeOf(time.Now())}
	used, recorded := map[string]projections.UsageSession{}, map[string]projections.Recording{}
	p.until("the views hold the month", func() bool {
		var a, b bool
		used, h.Sequence, a = documentsOf[projections.UsageSession](p, closing.ViewUsage)
		recorded, _, b = documentsOf[projections.Recording](p, closing.ViewRecordings)
		return a && b && len(used) == sessions && int(h.Sequence) == p.n
	})
	c, err := closing.Make(h, zone, maps.Values(used), maps.Values(recorded))
	if err == nil {
		_, err = closing.NewStore(p.js).Save(p.t.Context(), c, false)
	}
	if err != nil {
		p.t.Fatal(err)
	}
}

// documentsOf are a view's documents, and how far it is; false: it is not there yet.
func documentsOf[D projections.Document](p *product, view string) (map[string]D, eventlog.Seq, bool) {
	docs := map[string]D{}
	var broken error
	_, cp, err := viewstore.NewReader(p.js).View(p.t.Context(), view, func() { clear(docs) }, func(key string, value []byte) {
		if value == nil {
			delete(docs, key)
			return
		}
		d, err := projections.Parse[D](value)
		if docs[key] = d; err != nil {
			broken = err
		}
	})
	return docs, cp.Sequence, err == nil && broken == nil
}

// steadyMonth is now, in UTC; while a month ends there is none: the page would have
// another last month than the test.
func steadyMonth(t *testing.T) time.Time {
	t.Helper()
	now := time.Now().UTC()
	if now.Add(patience).Month() != now.Month() {
		t.Skip("a month ends")
	}
	return now
}

// TestClerk is a finance clerk's month: look at last month's minutes, have it closed,
// see what a late fact changed, and find the record and the session that it came from.
func TestClerk(t *testing.T) {
	t.Parallel()
	world := newProduct(t)
	now := steadyMonth(t)
	late := "late"
	if now.Day() == 1 {
		late = "" // last month's numbers are late from the second on
	}
	month := time.Date(now.Year(), now.Month()-1, 1, 0, 0, 0, 0, time.UTC)
	start := month.AddDate(0, 0, 9).Add(10 * time.Hour)
	meeting := func(session, more string) string {
		return fmt.Sprintf(`"meeting":{"id":"m-1","sessionId":%q,"title":"Seminar %[1]s","startedAt":%q,"organizedBy":{"id":"o-1","name":"City College"}%s}`, session, stamp(start), more)
	}
	left := func(session string, minutes int) {
		world.post(fmt.Sprintf(`{"event":"meeting.participantLeft",%s,"participant":{"peerId":"p-%s","customParticipantId":"ada","joinedAt":%q,"leftAt":%q}}`, meeting(session, ""), session, stamp(start), stamp(start.Add(time.Duration(minutes)*time.Minute))))
	}
	for _, session := range []string{"s-1", "s-2"} {
		world.post(`{"event":"meeting.started",` + meeting(session, "") + `}`)
		left(session, 30)
		world.post(`{"event":"meeting.ended",` + meeting(session, fmt.Sprintf(`,"endedAt":%q`, stamp(start.Add(90*time.Minute)))) + `}`)
	}
	p := open(t, world.api.URL+"/#/usage?timezone=UTC")
	p.text("What counts:")
	p.eval(`[...document.querySelectorAll(".tabs button")].find((b) => b.innerText === "Last month").click()`, nil)
	p.choose("Rows per", "month")
	p.wait(rowOf("Usage rows", "City College"))
	p.cells(rowOf("Usage rows", "City College"), [][2]string{{"Month", month.Format("2006-01")}, {"Sessions", "^2$"}, {"Participant minutes", `^60\n1:00:00$`}, {"Last revised", late}})
	p.wait(`document.querySelector("#cases summary").innerText.startsWith("What counts: of 2 sessions 0 are LIVE")`)

	world.closeMonth(month.Format("2006-01"), "UTC", 2)
	left("s-2", 45)
	p.eval(`[...document.querySelectorAll("a")].find((a) => a.innerText === "Closed months").click()`, nil)
	p.wait(rowOf("Closed months", month.Format("2006-01")))
	p.cells(rowOf("Closed months", month.Format("2006-01")), [][2]string{{"Sessions", "^2$"}, {"Participant minutes", "^60$"}, {"Sessions changed since", "1 changed"}})
	p.eval(rowOf("Closed months", month.Format("2006-01"))+`.querySelector("a").click()`, nil)
	p.wait(rowOf("Changed sessions", "Seminar s-2") + ` && document.querySelectorAll('[aria-label="Changed sessions"] tbody tr').length === 1`)
	p.cells(rowOf("Changed sessions", "Seminar s-2"), [][2]string{{"As closed → now", `participant time 0:30:00 → 0:45:00 \(\+0:15:00\)`}, {"Record that did it", "^meeting.participantLeft, record 7"}})
	p.cells(rowOf("Rows as closed", "City College"), [][2]string{{"Participant minutes", `^60\n1:00:00$`}})
	p.eval(rowOf("Changed sessions", "Seminar s-2")+`.querySelector("summary").click()`, nil)
	p.wait(rowOf("Changed sessions", "Seminar s-2") + `.querySelector("pre").innerText.includes("leftAt")`)
	var files []string
	p.eval(`Promise.all([...document.querySelectorAll("a[download]")].map((a) => fetch(a.href).then((r) => r.text())))`, &files)
	for _, f := range files {
		if !strings.Contains(f, "closedAt") || !strings.Contains(f, "City College") || !strings.Contains(f, "UTC") {
			t.Errorf("file of the closing's rows = %s; want the rows, the time zone and when it was closed", f)
		}
	}
	p.eval(rowOf("Changed sessions", "Seminar s-2")+`.querySelector("a").click()`, nil)
	p.wait(`location.hash === "#/session/s-2" && document.querySelector("h1").innerText.includes("Seminar s-2")`)
}
