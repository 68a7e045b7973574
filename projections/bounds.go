package projections

import "rollcall/eventlog"

// sessionOf returns the session that the folds keep an event under; "" where there
// is none. A recording's room alone opens no session. standIn: the meeting id stands
// in for the session id.
func sessionOf(ev *eventlog.Event) (id string, standIn bool) {
	id, from := ev.Session()
	if from == eventlog.FromRoom {
		return "", false
	}
	return id, from == eventlog.FromMeeting
}

// ending reports whether an event ends its session.
func ending(ev *eventlog.Event) bool {
	switch ev.Type {
	case eventlog.MeetingEnded, eventlog.ChatSynced, eventlog.Transcript:
		return true
	case eventlog.Summary:
		return !ev.EndedAt.IsZero()
	}
	return false
}

// bounds is what the records say about when a session was. All three folds that
// are keyed by session have one. Every member is a minimum, a maximum or a
// logical or: order and repeats don't matter.
type bounds struct {
	opened, ended bool
	// startMeeting is the earliest startedAt of meeting.* events, startOther
	// that of the others, firstSeen the earliest received time of all.
	startMeeting, startOther fact
	firstSeen                eventlog.Time
	// lastEnd is the latest endedAt of the ending events, endSeen the earliest
	// received time of one.
	lastEnd fact
	endSeen eventlog.Time
	// dated: facts are kept with the received time that they are known since.
	dated bool
}

// apply reports whether anything changed.
func (b *bounds) apply(ev *eventlog.Event) (changed bool) {
	changed = earliest(&b.firstSeen, ev.Order.At)
	seen := ev.Order.At
	if !b.dated {
		seen = 0
	}
	if ev.Type.Meeting() {
		changed = b.startMeeting.earliest(ev.StartedAt, seen) || changed
	} else {
		changed = b.startOther.earliest(ev.StartedAt, seen) || changed
	}
	end := ending(ev)
	switch ev.Type {
	case eventlog.MeetingStarted, eventlog.ParticipantJoined, eventlog.ParticipantLeft:
		changed = set(&b.opened, true) || changed
	default:
		changed = set(&b.opened, end) || changed
	}
	if !end {
		return changed
	}
	changed = set(&b.ended, true) || changed
	changed = b.lastEnd.latest(ev.EndedAt, seen) || changed
	return earliest(&b.endSeen, ev.Order.At) || changed
}

// set ors v into the flag and reports a change.
func set(flag *bool, v bool) bool {
	if !v || *flag {
		return false
	}
	*flag = true
	return true
}

func (b *bounds) status() string {
	if b.ended {
		return Ended
	}
	return Live
}

// endedAt is the zero Time while the session is LIVE.
func (b *bounds) endedAt() eventlog.Time {
	switch {
	case !b.ended:
		return 0
	case b.lastEnd.at.IsZero():
		return b.endSeen
	}
	return b.lastEnd.at
}

// over is the received time of the first record of the session's end; the zero Time
// while there is none. Unlike endedAt it can only become earlier.
func (b *bounds) over() eventlog.Time {
	if !b.ended {
		return 0
	}
	return b.endSeen
}

// startedAt needs to know the earliest joinedAt of the connections, if any.
func (b *bounds) startedAt(firstJoin func() eventlog.Time) eventlog.Time {
	if !b.startMeeting.at.IsZero() {
		return b.startMeeting.at
	}
	if !b.startOther.at.IsZero() {
		return b.startOther.at
	}
	if t := firstJoin(); !t.IsZero() {
		return t
	}
	return b.firstSeen
}

// revised is since when the session's start and end are known as they are: the
// earliest received times of what gives them. A start that the connections give
// is theirs; joined says that there are some.
func (b *bounds) revised(joined bool) eventlog.Time {
	start, end := b.firstSeen, b.endSeen
	switch {
	case !b.startMeeting.at.IsZero():
		start = b.startMeeting.seen
	case !b.startOther.at.IsZero():
		start = b.startOther.seen
	case joined:
		start = 0
	}
	if !b.lastEnd.at.IsZero() {
		end = b.lastEnd.seen
	}
	return max(start, end)
}

func (b *bounds) put(to []byte) []byte {
	var flags byte
	if b.opened {
		flags |= 1
	}
	if b.ended {
		flags |= 2
	}
	to = append(to, flags)
	for _, t := range [...]eventlog.Time{b.startMeeting.at, b.startOther.at, b.firstSeen, b.lastEnd.at, b.endSeen} {
		to = putTime(to, t)
	}
	if b.dated {
		to = putTime(putTime(putTime(to, b.startMeeting.seen), b.startOther.seen), b.lastEnd.seen)
	}
	return to
}

func (b *bounds) read(r *reader) {
	flags := r.byte()
	b.opened, b.ended = flags&1 != 0, flags&2 != 0
	for _, t := range [...]*eventlog.Time{&b.startMeeting.at, &b.startOther.at, &b.firstSeen, &b.lastEnd.at, &b.endSeen} {
		*t = r.time()
	}
	if b.dated {
		b.startMeeting.seen, b.startOther.seen, b.lastEnd.seen = r.time(), r.time(), r.time()
	}
}

// organizer is the first organizer, taken as one object.
type organizer struct {
	order eventlog.Order
	who   Organizer
}

func (o *organizer) merge(ev *eventlog.Event) bool {
	who := Organizer{ev.Organizer.ID, ev.Organizer.Name}
	if who == (Organizer{}) || o.who != (Organizer{}) && (o.order.Less(ev.Order) ||
		!before(ev.Order, who.ID+"\x00"+who.Name, o.order, o.who.ID+"\x00"+o.who.Name)) {
		return false
	}
	o.order, o.who = ev.Order, who
	return true
}

func (o *organizer) put(b []byte) []byte {
	return putOrder(putText(putText(b, o.who.ID), o.who.Name), o.order)
}

func (o *organizer) read(r *reader) {
	o.who.ID = r.text()
	o.who.Name = r.text()
	o.order = r.order()
}
