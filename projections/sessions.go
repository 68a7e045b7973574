package projections

import (
	"rollcall/eventlog"
)

// sessionFold is view sessions: a document for each session that was opened,
// under live.<session> or ended.<session>.
type sessionFold struct{}

func (sessionFold) Name() string    { return "sessions" }
func (sessionFold) Version() string { return "2" }

func (sessionFold) Key(ev *eventlog.Event) string {
	id, _ := sessionOf(ev)
	return id
}

func (sessionFold) New(key string) eventlog.State {
	s := &sessionState{gathering: gathering{id: key}}
	s.roster = newRoster(false, func(_ *peer, old, now *link) { s.crowd.replace(old, now) })
	return s
}

// sessionState is the facts about one session.
type sessionState struct {
	gathering
	crowd      crowd
	deliveries deliveries

	meetingID, title, room, reason first
	organizer                      organizer
	started, standIn, noPeer       bool // meeting.started seen; a meeting id stood in; a move without a peer id
	badTimes                       eventlog.BadTime
	degraded                       eventlog.Time

	dirty, dirtyCore bool
	// moved: the document under live.<session> is deleted. It is in the same commit
	// as the part that says that the session ended, or in one before.
	moved bool
}

func (s *sessionState) Apply(ev *eventlog.Event) {
	id, standIn := sessionOf(ev)
	if id != s.id || id == "" {
		return
	}
	s.roster.start()
	if s.roster.apply(ev) {
		s.dirty = true
	}
	core := s.bounds.apply(ev)
	alone := s.deliveries.alone
	if s.deliveries.add(ev) {
		s.dirty = true
		core = core || alone != s.deliveries.alone
	}
	core = s.applyCore(ev, standIn) || core
	s.dirtyCore = s.dirtyCore || core
	s.dirty = s.dirty || core
}

func (s *sessionState) applyCore(ev *eventlog.Event, standIn bool) bool {
	changed := s.meetingID.merge(ev.Order, ev.MeetingID)
	changed = s.title.merge(ev.Order, ev.Title) || changed
	changed = s.room.merge(ev.Order, ev.RoomName) || changed
	changed = s.organizer.merge(ev) || changed
	changed = set(&s.standIn, standIn) || changed
	changed = set(&s.noPeer, moves(ev) && ev.Participant.PeerID == "") || changed
	switch ev.Type {
	case eventlog.MeetingStarted:
		changed = set(&s.started, true) || changed
	case eventlog.MeetingEnded:
		changed = s.reason.merge(ev.Order, ev.Reason) || changed
	}
	if bad := s.badTimes | ev.BadTimes; bad != s.badTimes {
		s.badTimes, changed = bad, true
	}
	return changed
}

func (s *sessionState) Park(at eventlog.Time) {
	if earliest(&s.degraded, at) {
		s.dirty, s.dirtyCore = true, true
	}
}

func (s *sessionState) Unpark() {
	if !s.degraded.IsZero() {
		s.degraded, s.dirty, s.dirtyCore = 0, true, true
	}
}

func (s *sessionState) Flush(w eventlog.Writer) {
	s.roster.start()
	if !s.dirty {
		return
	}
	s.dirty = false
	if s.bounds.opened {
		doc := s.document()
		key := eventlog.EscapeID(s.id)
		if s.bounds.ended {
			w.Put("ended."+key, doc.AppendJSON(nil))
			if !s.moved {
				s.moved = true
				w.Delete("live." + key)
			}
		} else {
			w.Put("live."+key, doc.AppendJSON(nil))
		}
	}
	s.roster.shelf.flush(w)
	s.deliveries.flush(w)
	if s.dirtyCore {
		s.dirtyCore = false
		w.PutPart(corePart, s.putCore())
	}
}

func (s *sessionState) Erase(w eventlog.Writer) {
	key := eventlog.EscapeID(s.id)
	if s.moved {
		w.Delete("ended." + key)
	} else {
		w.Delete("live." + key)
	}
}

// document makes the document from the facts alone.
func (s *sessionState) document() Session {
	b := &s.bounds
	end := b.endedAt()
	s.crowd.settle(end, s.roster.peers)
	doc := Session{
		SessionID: s.id, MeetingID: s.meetingID.text, Title: s.title.text, RoomName: s.room.text,
		Organizer: s.organizer.who, Status: b.status(),
		StartedAt: s.startedAt(&s.crowd), EndedAt: end,
		LiveParticipants: s.crowd.open, UniqueParticipants: len(s.crowd.people), Connections: s.crowd.total,
		MaxConcurrentParticipants: s.crowd.peak.before(end), ParticipantSeconds: s.crowd.sum.total(),
		Implicit: !s.started, LastEventAt: s.deliveries.last(), DegradedSince: s.degraded,
	}
	if b.ended {
		doc.LiveParticipants = 0
		doc.EndReason = s.reason.text
		if doc.EndReason == "" {
			doc.EndReason = ReasonUnknown
		}
		d := max(0, end.Sub(doc.StartedAt))
		doc.DurationSeconds = &d
	}
	doc.Anomalies = s.anomalies(&doc)
	return doc
}

// anomalies are in the order of their names.
func (s *sessionState) anomalies(doc *Session) []string {
	list := []string{}
	for _, a := range [...]struct {
		name string
		seen bool
	}{
		{BadTime, s.badTimes != 0},
		{EndBeforeStart, s.bounds.ended && doc.EndedAt < doc.StartedAt},
		{EndInferred, s.bounds.ended && s.bounds.lastEnd.at.IsZero()},
		{JoinUnseen, s.crowd.unseen > 0},
		{LeftAfterEnd, s.crowd.lateLeaves > 0},
		{LeftBeforeJoin, s.crowd.backwards > 0},
		{NoPeerID, s.noPeer},
		{NoSessionID, s.standIn},
	} {
		if a.seen {
			list = append(list, a.name)
		}
	}
	return list
}

// corePart is the part that holds what an entity keeps once.
const corePart = "core"

func (s *sessionState) putCore() []byte {
	b := s.bounds.put([]byte{stateVersion})
	var flags byte
	if s.started {
		flags |= 1
	}
	if s.standIn {
		flags |= 2
	}
	if s.noPeer {
		flags |= 4
	}
	b = append(b, flags, byte(s.badTimes))
	b = putTime(putTime(b, s.deliveries.alone), s.degraded)
	var last eventlog.Order
	for _, f := range [...]*first{&s.meetingID, &s.title, &s.room, &s.reason} {
		b = f.put(b, &last)
	}
	return s.organizer.put(b)
}

func (s *sessionState) Load(part string, value []byte) error {
	if ours, err := s.deliveries.load(part, value); ours {
		return err
	}
	return s.load(part, value, s.readCore)
}

func (s *sessionState) readCore(r *reader) {
	s.moved = s.bounds.ended
	flags := r.byte()
	s.started, s.standIn, s.noPeer = flags&1 != 0, flags&2 != 0, flags&4 != 0
	s.badTimes = eventlog.BadTime(r.byte())
	s.deliveries.alone, s.degraded = r.time(), r.time()
	var last eventlog.Order
	for _, f := range [...]*first{&s.meetingID, &s.title, &s.room, &s.reason} {
		f.read(r, &last)
	}
	s.organizer.read(r)
}

func (s *sessionState) Size() int {
	return 1024 + s.roster.bytes + s.deliveries.size() + s.crowd.size() +
		len(s.meetingID.text) + len(s.title.text) + len(s.room.text) + len(s.reason.text)
}
