package projections_test

import (
	"fmt"
	"math/rand/v2"
	"runtime"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
)

const maxValue = 512 << 10

// start is 2026-03-08T00:00:00Z.
const start = eventlog.Time(739682 * 86400e6)

func joined(peer, custom string, at eventlog.Time) eventlog.Event {
	return eventlog.Event{
		Type: eventlog.ParticipantJoined, SessionID: "s1", MeetingID: "m1", Order: eventlog.Order{At: at, ID: "J" + peer},
		Repeat:      repeatKey("j" + peer),
		Participant: eventlog.Participant{PeerID: peer, CustomID: custom, Name: "Guest", JoinedAt: at},
	}
}

func left(peer, custom string, at, leftAt eventlog.Time) eventlog.Event {
	ev := joined(peer, custom, at)
	ev.Type, ev.Order, ev.Repeat = eventlog.ParticipantLeft, eventlog.Order{At: leftAt, ID: "L" + peer}, repeatKey("l"+peer)
	ev.Participant.LeftAt = leftAt
	return ev
}

func repeatKey(s string) (k eventlog.RepeatKey) {
	copy(k[:], s)
	return k
}

func minutes(n int) eventlog.Time { return start + eventlog.Time(n)*60e6 }

// foldEvents folds in the order given, with a commit and a restart every so
// many events, and checks the size of every value.
func foldEvents(t *testing.T, events []eventlog.Event, every int) views {
	t.Helper()
	got := make(views)
	for _, f := range projections.All() {
		r := newRunner(f)
		for i := range events {
			r.apply(t, &events[i])
			if (i+1)%every == 0 {
				r.commit(t, 1)
				r.restart()
			}
		}
		r.commit(t, 1)
		if r.biggest > maxValue {
			t.Errorf("%s wrote a value of %d bytes; want at most %d", f.Name(), r.biggest, maxValue)
		}
		got[f.Name()] = r.docs
	}
	return got
}

// sameInAnyOrder folds in order and shuffled.
func sameInAnyOrder(t *testing.T, events []eventlog.Event) views {
	t.Helper()
	want := foldEvents(t, events, len(events)+1)
	shuffled := slices.Clone(events)
	rng := rand.New(rand.NewPCG(1, 2))
	rng.Shuffle(len(shuffled), func(i, j int) { shuffled[i], shuffled[j] = shuffled[j], shuffled[i] })
	if d := diff(foldEvents(t, shuffled, len(events)/3+1), want); d != "" {
		t.Errorf("shuffled with seed (1,2): %.2000s", d)
	}
	return want
}

func TestManyParticipants(t *testing.T) {
	const n = 2000
	var events []eventlog.Event
	for i := range n {
		id := fmt.Sprint("c", i%1500)
		events = append(events, joined(fmt.Sprint("p", i), id, minutes(i/20)))
		if i%3 > 0 {
			events = append(events, left(fmt.Sprint("p", i), id, minutes(i/20), minutes(i/20+30)))
		}
	}
	events = append(events, eventlog.Event{Type: eventlog.MeetingEnded, SessionID: "s1", EndedAt: minutes(200), Order: eventlog.Order{At: minutes(201), ID: "X"}})
	docs := sameInAnyOrder(t, events)
	s, err := projections.Parse[projections.Session]([]byte(docs["sessions"]["ended.s1"]))
	if err != nil {
		t.Fatal(err)
	}
	// 1,333 stayed for 30 minutes; the 667 others, i = 0, 3, 6, …, 1998, from
	// minute i/20 to 200.
	want := 1333 * 30
	for i := 0; i < n; i += 3 {
		want += 200 - i/20
	}
	if got := s.ParticipantSeconds; got != eventlog.Seconds(want)*60*eventlog.Second {
		t.Errorf("participantSeconds = %v; want %v", got.Float(), want*60)
	}
	// Each minute 20 join. When the last 20 do, in minute 99, those of minutes 70
	// to 99 are all there (600), and of the 1,400 before every third: i = 0, 3, …, 1398.
	if got := s.MaxConcurrentParticipants; got != 600+467 {
		t.Errorf("maxConcurrentParticipants = %v; want %v", got, 600+467)
	}
	if s.UniqueParticipants != 1500 || s.Connections != n {
		t.Errorf("participants, connections = %d, %d; want 1500, %d", s.UniqueParticipants, s.Connections, n)
	}
}

func TestParticipantOfManyConnections(t *testing.T) {
	const n = 5000
	var events []eventlog.Event
	for i := range n {
		peer := fmt.Sprintf("%036d", i)
		events = append(events, left(peer, "c1", minutes(2*i), minutes(2*i+1)))
	}
	docs := sameInAnyOrder(t, events)
	doc := docs["attendance"]["s1.c1"]
	p, err := projections.Parse[projections.Participant]([]byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	if p.ConnectionsOmitted == 0 || p.ConnectionsOmitted+len(p.Connections) != n {
		t.Errorf("connections = %d and %d omitted; want %d in all", len(p.Connections), p.ConnectionsOmitted, n)
	}
	if got := p.Connections[len(p.Connections)-1].PeerID; got != fmt.Sprintf("%036d", n-1) {
		t.Errorf("last connection = %s; want the latest", got)
	}
	if want := n * 60 * eventlog.Second; p.ConnectedSeconds != want || p.AttendedSeconds != want || p.LongestGapSeconds != 60*eventlog.Second {
		t.Errorf("connected, attended, gap = %v, %v, %v; want %v, %v, 60", p.ConnectedSeconds, p.AttendedSeconds, p.LongestGapSeconds, want, want)
	}
	if p.FirstJoinedAt != start {
		t.Errorf("firstJoinedAt = %s; want that of an omitted connection", p.FirstJoinedAt)
	}
	// 10,000 minutes have 667 quarter hours: the usage document needs no longer slots.
	u, err := projections.Parse[projections.UsageSession]([]byte(docs["usage"]["s1"]))
	if err != nil || u.SlotSeconds != 900 || u.AttendedSeconds != p.AttendedSeconds {
		t.Errorf("usage = %d s slots, %v attended (%v); want 900, %v", u.SlotSeconds, u.AttendedSeconds, err, p.AttendedSeconds)
	}
}

func TestUsageSlotsGrowWhereTheyAreTooMany(t *testing.T) {
	const n = 3000
	var events []eventlog.Event
	for i := range n { // one every half hour, 20 minutes across a slot's end: two months
		events = append(events, left(fmt.Sprint("p", i), fmt.Sprint("c", i%2), minutes(30*i), minutes(30*i+20)))
	}
	// And one that stays all the time.
	events = append(events, left("stays", "stays", minutes(0), minutes(30*n)))
	docs := sameInAnyOrder(t, events)
	u, err := projections.Parse[projections.UsageSession]([]byte(docs["usage"]["s1"]))
	if err != nil {
		t.Fatal(err)
	}
	if u.SlotSeconds != 3600 || len(u.Slots) > 2048 {
		t.Errorf("%d slots of %d s; want at most 2048 of 3600", len(u.Slots), u.SlotSeconds)
	}
	want := eventlog.Seconds(n*20*60+n*30*60) * eventlog.Second
	for _, name := range []string{"UTC", "Asia/Kolkata", "America/New_York"} {
		rows := projections.UsageRows(projections.UsageQuery{Zone: zone(t, name),
			From: projections.Date{Year: 2026, Month: 3, Day: 1}, To: projections.Date{Year: 2026, Month: 6, Day: 1}, Per: projections.PerDay},
			slices.Values([]projections.UsageSession{u}), slices.Values([]projections.Recording{}))
		var sum eventlog.Seconds
		for _, r := range rows {
			sum += r.ParticipantSeconds
		}
		if sum != want || u.ParticipantSeconds != want {
			t.Errorf("in %s days sum to %v, the session to %v; want %v", name, sum.Float(), u.ParticipantSeconds.Float(), want.Float())
		}
	}
}

func TestRecordingKeepsTheEarliestOddStatuses(t *testing.T) {
	var events []eventlog.Event
	for i := range 1500 {
		for repeat := range 2 { // each twice: the later one does not count
			events = append(events, eventlog.Event{
				Type: eventlog.RecordingStatus, Order: eventlog.Order{At: minutes(i + 2000*repeat), ID: fmt.Sprint(i, "-", repeat)},
				Recording: eventlog.Recording{ID: "r1", Status: fmt.Sprint("ODD", i)},
			})
		}
	}
	docs := sameInAnyOrder(t, events)
	r, err := projections.Parse[projections.Recording]([]byte(docs["recordings"]["r1"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(r.History) != 1000 || r.History[0].Status != "ODD0" || r.History[999].Status != "ODD999" || r.Status != "ODD999" {
		t.Errorf("history = %d entries, status %s; want ODD0 to ODD999", len(r.History), r.Status)
	}
	if r.LastEventAt != minutes(3499) {
		t.Errorf("lastEventAt = %s; want that of the last record", r.LastEventAt)
	}
}

func TestLivestreamShowsTheLatestTransitions(t *testing.T) {
	var events []eventlog.Event
	for i := range 2500 {
		events = append(events, eventlog.Event{
			Type: eventlog.LivestreamStatus, Order: eventlog.Order{At: minutes(i), ID: fmt.Sprintf("%05d", i)}, Repeat: repeatKey(fmt.Sprint("x", i)),
			Livestream: eventlog.Livestream{StreamID: "l1", Status: []string{"LIVE", "OFFLINE"}[i%2]},
		})
	}
	docs := sameInAnyOrder(t, events)
	l, err := projections.Parse[projections.Livestream]([]byte(docs["livestreams"]["l1"]))
	if err != nil {
		t.Fatal(err)
	}
	if len(l.Transitions) != 1000 || l.Transitions[0].At != minutes(1500) {
		t.Errorf("%d transitions from %s; want 1000 from %s", len(l.Transitions), l.Transitions[0].At, minutes(1500))
	}
	if want := 1250 * 60 * eventlog.Second; l.OnAirSeconds != want {
		t.Errorf("onAirSeconds = %v; want %v", l.OnAirSeconds.Float(), want.Float())
	}
}

// TestValuesAreBounded sends texts as long as the decoder lets through, and ones
// that JSON makes six times longer.
func TestValuesAreBounded(t *testing.T) {
	for _, c := range []string{"x", "\x01", "\"", "é"} {
		long := func(n int) string { return strings.Repeat(c, (32<<10)/len(c)-8) + fmt.Sprintf("%08d", n) }
		var events []eventlog.Event
		for i := range 20 {
			o := eventlog.Order{At: minutes(i), ID: fmt.Sprintf("%05d", i)}
			events = append(events,
				eventlog.Event{
					Type: eventlog.ParticipantLeft, SessionID: long(0), MeetingID: long(1), Order: o, RoomName: long(2),
					Title: strings.Repeat(c, (128<<10)/len(c)), Organizer: eventlog.Organizer{ID: long(3), Name: long(4)},
					Participant: eventlog.Participant{PeerID: long(100 + i), CustomID: long(5), ClientID: long(6), Name: long(7 + i), JoinedAt: minutes(i)},
				},
				eventlog.Event{Type: eventlog.MeetingEnded, SessionID: long(0), Reason: long(8), Order: o},
				eventlog.Event{Type: eventlog.Summary, SessionID: long(0), Artifact: eventlog.Artifact{URL: long(9)}, Order: o},
				eventlog.Event{
					Type: eventlog.RecordingStatus, SessionID: long(0), MeetingID: long(1), Order: o,
					Recording: eventlog.Recording{
						ID: long(10), Status: long(11 + i), OrganizationID: long(3), OutputFileName: long(12), Error: long(13),
						DownloadURL: long(14), AudioDownloadURL: long(15), StopReason: []byte(`"` + strings.Repeat("x", 32<<10-2) + `"`),
					},
				},
				eventlog.Event{
					Type: eventlog.RecordingStatus, SessionID: long(0), MeetingID: long(1), Order: o,
					Recording: eventlog.Recording{
						ID: long(18), Status: long(19 + i), OrganizationID: long(3), OutputFileName: long(12), Error: long(13), AudioDownloadURL: long(15),
						Files: []eventlog.File{
							{ParticipantID: long(20), URL: long(21), AudioURL: long(22)}, {ParticipantID: long(23), URL: long(24), AudioURL: long(25)},
						},
					},
				},
				eventlog.Event{Type: eventlog.LivestreamStatus, MeetingID: long(1), Order: o, Livestream: eventlog.Livestream{StreamID: long(16), Status: long(17 + i)}},
			)
		}
		sameInAnyOrder(t, events)
	}
}

// TestSumsDontWrap has forty connections that claim ten thousand years each.
func TestSumsDontWrap(t *testing.T) {
	var events []eventlog.Event
	for i := range 40 {
		events = append(events, left(fmt.Sprint("p", i), "c", at(t, "0001-01-02T00:00:00Z"), at(t, "9999-12-31T00:00:00Z")))
	}
	docs := sameInAnyOrder(t, events)
	s, err := projections.Parse[projections.Session]([]byte(docs["sessions"]["live.s1"]))
	if err != nil {
		t.Fatal(err)
	}
	if s.ParticipantSeconds < 1<<62 {
		t.Errorf("participantSeconds = %v; want the greatest that can be said", s.ParticipantSeconds.Float())
	}
}

// BenchmarkMove is a join, and a leave, in a cached session of a size: the whole
// cost in the fold, with the flush of document and parts.
func BenchmarkMove(b *testing.B) {
	for _, f := range projections.All() {
		if f.Name() != "sessions" && f.Name() != "attendance" && f.Name() != "usage" {
			continue
		}
		for _, kind := range []string{"join", "leave"} {
			for _, size := range []int{10, 10_000} {
				b.Run(fmt.Sprintf("%s/%s/%d", f.Name(), kind, size), func(b *testing.B) { benchMove(b, f, kind, size) })
			}
		}
	}
}

type discard struct{}

func (discard) Put(string, []byte)     {}
func (discard) Delete(string)          {}
func (discard) PutPart(string, []byte) {}

// benchMove builds sessions of a size, and measures moves that come in addition:
// as many for each as keep its size within a tenth, a thousand for each build.
func benchMove(b *testing.B, f eventlog.Fold, kind string, size int) {
	each := max(1, size/10)
	states := make([]eventlog.State, 1000/each)
	moves := make([]eventlog.Event, each)
	for i := range moves {
		k := i * 10
		moves[i] = left(fmt.Sprintf("%036d", k), fmt.Sprint("c", k), start+eventlog.Time(k)*1e5, minutes(60)+eventlog.Time(i)*1e5)
		if kind == "join" {
			moves[i] = joined(fmt.Sprintf("n%035d", i), fmt.Sprint("n", i), minutes(60)+eventlog.Time(i)*1e5)
		}
	}
	build := func() {
		for i := range states {
			states[i] = f.New("s1")
			for k := range size {
				ev := joined(fmt.Sprintf("%036d", k), fmt.Sprint("c", k), start+eventlog.Time(k)*1e5)
				states[i].Apply(&ev)
			}
			states[i].Flush(discard{})
		}
	}
	n := 0
	var cpu, since time.Duration
	b.ReportAllocs()
	for b.Loop() {
		if n%1000 == 0 {
			b.StopTimer()
			if n > 0 {
				cpu += cpuTime() - since
			}
			build()
			runtime.GC()
			since = cpuTime()
			b.StartTimer()
		}
		s := states[n%1000/each]
		s.Apply(&moves[n%each])
		s.Flush(discard{})
		n++
	}
	b.ReportMetric(float64(cpu+cpuTime()-since)/float64(n), "cpu-ns/op")
}

// cpuTime is what the process used: on a machine that others use too, the only
// time that can be compared.
func cpuTime() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		return 0
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// BenchmarkApply is what a rebuild does: records of many sessions, one flush for
// a thousand of them.
func BenchmarkApply(b *testing.B) {
	for _, f := range projections.All()[:2] {
		b.Run(f.Name(), func(b *testing.B) {
			var events []eventlog.Event
			for i := range 500 {
				for p := range 10 {
					peer := fmt.Sprintf("%05d-%05d", i, p)
					j, l := joined(peer, peer, minutes(p)), left(peer, peer, minutes(p), minutes(p+30))
					j.SessionID = fmt.Sprint("s", i)
					l.SessionID = j.SessionID
					events = append(events, j, l)
				}
			}
			b.ReportAllocs()
			for b.Loop() {
				states := make(map[string]eventlog.State)
				for i := range events {
					key := f.Key(&events[i])
					s := states[key]
					if s == nil {
						s = f.New(key)
						states[key] = s
					}
					s.Apply(&events[i])
				}
				for _, s := range states {
					s.Flush(discard{})
				}
			}
			b.ReportMetric(float64(len(events)*b.N)/b.Elapsed().Seconds(), "events/s")
		})
	}
}
