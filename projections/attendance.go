package projections

import (
	"cmp"
	"maps"
	"slices"
	"strings"

	"rollcall/eventlog"
)

// attendanceFold is view attendance: a document for each participant of a
// session, under <session>.<participant>. The entity is the session.
type attendanceFold struct{}

func (attendanceFold) Name() string    { return "attendance" }
func (attendanceFold) Version() string { return "2" }

func (attendanceFold) Key(ev *eventlog.Event) string {
	switch {
	case ev.Type == eventlog.ParticipantJoined, ev.Type == eventlog.ParticipantLeft, ending(ev):
		id, _ := sessionOf(ev)
		return id
	}
	return ""
}

func (attendanceFold) New(key string) eventlog.State {
	s := &attendanceState{gathering: gathering{id: key}, dirty: make(map[string]bool)}
	s.roster = newRoster(true, s.watch)
	return s
}

// attendanceState is the people of one session.
type attendanceState struct {
	gathering
	members members
	// end is the session's end that the documents were last written with.
	end eventlog.Time
	// dirty are the participants to write; one that has no peer any more is
	// deleted.
	dirty     map[string]bool
	dirtyCore bool
	loading   bool
}

func (s *attendanceState) watch(p *peer, old, now *link) {
	s.members.replace(p, old, now)
	if s.loading {
		return
	}
	if old != nil {
		s.dirty[old.participant] = true
	}
	s.dirty[now.participant] = true
}

// start takes over what was loaded: those documents are as they should be.
func (s *attendanceState) start() {
	if s.roster.ready {
		return
	}
	s.loading = true
	s.roster.start()
	s.loading = false
	s.end = s.bounds.endedAt()
}

func (s *attendanceState) Apply(ev *eventlog.Event) {
	if (attendanceFold{}).Key(ev) != s.id || s.id == "" {
		return
	}
	s.start()
	s.roster.apply(ev)
	if ending(ev) {
		s.dirtyCore = s.bounds.apply(ev) || s.dirtyCore
	}
}

func (s *attendanceState) Flush(w eventlog.Writer) {
	s.start()
	s.settle()
	if len(s.dirty) == 0 && !s.dirtyCore {
		return
	}
	session := eventlog.EscapeID(s.id)
	for _, id := range slices.Sorted(maps.Keys(s.dirty)) {
		key := session + "." + eventlog.EscapeID(id)
		if peers := s.members[id]; len(peers) == 0 {
			w.Delete(key)
		} else {
			doc := s.document(id, peers)
			w.Put(key, doc.AppendJSON(nil))
		}
	}
	s.dirty = emptied(s.dirty)
	s.roster.shelf.flush(w)
	if s.dirtyCore {
		s.dirtyCore = false
		w.PutPart(corePart, s.bounds.put([]byte{stateVersion}))
	}
}

// Erase also deletes the documents of participants whose last peer has moved on
// since the last Flush.
func (s *attendanceState) Erase(w eventlog.Writer) {
	s.start()
	for id := range s.members {
		s.dirty[id] = true
	}
	session := eventlog.EscapeID(s.id)
	for _, id := range slices.Sorted(maps.Keys(s.dirty)) {
		w.Delete(session + "." + eventlog.EscapeID(id))
	}
}

// emptied returns an empty set, the same one if it is small: to walk and clear a
// map costs what it once held, and that may have been a whole session.
func emptied(set map[string]bool) map[string]bool {
	if len(set) > 64 {
		return make(map[string]bool)
	}
	clear(set)
	return set
}

// settle marks the participants that a new end of the session changes: those
// with a connection that is open, or was after the earlier of the two ends.
func (s *attendanceState) settle() {
	end := s.bounds.endedAt()
	if end == s.end {
		return
	}
	from := min(end, s.end)
	if from.IsZero() {
		from = max(end, s.end)
	}
	for _, p := range s.roster.peers {
		l := p.link()
		if l.left.IsZero() || l.left > from || l.joined >= from {
			s.dirty[l.participant] = true
		}
	}
	s.end = end
}

// members are the peers of each participant, in no order.
type members map[string][]*peer

// replace moves a peer to the participant that its new form names.
func (m *members) replace(p *peer, old, now *link) {
	if *m == nil {
		*m = make(members)
	}
	if old != nil {
		if old.participant == now.participant {
			return
		}
		list := (*m)[old.participant]
		if i := slices.Index(list, p); i >= 0 {
			list[i] = list[len(list)-1]
			list = list[:len(list)-1]
		}
		if len(list) == 0 {
			delete(*m, old.participant)
		} else {
			(*m)[old.participant] = list
		}
	}
	(*m)[now.participant] = append((*m)[now.participant], p)
}

// seat is a connection while its participant's document is made.
type seat struct {
	link
	peer *peer
}

// seatsOf are the connections of peers, in the order in which they began.
func seatsOf(peers []*peer) []seat {
	seats := make([]seat, len(peers))
	for i, p := range peers {
		seats[i] = seat{p.link(), p}
	}
	slices.SortFunc(seats, func(a, b seat) int {
		return cmp.Or(cmp.Compare(a.joined, b.joined), strings.Compare(a.peer.id, b.peer.id))
	})
	return seats
}

// document makes a participant's document from the person's peers.
func (s *attendanceState) document(id string, peers []*peer) Participant {
	seats := seatsOf(peers)
	doc := Participant{SessionID: s.id, ParticipantID: id, FirstJoinedAt: seats[0].joined}
	list := make([]Connection, len(seats))
	var sum tally
	for i := range seats {
		c := s.connection(&seats[i])
		list[i] = c
		sum.add(c.Seconds, 1)
		if c.LeftAt.IsZero() {
			doc.Present = true
		}
		latest(&doc.LastLeftAt, c.LeftAt)
		if name := seats[i].peer.name.text; name != "" {
			doc.DisplayName = name // the last one has the latest joinedAt
		}
	}
	if doc.Present {
		doc.LastLeftAt = 0
	}
	doc.ConnectedSeconds = sum.total()
	doc.AttendedSeconds = lengthOf(union(seats, s.end))
	doc.LongestGapSeconds = longestGap(seats, s.end)
	doc.ConnectionsOmitted = omitted(list)
	doc.Connections = list[doc.ConnectionsOmitted:]
	return doc
}

func (s *attendanceState) connection(l *seat) Connection {
	c := Connection{PeerID: l.peer.id, JoinedAt: l.joined, LeftAt: l.left, Seconds: l.seconds(s.end)}
	switch {
	case !l.left.IsZero():
		c.ClosedBy = ClosedByLeave
	case !s.end.IsZero():
		c.LeftAt, c.ClosedBy = s.end, ClosedByEnd
	}
	return c
}

// omitted is how many of the earliest connections must be left out so that the
// rest and three more texts fit the budget.
func omitted(list []Connection) int {
	const texts = 3*textLimit + 1024
	const usual = 384 // no connection with an id of 36 bytes is longer
	if len(list)*usual < listBudget-texts && !slices.ContainsFunc(list, func(c Connection) bool { return len(c.PeerID) > 36 }) {
		return 0
	}
	room := listBudget - texts
	var scratch []byte
	for i := len(list) - 1; i >= 0; i-- {
		scratch = list[i].AppendJSON(scratch[:0])
		if room -= len(scratch) + 1; room < 0 {
			return i + 1
		}
	}
	return 0
}

// interval is [from, to), never empty.
type interval struct {
	from, to eventlog.Time
}

// union returns the time that the closed connections cover, cut at the session's
// end, as disjoint intervals in order. seats are sorted by joined.
func union(seats []seat, end eventlog.Time) []interval {
	var list []interval
	for i := range seats {
		joined, left, open := seats[i].interval(end)
		if open || left <= joined {
			continue
		}
		if n := len(list); n > 0 && joined <= list[n-1].to {
			list[n-1].to = max(list[n-1].to, left)
		} else {
			list = append(list, interval{joined, left})
		}
	}
	return list
}

func lengthOf(list []interval) eventlog.Seconds {
	var sum eventlog.Seconds // disjoint, so at most ten thousand years
	for _, v := range list {
		sum += v.to.Sub(v.from)
	}
	return sum
}

func (s *attendanceState) Load(part string, value []byte) error {
	return s.load(part, value, func(*reader) {})
}

func (s *attendanceState) Size() int { return 512 + s.roster.bytes + len(s.members)*96 }
