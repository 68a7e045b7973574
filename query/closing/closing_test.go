package closing_test

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/projections"
	"rollcall/query/closing"
)

// store is one on a server that has a log.
func store(t *testing.T) (*closing.Store, jetstream.JetStream) {
	t.Helper()
	js := eventlogtest.Connect(t)
	log, err := eventlogtest.Made(func() (*natslog.Log, error) {
		return natslog.Open(t.Context(), js, natslog.Config{Batch: natslog.BatchConfig{Timeout: eventlogtest.Patience}})
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(log.Close)
	return closing.NewStore(js), js
}

// month is October with n sessions, of half an hour and one person each.
func month(t *testing.T, n int) *closing.Closing {
	t.Helper()
	sessions := func(yield func(projections.UsageSession) bool) {
		for i := range n {
			at := time.Date(2026, 10, 1+i%31, 9, 0, 0, 0, time.UTC)
			s := projections.UsageSession{SessionID: fmt.Sprintf("7320828f-8bea-4a06-ad4b-%012d", i), MeetingID: fmt.Sprintf("9b5a6c1e-8d0f-4c60-a5cf-%012d", i%50),
				Organizer: projections.Organizer{ID: fmt.Sprint("organization-", i%7), Name: "Organization"}, StartedAt: eventlog.TimeOf(at), RevisedAt: eventlog.TimeOf(at.Add(time.Hour)),
				MaxConcurrentParticipants: 1, SlotSeconds: 900, Slots: []projections.UsageSlot{{Slot: at.Unix() / 900, ConnectedChange: 1, AttendedChange: 1},
					{Slot: at.Unix()/900 + 2, ConnectedMicros: int64(i), ConnectedChange: -1, AttendedChange: -1}}}
			if !yield(s) {
				return
			}
		}
	}
	c, err := closing.Make(closing.Head{Month: "2026-10", Timezone: "Asia/Kolkata", Sequence: 7, Incarnation: "log", Sequences: map[string]eventlog.Seq{"usage": 7}, Versions: map[string]string{"usage": "3"}},
		time.UTC, sessions, func(func(projections.Recording) bool) {})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

// TestStoreKeepsAMonth: a month of 5,000 sessions is stored in values of at most
// 512 KiB, and comes back the same.
func TestStoreKeepsAMonth(t *testing.T) {
	s, js := store(t)
	if got, err := s.List(t.Context()); err != nil || len(got) != 0 {
		t.Errorf("List() before the first = %v, %v; want none", got, err)
	}
	c := month(t, 5000)
	if c.Sessions != 5000 || c.AttendedSeconds != 5000*1800*eventlog.Second {
		t.Errorf("Make() has %d sessions, attended %v; want 5000, of 1800 seconds each", c.Sessions, c.AttendedSeconds)
	}
	if r := c.Rows[0]; r.MeetingID == "" || r.SessionID == "" || r.Organizer.ID == "" || r.Day == (projections.Date{}) {
		t.Errorf("the first row of a closing = %+v; want its day, organizer, meeting and session", r)
	}
	if _, err := s.Save(t.Context(), c, false); err != nil {
		t.Fatal(err)
	}
	if c.ID != "2026-10.Asia.Kolkata" || c.Parts < 2 {
		t.Errorf("Save() gives id %s and %d parts; want 2026-10.Asia.Kolkata in several", c.ID, c.Parts)
	}
	got, err := s.Load(t.Context(), c.ID)
	if err != nil || !reflect.DeepEqual(got, c) {
		t.Errorf("Load(%s) = %d rows, %v; want the %d that were saved", c.ID, len(got.Rows), err, len(c.Rows))
	}
	kv, err := js.KeyValue(t.Context(), closing.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	for n := range c.Parts {
		e, err := kv.Get(t.Context(), fmt.Sprintf("%s.p%d", c.ID, n))
		if err != nil || len(e.Value()) > 512<<10 {
			t.Errorf("part %d has %d bytes, %v; want at most 512 KiB", n, len(e.Value()), err)
		}
	}
	if _, err := s.Load(t.Context(), "2026-09.UTC"); !errors.Is(err, closing.ErrNotFound) {
		t.Errorf("Load(2026-09.UTC) = %v; want ErrNotFound", err)
	}
}

// TestStoreClosesOnce: a month is closed once in a time zone, unless it is asked for
// again; both closings stay. Two that are made at once are one.
func TestStoreClosesOnce(t *testing.T) {
	s, _ := store(t)
	ctx := t.Context()
	if _, err := s.Save(ctx, month(t, 3), false); err != nil {
		t.Fatal(err)
	}
	existing, err := s.Save(ctx, month(t, 4), false)
	if !errors.Is(err, closing.ErrExists) || existing == nil || existing.ID != "2026-10.Asia.Kolkata" || existing.Sessions != 3 {
		t.Errorf("Save() twice = %v, %v; want ErrExists and the first", existing, err)
	}
	earlier := month(t, 2)
	earlier.Month = "2026-09"
	if existing, err := s.Save(ctx, earlier, false); err != nil {
		t.Errorf("Save() of another month = %v, %v; want it stored", existing, err)
	}
	results := make(chan error, 2)
	for range 2 {
		go func() {
			_, err := s.Save(ctx, month(t, 5), true)
			results <- err
		}()
	}
	failed := 0
	for range 2 {
		if err := <-results; errors.Is(err, closing.ErrMoved) {
			failed++
		} else if err != nil {
			t.Error(err)
		}
	}
	heads, err := s.List(ctx)
	if err != nil || len(heads) != 4-failed || heads[1].ID != "2026-09.Asia.Kolkata" || heads[2].ID != "2026-10.Asia.Kolkata.2" {
		t.Fatalf("List() = %+v, %v; want 4 closings but for the %d refused", heads, err, failed)
	}
	for _, h := range heads {
		if c, err := s.Load(ctx, h.ID); err != nil || len(c.Rows) != h.Sessions {
			t.Errorf("Load(%s) = %d rows, %v; want %d", h.ID, len(c.Rows), err, h.Sessions)
		}
	}
}

// TestByOrganizer: the rows that are shown are those of usage by day and organizer.
func TestByOrganizer(t *testing.T) {
	c := month(t, 1000)
	var sum, want projections.UsageRow
	rows := c.ByOrganizer()
	for i := range rows {
		sum.Add(&rows[i])
		if i > 0 && rows[i].Day == rows[i-1].Day && rows[i].Organizer == rows[i-1].Organizer {
			t.Errorf("ByOrganizer() has two rows of %s and %s", rows[i].Day, rows[i].Organizer.ID)
		}
	}
	for i := range c.Rows {
		want.Add(&c.Rows[i])
	}
	if sum != want || len(rows) >= len(c.Rows) {
		t.Errorf("ByOrganizer() = %d rows with the sum %+v; want fewer than %d, with %+v", len(rows), sum, len(c.Rows), want)
	}
}

func TestCompare(t *testing.T) {
	before := month(t, 3).Rows
	after := slices.Clone(before)
	if got := closing.Compare(before, after); len(got) != 0 {
		t.Errorf("Compare() of equals = %v; want none", got)
	}
	after[0].ParticipantSeconds += 90 * eventlog.Second / 4
	after[0].RevisedAt += 5
	after[1].Organizer.Name = "renamed"
	after = after[:2] // the third is gone
	got := closing.Compare(before, after)
	if len(got) != 2 || got[0].SessionID != before[0].SessionID || got[0].RevisedAt != after[0].RevisedAt || len(got[0].Differences) != 1 || len(got[1].Differences) != 4 {
		t.Fatalf("Compare() = %+v; want the first and the third session", got)
	}
	d := got[0].Differences[0]
	b, _ := d.Before.MarshalJSON()
	a, _ := d.After.MarshalJSON()
	if d.Day != "2026-10-01" || d.Member != "participantSeconds" || string(b) != "1800" || string(a) != "1822.5" {
		t.Errorf("Compare() says %s on %s: %s, then %s; want participantSeconds on 2026-10-01: 1800, then 1822.5", d.Member, d.Day, b, a)
	}
}

// memory is a log of records.
type memory []eventlog.Record

func (m memory) Head(context.Context) (eventlog.Head, error) {
	return eventlog.Head{Incarnation: "log", First: 1, Last: eventlog.Seq(len(m))}, nil
}

func (m memory) Read(_ context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		for _, r := range m[:opts.UpTo] {
			if !yield(r, nil) {
				return
			}
		}
	}
}

// TestVerify: what a closing says is what the log gives up to its sequence, in however
// many passes; what was changed in it shows, and another log gives no answer.
func TestVerify(t *testing.T) {
	log, folds := simulated(t)
	half := eventlog.Seq(len(log) / 2)
	c := &closing.Closing{Head: closing.Head{Month: "2026-01", Timezone: "UTC", Incarnation: "log", Sequence: half,
		Sequences: map[string]eventlog.Seq{"usage": half, "recordings": half}}}
	// A closing of nothing differs in all that there is: that is what it should say.
	all, err := closing.Verify(t.Context(), log, folds, c, time.UTC, 1<<30)
	if err != nil || len(all) < 5 {
		t.Fatalf("Verify() of an empty closing = %d changes, %v; want the log's sessions", len(all), err)
	}
	var usage []projections.UsageSession
	err = closing.Documents(t.Context(), closing.Replay{Log: log, UpTo: half, MaxBytes: 1 << 30}, folds["usage"], func(d projections.UsageSession) { usage = append(usage, d) })
	if err != nil {
		t.Fatal(err)
	}
	var recordings []projections.Recording
	err = closing.Documents(t.Context(), closing.Replay{Log: log, UpTo: half, MaxBytes: 1}, folds["recordings"], func(d projections.Recording) { recordings = append(recordings, d) })
	if err != nil {
		t.Fatal(err)
	}
	if c, err = closing.Make(c.Head, time.UTC, slices.Values(usage), slices.Values(recordings)); err != nil {
		t.Fatal(err)
	}
	for _, maxBytes := range []int64{1 << 30, 64 << 10, 1} {
		if got, err := closing.Verify(t.Context(), log, folds, c, time.UTC, maxBytes); err != nil || len(got) != 0 {
			t.Errorf("Verify() with %d bytes = %v, %v; want no difference", maxBytes, got, err)
		}
	}
	c.Rows[0].AttendedSeconds++
	if got, err := closing.Verify(t.Context(), log, folds, c, time.UTC, 1<<30); err != nil || len(got) != 1 || got[0].SessionID != c.Rows[0].SessionID {
		t.Errorf("Verify() of a changed closing = %v, %v; want session %s", got, err, c.Rows[0].SessionID)
	}
	c.Incarnation = "another"
	if _, err := closing.Verify(t.Context(), log, folds, c, time.UTC, 1<<30); !errors.Is(err, closing.ErrOtherLog) {
		t.Errorf("Verify() of another log's = %v; want ErrOtherLog", err)
	}
}

// simulated is a log of January's traffic, and the folds by name.
func simulated(t *testing.T) (memory, map[string]eventlog.Fold) {
	t.Helper()
	var log memory
	for r := range traffic.Records(traffic.Config{Sessions: 20, Seed: 4, Start: time.Date(2026, 1, 5, 9, 0, 0, 0, time.UTC)}) {
		log = append(log, r)
	}
	folds := map[string]eventlog.Fold{}
	for _, f := range projections.All() {
		folds[f.Name()] = f
	}
	return log, folds
}
