package viewstore_test

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// aged are sessions that ended an hour apart, the last one now; some with ids
// that no subject can hold.
func aged(t *testing.T, sessions int, now time.Time) (all []eventlog.Record, over map[string]time.Time) {
	t.Helper()
	over = make(map[string]time.Time)
	for i := range sessions {
		session := fmt.Sprintf("s%d", i)
		if i%3 == 0 {
			session = fmt.Sprintf("session number %d", i)
		}
		end := now.Add(-time.Duration(sessions-1-i) * time.Hour)
		over[session] = end
		for j, event := range []string{"started", "participantJoined", "participantLeft", "transcript", "ended"} {
			at := end.Add(time.Duration(j) * time.Minute)
			body := fmt.Sprintf(`{"event":"meeting.%s","meeting":{"id":"m","sessionId":%q},"transcriptDownloadUrl":"https://files.example.com/t",
				"participant":{"peerId":"p-%d","customParticipantId":"someone","joinedAt":%q,"leftAt":%q}}`,
				event, session, j, at.Format(time.RFC3339), at.Add(time.Minute).Format(time.RFC3339))
			all = append(all, eventlog.Record{
				EventID: fmt.Sprintf("E%06d", len(all)), ReceivedAt: eventlog.TimeOf(at), Source: "test", Type: "meeting." + event, Body: []byte(body),
			})
		}
		over[session] = end.Add(3 * time.Minute) // the transcript ends it as well
	}
	return all, over
}

// settledAt waits until the view is settled at a horizon no earlier than when.
func settledAt(t *testing.T, s *viewstore.Store, view string, when time.Time) projector.Checkpoint {
	t.Helper()
	deadline := time.After(patience)
	for {
		alias, err := s.Alias(testContext(t), view)
		if err == nil {
			cp, err := s.Checkpoint(testContext(t), alias.Bucket)
			if err == nil && cp.Horizon >= eventlog.TimeOf(when) && cp.Sweeping == 0 {
				return cp
			}
		}
		select {
		case <-deadline:
			t.Fatalf("view %s is not settled at %v", view, when)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// sessionsIn are the sessions that a view has documents of.
func sessionsIn(t *testing.T, s *viewstore.Store, view string) map[string]bool {
	t.Helper()
	out := map[string]bool{}
	for e, err := range s.All(testContext(t), view, "") {
		if err != nil {
			t.Fatalf("All(%s) = %v", view, err)
		}
		var doc struct {
			SessionID string `json:"sessionId"`
		}
		if err := json.Unmarshal(e.Value, &doc); err != nil {
			t.Fatal(err)
		}
		out[doc.SessionID] = true
	}
	return out
}

// Views of sessions drop what was over for longer than they keep it: documents
// and state, by any id. Rebuilds leave it out, verify agrees, and a rebuild that
// is asked to brings it back.
func TestViewMaxAge(t *testing.T) {
	t.Parallel()
	for _, fold := range projections.All() {
		if !slices.Contains([]string{"sessions", "attendance", "artifacts", "usage"}, fold.Name()) {
			continue
		}
		t.Run(fold.Name(), func(t *testing.T) { testViewMaxAge(t, fold) })
	}
}

func testViewMaxAge(t *testing.T, fold eventlog.Fold) {
	now := time.Now()
	all, over := aged(t, 12, now)
	d := &deployment{node: eventlogtest.Server(t), fold: fold}
	d.log = fill(t, d.node.JetStream(t), all)
	d.store = open(t, d.node.JetStream(t), viewstore.Config{Exclusive: true})
	config := projector.Config{Projection: fold, Source: d.log, Store: d.store}
	_, stop := run(t, config)
	reached(t, d.store, fold.Name(), eventlog.Seq(len(all)))
	if err := stop(); err != nil {
		t.Fatal(err)
	}
	if got := sessionsIn(t, d.store, fold.Name()); len(got) != len(over) {
		t.Fatalf("without a limit the view has %d sessions; want %d", len(got), len(over))
	}

	config.MaxAge = 5*time.Hour + 30*time.Minute
	_, stop = run(t, config)
	defer func() { _ = stop() }()
	cp := settledAt(t, d.store, fold.Name(), now.Add(-config.MaxAge-4*time.Minute))
	kept := map[string]bool{}
	for session, at := range over {
		if eventlog.TimeOf(at) >= cp.Horizon {
			kept[session] = true
		}
	}
	if len(kept) == 0 || len(kept) == len(over) {
		t.Fatalf("%d of %d sessions are kept; want some", len(kept), len(over))
	}
	want := func(when string, sessions map[string]bool) {
		t.Helper()
		if got := sessionsIn(t, d.store, fold.Name()); !maps.Equal(got, sessions) {
			t.Errorf("%s the view has %v; want %v", when, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(sessions)))
		}
		if v := d.verify(t, nil); len(v.Differences) != 0 {
			t.Errorf("%s Verify() = %+v; want no difference", when, v.Differences)
		}
	}
	want("after a sweep", kept)
	wantMarks(t, d, len(over)-len(kept))

	if _, err := d.rebuild(t, testContext(t), nil); err != nil {
		t.Fatalf("Rebuild() = %v", err)
	}
	want("after a rebuild", kept)
	wantMarks(t, d, len(over)-len(kept))
	if err := stop(); err != nil {
		t.Fatal(err)
	}

	config.MaxAge = 0
	_, stop = run(t, config)
	if _, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) { c.WithDropped = true }); err != nil {
		t.Fatalf("Rebuild(WithDropped) = %v", err)
	}
	everything := map[string]bool{}
	for session := range over {
		everything[session] = true
	}
	want("after a rebuild with what was dropped", everything)
}

// wantMarks counts what is stored of dropped entities.
func wantMarks(t *testing.T, d *deployment, n int) {
	t.Helper()
	alias, err := d.store.Alias(testContext(t), d.fold.Name())
	if err != nil {
		t.Fatal(err)
	}
	parts := map[string][]string{}
	for subject := range subjects(t, d, "rollcall.state."+alias.Bucket+".e.>") {
		tokens := strings.Split(subject, ".")
		parts[tokens[4]] = append(parts[tokens[4]], tokens[5])
	}
	marks := 0
	for entity, names := range parts {
		if slices.Contains(names, projector.MarkPart) {
			marks++
			if len(names) > 1 {
				t.Errorf("of the dropped entity %s %v are stored; want the mark alone", entity, names)
			}
		}
	}
	if marks != n {
		t.Errorf("%d entities have a mark; want %d", marks, n)
	}
}

// subjects of what a bucket's stream holds, delete markers left out.
func subjects(t *testing.T, d *deployment, filter string) map[string]bool {
	t.Helper()
	alias, err := d.store.Alias(testContext(t), d.fold.Name())
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	consumer, err := d.node.JetStream(t).OrderedConsumer(ctx, viewstore.StreamOf(alias.Bucket), jetstream.OrderedConsumerConfig{FilterSubjects: []string{filter}})
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for pending := consumer.CachedInfo().NumPending; pending > 0; {
		m, err := consumer.Next()
		if err != nil {
			t.Fatal(err)
		}
		if m.Headers().Get("KV-Operation") == "" {
			out[m.Subject()] = true
		}
		meta, err := m.Metadata()
		if err != nil {
			t.Fatal(err)
		}
		pending = meta.NumPending
	}
	return out
}

// sweptMeanwhile is a registry whose live view moves its horizon while it is
// carried.
type sweptMeanwhile struct {
	projector.Registry
	from    string
	carried bool
}

func (r *sweptMeanwhile) Carry(ctx context.Context, from, to projector.Generation) (int, error) {
	r.from, r.carried = from.Bucket, true
	return r.Registry.Carry(ctx, from, to)
}

func (r *sweptMeanwhile) Checkpoint(ctx context.Context, bucket string) (projector.Checkpoint, error) {
	cp, err := r.Registry.Checkpoint(ctx, bucket)
	cp.Horizon = 1000
	if r.carried && bucket == r.from {
		cp.Sweeping = 2000
	}
	return cp, err
}

// What a carry copied may have been dropped by a horizon that began to move
// meanwhile: the new generation's checkpoint says so.
func TestCarryDuringASweep(t *testing.T) {
	t.Parallel()
	all := records(9, 80)
	d := deploy(t, all)
	trim(t, d, len(all)/2)
	_, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) {
		c.Carry, c.Registry = true, &sweptMeanwhile{Registry: c.Registry}
	})
	if err != nil {
		t.Fatalf("Rebuild(Carry) = %v", err)
	}
	alias, err := d.store.Alias(testContext(t), d.fold.Name())
	if err != nil {
		t.Fatal(err)
	}
	cp, err := d.store.Checkpoint(testContext(t), alias.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	if got := max(cp.Horizon, cp.Sweeping); got != 2000 {
		t.Errorf("horizon of %s = %d, sweeping %d; want it to go to 2000", alias.Bucket, cp.Horizon, cp.Sweeping)
	}
}
