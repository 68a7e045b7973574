package query_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"
	"time"
)

// TestAsOfBeforeTheFirstRecord: who asks for a moment before a session says when
// there was one.
func TestAsOfBeforeTheFirstRecord(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s0", "m1", "Another", 0))
	w.post(recording("r1", "s1", "RECORDING")) // opens nothing
	w.postAt(epoch.Add(time.Hour), joined("s1", "m1", "p1", "ann", 0))
	w.postAt(epoch.Add(time.Minute), started("s1", "m1", "Lecture", 0)) // received before, stored after
	for asOf, want := range map[string]string{
		"0": "sequence 3, received at 2026-03-02T10:00:00Z", "2": "sequence 3, received at 2026-03-02T10:00:00Z",
		"2020-01-01T00:00:00Z": "sequence 4, received at 2026-03-02T09:01:00Z", "2026-03-02T09:00:59Z": "sequence 4, received at 2026-03-02T09:01:00Z",
	} {
		for _, path := range []string{"/v1/sessions/s1", "/v1/sessions/s1/participants"} {
			a := w.get(path + "?asOf=" + asOf)
			if a.status != http.StatusNotFound || !strings.Contains(string(a.body), fmt.Sprintf("no session \\\"s1\\\" as of then: the record that began it has %s; ask for that or later", want)) {
				t.Errorf("GET %s?asOf=%s = %d %s; want 404 that says %s", path, asOf, a.status, a.body, want)
			}
		}
	}
	for _, asOf := range []string{"3", "4", "2026-03-02T09:01:00Z"} {
		if a := w.get("/v1/sessions/s1?asOf=" + asOf); a.status != http.StatusOK {
			t.Errorf("session as of %s = %d %s; want 200", asOf, a.status, a.body)
		}
	}
	if a := w.get("/v1/sessions/s9?asOf=1"); a.status != http.StatusNotFound || !strings.Contains(string(a.body), `no session \"s9\""`) {
		t.Errorf("a session that never was = %d %s; want 404 that says no more", a.status, a.body)
	}
}
