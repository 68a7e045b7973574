package query_test

import (
	"encoding/json"
	"fmt"
	"iter"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/traffic"
)

// TestTraffic plays shuffled traffic with repeats and noise, and holds what the
// API says in one way against what it says in another.
func TestTraffic(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	sessions := eventlogtest.Rounds(30, 12)
	for d := range traffic.New(traffic.Config{Seed: 5, Sessions: sessions, Shuffle: true, Duplicates: 0.2, Noise: 0.2}) {
		w.n++
		id := eventlog.Identify(d.Body)
		a, err := w.log.Append(t.Context(), &eventlog.Record{
			EventID: fmt.Sprintf("01HX%022d", w.n), ReceivedAt: eventlog.TimeOf(d.At), Source: "test", DeliveryID: d.DeliveryID, Type: id.Name, Body: d.Body,
		})
		if err != nil {
			t.Fatal(err)
		}
		w.last = max(w.last, a.Seq)
		w.clock.Set(d.At)
	}
	all := w.walk("/v1/sessions?limit=7")
	if len(all) < sessions*5/6 {
		t.Fatalf("sessions = %d; want at least %d", len(all), sessions*5/6)
	}
	s := w.spec()
	var seconds, attended float64
	for _, it := range all {
		if err := s.check("session", s.Components.Schemas["Session"], it); err != nil {
			t.Error(err)
		}
		seconds += it["participantSeconds"].(float64)
		attended += w.compare(it["sessionId"].(string))
	}
	w.usageSums(seconds, attended, len(all))
}

// walk reads all pages of a list.
func (w *world) walk(path string) []map[string]any { return slices.Collect(w.rows(path)) }

// rows reads a list page by page, as far as it is asked for.
func (w *world) rows(path string) iter.Seq[map[string]any] {
	return func(yield func(map[string]any) bool) {
		for cursor := ""; ; {
			l := w.items(path + cursor)
			for _, row := range l.Items {
				if !yield(row) {
					return
				}
			}
			if l.NextCursor == nil {
				return
			}
			cursor = "&cursor=" + *l.NextCursor
		}
	}
}

// compare holds a session and its participants, as they are, against the folds
// over its slice of the log up to the end. It returns their attended seconds.
func (w *world) compare(id string) (attended float64) {
	w.t.Helper()
	path := "/v1/sessions/" + url.PathEscape(id)
	asOf := "?asOf=" + strconv.FormatUint(uint64(w.last), 10)
	now, then := w.get(path), w.get(path+asOf)
	// What "now" means differs: the session may be stale by the clock only.
	if a, b := withoutStale(now.body), withoutStale(then.body); a != b {
		w.t.Errorf("session %s = %s; as of %d %s", id, a, w.last, b)
	}
	a, b := people(w.get(path+"/participants?limit=1000").body), people(w.get(path+"/participants"+asOf+"&limit=1000").body)
	if a != b {
		w.t.Errorf("participants of %s = %s; as of %d %s", id, a, w.last, b)
	}
	var one struct{ UniqueParticipants int }
	if err := json.Unmarshal(now.body, &one); err != nil {
		w.t.Error(err)
	}
	people := w.walk(path + "/participants?limit=2&sort=-attendedSeconds")
	if len(people) != one.UniqueParticipants {
		w.t.Errorf("session %s has %d participants; want uniqueParticipants %d", id, len(people), one.UniqueParticipants)
	}
	for _, p := range people {
		attended += p["attendedSeconds"].(float64)
		history := w.walk("/v1/participants/" + url.PathEscape(p["participantId"].(string)) + "/sessions?limit=3")
		if !slices.ContainsFunc(history, func(h map[string]any) bool { return h["sessionId"] == id }) {
			w.t.Errorf("history of %v lacks session %s", p["participantId"], id)
		}
	}
	return attended
}

func withoutStale(body []byte) string {
	text, _, _ := strings.Cut(string(body), `,"stale"`)
	return text
}

// usageSums holds the sums over days against the sums over sessions.
func (w *world) usageSums(seconds, attended float64, sessions int) {
	for _, zone := range []string{"UTC", "Asia/Kolkata", "America/New_York"} {
		for _, group := range []string{"day,organizer", "day", "organizer"} {
			path := "/v1/usage?limit=1000&groupBy=" + group + "&timezone=" + zone
			var n, s, a float64
			for _, row := range w.walk(path) {
				n += row["sessions"].(float64)
				s += row["participantSeconds"].(float64)
				a += row["attendedSeconds"].(float64)
			}
			if int(n) != sessions || !near(s, seconds) || !near(a, attended) {
				w.t.Errorf("sum of %s = %v sessions, %v and %v seconds; want %d, %v, %v", path, n, s, a, sessions, seconds, attended)
			}
		}
	}
}

// near compares sums of whole microseconds that went through floats.
func near(a, b float64) bool { return max(a-b, b-a) < 1e-3 }

// TestSearch compares the search with a plain one.
func TestSearch(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	titles := []string{"Weekly planning", "weekly PLANNING 2", "100% of it", "under_score", `back\slash`, "Ünïcödé Straße", "会議の計画", "a\x00b", "\"quoted\" OR x", "AND", "emoji 🙂 here", "İstanbul", ""}
	docs := map[string][]byte{}
	for i, title := range titles {
		id := fmt.Sprintf("s%02d", i)
		docs["live."+id] = sessionDoc(id, fmt.Sprintf("m-%d", i%3), title, "LIVE", i)
	}
	w.last = s.commit("sessions", docs)
	for _, q := range []string{"weekly", "PLAN", "ing", "0%", "%", "_", "r_s", `\`, `k\s`, "ünï", "ÜNÏCÖ", "straße", "会議", "の計画", "議", `"`, `" or`, "and", "🙂", "m-1", "S0", "s01", "nothing", "x", "weeklyplanning", "y plan"} {
		var want []string
		for i, title := range titles {
			fold := func(s string) string {
				return strings.NewReplacer("ü", "u", "ï", "i", "ö", "o", "é", "e", "ß", "ss", "i\u0307", "i").Replace(strings.ToLower(s))
			}
			if strings.Contains(fold(title+"\n"+fmt.Sprintf("s%02d\nm-%d", i, i%3)), fold(q)) {
				want = append(want, fmt.Sprintf("s%02d", i))
			}
		}
		if got := w.items("/v1/sessions?sort=sessionId&q=" + url.QueryEscape(q)).column("sessionId"); got != strings.Join(want, ",") {
			t.Errorf("search for %q = %s; want %s", q, got, strings.Join(want, ","))
		}
	}
}

// TestSearchFolds: letter case, accents and the form of Unicode don't count,
// neither in q nor in a title.
func TestSearchFolds(t *testing.T) {
	t.Parallel()
	for _, group := range [][]string{
		{"café", "cafe\u0301", "CAFE\u0301", "cafe", "CAFÉ"}, {"ὈΔΥΣΣΕΎΣ", "Ὀδυσσεύς", "οδυσσευσ", "ΟΔΥΣΣΕΥΣ"}, {"Straße", "STRASSE", "strasse", "straẞe"},
		{"Łódź", "lodz", "ŁÓDŹ"}, {"ﬁnance", "finance", "FINANCE", "ｆｉｎａｎｃｅ"}, {"Å", "Å", "å", "a\u030a"}, {"한국어", "한국어"}, {"İstanbul", "istanbul", "ISTANBUL", "ıstanbul"}, {"Йога", "и\u0306ога"},
		{"が", "か\u3099"}, {"ⅷ", "VIII"}, {"Ærø", "aero"},
	} {
		s := newScript()
		w := scripted(t, s)
		docs := map[string][]byte{"live.other": sessionDoc("other", "m", "zzz", "LIVE", 0)}
		for i, title := range group {
			docs[fmt.Sprintf("live.%d", i)] = sessionDoc(fmt.Sprint("s", i), "m", "A "+title+" lesson", "LIVE", i)
		}
		w.last = s.commit("sessions", docs)
		for _, q := range group {
			if got := len(w.items("/v1/sessions?q=" + url.QueryEscape(q)).Items); got != len(group) {
				t.Errorf("search for %q = %d sessions; want those of %q", q, got, group)
			}
		}
	}
	if a := newWorld(t).do("/v1/sessions?q=" + strings.Repeat("%0A", 1000)); a.status != 400 {
		t.Errorf("search for a thousand lines = %d %s; want 400", a.status, a.body)
	}
}

// TestOddIDs: ids are opaque texts, and a path can hold any.
func TestOddIDs(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	for i, id := range []string{"a/b", "..", ".", "x y", "会議", "a%2Fb", "?q=1", "#", `"`, "'", "a+b", "live.x", strings.Repeat("long", 300), "\u0000"} {
		quoted, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		w.post(fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":"m%d","sessionId":%s},"participant":{"peerId":%s,"customParticipantId":%s,"joinedAt":%q}}`,
			i, quoted, quoted, quoted, stamp(i)))
		for _, path := range []string{"/v1/sessions/" + pathSegment(id), "/v1/sessions/" + pathSegment(id) + "/participants", "/v1/participants/" + pathSegment(id) + "/sessions",
			"/v1/sessions/" + pathSegment(id) + "/events", "/v1/sessions/" + pathSegment(id) + "?asOf=99"} {
			a := w.get(path)
			if a.status != 200 || !strings.Contains(string(a.body), string(quoted)) && !strings.Contains(string(a.body), id) {
				t.Errorf("GET %s = %d %s; want %s in it", path, a.status, a.body, quoted)
			}
		}
	}
}
