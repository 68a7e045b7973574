package traffic

import (
	"slices"
	"time"
)

// world is what outlives a session: organizations and their rooms.
type world struct {
	c    Config
	orgs []organization
}

type organization struct{ id, name string }

type room struct {
	id, title, name string
	created         time.Time
	org             organization
	plain           bool // the organizer is a text, as in the first edition of v1
}

func (r *room) organizer(o *object) *object {
	if r.plain {
		return o.str("organizedBy", r.org.name)
	}
	return o.obj("organizedBy", new(object).str("id", r.org.id).str("name", r.org.name))
}

func newWorld(c Config) *world {
	r := newDraw(c.Seed, 1)
	w := &world{c: c}
	for i := range 8 {
		w.orgs = append(w.orgs, organization{r.uuid(), "Organization " + itoa(i+1)})
	}
	return w
}

// room is the one that session n meets in: every third session re-uses the room
// of an earlier one, so that sessions of one meeting overlap and follow.
func (w *world) room(n int, gen Generation) room {
	r := newDraw(w.c.Seed, uint64(n)<<8|2)
	if n > 0 && r.chance(0.33) {
		n -= 1 + r.IntN(min(n, 40))
		r = newDraw(w.c.Seed, uint64(n)<<8|2)
		r.chance(0.33)
	}
	rm := room{
		id: r.uuid(), title: pick(r, "Weekly planning", "Lecture", "Support call", "Interview", "Réunion d'équipe", "進捗会議") + " " + itoa(n+1),
		org: pick(r, w.orgs...), created: w.c.Start.Add(-r.within(30 * 24 * time.Hour)),
	}
	if gen == V1 || r.chance(0.2) {
		rm.name = r.letters(6) + "-" + r.letters(6)
	}
	rm.plain = gen == V1 && r.chance(0.1)
	return rm
}

type person struct{ customID, name string }

// connection is one peer: one join to one leave.
type connection struct {
	peer         string
	person       *person
	name         string
	joined, left time.Time
	noJoin       bool
	noLeave      bool
	lateLeave    bool
}

type recording struct {
	id, url, file, meetingID          string
	invoked, started, stopped, expiry time.Time
	bytes                             int64
	noURL, tracks                     bool
}

// session plans one session and turns the plan into deliveries.
type session struct {
	draw
	c           Config
	n           int
	gen         Generation
	id          string
	room        room
	webhook     string
	start, end  time.Time
	neverEnds   bool
	bareSummary bool
	out         []Delivery
}

// plan begins the plan of a session: who it is and where.
func (w *world) plan(n int, start time.Time) *session {
	r := newDraw(w.c.Seed, uint64(n)<<8|3)
	s := &session{draw: r, c: w.c, n: n, start: start.Truncate(time.Millisecond)}
	s.gen = pick(r, w.c.Generations...)
	s.id = r.uuid()
	s.room = w.room(n, s.gen)
	s.webhook = newDraw(w.c.Seed, uint64(s.gen)).uuid()
	return s
}

func (w *world) session(n int, start time.Time) []Delivery {
	if w.c.Scenes && n < scenes {
		return w.stage(n, start)
	}
	s := w.plan(n, start)
	r := s.draw
	length := max(r.spread(w.c.MedianLength, 0.8), w.c.MedianLength/20)
	s.end = s.start.Add(min(length, 20*w.c.MedianLength))
	s.neverEnds = s.odd(0.01)
	s.bareSummary = r.chance(0.3)
	s.people()
	s.frame()
	s.recordings()
	s.livestreams()
	s.artifacts()
	if r.chance(w.c.Noise) {
		s.noise()
	}
	return s.fates()
}

// odd is chance, but never true in a tame stream.
func (s *session) odd(p float64) bool {
	hit := s.chance(p)
	return hit && !s.c.Tame
}

// unit is a thousandth of the median length: the pace of everything that is a
// matter of seconds in a meeting of half an hour.
func (s *session) unit() time.Duration { return s.c.MedianLength / 1000 }

// send plans a delivery of body that the provider sends at t.
func (s *session) send(t time.Time, body []byte) {
	s.out = append(s.out, Delivery{
		At: t.Add(50*time.Millisecond + s.within(100*time.Millisecond)), Session: s.n, Generation: s.gen,
		DeliveryID: s.uuid(), WebhookID: s.webhook, Body: body,
	})
}

// frame sends the start and the end.
func (s *session) frame() {
	if !s.odd(0.03) {
		s.send(s.start, s.startedBody())
	}
	if s.neverEnds {
		return
	}
	reason := pick(s.draw, "HOST_ENDED_MEETING", "ALL_PARTICIPANTS_LEFT", "ALL_PARTICIPANTS_LEFT")
	if s.odd(0.02) {
		reason = ""
	}
	at := s.end
	if reason == "ALL_PARTICIPANTS_LEFT" {
		at = at.Add(40 * s.unit()) // the provider waits a minute for people to come back
	}
	s.send(at, s.endedBody(reason))
}

func (s *session) people() {
	n := 1 + int(float64(s.spread(time.Duration(s.c.MedianParticipants*float64(time.Second)), 0.7))/float64(time.Second))
	for i := range min(n, 5000) {
		p := &person{customID: s.customID(i), name: "Guest " + itoa(s.IntN(9000)+1)}
		if i == 0 {
			p.name = "Host " + itoa(s.IntN(400)+1)
		}
		joined := s.start
		if i > 0 {
			joined = joined.Add(s.within(min(s.end.Sub(s.start)/2, 200*s.unit())))
		}
		s.visits(p, joined)
	}
}

// customID is the application's own name of a person: free text, often regular,
// sometimes what no subject or key may hold unescaped, sometimes missing.
func (s *session) customID(i int) string {
	switch k := s.IntN(20); {
	case k < 14:
		return "u-" + itoa(s.IntN(500))
	case k < 16:
		return "user." + itoa(i) + "@example.com"
	case k < 17:
		return "org/" + itoa(s.IntN(9)) + " > *"
	case k < 18:
		return "участник-" + itoa(i)
	default:
		return ""
	}
}

// visits plans a person's connections: one, a rejoin or two, or a second device
// beside the first.
func (s *session) visits(p *person, joined time.Time) {
	left := s.end
	if s.chance(0.5) {
		left = joined.Add(s.within(s.end.Sub(joined)))
	}
	s.connect(p, joined, left)
	if s.chance(0.1) && left.After(joined) {
		from := joined.Add(s.within(left.Sub(joined)))
		s.connect(p, from, from.Add(s.within(s.end.Sub(from))))
	}
	for s.chance(0.25) {
		from := left.Add(time.Millisecond + s.within(60*s.unit()))
		if !from.Before(s.end) {
			return
		}
		if s.chance(0.2) {
			p.name += " (phone)"
		}
		left = from.Add(s.within(s.end.Sub(from)))
		s.connect(p, from, left)
	}
}

func (s *session) connect(p *person, joined, left time.Time) {
	c := &connection{peer: s.uuid(), person: p, name: p.name, joined: joined, left: left}
	c.noJoin, c.noLeave, c.lateLeave = s.odd(0.01), s.odd(0.03), s.odd(0.03)
	if s.neverEnds && s.chance(0.5) {
		c.noLeave = true
	}
	sent := c.left
	if s.odd(0.005) { // clocks disagree
		c.left = c.joined.Add(-s.unit())
	}
	if !c.noJoin {
		s.send(c.joined, s.joinedBody(c))
	}
	if c.lateLeave {
		c.left = s.end.Add(s.within(20 * s.unit()))
		sent = s.end.Add(100 * s.unit())
	}
	if !c.noLeave {
		s.send(sent, s.leftBody(c))
	}
}

func (s *session) recordings() {
	for n := 0; n < 3 && s.chance(0.4); n++ {
		r := &recording{id: s.uuid(), meetingID: s.room.id}
		r.invoked = s.start.Add(s.within(s.end.Sub(s.start) / 2))
		r.started = r.invoked.Add(2 * s.unit()).Add(time.Duration(s.IntN(1000)) * time.Microsecond)
		r.stopped = r.started.Add(s.within(max(s.end.Sub(r.started), s.unit()))).Add(time.Duration(s.IntN(1000)) * time.Microsecond)
		r.bytes = 1000 + int64(r.stopped.Sub(r.started).Seconds()*90_000)
		r.file = s.room.id + "_" + itoa(int(r.started.UnixMilli())) + ".mp4"
		r.url = "https://files.example.com/" + r.id
		r.noURL, r.tracks = s.odd(0.05), s.odd(0.02)
		if s.odd(0.03) { // the vendors' own samples disagree with themselves
			r.meetingID = s.uuid()
		}
		s.stages(r)
	}
}

func (s *session) stages(r *recording) {
	if !s.odd(0.1) {
		s.send(r.invoked, s.recordingBody(r, "INVOKED"))
	}
	failed, stuck := s.chance(0.06), s.odd(0.04)
	if failed && s.chance(0.3) {
		r.stopped = r.started
		s.send(r.started, s.recordingBody(r, "ERRORED"))
		return
	}
	s.send(r.started, s.recordingBody(r, "RECORDING"))
	if s.chance(0.05) {
		at := r.started.Add(s.within(r.stopped.Sub(r.started)))
		s.send(at, s.recordingBody(r, "PAUSED"))
		s.send(at.Add(10*s.unit()), s.recordingBody(r, "RECORDING"))
	}
	s.send(r.stopped, s.recordingBody(r, "UPLOADING"))
	done := r.stopped.Add(s.spread(60*s.unit(), 0.5))
	r.expiry = done.Add(7 * 24 * time.Hour)
	switch {
	case stuck:
	case failed:
		s.send(done, s.recordingBody(r, "ERRORED"))
	default:
		s.send(done, s.recordingBody(r, "UPLOADED"))
		if s.odd(0.02) { // a terminal conflict
			s.send(done.Add(s.unit()), s.recordingBody(r, "ERRORED"))
		}
	}
}

func (s *session) livestreams() {
	if !s.chance(0.12) {
		return
	}
	stream, key := s.uuid(), s.letters(24)
	if s.gen == V1 {
		stream = s.digits(24)
	}
	at := s.start.Add(s.within(s.end.Sub(s.start) / 4))
	step := s.end.Sub(at) / 5
	states := pick(s.draw, []string{"LIVE", "OFFLINE"}, []string{"LIVE", "OFFLINE", "LIVE", "OFFLINE"},
		[]string{"IDLE", "LIVE", "OFFLINE", "LIVE"}, []string{"LIVE", "LIVE", "IDLE", "OFFLINE"})
	for _, status := range states {
		s.send(at, s.livestreamBody(stream, key, status))
		at = at.Add(s.within(step) + time.Millisecond)
	}
}

func (s *session) artifacts() {
	if s.gen == V1 || s.neverEnds {
		return
	}
	kinds := []struct {
		name string
		p    float64
		life time.Duration
		body func(string, time.Time) []byte
	}{
		{"chat", 0.5, 24 * time.Hour, s.chatBody},
		{"transcript", 0.4, 7 * 24 * time.Hour, s.transcriptBody},
		{"summary", 0.3, 7 * 24 * time.Hour, s.summaryBody},
	}
	for _, k := range kinds {
		if !s.chance(k.p) {
			continue
		}
		at := s.end.Add(s.spread(80*s.unit(), 0.6))
		for version := 1; ; version++ {
			url := "https://files.example.com/" + s.id + "/" + k.name + "-" + itoa(version)
			if s.odd(0.03) {
				url = ""
			}
			s.send(at, k.body(url, at.Add(k.life)))
			if version == 3 || !s.chance(0.05) { // made again, under another address
				break
			}
			at = at.Add(20 * s.unit())
		}
	}
}

// fates decides what becomes of each delivery on its way: lost, delayed, sent
// again.
func (s *session) fates() []Delivery {
	planned := s.out
	s.out = nil
	for _, d := range planned {
		if s.chance(s.c.Lost) {
			continue
		}
		switch {
		case s.odd(0.01):
			d.At = d.At.Add(s.within(600 * s.unit()))
		case s.odd(0.06):
			d.At = d.At.Add(s.within(8 * s.unit()))
		}
		s.out = append(s.out, d)
		if !s.chance(s.c.Duplicates) {
			continue
		}
		again := d
		again.At = d.At.Add(time.Second + s.within(20*s.unit()))
		if s.chance(0.5) { // a second subscription, not a retry
			again.DeliveryID, again.WebhookID = s.uuid(), newDraw(s.c.Seed, 0xff).uuid()
		}
		s.out = append(s.out, again)
	}
	return s.inOrder()
}

// inOrder is what was planned, in the order of arrival.
func (s *session) inOrder() []Delivery {
	slices.SortStableFunc(s.out, func(a, b Delivery) int { return a.At.Compare(b.At) })
	return s.out
}
