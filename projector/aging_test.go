package projector_test

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// at gives a record another received time.
func at(when time.Time, r eventlog.Record) eventlog.Record {
	r.ReceivedAt = eventlog.TimeOf(when)
	return r
}

// gone reports whether nothing but a mark is stored of a session.
func gone(s *memStore, session string) bool {
	for key := range s.view() {
		if key == "live."+session || key == "ended."+session || strings.HasPrefix(key, session+".") {
			return false
		}
	}
	return slices.Equal(s.stored(session), []string{projector.MarkPart})
}

// settled waits, on the test's clock, until everything that was over before a
// time is out of the view, and the checkpoint says so.
func settled(t *testing.T, s *memStore, when time.Time) {
	t.Helper()
	for range 10_000 {
		if cp := s.checkpoint(); cp.Horizon >= eventlog.TimeOf(when) && cp.Sweeping == 0 {
			return
		}
		<-time.After(10 * time.Second)
	}
	t.Fatalf("checkpoint = %+v; want it settled at %v", s.checkpoint(), when)
}

func TestDropsWhatWasOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		log := newMemLog(
			at(began, record(0, "old", "started")), at(began, record(1, "old", "joined:p")), at(began, record(2, "old", "ended")),
			at(began, record(3, "open", "started")),
			at(began.Add(time.Hour), record(4, "young", "ended")),
		)
		store := newMemStore()
		config := projector.Config{Source: log, Store: store, MaxAge: 2 * time.Hour}
		_, stop := start(t, config)
		reach(t, store, 5)
		if gone(store, "old") {
			t.Error("the ended session is gone at once; want it to stay for two hours")
		}
		settled(t, store, began.Add(time.Second))
		if !gone(store, "old") || gone(store, "young") || gone(store, "open") {
			t.Errorf("two hours later the view is %v, %v is left of the old session; want that alone to be gone", slices.Sorted(maps.Keys(store.view())), store.stored("old"))
		}
		// What comes late for it changes nothing, with a warm cache or a cold one.
		log.append(at(time.Now(), record(5, "old", "joined:q")))
		reach(t, store, 6)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		log.append(at(time.Now(), record(6, "old", "ended")), at(began, record(7, "late", "ended")))
		_, stop = start(t, config)
		reach(t, store, 8)
		if !gone(store, "old") {
			t.Errorf("late records brought the view to %v; want nothing of the old session", store.view())
		}
		if !gone(store, "late") {
			t.Errorf("a session that comes when it is due is in the view %v; want it never to be", store.view())
		}
		settled(t, store, began.Add(time.Hour+time.Second))
		if !gone(store, "young") || gone(store, "open") {
			t.Errorf("an hour later the view is %v; want the open session alone", slices.Sorted(maps.Keys(store.view())))
		}
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
		// Without the setting nothing more is dropped, and nothing comes back.
		config.MaxAge = 0
		start(t, config)
		log.append(at(time.Now(), record(8, "old", "joined:r")), at(time.Now(), record(9, "open", "ended")))
		reach(t, store, 10)
		<-time.After(4 * time.Hour)
		if !gone(store, "old") || gone(store, "open") {
			t.Errorf("without a limit the view is %v; want the session that was open, ended", slices.Sorted(maps.Keys(store.view())))
		}
	})
}

// Dropping is a law: the order of records, restarts, memory and faults at any
// step of it change nothing.
func TestDroppingIsALaw(t *testing.T) {
	for seed := range uint64(4) {
		for _, f := range []fault{works, fails, failsButHappened, hangs} {
			t.Run(fmt.Sprintf("%d %v", seed, f), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) { dropInAnyOrder(t, seed, f) })
			})
		}
	}
}

func dropInAnyOrder(t *testing.T, seed uint64, f fault) {
	const maxAge = time.Hour
	random := rand.New(rand.NewPCG(seed, 1))
	began := time.Now()
	var all []eventlog.Record
	for i, r := range script(400, 40) {
		// The last forty end the sessions, one each minute and a half.
		when := began.Add(time.Duration(i) * time.Millisecond)
		if i >= 360 {
			when = began.Add(time.Duration(i-360) * 90 * time.Second)
		}
		all = append(all, at(when, r))
	}
	random.Shuffle(len(all), func(i, j int) { all[i], all[j] = all[j], all[i] })
	log, store := newMemLog(), newMemStore()
	store.plan = func(step string, n int) fault {
		if step == "acquire" || n%5 != int(seed%5) {
			return works
		}
		return f
	}
	config := projector.Config{Source: log, Store: store, MaxAge: maxAge, CacheBytes: int64(1 + seed%2*100_000)}
	for len(all) > 0 {
		n := min(len(all), 1+random.IntN(150))
		log.append(all[:n]...)
		all = all[n:]
		_, stop := start(t, config)
		reach(t, store, eventlog.Seq(len(log.records)))
		<-time.After(time.Duration(random.IntN(30)) * time.Minute)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v", err)
		}
	}
	start(t, config)
	if wait := time.Until(began.Add(maxAge + 30*time.Minute)); wait > 0 {
		<-time.After(wait)
	}
	settled(t, store, time.Now().Add(-maxAge-time.Minute))
	want := expect(log.records)
	over := store.checkpoint().Horizon
	for _, r := range log.records {
		if ev := eventlog.Decode(&r); ev.Type == eventlog.MeetingEnded && ev.Order.At < over {
			for key := range want {
				if key == "ended."+ev.SessionID || strings.HasPrefix(key, ev.SessionID+".") {
					delete(want, key)
				}
			}
		}
	}
	if len(want) == 0 && over < eventlog.TimeOf(began.Add(time.Hour)) {
		t.Fatal("nothing is left to compare")
	}
	sameView(t, store.view(), want)
}
