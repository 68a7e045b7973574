package projector_test

import (
	"context"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/projector"
)

// slowStore takes its time for each value of a commit.
type slowStore struct {
	*memStore
	each  time.Duration
	tries int
}

type slowWriter struct {
	projector.GenerationWriter
	s *slowStore
}

func (s *slowStore) Acquire(ctx context.Context, c projector.LeaseRequest) (*projector.Lease, error) {
	o, err := s.memStore.Acquire(ctx, c)
	if err == nil {
		o.GenerationWriter = &slowWriter{o.GenerationWriter, s}
	}
	return o, err
}

func (t *slowWriter) Commit(ctx context.Context, c *projector.Commit) error {
	t.s.tries++
	for _, e := range c.Entities {
		hang(ctx, time.Duration(len(e.Documents)+len(e.Parts))*t.s.each)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.GenerationWriter.Commit(ctx, c)
}

// A large commit has more time than a small one. Else a store that is slow for a
// while would be sent the same tens of thousands of values again and again.
func TestLargeCommitHasTime(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(12_000, 4000)
		store := &slowStore{memStore: newMemStore(), each: 2 * time.Millisecond}
		_, stop := start(t, projector.Config{Source: newMemLog(records...), Store: store})
		reach(t, store.memStore, 12_000)
		sameView(t, store.view(), expect(records))
		if done := len(store.commits); store.tries != done {
			t.Errorf("%d commits took %d tries; want one each", done, store.tries)
		}
		_ = stop()
	})
}

// A read of entities that fails in between does not cost what was folded since
// the last commit.
func TestLoadIsTriedAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(6000, 2000)
		store := newMemStore()
		store.plan = func(step string, n int) fault {
			if step == "load" && n%3 != 0 {
				return fails
			}
			return works
		}
		_, stop := start(t, projector.Config{Source: newMemLog(records...), Store: store, CacheBytes: 64 << 10, BatchEntities: 100})
		reach(t, store, 6000)
		sameView(t, store.view(), expect(records))
		if n := store.counts["acquire"]; n != 1 || store.counts["load"] < 3 {
			t.Errorf("the store was acquired %d times, and read %d times; want once, and often", n, store.counts["load"])
		}
		_ = stop()
	})
}
