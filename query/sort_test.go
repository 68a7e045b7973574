package query_test

import (
	"cmp"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/url"
	"strings"
	"testing"
)

// look are texts that SQLite would take for numbers in a column of another kind.
var look = []string{"10", "9", "100", "007", "7", "1e3", "-5", " 1", "0x1", "1.50", "1.5", "Inf", "00", "0", "9223372036854775808", ""}

// odd fills a document's scalar members with values whose order as texts is not
// that as numbers.
func odd(r *rand.Rand, i int, doc map[string]any, fields map[string]string) map[string]any {
	numbers := []float64{0, 9, 10, 100, 1e6, 2, 99999, 11}
	for name, kind := range fields {
		switch kind {
		case "text":
			doc[name] = look[r.IntN(len(look))]
		case "time":
			doc[name] = stamp([]int{0, 9, 10, 100, 1000, 99999}[r.IntN(6)])
		case "number":
			doc[name] = numbers[r.IntN(len(numbers))]
		case "bool":
			doc[name] = r.IntN(2) == 0
		}
		if kind != "bool" && r.IntN(5) == 0 {
			doc[name] = nil
		}
	}
	return doc
}

// TestSortingByEveryColumn sorts each list by each of its fields, both ways:
// numbers as numbers, texts as texts whatever they look like, null first.
func TestSortingByEveryColumn(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	r := rand.New(rand.NewPCG(11, 0))
	views := map[string]map[string][]byte{"sessions": {}, "attendance": {}, "recordings": {}, "livestreams": {}}
	for i := range 60 {
		id := fmt.Sprint(i)
		put := func(view string, fixed map[string]any, fields map[string]string) {
			views[view]["k"+id] = mustJSON(odd(r, i, fixed, fields))
		}
		put("sessions", map[string]any{"sessionId": id, "meetingId": nil, "organizer": map[string]any{"id": look[i%len(look)], "name": look[i*7%len(look)]}, "status": "LIVE", "anomalies": []string{}},
			map[string]string{"title": "text", "roomName": "text", "startedAt": "time", "endedAt": "time", "endReason": "text", "durationSeconds": "number", "liveParticipants": "number",
				"uniqueParticipants": "number", "connections": "number", "maxConcurrentParticipants": "number", "participantSeconds": "number", "implicit": "bool", "lastEventAt": "time", "degradedSince": "time"})
		put("attendance", map[string]any{"sessionId": "0", "participantId": id, "connections": []any{}}, map[string]string{"displayName": "text", "firstJoinedAt": "time", "lastLeftAt": "time",
			"present": "bool", "connectedSeconds": "number", "attendedSeconds": "number", "longestGapSeconds": "number"})
		put("recordings", map[string]any{"recordingId": id, "history": []any{}}, map[string]string{"status": "text", "conflict": "bool", "sessionId": "text", "meetingId": "text", "organizationId": "text",
			"startedAt": "time", "stoppedAt": "time", "durationSeconds": "number", "fileSizeBytes": "number", "outputFileName": "text", "error": "text", "downloadUrl": "text", "audioDownloadUrl": "text",
			"downloadUrlExpiresAt": "time", "lastEventAt": "time"})
		put("livestreams", map[string]any{"streamId": id, "transitions": []any{}}, map[string]string{"status": "text", "meetingId": "text", "onAirSeconds": "number"})
	}
	for view, docs := range views {
		w.last = s.commit(view, docs)
	}
	for _, path := range []string{"/v1/sessions", "/v1/sessions/0/participants", "/v1/participants/7/sessions", "/v1/participants", "/v1/recordings", "/v1/livestreams"} {
		_, names, _ := strings.Cut(string(w.get(path+"?sort=nope").body), "want one of ")
		names, _, _ = strings.Cut(names, `"`)
		all := strings.Split(names, ", ")
		if len(all) < 4 {
			t.Errorf("GET %s can be sorted by %s; want its scalar fields", path, all)
		}
		for _, name := range all {
			w.sorted(t, path, name, "")
			w.sorted(t, path, name, "-")
		}
	}
	for _, id := range look[:len(look)-1] { // a filter finds a text as it is
		for _, q := range []string{"status", "sessionId", "meetingId"} {
			for _, it := range w.items("/v1/recordings?limit=1000&" + q + "=" + url.QueryEscape(id)).Items {
				if it[q] != id {
					t.Errorf("recordings with %s=%q hold one with %v", q, id, it[q])
				}
			}
		}
	}
}

// sorted checks the order of a list by one of its fields.
func (w *world) sorted(t *testing.T, path, name, sign string) {
	t.Helper()
	items := w.items(path + "?limit=1000&sort=" + sign + name).Items
	if len(items) != 60 && !strings.HasPrefix(path, "/v1/participants") {
		t.Errorf("GET %s sorted by %s%s = %d items; want 60", path, sign, name, len(items))
	}
	if s := items[0]["session"]; s != nil && name == "startedAt" {
		return // the session's, which the document has within
	}
	for i := 1; i < len(items); i++ {
		c := compareValues(items[i-1][name], items[i][name])
		if sign == "-" {
			c = -c
		}
		if c > 0 {
			t.Errorf("GET %s?sort=%s%s: %s comes before %s", path, sign, name, mustText(items[i-1][name]), mustText(items[i][name]))
		}
	}
}

func mustText(v any) string { b, _ := json.Marshal(v); return string(b) }

// compareValues orders members as lists do: null, and the empty text, first.
func compareValues(a, b any) int {
	rank := func(v any) (int, float64, string) {
		switch v := v.(type) {
		case float64:
			return 1, v, ""
		case bool:
			if v {
				return 1, 1, ""
			}
			return 1, 0, ""
		case string:
			if v != "" {
				return 1, 0, v
			}
		}
		return 0, 0, ""
	}
	ra, na, ta := rank(a)
	rb, nb, tb := rank(b)
	return cmp.Or(cmp.Compare(ra, rb), cmp.Compare(na, nb), strings.Compare(ta, tb))
}
