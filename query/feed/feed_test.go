package feed

import (
	"fmt"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/query/replica"
)

// TestRestGrowsWithFeeds: the more feeds there are, the longer each waits, so that
// all together are a load that is bounded; and not all the same time.
func TestRestGrowsWithFeeds(t *testing.T) {
	t.Parallel()
	synctest.Test(t, func(t *testing.T) {
		f := &client{feeds: &Feeds{}}
		for feeds, pause := range map[int64]time.Duration{1: 0, 1 + sendRate: time.Second, 1 + 3*sendRate: 3 * time.Second} {
			f.feeds.open.Store(feeds)
			waited := map[time.Duration]bool{}
			for range 200 {
				began := time.Now()
				if !f.rest(t.Context(), nil) {
					t.Fatalf("rest of %d feeds = false; want true", feeds)
				}
				took := time.Since(began)
				if waited[took] = true; took < pause/2 || took > 3*pause/2 {
					t.Fatalf("rest of %d feeds took %v; want %v, half more or less", feeds, took, pause)
				}
			}
			if pause > 0 && len(waited) < 100 {
				t.Errorf("%d feeds rest for %d different times of 200; want them to vary", feeds, len(waited))
			}
		}
	})
}

// TestPartsAreBounded: of what was read for feeds at many places the newest is kept,
// and no more.
func TestPartsAreBounded(t *testing.T) {
	t.Parallel()
	var s shared
	for i := range 3 * keptParts {
		from := fmt.Sprint(i)
		p, mine := s.part(from)
		if !mine {
			t.Fatalf("part(%s) is another's; want it to be mine", from)
		}
		s.made(from, p, false)
	}
	if len(s.parts) != keptParts || len(s.order) != keptParts {
		t.Errorf("%d parts are kept, %d in order; want %d", len(s.parts), len(s.order), keptParts)
	}
	for i := range 3 * keptParts {
		if _, kept := s.parts[fmt.Sprint(i)]; kept != (i >= 2*keptParts) {
			t.Errorf("part %d of %d is kept: %v; want the newest %d alone", i, 3*keptParts, kept, keptParts)
		}
	}
}

// TestBeginIsOfTheOldestView: what a feed begins with is no further than any of its
// views.
func TestBeginIsOfTheOldestView(t *testing.T) {
	t.Parallel()
	for _, at := range [][2]eventlog.Seq{{5, 9}, {9, 5}} {
		f := &client{feeds: &Feeds{}, views: []string{"sessions", "usage"}, at: map[string]place{}}
		f.begin(map[string]replica.Progress{"sessions": {Sequence: at[0]}, "usage": {Sequence: at[1]}})
		if got, want := string(f.buf[len(f.buf)-len("data: {\"sequence\":5}\n\n"):]), "data: {\"sequence\":5}\n\n"; got != want {
			t.Errorf("begin of views at %d and %d ends with %q; want %q", at[0], at[1], got, want)
		}
	}
}
