package main

import (
	"bytes"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/jedib0t/go-pretty/v6/text"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/query"
	"rollcall/query/pipeline"
)

var updateTables = flag.Bool("update-tables", false, "write testdata/tables as the tables are now")

// people, recordings and the like are as the API has them, with ids and names of
// the lengths that come.
const (
	uuidS  = "5f1e2a3b-0c4d-4e5f-8a9b-0c1d2e3f4a5b"
	people = `[{"sessionId":"` + uuidS + `","participantId":"student-42","displayName":"Ada Lovelace","firstJoinedAt":"2026-03-02T09:00:10Z","lastLeftAt":"2026-03-02T10:30:00Z","present":false,
"connections":[{},{}],"connectedSeconds":5400.25,"attendedSeconds":5100,"longestGapSeconds":300,"attendanceRatio":0.9444,"gaps":[{}]},
{"sessionId":"` + uuidS + `","participantId":"b0c1d2e3-4f5a-6b7c-8d9e-0f1a2b3c4d5e","displayName":"Herr Professor Doktor Maximilian von Hohenlohe-Langenburg der Ältere (Fakultät für Mathematik)","firstJoinedAt":"2026-03-02T09:05:00Z",
"lastLeftAt":null,"present":true,"connections":[{}],"connectedSeconds":93789,"attendedSeconds":93789,"longestGapSeconds":0,"attendanceRatio":null,"gaps":[]}]`
	live = `[{"sessionId":"` + uuidS + `","meetingId":"b0c1d2e3-4f5a-6b7c-8d9e-0f1a2b3c4d5e","title":"Introduction to the theory of computation, part two: machines that halt and those that don't","startedAt":"2026-03-02T09:00:00Z",
"liveParticipants":312,"uniqueParticipants":318,"maxConcurrentParticipants":315,"recordings":[{}],"lastEventAt":"2026-03-02T09:59:59.123Z","stale":false}]`
	recordings = `[{"recordingId":"` + uuidS + `","status":"ERRORED","sessionId":"` + uuidS + `","meetingId":"m-7","startedAt":"2026-03-02T09:00:00Z","durationSeconds":null,"fileSizeBytes":null,"downloadUrlExpiresAt":null,
"error":{"code":"E_UPLOAD","message":"the bucket refused the upload"},"lastEventAt":"2026-03-02T10:00:00Z"},
{"recordingId":"c0ffee00-0c4d-4e5f-8a9b-0c1d2e3f4a5b","status":"UPLOADED","sessionId":"` + uuidS + `","meetingId":"m-7","startedAt":"2026-03-02T09:00:00Z","durationSeconds":3599.5,"fileSizeBytes":734003200,
"downloadUrlExpiresAt":"2026-03-09T10:00:00Z","error":null,"lastEventAt":"2026-03-02T10:00:00Z"}]`
	usage = `[{"day":"2026-03-02","organizerId":"org-1","organizerName":"City College of Applied Sciences and Letters","meetingId":null,"sessions":12,"participantSeconds":360000.5,"attendedSeconds":351000,"recordingSeconds":7200,
"peakParticipants":315,"revisedAt":"2026-03-03T08:00:00Z"}]`
	onePerson = `[{"sessionId":"` + uuidS + `","title":"Introduction to the theory of computation, part two","startedAt":"2026-03-02T09:00:00Z","displayName":"Ada Lovelace","durationSeconds":5400,"attendedSeconds":5100,"attendanceRatio":0.9444,
"gaps":[{},{}],"longestGapSeconds":300}]`
)

// tables are the commands' tables of something that is always the same.
func tables(t *testing.T) map[string]func(w *bytes.Buffer) error {
	t.Helper()
	report := func(items string, columns ...string) func(*bytes.Buffer) error {
		var list []item
		if err := json.Unmarshal([]byte(items), &list); err != nil {
			t.Fatal(err)
		}
		return func(w *bytes.Buffer) error {
			return apiFlags{OutputFlag: console.OutputFlag{Output: "table", TableFlags: console.TableFlags{UTC: true}}}.show(w, list, columns...)
		}
	}
	now := top{at: time.Date(2026, 3, 2, 10, 0, 0, 0, time.UTC), meetings: []liveMeeting{{SessionID: uuidS, Title: "Introduction to the theory of computation, part two: machines that halt",
		StartedAt: eventlog.TimeOf(time.Date(2026, 3, 2, 9, 0, 0, 0, time.UTC)), In: 312, Peak: 315, Unique: 318, Recording: []liveRecorded{{Status: "RECORDING"}}}}}
	now.pipeline.Ingest = pipeline.IngestTotals{Processes: 3, Records: 1234567, Duplicates: 12345, Refusals: 1234}
	now.pipeline.History = []pipeline.Rates{{Records: 1234.5, Duplicates: 123.4, Refusals: 12.3}}
	now.status.Log.Records, now.status.Log.Bytes = 1234567, 12345678901
	now.status.Server, now.status.Log.LastSequence = "embedded", 1234567
	for _, name := range []string{"sessions", "attendance"} {
		now.status.Projections = append(now.status.Projections, viewStatus{Name: name, State: "live", Sequence: 1234567, Bucket: name + "_g1"})
	}
	var counts []item
	if err := json.Unmarshal([]byte(usage), &counts); err != nil {
		t.Fatal(err)
	}
	return map[string]func(*bytes.Buffer) error{
		"report-attendance": report(people, query.Columns("Participant")...),
		"report-live":       report(live, liveColumns...),
		"report-recordings": report(recordings, recordingColumns...),
		"report-person":     report(onePerson, personColumns...),
		"report-usage": func(w *bytes.Buffer) error {
			c := reportUsageCmd{GroupBy: "day,organizer"}
			c.Output, c.UTC = "table", true
			return c.table(w, counts)
		},
		"top": func(w *bytes.Buffer) error {
			_, err := w.WriteString(now.picture(top{}, w, console.TableFlags{UTC: true}))
			return err
		},
	}
}

// TestTablesFit: at 80 and 120 columns no line is wider, and each table is what
// testdata/tables holds. With -update-tables it writes them.
func TestTablesFit(t *testing.T) {
	for _, columns := range []int{80, 120} {
		t.Setenv("COLUMNS", fmt.Sprint(columns))
		for name, write := range tables(t) {
			var b bytes.Buffer
			if err := write(&b); err != nil {
				t.Fatal(err)
			}
			for line := range strings.Lines(b.String()) {
				if w := text.StringWidth(strings.TrimSuffix(line, "\n")); w > columns {
					t.Errorf("%s at %d columns has a line of %d: %s", name, columns, w, line)
				}
			}
			file := filepath.Join("testdata", "tables", fmt.Sprintf("%s-%d.txt", name, columns))
			if *updateTables {
				if err := os.WriteFile(file, b.Bytes(), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(file)
			if err != nil || b.String() != string(want) {
				t.Errorf("%s at %d columns =\n%s\nwant, from %s, %v\n%s", name, columns, b.String(), file, err, want)
			}
		}
	}
}
