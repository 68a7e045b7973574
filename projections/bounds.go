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
	startMeeting, startOther, firstSeen eventlog.Time
	// lastEnd is the latest endedAt of the ending events, endSeen the earliest
	// received time of one.
	lastEnd, endSeen eventlog.Time
}

// apply reports whether anything changed.
func (b *bounds) apply(ev *eventlog.Event) (changed bool) {
	changed = earliest(&b.firstSeen, ev.Order.At)
	if ev.Type.Meeting() {
		changed = earliest(&b.startMeeting, ev.StartedAt) || changed
	} else {
		changed = earliest(&b.startOther, ev.StartedAt) || changed
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
	changed = latest(&b.lastEnd, ev.EndedAt) || changed
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
	case b.lastEnd.IsZero():
		return b.endSeen
	}
	return b.lastEnd
}

// over is when it was first heard that the session has ended; the zero Time
// while it was not. Unlike endedAt it can only become earlier.
func (b *bounds) over() eventlog.Time {
	if !b.ended {
		return 0
	}
	return b.endSeen
}

// startedAt needs to know the earliest joinedAt of the connections, if any.
func (b *bounds) startedAt(firstJoin func() eventlog.Time) eventlog.Time {
	if !b.startMeeting.IsZero() {
		return b.startMeeting
	}
	if !b.startOther.IsZero() {
		return b.startOther
	}
	if t := firstJoin(); !t.IsZero() {
		return t
	}
	return b.firstSeen
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
	for _, t := range [...]eventlog.Time{b.startMeeting, b.startOther, b.firstSeen, b.lastEnd, b.endSeen} {
		to = putTime(to, t)
	}
	return to
}

func (b *bounds) read(r *reader) {
	flags := r.byte()
	b.opened, b.ended = flags&1 != 0, flags&2 != 0
	for _, t := range [...]*eventlog.Time{&b.startMeeting, &b.startOther, &b.firstSeen, &b.lastEnd, &b.endSeen} {
		*t = r.time()
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
