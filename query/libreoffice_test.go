package query_test

import (
	"context"
	"encoding/xml"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"
)

// fods is a spreadsheet as LibreOffice writes it: its cells with their types.
type fods struct {
	Rows []struct {
		Cells []struct {
			Type   string `xml:"value-type,attr"`
			Number string `xml:"value,attr"`
			Date   string `xml:"date-value,attr"`
			Time   string `xml:"time-value,attr"`
			Bool   string `xml:"boolean-value,attr"`
			Text   string `xml:"p"`
			Repeat int    `xml:"number-columns-repeated,attr"`
		} `xml:"table-cell"`
	} `xml:"body>spreadsheet>table>table-row"`
}

// opened is what LibreOffice has of a CSV file: UTF-8, split at commas, numbers
// and formulas read as Excel reads them.
func opened(t *testing.T, body []byte) (rows []map[string]string) {
	t.Helper()
	program, err := exec.LookPath("soffice")
	if err != nil {
		t.Skip("LibreOffice (soffice) is not installed")
	}
	dir := t.TempDir()
	file := filepath.Join(dir, "list.csv")
	if err := os.WriteFile(file, body, 0o600); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 2*time.Minute)
	defer cancel()
	c := exec.CommandContext(ctx, program, "-env:UserInstallation=file://"+filepath.Join(dir, "profile"), "--headless",
		"--infilter=CSV:44,34,76,1,,1033,false,true", "--convert-to", "fods", "--outdir", dir, file)
	c.WaitDelay = time.Second
	if out, err := c.CombinedOutput(); err != nil {
		t.Fatalf("soffice: %v\n%s", err, out)
	}
	b, err := os.ReadFile(filepath.Join(dir, "list.fods"))
	if err != nil {
		t.Fatal(err)
	}
	var sheet fods
	if err := xml.Unmarshal(b, &sheet); err != nil {
		t.Fatal(err)
	}
	for _, line := range sheet.Rows[1:] {
		row := map[string]string{}
		i := 0
		for _, cell := range line.Cells {
			for range max(1, cell.Repeat) {
				if i == len(sheet.Rows[0].Cells) {
					break
				}
				row[sheet.Rows[0].Cells[i].Text] = cell.Type + " " + map[string]string{"string": cell.Text, "float": cell.Number, "percentage": cell.Number, "date": cell.Date, "time": cell.Time, "boolean": cell.Bool}[cell.Type]
				i++
			}
		}
		rows = append(rows, row)
	}
	return rows
}

// TestLibreOfficeReadsSheets: a spreadsheet has the cells that were meant: texts
// as they are, times, durations, shares and truths as what they are.
func TestLibreOfficeReadsSheets(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.mixed()
	rows := opened(t, w.get("/v1/sessions/s1/participants?format=sheet&timezone=Asia/Kolkata").body)
	if len(rows) != 3 {
		t.Fatalf("LibreOffice has %v; want 3 rows", rows)
	}
	for i, want := range []map[string]string{
		{"participantId": "string +4915112345678", "displayName": "string Name +4915112345678", "attendedSeconds": "time PT26H02M09S"},
		{"participantId": "string 007", "displayName": "string Name 007", "attendedSeconds": "time PT26H03M09S", "attendanceRatio": "percentage 1", "present": "boolean false"},
		{"participantId": "string ann", "displayName": "string Name ann"},
	} {
		for name, cell := range want {
			if got := rows[i][name]; got != cell {
				t.Errorf("LibreOffice's row %d, %s = %q; want %q", i, name, got, cell)
			}
		}
	}
	session := opened(t, w.get("/v1/sessions?format=sheet&timezone=Asia/Kolkata").body)[0]
	for name, want := range map[string]string{"sessionId": "string s1", "title": "string '=1+1", "startedAt": "date 2026-03-02T14:30:00", "durationSeconds": "time PT26H03M09S",
		"uniqueParticipants": "float 3", "stale": "boolean false"} {
		if got := session[name]; got != want {
			t.Errorf("LibreOffice's %s = %q; want %q", name, got, want)
		}
	}
}
