package projector_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"rollcall/eventlog"
	"rollcall/projector"
)

// start runs a projector; stop ends it and returns Run's error.
func start(t *testing.T, c projector.Config) (p *projector.Projector, stop func() error) {
	t.Helper()
	if c.Projection == nil {
		c.Projection = toy{}
	}
	p, err := projector.New(c)
	if err != nil {
		t.Fatalf("New() = %v; want no error", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- p.Run(ctx) }()
	var result error
	ended := false
	stop = func() error {
		cancel()
		if !ended {
			result, ended = <-done, true
		}
		return result
	}
	t.Cleanup(func() { _ = stop() })
	return p, stop
}

// reach waits, on the test's clock, until the store holds a sequence.
func reach(t *testing.T, s *memStore, seq eventlog.Seq) {
	t.Helper()
	for range 200_000 {
		if s.checkpoint().Sequence >= seq {
			return
		}
		<-time.After(5 * time.Millisecond) // the bubble's clock: no real time passes
	}
	t.Fatalf("checkpoint = %d; want %d", s.checkpoint().Sequence, seq)
}

func sameView(t *testing.T, got, want map[string]string) {
	t.Helper()
	if maps.Equal(got, want) {
		return
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("view[%s] = %.200q; want %.200q", k, got[k], v)
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok {
			t.Errorf("view has %s; want no such key", k)
		}
	}
}

func TestCatchUpThenLive(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(3000, 40)
		log, store := newMemLog(records[:2000]...), newMemStore()
		p, stop := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 2000)
		sameView(t, store.view(), expect(records[:2000]))
		if s := p.Status(); s.State != projector.RunLive || s.Lag != 0 || s.Bucket != "toy_g1" {
			t.Errorf("Status() = %+v; want live without lag", s)
		}
		log.append(records[2000:]...)
		reach(t, store, 3000)
		sameView(t, store.view(), expect(records))
		if err := stop(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// A client reads its own write: a change is committed within the window, and
// the checkpoint moves within 100 ms over records that change nothing.
func TestWindows(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(), newMemStore()
		start(t, projector.Config{Source: log, Store: store})
		synctest.Wait()
		for i, c := range []struct {
			name   string
			record eventlog.Record
			limit  time.Duration
		}{
			{"a change", record(1, "s", "started"), 25 * time.Millisecond},
			{"no change", record(2, "", "started"), 100 * time.Millisecond},
		} {
			began := time.Now()
			log.append(c.record)
			reach(t, store, eventlog.Seq(i+1))
			if took := time.Since(began); took > c.limit {
				t.Errorf("commit of %s took %v; want at most %v", c.name, took, c.limit)
			}
		}
	})
}

func TestStopCommitsWhatIsHeld(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(script(10, 2)...), newMemStore()
		_, stop := start(t, projector.Config{Source: log, Store: store, Window: time.Minute, IdleWindow: time.Minute})
		synctest.Wait()
		if got := store.checkpoint().Sequence; got != 0 {
			t.Fatalf("checkpoint before stop = %d; want 0", got)
		}
		if err := stop(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
		if got := store.checkpoint().Sequence; got != 10 {
			t.Errorf("checkpoint after stop = %d; want 10", got)
		}
		if store.holder != nil {
			t.Error("lease is held after Run; want it released")
		}
	})
}

func TestStandbyTakesOver(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(100, 5)
		log, store := newMemLog(records[:50]...), newMemStore()
		_, stopFirst := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 50)
		second, _ := start(t, projector.Config{Source: log, Store: store})
		synctest.Wait()
		if got := second.Status().State; got != projector.RunStandby {
			t.Errorf("second projector is %s; want standby", got)
		}
		if err := stopFirst(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
		log.append(records[50:]...)
		reach(t, store, 100)
		sameView(t, store.view(), expect(records))
		if got := second.Status().State; got != projector.RunLive {
			t.Errorf("second projector is %s; want live", got)
		}
	})
}

// A projector that lost its lease without knowing, as after SIGSTOP, writes
// nothing any more.
func TestStaleWriterIsFenced(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(100, 5)
		log, store := newMemLog(records[:50]...), newMemStore()
		first, stopFirst := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 50)
		// Another process takes over behind its back.
		store.mu.Lock()
		store.cp.Epoch++
		store.cp.Commit = "other"
		other := &memWriter{store, store.cp.Epoch}
		store.holder = other
		store.mu.Unlock()
		log.append(records[50:]...)
		<-time.After(time.Second)
		if got := first.Status().State; got != projector.RunStandby {
			t.Errorf("stale projector is %s; want standby", got)
		}
		sameView(t, store.view(), expect(records[:50]))
		if err := stopFirst(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// Each step of the loop works, fails, fails but happened, or hangs, at its
// first, second, and third time, and at every other one: the view comes out right.
func TestFaultMatrix(t *testing.T) {
	records := script(600, 7)
	want := expect(records)
	when := map[string]func(n int) bool{
		"first": func(n int) bool { return n == 1 },
		"third": func(n int) bool { return n == 3 },
		"odd":   func(n int) bool { return n%2 == 1 && n < 20 },
		"burst": func(n int) bool { return n >= 2 && n < 6 },
	}
	for _, step := range []string{"fetch", "load", "commit", "checkpoint", "acquire"} {
		for _, f := range []fault{works, fails, failsButHappened, hangs} {
			for name, hit := range when {
				t.Run(fmt.Sprintf("%s %s %s", step, f, name), func(t *testing.T) {
					synctest.Test(t, func(t *testing.T) {
						log, store := newMemLog(records[:300]...), newMemStore()
						if step == "fetch" {
							log.plan = func(n int) fault {
								if hit(n/40) && n%40 == 0 {
									return f
								}
								return works
							}
						}
						store.plan = func(s string, n int) fault {
							if s == step && hit(n) {
								return f
							}
							if step == "checkpoint" && s == "commit" && n%3 == 0 && n < 20 {
								return failsButHappened
							}
							return works
						}
						// A cache of one entity makes every step read.
						_, stop := start(t, projector.Config{Source: log, Store: store, CacheBytes: 1, BatchEntities: 3})
						reach(t, store, 300)
						log.append(records[300:]...)
						reach(t, store, 600)
						sameView(t, store.view(), want)
						if err := stop(); err != nil {
							t.Errorf("Run() = %v; want nil", err)
						}
					})
				})
			}
		}
	}
}

// A fold works, fails at a record, fails when the record has had its effect, or
// takes half a minute: the view is right, without the record while it is kept
// aside, and with it once the fold is corrected and the record retried.
func TestFoldFaults(t *testing.T) {
	records := script(300, 7)
	for _, f := range []fault{works, fails, failsButHappened, hangs} {
		for _, at := range []int{0, 100, 299} {
			t.Run(fmt.Sprintf("%s at %d", f, at), func(t *testing.T) {
				synctest.Test(t, func(t *testing.T) {
					bad := records[at].EventID
					ill := true
					fold := toy{onApply: func(ev *eventlog.Event, after bool) {
						switch {
						case !ill || ev.Order.ID != bad || after != (f == failsButHappened):
						case f == hangs:
							hang(t.Context(), 30*time.Second)
						case f != works:
							panic(errPlanted)
						}
					}}
					log, store := newMemLog(records...), newMemStore()
					_, stop := start(t, projector.Config{Projection: fold, Source: log, Store: store, BatchEntities: 3})
					reach(t, store, 300)
					if f == fails || f == failsButHappened {
						sameView(t, store.view(), expect(records, bad))
						ill = false
						n, err := projector.RetryParked(t.Context(), projector.MaintenanceConfig{Projection: fold, Source: log, Store: store})
						if n != 1 || err != nil {
							t.Errorf("RetryParked() = %d, %v; want 1", n, err)
						}
					}
					sameView(t, store.view(), expect(records))
					if err := stop(); err != nil {
						t.Errorf("Run() = %v; want nil", err)
					}
				})
			})
		}
	}
}

func TestRestartAnywhere(t *testing.T) {
	records := script(120, 5)
	want := expect(records)
	for cut := 0; cut <= len(records); cut += 7 {
		synctest.Test(t, func(t *testing.T) {
			log, store := newMemLog(records[:cut]...), newMemStore()
			_, stop := start(t, projector.Config{Source: log, Store: store})
			synctest.Wait()
			if err := stop(); err != nil {
				t.Fatalf("Run() = %v; want nil", err)
			}
			log.append(records[cut:]...)
			_, stop = start(t, projector.Config{Source: log, Store: store, CacheBytes: 1})
			reach(t, store, eventlog.Seq(len(records)))
			sameView(t, store.view(), want)
			_ = stop()
		})
	}
}

// A checkpoint that does not fit the log ends Run with the command to run.
func TestCheckpointAgainstLog(t *testing.T) {
	for _, c := range []struct {
		name  string
		spoil func(*memLog, *memStore)
		want  error
		text  string
	}{
		{"re-created log", func(l *memLog, _ *memStore) { l.name = "log-2" }, eventlog.ErrIncarnation, "rollcall rebuild toy"},
		{"lost tail", func(l *memLog, _ *memStore) { l.records = l.records[:5] }, eventlog.ErrLostTail, "rollcall rebuild toy"},
		{"sequences used again", func(l *memLog, _ *memStore) { l.records[9].StoredAt = epoch() }, eventlog.ErrLostTail, "rollcall rebuild toy"},
		{"trimmed", func(l *memLog, s *memStore) { l.first = 8; s.cp.Sequence = 5 }, eventlog.ErrTrimmed, "rollcall rebuild toy --carry"},
		{"another fold", func(_ *memLog, s *memStore) { s.version = "v0" }, projector.ErrVersion, "rollcall rebuild toy"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, store := newMemLog(script(10, 2)...), newMemStore()
				_, stop := start(t, projector.Config{Source: log, Store: store})
				reach(t, store, 10)
				_ = stop()
				c.spoil(log, store)
				p, stop := start(t, projector.Config{Source: log, Store: store})
				synctest.Wait()
				err := stop()
				if !errors.Is(err, c.want) || !strings.Contains(err.Error(), c.text) || strings.Contains(err.Error(), "\n") {
					t.Errorf("Run() = %v; want one line with %v and %q", err, c.want, c.text)
				}
				if s := p.Status(); s.State != projector.RunFailed || s.Error == "" {
					t.Errorf("Status() = %+v; want failed, with the error", s)
				}
			})
		})
	}
}

// limited is a log whose oldest records a limit removes just before one is asked for.
type limited struct {
	*memLog
	remove eventlog.Seq // up to which record; 0: none
}

func (l *limited) Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	if l.remove > 0 {
		l.memLog.mu.Lock()
		l.memLog.first = l.remove + 1
		l.memLog.mu.Unlock()
	}
	return l.memLog.Record(ctx, seq)
}

// What a limit removes while a checkpoint is held against the log is not damaged.
func TestCheckpointOfARecordThatALimitRemoves(t *testing.T) {
	for _, c := range []struct {
		remove eventlog.Seq
		want   error
	}{{10, nil}, {11, eventlog.ErrTrimmed}} {
		synctest.Test(t, func(t *testing.T) {
			log, store := &limited{memLog: newMemLog(script(10, 2)...)}, newMemStore()
			_, stop := start(t, projector.Config{Source: log, Store: store})
			reach(t, store, 10)
			_ = stop()
			log.append(script(13, 2)[10:]...)
			log.remove = c.remove
			_, stop = start(t, projector.Config{Source: log, Store: store})
			if c.want == nil {
				reach(t, store, 13)
			}
			synctest.Wait()
			if err := stop(); !errors.Is(err, c.want) {
				t.Errorf("Run() of a view at record 10, as a limit removes up to %d = %v; want %v", c.remove, err, c.want)
			}
		})
	}
}

// A record that fails its fold costs itself only, wherever it fails.
func TestPoisonIsParked(t *testing.T) {
	records := script(300, 4)
	bad := records[101].EventID
	for _, c := range []struct {
		name string
		fold toy
	}{
		{"Apply panics", toy{panicOn: bad}},
		{"Flush panics", toy{flushOn: bad}},
		{"value too large", toy{bigOn: bad}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, store := newMemLog(records...), newMemStore()
				p, _ := start(t, projector.Config{Projection: c.fold, Source: log, Store: store})
				reach(t, store, 300)
				sameView(t, store.view(), expect(records, bad))
				if len(store.parked) != 1 || store.parked[102].EventID != bad || store.parked[102].Entity != "s1" {
					t.Errorf("parked = %+v; want record 102 of s1", store.parked)
				}
				if got := p.Status().Parked; got != 1 {
					t.Errorf("Status().Parked = %d; want 1", got)
				}
			})
		})
	}
	t.Run("Key panics", func(t *testing.T) {
		synctest.Test(t, func(t *testing.T) {
			log, store := newMemLog(records...), newMemStore()
			start(t, projector.Config{Projection: toy{keyOn: bad}, Source: log, Store: store})
			reach(t, store, 300)
			if len(store.parked) != 1 || store.parked[102].Entity != "" {
				t.Errorf("parked = %+v; want record 102 of no entity", store.parked)
			}
		})
	})
}

// What folds records of the log again looks first whether it still is the log that
// the view was folded from: a record may be another one's by now.
func TestMaintenanceOfAnotherLog(t *testing.T) {
	records := script(300, 4)
	bad := records[101].EventID
	for name, spoil := range map[string]func(*memLog){
		"whose tail was lost and written again": func(l *memLog) {
			for i := range l.records[100:] {
				r := &l.records[100+i]
				r.EventID, r.StoredAt = "again-"+r.EventID, r.StoredAt.Add(time.Hour)
			}
		},
		"that was made again": func(l *memLog) { l.name = "log-2" },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				log, store := newMemLog(records...), newMemStore()
				_, stop := start(t, projector.Config{Projection: toy{panicOn: bad}, Source: log, Store: store})
				reach(t, store, 300)
				_ = stop()
				before := store.view()
				spoil(log)
				c := projector.MaintenanceConfig{Projection: toy{}, Source: log, Store: store}
				if n, err := projector.RetryParked(t.Context(), c); n != 0 || err == nil || len(store.parked) != 1 {
					t.Errorf("RetryParked() = %d, %v, %d left; want an error, and the record where it is", n, err, len(store.parked))
				}
				if n, err := projector.Repair(t.Context(), c, []projector.Difference{{Key: "s1", Entity: "s1", Kind: "wrong"}}); n != 0 || err == nil {
					t.Errorf("Repair() = %d, %v; want an error", n, err)
				}
				sameView(t, store.view(), before)
				if n, err := projector.DropParked(t.Context(), c); n != 1 || err != nil {
					t.Errorf("DropParked() = %d, %v; want 1: it folds nothing", n, err)
				}
			})
		})
	}
}

// Memory does not grow with the number of entities, and an entity that comes
// back is read again.
func TestCacheIsBounded(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(20_000, 4000)
		log, store := newMemLog(records...), newMemStore()
		_, stop := start(t, projector.Config{Source: log, Store: store, CacheBytes: 64 << 10, BatchEntities: 100})
		reach(t, store, 20_000)
		sameView(t, store.view(), expect(records))
		if store.loads == 0 {
			t.Error("no entity was read again; want evictions")
		}
		most := 0
		for _, c := range store.commits {
			most = max(most, len(c.Entities))
		}
		if most > 1000 {
			t.Errorf("largest commit has %d entities; want few in a small cache", most)
		}
		_ = stop()
	})
}

// Each changed entity is written once a window, however many records changed it.
func TestCatchUpCoalesces(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		log, store := newMemLog(script(50_000, 50)...), newMemStore()
		start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 50_000)
		if n := len(store.commits); n > 20 {
			t.Errorf("50,000 records of 50 sessions took %d commits; want at most 20", n)
		}
	})
}
