package projector_test

import (
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// Projectors that share a read fold the same views, read the log once when they
// begin together, and one that hangs does not hold the others up.
func TestShared(t *testing.T) {
	records := script(20_000, 2000) // more than are held for a reader that lags the first
	want := expect(records)
	t.Run("together", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log := newMemLog(records[:18_000]...)
			shared := projector.Share(log)
			var stores []*memStore
			for range 5 {
				s := newMemStore()
				stores = append(stores, s)
				start(t, projector.Config{Source: shared, Store: s})
			}
			for _, s := range stores {
				reach(t, s, 18_000)
			}
			log.append(records[18_000:]...)
			for _, s := range stores {
				reach(t, s, 20_000)
				sameView(t, s.view(), want)
			}
			if log.yielded > 40_000 {
				t.Errorf("log yielded %d records to 5 projectors; want about 20,000", log.yielded)
			}
		})
	})
	t.Run("late, slow and failing", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log := newMemLog(records[:18_000]...)
			log.plan = func(n int) fault {
				if n%4500 == 0 {
					return fails
				}
				return works
			}
			shared := projector.Share(log)
			slow, fast, late := newMemStore(), newMemStore(), newMemStore()
			slow.plan = func(step string, n int) fault {
				if step == "commit" && n < 4 {
					return hangs
				}
				return works
			}
			start(t, projector.Config{Source: shared, Store: slow, CacheBytes: 10_000})
			_, stop := start(t, projector.Config{Source: shared, Store: fast})
			began := time.Now()
			reach(t, fast, 18_000)
			if took := time.Since(began); took > 20*time.Second {
				t.Errorf("fast projector took %v beside a slow one; want it not held up for long", took)
			}
			start(t, projector.Config{Source: shared, Store: late})
			log.append(records[18_000:]...)
			for _, s := range []*memStore{fast, late, slow} {
				reach(t, s, eventlog.Seq(len(records)))
				sameView(t, s.view(), want)
			}
			if err := stop(); err != nil {
				t.Errorf("Run() = %v; want nil", err)
			}
		})
	})
}
