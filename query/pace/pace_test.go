package pace

import (
	"context"
	"errors"
	"runtime"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// withCores runs f with a number of cores.
func withCores(n int, f func()) {
	before := runtime.GOMAXPROCS(n)
	defer runtime.GOMAXPROCS(before)
	f()
}

// TestSpareCores: reads leave a core to others, but on a machine of one.
func TestSpareCores(t *testing.T) {
	for cores, want := range map[int]int{1: 1, 2: 1, 3: 2, 5: 4} {
		withCores(cores, func() {
			if got := SpareCores(); got != want {
				t.Errorf("SpareCores() of %d = %d; want %d", cores, got, want)
			}
			if now := runtime.GOMAXPROCS(0); now != cores {
				t.Errorf("SpareCores changes the number of cores from %d to %d", cores, now)
			}
		})
	}
}

// TestYield: on one core, what is ready runs before a read goes on.
func TestYield(t *testing.T) {
	withCores(1, func() {
		var ran atomic.Bool
		go ran.Store(true)
		for range 100 {
			Yield()
		}
		if !ran.Load() {
			t.Error("after 100 times Yield, a goroutine that was ready has not run")
		}
	})
}

// TestPaceRests: who worked for a moment leaves its place at once, who worked for
// longer as long after, within bounds.
func TestPaceRests(t *testing.T) {
	for worked, want := range map[time.Duration]time.Duration{
		0: 0, WorkSlice - 1: 0, WorkSlice: WorkSlice, 7 * time.Millisecond: 7 * time.Millisecond, time.Second: longestRest,
	} {
		synctest.Test(t, func(t *testing.T) {
			p := New(1)
			leave, err := p.Enter(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if err := Wait(t.Context(), worked); err != nil {
				t.Fatal(err)
			}
			leave()
			left := time.Now()
			if _, err := p.Enter(t.Context()); err != nil {
				t.Fatal(err)
			}
			if rest := time.Since(left); rest != want {
				t.Errorf("after work of %v the next one enters %v later; want %v", worked, rest, want)
			}
		})
	}
}

// TestWaitsEnd: who waits for a place, or a time, gives up with its context.
func TestWaitsEnd(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		p := New(1)
		if _, err := p.Enter(t.Context()); err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithTimeout(t.Context(), time.Second)
		defer cancel()
		if _, err := p.Enter(ctx); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Enter where there is no place = %v; want %v", err, context.DeadlineExceeded)
		}
		if err := Wait(ctx, time.Hour); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("Wait(ended, an hour) = %v; want %v", err, context.DeadlineExceeded)
		}
	})
}
