package projections

import (
	"fmt"
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

// Start is the first instant whose local date is d or later. Midnight itself may
// not exist (clocks put forward at midnight) or come twice.
func (d Date) Start(zone *time.Location) time.Time {
	wall := d.utc()
	at := wall.Add(-36 * time.Hour).In(zone)
	for {
		_, offset := at.Zone()
		_, end := at.ZoneBounds()
		midnight := wall.Add(-time.Duration(offset) * time.Second)
		// After the end of a zone's table, on the last day of a leap year, Go
		// gives an end that has passed (go1.26, time.tzset counts 365 days). Such
		// an end is ignored.
		if end.IsZero() || !end.After(at) || midnight.Before(end) {
			if midnight.Before(at) {
				return at // the clocks were put forward across midnight, at at
			}
			return midnight
		}
		at = end.In(zone)
	}
}

// Period is a span of days that a row is for.
type Period uint8

// The periods. With the zero Period a row is for all days together.
const (
	AllDays Period = iota
	PerDay
	PerWeek // of ISO 8601: from Monday on
	PerMonth
)

// first is the first day of d's period.
func (p Period) first(d Date) Date {
	switch p {
	case PerWeek:
		back := (int(d.utc().Weekday()) + 6) % 7
		return dateOf(d.utc().AddDate(0, 0, -back))
	case PerMonth:
		return Date{d.Year, d.Month, 1}
	}
	return d
}

// label names d's period: 2026-01-31, 2026-W05 or 2026-01.
func (p Period) label(d Date) string {
	switch p {
	case PerDay:
		return d.text()
	case PerWeek:
		year, week := d.utc().ISOWeek()
		return fmt.Sprintf("%04d-W%02d", year, week)
	case PerMonth:
		return d.utc().Format("2006-01")
	}
	return ""
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
		c.starts = append(c.starts, eventlog.TimeOf(d.Start(zone)))
	}
	c.starts = append(c.starts, eventlog.TimeOf(to.Start(zone)))
	return c
}

// periods is, for each day, the index of the first day of its period that is in the
// calendar; -1 for all of them where there is no period.
func (c *calendar) periods(p Period) []int {
	first := make([]int, len(c.days))
	for i, d := range c.days {
		switch {
		case p == AllDays:
			first[i] = -1
		case i > 0 && p.first(d) == p.first(c.days[i-1]):
			first[i] = first[i-1]
		default:
			first[i] = i
		}
	}
	return first
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
