package projections

import (
	"encoding/json"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"rollcall/eventlog"
)

// written counts what a state flushes, and keeps its parts.
type written struct {
	documents int
	parts     map[string][]byte
}

func (w *written) Put(string, []byte) { w.documents++ }
func (w *written) Delete(string)      {}
func (w *written) PutPart(part string, value []byte) {
	w.parts[part] = append([]byte(nil), value...)
}

// event is a decoded body.
func event(n int, body string) eventlog.Event {
	return eventlog.Decode(&eventlog.Record{
		EventID: fmt.Sprintf("E%06d", n), ReceivedAt: eventlog.TimeOf(time.Date(2026, 1, 5, 10, 0, n, 0, time.UTC)), Source: "s", DeliveryID: fmt.Sprint(n), Body: []byte(body),
	})
}

// meeting is the bodies of a meeting with some participants, a recording and all
// else that folds know.
func meeting(people int) (bodies []string) {
	const of = `"meeting":{"id":"m","sessionId":"s","title":"T","startedAt":"2026-01-05T10:00:00Z","organizedBy":{"id":"o","name":"N"}}`
	bodies = append(bodies, `{"event":"meeting.started",`+of+`}`)
	for n := range people {
		bodies = append(bodies, fmt.Sprintf(`{"event":"meeting.participantJoined",%s,"participant":{"peerId":"p%d","customParticipantId":"c%d","userDisplayName":"U","joinedAt":"2026-01-05T10:00:%02dZ"}}`, of, n, n, n%60))
	}
	return append(bodies,
		`{"event":"recording.statusUpdate","recording":{"id":"r","status":"UPLOADED","downloadUrl":"u","downloadUrlExpiry":"2026-01-06T10:00:00Z","fileSize":7,"outputFileName":"f","stopReason":{"a":1}},`+of+`}`,
		`{"event":"recording.statusUpdate","recording":{"id":"r","status":"ODD","download_url":[{"url":"v","participantId":"p"}]},`+of+`}`,
		`{"event":"livestreaming.statusUpdate","streamId":"l","status":"LIVE","meeting":{"id":"m"}}`,
		`{"event":"meeting.chatSynced","sessionId":"s","chatDownloadUrl":"u","chatDownloadUrlExpiry":"2026-01-06T10:00:00Z"}`,
		`{"event":"meeting.ended","reason":"ALL_PARTICIPANTS_LEFT","meeting":{"id":"m","sessionId":"s","startedAt":"2026-01-05T10:00:00Z","endedAt":"2026-01-05T11:00:00Z"}}`)
}

// states folds bodies into every view, and returns the states of each.
func states(bodies []string) map[string]eventlog.State {
	all := map[string]eventlog.State{}
	for _, f := range All() {
		for n, body := range bodies {
			ev := event(n, body)
			key := f.Key(&ev)
			if key == "" {
				continue
			}
			id := f.Name() + "/" + key
			if all[id] == nil {
				all[id] = f.New(key)
			}
			all[id].Apply(&ev)
		}
	}
	return all
}

func fresh(id string) eventlog.State {
	name, key, _ := strings.Cut(id, "/")
	for _, f := range All() {
		if f.Name() == name {
			return f.New(key)
		}
	}
	return nil
}

// TestCutStates: a state that breaks off anywhere is an error or less, and never a
// panic: a damaged view is an error of the projector's.
func TestCutStates(t *testing.T) {
	for id, s := range states(meeting(2)) {
		w := &written{parts: map[string][]byte{}}
		s.Flush(w)
		for part, value := range w.parts {
			if err := fresh(id).Load(part, value); err != nil {
				t.Errorf("%s: Load(%s) = %v; want no error", id, part, err)
			}
			whole := 0
			for n := range value {
				if fresh(id).Load(part, value[:n]) == nil {
					whole++
				}
			}
			if whole > 0 && (part == corePart || whole == len(value)) {
				t.Errorf("%s: Load(%s) takes %d of %d prefixes; want an error", id, part, whole, len(value))
			}
		}
	}
}

// TestOneEventWritesLittle: one more event costs a session of many participants
// what it costs one of a few.
func TestOneEventWritesLittle(t *testing.T) {
	for id, s := range states(meeting(400)) {
		first := &written{parts: map[string][]byte{}}
		s.Flush(first)
		ev := event(900, `{"event":"meeting.participantLeft","meeting":{"id":"m","sessionId":"s"},"participant":{"peerId":"p7","customParticipantId":"c7","leftAt":"2026-01-05T10:30:00Z"}}`)
		s.Apply(&ev)
		w := &written{parts: map[string][]byte{}}
		s.Flush(w)
		if w.documents > 2 {
			t.Errorf("%s: one event writes %d documents; want 2 at most", id, w.documents)
		}
		size := 0
		for _, part := range w.parts {
			size += len(part)
		}
		if size > 8<<10 {
			t.Errorf("%s: one event writes %d bytes of state; want a part of it", id, size)
		}
	}
}

// TestSizesFollowWhatIsHeld: what a state says of its size grows with what it
// holds: the projector bounds its memory by that.
func TestSizesFollowWhatIsHeld(t *testing.T) {
	long := strings.Repeat("x", 10_000)
	few := states(meeting(2))
	for id, s := range states(meeting(402)) {
		if fold, _, _ := strings.Cut(id, "/"); fold != "sessions" && fold != "attendance" && fold != "usage" {
			continue
		}
		if more := s.Size() - few[id].Size(); more < 400*400 {
			t.Errorf("%s: 400 more participants are %d bytes; want 400 each at least", id, more)
		}
	}
	replace := strings.NewReplacer(`"id":"m"`, `"id":"`+long+`"`, `"title":"T"`, `"title":"`+long+`"`, `"downloadUrl":"u"`, `"downloadUrl":"`+long+`"`, `"outputFileName":"f"`, `"outputFileName":"`+long+`"`,
		`"chatDownloadUrl":"u"`, `"chatDownloadUrl":"`+long+`"`, `"url":"v"`, `"url":"`+long+`"`, `"customParticipantId":"c1"`, `"customParticipantId":"`+long+`"`, `"peerId":"p1"`, `"peerId":"`+long+`"`)
	var bodies []string
	for _, b := range meeting(2) {
		bodies = append(bodies, replace.Replace(b))
	}
	for id, s := range states(bodies) {
		w, before := &written{parts: map[string][]byte{}}, &written{parts: map[string][]byte{}}
		s.Flush(w)
		few[id].Flush(before)
		stored, was := 0, 0
		for _, part := range w.parts {
			stored += len(part)
		}
		for _, part := range before.parts {
			was += len(part)
		}
		if more := s.Size() - few[id].Size(); more < (stored-was)*3/4 {
			t.Errorf("%s: %d more bytes of state are %d of size; want three quarters at least", id, stored-was, more)
		}
	}
}

// TestPeakAgreesWithCounting: the blocks give what counting at each instant gives,
// as connections come and are taken back in any order.
func TestPeakAgreesWithCounting(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 0))
	for round := range 6 {
		var p peak
		type connection struct{ joined, left eventlog.Time }
		var all []connection
		for range 900 {
			if len(all) > 0 && r.IntN(4) == 0 {
				i := r.IntN(len(all))
				p.add(all[i].joined, all[i].left, -1)
				all = append(all[:i], all[i+1:]...)
				continue
			}
			c := connection{joined: eventlog.Time(1 + r.IntN(2000))}
			if round%2 == 0 { // in order, as in a log
				c.joined = eventlog.Time(1 + 3*len(all))
			}
			if r.IntN(5) > 0 {
				c.left = c.joined + eventlog.Time(r.IntN(300)-3)
			}
			p.add(c.joined, c.left, 1)
			all = append(all, c)
		}
		for range 60 {
			end := eventlog.Time(r.IntN(2600))
			want := 0
			for _, at := range all {
				if !end.IsZero() && at.joined >= end {
					continue
				}
				n := 0
				for _, c := range all {
					if c.joined <= at.joined && (c.left.IsZero() || c.left > at.joined) {
						n++
					}
				}
				want = max(want, n)
			}
			if got := p.before(end); got != want {
				t.Fatalf("round %d: peak before %d = %d; want %d", round, end, got, want)
			}
		}
		for _, c := range all {
			p.add(c.joined, c.left, -1)
		}
		if p.before(0) != 0 || p.size() != 0 || len(p.blocks) != 0 {
			t.Errorf("round %d: without connections the peak is %d, of %d bytes in %d blocks; want nothing", round, p.before(0), p.size(), len(p.blocks))
		}
	}
}

// TestCalendarSplits: what lies in the range is counted on its day, once, however
// far the time goes beyond it.
func TestCalendarSplits(t *testing.T) {
	c := newCalendar(time.UTC, Date{2026, 1, 5}, Date{2026, 1, 8})
	const hours = 3600 * eventlog.Second
	at := func(day, hour int) eventlog.Time {
		return eventlog.TimeOf(time.Date(2026, 1, day, hour, 0, 0, 0, time.UTC))
	}
	for _, test := range []struct {
		from, to eventlog.Time
		want     string
	}{
		{at(5, 0), at(5, 0), "[0 0 0]"}, {at(5, 1), at(5, 3), "[2 0 0]"}, {at(5, 23), at(6, 1), "[1 1 0]"}, {at(1, 0), at(20, 0), "[24 24 24]"},
		{at(1, 0), at(5, 0), "[0 0 0]"}, {at(8, 0), at(9, 0), "[0 0 0]"}, {at(7, 23), at(8, 1), "[0 0 1]"}, {at(6, 0), at(7, 0), "[0 24 0]"}, {at(4, 23), at(5, 1), "[1 0 0]"},
		{at(9, 0), at(20, 0), "[0 0 0]"},
	} {
		var whole, slots [3]int
		c.split(test.from, test.to, func(day int, d eventlog.Seconds) { whole[day] += int(d / hours) })
		first, _ := slotOf(test.from, hours)
		last, _ := slotOf(test.to, hours)
		c.splitSlots(first, last, hours, func(day int, d eventlog.Seconds) { slots[day] += int(d / hours) })
		if got := fmt.Sprint(whole); got != test.want || fmt.Sprint(slots) != test.want {
			t.Errorf("split(%v, %v) = %v, by slots %v; want %s hours", test.from, test.to, whole, slots, test.want)
		}
	}
}

// TestQuoteCutsAtItsLimit: a text as long as it may be is whole; of a longer one
// as much is left as fits.
func TestQuoteCutsAtItsLimit(t *testing.T) {
	for _, unit := range []string{" ", "a", "é", "\x7f", "\x1f", `"`, `\`, "€", "\n"} {
		one := len(quote(nil, unit, 100)) - 2
		for _, more := range []int{-1, 0, 1} {
			got := quote(nil, strings.Repeat(unit, 60+more), 60*one)
			var back string
			if err := json.Unmarshal(got, &back); err != nil || len(got)-2 > 60*one {
				t.Errorf("quote of %d times %q has %d bytes, %v; want %d at most", 60+more, unit, len(got)-2, err, 60*one)
			}
			if want := min(60, 60+more); unit != "\x7f" && (one == 1 || more <= 0) && back != strings.Repeat(unit, want) {
				t.Errorf("quote of %d times %q keeps %d bytes; want %d times", 60+more, unit, len(back), want)
			}
		}
	}
}

// TestWhatFollows: the next session of a meeting is the least of those that come
// after, by start and then by id.
func TestWhatFollows(t *testing.T) {
	session := func(id, meeting string, started eventlog.Time, status string) Session {
		var s Session
		s.SessionID, s.MeetingID, s.StartedAt, s.Status = id, meeting, started, status
		return s
	}
	s := session("b", "m", 5, Live)
	others := []Session{session("a", "m", 5, Live), session("z", "m", 9, Live), session("d", "m", 6, "ENDED"), session("c", "m", 6, Live), session("a", "n", 6, Live), session("x", "m", 4, Live)}
	if got := s.SupersededBy(others); got != "c" {
		t.Errorf("SupersededBy() = %q; want c", got)
	}
	if got := s.SupersededBy(append(others, session("c", "m", 5, Live))); got != "c" {
		t.Errorf("SupersededBy() with one that began at once = %q; want c", got)
	}
	s.Status = "ENDED"
	if got := s.SupersededBy(others); got != "" {
		t.Errorf("SupersededBy() of an ended session = %q; want none", got)
	}
}

// TestKnownStatusesAreKept: only statuses that the provider has not documented are
// bounded, and the earliest of them are kept.
func TestKnownStatusesAreKept(t *testing.T) {
	const body = `{"event":"recording.statusUpdate","recording":{"id":"r","status":"%s"}}`
	bodies := []string{fmt.Sprintf(body, "INVOKED")}
	for n := range statusesKept {
		bodies = append(bodies, fmt.Sprintf(body, fmt.Sprintf("ODD%04d", n)))
	}
	s := states(append(bodies, fmt.Sprintf(body, "UPLOADED"), fmt.Sprintf(body, "ODD")))["recordings/r"].(*recordingState)
	if n := len(s.statuses); n != statusesKept+2 || s.statuses["INVOKED"] == nil || s.statuses["UPLOADED"] == nil || s.statuses["ODD"] != nil {
		t.Errorf("%d statuses are kept, INVOKED: %t, UPLOADED: %t, the last odd one: %t; want %d, with both, and without it",
			n, s.statuses["INVOKED"] != nil, s.statuses["UPLOADED"] != nil, s.statuses["ODD"] != nil, statusesKept+2)
	}
}

// TestRanksOfStatuses: a recording goes through its statuses in one order.
func TestRanksOfStatuses(t *testing.T) {
	for i, status := range []string{"", "OTHER", "INVOKED", "PAUSED", "RECORDING", "UPLOADING", "ERRORED", "UPLOADED"} {
		if got := rank(status); got != i-1 {
			t.Errorf("rank(%q) = %d; want %d", status, got, i-1)
		}
	}
}

// TestEntryInTwoParts: a process that died while an entry moved from one part of a
// state to another leaves it in both. It counts once, with what both know, and the
// next flush leaves it in one.
func TestEntryInTwoParts(t *testing.T) {
	status := func(n int) string {
		return fmt.Sprintf(`{"event":"recording.statusUpdate","recording":{"id":"r","status":"ODD%02d"},"meeting":{"id":"m","sessionId":"s"}}`, n)
	}
	// The last of these stands in the second part.
	var many []string
	for n := range statusesEach + 1 {
		many = append(many, status(n))
	}
	all := &written{parts: map[string][]byte{}}
	states(many)["recordings/r"].Flush(all)
	alone := &written{parts: map[string][]byte{}}
	early := recordingFold{}.New("r")
	ev := event(-5, status(statusesEach))
	early.Apply(&ev)
	early.Flush(alone)
	for _, order := range [][2]string{{"s0", "s1"}, {"s1", "s0"}} {
		s := recordingFold{}.New("r").(*recordingState)
		parts := map[string][]byte{"s0": alone.parts["s0"], "s1": all.parts["s1"]}
		for _, part := range order {
			if err := s.Load(part, parts[part]); err != nil {
				t.Fatalf("Load(%s) = %v", part, err)
			}
		}
		v := s.statuses[fmt.Sprintf("ODD%02d", statusesEach)]
		if len(s.statuses) != 1 || v == nil || v.at != ev.Order.At {
			t.Errorf("loaded as %v: %d statuses, the one at %v; want one, at %v", order, len(s.statuses), v, ev.Order.At)
		}
		next := event(30, status(0))
		s.Apply(&next)
		w := &written{parts: map[string][]byte{}}
		s.Flush(w)
		found := 0
		for _, part := range []string{"s0", "s1"} {
			value, ok := w.parts[part]
			if !ok {
				value = parts[part]
			}
			found += strings.Count(string(value), fmt.Sprintf("ODD%02d", statusesEach))
		}
		if found != 1 {
			t.Errorf("loaded as %v: after the next flush the status stands in %d places; want 1", order, found)
		}
	}
}

// TestPartsHoldManyItems: sixteen connections share a part of a state, and a
// change of one rewrites its part alone.
func TestPartsHoldManyItems(t *testing.T) {
	join := func(n int, at string) eventlog.Event {
		return event(n, fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":"m","sessionId":"s"},"participant":{"peerId":"p%d","joinedAt":%q}}`, n, at))
	}
	r := newRoster(true, func(*peer, *link, *link) {})
	w := &written{parts: map[string][]byte{}}
	for n := range 2*peersEach + 1 {
		ev := join(n, "2026-01-05T10:00:00Z")
		r.apply(&ev)
		if n == peersEach/2 {
			r.shelf.flush(w) // the others come to what is stored
		}
	}
	r.shelf.flush(w)
	if got := slices.Sorted(maps.Keys(w.parts)); !slices.Equal(got, []string{"p0", "p1", "p2"}) {
		t.Errorf("parts of %d connections = %v; want p0 to p2", len(r.peers), got)
	}
	clear(w.parts)
	ev := join(peersEach+3, "2026-01-05T09:00:00Z")
	r.apply(&ev)
	r.shelf.flush(w)
	if got := slices.Sorted(maps.Keys(w.parts)); !slices.Equal(got, []string{"p1"}) {
		t.Errorf("parts that a change of connection %d writes = %v; want p1", peersEach+3, got)
	}
}

// TestPeerInTwoParts: a connection that a killed process left in two parts counts
// once, with the join that one part knows and the leave that the other does.
func TestPeerInTwoParts(t *testing.T) {
	const of = `"meeting":{"id":"m","sessionId":"s"},"participant":{"peerId":"p"`
	part := func(n int, body string) []byte {
		w := &written{parts: map[string][]byte{}}
		r := newRoster(true, func(*peer, *link, *link) {})
		ev := event(n, body)
		r.apply(&ev)
		r.shelf.flush(w)
		return w.parts[peersPrefix+"0"]
	}
	parts := map[string][]byte{
		"p0": part(1, `{"event":"meeting.participantJoined",`+of+`,"customParticipantId":"ann","joinedAt":"2026-01-05T10:00:01Z"}}`),
		"p1": part(9, `{"event":"meeting.participantLeft",`+of+`,"userDisplayName":"Ann","leftAt":"2026-01-05T10:00:09Z"}}`),
	}
	for _, order := range [][2]string{{"p0", "p1"}, {"p1", "p0"}} {
		r := newRoster(true, func(*peer, *link, *link) {})
		for _, name := range order {
			if ours, err := r.load(name, parts[name]); !ours || err != nil {
				t.Fatalf("load(%s) = %v, %v; want true, nil", name, ours, err)
			}
		}
		p := r.peers["p"]
		if len(r.peers) != 1 || p == nil {
			t.Fatalf("loaded as %v: %d peers; want p alone", order, len(r.peers))
		}
		l := p.link()
		if got := fmt.Sprintf("%s %s for %v", l.participant, p.name.text, l.seconds(0)); got != "ann Ann for "+fmt.Sprint(l.left.Sub(l.joined)) || l.left.Sub(l.joined) != 8e6 {
			t.Errorf("loaded as %v: %s, from %v to %v; want ann Ann for 8 s", order, got, l.joined, l.left)
		}
	}
}

// TestUsageSlotIsFiveNumbers: a slot that is none is an error.
func TestUsageSlotIsFiveNumbers(t *testing.T) {
	var u UsageSlot
	if err := json.Unmarshal([]byte(`[1,2,3,4,5]`), &u); err != nil || u != (UsageSlot{1, 2, 3, 4, 5}) {
		t.Errorf("Unmarshal = %v, %v; want 1 to 5", u, err)
	}
	if err := json.Unmarshal([]byte(`["1"]`), &u); err == nil {
		t.Error("Unmarshal of a text = nil; want an error")
	}
}
