package query_test

import (
	"encoding/json"
	"maps"
	"net/http"
	"slices"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/projector/viewstore"
	"rollcall/query/closing"
)

// documentsOf reads a whole view of a world, and where it is.
func documentsOf[D projections.Document](w *world, view string) (map[string]D, eventlog.Seq) {
	w.t.Helper()
	docs := map[string]D{}
	_, cp, err := viewstore.NewReader(w.js).View(w.t.Context(), view, func() { clear(docs) }, func(key string, value []byte) {
		d, err := projections.Parse[D](value)
		if err != nil {
			w.t.Fatal(err)
		}
		docs[key] = d
	})
	if err != nil {
		w.t.Fatal(err)
	}
	return docs, cp.Sequence
}

// close closes a month in UTC as the views are now.
func (w *world) close(month string) *closing.Closing {
	w.t.Helper()
	w.everywhere()
	sessions, at := documentsOf[projections.UsageSession](w, "usage")
	recordings, _ := documentsOf[projections.Recording](w, "recordings")
	c, err := closing.Make(closing.Head{Month: month, Timezone: "UTC", Sequence: at, ClosedAt: eventlog.TimeOf(epoch)}, time.UTC, maps.Values(sessions), maps.Values(recordings))
	if err == nil {
		_, err = closing.NewStore(w.js).Save(w.t.Context(), c, true)
	}
	if err != nil {
		w.t.Fatal(err)
	}
	return c
}

// closed is what the API answers of a closing.
type closed struct {
	ID       string           `json:"id"`
	Sequence uint64           `json:"sequence"`
	Sessions int              `json:"sessions"`
	Changed  *int             `json:"changed"`
	Dropped  int              `json:"dropped"`
	Rows     []map[string]any `json:"rows"`
	Changes  []struct {
		SessionID   string `json:"sessionId"`
		Title       string `json:"title"`
		RevisedAt   string `json:"revisedAt"`
		Differences []struct {
			Day, Member   string
			Before, After float64
		} `json:"differences"`
		Record *struct {
			Sequence   uint64 `json:"sequence"`
			EventID    string `json:"eventId"`
			Type       string `json:"type"`
			ReceivedAt string `json:"receivedAt"`
		} `json:"record"`
	} `json:"changes"`
}

func (w *world) closed(id string) (c closed) {
	w.t.Helper()
	a := w.get("/v1/closings/" + id)
	if err := json.Unmarshal(a.body, &c); a.status != http.StatusOK || err != nil {
		w.t.Fatalf("GET /v1/closings/%s = %d %s, %v; want 200", id, a.status, a.body, err)
	}
	return c
}

// TestClosings: a closing keeps its rows, and names the session that a late fact
// changed, with the record that did it.
func TestClosings(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	if got := w.items("/v1/closings"); len(got.Items) != 0 {
		t.Errorf("closings = %v; want none", got.Items)
	}
	w.post(started("s1", "m1", "Algebra", 0))
	w.post(joined("s1", "m1", "p1", "ann", 0))
	w.post(left("s1", "m1", "p1", "ann", 0, 600))
	w.post(started("s2", "m1", "Biology", 0))
	w.post(left("s2", "m1", "p1", "ann", 0, 300))
	kept := w.close("2026-03")
	rows := w.walk("/v1/usage?from=2026-03-01&to=2026-04-01")
	c := w.closed(kept.ID)
	if c.ID != "2026-03.UTC" || c.Sessions != 2 || c.Changed == nil || *c.Changed != 0 || len(c.Changes) != 0 || len(c.Rows) != 1 || c.Rows[0]["participantSeconds"] != 900.0 {
		t.Errorf("closing = %+v; want 2 sessions of 900 seconds, and nothing changed", c)
	}
	if got, want := jsonText(t, c.Rows), jsonText(t, rows); got != want {
		t.Errorf("rows of the closing = %s; want those of usage, %s", got, want)
	}
	// The same leave under another delivery uuid changes nothing, a later one does.
	w.post(left("s2", "m1", "p1", "ann", 0, 300))
	late := w.post(left("s2", "m1", "p1", "ann", 0, 450))
	c = w.closed(kept.ID)
	if *c.Changed != 1 || len(c.Changes) != 1 || c.Rows[0]["participantSeconds"] != 900.0 {
		t.Fatalf("closing after a late leave = %+v; want its rows as before, and one change", c)
	}
	ch := c.Changes[0]
	if ch.SessionID != "s2" || ch.Title != "Biology" || ch.Record == nil || eventlog.Seq(ch.Record.Sequence) != late || ch.Record.Type != "meeting.participantLeft" || ch.Record.ReceivedAt != ch.RevisedAt {
		t.Errorf("change = %+v, record %+v; want session s2 by record %d", ch, ch.Record, late)
	}
	if len(ch.Differences) != 2 || ch.Differences[0].Member != "participantSeconds" || ch.Differences[0].Before != 300 || ch.Differences[0].After != 450 || ch.Differences[0].Day != "2026-03-02" {
		t.Errorf("differences = %+v; want participantSeconds 300, then 450, and attendedSeconds", ch.Differences)
	}
	l := w.items("/v1/closings")
	if len(l.Items) != 1 || l.Items[0]["changed"] != 1.0 || l.Items[0]["month"] != "2026-03" || l.Items[0]["timezone"] != "UTC" {
		t.Errorf("closings = %v; want one, changed in one session", l.Items)
	}
	// What is counted again is that alone whose month has changed.
	w.close("2026-03")
	w.post(left("s1", "m1", "p1", "ann", 0, 700))
	for range 2 {
		if got := w.items("/v1/closings?sort=id").column("changed"); got != "2,1" {
			t.Errorf("changed = %s; want 2 sessions since the first closing, 1 since the second", got)
		}
	}
	w.post(started("s9", "m1", "Later", 60*60*24*60))
	if got := w.items("/v1/closings?sort=id").column("changed"); got != "2,1" {
		t.Errorf("changed after a session of another month = %s; want 2,1", got)
	}
	if a := w.get("/v1/closings/2026-04.UTC"); a.status != http.StatusNotFound {
		t.Errorf("GET /v1/closings/2026-04.UTC = %d; want 404", a.status)
	}
}

func jsonText(t *testing.T, v any) string {
	t.Helper()
	b, err := json.Marshal(v)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// TestClosingOfADroppedSession: a session that the views have dropped because of its
// age is not changed, also where its recording is still there.
func TestClosingOfADroppedSession(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(recorded("r1", "gone", "2026-03-02T09:00:00Z", "2026-03-02T09:10:00Z"))
	w.everywhere()
	recordings, at := documentsOf[projections.Recording](w, "recordings")
	session := projections.UsageSession{SessionID: "gone", StartedAt: eventlog.TimeOf(epoch), SlotSeconds: 900}
	c, err := closing.Make(closing.Head{Month: "2026-03", Timezone: "UTC", Sequence: at}, time.UTC, slices.Values([]projections.UsageSession{session}), maps.Values(recordings))
	if err == nil {
		_, err = closing.NewStore(w.js).Save(t.Context(), c, false)
	}
	if err != nil {
		t.Fatal(err)
	}
	if got := w.closed(c.ID); *got.Changed != 0 || got.Dropped != 1 {
		t.Errorf("closing = %d changed, %d dropped; want 0 and 1", *got.Changed, got.Dropped)
	}
}
