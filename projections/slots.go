package projections

import (
	"slices"

	"rollcall/eventlog"
)

const (
	// baseSlot is a quarter of an hour: midnight of every time zone in use since
	// 1972 is the start of a slot (Monrovia, 44:30 off until then, was the last).
	baseSlot = 900 * eventlog.Second
	// slotsShown bounds a document; see slots.list.
	slotsShown = 2048
)

// slots says, sparsely, how long intervals cover each slot: a slot that an
// interval covers in part has that part in microseconds; of the slots that it
// covers as a whole, the first has a change of +1 and the one after the last a
// change of -1. So an interval touches at most four slots, however long it is,
// and adding and taking back are exact.
type slots map[int64]UsageSlot

// slotOf returns the slot that t is in, and t's distance from its start. Slots
// are counted from 1970.
func slotOf(t eventlog.Time, length eventlog.Seconds) (slot int64, into eventlog.Seconds) {
	us, n := t.UnixMicro(), int64(length)
	slot = us / n
	if us%n < 0 {
		slot--
	}
	return slot, eventlog.Seconds(us - slot*n)
}

// add counts an interval connected and attended times.
func (s slots) add(length eventlog.Seconds, v interval, connected, attended int64) {
	first, head := slotOf(v.from, length)
	last, tail := slotOf(v.to, length)
	switch {
	case first == last:
		s.part(first, tail-head, connected, attended)
		return
	case head > 0:
		s.part(first, length-head, connected, attended)
		first++
	}
	s.part(last, tail, connected, attended)
	if first < last {
		s.change(first, connected, attended)
		s.change(last, -connected, -attended)
	}
}

func (s slots) part(slot int64, d eventlog.Seconds, connected, attended int64) {
	if d == 0 {
		return
	}
	v := s[slot]
	v.ConnectedMicros += int64(d) * connected
	v.AttendedMicros += int64(d) * attended
	s.put(slot, v)
}

func (s slots) change(slot, connected, attended int64) {
	v := s[slot]
	v.ConnectedChange += connected
	v.AttendedChange += attended
	s.put(slot, v)
}

func (s slots) put(slot int64, v UsageSlot) {
	v.Slot = slot
	if v == (UsageSlot{Slot: slot}) {
		delete(s, slot)
	} else {
		s[slot] = v
	}
}

func (s slots) sorted() []UsageSlot {
	list := make([]UsageSlot, 0, len(s))
	for _, v := range s {
		list = append(list, v)
	}
	slices.SortFunc(list, func(a, b UsageSlot) int {
		if a.Slot < b.Slot {
			return -1
		}
		return 1
	})
	return list
}

// list returns the slots of a document and their length: quarter hours, or where
// those are more than slotsShown (three weeks of comings and goings) the least
// doubling of their length that makes them fewer. Sums stay exact; but a longer
// slot that midnight divides counts whole for the day before.
func (s slots) list() (eventlog.Seconds, []UsageSlot) {
	length, list := baseSlot, s.sorted()
	for len(list) > slotsShown {
		length *= 2
		list = double(list, length)
	}
	return length, list
}

// double brings sorted slots to twice their length.
func double(list []UsageSlot, length eventlog.Seconds) []UsageSlot {
	half := length / 2
	to := make(slots, len(list))
	var connected, attended int64
	for i, v := range list {
		connected += v.ConnectedChange
		attended += v.AttendedChange
		start := eventlog.TimeOfUnixMicro(v.Slot * int64(half))
		slot, _ := slotOf(start, length)
		w := to[slot]
		w.ConnectedMicros += v.ConnectedMicros
		w.AttendedMicros += v.AttendedMicros
		to.put(slot, w)
		if i+1 < len(list) && (connected != 0 || attended != 0) {
			end := eventlog.TimeOfUnixMicro(list[i+1].Slot * int64(half))
			to.add(length, interval{start, end}, connected, attended)
		}
	}
	return to.sorted()
}
