package natslog_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

// TestRepeatThatLeavesTakesNothingBack: whoever repeats a record that waits may
// leave; the record is that of the caller who came first, and is stored.
func TestRepeatThatLeavesTakesNothingBack(t *testing.T) {
	t.Parallel()
	l := open(t, eventlogtest.Connect(t), natslog.Config{Batch: natslog.BatchConfig{Timeout: time.Second}})
	l.DropPublishes(true)
	go l.Append(t.Context(), rec(1)) // in the way until its time is over
	eventually(t, func() error {
		if !l.Busy() {
			return errors.New("idle")
		}
		return nil
	})
	first := make(chan error, 1)
	go func() { _, err := l.Append(t.Context(), rec(2)); first <- err }()
	eventually(t, func() error {
		if l.Stats().Queued != 1 {
			return errors.New("not queued")
		}
		return nil
	})
	gone, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(gone, rec(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append() of a repeat whose caller left = %v; want canceled", err)
	}
	l.DropPublishes(false)
	if err := <-first; err != nil {
		t.Errorf("Append() of the first = %v; want it stored, whoever repeats it", err)
	}
}

// TestCallerWhoLeavesSettlesNothing: what was sent may be stored, so a caller who
// leaves then decides nothing for those who repeat it.
func TestCallerWhoLeavesSettlesNothing(t *testing.T) {
	t.Parallel()
	l := open(t, eventlogtest.Connect(t), natslog.Config{Batch: natslog.BatchConfig{Timeout: time.Second}})
	l.DropAcks(true)
	ctx, leave := context.WithCancel(t.Context())
	left := make(chan error, 1)
	go func() { _, err := l.Append(ctx, rec(1)); left <- err }()
	eventually(t, func() error {
		if !l.Busy() {
			return errors.New("idle")
		}
		return nil
	})
	leave()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Errorf("Append() of a caller who left = %v; want canceled", err)
	}
	if _, err := l.Append(t.Context(), rec(1)); !errors.Is(err, eventlog.ErrUnavailable) || errors.Is(err, context.Canceled) {
		t.Errorf("Append() of a repeat = %v; want that no answer came", err)
	}
}

// TestOpenAppliesEachSetting: each setting that differs is enough to change the
// log.
func TestOpenAppliesEachSetting(t *testing.T) {
	js := eventlogtest.Connect(t)
	open(t, js, natslog.Config{MaxAge: 2 * time.Hour})
	for _, c := range []natslog.Config{
		{MaxAge: time.Hour}, {MaxBytes: 1 << 20}, {DuplicateWindow: time.Minute}, {MaxBytes: natslog.NoLimit}, {DuplicateWindow: 100 * time.Millisecond},
	} {
		in, err := open(t, js, c).Info(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if c.MaxAge != 0 && in.MaxAge != c.MaxAge || c.MaxBytes != 0 && in.MaxBytes != c.MaxBytes || c.DuplicateWindow != 0 && in.DuplicateWindow != c.DuplicateWindow {
			t.Errorf("Info() after Open(%+v) = %+v; want it applied", c, in)
		}
	}
	for _, c := range []natslog.Config{
		{Replicas: -1}, {Replicas: 6}, {MaxAge: -2}, {MaxBytes: -2}, {DuplicateWindow: 100*time.Millisecond - 1}, {MaxAge: time.Hour, DuplicateWindow: time.Hour + 1},
		{Batch: natslog.BatchConfig{MaxRecords: -1}}, {Batch: natslog.BatchConfig{MaxRecords: 1001}}, {Batch: natslog.BatchConfig{MaxBytes: -1}}, {Batch: natslog.BatchConfig{Singles: -1}},
		{Batch: natslog.BatchConfig{MaxQueue: -1}}, {Batch: natslog.BatchConfig{Timeout: -1}}, {Batch: natslog.BatchConfig{Settle: -1}}, {Batch: natslog.BatchConfig{RecentIDs: -1}},
	} {
		if _, err := natslog.Open(t.Context(), js, c); err == nil {
			t.Errorf("Open(%+v) = nil; want an error", c)
		}
	}
	for _, c := range []natslog.Config{{MaxAge: time.Hour, DuplicateWindow: time.Hour}, {Batch: natslog.BatchConfig{MaxRecords: 1000}}} {
		if _, err := natslog.Open(t.Context(), js, c); err != nil {
			t.Errorf("Open(%+v) = %v; want no error", c, err)
		}
	}
}

// TestReadersLeaveNoConsumer: the server keeps nothing of a read that ended.
func TestReadersLeaveNoConsumer(t *testing.T) {
	js := eventlogtest.Connect(t)
	l := open(t, js, natslog.Config{})
	appendAll(t, l, 0, 5)
	for range 3 {
		if got, err := sequences(t, l, eventlog.ReadOptions{}); err != nil || len(got) != 5 {
			t.Fatalf("Read() = %v, %v", got, err)
		}
	}
	s, err := js.Stream(t.Context(), eventlog.Stream)
	if err != nil {
		t.Fatal(err)
	}
	if n := s.CachedInfo().State.Consumers; n != 0 {
		t.Errorf("the log has %d consumers after three reads; want none", n)
	}
}
