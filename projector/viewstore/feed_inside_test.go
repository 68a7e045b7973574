package viewstore

import (
	"errors"
	"testing"
)

// TestStanding: a consumer that stands still is given up at the second look that shows more,
// the next ones later each time; one that delivers, or has nothing to deliver, is not.
func TestStanding(t *testing.T) {
	t.Parallel()
	var s standing
	given := ""
	for _, look := range [][2]uint64{
		{5, 5}, {5, 6}, {5, 6}, // given up at the second
		{5, 6}, {5, 6}, {5, 6}, {5, 7}, // at the fourth
		{5, 7}, {5, 5}, // made again, with less
		{5, 6}, {6, 9}, {7, 9}, {8, 9}, // it delivers, slowly
		{8, 9}, {8, 8}, {8, 9}, {8, 9}, // given up, and the next one not yet
		{9, 9}, {9, 10}, {9, 10}, // at the second again
	} {
		if err := s.look(look[0], look[1]); errors.Is(err, errStands) {
			given += "x"
		} else {
			given += "."
		}
	}
	if want := "..x...x......x.....x"; given != want {
		t.Errorf("given up at %s; want %s", given, want)
	}
}
