package main

import (
	"bytes"
	rawjson "encoding/json"
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alecthomas/kong"
	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/jedib0t/go-pretty/v6/text"

	"rollcall/cmd/rollcall/internal/backup"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query"
	"rollcall/query/closing"
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
	usageOfMeetings = `[{"month":"2026-03","meetingId":"room-seminar","sessions":12,"participantSeconds":360000.5,"attendedSeconds":351000,"recordingSeconds":7200,"peakParticipants":315,"revisedAt":"2026-03-03T08:00:00Z"},
{"month":"2026-03","meetingId":"` + uuidS + `","sessions":1,"participantSeconds":3600,"attendedSeconds":3600,"recordingSeconds":0,"peakParticipants":3,"revisedAt":"2026-03-03T08:00:00Z"}]`
	closedMonths = `[{"id":"` + closingID + `","changed":3,"closedAt":"2026-11-02T08:00:00Z","sessions":5000,"participantSeconds":360000.5,"attendedSeconds":351000,"recordingSeconds":7200,"sequence":1234567},
{"id":"2026-09.UTC","changed":null,"closedAt":"2026-10-02T08:00:00Z","sessions":412,"participantSeconds":3600,"attendedSeconds":3600,"recordingSeconds":0,"sequence":123456}]`
	closingChanges = `[{"day":"2026-10-05","sessionId":"` + uuidS + `","title":"Introduction to the theory of computation, part two","meetingId":"room-seminar","beforeSessions":1,"afterSessions":1,"beforeParticipantSeconds":1800,"afterParticipantSeconds":1850,
"beforeAttendedSeconds":1800,"afterAttendedSeconds":1850,"beforeRecordingSeconds":0,"afterRecordingSeconds":0,"beforePeakParticipants":3,"afterPeakParticipants":3,"revisedAt":"2026-11-04T09:30:00Z","recordSequence":1234568,"recordType":"meeting.participantLeft"},
{"day":"2026-10-06","sessionId":null,"title":null,"meetingId":"room-seminar","beforeSessions":0,"afterSessions":0,"beforeParticipantSeconds":0,"afterParticipantSeconds":0,
"beforeAttendedSeconds":0,"afterAttendedSeconds":0,"beforeRecordingSeconds":600,"afterRecordingSeconds":720,"beforePeakParticipants":0,"afterPeakParticipants":0,"revisedAt":"2026-11-04T09:30:00Z","recordSequence":null,"recordType":null}]`
	sameName = `[{"participantId":"anna.mueller@college.example","displayName":"Anna Müller","names":"Anna Müller, Anna from the evening class","sessions":4,"lastJoinedAt":"2026-03-02T09:00:10Z"},
{"participantId":"` + uuidS + `","displayName":"Anna Müller","names":"Anna Müller","sessions":12,"lastJoinedAt":"2026-03-01T09:00:10Z"}]`
	connections = `[{"participantId":"student-42","displayName":"Ada Lovelace","peerId":"` + uuidS + `","joinedAt":"2026-03-02T09:00:10Z","leftAt":"2026-03-02T10:30:00Z","closedBy":"MEETING_END","seconds":5389.75}]`
	onePerson   = `[{"sessionId":"` + uuidS + `","title":"Introduction to the theory of computation, part two","startedAt":"2026-03-02T09:00:00Z","displayName":"Ada Lovelace","durationSeconds":5400,"attendedSeconds":5100,"attendanceRatio":0.9444,
"gaps":[{},{}],"longestGapSeconds":300},
{"sessionId":"5f1e2a3b-1c4d-4e5f-8a9b-0c1d2e3f4a5c","title":"Introduction to the theory of computation, part two","startedAt":"2026-03-09T09:00:00Z","displayName":"Ada Lovelace","durationSeconds":5400,"attendedSeconds":5400,"attendanceRatio":1,"gaps":[],"longestGapSeconds":0},
{"sessionId":"c0ffee00-0c4d-4e5f-8a9b-0c1d2e3f4a5b","title":null,"startedAt":"2026-03-16T09:00:00Z","displayName":"Ada","durationSeconds":null,"attendedSeconds":0,"attendanceRatio":null,"gaps":null,"longestGapSeconds":0}]`
)

// tables are the commands' tables of something that is always the same. Names of
// people, titles, errors and the like go through text.
func tables(t *testing.T, text func(string) string) map[string]func(a *app) error {
	t.Helper()
	as := console.OutputFlag{Output: "table", TableFlags: console.TableFlags{UTC: true}}
	report := func(items string, columns ...string) func(*app) error {
		list := itemsOf(t, items, text)
		return func(a *app) error { return apiFlags{OutputFlag: as}.show(a.Stdout, list, columns...) }
	}
	grid := func(g *console.Grid) func(*app) error {
		return func(a *app) error { return as.Print(a.Stdout, g) }
	}
	all := map[string]func(*app) error{
		"report-attendance": report(people, query.Columns("Participant")...),
		"report-live":       report(live, liveColumns...),
		"report-recordings": report(recordings, recordingColumns...),
		"report-person":     report(onePerson, personColumns...),
		"report-people":     func(a *app) error { return apiFlags{OutputFlag: as}.showPeople(a.Stdout, itemsOf(t, sameName, text)) },
		"report-session":    report(connections, connectionColumns...),
		"report-closings": func(a *app) error {
			return apiFlags{OutputFlag: as}.closings(a.Stdout, itemsOf(t, closedMonths, text), closingsTable)
		},
		"report-closings-changes": func(a *app) error {
			return apiFlags{OutputFlag: as}.closings(a.Stdout, itemsOf(t, closingChanges, text), closingChangesTable)
		},
		"report-closings-rows": func(a *app) error {
			return apiFlags{OutputFlag: as}.closings(a.Stdout, itemsOf(t, usage, text), closingRowsTable)
		},
		"report-usage": func(a *app) error {
			c := reportUsageCmd{apiFlags: apiFlags{OutputFlag: as}, GroupBy: "day,organizer"}
			return c.table(a.Stdout, itemsOf(t, usage, text))
		},
		"report-usage-meetings": func(a *app) error {
			c := reportUsageCmd{apiFlags: apiFlags{OutputFlag: as}, GroupBy: "month,meeting"}
			return c.table(a.Stdout, itemsOf(t, usageOfMeetings, text))
		},
		"top": func(a *app) error {
			_, err := io.WriteString(a.Stdout, busy(text).picture(top{}, a.Stdout, as.TableFlags))
			return err
		},
		"status": func(a *app) error { return (&statusCmd{OutputFlag: as}).show(a, busy(text).status) },
		"verify": func(a *app) error {
			return (&verifyCmd{OutputFlag: as}).show(a.Stdout, []projector.Verified{{View: "attendance", Bucket: "attendance_g12", Sequence: 1234567, Records: 1234567, Entities: 45678, Keys: 345678, Equal: 345676, Parked: 1,
				Differences: []projector.Difference{{Key: uuidS + "." + text("student-42"), Kind: "wrong", First: 1234, FirstType: "meeting.participantLeft",
					Fields: []projector.FieldDiff{{Name: "displayName", View: rawjson.RawMessage(quoted(text("Ada King"))), Log: rawjson.RawMessage(quoted(text("Ada Lovelace")))}}}}}, {View: "livestreams", Bucket: "livestreams_g1", Sequence: 1234567, Keys: 12, Equal: 12}})
		},
		"verify-closing": func(a *app) error {
			return (&verifyCmd{OutputFlag: as}).showClosings(a, []verifiedClosing{{ID: closingID, Sequence: 1234567, Sessions: 5000, Differences: 1, Changes: []verifiedSession{
				{SessionID: text(uuidS), Differences: []closing.Difference{{Day: "2026-10-05", Member: "participantSeconds", Before: 1801e6, After: 1800e6}}}}}})
		},
		"close": func(a *app) error {
			return (&closeCmd{OutputFlag: as}).show(a.Stdout, &closing.Closing{Head: closing.Head{ID: closingID, Month: "2026-10", Timezone: "America/Argentina/Buenos_Aires",
				Sequence: 1234567, Sessions: 5000, ParticipantSeconds: 360000e6, AttendedSeconds: 351000e6, RecordingSeconds: 7200e6}})
		},
		"events-list": func(a *app) error {
			show, err := (&recordFlags{OutputFlag: as}).shows(a.Stdout, a.Stdout)
			for i, name := range []string{"meeting.participantJoined", "livestreaming.statusUpdate", text("poll.created")} {
				r := eventlog.Record{Seq: eventlog.Seq(1234567 + i), EventID: "01M84MC7VKWAQAAVVDAV9SPGDC", ReceivedAt: eventlog.TimeOf(noon), Type: name, Source: "prod"}
				err = errors.Join(err, show(&r, text(uuidS)))
			}
			return err
		},
		"events-scan": func(a *app) error {
			return (&eventsScanCmd{OutputFlag: as}).show(a, []scanned{{Block: "MEETINGS/msgs/12.blk", From: 1234567, To: 1234568, Offset: 8388608, Bytes: 4096, Behind: 12345}})
		},
		"events-verify": func(a *app) error {
			return (&eventsVerifyCmd{OutputFlag: as}).show(a, audit{Checked: 1234567, Verified: 1234000, Unsigned: 567})
		},
		"events-verify-files": grid(sealedGrid([]backup.Checked{{File: text("/var/backups/rollcall/monday.ndjson.zst"), Sealed: true,
			Seal: backup.Seal{Records: 1234567, Last: 1234567, SHA256: strings.Repeat("0123abcd", 8)}}})),
		"views-watch": func(a *app) error {
			show, err := (&viewsWatchCmd{OutputFlag: as}).shows(a.Stdout)
			for _, key := range []string{"live." + uuidS, uuidS + "." + uuidS} {
				err = errors.Join(err, show(viewstore.Change{Kind: viewstore.Put, Key: key, Value: []byte(`{"sessionId":"` + uuidS + `","title":` + string(quoted(text("Introduction to the theory"))) + `}`)}, 1234567))
			}
			return errors.Join(err, show(viewstore.Change{Kind: viewstore.Delete, Key: "ended." + uuidS}, 1234568))
		},
		"parked-show": func(a *app) error {
			return (&parkedShowCmd{DocumentFlag: console.DocumentFlag(as)}).show(a.Stdout, shownParked{parkedRecord(text), listed{EventID: "01M84MC7VKWAQAAVVDAV9SPGDC", Source: "prod", Body: quoted(text(`{"event":"meeting.started"}`))}})
		},
		"drop": grid(generationGrid([]projector.Generation{{View: "attendance", Number: 12, Bucket: "attendance_g12", State: projector.GenerationRetired, Version: "7"}})),
		"promote": func(a *app) error {
			return movedLine(a, "table", "attendance", projector.Rebuilt{Records: 1234567, Changed: 345678, Promotion: projector.Promotion{Before: projector.Generation{Number: 11}, After: projector.Generation{Number: 12}}}, as.TableFlags)
		},
	}
	parked := parkedGrid()
	addParked(parked, "attendance", parkedRecord(text))
	all["parked-list"] = grid(parked)
	return all
}

var noon = time.Date(2026, 3, 2, 12, 0, 0, 0, time.UTC)

const closingID = "2026-10.America.Argentina.Buenos_Aires.2"

func parkedRecord(text func(string) string) projector.Parked {
	return projector.Parked{Sequence: 1234567, Type: "meeting.participantJoined", Entity: uuidS, ReceivedAt: eventlog.TimeOf(noon), ParkedAt: noon, Error: text("fold sessions: index out of range [3] with length 3")}
}

func quoted(s string) jsontext.Value {
	q, _ := jsontext.AppendQuote(nil, s) // invalid UTF-8 is replaced
	return q
}

// itemsOf are items as the API answers them, whose texts for people went through text.
func itemsOf(t *testing.T, items string, text func(string) string) (list []item) {
	t.Helper()
	if err := json.Unmarshal([]byte(items), &list); err != nil {
		t.Fatal(err)
	}
	for _, it := range list {
		for _, name := range []string{"title", "displayName", "organizerName", "participantId", "peerId", "error"} {
			if said := console.JSONText(it[name]); said != "" {
				it[name] = quoted(text(said))
			}
		}
	}
	return list
}

// busy is a status with large numbers.
func busy(text func(string) string) top {
	now := top{at: noon, meetings: []liveMeeting{{SessionID: uuidS, Title: text("Introduction to the theory of computation, part two: machines that halt"),
		StartedAt: eventlog.TimeOf(noon.Add(-time.Hour)), In: 312, Peak: 315, Unique: 318, Recording: []liveRecorded{{Status: "RECORDING"}}}}}
	now.pipeline.Ingest = pipeline.IngestTotals{Processes: 3, Records: 1234567, Duplicates: 12345, Refusals: 1234}
	now.pipeline.History = []pipeline.Rates{{Records: 1234.5, Duplicates: 123.4, Refusals: 12.3}}
	now.pipeline.Rebuilds = []pipeline.Rebuild{{View: "attendance", Generation: 12, State: string(projector.GenerationStaging), Share: 0.123, PerSecond: 123456}}
	now.status = status{Server: "nats://rollcall.internal.example.com:4222 (nats-server 2.15.2)", Log: logStatus{Records: 1234567, Bytes: 12345678901, FirstSequence: 1, LastSequence: 1234567, LastStoredAt: &noon,
		Durability: "every record is on disk before it is acknowledged (embedded server, sync always)"}}
	for _, name := range []string{"sessions", "attendance"} {
		now.status.Projections = append(now.status.Projections, viewStatus{Name: name, State: "catching-up", Sequence: 1234567, HeadSequence: 1234567, Bucket: name + "_g1", Version: "7",
			Generations: []generationStatus{{Generation: 2, Bucket: name + "_g2", State: string(projector.GenerationStaging), Version: "7", Sequence: 123456, ChangedAt: &noon}},
			Problem:     text("the view was made by another version: it holds version 6, this program folds version 7") + "; run `rollcall rebuild " + name + "`"})
	}
	return now
}

// notDrawn are commands that print a table, and why it is not among those above. That
// no table is wider than the terminal holds for all: TestNoLineIsWider.
var notDrawn = map[string]string{
	"abort": "prints what drop prints", "rollback": "prints what promote prints", "events-follow": "prints what events list prints", "parked-retry": "prints a line", "parked-drop": "prints a line",
	"keygen": "prints two paths", "version": "prints two lines", "demo": "draws what it makes", "simulate": "counts what it posts", "send": "prints ids that are new each time",
	"bench-ingest": "measures", "bench-latency": "measures", "bench-readers": "measures", "bench-rebuild": "measures",
	"views-ls": "TestTablesOfAServer", "views-get": "TestTablesOfAServer", "config-show": "TestTablesOfAServer",
}

// TestEveryTableIsDrawn: a command that takes --wide is among the tables, or says why
// it is not.
func TestEveryTableIsDrawn(t *testing.T) {
	var grammar cli
	parser, err := newParser(&grammar, &app{file: &fileConfig{}, IO: &console.IO{Stdout: io.Discard, Stderr: io.Discard}})
	if err != nil {
		t.Fatal(err)
	}
	drawn := tables(t, strings.Clone)
	visit(parser.Model.Node, nil, func(path []string, n *kong.Node) {
		name := strings.Join(path, "-")
		wide := slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == "wide" })
		if _, ok := drawn[name]; wide && !n.Hidden && !ok && notDrawn[name] == "" {
			t.Errorf("rollcall %s prints a table that no test draws", strings.Join(path, " "))
		}
	})
}

// TestTimezoneEverywhere: what can show times in UTC can show them in any time zone.
func TestTimezoneEverywhere(t *testing.T) {
	var grammar cli
	parser, err := newParser(&grammar, &app{file: &fileConfig{}, IO: &console.IO{Stdout: io.Discard, Stderr: io.Discard}})
	if err != nil {
		t.Fatal(err)
	}
	visit(parser.Model.Node, nil, func(path []string, n *kong.Node) {
		has := func(name string) bool {
			return slices.ContainsFunc(n.Flags, func(f *kong.Flag) bool { return f.Name == name && f.Help != "" })
		}
		if has("utc") != has("timezone") {
			t.Errorf("rollcall %s has --utc or --timezone, not both", strings.Join(path, " "))
		}
	})
	if code, _, stderr := inProcess(t, map[string]string{"ROLLCALL_TIMEZONE": "Nowhere"}, "version"); code != console.ExitUsage || !strings.Contains(stderr, "want an IANA time zone") || !strings.Contains(stderr, "ROLLCALL_TIMEZONE in the environment") {
		t.Errorf("a time zone that there is not = %d, %q; want 2, and where it was set", code, stderr)
	}
}

// TestBoardFits: the demo's table fits the terminal, so that it is drawn over itself.
func TestBoardFits(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	fits(t, "demo", 80, func(a *app) error {
		b := board{out: a.Stdout, live: true, sessions: map[string]projections.Session{}, as: console.TableFlags{UTC: true}}
		b.put(projections.Session{SessionID: uuidS, Title: strings.Repeat("A long title ", 20), Status: projections.Live, StartedAt: eventlog.TimeOf(noon)})
		b.draw(noon.Add(time.Hour))
		return nil
	})
}

// TestTablesFit: at 80 and 120 columns no line is wider, and each table is what
// testdata/tables holds. With -update-tables it writes them.
func TestTablesFit(t *testing.T) {
	for _, columns := range []int{80, 120} {
		t.Setenv("COLUMNS", fmt.Sprint(columns))
		for name, write := range tables(t, strings.Clone) {
			sameTable(t, name, columns, fits(t, name, columns, write))
		}
	}
}

// TestTablesOfHostileTexts: no line is wider than the terminal, whatever people call
// themselves and their meetings.
func TestTablesOfHostileTexts(t *testing.T) {
	for _, hostile := range []string{strings.Repeat("Ä", 300), strings.Repeat("会議", 200), strings.Repeat("e\u0301", 300), strings.Repeat("🇩🇪", 90), "\x1b[31m\r\n\t" + strings.Repeat("\u202e", 60), strings.Repeat("many words ", 60)} {
		for _, columns := range []int{40, 80, 120} {
			t.Setenv("COLUMNS", fmt.Sprint(columns))
			for name, write := range tables(t, func(string) string { return hostile }) {
				fits(t, name, columns, write)
			}
		}
	}
}

// TestTablesOfAServer: the tables of commands that ask a server, of a log that is always
// the same.
func TestTablesOfAServer(t *testing.T) {
	node := filledServer(t)
	for _, columns := range []int{80, 120} {
		t.Setenv("COLUMNS", fmt.Sprint(columns))
		for name, args := range map[string][]string{
			"views-ls": {"views", "ls"}, "views-ls-keys": {"views", "ls", "attendance"}, "views-get": {"views", "get", "sessions", "-o", "table"},
			"verify-alike": {"verify", "sessions", "attendance"}, "events-list-real": {"events", "--limit", "3"}, "parked-none": {"parked", "list", "sessions"},
		} {
			sameTable(t, name, columns, fits(t, name, columns, func(a *app) error {
				code, stdout, stderr := inProcess(t, nil, append(args, "--utc", "--nats-url", node)...)
				if code != console.ExitDone {
					t.Errorf("%v = %d, %s", args, code, stderr)
				}
				_, err := io.WriteString(a.Stdout, stdout)
				return err
			}))
		}
		fits(t, "config-show", columns, func(a *app) error {
			_, stdout, _ := inProcess(t, map[string]string{"ROLLCALL_API_TOKEN_FILE": strings.Repeat("/a/long/path", 20)}, "config", "show")
			_, err := io.WriteString(a.Stdout, stdout)
			return err
		})
	}
}

// filledServer is a server with a log of four records, and their views.
func filledServer(t *testing.T) (url string) {
	t.Helper()
	node := eventlogtest.Server(t)
	js := node.JetStream(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	meeting := `"meeting":{"id":"m-1","sessionId":"` + uuidS + `","title":"Introduction to the theory of computation, part two","startedAt":"2026-03-02T12:00:00Z","endedAt":"2026-03-02T13:00:00Z"}`
	for i, body := range []string{
		`{"event":"meeting.started",` + meeting + `}`,
		`{"event":"meeting.participantJoined",` + meeting + `,"participant":{"peerId":"p-1","customParticipantId":"student-42@city-college.example.com","userDisplayName":"Ada Lovelace","joinedAt":"2026-03-02T12:00:10Z"}}`,
		`{"event":"meeting.participantLeft",` + meeting + `,"participant":{"peerId":"p-1","customParticipantId":"student-42@city-college.example.com","userDisplayName":"Ada Lovelace","leftAt":"2026-03-02T12:50:10Z"}}`,
		`{"event":"meeting.ended",` + meeting + `}`,
	} {
		r := &eventlog.Record{EventID: "01HX000000000000000000000" + string(rune('1'+i)), ReceivedAt: eventlog.TimeOf(noon), Source: "prod", Type: eventlog.Identify([]byte(body)).Name, Body: []byte(body)}
		if _, err := log.Append(t.Context(), r); err != nil {
			t.Fatal(err)
		}
	}
	store, err := eventlogtest.Made(func() (*viewstore.Store, error) {
		return viewstore.Open(t.Context(), js, viewstore.Config{Timeout: eventlogtest.Patience})
	})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := (backup.Build{Log: log, Store: store, Folds: allFolds(), CacheBytes: 1 << 20, Progress: func(string, projector.Progress) {}}).Run(t.Context(), 4); err != nil {
		t.Fatal(err)
	}
	return node.URL()
}

// fits is what write writes; no line of it is wider than the terminal.
func fits(t *testing.T, name string, columns int, write func(a *app) error) string {
	t.Helper()
	var b bytes.Buffer
	if err := write(&app{IO: &console.IO{Ctx: t.Context(), Stdout: &b, Stderr: io.Discard}}); err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(b.String()) {
		if w := text.StringWidth(strings.TrimSuffix(line, "\n")); w > columns {
			t.Errorf("%s at %d columns has a line of %d: %s", name, columns, w, line)
		}
	}
	return b.String()
}

// sameTable holds a table against its file.
func sameTable(t *testing.T, name string, columns int, got string) {
	t.Helper()
	file := filepath.Join("testdata", "tables", fmt.Sprintf("%s-%d.txt", name, columns))
	if *updateTables {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil || got != string(want) {
		t.Errorf("%s at %d columns =\n%s\nwant, from %s, %v\n%s", name, columns, got, file, err, want)
	}
}
