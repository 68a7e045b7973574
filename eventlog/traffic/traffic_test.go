package traffic_test

import (
	"bytes"
	"iter"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog/traffic"
)

func collect(c traffic.Config) []traffic.Delivery { return slices.Collect(traffic.New(c)) }

func equal(a, b []traffic.Delivery) bool {
	return slices.EqualFunc(a, b, func(x, y traffic.Delivery) bool {
		return x.At.Equal(y.At) && x.DeliveryID == y.DeliveryID && x.WebhookID == y.WebhookID &&
			x.Session == y.Session && bytes.Equal(x.Body, y.Body)
	})
}

func TestSeedDecidesEverything(t *testing.T) {
	c := traffic.Config{Seed: 7, Sessions: 60, Duplicates: 0.2, Lost: 0.05}
	for _, shuffle := range []bool{false, true} {
		c.Shuffle = shuffle
		if !equal(collect(c), collect(c)) {
			t.Errorf("New(%+v) twice = two streams; want one", c)
		}
		other := c
		other.Seed = 8
		if equal(collect(c), collect(other)) {
			t.Errorf("New with seeds 7 and 8 = one stream; want two")
		}
	}
}

func TestArrivalNeverGoesBack(t *testing.T) {
	for _, shuffle := range []bool{false, true} {
		last := time.Time{}
		for d := range traffic.New(traffic.Config{Seed: 3, Sessions: 100, Duplicates: 0.3, Shuffle: shuffle, ShuffleWindow: 100}) {
			if d.At.Before(last) {
				t.Fatalf("shuffle=%v: arrival at %v after %v; want no step back", shuffle, d.At, last)
			}
			last = d.At
		}
	}
}

func TestShuffleKeepsTheSet(t *testing.T) {
	c := traffic.Config{Seed: 5, Sessions: 150, Duplicates: 0.2}
	plain := collect(c)
	c.Shuffle, c.ShuffleWindow = true, 64
	mixed := collect(c)
	if key(plain) == key(mixed) {
		t.Errorf("a shuffled stream has the order of the plain one; want another")
	}
	byID := func(a, b traffic.Delivery) int {
		return strings.Compare(a.DeliveryID+string(a.Body), b.DeliveryID+string(b.Body))
	}
	slices.SortFunc(plain, byID)
	slices.SortFunc(mixed, byID)
	if key(plain) != key(mixed) {
		t.Errorf("a shuffled stream has other deliveries than the plain one; want the same set")
	}
	if n := traffic.Count(c); n != len(plain) {
		t.Errorf("Count = %d; want %d", n, len(plain))
	}
}

func key(ds []traffic.Delivery) string {
	var b strings.Builder
	for _, d := range ds {
		b.WriteString(d.DeliveryID)
		b.Write(d.Body)
	}
	return b.String()
}

// TestEverythingOccurs holds the generator to what its documentation promises.
func TestEverythingOccurs(t *testing.T) {
	seen := map[string]int{}
	ids := map[string]int{}
	for d := range traffic.New(traffic.Config{Seed: 1, Sessions: 700, Duplicates: 0.1}) {
		var m struct {
			Event     string `json:"event"`
			Status    string `json:"status"`
			Recording struct {
				Status string `json:"status"`
			} `json:"recording"`
		}
		ids[d.DeliveryID]++
		if err := json.Unmarshal(d.Body, &m); err != nil {
			seen["unreadable"]++
			continue
		}
		seen[m.Event+" "+d.Family()]++
		seen["recording "+m.Recording.Status]++
		seen["livestream "+m.Status]++
	}
	for _, name := range []string{"meeting.started", "meeting.ended", "meeting.participantJoined", "meeting.participantLeft",
		"meeting.chatSynced", "meeting.transcript", "meeting.summary", "recording.statusUpdate", "livestreaming.statusUpdate"} {
		for _, family := range []string{"dyte", "rtk"} {
			if seen[name+" "+family] == 0 {
				t.Errorf("no %s of the %s family; want some", name, family)
			}
		}
	}
	for _, what := range []string{"unreadable", "recording INVOKED", "recording RECORDING", "recording PAUSED", "recording UPLOADING",
		"recording UPLOADED", "recording ERRORED", "livestream LIVE", "livestream OFFLINE", "livestream IDLE"} {
		if seen[what] == 0 {
			t.Errorf("nothing of kind %q; want some", what)
		}
	}
	repeats := 0
	for _, n := range ids {
		repeats += n - 1
	}
	if repeats == 0 {
		t.Errorf("no delivery id came twice; want some")
	}
}

func TestTameTrafficIsReadable(t *testing.T) {
	for d := range traffic.New(traffic.Config{Seed: 2, Sessions: 100, Tame: true}) {
		var m map[string]any
		if err := json.Unmarshal(d.Body, &m); err != nil {
			t.Fatalf("a tame body can't be read: %v\n%s", err, d.Body)
		}
	}
}

func TestEndlessStreamStops(t *testing.T) {
	next, stop := iter.Pull(traffic.New(traffic.Config{Seed: 9}))
	defer stop()
	for i := range 3_000 {
		if _, ok := next(); !ok {
			t.Fatalf("the stream without end ended after %d", i)
		}
	}
}

func TestLosesItsShare(t *testing.T) {
	all := traffic.Count(traffic.Config{Seed: 4, Sessions: 150})
	kept := traffic.Count(traffic.Config{Seed: 4, Sessions: 150, Lost: 0.5})
	if kept < all*4/10 || kept > all*6/10 {
		t.Errorf("Lost 0.5 kept %d of %d; want about half", kept, all)
	}
}

func BenchmarkDelivery(b *testing.B) {
	next, stop := iter.Pull(traffic.New(traffic.Config{Seed: 1}))
	defer stop()
	for b.Loop() {
		next()
	}
}

func TestRecordsAreWhatTheLogHolds(t *testing.T) {
	c := traffic.Config{Seed: 6, Sessions: 40, Duplicates: 0.2}
	ids := map[string]bool{}
	n := 0
	for r := range traffic.Records(c) {
		n++
		if int(r.Seq) != n {
			t.Fatalf("record %d has sequence %d; want %[1]d", n, r.Seq)
		}
		if len(r.EventID) != 26 || ids[r.EventID] {
			t.Fatalf("record %d has event id %q; want a new ULID", n, r.EventID)
		}
		ids[r.EventID] = true
		if r.ReceivedAt.IsZero() || r.Type == "" || r.Source == "" {
			t.Fatalf("record %d = %+v; want its received time, type and source", n, r)
		}
	}
	if want := traffic.Count(c); n != want {
		t.Errorf("Records yields %d; want %d", n, want)
	}
}

// TestScenes: one of each is staged, under the ids that Scenes names, among ten
// meetings that begin at once; the rest of the traffic is what it was.
func TestScenes(t *testing.T) {
	c := traffic.Config{Seed: 9, Sessions: 20, Tame: true, Scenes: true, Opening: 10, MedianLength: 10 * time.Second, SessionsPerMinute: 6, Start: traffic.DefaultStart}
	scenes := traffic.Scenes(c)
	if len(scenes) != 4 {
		t.Fatalf("Scenes = %+v; want four", scenes)
	}
	seen := map[string][]string{} // session → what came, in order
	room := map[string]string{}
	begun := map[int]bool{}
	for d := range traffic.New(c) {
		if d.At.Before(c.Start.Add(3 * time.Second)) {
			begun[d.Session] = true
		}
		var m struct {
			Event   string `json:"event"`
			Meeting struct {
				ID        string    `json:"id"`
				SessionID string    `json:"sessionId"`
				EndedAt   time.Time `json:"endedAt"`
			} `json:"meeting"`
			Participant struct {
				LeftAt time.Time `json:"leftAt"`
			} `json:"participant"`
			Recording struct {
				RecordingID, Status string
			} `json:"recording"`
		}
		if err := json.Unmarshal(d.Body, &m, json.MatchCaseInsensitiveNames(true)); err != nil {
			t.Fatal(err)
		}
		what := strings.TrimPrefix(m.Event, "meeting.")
		if m.Recording.Status != "" {
			what = m.Recording.RecordingID + " " + m.Recording.Status
		}
		if m.Participant.LeftAt.After(m.Meeting.EndedAt) && !m.Meeting.EndedAt.IsZero() {
			what += " late"
		}
		seen[m.Meeting.SessionID] = append(seen[m.Meeting.SessionID], what)
		room[m.Meeting.SessionID] = m.Meeting.ID
	}
	if len(begun) != 9 { // all but the one that begins a median length later
		t.Errorf("%d meetings began within three seconds; want 9", len(begun))
	}
	late, ghost, stuck, next := scenes[0].SessionID, scenes[1].SessionID, scenes[2].SessionID, scenes[3].SessionID
	if got, want := strings.Join(seen[ghost], " "), "started participantJoined participantJoined participantJoined"; got != want {
		t.Errorf("ghost = %q; want %q", got, want)
	}
	if got := seen[late]; len(got) != 8 || !slices.Contains(got, "ended") || got[7] != "participantLeft late" {
		t.Errorf("late leave = %q; want eight events, an end among them, and the leave last", got)
	}
	if got := strings.Join(seen[stuck], " "); !strings.Contains(got, scenes[2].RecordingID+" UPLOADING") || strings.Contains(got, "UPLOADED") || !strings.Contains(got, "ended") {
		t.Errorf("session %s = %q; want an end, and a recording %s that is uploading forever", stuck, got, scenes[2].RecordingID)
	}
	for id, r := range room {
		if r == room[ghost] && id != ghost && id != next {
			t.Errorf("session %s meets in the ghost's room; want nobody but the one staged", id)
		}
	}
	if room[next] != room[ghost] || room[next] == "" {
		t.Errorf("the session after the ghost is in room %q; want %q", room[next], room[ghost])
	}
}
