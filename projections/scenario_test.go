package projections_test

import (
	"bytes"
	"fmt"
	"maps"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"golang.org/x/tools/txtar"

	"rollcall/eventlog"
	"rollcall/projections"
)

// TestScenarios folds the records of each file under testdata/scenarios and
// compares the views with the documents in it. A file names all documents of
// each view that it names at all. Beside them it may have what is asked: lines of
// "stale", "supersededBy", "ratio", "stuck", and rows of usage by time zone.
func TestScenarios(t *testing.T) {
	files, err := filepath.Glob("testdata/scenarios/*.txtar")
	if err != nil || len(files) < 32 {
		t.Fatalf("found %d scenarios (%v); want 32 at least", len(files), err)
	}
	for _, file := range files {
		t.Run(strings.TrimSuffix(filepath.Base(file), ".txtar"), func(t *testing.T) {
			a, err := txtar.ParseFile(file)
			if err != nil {
				t.Fatal(err)
			}
			records, want, asked := readScenario(t, a)
			got := fold(t, records)
			for view := range want {
				if d := diff(views{view: got[view]}, views{view: want[view]}); d != "" {
					t.Error(d)
				}
			}
			for name, lines := range asked {
				checkAsked(t, got, name, lines)
			}
			reread(t, got)
			if d := diff(step(t, records), got); d != "" {
				t.Errorf("with a commit after each record: %s", d)
			}
			for range 2 { // backwards, and with the middle first
				slices.Reverse(records)
				if d := diff(fold(t, records), got); d != "" {
					t.Errorf("in another order: %s", d)
				}
				records = append(slices.Clone(records[len(records)/2:]), records[:len(records)/2]...)
			}
		})
	}
}

// step folds records and commits after each of them.
func step(t *testing.T, records []eventlog.Record) views {
	t.Helper()
	out := make(views)
	for _, f := range projections.All() {
		r := newRunner(f)
		for _, ev := range decode(records) {
			r.apply(t, &ev)
			r.commit(t, 1)
		}
		out[f.Name()] = r.docs
	}
	return out
}

func readScenario(t *testing.T, a *txtar.Archive) (records []eventlog.Record, want views, asked map[string]string) {
	t.Helper()
	want, asked = make(views), make(map[string]string)
	for _, f := range a.Files {
		switch view, key, found := strings.Cut(f.Name, "/"); {
		case f.Name == "records":
			for line := range strings.Lines(string(f.Data)) {
				records = append(records, readRecord(t, line))
			}
		case f.Name == "asked" || strings.HasPrefix(f.Name, "usage "):
			asked[f.Name] = string(f.Data)
		case found:
			if want[view] == nil {
				want[view] = make(map[string]string)
			}
			doc := jsontext.Value(bytes.TrimSpace(f.Data))
			if err := doc.Compact(); err != nil {
				t.Fatalf("%s: %v", f.Name, err)
			}
			want[view][key] = string(doc)
		}
	}
	return records, want, asked
}

// readRecord reads "receivedAt eventId uuid body"; a uuid of - is none.
func readRecord(t *testing.T, line string) eventlog.Record {
	t.Helper()
	f := strings.SplitN(strings.TrimSuffix(line, "\n"), " ", 4)
	if len(f) != 4 {
		t.Fatalf("record %q has %d fields; want 4", line, len(f))
	}
	r := eventlog.Record{ReceivedAt: at(t, f[0]), EventID: f[1], Source: "prod", DeliveryID: f[2], Body: []byte(f[3])}
	if r.DeliveryID == "-" {
		r.DeliveryID = ""
	}
	return r
}

// period is the one that a list of groups names.
func period(by string) projections.Period {
	return map[string]projections.Period{"day": projections.PerDay, "week": projections.PerWeek, "month": projections.PerMonth}[strings.Split(by, ",")[0]]
}

func checkAsked(t *testing.T, got views, name, lines string) {
	t.Helper()
	if strings.HasPrefix(name, "usage ") {
		f := strings.Fields(name)
		sessions, recordings := usageOf(t, got)
		from, _ := projections.ParseDate(f[2])
		to, _ := projections.ParseDate(f[3])
		by := append(f[4:], "day,organizer")[0]
		rows := projections.UsageRows(projections.UsageQuery{Zone: zone(t, f[1]), From: from, To: to, Per: period(by),
			ByOrganizer: strings.Contains(by, "organizer"), ByMeeting: strings.Contains(by, "meeting")}, slices.Values(sessions), slices.Values(recordings))
		var b []byte
		for i := range rows {
			b = append(rows[i].AppendJSON(b), '\n')
		}
		if string(b) != lines {
			t.Errorf("%s =\n%s; want\n%s", name, b, lines)
		}
		return
	}
	for line := range strings.Lines(lines) {
		f := strings.Fields(line)
		if answer := ask(t, got, f); answer != f[len(f)-1] {
			t.Errorf("%s = %s; want %s", strings.Join(f[:len(f)-1], " "), answer, f[len(f)-1])
		}
	}
}

func ask(t *testing.T, got views, f []string) string {
	t.Helper()
	var others []projections.Session
	for _, key := range slices.Sorted(maps.Keys(got["sessions"])) {
		others = append(others, parse[projections.Session](t, got, "sessions", key))
	}
	switch f[0] {
	case "stale":
		s := parse[projections.Session](t, got, "sessions", f[1])
		return fmt.Sprint(s.Stale(s.SupersededBy(others) != "", at(t, f[2]).Std(), 24*time.Hour))
	case "supersededBy":
		s := parse[projections.Session](t, got, "sessions", f[1])
		if id := s.SupersededBy(others); id != "" {
			return id
		}
		return "null"
	case "ratio":
		s := parse[projections.Session](t, got, "sessions", f[1])
		p := parse[projections.Participant](t, got, "attendance", f[2])
		if s.DurationSeconds == nil {
			return "null"
		}
		if ratio, ok := projections.AttendanceRatio(p.AttendedSeconds, *s.DurationSeconds); ok {
			return fmt.Sprint(ratio)
		}
		return "null"
	case "stuck": // the read side's question; see TestScenarioQuestions there
		return f[len(f)-1]
	}
	t.Fatalf("unknown question %q", f[0])
	return ""
}

// reread checks that every document, read back, is written again as it was.
func reread(t *testing.T, got views) {
	t.Helper()
	for _, v := range projections.Views() {
		for key, doc := range got[v.Fold.Name()] {
			d := reflect.New(reflect.TypeOf(v.Document))
			if err := json.Unmarshal([]byte(doc), d.Interface()); err != nil {
				t.Errorf("read %s %s: %v", v.Fold.Name(), key, err)
				continue
			}
			again, err := d.Elem().Interface().(projections.Document).MarshalJSON()
			if err != nil || string(again) != doc {
				t.Errorf("%s %s read and written again = %s, %v; want %s", v.Fold.Name(), key, again, err, doc)
			}
			for _, wrong := range undescribed(v.Fold.Name(), v.Fields, jsontext.Value(doc)) {
				t.Errorf("%s %s: %s in %s", v.Fold.Name(), key, wrong, doc)
			}
		}
	}
}

func parse[D projections.Document](t *testing.T, got views, view, key string) D {
	t.Helper()
	doc := got[view][key]
	d, err := projections.Parse[D]([]byte(doc))
	if err != nil {
		t.Fatalf("Parse(%s %s) = %v", view, key, err)
	}
	return d
}
