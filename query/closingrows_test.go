package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
)

// TestClosingRows: a closing's rows are a list, as they were, and a file of them says
// the sequence, the time zone and when it was made.
func TestClosingRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "Algebra", 0))
	w.post(left("s1", "m1", "p1", "ann", 0, 600))
	w.post(started("s2", "m1", "Biology", 60*60*24))
	w.post(left("s2", "m1", "p1", "ann", 60*60*24, 60*60*24+300))
	kept := w.close("2026-03")
	w.post(left("s2", "m1", "p1", "ann", 60*60*24, 60*60*24+900))
	const path = "/v1/closings/2026-03.UTC/rows"
	l := w.items(path)
	if got := l.column("participantSeconds"); got != "600,300" || l.column("day") != "2026-03-02,2026-03-03" || l.Items[0]["sequence"] != float64(kept.Sequence) || l.Items[0]["timezone"] != "UTC" {
		t.Errorf("GET %s = %v; want 600 and 300 seconds of two days as closed, at record %d in UTC", path, l.Items, kept.Sequence)
	}
	a := w.get(path + "?format=csv")
	head, row, _ := strings.Cut(string(a.body), "\r\n")
	if want := fmt.Sprintf(",%d,UTC,2026-03-02T09:00:00Z\r\n", kept.Sequence); !strings.HasSuffix(head, ",revisedAt,sequence,timezone,closedAt") || strings.Count(row, want) != 2 {
		t.Errorf("GET %s?format=csv = %s; want two lines that end in %q", path, a.body, want)
	}
	if a := w.get("/v1/closings/2026-04.UTC/rows"); a.status != http.StatusNotFound {
		t.Errorf("rows of a month that is not closed = %d; want 404", a.status)
	}
	if first := w.items(path + "?limit=1"); first.NextCursor == nil || w.items(path+"?limit=1&cursor="+*first.NextCursor).column("participantSeconds") != "300" {
		t.Errorf("page of one row = %v; want another after it, of 300 seconds", first)
	}
}
