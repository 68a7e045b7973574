//go:build browser

package page_test

import (
	"cmp"
	"fmt"
	"net/url"
	"slices"
	"strings"
	"time"
)

// usageDocs are what three organizers' meetings add to each of 70 days.
func usageDocs() map[string]doc {
	all := map[string]doc{}
	zone, err := time.LoadLocation(browserZone) // the days of the page, which may be past midnight
	if err != nil {
		panic(err) // of the machine: there are no zones
	}
	today := time.Now().In(zone)
	for i := range 70 {
		at := today.AddDate(0, 0, -i)
		year, week := at.ISOWeek()
		for j, name := range []string{"Acme GmbH", "Northwind", "City College"} {
			n := float64((i*37+j*11)%23 + 2)
			if wd := at.Weekday(); wd == time.Saturday || wd == time.Sunday {
				n /= 6
			}
			all[fmt.Sprintf("%s %d", at.Format(time.DateOnly), j)] = doc{
				"day": at.Format(time.DateOnly), "week": fmt.Sprintf("%d-W%02d", year, week), "month": at.Format("2006-01"),
				"organizerId": fmt.Sprintf("org-%d", j), "organizerName": name, "meetingId": fmt.Sprintf("room-%d", i%4),
				"sessions": int(n/3) + 1, "participantSeconds": n * 2400, "attendedSeconds": n * 2300, "recordingSeconds": n * 700, "peakParticipants": int(n) + 3,
				"revisedAt": stamp(at),
			}
		}
	}
	return all
}

// usageCasesDoc is what counts in part of some rows; of none nothing does.
func usageCasesDoc(rows int) doc {
	some := min(rows, 1)
	return doc{"sessions": 412 * some, "live": 13 * some, "stale": some, "openConnections": 87 * some, "leftAfterEnd": 4 * some, "withoutOrganizer": 2 * some}
}

// usage answers rows of the stand-in's usage, grouped as the API does.
func (s *standIn) usage(q url.Values) []doc {
	groups := strings.Split(cmp.Or(q.Get("groupBy"), "day,organizer"), ",")
	grouped := func(member string) bool { return slices.Contains(groups, member) }
	rows, by := []doc{}, map[string]doc{}
	for _, d := range s.only("usage", func(d doc) bool {
		return d["day"].(string) >= q.Get("from") && d["day"].(string) < cmp.Or(q.Get("to"), "9") &&
			(q.Get("organizerId") == "" || d["organizerId"] == q.Get("organizerId")) && (q.Get("meetingId") == "" || d["meetingId"] == q.Get("meetingId"))
	}) {
		r := doc{}
		for member, on := range map[string]bool{"day": grouped("day"), "week": grouped("week"), "month": grouped("month"),
			"organizerId": grouped("organizer"), "organizerName": grouped("organizer"), "meetingId": grouped("meeting")} {
			if r[member] = nil; on {
				r[member] = d[member]
			}
		}
		key := fmt.Sprint(r)
		if by[key] == nil {
			r["sessions"], r["participantSeconds"], r["attendedSeconds"], r["recordingSeconds"], r["peakParticipants"], r["revisedAt"] = 0, 0.0, 0.0, 0.0, 0, ""
			by[key], rows = r, append(rows, r)
		}
		r = by[key]
		for _, member := range []string{"participantSeconds", "attendedSeconds", "recordingSeconds"} {
			r[member] = r[member].(float64) + d[member].(float64)
		}
		r["sessions"] = r["sessions"].(int) + d["sessions"].(int)
		r["peakParticipants"] = max(r["peakParticipants"].(int), d["peakParticipants"].(int))
		r["revisedAt"] = max(r["revisedAt"].(string), d["revisedAt"].(string))
	}
	return rows
}
