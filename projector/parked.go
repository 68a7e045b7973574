package projector

import (
	"fmt"
	"sort"
	"strings"
	"time"

	"rollcall/eventlog"
)

// poison remembers, across the terms of one Run, which records fail their fold.
// It is kept in memory only: what it leads to is stored with the commit.
type poison struct {
	failed map[eventlog.Seq]failure
	// careful are entities that a flush failed on: they are flushed after each
	// record, which shows the one that did it.
	careful map[string]bool
	// broken are entities that a flush failed on although no record did it, with
	// the reason. They stay as they are stored, and their records are kept aside.
	broken  map[string]string
	refolds int
}

// failure is of one event: after a lost tail its sequence may be another's.
type failure struct {
	event, entity, text string
}

func newPoison() *poison {
	return &poison{failed: make(map[eventlog.Seq]failure), careful: make(map[string]bool), broken: make(map[string]string)}
}

func (p *poison) has(ev *eventlog.Event) bool {
	if len(p.failed) == 0 {
		return false
	}
	f, ok := p.failed[ev.Seq]
	return ok && f.event == ev.Order.ID
}

func (p *poison) entity(seq eventlog.Seq) string { return p.failed[seq].entity }

func (p *poison) add(ev *eventlog.Event, entity, text string) {
	p.failed[ev.Seq] = failure{ev.Order.ID, entity, text}
}

// settle forgets what a commit has stored.
func (p *poison) settle(upTo eventlog.Seq) {
	for seq := range p.failed {
		if seq <= upTo {
			delete(p.failed, seq)
		}
	}
}

// maxErrorText keeps what a panic says, and whatever data it quotes, short.
const maxErrorText = 200

func oneLine(err error) string {
	text := strings.Join(strings.Fields(err.Error()), " ")
	if len(text) > maxErrorText {
		text = strings.ToValidUTF8(text[:maxErrorText], "") + "…"
	}
	return text
}

// guard calls f, and returns what it panics with as an error: a bug in a fold
// costs one record, never the loop.
func guard(f func()) (err error) {
	defer func() {
		if r := recover(); r != nil {
			err = fmt.Errorf("panic: %v", r)
		}
	}()
	f()
	return nil
}

// keepAside parks a record: it is stored with the next commit, and the entity,
// if it can, says since when something is missing from it.
func (t *task) keepAside(in *input, key string, now time.Time) {
	f := t.poison.failed[in.event.Seq]
	r := Parked{
		Sequence: in.event.Seq, EventID: in.event.Order.ID, Type: in.event.Type.String(),
		ReceivedAt: in.event.Order.At, Entity: key, Error: f.text, ParkedAt: now.UTC(),
	}
	if t.dirty.Len() == 0 && len(t.park) == 0 {
		t.dirtySince = now
	}
	t.park = append(t.park, r)
	t.parked.add(r)
	if e := t.cache.get(key); e != nil && t.poison.broken[key] == "" {
		if d, ok := e.state.(Degradable); ok && guard(func() { d.Park(r.ReceivedAt) }) == nil {
			t.touch(e, now)
		}
	}
}

// parkedSet are the parked records of a generation by sequence and by entity.
type parkedSet struct {
	records  map[eventlog.Seq]Parked
	entities map[string]eventlog.Time // earliest received time
}

func newParkedSet(list []Parked) *parkedSet {
	s := &parkedSet{records: make(map[eventlog.Seq]Parked), entities: make(map[string]eventlog.Time)}
	for _, r := range list {
		s.add(r)
	}
	return s
}

func (s *parkedSet) add(r Parked) {
	s.records[r.Sequence] = r
	if at, ok := s.entities[r.Entity]; !ok || r.ReceivedAt < at {
		s.entities[r.Entity] = r.ReceivedAt
	}
}

func (s *parkedSet) remove(seq eventlog.Seq) {
	entity := s.records[seq].Entity
	delete(s.records, seq)
	delete(s.entities, entity)
	for _, r := range s.records {
		if at, ok := s.entities[entity]; r.Entity == entity && (!ok || r.ReceivedAt < at) {
			s.entities[entity] = r.ReceivedAt
		}
	}
}

func (s *parkedSet) count() int { return len(s.records) }

// since is the earliest received time of an entity's parked records; zero where
// it has none.
func (s *parkedSet) since(entity string) eventlog.Time { return s.entities[entity] }

// list returns the records up to a sequence, in its order.
func (s *parkedSet) list(upTo eventlog.Seq) []Parked {
	if len(s.records) == 0 {
		return nil
	}
	all := make([]Parked, 0, len(s.records))
	for _, r := range s.records {
		if r.Sequence <= upTo {
			all = append(all, r)
		}
	}
	sort.Slice(all, func(i, j int) bool { return all[i].Sequence < all[j].Sequence })
	return all
}
