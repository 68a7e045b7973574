package query_test

import (
	"cmp"
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

// story posts a small history with something of everything, and returns the
// sequence before the end of s1.
func (w *world) story() (before eventlog.Seq) {
	w.post(started("s1", "m1", `=HYPERLINK("http://x","y")`, 0))
	w.post(joined("s1", "m1", "p1", "ann", 0))
	w.post(joined("s1", "m1", "p2", "bob", 60))
	w.post(left("s1", "m1", "p2", "bob", 60, 300))
	w.post(`{"event":"recording.statusUpdate","meeting":{"id":"m1","sessionId":"s1"},"recording":{"recordingId":"r1","status":"RECORDING"}}`)
	before = w.post(started("s2", "m1", "a \"b\", c\nd", 300))
	w.post(ended("s1", "m1", 0, 600))
	w.post(`{"event":"recording.statusUpdate","meeting":{"id":"m1","sessionId":"s1"},"recording":{"recordingId":"r1","status":"UPLOADED","fileSize":7,"downloadUrl":"https://x/1","downloadUrlExpiry":"` + stamp(90000) + `","stopReason":{"reason":"API_CALL"},"startedTime":"` + stamp(0) + `","stoppedTime":"` + stamp(600) + `"}}`)
	w.post(`{"event":"meeting.chatSynced","meetingId":"m1","sessionId":"s1","chatDownloadUrl":"https://x/chat","chatDownloadUrlExpiry":"` + stamp(90000) + `"}`)
	w.post(`{"event":"livestreaming.statusUpdate","streamId":"l1","status":"LIVE","streamKey":"top secret","deep":[{"streamKey":{"a":"top secret"}}]}`)
	w.post(`not JSON, "streamKey": "top secret", cut`)
	w.post(`{"event":"brand.new","streamKey":"top secret"}`)
	return before
}

func TestSingleItems(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	a := w.get("/v1/sessions/s1")
	if a.status != 200 {
		t.Fatalf("GET /v1/sessions/s1 = %d %s; want 200", a.status, a.body)
	}
	var s map[string]any
	if err := json.Unmarshal(a.body, &s); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"status": "ENDED", "durationSeconds": "600", "recordings": "[map[recordingId:r1 status:UPLOADED]]",
		"supersededBy": "<nil>", "stale": "false", "participantSeconds": "840", "maxConcurrentParticipants": "2",
	} {
		if got := fmt.Sprint(s[name]); got != want {
			t.Errorf("%s = %s; want %s", name, got, want)
		}
	}
	if a, ok := s["artifacts"].(map[string]any); !ok || fmt.Sprint(a["chat"]) != "map[expiresAt:2026-03-03T10:00:00Z url:https://x/chat]" {
		t.Errorf("artifacts = %v; want the chat's link", s["artifacts"])
	}
	if got, want := a.header.Get("Rollcall-Sequence"), fmt.Sprint(w.last); got != want {
		t.Errorf("Rollcall-Sequence = %s; want %s", got, want)
	}
	tag := a.header.Get("ETag")
	if again := w.get("/v1/sessions/s1", "If-None-Match", `"x", W/`+tag); again.status != http.StatusNotModified || len(again.body) > 0 {
		t.Errorf("GET with If-None-Match = %d %s; want 304 without a body", again.status, again.body)
	}
	if again := w.get("/v1/sessions/s1", "If-None-Match", `"x"`); again.status != 200 {
		t.Errorf("GET with another If-None-Match = %d; want 200", again.status)
	}
	for path, want := range map[string]string{
		"/v1/recordings?expiresWithin=24h": "", "/v1/recordings?expiresWithin=26h": "r1", "/v1/recordings?stuckFor=1s": "",
		"/v1/recordings?sessionId=s1": "r1", "/v1/recordings?status=UPLOADED": "r1", "/v1/recordings?meetingId=m2": "",
	} {
		if got := w.items(path).column("recordingId"); got != want {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
	if got, want := string(w.get("/v1/livestreams/l1").body), `{"streamId":"l1","status":"LIVE","meetingId":null,`; !strings.HasPrefix(got, want) {
		t.Errorf("livestream = %s; want it to begin with %s", got, want)
	}
}

func TestStuckRecording(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(recording("r1", "s1", "UPLOADING"))
	if got := w.items("/v1/recordings?stuckFor=10m").column("recordingId"); got != "" {
		t.Errorf("stuck at once = %s; want none", got)
	}
	w.clock.Set(epoch.Add(601e9))
	if got := w.items("/v1/recordings?stuckFor=10m").column("recordingId"); got != "r1" {
		t.Errorf("stuck after 10m = %s; want r1", got)
	}
}

// TestAsOf compares the past with what the API answered then.
func TestAsOf(t *testing.T) {
	t.Parallel()
	t.Run("short log", func(t *testing.T) { testAsOf(t, newWorld(t)) })
	t.Run("long log", func(t *testing.T) {
		w := newWorld(t)
		w.api.ReadSlices()
		testAsOf(t, w)
	})
}

// TestAsOfUnderTwoMeetings has a session's records in several slices.
func TestAsOfUnderTwoMeetings(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		w := newWorld(t)
		if long {
			w.api.ReadSlices()
		}
		w.post(started("s1", "m1", "T", 0))
		w.post(joined("s1", "m2", "p1", "ann", 0))
		w.post(`{"event":"livestreaming.statusUpdate","streamId":"l1","status":"LIVE","meeting":{"id":"m1","sessionId":"s1"}}`)
		seq := w.post(joined("s1", "m3", "p2", "bob", 60))
		w.clock.Set(epoch)
		want, who := w.get("/v1/sessions/s1"), people(w.get("/v1/sessions/s1/participants").body)
		asOf := fmt.Sprint("?asOf=", seq)
		if got := w.get("/v1/sessions/s1" + asOf); string(got.body) != string(want.body) {
			t.Errorf("long log %t: session%s = %s; want %s", long, asOf, got.body, want.body)
		}
		if got := people(w.get("/v1/sessions/s1/participants" + asOf).body); got != who {
			t.Errorf("long log %t: participants%s = %s; want %s", long, asOf, got, who)
		}
		if got := w.items("/v1/sessions/s1/events").column("sequence"); got != "1,2,3,4" {
			t.Errorf("long log %t: events = %s; want 1,2,3,4", long, got)
		}
	}
}

// TestSessionOfATrimmedLog asks for a session whose first records retention has
// removed.
func TestSessionOfATrimmedLog(t *testing.T) {
	t.Parallel()
	for _, long := range []bool{false, true} {
		w := newWorld(t)
		if long {
			w.api.ReadSlices()
		}
		w.post(started("s1", "m1", "T", 0))
		w.post(joined("s1", "m1", "p1", "ann", 0))
		w.post(joined("s1", "m1", "p2", "bob", 60))
		if got := w.items("/v1/sessions").column("sessionId"); got != "s1" {
			t.Fatalf("sessions = %s; want s1", got)
		}
		w.everywhere() // a projector that has not read them would miss them
		stream, err := w.js.Stream(t.Context(), eventlog.Stream)
		if err != nil {
			t.Fatal(err)
		}
		config := stream.CachedInfo().Config
		config.MaxMsgs = 1
		if _, err := w.js.UpdateStream(t.Context(), config); err != nil {
			t.Fatal(err)
		}
		if got := w.items("/v1/sessions/s1/events").column("sequence"); got != "3" {
			t.Errorf("long log %t: events = %s; want 3", long, got)
		}
		if got := w.get("/v1/sessions/s1?asOf=3"); got.status != http.StatusGone {
			t.Errorf("long log %t: asOf = %d %s; want 410", long, got.status, got.body)
		}
	}
}

func testAsOf(t *testing.T, w *world) {
	type state struct {
		seq                   eventlog.Seq
		session, participants string
	}
	var states []state
	for _, body := range []string{
		started("s1", "m1", "T", 0), joined("s1", "m1", "p1", "ann", 0), recording("r1", "s1", "RECORDING"),
		joined("s1", "m1", "p2", "bob", 60), started("s2", "m1", "T", 100), left("s1", "m1", "p2", "bob", 60, 300), ended("s1", "m1", 0, 600),
		`{"event":"meeting.chatSynced","meetingId":"m1","sessionId":"s1","chatDownloadUrl":"https://x/chat"}`,
	} {
		// Recordings of this helper name meeting "m": let them name m1.
		seq := w.post(strings.ReplaceAll(body, `{"id":"m",`, `{"id":"m1",`))
		w.clock.Set(epoch)
		states = append(states, state{seq, string(w.get("/v1/sessions/s1").body), people(w.get("/v1/sessions/s1/participants").body)})
	}
	for i, s := range states {
		for _, asOf := range []string{fmt.Sprint(s.seq), epoch.Add(1e9 * 2 * 0).UTC().Format("2006")} {
			if len(asOf) == 4 {
				asOf = w.receivedAt(s.seq)
			}
			if got := string(w.get("/v1/sessions/s1?asOf=" + asOf).body); got != s.session {
				t.Errorf("step %d: session as of %s = %s; want %s", i, asOf, got, s.session)
			}
			if got := people(w.get("/v1/sessions/s1/participants?asOf=" + asOf).body); got != s.participants {
				t.Errorf("step %d: participants as of %s = %s; want %s", i, asOf, got, s.participants)
			}
		}
	}
	for _, asOf := range []string{"0", "2020-01-01T00:00:00Z"} {
		if a := w.get("/v1/sessions/s1?asOf=" + asOf); a.status != http.StatusNotFound {
			t.Errorf("session as of %s = %d %s; want 404", asOf, a.status, a.body)
		}
	}
	if a := w.get("/v1/sessions/s1?asOf=then"); a.status != http.StatusBadRequest {
		t.Errorf("session as of then = %d; want 400", a.status)
	}
}

// people is a list's items without asOf, which moves on.
func people(body []byte) string {
	text, _, _ := strings.Cut(string(body), `,"asOf"`)
	return text
}

func (w *world) receivedAt(seq eventlog.Seq) string {
	r, err := w.log.Record(w.t.Context(), seq)
	if err != nil {
		w.t.Fatal(err)
	}
	return r.ReceivedAt.String()
}

func TestEvents(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	l := w.items("/v1/events")
	if len(l.Items) != 12 {
		t.Fatalf("events = %d; want 12", len(l.Items))
	}
	body := string(w.get("/v1/events").body) + string(w.get("/v1/events?format=csv").body)
	if strings.Contains(body, "top secret") || !strings.Contains(body, `"streamKey":"***"`) {
		t.Errorf("events show a stream key: %s", body)
	}
	broken := l.Items[10]
	if broken["body"] != nil || broken["bodyBase64"] == nil {
		t.Errorf("unreadable event = %v; want body null and bodyBase64", broken)
	}
	if got, want := w.items("/v1/sessions/s1/events").column("sequence"), "1,2,3,4,5,7,8,9"; got != want {
		t.Errorf("events of s1 = %s; want %s", got, want)
	}
	if got, want := w.items("/v1/events?after=3&limit=2").column("sequence"), "4,5"; got != want {
		t.Errorf("events after 3 = %s; want %s", got, want)
	}
	for path, want := range map[string]string{
		"/v1/sessions/s1/events?limit=3":                 "1,2,3|4,5,7|8,9",
		"/v1/sessions/s1/events?limit=3&sort=-sequence":  "9,8,7|5,4,3|2,1",
		"/v1/events?limit=5&sort=-sequence&after=3":      "12,11,10,9,8|7,6,5,4",
		"/v1/events?limit=12&sort=-sequence":             "12,11,10,9,8,7,6,5,4,3,2,1",
		"/v1/sessions/s1/events?limit=100&sort=sequence": "1,2,3,4,5,7,8,9",
	} {
		var got []string
		for cursor := ""; ; {
			l := w.items(path + cursor)
			got = append(got, l.column("sequence"))
			if l.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *l.NextCursor
		}
		if strings.Join(got, "|") != want {
			t.Errorf("pages of %s = %s; want %s", path, strings.Join(got, "|"), want)
		}
	}
}

func TestCSV(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	for _, a := range []answer{w.get("/v1/sessions?format=csv&sort=startedAt"), w.get("/v1/sessions?sort=startedAt", "Accept", "text/csv")} {
		if got := a.header.Get("Content-Type"); !strings.HasPrefix(got, "text/csv") {
			t.Fatalf("Content-Type = %s; want text/csv", got)
		}
		rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
		if err != nil {
			t.Fatal(err)
		}
		if len(rows) != 3 || rows[0][2] != "title" || rows[1][2] != `'=HYPERLINK("http://x","y")` || rows[2][2] != "a \"b\", c\nd" {
			t.Errorf("CSV = %q; want two sessions with guarded titles", rows)
		}
	}
	for _, path := range []string{"/v1/sessions/s1/participants", "/v1/participants/ann/sessions", "/v1/recordings", "/v1/livestreams", "/v1/usage", "/v1/projections", "/v1/events"} {
		a := w.get(path, "Accept", "text/csv, application/json;q=0.5")
		rows, err := csv.NewReader(strings.NewReader(string(a.body))).ReadAll()
		if err != nil || len(rows) < 2 {
			t.Errorf("GET %s as CSV = %s, %v; want a header and rows", path, a.body, err)
		}
	}
}

func TestUsage(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	l := w.items("/v1/usage?from=2026-03-01&to=2026-03-05&groupBy=day,organizer&timezone=UTC")
	if len(l.Items) != 1 {
		t.Fatalf("usage = %v; want one row", l.Items)
	}
	for name, want := range map[string]string{"day": "2026-03-02", "organizerId": "org-m1", "sessions": "2", "participantSeconds": "840",
		"attendedSeconds": "840", "recordingSeconds": "600", "peakParticipants": "2"} {
		if got := fmt.Sprint(l.Items[0][name]); got != want {
			t.Errorf("usage: %s = %s; want %s", name, got, want)
		}
	}
	if got := w.items("/v1/usage?timezone=Pacific/Kiritimati&groupBy=day").column("day"); got != "2026-03-02" {
		t.Errorf("usage by day in Kiritimati = %s; want 2026-03-02", got)
	}
	if got := w.items("/v1/usage?from=2026-03-03"); len(got.Items) != 0 {
		t.Errorf("usage from 2026-03-03 = %v; want none", got.Items)
	}
}

// TestUsageGroups: rows for weeks, months and meetings carry what they are for,
// and null where they are for all; filters choose.
func TestUsageGroups(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	for query, want := range map[string]string{
		"groupBy=week":                                "day=<nil> week=2026-W10 month=<nil> organizerId=<nil> meetingId=<nil> sessions=2",
		"groupBy=month&groupBy=organizer":             "day=<nil> week=<nil> month=2026-03 organizerId=org-m1 meetingId=<nil> sessions=2",
		"groupBy=day,meeting":                         "day=2026-03-02 week=<nil> month=<nil> organizerId=<nil> meetingId=m1 sessions=2",
		"groupBy=day&organizerId=org-m1&meetingId=m1": "day=2026-03-02 week=<nil> month=<nil> organizerId=<nil> meetingId=<nil> sessions=2",
		"groupBy=day&organizerId=nobody":              "", "groupBy=day&meetingId=m2": "",
	} {
		got := ""
		for row := range w.rows("/v1/usage?" + query) {
			for _, name := range []string{"day", "week", "month", "organizerId", "meetingId", "sessions"} {
				got += fmt.Sprintf(" %s=%v", name, row[name])
			}
			if row["revisedAt"] == nil {
				t.Errorf("GET /v1/usage?%s has revisedAt null; want a time", query)
			}
		}
		if got = strings.TrimSpace(got); got != want {
			t.Errorf("GET /v1/usage?%s = %s; want %s", query, got, want)
		}
	}
	for _, query := range []string{"groupBy=day,week", "groupBy=week&groupBy=month", "groupBy=day,organizer,month", "groupBy=year"} {
		if a := w.get("/v1/usage?" + query); a.status != http.StatusBadRequest {
			t.Errorf("GET /v1/usage?%s = %d %s; want 400", query, a.status, a.body)
		}
	}
}

func TestProjections(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	l := w.items("/v1/projections")
	var names []string
	for _, v := range projections.Views() {
		names = append(names, v.Fold.Name())
	}
	slices.Sort(names)
	if got, want := l.column("name"), strings.Join(names, ","); got != want {
		t.Errorf("projections = %s; want %s", got, want)
	}
	for _, p := range l.Items {
		if p["state"] != "live" || fmt.Sprint(p["lag"]) != "0" || p["bucket"] != p["name"].(string)+"_g1" {
			t.Errorf("projection = %v; want it live without lag", p)
		}
	}
}

// TestEventsSorted pages through the log in the order of each field: nothing is
// left out, nothing comes twice, and the sequence breaks ties.
func TestEventsSorted(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.story()
	head := w.items("/v1/events?limit=1000")
	for _, name := range []string{"sequence", "eventId", "source", "type", "receivedAt"} {
		for _, sign := range []string{"", "-"} {
			want := slices.Clone(head.Items)
			slices.SortStableFunc(want, func(a, b map[string]any) int {
				c := cmp.Compare(fmt.Sprint(a[name]), fmt.Sprint(b[name]))
				switch name {
				case "sequence":
					c = cmp.Compare(a[name].(float64), b[name].(float64))
				case "receivedAt":
					c = moment(t, a[name]).Compare(moment(t, b[name]))
				}
				if sign == "-" {
					return -c
				}
				return c
			})
			var got []map[string]any
			path := "/v1/events?limit=2&sort=" + sign + name
			for cursor := ""; ; {
				l := w.items(path + cursor)
				got = append(got, l.Items...)
				if l.NextCursor == nil {
					break
				}
				cursor = "&cursor=" + *l.NextCursor
			}
			if !reflect.DeepEqual(got, want) {
				t.Errorf("pages of %s = %v; want %v", path, got, want)
			}
		}
	}
	if got := w.get("/v1/events?sort=body").status; got != http.StatusBadRequest {
		t.Errorf("events sorted by body = %d; want 400", got)
	}
}

func moment(t *testing.T, v any) time.Time {
	at, err := time.Parse(time.RFC3339, fmt.Sprint(v))
	if err != nil {
		t.Fatal(err)
	}
	return at
}

// TestLongTexts pages past texts that make a cursor long, and asks for a session
// by such an id.
func TestLongTexts(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	long := strings.Repeat("y", 20_000)
	for _, id := range []string{"a", long, "z"} {
		w.post(started(id, "m"+id, "t"+id, 0))
		w.post(joined(id, "m"+id, "p"+id, "c"+id, 0))
	}
	for _, sort := range []string{"sessionId", "title", "-organizerId"} {
		n := 0
		for cursor := ""; ; n++ {
			l := w.items("/v1/sessions?limit=1&sort=" + sort + cursor)
			if l.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *l.NextCursor
		}
		if n != 2 {
			t.Errorf("pages by %s = %d; want 3", sort, n+1)
		}
	}
	if got := w.items("/v1/sessions/" + long + "/participants").column("participantId"); got != "c"+long {
		t.Errorf("participants of a session with a long id = %.40s; want one", got)
	}
}
