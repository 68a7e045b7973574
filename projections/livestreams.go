package projections

import (
	"slices"

	"rollcall/eventlog"
)

// livestreamFold is view livestreams: a document a stream. It keeps every
// delivery, since a stream that goes LIVE, OFFLINE, LIVE sends the same body
// twice: the body is no key.
type livestreamFold struct{}

func (livestreamFold) Name() string    { return "livestreams" }
func (livestreamFold) Version() string { return "2" }

func (livestreamFold) Key(ev *eventlog.Event) string {
	if ev.Type != eventlog.LivestreamStatus {
		return ""
	}
	return ev.Livestream.StreamID
}

func (livestreamFold) New(key string) eventlog.State {
	return &livestreamState{
		id: key, index: make(map[string]*beat),
		shelf: shelf[*beat]{prefix: beatsPrefix, each: beatsEach},
	}
}

const (
	beatsEach   = 64
	beatsPrefix = "b"
	// transitionsShown is how many of the latest transitions a document lists.
	transitionsShown = 1000
)

// beat is one delivery with a status, repeats merged.
type beat struct {
	place
	key    string // the repeat key, or the event id of a record without one
	order  eventlog.Order
	status string
}

func (b *beat) put(to []byte) []byte {
	return putText(putOrder(putText(to, b.key), b.order), b.status)
}

func (b *beat) read(r *reader) {
	b.key = r.text()
	b.order = r.order()
	b.status = r.text()
}

func compareBeats(a, b *beat) int {
	switch {
	case a.order.Less(b.order):
		return -1
	case b.order.Less(a.order):
		return 1
	case a.status != b.status: // a hand-made log; see before
		if a.status < b.status {
			return -1
		}
		return 1
	case a.key < b.key:
		return -1
	case a.key > b.key:
		return 1
	}
	return 0
}

// livestreamState is the deliveries about one livestream.
type livestreamState struct {
	id      string
	meeting first
	index   map[string]*beat
	shelf   shelf[*beat]
	beats   []*beat // sorted, once ready
	ready   bool

	// transitions and onAir follow from the first folded beats.
	folded      int
	transitions []StatusAt
	onAir       tally

	seen, dirty, dirtyCore bool
	bytes                  int
}

// Apply merges a delivery. A repeat that was received earlier takes the place of
// the one before.
func (s *livestreamState) Apply(ev *eventlog.Event) {
	if ev.Type != eventlog.LivestreamStatus || ev.Livestream.StreamID != s.id || s.id == "" {
		return
	}
	s.start()
	if changed := s.meeting.merge(ev.Order, ev.MeetingID); changed || !s.seen {
		s.seen, s.dirty, s.dirtyCore = true, true, true
	}
	if ev.Livestream.Status == "" {
		return
	}
	key := "e" + ev.Order.ID
	if !ev.Repeat.IsZero() {
		key = "r" + string(ev.Repeat[:])
	}
	b := s.index[key]
	switch {
	case b == nil:
		b = &beat{key: key, order: ev.Order, status: ev.Livestream.Status}
		s.index[key] = b
		s.shelf.add(b)
		s.bytes += 256 + len(b.status)
	case ev.Order.Less(b.order):
		s.take(b)
		b.order = ev.Order
		s.shelf.mark(b)
	default:
		return
	}
	s.insert(b)
	s.dirty = true
}

// start sorts what was loaded.
func (s *livestreamState) start() {
	if s.ready {
		return
	}
	s.ready = true
	for _, b := range s.index {
		s.beats = append(s.beats, b)
	}
	slices.SortFunc(s.beats, compareBeats)
}

func (s *livestreamState) insert(b *beat) {
	i, _ := slices.BinarySearchFunc(s.beats, b, compareBeats)
	s.beats = slices.Insert(s.beats, i, b)
	s.forget(i)
}

func (s *livestreamState) take(b *beat) {
	if i, found := slices.BinarySearchFunc(s.beats, b, compareBeats); found {
		s.beats = slices.Delete(s.beats, i, i+1)
		s.forget(i)
	}
}

// forget folds again from the start if beat i was folded: rare, since beats
// mostly come in order.
func (s *livestreamState) forget(i int) {
	if i < s.folded {
		s.folded, s.transitions, s.onAir = 0, nil, tally{}
	}
}

const streamLive = "LIVE"

func (s *livestreamState) fold() {
	for ; s.folded < len(s.beats); s.folded++ {
		b := s.beats[s.folded]
		n := len(s.transitions)
		if n > 0 {
			last := s.transitions[n-1]
			if last.Status == b.status {
				continue
			}
			if last.Status == streamLive {
				s.onAir.add(b.order.At.Sub(last.At), 1)
			}
		}
		s.transitions = append(s.transitions, StatusAt{b.status, b.order.At})
	}
}

func (s *livestreamState) Flush(w eventlog.Writer) {
	s.start()
	if !s.dirty {
		return
	}
	s.dirty = false
	s.fold()
	doc := Livestream{StreamID: s.id, MeetingID: s.meeting.text, OnAirSeconds: s.onAir.total()}
	n := len(s.transitions)
	if n > 0 {
		doc.Status = s.transitions[n-1].Status
	}
	doc.Transitions = latestStatuses(s.transitions[max(0, n-transitionsShown):])
	w.Put(eventlog.EscapeID(s.id), doc.AppendJSON(nil))
	s.shelf.flush(w)
	if s.dirtyCore {
		s.dirtyCore = false
		var last eventlog.Order
		w.PutPart(corePart, s.meeting.put([]byte{stateVersion}, &last))
	}
}

// latestStatuses is the end of list that fits a document.
func latestStatuses(list []StatusAt) []StatusAt {
	room := listBudget - 4*textLimit
	for i := len(list) - 1; i >= 0; i-- {
		if room -= statusSize(&list[i]); room < 0 {
			return list[i+1:]
		}
	}
	return list
}

// statusSize is at least the length of a list element in JSON.
func statusSize(s *StatusAt) int {
	const frame = len(`{"status":"","at":"2006-01-02T15:04:05.999999Z"},`)
	n := frame
	for _, r := range s.Status {
		n += escapedLen(r)
	}
	return min(n, frame+textLimit)
}

func (s *livestreamState) Load(part string, value []byte) error {
	s.seen = true
	if part == corePart {
		r := reader{b: value}
		r.version()
		var last eventlog.Order
		s.meeting.read(&r, &last)
		return r.done()
	}
	n := s.shelf.index(part)
	if n < 0 {
		return errState
	}
	s.shelf.grow(n)
	r := reader{b: value}
	r.version()
	for len(r.b) > 0 && !r.bad {
		b := new(beat)
		b.read(&r)
		if r.bad {
			break
		}
		s.bytes += 256 + len(b.status)
		if old := s.index[b.key]; old != nil {
			if b.order.Less(old.order) {
				old.order = b.order
			}
			s.shelf.merged(old, n)
			continue
		}
		s.index[b.key] = b
		s.shelf.load(b, n)
	}
	return r.done()
}

func (s *livestreamState) Size() int {
	return 512 + s.bytes + len(s.transitions)*32 + len(s.meeting.text)
}
