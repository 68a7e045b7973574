package query_test

import (
	"database/sql"
	"encoding/json"
	"fmt"
	"math/rand/v2"
	"net/http"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	_ "modernc.org/sqlite"
)

// benchSessions is how many sessions the benchmarks ask about.
const benchSessions = 200_000

// large fills a script with sessions over a year, 3 participants each, and a
// recording for every fifth.
func large(s *script, sessions int) {
	r := rand.New(rand.NewPCG(1, 1))
	words := []string{"weekly", "planning", "lecture", "review", "standup", "algebra", "support", "interview", "workshop", "biology"}
	docs, people, media := map[string][]byte{}, map[string][]byte{}, map[string][]byte{}
	for i := range sessions {
		id := fmt.Sprintf("%08x-0000-4000-8000-%012x", r.Uint32(), i)
		at := i * 150
		status, length := "ENDED", 600+r.IntN(3000)
		if i > sessions-500 {
			status = "LIVE"
		}
		doc := map[string]any{
			"sessionId": id, "meetingId": fmt.Sprintf("meeting-%d", r.IntN(20_000)), "title": words[r.IntN(10)] + " " + words[r.IntN(10)] + fmt.Sprint(" ", r.IntN(1000)),
			"roomName": "room", "organizer": map[string]any{"id": fmt.Sprintf("org-%d", r.IntN(300)), "name": "An organisation"}, "status": status, "startedAt": stamp(at),
			"endedAt": stamp(at + length), "endReason": "ALL_PARTICIPANTS_LEFT", "durationSeconds": length, "liveParticipants": 0, "uniqueParticipants": 3, "connections": 3,
			"maxConcurrentParticipants": 3, "participantSeconds": 3 * length, "implicit": false, "lastEventAt": stamp(at + length), "anomalies": []string{}, "degradedSince": nil,
		}
		if status == "LIVE" {
			doc["endedAt"], doc["durationSeconds"], doc["endReason"] = nil, nil, nil
		}
		docs[map[bool]string{true: "live.", false: "ended."}[status == "LIVE"]+id] = mustJSON(doc)
		for p := range 3 {
			who := fmt.Sprintf("person-%d", r.IntN(30_000)*3+p)
			people[id+"."+who] = mustJSON(map[string]any{"sessionId": id, "participantId": who, "displayName": "A name", "connections": []any{map[string]any{
				"peerId": id + who, "joinedAt": stamp(at), "leftAt": stamp(at + length), "closedBy": "LEFT", "seconds": length}}, "firstJoinedAt": stamp(at),
				"lastLeftAt": stamp(at + length), "present": false, "connectedSeconds": length, "attendedSeconds": length, "longestGapSeconds": 0})
		}
		if i%5 == 0 {
			media[fmt.Sprintf("rec-%d", i)] = mustJSON(map[string]any{"recordingId": fmt.Sprintf("rec-%d", i), "status": "UPLOADED", "conflict": false, "history": []any{},
				"sessionId": id, "meetingId": doc["meetingId"], "startedAt": stamp(at), "stoppedAt": stamp(at + 60), "durationSeconds": 60, "lastEventAt": stamp(at + 60)})
		}
	}
	s.commit("sessions", docs)
	s.commit("attendance", people)
	s.commit("recordings", media)
}

func mustJSON(v any) []byte {
	b, err := json.Marshal(v)
	if err != nil {
		panic(err)
	}
	return b
}

// BenchmarkAPI asks the API over HTTP with 200,000 sessions, and SQLite alone the
// question of it. Its p50 and p99 are of the whole request.
func BenchmarkAPI(b *testing.B) {
	s := newScript()
	large(s, benchSessions)
	dir := b.TempDir()
	begin := time.Now()
	w := &world{t: b, clock: &clock{now: epoch.Add(benchSessions * 150 * time.Second)}, replica: openReplica(b, dir, s)}
	w.serve()
	w.last = s.seq
	for !w.replica.Loaded() && time.Since(begin) < 20*time.Minute {
		w.do("/v1/participants/person-3/sessions?wait=30s") // waits for the largest view
	}
	b.Logf("loaded %d sessions, %d participants, %d recordings in %v", benchSessions, 3*benchSessions, benchSessions/5, time.Since(begin).Round(time.Millisecond))
	db, err := sql.Open("sqlite", "file:"+filepath.Join(dir, "replica.db")+"?_pragma=query_only(1)")
	if err != nil {
		b.Fatal(err)
	}
	defer db.Close()
	table := w.sessionsTable(db)
	second := w.items("/v1/sessions?limit=1000").NextCursor
	id := w.items("/v1/sessions?limit=1&sort=title").column("sessionId")
	for _, c := range []struct{ name, path, sql string }{
		{"one", "/v1/sessions/" + id, "SELECT doc FROM T WHERE sessionId = '" + id + "'"},
		{"list", "/v1/sessions", "SELECT doc FROM T ORDER BY startedAt DESC LIMIT 101"},
		{"list1000", "/v1/sessions?limit=1000", "SELECT doc FROM T ORDER BY startedAt DESC LIMIT 1001"},
		{"next", "/v1/sessions?limit=100&cursor=", "SELECT doc FROM T WHERE startedAt < (SELECT startedAt FROM T ORDER BY startedAt DESC LIMIT 1 OFFSET 1000) ORDER BY startedAt DESC LIMIT 101"},
		{"live", "/v1/meetings/live", "SELECT doc FROM T WHERE status = 'LIVE' ORDER BY startedAt DESC LIMIT 101"},
		{"meeting", "/v1/sessions?meetingId=meeting-77", "SELECT doc FROM T WHERE meetingId = 'meeting-77' ORDER BY startedAt DESC LIMIT 101"},
		{"organizer", "/v1/sessions?organizerId=org-7", "SELECT doc FROM T WHERE organizerId = 'org-7' ORDER BY startedAt DESC LIMIT 101"},
		{"participant", "/v1/sessions?participantId=person-3", ""},
		{"month", "/v1/sessions?from=2026-05-01&to=2026-06-01", ""},
		{"usageCases", "/v1/usage/cases?from=2026-05-01&to=2026-06-01", ""},
		{"sortTitle", "/v1/sessions?sort=title", "SELECT doc FROM T ORDER BY title, sessionId LIMIT 101"},
		{"sortDuration", "/v1/sessions?sort=-durationSeconds", "SELECT doc FROM T ORDER BY durationSeconds DESC, sessionId LIMIT 101"},
		{"sortUnindexed", "/v1/sessions?sort=-endReason", "SELECT doc FROM T ORDER BY endReason DESC, sessionId LIMIT 101"},
		{"sortStale", "/v1/sessions?sort=-stale", ""},
		{"searchMany", "/v1/sessions?q=weekly", "SELECT doc FROM T WHERE instr(search, 'weekly') > 0 ORDER BY startedAt DESC LIMIT 101"},
		{"searchFew", "/v1/sessions?q=weekly%20planning%2077", "SELECT doc FROM T WHERE instr(search, 'weekly planning 77') > 0 ORDER BY startedAt DESC LIMIT 101"},
		{"searchNone", "/v1/sessions?q=nothing%20like%20this", "SELECT doc FROM T WHERE instr(search, 'nothing like this') > 0 ORDER BY startedAt DESC LIMIT 101"},
		{"searchShort", "/v1/sessions?q=zz", ""},
		{"searchID", "/v1/sessions?q=" + id[:13], ""},
		{"participants", "/v1/sessions/" + id + "/participants", ""},
		{"person", "/v1/participants/person-3/sessions", ""},
		{"people", "/v1/participants", ""},
		{"findPerson", "/v1/participants?q=person-77", ""},
		{"findNobody", "/v1/participants?q=nothing%20like%20this", ""},
		{"csv1000", "/v1/sessions?limit=1000&format=csv", ""},
	} {
		if c.name == "next" {
			c.path = "/v1/sessions?limit=1000&cursor=" + *second
		}
		b.Run(c.name, func(b *testing.B) {
			w.t = b
			took := make([]time.Duration, 0, b.N)
			for b.Loop() {
				begin := time.Now()
				if a := w.do(c.path); a.status != http.StatusOK {
					b.Fatalf("GET %s = %d %s; want 200", c.path, a.status, a.body)
				}
				took = append(took, time.Since(begin))
			}
			report(b, "", took)
			if c.sql == "" {
				return
			}
			b.StopTimer()
			took = took[:0]
			for range min(200, max(20, b.N)) {
				begin := time.Now()
				readAll(b, db, replaceTable(c.sql, table))
				took = append(took, time.Since(begin))
			}
			report(b, "sql-", took)
		})
	}
}

// readAll runs a query and reads its documents.
func readAll(b *testing.B, db *sql.DB, query string) {
	rows, err := db.QueryContext(b.Context(), query)
	if err != nil {
		b.Fatal(err)
	}
	defer rows.Close()
	var doc []byte
	for rows.Next() {
		if err := rows.Scan(&doc); err != nil {
			b.Fatal(err)
		}
	}
	if err := rows.Err(); err != nil {
		b.Fatal(err)
	}
}

func report(b *testing.B, prefix string, took []time.Duration) {
	slices.Sort(took)
	b.ReportMetric(float64(took[len(took)/2].Microseconds())/1000, prefix+"p50-ms")
	b.ReportMetric(float64(took[len(took)*99/100].Microseconds())/1000, prefix+"p99-ms")
}

// replaceTable puts the table's name where a query says T.
func replaceTable(query, table string) string {
	return strings.ReplaceAll(query, " T ", " "+table+" ")
}

func (w *world) sessionsTable(db *sql.DB) string {
	var n int
	if err := db.QueryRowContext(w.t.Context(), "SELECT number FROM views WHERE view = 'sessions'").Scan(&n); err != nil {
		w.t.Fatal(err)
	}
	return fmt.Sprintf("sessions_%d", n)
}

// BenchmarkApply is what a live commit of 100 sessions costs the writer, to the
// moment that readers see it.
func BenchmarkApply(b *testing.B) {
	s := newScript()
	large(s, 20_000)
	w := scripted(b, s)
	w.last = s.seq
	w.get("/v1/sessions")
	for b.Loop() {
		docs := map[string][]byte{}
		for i := range 100 {
			docs[fmt.Sprintf("live.x%d", i)] = sessionDoc(fmt.Sprintf("x%d", i), "m", "title", "LIVE", int(w.last))
		}
		w.last = s.commit("sessions", docs)
		w.get("/v1/sessions?limit=1")
	}
}
