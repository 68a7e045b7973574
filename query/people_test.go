package query_test

import (
	"cmp"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strings"
	"testing"
)

// attend posts two sessions: in s1, of 600 s, ann is there for all of it but two
// gaps, bob for a tenth, and s2, in which ann is, goes on.
func (w *world) attend() {
	w.post(started("s1", "m1", "Lecture", 0))
	for i, in := range [][2]int{{0, 100}, {130, 400}, {400, 500}, {510, 700}} {
		peer := fmt.Sprint("a", i)
		w.post(joined("s1", "m1", peer, "ann", in[0]))
		w.post(left("s1", "m1", peer, "ann", in[0], in[1]))
	}
	w.post(joined("s1", "m1", "b0", "bob", 540))
	w.post(ended("s1", "m1", 0, 600))
	w.post(started("s2", "m1", "Lecture", 1000))
	w.post(joined("s2", "m1", "a9", "ann", 1000))
}

// TestGaps: a participant's gaps are there wherever a participant is.
func TestGaps(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.attend()
	const ann = "[map[from:2026-03-02T09:01:40Z seconds:30 to:2026-03-02T09:02:10Z] map[from:2026-03-02T09:08:20Z seconds:10 to:2026-03-02T09:08:30Z]]"
	for path, want := range map[string]string{
		"/v1/sessions/s1/participants":                              ann + ",[]",
		fmt.Sprintf("/v1/sessions/s1/participants?asOf=%d", w.last): ann + ",[]",
		"/v1/participants/ann/sessions":                             "[]," + ann,
	} {
		if got := w.items(path).column("gaps"); got != want {
			t.Errorf("gaps of GET %s = %s; want %s", path, got, want)
		}
	}
	for path, want := range map[string]string{
		"/v1/sessions/s1/participants":  "longestGapSeconds,attendanceRatio,gaps\r\n",
		"/v1/participants/ann/sessions": "attendanceRatio,meetingId,title,status,startedAt,endedAt,durationSeconds,gaps\r\n",
	} {
		if got := string(w.get(path, "Accept", "text/csv").body); !strings.Contains(got, want) || !strings.Contains(got, ",2\r\n") {
			t.Errorf("GET %s as CSV = %q; want a header that ends in %q, and 2 gaps", path, got, want)
		}
	}
}

// TestAttendedAtLeast: who was there for a share of the session, now and as of then.
func TestAttendedAtLeast(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.attend()
	asOf := fmt.Sprintf("asOf=%d&", w.last)
	for path, want := range map[string]string{
		"/v1/sessions/s1/participants?attendedAtLeast=0.1": "ann,bob", "/v1/sessions/s1/participants?attendedAtLeast=0.85": "ann",
		"/v1/sessions/s1/participants?" + asOf + "attendedAtLeast=0.1": "ann,bob", "/v1/sessions/s1/participants?" + asOf + "attendedAtLeast=0.85": "ann",
		"/v1/sessions/s1/participants?attendedAtLeast=1": "", "/v1/sessions/s1/participants?" + asOf + "attendedAtLeast=1": "",
		"/v1/sessions/s2/participants?attendedAtLeast=0": "", "/v1/sessions/s2/participants?" + asOf + "attendedAtLeast=0": "",
		"/v1/sessions/s2/participants": "ann", "/v1/participants/ann/sessions": "ann,ann", "/v1/participants/ann/sessions?attendedAtLeast=0": "ann",
	} {
		if got := w.items(path).column("participantId"); got != want {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
	for _, share := range []string{"", "-0.1", "1.01", "85", "NaN", "0x1p-1", "Inf", "85%25", ".5.", "1e0"} {
		for _, path := range []string{"/v1/sessions/s1/participants", "/v1/participants/ann/sessions"} {
			if a := w.do(path + "?attendedAtLeast=" + share); a.status != http.StatusBadRequest || !strings.Contains(string(a.body), "a number from 0 to 1, like 0.85") {
				t.Errorf("GET %s?attendedAtLeast=%s = %d %s; want 400 that says what is wanted", path, share, a.status, a.body)
			}
		}
	}
}

// personDoc is a person's document in a session.
func personDoc(session, who, name string, joined ...int) []byte {
	connections := []any{}
	for i, at := range joined {
		connections = append(connections, map[string]any{"peerId": fmt.Sprint(session, who, i), "joinedAt": stamp(at), "leftAt": stamp(at + 1), "closedBy": "LEFT", "seconds": 1})
	}
	doc := map[string]any{"sessionId": session, "participantId": who, "displayName": nil, "connections": connections, "firstJoinedAt": stamp(joined[0]),
		"lastLeftAt": stamp(joined[len(joined)-1] + 1), "present": false, "connectedSeconds": 1, "attendedSeconds": 1, "longestGapSeconds": 0}
	if name != "" {
		doc["displayName"] = name
	}
	return mustJSON(doc)
}

// TestPeople: people are found by name and id, each once, with what all sessions say.
func TestPeople(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	docs := map[string][]byte{}
	for i, doc := range [][]byte{
		personDoc("s1", "p-1", "Zoë Müller", 10, 500), // the last connection counts, not the first
		personDoc("s2", "p-1", "Zoe Muller", 300), personDoc("s3", "p-1", "", 600),
		personDoc("s2", "p-2", "zoë müller", 301), personDoc("s1", "zoe", "", 20), personDoc("s3", "ΟΔ", "Ὀδυσσεύς", 5),
	} {
		docs[fmt.Sprint("k.", i)] = doc
	}
	w.last = s.commit("attendance", docs)
	for path, want := range map[string]string{
		"/v1/participants": "p-1,p-2,zoe,ΟΔ", "/v1/participants?q=": "p-1,p-2,zoe,ΟΔ", "/v1/participants?q=ZOE": "p-1,p-2,zoe", "/v1/participants?q=mu%CC%88LLER": "p-1,p-2",
		"/v1/participants?q=zoe&sort=-participantId": "zoe,p-2,p-1", "/v1/participants?q=p-&sort=displayName": "p-1,p-2", "/v1/participants?sort=-sessions": "p-1,p-2,zoe,ΟΔ",
		"/v1/participants?q=ΣΕΎΣ": "ΟΔ", "/v1/participants?q=οδ": "ΟΔ", "/v1/participants?q=%25": "", "/v1/participants?q=ller%0Ap-1": "p-1", "/v1/participants?q=none": "", "/v1/participants?q=s2": "",
	} {
		if got := w.items(path).column("participantId"); got != want {
			t.Errorf("GET %s = %s; want %s", path, got, want)
		}
	}
	if got, want := string(w.get("/v1/participants?q=p-1").body),
		`{"items":[{"participantId":"p-1","displayName":"Zoë Müller","names":["Zoe Muller","Zoë Müller"],"sessions":3,"lastJoinedAt":"2026-03-02T09:10:00Z"}],"nextCursor":null,"asOf":{"sequence":1}}`; got != want {
		t.Errorf("GET /v1/participants?q=p-1 = %s; want %s", got, want)
	}
	if got, want := string(w.get("/v1/participants?q=p-1&format=csv").body),
		"participantId,displayName,names,sessions,lastJoinedAt\r\np-1,Zoë Müller,Zoe Muller; Zoë Müller,3,2026-03-02T09:10:00Z\r\n"; got != want {
		t.Errorf("GET /v1/participants?q=p-1 as CSV = %q; want %q", got, want)
	}
	if got := w.items("/v1/participants?q=zoe").column("displayName"); got != "Zoë Müller,zoë müller,<nil>" {
		t.Errorf("displayName = %s; want the latest that there is", got)
	}
	docs = map[string][]byte{"k.6": personDoc("s4", "p-2", "Ann", 900)}
	w.last = s.commit("attendance", docs) // another name, and the old one finds still
	if got := w.items("/v1/participants?q=zoë").column("displayName"); got != "Ann,Zoë Müller,<nil>" {
		t.Errorf("displayName of those whom zoë finds = %s; want Ann first", got)
	}
}

// visit is what a document says of a person in a session.
type visit struct {
	session, who, name string
	last               int
}

// gathered is what visits say of the people whom q finds, by id.
func gathered(visits []visit, q string) map[string]string {
	slices.SortFunc(visits, func(a, b visit) int { return cmp.Or(cmp.Compare(a.last, b.last), cmp.Compare(a.session, b.session)) })
	people, names, sessions := map[string]string{}, map[string][]string{}, map[string]int{}
	called := map[string]string{}
	for _, v := range visits {
		if sessions[v.who]++; v.name != "" {
			called[v.who] = v.name
			names[v.who] = append(names[v.who], v.name)
		}
		slices.Sort(names[v.who])
		names[v.who] = slices.Compact(names[v.who])
		people[v.who] = fmt.Sprint(called[v.who], names[v.who], sessions[v.who], stamp(v.last))
	}
	for who := range people {
		if !strings.Contains(strings.ToLower(who+"\n"+strings.Join(names[who], "\n")), strings.ToLower(q)) {
			delete(people, who)
		}
	}
	return people
}

// TestPeopleAgree compares people with what is gathered from all documents by hand,
// while documents come, change and go.
func TestPeopleAgree(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	r := rand.New(rand.NewPCG(3, 0))
	visits := map[string]visit{}
	for range 30 {
		changes := map[string][]byte{}
		for range 8 {
			v := visit{fmt.Sprint("s", r.IntN(9)), fmt.Sprint("p", r.IntN(7)), []string{"", "Ann", "ann", "Bob", "Zoë"}[r.IntN(5)], r.IntN(20)}
			key := v.session + "." + v.who
			if r.IntN(4) == 0 {
				changes[key] = nil // deleted
				delete(visits, key)
				continue
			}
			changes[key], visits[key] = personDoc(v.session, v.who, v.name, 0, v.last), v
		}
		w.last = s.commit("attendance", changes)
		for _, q := range []string{"", "ANN", "p3", "o"} {
			got := map[string]string{}
			for _, it := range w.items("/v1/participants?limit=1000&q=" + q).Items {
				name, _ := it["displayName"].(string)
				got[fmt.Sprint(it["participantId"])] = fmt.Sprint(name, it["names"], it["sessions"], it["lastJoinedAt"])
			}
			if want := gathered(slices.Collect(maps.Values(visits)), q); !maps.Equal(got, want) {
				t.Fatalf("people whom %q finds = %v; want %v", q, got, want)
			}
		}
	}
}

// TestPeoplePages: pages follow each other in every order, none twice.
func TestPeoplePages(t *testing.T) {
	t.Parallel()
	s := newScript()
	w := scripted(t, s)
	docs := map[string][]byte{}
	for i := range 200 { // 40 people; an id that many share has many names
		docs[fmt.Sprint("k.", i)] = personDoc(fmt.Sprint("s", i), fmt.Sprint("p", i%40), fmt.Sprint("N", i%7), i%11)
		docs[fmt.Sprint("g.", i)] = personDoc(fmt.Sprint("s", i), "guest", fmt.Sprintf("G%03d", i), i)
	}
	w.last = s.commit("attendance", docs)
	for _, sort := range []string{"participantId", "-displayName", "sessions", "lastJoinedAt", "-lastJoinedAt"} {
		seen := map[any]bool{}
		for cursor := ""; ; {
			l := w.items("/v1/participants?limit=7&sort=" + sort + cursor)
			for _, it := range l.Items {
				if seen[it["participantId"]] {
					t.Errorf("sorted by %q, %v comes twice", sort, it["participantId"])
				}
				seen[it["participantId"]] = true
			}
			if l.NextCursor == nil {
				break
			}
			cursor = "&cursor=" + *l.NextCursor
		}
		if len(seen) != 41 {
			t.Errorf("sorted by %q, the pages have %d people; want 41", sort, len(seen))
		}
	}
	names, ok := w.items("/v1/participants?q=guest").Items[0]["names"].([]any)
	if !ok || len(names) != 100 || names[0] != "G100" || names[99] != "G199" {
		t.Errorf("names of an id with 200 = %v; want the last 100", names)
	}
}

// TestSessionEventsAboutWho: a session's records say whose they are, as the view
// has it, and are found by person and type.
func TestSessionEventsAboutWho(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "Lecture", 0))
	w.post(`{"event":"meeting.participantJoined","meeting":{"id":"m1","sessionId":"s1"},"participant":{"peerId":"p1","joinedAt":"` + stamp(1) + `"}}`)
	w.post(joined("s1", "m1", "p2", "bob", 2))
	w.post(left("s1", "m1", "p1", "ann", 1, 50)) // says who p1 was, after its join
	w.post(`{"event":"meeting.participantLeft","meeting":{"id":"m1","sessionId":"s1"},"participant":{"customParticipantId":"ann"}}`)
	w.post(recording("r1", "s1", "RECORDING"))
	w.post(ended("s1", "m1", 0, 600))
	const path = "/v1/sessions/s1/events"
	for column, want := range map[string]string{
		"peerId": "<nil>,p1,p2,p1,<nil>,<nil>,<nil>", "participantId": "<nil>,ann,bob,ann,<nil>,<nil>,<nil>", "displayName": "<nil>,Name ann,Name bob,Name ann,<nil>,<nil>,<nil>",
	} {
		if got := w.items(path).column(column); got != want {
			t.Errorf("%s of GET %s = %s; want %s", column, path, got, want)
		}
	}
	for query, want := range map[string]string{
		"?participantId=ann": "2,4", "?participantId=ann&sort=-sequence": "4,2", "?participantId=p1": "", "?type=meeting.participantLeft": "4,5", "?type=meeting.participantLeft&participantId=ann": "4",
		"?type=none": "", "?type=recording.statusUpdate": "6", "?sort=-displayName": "3,2,4,1,5,6,7", "?sort=participantId": "1,5,6,7,2,4,3", "?sort=peerId&limit=1000": "1,5,6,7,2,4,3",
	} {
		if got := w.items(path + query).column("sequence"); got != want {
			t.Errorf("GET %s%s = %s; want %s", path, query, got, want)
		}
	}
	first := w.items(path + "?participantId=ann&limit=1")
	if first.NextCursor == nil || w.items(path+"?participantId=ann&limit=1&cursor="+*first.NextCursor).column("sequence") != "4" {
		t.Errorf("the pages of GET %s of ann do not follow each other", path)
	}
	if got := string(w.get(path + "?type=meeting.participantJoined&participantId=bob&format=csv").body); !strings.HasPrefix(got, "sequence,eventId,source,type,receivedAt,body,peerId,participantId,displayName\r\n") ||
		!strings.HasSuffix(got, ",p2,bob,Name bob\r\n") {
		t.Errorf("GET %s of bob as CSV = %q; want a line that ends with who it is", path, got)
	}
	for _, query := range []string{"?type=", "?participantId=", "?type=a&type=b"} {
		if a := w.do(path + query); a.status != http.StatusBadRequest {
			t.Errorf("GET %s%s = %d; want 400", path, query, a.status)
		}
	}
	if got := string(w.get("/v1/events?limit=1").body); strings.Contains(got, "peerId") {
		t.Errorf("GET /v1/events = %s; want records as they are", got)
	}
}
