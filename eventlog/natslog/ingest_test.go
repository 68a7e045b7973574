package natslog_test

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
)

// TestAgainstTheLog goes the whole way: HTTP, group commit, fsync, a repeat. It
// is here, and not in ingest, so that ingest's fuzz tests need not carry a
// nats-server.
func TestAgainstTheLog(t *testing.T) {
	const body = `{"event":"meeting.started","meeting":{"id":"m1","sessionId":"s1"}}`
	type answer struct {
		EventID   string       `json:"eventId"`
		Sequence  eventlog.Seq `json:"sequence"`
		Duplicate bool         `json:"duplicate"`
	}
	node := eventlogtest.Server(t, eventlogtest.Options{SyncAlways: true})
	open := func() (*natslog.Log, func(uuid string) answer) {
		log, err := natslog.Open(t.Context(), node.JetStream(t), natslog.Config{})
		if err != nil {
			t.Fatal(err)
		}
		h, err := ingest.New(ingest.Config{Log: log, Sources: []ingest.Source{{Name: "open", Scheme: "none"}}})
		if err != nil {
			t.Fatal(err)
		}
		return log, func(uuid string) (a answer) {
			r := httptest.NewRequest(http.MethodPost, "/webhooks/open", strings.NewReader(body))
			r.Header.Set("Dyte-Uuid", uuid)
			w := httptest.NewRecorder()
			h.ServeHTTP(w, r)
			if err := json.Unmarshal(w.Body.Bytes(), &a); w.Code != http.StatusOK || err != nil {
				t.Fatalf("answer = %d %s (%v); want 200", w.Code, w.Body, err)
			}
			return a
		}
	}
	_, post := open()
	first := post("u")
	if again := post("u"); again.EventID != first.EventID || again.Sequence != first.Sequence || !again.Duplicate || first.Duplicate {
		t.Errorf("repeat = %+v; want a duplicate of %+v", again, first)
	}
	if other := post("v"); other.Sequence != 2 || other.Duplicate {
		t.Errorf("other uuid = %+v; want sequence 2", other)
	}
	node.Restart(t)
	late, post := open()
	if got := post("u"); got.EventID != first.EventID || !got.Duplicate {
		t.Errorf("repeat after a restart = %+v; want a duplicate of %+v", got, first)
	}
	r, err := late.Record(t.Context(), first.Sequence)
	if err != nil || string(r.Body) != body || r.EventID != first.EventID || r.DeliveryID != "u" {
		t.Errorf("Record = %+v, %v", r, err)
	}
}
