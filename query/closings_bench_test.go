package query_test

import (
	"fmt"
	"sync"
	"testing"
	"time"

	"rollcall/eventlog"
)

// lessons posts n sessions of half an hour, 400 seconds apart, all at once.
func (w *world) lessons(n int) {
	w.t.Helper()
	const senders = 50
	var wg sync.WaitGroup
	var mu sync.Mutex
	for k := range senders {
		wg.Go(func() {
			for i := k; i < n; i += senders {
				s, m, from := fmt.Sprintf("session-%04d", i), fmt.Sprintf("m%d", i%200), i*400
				for j, body := range []string{started(s, m, fmt.Sprint("Lesson ", i), from), left(s, m, "p", "ann", from, from+1800), ended(s, m, from, from+1900)} {
					a, err := w.log.Append(w.t.Context(), &eventlog.Record{EventID: fmt.Sprintf("01HY%022d", 3*i+j), ReceivedAt: eventlog.TimeOf(epoch.Add(time.Duration(from+1900) * time.Second)),
						Source: "test", DeliveryID: fmt.Sprint("lesson-", 3*i+j), Type: eventlog.Identify([]byte(body)).Name, Body: []byte(body)})
					if err != nil {
						w.t.Error(err)
						return
					}
					mu.Lock()
					w.last = max(w.last, a.Seq)
					mu.Unlock()
				}
			}
		})
	}
	wg.Wait()
	w.everywhere()
}

// BenchmarkClosings: a month of 5,000 sessions is closed, 25 late facts come, and a
// clerk asks what has changed: of one closing, and of a list of twelve.
func BenchmarkClosings(b *testing.B) {
	w := newWorld(b)
	w.lessons(5000)
	begin := time.Now()
	kept := w.close("2026-03")
	b.Logf("closed %d sessions in %v, in %d parts", kept.Sessions, time.Since(begin).Round(time.Millisecond), kept.Parts)
	for i := 0; i < 5000; i += 200 {
		w.postAt(epoch.Add(40*24*time.Hour+time.Duration(i)*time.Second), left(fmt.Sprintf("session-%04d", i), fmt.Sprintf("m%d", i%200), "p", "ann", i*400, i*400+1850))
	}
	c := w.closed(kept.ID)
	named := 0
	for _, ch := range c.Changes {
		if ch.Record != nil {
			named++
		}
	}
	b.Logf("%d changes, %d with their record; the first: %s %q %s %+v by record %d", len(c.Changes), named, c.Changes[0].SessionID, c.Changes[0].Title, c.Changes[0].RevisedAt,
		c.Changes[0].Differences, c.Changes[0].Record.Sequence)
	b.Run("one", func(b *testing.B) {
		for b.Loop() {
			w.get("/v1/closings/" + kept.ID)
		}
	})
	b.Run("rows", func(b *testing.B) {
		for b.Loop() {
			w.get("/v1/closings/" + kept.ID + "/rows?limit=10")
		}
	})
	for range 11 {
		w.close("2026-03")
	}
	b.Run("twelve", func(b *testing.B) {
		w.get("/v1/closings") // counts once
		for b.Loop() {
			w.get("/v1/closings")
		}
	})
}
