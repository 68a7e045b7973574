package query_test

import (
	"encoding/json"
	"fmt"
	"testing"
	"time"
)

// TestUsageCases: each case of what counts in part has its number, for the sessions
// that started on the days of the time zone, for an organizer and a meeting.
func TestUsageCases(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	// 2026-03-02 10:00 UTC is second 0.
	w.post(started("live", "m1", `left-after-end`, 0))
	w.post(joined("live", "m1", "p1", "ann", 0))
	w.post(joined("live", "m1", "p2", "bob", 0))
	w.post(started("ghost", "m2", "Ghost", -3600))
	w.post(started("next", "m2", "Next", 60)) // supersedes it
	w.post(ended("next", "m2", 60, 600))
	w.post(joined("late", "m3", "p3", "cid", 0))
	w.post(ended("late", "m3", 0, 300))
	w.post(left("late", "m3", "p3", "cid", 0, 900))
	w.post(fmt.Sprintf(`{"event":"meeting.started","meeting":{"id":"m4","sessionId":"owned","startedAt":%q,"organizedBy":{"id":"o1","name":"Acme"}}}`, stamp(0)))
	w.post(started("tomorrow", "m5", "Tomorrow", 12*3600)) // 22:00 UTC: the third in Kolkata
	w.clock.Set(epoch.Add(2 * time.Hour))
	for _, c := range []struct{ query, want string }{
		{"", `{"sessions":6,"live":4,"stale":1,"openConnections":2,"leftAfterEnd":1,"withoutOrganizer":1}`},
		{"?from=2026-03-02&to=2026-03-03&timezone=Asia/Kolkata", `{"sessions":5,"live":3,"stale":1,"openConnections":2,"leftAfterEnd":1,"withoutOrganizer":1}`},
		{"?from=2026-03-03&timezone=Asia/Kolkata", `{"sessions":1,"live":1,"stale":0,"openConnections":0,"leftAfterEnd":0,"withoutOrganizer":0}`},
		{"?organizerId=o1", `{"sessions":1,"live":1,"stale":0,"openConnections":0,"leftAfterEnd":0,"withoutOrganizer":0}`},
		{"?meetingId=m2", `{"sessions":2,"live":1,"stale":1,"openConnections":0,"leftAfterEnd":0,"withoutOrganizer":0}`},
		{"?from=2027-01-01", `{"sessions":0,"live":0,"stale":0,"openConnections":0,"leftAfterEnd":0,"withoutOrganizer":0}`},
	} {
		a := w.get("/v1/usage/cases" + c.query)
		var got json.RawMessage
		if err := json.Unmarshal(a.body, &got); err != nil || string(got) != c.want {
			t.Errorf("GET /v1/usage/cases%s = %d %s; want %s", c.query, a.status, a.body, c.want)
		}
	}
}
