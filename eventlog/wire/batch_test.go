package wire_test

import (
	"errors"
	"fmt"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/wire"
)

// An answer counts as one only where it names a sequence.
func TestParsePubAck(t *testing.T) {
	for data, want := range map[string]uint64{
		`{"stream":"S","seq":7}`: 7, `{"stream":"S","seq":7,"duplicate":true}`: 7, `{"seq":0}`: 0, `{}`: 0, ``: 0, `x`: 0, `{"error":{"code":400,"err_code":1},"seq":7}`: 0,
	} {
		a, err := wire.ParsePubAck(&nats.Msg{Data: []byte(data)})
		if a.Sequence != want || (err == nil) != (want > 0) {
			t.Errorf("ParsePubAck(%s) = %d, %v; want %d", data, a.Sequence, err, want)
		}
	}
	if _, err := wire.ParsePubAck(&nats.Msg{Header: nats.Header{"Status": {"503"}}, Data: []byte(`{"seq":7}`)}); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("ParsePubAck of a 503 = %v; want %v", err, nats.ErrNoResponders)
	}
}

// A batch is stored with its id and places, and refused as a whole.
func TestPublish(t *testing.T) {
	js := eventlogtest.Connect(t)
	if _, err := js.CreateStream(t.Context(), jetstream.StreamConfig{Name: stream, Subjects: []string{"s.>"}, AllowAtomicPublish: true}); err != nil {
		t.Fatal(err)
	}
	batch := func(expected string) []*nats.Msg {
		messages := []*nats.Msg{nats.NewMsg("s.1"), nats.NewMsg("s.2"), nats.NewMsg("s.3")}
		messages[0].Header.Set(jetstream.ExpectedLastSeqHeader, expected)
		return messages
	}
	if last, err := wire.Publish(bounded(t), js.Conn(), "one", batch("0")); err != nil || last != 3 {
		t.Fatalf("Publish() of 3 = %d, %v; want 3", last, err)
	}
	m, err := wire.LeaderLast(bounded(t), js, stream, "s.2")
	if err != nil {
		t.Fatal(err)
	}
	if id, place := wire.BatchOf(m.Header); id != "one" || place != 2 {
		t.Errorf("BatchOf() = %q, %d; want one, 2", id, place)
	}
	if _, err := wire.Publish(bounded(t), js.Conn(), "two", batch("1")); !wire.IsConflict(err) {
		t.Errorf("Publish() after the stream's end = %v; want a conflict", err)
	}
	single := batch("3")
	wire.MarkBatch("three", single)
	wire.UnmarkBatch(single...)
	if last, err := wire.Publish(bounded(t), js.Conn(), "three", single[:1]); err != nil || last != 4 {
		t.Errorf("Publish() of one = %d, %v; want 4", last, err)
	}
}

func TestConfirms(t *testing.T) {
	a := wire.PubAck{Batch: "b", Count: 2}
	if err := a.Confirms("b", 2); err != nil {
		t.Errorf("Confirms of its own batch = %v; want nil", err)
	}
	if a.Confirms("b", 3) == nil || a.Confirms("c", 2) == nil {
		t.Error("Confirms of another batch = nil; want an error")
	}
}

func TestTooOld(t *testing.T) {
	for version, want := range map[string]bool{
		"2.11.9": true, "1.99.0": true, "2.12.0": false, "2.15.2": false, "3.0.0": false, "2.12": false, "": false, "x": false, "2.x.1": false,
	} {
		if got := wire.TooOld(version); got != want {
			t.Errorf("TooOld(%q) = %v; want %v", version, got, want)
		}
	}
}

func TestIsConflict(t *testing.T) {
	for code, want := range map[jetstream.ErrorCode]bool{10071: true, 10164: true, 10054: false} {
		if got := wire.IsConflict(fmt.Errorf("publish: %w", &jetstream.APIError{ErrorCode: code})); got != want {
			t.Errorf("IsConflict(%d) = %v; want %v", code, got, want)
		}
	}
}
