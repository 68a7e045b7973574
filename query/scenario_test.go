package query_test

import (
	"encoding/json"
	"fmt"
	"net/http"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/tools/txtar"

	"rollcall/eventlog"
)

// TestScenarioQuestions posts the records of each scenario of the folds in which
// something is asked, and asks the API: what needs a clock or another view is
// answered by what readers get.
func TestScenarioQuestions(t *testing.T) {
	t.Parallel()
	files, err := filepath.Glob("../projections/testdata/scenarios/*.txtar")
	if err != nil {
		t.Fatal(err)
	}
	asked := map[string]int{}
	for _, file := range files {
		a, err := txtar.ParseFile(file)
		if err != nil {
			t.Fatal(err)
		}
		parts := map[string]string{}
		for _, f := range a.Files {
			parts[f.Name] = string(f.Data)
		}
		if parts["asked"] == "" {
			continue
		}
		w := newWorld(t)
		for line := range strings.Lines(parts["records"]) {
			w.postScenario(strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4))
		}
		for line := range strings.Lines(parts["asked"]) {
			f := strings.Fields(line)
			asked[f[0]]++
			if got, want := w.question(f), f[len(f)-1]; got != want {
				t.Errorf("%s: %s = %s; want %s", filepath.Base(file), strings.Join(f[:len(f)-1], " "), got, want)
			}
		}
	}
	for _, kind := range []string{"stale", "supersededBy", "ratio", "stuck"} {
		if asked[kind] < 2 {
			t.Errorf("the scenarios ask %q %d times; want twice at least", kind, asked[kind])
		}
	}
}

// postScenario appends "receivedAt eventId uuid body".
func (w *world) postScenario(f []string) {
	w.t.Helper()
	at, ok := eventlog.ParseTime(f[0])
	if !ok || len(f) != 4 {
		w.t.Fatalf("record %q; want a time, two ids and a body", f)
	}
	a, err := w.log.Append(w.t.Context(), &eventlog.Record{EventID: f[1], ReceivedAt: at, Source: "prod", DeliveryID: f[2],
		Type: eventlog.Identify([]byte(f[3])).Name, Body: []byte(f[3])})
	if err != nil {
		w.t.Fatal(err)
	}
	w.last = a.Seq
}

// question answers a line of a scenario, its answer left out.
func (w *world) question(f []string) string {
	w.t.Helper()
	id := f[1][strings.IndexByte(f[1], '.')+1:]
	switch f[0] {
	case "stale":
		w.setClock(f[2])
		return fmt.Sprint(w.document("/v1/sessions/" + id)["stale"])
	case "supersededBy":
		return jsonWord(w.document("/v1/sessions/" + id)["supersededBy"])
	case "ratio":
		for _, p := range w.items("/v1/sessions/" + id + "/participants").Items {
			if f[2] == id+"."+fmt.Sprint(p["participantId"]) {
				return jsonWord(p["attendanceRatio"])
			}
		}
	case "stuck":
		w.setClock(f[2])
		return fmt.Sprint(w.items("/v1/recordings?stuckFor="+f[3]).column("recordingId") == f[1])
	}
	return "no answer"
}

// document asks for a single item.
func (w *world) document(path string) (doc map[string]any) {
	w.t.Helper()
	a := w.get(path)
	if err := json.Unmarshal(a.body, &doc); err != nil || a.status != http.StatusOK {
		w.t.Fatalf("GET %s = %d %s; want 200 and a document", path, a.status, a.body)
	}
	return doc
}

func (w *world) setClock(text string) {
	w.t.Helper()
	at, err := time.Parse(time.RFC3339, text)
	if err != nil {
		w.t.Fatal(err)
	}
	w.clock.Set(at)
}

func jsonWord(v any) string {
	if v == nil {
		return "null"
	}
	return fmt.Sprint(v)
}

// TestLinksExpire: a link is about to expire while it is valid and ends within the
// time asked for, both ends included as documented.
func TestLinksExpire(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	ends := map[time.Duration]bool{-time.Second: false, 0: false, time.Microsecond: true, time.Hour: true, time.Hour + time.Microsecond: false}
	want := 0
	for off, soon := range ends {
		w.post(fmt.Sprintf(`{"event":"recording.statusUpdate","recording":{"recordingId":"%d","status":"UPLOADED","downloadUrl":"u","downloadUrlExpiry":%q}}`,
			off.Microseconds(), epoch.Add(off).Format(time.RFC3339Nano)))
		if soon {
			want++
		}
	}
	w.post(`{"event":"recording.statusUpdate","recording":{"recordingId":"endless","status":"UPLOADED","downloadUrl":"u"}}`)
	w.post(fmt.Sprintf(`{"event":"recording.statusUpdate","recording":{"recordingId":"nowhere","status":"UPLOADED","downloadUrlExpiry":%q}}`, stamp(60)))
	items := w.items("/v1/recordings?expiresWithin=1h").Items
	for _, r := range items {
		var off int64
		if _, err := fmt.Sscan(fmt.Sprint(r["recordingId"]), &off); err != nil || !ends[time.Duration(off)*time.Microsecond] {
			t.Errorf("expiresWithin=1h lists %v, whose link ends at %v; want none such", r["recordingId"], r["downloadUrlExpiresAt"])
		}
	}
	if len(items) != want {
		t.Errorf("expiresWithin=1h lists %d recordings; want %d", len(items), want)
	}
}
