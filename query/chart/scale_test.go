package chart

import "testing"

// TestNiceTop: the top of a scale is round, and nothing stands above it.
func TestNiceTop(t *testing.T) {
	for v, want := range map[float64]float64{
		-1: 1, 0: 1, 1: 1, 1.1: 2, 2: 2, 3: 4, 4: 4, 4.5: 5, 5: 5, 6: 8, 8: 8, 8.5: 10, 10: 10, 11: 20, 100: 100, 401: 500, 0.5: 0.5,
	} {
		if got := niceTop(v); got != want {
			t.Errorf("niceTop(%v) = %v; want %v", v, got, want)
		}
	}
}
