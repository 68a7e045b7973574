package query_test

import (
	"fmt"
	"testing"
)

// recorded is a recording with a start and a stop.
func recorded(id, session, from, to string) string {
	return fmt.Sprintf(`{"event":"recording.statusUpdate","meeting":{"id":"m","sessionId":%q},"recording":{"recordingId":%q,"status":"UPLOADED","startedTime":%q,"stoppedTime":%q}}`,
		session, id, from, to)
}

// used are a usage row's seconds.
func used(row map[string]any) float64 {
	return row["participantSeconds"].(float64) + row["attendedSeconds"].(float64) + row["recordingSeconds"].(float64)
}

// TestUsageWithStrayTimes: one time far away hides no usage, and the bounds that
// are given are kept.
func TestUsageWithStrayTimes(t *testing.T) {
	t.Parallel()
	const lateLeft = `{"event":"meeting.participantLeft","meeting":{"id":"m2","sessionId":"far"},"participant":{"peerId":"p","customParticipantId":"far","joinedAt":"2262-01-01T00:00:00Z","leftAt":"2262-01-01T01:00:00Z"}}`
	const early = `{"event":"meeting.participantLeft","meeting":{"id":"m3","sessionId":"old"},"participant":{"peerId":"p","customParticipantId":"old","joinedAt":"0001-01-02T00:00:00Z","leftAt":"0001-01-02T01:00:00Z"}}`
	for name, stray := range map[string][]string{
		"a stop in 9999":            {recorded("r", "s1", "2026-03-02T09:00:00Z", "9999-12-31T00:00:00Z")},
		"a connection in 2262":      {lateLeft},
		"a connection in year 1":    {early},
		"all of them":               {recorded("r", "s1", "2026-03-02T09:00:00Z", "9999-12-31T00:00:00Z"), lateLeft, early},
		"a stop in 2100":            {recorded("r", "s1", "2026-03-02T09:00:00Z", "2026-03-02T09:01:00Z"), recorded("q", "s1", "2100-01-01T00:00:00Z", "2100-01-02T00:00:00Z")},
		"a recording of 8000 years": {recorded("r", "", "1999-03-02T09:00:00Z", "9999-12-31T00:00:00Z")},
	} {
		t.Run(name, func(t *testing.T) {
			w := newWorld(t)
			w.post(started("s1", "m1", "T", 0))
			w.post(joined("s1", "m1", "p1", "ann", 0))
			w.post(left("s1", "m1", "p1", "ann", 0, 600))
			w.post(ended("s1", "m1", 0, 600))
			for _, body := range stray {
				w.post(body)
			}
			day := func(path string) bool {
				for row := range w.rows(path) {
					if row["day"] == "2026-03-02" && row["organizerId"] == "org-m1" {
						return row["participantSeconds"] == 600.0 && row["sessions"] == 1.0
					}
				}
				return false
			}
			for _, path := range []string{"/v1/usage?limit=1000", "/v1/usage?limit=1000&from=2026-03-01", "/v1/usage?limit=1000&to=2026-03-09", "/v1/usage?from=2026-03-02&to=2026-03-03"} {
				if !day(path) {
					t.Errorf("GET %s lacks the 600 seconds of 2026-03-02", path)
				}
			}
			if name == "a connection in 2262" { // few enough days: all sessions are in
				w.usageSums(600+3600, 600+3600, 2)
			}
			const path = "/v1/usage?limit=1000&from=2026-03-01"
			var days, organizers float64
			for _, row := range w.walk(path) {
				days += used(row)
				if row["day"].(string) < "2026-03-01" {
					t.Errorf("GET %s has a row of %s; want none before from", path, row["day"])
				}
			}
			for _, row := range w.walk(path + "&groupBy=organizer") {
				organizers += used(row)
			}
			if !near(days, organizers) {
				t.Errorf("sum over the days of %s = %v; want that over organizers, %v", path, days, organizers)
			}
		})
	}
	w := newWorld(t)
	w.post(recorded("r", "s1", "2026-03-02T09:00:00Z", "9999-12-31T00:00:00Z"))
	for path, want := range map[string]int{
		"/v1/usage?from=2026-03-01&to=9999-12-31": 400, "/v1/usage?from=0001-01-01": 400, "/v1/usage?from=2300-01-01": 400,
		"/v1/usage?from=2026-03-01": 200, "/v1/usage?to=9999-12-31": 200, "/v1/usage?from=9999-12-30": 200, "/v1/usage": 200,
	} {
		if a := w.get(path); a.status != want {
			t.Errorf("GET %s = %d %s; want %d", path, a.status, a.body, want)
		}
	}
}
