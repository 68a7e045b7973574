package projections_test

import (
	"testing"

	"pgregory.net/rapid"

	"rollcall/eventlog"
	"rollcall/projections"
)

// TestFoldsAgreeWithReference compares every document with one computed
// straight from the contract's tables.
func TestFoldsAgreeWithReference(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		want := reference(records)
		got := fold(t, records)
		delete(got, "usage") // rows, not documents, are in the contract
		if d := diff(got, want); d != "" {
			t.Fatalf("%s\nrecords:\n%s", d, list(records))
		}
	})
}

// TestViewsDependOnTheSetAlone is the law: whatever the order, the repeats, the
// commits, the restarts, the crashes and the cache, the views are the same bytes.
func TestViewsDependOnTheSetAlone(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(16).Draw(t, "log")
		want := fold(t, records)
		order := rapid.Permutation(records).Draw(t, "order")
		for _, r := range records { // repeats with later received times
			if r.DeliveryID != "" && rapid.IntRange(0, 5).Draw(t, "repeat") == 0 {
				r.EventID += "R"
				r.ReceivedAt = r.ReceivedAt.Add(eventlog.Seconds(rapid.IntRange(0, 90).Draw(t, "later")) * 60 * eventlog.Second)
				at := rapid.IntRange(0, len(order)).Draw(t, "at")
				order = append(order[:at:at], append([]eventlog.Record{r}, order[at:]...)...)
			}
		}
		got := make(views)
		for _, f := range projections.All() {
			got[f.Name()] = disturbed(t, f, decode(order)).docs
		}
		if d := diff(got, want); d != "" {
			t.Fatalf("%s\nrecords, in the order folded:\n%s", d, list(order))
		}
	})
}

// disturbed folds events while commits, evictions, restarts and crashes happen.
func disturbed(t *rapid.T, f eventlog.Fold, events []eventlog.Event) *runner {
	r := newRunner(f)
	checkpoint := 0
	calm := false
	for i := 0; i < len(events); {
		r.apply(t, &events[i])
		i++
		kind := 0
		if !calm {
			kind = rapid.IntRange(0, 9).Draw(t, "then")
		}
		switch kind {
		case 1, 2:
			r.commit(t, 1)
			checkpoint = i
		case 3:
			r.commit(t, 1)
			r.evict()
			checkpoint = i
		case 4:
			r.commit(t, 1)
			r.restart()
			checkpoint = i
		case 5: // the process dies in a commit: some of its writes are there
			r.commit(t, rapid.Float64Range(0, 1).Draw(t, "share"))
			r.restart()
			i = checkpoint
			calm = rapid.Bool().Draw(t, "calm")
		case 6: // the process dies before it
			r.restart()
			i = checkpoint
			calm = rapid.Bool().Draw(t, "calm")
		}
		if kind >= 5 && len(r.docs) > 0 && i == checkpoint {
			calm = calm || rapid.IntRange(0, 3).Draw(t, "enough") > 0 // so that it ends
		}
	}
	r.commit(t, 1)
	return r
}

// TestApplyingAgainChangesNothing applies a prefix again and finds no write.
func TestApplyingAgainChangesNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		records := someRecords(12).Draw(t, "log")
		again := rapid.IntRange(1, len(records)).Draw(t, "again")
		restart := rapid.Bool().Draw(t, "restart")
		events := decode(records)
		for _, f := range projections.All() {
			r := newRunner(f)
			for i := range events {
				r.apply(t, &events[i])
			}
			r.commit(t, 1)
			if restart {
				r.restart()
			}
			for i := range events[:again] {
				key := f.Key(&events[i])
				if key == "" {
					continue
				}
				c := collector{t: t, entity: key, written: make(map[string]bool)}
				s := r.state(t, key)
				s.Apply(&events[i])
				if s.Flush(&c); len(c.written) > 0 {
					t.Fatalf("%s: record %s applied again writes %v; want nothing\nrecords:\n%s",
						f.Name(), events[i].Order.ID, c.written, list(records))
				}
			}
		}
	})
}
