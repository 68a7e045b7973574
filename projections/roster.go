package projections

import "rollcall/eventlog"

// peer is what the records say about one connection. Every member is a minimum,
// a maximum or a first.
type peer struct {
	place
	id                   string
	custom, client, name first
	// joinedAt is the earliest readable one of joins and leaves, joinSeen the
	// earliest received time of a join; leftAt is the latest readable one of
	// leaves, leaveSeen the earliest received time of a leave.
	joinedAt, leftAt    fact
	joinSeen, leaveSeen eventlog.Time
	// dated: facts are kept with the received time that they are known since.
	dated bool
}

// link is what follows from a peer's facts, whatever the session does.
type link struct {
	participant string
	joined      eventlog.Time
	left        eventlog.Time // zero: no leave was seen
	unseen      bool          // joined is left, for want of anything else
	// revised is, of a dated peer, since when all of the above is known as it is.
	revised eventlog.Time
}

// link follows from the peer's facts: whose connection it is, and its times. A
// leave or join without a readable time has its received time; without a join the
// connection begins where it ends.
func (p *peer) link() link {
	l := link{participant: p.id, joined: p.joinedAt.at, left: p.leftAt.at, revised: max(p.joinedAt.seen, p.leftAt.seen)}
	for _, id := range [...]*first{&p.custom, &p.client} {
		if id.text != "" {
			l.participant, l.revised = id.text, max(l.revised, id.order.At)
			break
		}
	}
	if l.left.IsZero() {
		l.left, l.revised = p.leaveSeen, max(l.revised, p.leaveSeen)
	}
	if l.joined.IsZero() {
		l.joined, l.revised = p.joinSeen, max(l.revised, p.joinSeen)
	}
	if l.joined.IsZero() {
		l.joined, l.unseen = l.left, true
	}
	return l
}

// interval returns [joined, left) cut at the session's end (zero: LIVE); open is
// set where nothing closes it. left may be before joined.
func (l *link) interval(end eventlog.Time) (joined, left eventlog.Time, open bool) {
	left = l.left
	if left.IsZero() || !end.IsZero() && end < left {
		left = end
	}
	return l.joined, left, left.IsZero()
}

// seconds is the connection's length: 0 while open or where it is empty.
func (l *link) seconds(end eventlog.Time) eventlog.Seconds {
	joined, left, open := l.interval(end)
	if open || left <= joined {
		return 0
	}
	return left.Sub(joined)
}

func (p *peer) put(b []byte) []byte {
	var last eventlog.Order
	b = putText(b, p.id)
	for _, f := range [...]*first{&p.custom, &p.client, &p.name} {
		b = f.put(b, &last)
	}
	for _, t := range [...]eventlog.Time{p.joinedAt.at, p.joinSeen, p.leftAt.at, p.leaveSeen} {
		b = putTime(b, t)
	}
	if p.dated {
		b = putTime(putTime(b, p.joinedAt.seen), p.leftAt.seen)
	}
	return b
}

func (p *peer) read(r *reader) {
	var last eventlog.Order
	p.id = r.text()
	for _, f := range [...]*first{&p.custom, &p.client, &p.name} {
		f.read(r, &last)
	}
	for _, t := range [...]*eventlog.Time{&p.joinedAt.at, &p.joinSeen, &p.leftAt.at, &p.leaveSeen} {
		*t = r.time()
	}
	if p.dated {
		p.joinedAt.seen, p.leftAt.seen = r.time(), r.time()
	}
}

// apply merges a join or a leave and reports a change.
func (p *peer) apply(ev *eventlog.Event, names bool) bool {
	in := &ev.Participant
	changed := p.custom.merge(ev.Order, in.CustomID)
	changed = p.client.merge(ev.Order, in.ClientID) || changed
	if names {
		changed = p.name.merge(ev.Order, in.Name) || changed
	}
	seen := ev.Order.At
	if !p.dated {
		seen = 0
	}
	changed = p.joinedAt.earliest(in.JoinedAt, seen) || changed
	if ev.Type == eventlog.ParticipantJoined {
		return earliest(&p.joinSeen, ev.Order.At) || changed
	}
	changed = p.leftAt.latest(in.LeftAt, seen) || changed
	return earliest(&p.leaveSeen, ev.Order.At) || changed
}

// absorb merges what another part says about the same peer.
func (p *peer) absorb(q *peer) {
	p.custom.merge(q.custom.order, q.custom.text)
	p.client.merge(q.client.order, q.client.text)
	p.name.merge(q.name.order, q.name.text)
	p.joinedAt.earliest(q.joinedAt.at, q.joinedAt.seen)
	earliest(&p.joinSeen, q.joinSeen)
	p.leftAt.latest(q.leftAt.at, q.leftAt.seen)
	earliest(&p.leaveSeen, q.leaveSeen)
}

// roster is a session's peers. A join or a leave costs the same however many
// there are: it changes one peer, and one part of 16 when flushed.
type roster struct {
	names bool // whether display names are kept
	dated bool // whether it is kept since when the peers' times are known
	peers map[string]*peer
	shelf shelf[*peer]
	bytes int
	// watch is called for every change: old is nil for a new peer. It is called for
	// each peer once when the entity was loaded.
	watch func(p *peer, old, now *link)
	ready bool
}

// gathering is what the folds keyed by session have in common: who was connected,
// and when the session was.
type gathering struct {
	id     string
	bounds bounds
	roster roster
}

// Over is when the session was over; see [bounds].
func (g *gathering) Over() eventlog.Time { return g.bounds.over() }

// startedAt is when the session began, by its connections where nothing says it.
func (g *gathering) startedAt(c *crowd) eventlog.Time {
	return g.bounds.startedAt(func() eventlog.Time { return c.first(g.roster.peers) })
}

// load reads a part: a share of the peers, or the core, of which rest reads what
// comes after the bounds.
func (g *gathering) load(part string, value []byte, rest func(r *reader)) error {
	if ours, err := g.roster.load(part, value); ours {
		return err
	}
	if part != corePart {
		return errState
	}
	r := reader{b: value}
	r.version()
	g.bounds.read(&r)
	rest(&r)
	return r.done()
}

const (
	peersEach   = 16
	peersPrefix = "p"
)

func newRoster(names bool, watch func(p *peer, old, now *link)) roster {
	return roster{
		names: names, peers: make(map[string]*peer), watch: watch,
		shelf: shelf[*peer]{prefix: peersPrefix, each: peersEach},
	}
}

// start calls watch for the peers that were loaded; it must be called before
// anything is read from them.
func (r *roster) start() {
	if r.ready {
		return
	}
	r.ready = true
	for _, p := range r.peers {
		now := p.link()
		r.watch(p, nil, &now)
	}
}

// moves reports whether an event is a join or a leave.
func moves(ev *eventlog.Event) bool {
	return ev.Type == eventlog.ParticipantJoined || ev.Type == eventlog.ParticipantLeft
}

// apply folds a join or leave in and reports a change. One without a peer id
// changes no connection.
func (r *roster) apply(ev *eventlog.Event) bool {
	if !moves(ev) || ev.Participant.PeerID == "" {
		return false
	}
	p := r.peers[ev.Participant.PeerID]
	if p == nil {
		p = &peer{id: ev.Participant.PeerID, dated: r.dated}
		p.apply(ev, r.names)
		r.peers[p.id] = p
		r.shelf.add(p)
		now := p.link()
		r.watch(p, nil, &now)
		r.bytes += 400 + len(p.id) + len(ev.Participant.CustomID)*2 + len(ev.Participant.ClientID) + len(ev.Participant.Name)
		return true
	}
	old := p.link()
	if !p.apply(ev, r.names) {
		return false
	}
	r.shelf.mark(p)
	now := p.link()
	r.watch(p, &old, &now)
	return true
}

// load reads a part, and reports whether name is one of these.
func (r *roster) load(name string, value []byte) (ours bool, err error) {
	n := r.shelf.index(name)
	if n < 0 {
		return false, nil
	}
	r.shelf.grow(n)
	in := reader{b: value}
	in.version()
	for len(in.b) > 0 && !in.bad {
		p := &peer{dated: r.dated}
		p.read(&in)
		if in.bad {
			break
		}
		r.bytes += 400 + len(value)/8
		if old := r.peers[p.id]; old != nil {
			old.absorb(p)
			r.shelf.merged(old, n)
			continue
		}
		r.peers[p.id] = p
		r.shelf.load(p, n)
	}
	return true, in.done()
}
