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

type slowTenure struct {
	projector.Tenure
	s *slowStore
}

func (s *slowStore) Acquire(ctx context.Context, c projector.Claim) (*projector.Opened, error) {
	o, err := s.memStore.Acquire(ctx, c)
	if err == nil {
		o.Tenure = &slowTenure{o.Tenure, s}
	}
	return o, err
}

func (t *slowTenure) Commit(ctx context.Context, c *projector.Commit) error {
	t.s.tries++
	for _, e := range c.Entities {
		hang(ctx, time.Duration(len(e.Documents)+len(e.Parts))*t.s.each)
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	return t.Tenure.Commit(ctx, c)
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
