package query_test

import (
	"net/http"
	"strings"
	"testing"

	"rollcall/eventlog"
)

// TestLiteralDots: an id "." or ".." is an id in every form of a path.
func TestLiteralDots(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	s.commit("sessions", map[string][]byte{"live.a": sessionDoc(".", "m", "one dot", "LIVE", 0), "live.b": sessionDoc("..", "m", "two dots", "LIVE", 0)})
	w.last = s.commit("attendance", map[string][]byte{"a.a": mustJSON(map[string]any{"sessionId": "..", "participantId": "..", "displayName": "d", "connections": []any{}})})
	for _, form := range []func(string) string{func(s string) string { return s }, pathSegment, eventlog.EscapeID} {
		for path, want := range map[string]string{
			"/v1/sessions/" + form("..") + "/participants": "..", "/v1/participants/" + form("..") + "/sessions": "..",
		} {
			if got := w.items(path).column("participantId"); got != want {
				t.Errorf("GET %s = participants %s; want %s", path, got, want)
			}
		}
		for path, want := range map[string]int{
			"/v1/sessions/" + form(".") + "/participants": http.StatusOK, "/v1/participants/" + form(".") + "/sessions": http.StatusNotFound,
			"/v1/sessions/" + form("."): http.StatusOK, "/v1/recordings/" + form(".."): http.StatusNotFound,
		} {
			if a := w.get(path); a.status != want {
				t.Errorf("GET %s = %d %s; want %d", path, a.status, a.body, want)
			}
		}
	}
	if a := w.do("/assets/../v1/sessions"); a.status != http.StatusNotFound && a.status != http.StatusOK {
		t.Errorf("GET /assets/../v1/sessions = %d; want the list that it names, or 404", a.status)
	}
}

// TestListParameters: a list may be given with commas, repeatedly, and both.
func TestListParameters(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	want := string(w.get("/v1/usage?groupBy=day,organizer").body)
	for _, query := range []string{"groupBy=day&groupBy=organizer", "groupBy=organizer,day", "groupBy=day,organizer,day", "groupBy=day&groupBy=day,organizer"} {
		if got := string(w.get("/v1/usage?" + query).body); got != want {
			t.Errorf("GET /v1/usage?%s = %s; want %s", query, got, want)
		}
	}
	for _, query := range []string{"groupBy=day&groupBy=", "groupBy=", "groupBy=day&groupBy=nope", "groupBy=day,", "timezone=UTC&timezone=UTC", "limit=1&limit=1",
		"timezone=localtime", "timezone=posixrules", "timezone=right/UTC", "timezone=posix/UTC", "timezone=Factory", "timezone=Local", "timezone=", "timezone=SystemV/EST5",
		"timezone=../UTC", "timezone=America/../UTC", "timezone=/etc/localtime", "timezone=leapseconds", "timezone=tzdata.zi", "timezone=UTC%00"} {
		if a := w.do("/v1/usage?" + query); a.status != http.StatusBadRequest {
			t.Errorf("GET /v1/usage?%s = %d %s; want 400", query, a.status, a.body)
		}
	}
	for _, zone := range []string{"UTC", "Asia/Kolkata", "America/Argentina/Buenos_Aires", "Etc/GMT%2B3", "EST5EDT", "GB", "Etc/GMT-14", "America/Port-au-Prince"} {
		if a := w.get("/v1/usage?timezone=" + zone); a.status != http.StatusOK {
			t.Errorf("GET /v1/usage?timezone=%s = %d %s; want 200", zone, a.status, a.body)
		}
	}
	if feed := w.watch(t, "/v1/changes?views=sessions&views=usage", ""); feed.status != http.StatusOK {
		t.Errorf("GET /v1/changes with two views = %d; want 200", feed.status)
	}
}

// TestParameterBounds: the last value that is taken, and the first that is not.
func TestParameterBounds(t *testing.T) {
	s := newScript()
	w := scripted(t, s)
	w.last = s.commit("sessions", nil)
	w.get("/v1/sessions") // once it is loaded
	long := strings.Repeat("a", 192<<10)
	for query, want := range map[string]int{
		"limit=1": 200, "limit=1000": 200, "limit=1001": 400, "limit=0": 400, "limit=-1": 400, "limit=": 400,
		"wait=0s": 200, "wait=30s": 200, "wait=30s1ns": 400, "wait=-1ns": 400, "wait=5": 400,
		"minSequence=0": 200, "minSequence=1": 200, "minSequence=9223372036854775808": 400, "minSequence=-1": 400,
		"q=" + strings.Repeat("%0A", 15): 200, "q=" + strings.Repeat("%0A", 16): 400,
		"q=" + long: 200, "q=" + long + "a": 400, "q=%FF": 400,
		"from=2026-03-02": 200, "from=2026-03-02T00:00:00Z": 200, "from=2026-03-2": 400, "from=0001-01-01": 400, "from=": 400,
		"sort=": 400, "status=": 400, "status=LIVE": 200, "nope=": 400,
	} {
		if a := w.do("/v1/sessions?" + query); a.status != want {
			t.Errorf("GET /v1/sessions?%.60s (%d bytes) = %d %.200s; want %d", query, len(query), a.status, a.body, want)
		}
	}
	// What was sent is quoted in part, and never more than there is.
	for _, c := range []struct{ sent, quoted string }{{"x", `"x"`}, {strings.Repeat("x", 64), `"` + strings.Repeat("x", 64) + `"`}, {strings.Repeat("x", 65), `"` + strings.Repeat("x", 64) + `"`}} {
		if a := w.do("/v1/sessions?limit=" + c.sent); !strings.Contains(string(a.body), "can't be "+strings.ReplaceAll(c.quoted, `"`, `\"`)+";") {
			t.Errorf("GET /v1/sessions?limit=%s = %s; want %s quoted", c.sent, a.body, c.quoted)
		}
	}
}
