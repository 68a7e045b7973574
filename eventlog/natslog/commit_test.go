package natslog_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
)

type answer struct {
	eventlog.Appended
	err error
}

// together appends all records at once and returns the answers in their order.
func together(t testing.TB, l *natslog.Log, records ...*eventlog.Record) []answer {
	t.Helper()
	answers := make([]answer, len(records))
	var wg sync.WaitGroup
	for i, r := range records {
		wg.Go(func() {
			ctx, cancel := context.WithTimeout(context.Background(), eventlogtest.Patience)
			defer cancel()
			answers[i].Appended, answers[i].err = l.Append(ctx, r)
		})
	}
	wg.Wait()
	return answers
}

func collect(t testing.TB, l *natslog.Log) map[string]eventlog.Seq {
	t.Helper()
	found := map[string]eventlog.Seq{}
	for r, err := range l.Read(t.Context(), eventlog.ReadOptions{}) {
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		if other, ok := found[r.EventID]; ok {
			t.Errorf("event %s stands at %d and %d", r.EventID, other, r.Seq)
		}
		found[r.EventID] = r.Seq
	}
	return found
}

func TestAppendGathersUnderLoad(t *testing.T) {
	l := open(t, eventlogtest.Connect(t, eventlogtest.Options{SyncAlways: true}), natslog.Config{})
	const n = 2000
	var records []*eventlog.Record
	for i := range n {
		records = append(records, rec(i))
	}
	answers := together(t, l, records...)
	found := collect(t, l)
	if len(found) != n {
		t.Errorf("the log holds %d records; want %d", len(found), n)
	}
	for i, a := range answers {
		want := eventlog.Appended{Seq: found[records[i].EventID], EventID: records[i].EventID}
		if a.err != nil || a.Appended != want {
			t.Fatalf("Append(%d) = %+v, %v; want %+v", i, a.Appended, a.err, want)
		}
	}
	if s := l.Stats(); s.Batches == 0 || s.Batches+s.Singles > n/4 {
		t.Errorf("Stats = %+v; want few publishes, most in batches", s)
	}
}

func TestAppendRepeats(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{})
	var records []*eventlog.Record
	for i := range 300 {
		for copy := range 3 {
			r := rec(i)
			r.EventID = fmt.Sprintf("e%d-%d", i, copy)
			records = append(records, r)
		}
	}
	check := func(l *natslog.Log, answers []answer, stored int) {
		t.Helper()
		found := collect(t, l)
		if len(found) != 300 {
			t.Errorf("the log holds %d records; want 300", len(found))
		}
		for i, a := range answers {
			if a.err != nil {
				t.Fatalf("Append(%d): %v", i, a.err)
			}
			if found[a.EventID] != a.Seq {
				t.Errorf("Append(%d) = %+v; the log has that event at %d", i, a.Appended, found[a.EventID])
			}
			if !a.Duplicate {
				stored--
			}
		}
		if stored != 0 {
			t.Errorf("%d answers too few are no duplicates", stored)
		}
	}
	check(l, together(t, l, records...), 300)
	check(l, together(t, l, records...), 0)
	// A log that is opened again remembers nothing itself: the server knows.
	node.Restart(t)
	fresh := open(t, node.JetStream(t), natslog.Config{})
	check(fresh, together(t, fresh, records...), 0)
}

// TestBatchWithARepeat proves that a batch which the server refuses because of
// a repeat that another ingester stored costs nobody an answer.
func TestBatchWithARepeat(t *testing.T) {
	node := eventlogtest.Server(t)
	one := open(t, node.JetStream(t), natslog.Config{})
	two := open(t, node.JetStream(t), natslog.Config{})
	appendAll(t, one, 50, 60)
	var records []*eventlog.Record
	for i := range 300 {
		r := rec(i)
		r.EventID = fmt.Sprintf("two-%d", i)
		records = append(records, r)
	}
	answers := together(t, two, records...)
	for i, a := range answers {
		want := records[i].EventID
		if i >= 50 && i < 60 {
			want = rec(i).EventID
		}
		if a.err != nil || a.EventID != want || a.Duplicate != (i >= 50 && i < 60) {
			t.Errorf("Append(%d) = %+v, %v; want event %s", i, a.Appended, a.err, want)
		}
	}
	if found := collect(t, one); len(found) != 300 {
		t.Errorf("the log holds %d records; want 300", len(found))
	}
	if s := two.Stats(); s.RefusedBatches == 0 {
		t.Errorf("Stats = %+v; want a refused batch", s)
	}
}

func TestAppendWithoutUUIDRepeatsNothing(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{})
	for i := range 3 {
		r := rec(1)
		r.DeliveryID, r.EventID = "", fmt.Sprint(i)
		a, err := l.Append(t.Context(), r)
		if err != nil || a.Duplicate || a.Seq != eventlog.Seq(i+1) {
			t.Errorf("Append = %+v, %v; want sequence %d", a, err, i+1)
		}
	}
}

func TestDuplicateWindowEnds(t *testing.T) {
	now := time.Now()
	var mu sync.Mutex
	clock := func() time.Time { mu.Lock(); defer mu.Unlock(); return now }
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{
		DuplicateWindow: 100 * time.Millisecond,
		Batch:           natslog.BatchConfig{Now: clock},
	})
	first, err := l.Append(t.Context(), rec(1))
	if err != nil {
		t.Fatal(err)
	}
	if a, err := l.Append(t.Context(), rec(1)); err != nil || !a.Duplicate || a.Seq != first.Seq {
		t.Errorf("repeat within the window = %+v, %v; want a duplicate of %d", a, err, first.Seq)
	}
	mu.Lock()
	now = now.Add(time.Second)
	mu.Unlock()
	eventually(t, func() error { // the server's window ends by its own clock
		a, err := l.Append(t.Context(), rec(1))
		if err == nil && a.Duplicate {
			return errors.New("still a duplicate")
		}
		return err
	})
}

// TestBatchIsSettledByReading proves that a batch whose ack is lost is found in
// the log, and its records answered with their sequences.
func TestBatchIsSettledByReading(t *testing.T) {
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{Batch: natslog.BatchConfig{
		Timeout: 300 * time.Millisecond, Settle: 10 * time.Second, Singles: 1,
	}})
	// Another's batch: ours does not stand where it might be guessed, and is not that one.
	other := open(t, node.JetStream(t), natslog.Config{Batch: natslog.BatchConfig{Singles: 1}})
	together(t, other, rec(1000), rec(1001), rec(1002), rec(1003), rec(1004))
	l.DropAcks(true)
	var records []*eventlog.Record
	for i := range 40 {
		records = append(records, rec(i))
	}
	answers := together(t, l, records...)
	found := collect(t, l)
	settled := 0
	for i, a := range answers {
		if a.err != nil { // the first one went alone: nobody got its ack
			continue
		}
		settled++
		if want := found[records[i].EventID]; a.Seq != want || want == 0 {
			t.Errorf("Append(%d) = %+v; want sequence %d", i, a.Appended, want)
		}
	}
	if settled < len(records)-2 {
		t.Errorf("%d of %d appends were settled; want nearly all", settled, len(records))
	}
	if s := l.Stats(); s.Settled == 0 {
		t.Errorf("Stats = %+v; want a settled batch", s)
	}
}

// TestBatchThatNeverArrived proves that a batch which is not in the log is
// answered with an error, not guessed.
func TestBatchThatNeverArrived(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t)
	l := open(t, node.JetStream(t), natslog.Config{Batch: natslog.BatchConfig{
		Timeout: time.Second, Settle: 50 * time.Millisecond, Singles: 1,
	}})
	appendAll(t, l, 0, 1)
	l.DropPublishes(true)
	for i, a := range together(t, l, rec(1), rec(2), rec(3), rec(4)) {
		if !errors.Is(a.err, eventlog.ErrUnavailable) {
			t.Errorf("Append(%d) = %+v, %v; want ErrUnavailable", i, a.Appended, a.err)
		}
	}
	l.DropPublishes(false)
	for i, a := range together(t, l, rec(1), rec(2), rec(3), rec(4)) {
		if a.err != nil || a.Duplicate {
			t.Errorf("Append(%d) again = %+v, %v; want it stored", i, a.Appended, a.err)
		}
	}
}

func TestQueueIsBounded(t *testing.T) {
	l := open(t, eventlogtest.Connect(t), natslog.Config{Batch: natslog.BatchConfig{
		MaxQueue: 5, Timeout: 200 * time.Millisecond, Settle: 10 * time.Millisecond,
	}})
	l.DropPublishes(true)
	var records []*eventlog.Record
	for i := range 50 {
		records = append(records, rec(i))
	}
	for i, a := range together(t, l, records...) {
		if !errors.Is(a.err, eventlog.ErrUnavailable) {
			t.Errorf("Append(%d) = %+v, %v; want ErrUnavailable", i, a.Appended, a.err)
		}
	}
	if s := l.Stats(); s.QueueFull == 0 || s.Queued != 0 {
		t.Errorf("Stats = %+v; want some refused for a full queue and none left", s)
	}
}

// TestAbandonedIsNotPublished proves that a record whose caller left while it
// waited is not stored behind its back.
func TestAbandonedIsNotPublished(t *testing.T) {
	t.Parallel()
	l := open(t, eventlogtest.Connect(t), natslog.Config{Batch: natslog.BatchConfig{Timeout: time.Second}})
	l.DropPublishes(true)
	done := make(chan struct{})
	go func() { defer close(done); l.Append(context.Background(), rec(1)) }()
	eventually(t, func() error {
		if !l.Busy() {
			return errors.New("idle")
		}
		return nil
	})
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := l.Append(ctx, rec(2)); !errors.Is(err, context.Canceled) {
		t.Errorf("Append = %v; want canceled", err)
	}
	l.DropPublishes(false)
	<-done
	a, err := eventlogtest.Made(func() (eventlog.Appended, error) { return l.Append(t.Context(), rec(3)) })
	if err != nil || a.Seq != 1 {
		t.Errorf("Append = %+v, %v; want sequence 1, nothing else stored", a, err)
	}
	again, stop := context.WithTimeout(t.Context(), eventlogtest.Patience)
	defer stop()
	if a, err := l.Append(again, rec(2)); err != nil || a.Duplicate {
		t.Errorf("Append of what was taken back = %+v, %v; want it stored", a, err)
	}
}

// TestAppendUnderRestarts proves the promise itself: whatever got a sequence is
// in the log at it, once.
func TestAppendUnderRestarts(t *testing.T) {
	t.Parallel()
	node := eventlogtest.Server(t, eventlogtest.Options{SyncAlways: true})
	nc := node.ConnectTCP(t, nats.ReconnectBufSize(-1))
	l := open(t, jetStream(t, nc), natslog.Config{Batch: natslog.BatchConfig{Timeout: 300 * time.Millisecond, Settle: 300 * time.Millisecond}})
	var mu sync.Mutex
	got := map[string]eventlog.Seq{}
	stop := make(chan struct{})
	var wg sync.WaitGroup
	for w := range 16 {
		wg.Go(func() {
			for n := w; ; n += 16 {
				select {
				case <-stop:
					return
				default:
				}
				for range 3 { // as a provider does
					a, err := l.Append(context.Background(), rec(n))
					if err == nil {
						mu.Lock()
						got[a.EventID] = a.Seq
						mu.Unlock()
						break
					}
				}
			}
		})
	}
	for range 3 {
		mu.Lock()
		target := len(got) + 200
		mu.Unlock()
		eventually(t, func() error {
			mu.Lock()
			defer mu.Unlock()
			if len(got) < target {
				return fmt.Errorf("%d of %d appended", len(got), target)
			}
			return nil
		})
		node.Restart(t)
	}
	close(stop)
	wg.Wait()
	found := collect(t, l)
	for id, seq := range got {
		if found[id] != seq {
			t.Errorf("event %s was answered with %d, stands at %d", id, seq, found[id])
		}
	}
	if len(got) < 600 {
		t.Errorf("%d appends were answered; want at least 600", len(got))
	}
}
