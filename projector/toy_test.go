package projector_test

import (
	"encoding/json"
	"fmt"
	"slices"
	"strings"

	"rollcall/eventlog"
	"rollcall/projector"
)

// toy is a small fold with all that a real one does: two keys of which exactly
// one exists, a document a participant, state in two parts.
type toy struct {
	panicOn string // event id that Apply panics on
	flushOn string // event id whose presence makes Flush panic
	bigOn   string // event id that makes a document too large
	keyOn   string // event id that Key panics on
	eraseOn string // session on which Erase panics
	// onApply, where set, is called before each Apply, and after it.
	onApply func(ev *eventlog.Event, after bool)
}

func (toy) Name() string    { return "toy" }
func (toy) Version() string { return "v1" }
func (f toy) Key(ev *eventlog.Event) string {
	if f.keyOn != "" && ev.Order.ID == f.keyOn {
		panic("planted in Key")
	}
	return ev.SessionID
}
func (f toy) New(key string) eventlog.State {
	return &toyState{fold: f, key: key, people: map[string]map[string]bool{}, dirty: map[string]bool{}}
}

type toyState struct {
	fold     toy
	key      string
	ended    bool
	ids      []string
	people   map[string]map[string]bool
	degraded eventlog.Time
	over     eventlog.Time
	changed  bool
	dirty    map[string]bool
}

type toyHead struct {
	Ended    bool
	IDs      []string
	Degraded eventlog.Time
	Over     eventlog.Time
}

func (s *toyState) Load(part string, value []byte) error {
	if part == projector.AgingPart {
		var h toyHead
		err := json.Unmarshal(value, &h)
		s.ended, s.ids, s.degraded, s.over = h.Ended, h.IDs, h.Degraded, h.Over
		return err
	}
	return json.Unmarshal(value, &s.people)
}

func (s *toyState) Apply(ev *eventlog.Event) {
	if s.fold.onApply != nil {
		s.fold.onApply(ev, false)
		defer s.fold.onApply(ev, true)
	}
	if s.fold.panicOn != "" && ev.Order.ID == s.fold.panicOn {
		s.ids = append(s.ids, "half-done")
		panic("planted in Apply")
	}
	if at, found := slices.BinarySearch(s.ids, ev.Order.ID); !found {
		s.ids = slices.Insert(s.ids, at, ev.Order.ID)
		s.changed = true
	}
	if ev.Type == eventlog.MeetingEnded && (!s.ended || ev.Order.At < s.over) {
		s.ended, s.over, s.changed = true, ev.Order.At, true
	}
	if p := ev.Participant.PeerID; p != "" {
		if s.people[p] == nil {
			s.people[p] = map[string]bool{}
		}
		if !s.people[p][ev.Order.ID] {
			s.people[p][ev.Order.ID] = true
			s.dirty[p] = true
		}
	}
}

func (s *toyState) Park(at eventlog.Time) {
	if s.degraded.IsZero() || at < s.degraded {
		s.degraded, s.changed = at, true
	}
}

func (s *toyState) Unpark() {
	if !s.degraded.IsZero() {
		s.degraded, s.changed = 0, true
	}
}

func (s *toyState) Flush(w eventlog.Writer) {
	for _, id := range s.ids {
		if s.fold.flushOn != "" && id == s.fold.flushOn {
			panic("planted in Flush")
		}
	}
	if s.changed {
		doc, _ := json.Marshal(map[string]any{"session": s.key, "events": s.ids, "ended": s.ended, "degraded": s.degraded})
		if s.fold.bigOn != "" && slices.Contains(s.ids, s.fold.bigOn) {
			doc = []byte(strings.Repeat("x", 600<<10))
		}
		if s.ended {
			w.Put("ended."+s.key, doc)
			w.Delete("live." + s.key)
		} else {
			w.Put("live."+s.key, doc)
		}
		head, _ := json.Marshal(toyHead{s.ended, s.ids, s.degraded, s.over})
		w.PutPart(projector.AgingPart, head)
		s.changed = false
	}
	if len(s.dirty) > 0 {
		for p := range s.dirty {
			doc, _ := json.Marshal(map[string]any{"peer": p, "events": len(s.people[p])})
			w.Put(s.key+"."+p, doc)
		}
		people, _ := json.Marshal(s.people)
		w.PutPart("people", people)
		clear(s.dirty)
	}
}

func (s *toyState) Over() eventlog.Time { return s.over }

func (s *toyState) Erase(w eventlog.Writer) {
	if s.fold.eraseOn != "" && s.key == s.fold.eraseOn {
		panic("planted in Erase")
	}
	w.Delete("live." + s.key)
	w.Delete("ended." + s.key)
	for p := range s.people {
		w.Delete(s.key + "." + p)
	}
}

func (s *toyState) Size() int { return 200 + 40*len(s.ids) }

// record makes one record of a script: kind is started, ended, joined:<peer> or other.
func record(n int, session, kind string) eventlog.Record {
	event := "meeting." + kind
	extra := ""
	if peer, ok := strings.CutPrefix(kind, "joined:"); ok {
		event = "meeting.participantJoined"
		extra = fmt.Sprintf(`,"participant":{"peerId":%q}`, peer)
	}
	return eventlog.Record{
		EventID:    fmt.Sprintf("E%07d", n),
		ReceivedAt: eventlog.Time(1_000_000 * int64(n+1)),
		Source:     "test", DeliveryID: fmt.Sprint(n), Type: event,
		Body: fmt.Appendf(nil, `{"event":%q,"meeting":{"id":"m","sessionId":%q}%s}`, event, session, extra),
	}
}

// script makes n records over a number of sessions, the last of each ends it.
func script(n, sessions int) []eventlog.Record {
	all := make([]eventlog.Record, 0, n)
	for i := range n {
		kind := fmt.Sprintf("joined:p%d", i/sessions%3)
		switch {
		case i < sessions:
			kind = "started"
		case i >= n-sessions:
			kind = "ended"
		}
		all = append(all, record(i, fmt.Sprintf("s%d", i%sessions), kind))
	}
	return all
}

// expect folds records the plain way, each document as it must be in the end.
func expect(records []eventlog.Record, leaveOut ...string) map[string]string {
	states := map[string]eventlog.State{}
	since := map[string]eventlog.Time{}
	out := plainWriter{}
	for i := range records {
		ev := eventlog.Decode(&records[i])
		if ev.SessionID == "" {
			continue
		}
		if states[ev.SessionID] == nil {
			states[ev.SessionID] = toy{}.New(ev.SessionID)
		}
		if slices.Contains(leaveOut, ev.Order.ID) {
			if at, ok := since[ev.SessionID]; !ok || ev.Order.At < at {
				since[ev.SessionID] = ev.Order.At
			}
			continue
		}
		states[ev.SessionID].Apply(&ev)
	}
	for key, s := range states {
		if at, ok := since[key]; ok {
			s.(projector.Degradable).Park(at)
		}
		s.Flush(out)
	}
	return out
}

type plainWriter map[string]string

func (w plainWriter) Put(key string, doc []byte) { w[key] = string(doc) }
func (w plainWriter) Delete(key string)          { delete(w, key) }
func (plainWriter) PutPart(string, []byte)       {}
