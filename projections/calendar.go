package projections

import (
	"sort"
	"time"

	"rollcall/eventlog"
)

// Date is a day of a calendar, in whatever time zone is asked for.
type Date struct {
	Year  int
	Month time.Month
	Day   int
}

// ParseDate reads YYYY-MM-DD.
func ParseDate(s string) (Date, bool) {
	t, err := time.Parse(time.DateOnly, s)
	if err != nil {
		return Date{}, false
	}
	return dateOf(t), true
}

func dateOf(t time.Time) Date {
	y, m, d := t.Date()
	return Date{y, m, d}
}

// String is YYYY-MM-DD.
func (d Date) String() string { return d.utc().Format(time.DateOnly) }

// text is String, and "" of no date.
func (d Date) text() string {
	if d == (Date{}) {
		return ""
	}
	return d.String()
}

// Next is the day after d.
func (d Date) Next() Date { return dateOf(d.utc().AddDate(0, 0, 1)) }

// Before reports whether d is an earlier day than e.
func (d Date) Before(e Date) bool { return d.utc().Before(e.utc()) }

// Days is the number of days from d to e.
func (d Date) Days(e Date) int { return int(e.utc().Sub(d.utc()) / (24 * time.Hour)) }

func (d Date) utc() time.Time { return time.Date(d.Year, d.Month, d.Day, 0, 0, 0, 0, time.UTC) }

// start is the first instant whose local date is d or later. Midnight itself may
// not exist (clocks put forward at midnight) or come twice.
func (d Date) start(zone *time.Location) time.Time {
	wall := d.utc()
	at := wall.Add(-36 * time.Hour).In(zone)
	for {
		_, offset := at.Zone()
		_, end := at.ZoneBounds()
		midnight := wall.Add(-time.Duration(offset) * time.Second)
		// Behind a zone's table, on the last day of a leap year, Go gives an end
		// that has passed (go1.26, time.tzset counts 365 days): it bounds nothing.
		if end.IsZero() || !end.After(at) || midnight.Before(end) {
			if midnight.Before(at) {
				return at // the clocks were put forward across midnight, at at
			}
			return midnight
		}
		at = end.In(zone)
	}
}

// calendar cuts time into the days [from, to) of a zone.
type calendar struct {
	days   []Date
	starts []eventlog.Time // of the days, and the end of the last
}

func newCalendar(zone *time.Location, from, to Date) calendar {
	var c calendar
	for d := from; d.Before(to); d = d.Next() {
		c.days = append(c.days, d)
		c.starts = append(c.starts, eventlog.TimeOf(d.start(zone)))
	}
	c.starts = append(c.starts, eventlog.TimeOf(to.start(zone)))
	return c
}

// day returns the index of the day that t is in; ok is false outside the range.
func (c *calendar) day(t eventlog.Time) (i int, ok bool) {
	i = c.from(t)
	return i, i >= 0 && i < len(c.days)
}

// from returns the index of the last day that begins at or before t, -1 for none.
func (c *calendar) from(t eventlog.Time) int {
	return sort.Search(len(c.starts), func(i int) bool { return c.starts[i] > t }) - 1
}

// split calls add for each day with its part of [from, to).
func (c *calendar) split(from, to eventlog.Time, add func(day int, d eventlog.Seconds)) {
	from = max(from, c.starts[0])
	to = min(to, c.starts[len(c.days)])
	for i := c.from(from); from < to; i++ {
		end := min(to, c.starts[i+1])
		if end > from {
			add(i, end.Sub(from))
			from = end
		}
	}
}

// splitSlots is split for the slots [from, to) of a length: each slot counts for
// the day that it begins in.
func (c *calendar) splitSlots(from, to int64, length eventlog.Seconds, add func(day int, d eventlog.Seconds)) {
	i := max(0, c.from(eventlog.TimeOfUnixMicro(from*int64(length))))
	for ; i < len(c.days); i++ {
		begin, end := max(from, slotFrom(c.starts[i], length)), min(to, slotFrom(c.starts[i+1], length))
		if begin < end {
			add(i, eventlog.Seconds(end-begin)*length)
		}
		if end >= to {
			return
		}
	}
}

// slotFrom is the first slot that begins at or after t.
func slotFrom(t eventlog.Time, length eventlog.Seconds) int64 {
	slot, into := slotOf(t, length)
	if into > 0 {
		slot++
	}
	return slot
}
