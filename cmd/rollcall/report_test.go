package main

import (
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"rollcall/query"
)

// hostile are names and ids that a path, a URI, a file or a spreadsheet could
// take for something else.
var hostile = []string{".", "..", "a/b", "a%2Fb", "x;=1+1;y", "Bob\t=1+1", "\u00a0=1+1", "-2-3", "?q=1", "#", "会議", "%2E%2E", `"`, "s1"}

// TestReportOfHostileIDs: every report works whatever ids and names are, and its
// CSV is the API's, byte for byte.
func TestReportOfHostileIDs(t *testing.T) {
	n := testNode(t, t.TempDir())
	runNode(t, n)
	last := 0
	for i, id := range hostile {
		quoted, err := json.Marshal(id)
		if err != nil {
			t.Fatal(err)
		}
		body := fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":%s,"sessionId":%[1]s,"title":%[1]s,"organizedBy":{"id":%[1]s,"name":%[1]s}},
			"participant":{"peerId":%[1]s,"customParticipantId":%[1]s,"userDisplayName":%[1]s,"joinedAt":"2026-03-02T09:00:%02[2]dZ"}}`, quoted, i)
		if status := webhook(t, n.Addresses().Ingest, body); status != http.StatusOK {
			t.Fatalf("POST of %q = %d; want 200", id, status)
		}
		last++
	}
	api := "http://" + n.Addresses().API
	get := func(path string, q url.Values) string {
		t.Helper()
		q.Set("minSequence", fmt.Sprint(last))
		q.Set("wait", "30s")
		q.Set("format", "csv")
		return httpText(t, api+path+"?"+q.Encode())
	}
	report := func(args ...string) string {
		t.Helper()
		code, stdout, stderr := inProcess(t, nil, append(append([]string{"report"}, args...), "--api-url", api, "--output", "csv")...)
		if code != 0 {
			t.Fatalf("report %v = %d %s; want 0", args, code, stderr)
		}
		return stdout
	}
	for _, path := range []string{"/v1/recordings", "/v1/sessions/s1/participants"} { // every view has come
		get(path, url.Values{})
	}
	for _, c := range []struct {
		path   string
		params url.Values
		report []string
	}{
		{"/v1/meetings/live", url.Values{"stale": {"true"}}, []string{"live", "--stale"}},
		{"/v1/usage", url.Values{"groupBy": {"organizer"}, "timezone": {"Asia/Kolkata"}}, []string{"usage", "--group-by", "organizer", "--timezone", "Asia/Kolkata"}},
		{"/v1/recordings", url.Values{}, []string{"recordings"}},
	} {
		if want, got := get(c.path, c.params), report(c.report...); got != want {
			t.Errorf("report %v = %q; want what GET %s answers, %q", c.report, got, c.path, want)
		}
	}
	for _, id := range hostile {
		want, got := get("/v1/sessions/"+segment(id)+"/participants", url.Values{}), report("attendance", "--session="+id)
		if got != want || strings.Count(got, "\r\n") != 2 {
			t.Errorf("report attendance --session %q = %q; want what the API answers, %q, a header and a row", id, got, want)
		}
	}
	for _, id := range hostile {
		want := get("/v1/participants/"+segment(id)+"/sessions", url.Values{})
		code, got, stderr := inProcess(t, nil, "report", "person", "--api-url", api, "--output", "csv", "--", id)
		if code != 0 || got != want || strings.Count(got, "\r\n") != 2 {
			t.Errorf("report person %q = %d %s%q; want what the API answers, %q, a header and a row", id, code, stderr, got, want)
		}
	}
	sheet := func(path string, q url.Values, args ...string) {
		t.Helper()
		q.Set("format", "sheet")
		q.Set("timezone", "Asia/Kolkata")
		want := httpText(t, api+path+"?"+q.Encode())
		code, got, stderr := inProcess(t, nil, append(append([]string{"report"}, args...), "--api-url", api, "--output", "sheet", "--timezone", "Asia/Kolkata")...)
		if code != 0 || got != want || !strings.HasPrefix(got, "\ufeff") || strings.Count(got, "\ufeff") != 1 {
			t.Errorf("report %v as a sheet = %d %s%q; want what the API answers, %q", args, code, stderr, got, want)
		}
	}
	sheet("/v1/meetings/live", url.Values{"stale": {"true"}}, "live", "--stale")
	sheet("/v1/recordings", url.Values{}, "recordings")
	sheet("/v1/usage", url.Values{"groupBy": {"organizer"}}, "usage", "--group-by", "organizer")
	sheet("/v1/sessions/s1/participants", url.Values{}, "attendance", "s1")
	sheet("/v1/participants/s1/sessions", url.Values{}, "person", "s1")
	all := report("attendance")
	if got := strings.Count(all, "\r\n"); got != 1+len(hostile) {
		t.Errorf("report attendance = %d lines; want a header and %d", got, len(hostile))
	}
	for _, zone := range []string{"localtime", "posixrules", "right/UTC", "posix/UTC", "Factory", "Local", "leapseconds"} {
		for _, args := range [][]string{{"usage"}, {"session", "s1"}} {
			args = append([]string{"report", args[0]}, append(args[1:], "--api-url", api, "--timezone", zone)...)
			if code, _, _ := inProcess(t, nil, args...); code != 2 {
				t.Errorf("%v = %d; want 2", args, code)
			}
		}
	}
}

// httpText is what a GET answers.
func httpText(t *testing.T, address string) string {
	t.Helper()
	res, err := client.Get(address)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s = %d %s, %v; want 200", address, res.StatusCode, b, err)
	}
	return string(b)
}

// TestReportColumns: what a table shows of a document is a column of the API.
func TestReportColumns(t *testing.T) {
	for item, columns := range map[string][]string{"Recording": recordingColumns, "Session": liveColumns} {
		for _, name := range columns {
			if !slices.Contains(query.Columns(item), name) {
				t.Errorf("report shows %s of a %s; its columns are %v", name, item, query.Columns(item))
			}
		}
	}
	for _, item := range []string{"Participant", "UsageRow"} {
		if len(query.Columns(item)) < 8 {
			t.Errorf("Columns(%q) = %v; want 8 at least", item, query.Columns(item))
		}
	}
}

// TestIDsToChooseFrom: who is to be named by id has a whole id, on a narrow terminal too.
func TestIDsToChooseFrom(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	got := fits(t, "report-people", 80, tables(t, strings.Clone)["report-people"])
	for _, want := range []string{" anna.mueller@college.example ", " " + uuidS + " ", "2026-03-02 09:00:10"} {
		if !strings.Contains(got, want) {
			t.Errorf("report person of two people =\n%s\nwant %q in it", got, want)
		}
	}
}

// TestUsageSaysWhatItIsOf: on a narrow terminal too a row of usage says which meeting it
// is of, and has its three measures in one unit.
func TestUsageSaysWhatItIsOf(t *testing.T) {
	t.Setenv("COLUMNS", "80")
	got := fits(t, "report-usage-meetings", 80, tables(t, strings.Clone)["report-usage-meetings"])
	for _, want := range []string{" room-seminar ", " 5f1e2a3b… ", " 6000.01 ", " 5850.00 ", " 120.00 "} {
		if !strings.Contains(got, want) {
			t.Errorf("report usage by meeting =\n%s\nwant %q in it", got, want)
		}
	}
}
