package chart

import (
	"testing"

	"rollcall/projections"
)

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

// TestStepsOfNoTime: who left as he joined was not there, and is not taken away either.
func TestStepsOfNoTime(t *testing.T) {
	c := timeline{people: []projections.Participant{{Connections: []projections.Connection{{JoinedAt: 10, LeftAt: 90}, {JoinedAt: 50, LeftAt: 50}}}}}
	if got := c.steps(); len(got) != 2 || got[0] != (step{10, 1}) || got[1] != (step{90, 0}) {
		t.Errorf("steps() = %v; want one from 10 to 90", got)
	}
}
