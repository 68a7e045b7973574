package projector_test

import (
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// spans gathers what a projector reports.
type spans struct {
	mu  sync.Mutex
	all []projector.CommitSpan
}

func (s *spans) add(c projector.CommitSpan) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.all = append(s.all, c)
}

func traceOf(seq eventlog.Seq) string { return fmt.Sprintf("trace of %d", seq) }

// Each record that was traced and folded is linked by the one commit that holds it;
// commits without any make no span, and the view is the same.
func TestCommitsAreTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := append(script(300, 7), record(301, "", "started"), record(302, "s", "started"))
		var want []string
		for i := range records {
			if i%10 == 0 {
				records[i].Trace = traceOf(eventlog.Seq(i + 1))
				if i != 300 { // it folds nothing
					want = append(want, records[i].Trace)
				}
			}
		}
		log, store, got := newMemLog(), newMemStore(), &spans{}
		_, stop := start(t, projector.Config{Source: log, Store: store, Traced: got.add})
		for from := 0; from < len(records); from += 3 {
			upTo := min(from+3, len(records))
			log.append(records[from:upTo]...)
			reach(t, store, eventlog.Seq(upTo))
		}
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		sameView(t, store.view(), expect(records))
		var links []string
		for _, s := range got.all {
			if s.View != "toy" || s.Generation != 1 || s.Err != nil || s.Records != int(s.To-s.From) || s.Records != 3 {
				t.Errorf("span = %+v; want 3 records of toy's generation 1", s)
			}
			if len(s.Links) == 0 {
				t.Errorf("span [%d, %d) has no link; want none made", s.From, s.To)
			}
			for seq := s.From; seq < s.To; seq++ {
				if tr := records[seq-1].Trace; tr != "" && !slices.Contains(s.Links, tr) {
					t.Errorf("links of [%d, %d) = %v; want %s", s.From, s.To, s.Links, tr)
				}
			}
			links = append(links, s.Links...)
		}
		if !slices.Equal(links, want) {
			t.Errorf("links = %v; want %v", links, want)
		}
	})
}

// A commit that holds more than a span's worth says how many are left out.
func TestLinksAreBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(200, 3)
		for i := range records {
			records[i].Trace = traceOf(eventlog.Seq(i + 1))
		}
		got := &spans{}
		store := newMemStore()
		_, stop := start(t, projector.Config{Source: newMemLog(records...), Store: store, Traced: got.add, Window: time.Minute, IdleWindow: time.Minute})
		synctest.Wait()
		if err := stop(); err != nil { // commits what is held
			t.Fatal(err)
		}
		if s := got.all[0]; len(got.all) != 1 || len(s.Links) != 128 || s.More != 72 || s.Records != 200 || s.From != 1 || s.To != 201 {
			t.Errorf("%d spans, the first of [%d, %d) with %d records, %d links and %d more; want one of [1, 201) with 200, 128 and 72", len(got.all), s.From, s.To, s.Records, len(s.Links), s.More)
		}
	})
}

// A commit that fails is a span with its error; its records are folded again, and
// linked by the commit that holds them.
func TestFailedCommitIsTraced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(2, 1)
		records[0].Trace = traceOf(1)
		log, store, got := newMemLog(records[:1]...), newMemStore(), &spans{}
		store.plan = func(step string, n int) fault {
			if step == "checkpoint" && n < 100 || step == "commit" && n == 1 {
				return fails
			}
			return works
		}
		_, stop := start(t, projector.Config{Source: log, Store: store, Traced: got.add})
		reach(t, store, 1)
		if err := stop(); err != nil {
			t.Fatal(err)
		}
		if len(got.all) != 2 || got.all[0].Err == nil || errors.Is(got.all[0].Err, projector.ErrFenced) || got.all[1].Err != nil || !slices.Equal(got.all[1].Links, got.all[0].Links) {
			t.Errorf("spans = %+v; want one that failed, and one of the same record", got.all)
		}
	})
}
