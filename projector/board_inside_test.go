package projector

import (
	"testing"
	"time"
)

// TestLagIsSinceItWasSeen: a commit that does not reach the end of the log leaves the
// lag's age as it is, one that does ends it.
func TestLagIsSinceItWasSeen(t *testing.T) {
	began := time.Date(2026, 1, 5, 10, 0, 0, 0, time.UTC)
	var b board
	lag := func(after time.Duration, records uint64, seconds float64) {
		t.Helper()
		if s := b.snapshot(began.Add(after)); s.Lag != records || s.LagSeconds != seconds {
			t.Errorf("lag %v after = %d records for %v s; want %d for %v s", after, s.Lag, s.LagSeconds, records, seconds)
		}
	}
	b.head(10, began)
	lag(time.Minute, 10, 60)
	b.committed(Checkpoint{Sequence: 4}, time.Time{})
	lag(2*time.Minute, 6, 120)
	b.committed(Checkpoint{Sequence: 10}, time.Time{})
	lag(3*time.Minute, 0, 0)
	b.head(12, began.Add(4*time.Minute))
	lag(5*time.Minute, 2, 60)
}
