package chart

import (
	"regexp"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
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

// TestTicksOfDays: a chart of several days has its ticks at midnight, also after the clocks
// were changed, and the first tick of each day names it.
func TestTicksOfDays(t *testing.T) {
	berlin, err := time.LoadLocation("Europe/Berlin")
	if err != nil {
		t.Fatal(err)
	}
	day := func(month time.Month, day, hour int) eventlog.Time {
		return eventlog.TimeOf(time.Date(2026, month, day, hour, 0, 0, 0, berlin))
	}
	for _, c := range []struct {
		from, to eventlog.Time
		want     string
	}{
		{day(10, 13, 14), day(11, 28, 1), "21 Oct,29 Oct,6 Nov,14 Nov,22 Nov"},
		{day(10, 24, 22), day(10, 26, 3), "25 Oct,06:00,12:00,18:00,26 Oct"},
		{day(10, 24, 9), day(10, 24, 11), "09:00,09:15,09:30,09:45,10:00,10:15,10:30,10:45"},
	} {
		var b strings.Builder
		(&timeline{from: c.from, to: c.to, zone: berlin}).axis(&b, 0, 1)
		var labels []string
		for _, m := range regexp.MustCompile(`>([^<]+)</text>`).FindAllStringSubmatch(b.String(), -1) {
			labels = append(labels, m[1])
		}
		if got := strings.Join(labels, ","); got != c.want {
			t.Errorf("axis from %s to %s has %s; want %s", c.from, c.to, got, c.want)
		}
	}
}
