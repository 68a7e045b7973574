package projections

import "rollcall/eventlog"

// usageFold is view usage: what a session adds to the rows of usage, a document
// a session, in a form from which the rows of any time zone follow. See the
// package comment for the form and what it costs.
type usageFold struct{}

func (usageFold) Name() string    { return "usage" }
func (usageFold) Version() string { return "3" }

func (usageFold) Key(ev *eventlog.Event) string {
	id, _ := sessionOf(ev)
	return id
}

func (usageFold) New(key string) eventlog.State {
	s := &usageState{gathering: gathering{id: key}, dirty: make(map[string]bool), attended: make(map[string][]interval)}
	s.slots = make(slots)
	s.roster = newRoster(false, s.watch)
	s.roster.dated, s.bounds.dated = true, true
	return s
}

// usageState is what one session adds to usage.
type usageState struct {
	gathering
	organizer organizer
	meetingID first
	crowd     crowd
	members   members
	// revised is the latest of the connections' revised times, unless unsure.
	revised eventlog.Time
	unsure  bool

	// slots hold the connections as cut at crowd.end, and the unions in attended.
	slots    slots
	attended map[string][]interval // by participant, what slots hold of it
	sum      tally                 // of attended
	dirty    map[string]bool       // participants whose union may have changed

	changed, dirtyCore bool
}

func (s *usageState) watch(p *peer, old, now *link) {
	s.crowd.replace(old, now)
	s.members.replace(p, old, now)
	if old != nil {
		s.connected(old, -1)
		s.dirty[old.participant] = true
		s.unsure = s.unsure || old.revised == s.revised && now.revised < old.revised
	}
	latest(&s.revised, now.revised)
	s.connected(now, 1)
	s.dirty[now.participant] = true
}

func (s *usageState) connected(l *link, n int64) {
	if joined, left, open := l.interval(s.crowd.end); !open && joined < left {
		s.slots.add(baseSlot, interval{joined, left}, n, 0)
	}
}

func (s *usageState) Apply(ev *eventlog.Event) {
	id, _ := sessionOf(ev)
	if id != s.id || id == "" {
		return
	}
	s.roster.start()
	core := s.bounds.apply(ev)
	core = s.organizer.merge(ev) || core
	core = s.meetingID.merge(ev.Order, ev.MeetingID) || core
	s.dirtyCore = s.dirtyCore || core
	s.changed = s.roster.apply(ev) || core || s.changed
}

func (s *usageState) Flush(w eventlog.Writer) {
	if !s.changed {
		return
	}
	s.changed = false
	if s.bounds.opened {
		doc := s.document()
		w.Put(eventlog.EscapeID(s.id), doc.AppendJSON(nil))
	}
	s.roster.shelf.flush(w)
	if s.dirtyCore {
		s.dirtyCore = false
		w.PutPart(corePart, s.meetingID.put(s.organizer.put(s.bounds.put([]byte{stateVersion})), new(eventlog.Order)))
	}
}

func (s *usageState) Erase(w eventlog.Writer) { w.Delete(eventlog.EscapeID(s.id)) }

// settle brings slots up to date with the session's end and the unions of the
// participants that changed.
func (s *usageState) settle() {
	if s.crowd.settle(s.bounds.endedAt(), s.roster.peers) {
		clear(s.slots)
		clear(s.attended)
		s.sum = tally{}
		for _, p := range s.roster.peers {
			l := p.link()
			s.connected(&l, 1)
			s.dirty[l.participant] = true
		}
	}
	for id := range s.dirty {
		s.count(s.attended[id], -1)
		list := s.union(id)
		s.count(list, 1)
		if len(list) == 0 {
			delete(s.attended, id)
		} else {
			s.attended[id] = list
		}
	}
	s.dirty = emptied(s.dirty)
}

func (s *usageState) count(list []interval, n int64) {
	for _, v := range list {
		s.slots.add(baseSlot, v, 0, n)
		s.sum.add(v.to.Sub(v.from), n)
	}
}

func (s *usageState) union(id string) []interval {
	return union(seatsOf(s.members[id]), s.crowd.end)
}

func (s *usageState) document() UsageSession {
	s.settle()
	length, list := s.slots.list()
	return UsageSession{
		SessionID: s.id, MeetingID: s.meetingID.text, Organizer: s.organizer.who, Status: s.bounds.status(),
		StartedAt:                 s.startedAt(&s.crowd),
		MaxConcurrentParticipants: s.crowd.peak.before(s.crowd.end),
		ParticipantSeconds:        s.crowd.sum.total(), AttendedSeconds: s.sum.total(),
		RevisedAt:   s.revisedAt(),
		SlotSeconds: int64(length / eventlog.Second), Slots: list,
	}
}

// revisedAt is the latest of the times since when each fact that the document
// rests on is known as it is.
func (s *usageState) revisedAt() eventlog.Time {
	if s.unsure {
		s.revised, s.unsure = 0, false
		for _, p := range s.roster.peers {
			l := p.link()
			latest(&s.revised, l.revised)
		}
	}
	return max(s.revised, s.bounds.revised(s.crowd.total > 0), s.organizer.order.At, s.meetingID.order.At)
}

func (s *usageState) Load(part string, value []byte) error {
	return s.load(part, value, func(r *reader) {
		s.organizer.read(r)
		s.meetingID.read(r, new(eventlog.Order))
	})
}

func (s *usageState) Size() int {
	return 1024 + s.roster.bytes + s.crowd.size() + len(s.members)*160 + len(s.slots)*64
}
