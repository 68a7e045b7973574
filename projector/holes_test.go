package projector_test

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"testing"
	"testing/synctest"

	"rollcall/eventlog"
	"rollcall/projector"
)

// Somebody else committed in this projector's epoch: that is seen, and the task
// ends, although the projector's own next commit would fit.
func TestAnotherCommitIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(400, 5)
		log, store := newMemLog(records...), newMemStore()
		store.plan = func(step string, n int) fault {
			if step != "commit" || n != 1 {
				return works
			}
			store.cp.Commit = "of somebody else"
			return fails
		}
		_, stop := start(t, projector.Config{Source: log, Store: store, BatchEntities: 3})
		reach(t, store, 400)
		sameView(t, store.view(), expect(records))
		if n := store.counts["acquire"]; n != 2 {
			t.Errorf("the store was acquired %d times; want twice, since the first task ends", n)
		}
		if err := stop(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// A commit that came to nothing is made again, also where nothing follows it, and
// at once: another task would read everything again.
func TestFailedCommitIsMadeAgain(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(20, 2)
		log, store := newMemLog(records...), newMemStore()
		store.plan = func(step string, n int) fault {
			if step == "commit" && n == 1 {
				return fails
			}
			return works
		}
		_, stop := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 20)
		sameView(t, store.view(), expect(records))
		if n := store.counts["acquire"]; n != 1 {
			t.Errorf("the store was acquired %d times; want once", n)
		}
		if err := stop(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// A commit that landed, and whose answer was lost, is seen: nobody is taken for a
// rival, and nothing is committed twice.
func TestLandedCommitIsSeen(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(400, 5)
		log, store := newMemLog(records[:200]...), newMemStore()
		store.plan = func(step string, n int) fault {
			if step == "commit" && n%2 == 0 {
				return failsButHappened
			}
			return works
		}
		_, stop := start(t, projector.Config{Source: log, Store: store, BatchEntities: 3})
		reach(t, store, 200)
		// One commit may take all that there is, and a rival shows at the one after it.
		log.append(records[200:300]...)
		reach(t, store, 300)
		log.append(records[300:]...)
		reach(t, store, 400)
		sameView(t, store.view(), expect(records))
		if n := store.counts["acquire"]; n != 1 || store.counts["commit"] != len(store.commits) {
			t.Errorf("the store was acquired %d times, and asked for %d commits, which came to %d; want once, and as many", n, store.counts["commit"], len(store.commits))
		}
		if reads, n := store.counts["checkpoint"], store.counts["commit"]; reads >= n {
			t.Errorf("%d commits, of which each second one failed, read the checkpoint %d times; want it after those alone", n, reads)
		}
		if err := stop(); err != nil {
			t.Errorf("Run() = %v; want nil", err)
		}
	})
}

// A record whose key could not be found stays parked while that is so. It is
// folded once the fold is corrected, and never taken for settled before.
func TestParkedWithoutKeyStaysParked(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(60, 5)
		bad := records[31].EventID
		log, store := newMemLog(records...), newMemStore()
		ill := toy{keyOn: bad}
		_, stop := start(t, projector.Config{Projection: ill, Source: log, Store: store})
		reach(t, store, 60)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v; want nil", err)
		}
		retry := func(fold toy) int {
			n, err := projector.RetryParked(t.Context(), projector.MaintenanceConfig{Projection: fold, Source: log, Store: store})
			if err != nil {
				t.Errorf("RetryParked() = %v", err)
			}
			return n
		}
		if n := retry(ill); n != 0 || len(store.parked) != 1 {
			t.Errorf("RetryParked() by the fold that fails = %d, %d stay parked; want 0 and 1", n, len(store.parked))
		}
		if n := retry(toy{}); n != 1 || len(store.parked) != 0 {
			t.Errorf("RetryParked() by the corrected fold = %d, %d stay parked; want 1 and 0", n, len(store.parked))
		}
		sameView(t, store.view(), expect(records))
	})
}

// TestParkedStaysWhileItFails: a record on which the fold still fails stays parked, and
// what is stored stays as it is.
func TestParkedStaysWhileItFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(60, 5)
		ill := toy{panicOn: records[31].EventID}
		log, store := newMemLog(records...), newMemStore()
		_, stop := start(t, projector.Config{Projection: ill, Source: log, Store: store})
		reach(t, store, 60)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v; want nil", err)
		}
		before := maps.Clone(store.docs)
		n, err := projector.RetryParked(t.Context(), projector.MaintenanceConfig{Projection: ill, Source: log, Store: store})
		if n != 0 || err != nil || len(store.parked) != 1 || !maps.Equal(store.docs, before) {
			t.Errorf("RetryParked() by the fold that panics = %d, %v, %d stay parked; want 0, nil, 1, and the same documents", n, err, len(store.parked))
		}
	})
}

// TestParkedBesideADamagedState: a parked record of an entity whose state can't be
// read stays parked, and nothing is written over what is stored.
func TestParkedBesideADamagedState(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(60, 5)
		bad := records[31]
		log, store := newMemLog(records...), newMemStore()
		_, stop := start(t, projector.Config{Projection: toy{panicOn: bad.EventID}, Source: log, Store: store})
		reach(t, store, 60)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v; want nil", err)
		}
		ev := eventlog.Decode(&bad)
		key := toy{}.Key(&ev)
		parts := store.parts[key]
		if len(parts) == 0 {
			t.Fatalf("no state of %s is stored", key)
		}
		damaged := slices.Clone(parts)
		damaged[len(damaged)-1].Value = []byte("{")
		store.parts[key] = damaged
		before := maps.Clone(store.docs)
		retry := func() (int, error) {
			return projector.RetryParked(t.Context(), projector.MaintenanceConfig{Projection: toy{}, Source: log, Store: store})
		}
		if n, err := retry(); n != 0 || !errors.Is(err, projector.ErrState) || len(store.parked) != 1 || !maps.Equal(store.docs, before) {
			t.Errorf("RetryParked() beside a damaged state = %d, %v, %d stay parked; want 0, %v, 1, and the same documents", n, err, len(store.parked), projector.ErrState)
		}
		store.parts[key] = parts
		if n, err := retry(); n != 1 || err != nil || len(store.parked) != 0 {
			t.Errorf("RetryParked() of the whole state = %d, %v, %d stay parked; want 1, nil, 0", n, err, len(store.parked))
		}
		sameView(t, store.view(), expect(records))
	})
}

// TestDamagedStateEndsTheTask: what is folded on a state that can't be read would be wrong.
func TestDamagedStateEndsTheTask(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		records := script(60, 1)
		log, store := newMemLog(records[:40]...), newMemStore()
		_, stop := start(t, projector.Config{Source: log, Store: store})
		reach(t, store, 40)
		if err := stop(); err != nil {
			t.Fatalf("Run() = %v; want nil", err)
		}
		for key, parts := range store.parts {
			for i := range parts {
				parts[i].Value = []byte("{")
			}
			store.parts[key] = parts
		}
		before := maps.Clone(store.docs)
		log.append(records[40:]...)
		_, stop = start(t, projector.Config{Source: log, Store: store})
		synctest.Wait()
		if err := stop(); !errors.Is(err, projector.ErrState) || !maps.Equal(store.docs, before) {
			t.Errorf("Run() beside a damaged state = %v; want %v, and the same documents", err, projector.ErrState)
		}
	})
}

// heldView is a stored view as Verify reads it.
type heldView struct {
	records   []eventlog.Record
	documents map[string]string
	cp        projector.Checkpoint
}

func (v heldView) View(_ context.Context, view string, _ func(), put func(string, []byte)) (projector.Generation, projector.Checkpoint, error) {
	for key, doc := range v.documents {
		put(key, []byte(doc))
	}
	return projector.Generation{View: view, Number: 1, Bucket: view + "_g1", Version: "v1"}, v.cp, nil
}

func (v heldView) Document(_ context.Context, _, key string) ([]byte, error) {
	if doc, ok := v.documents[key]; ok {
		return []byte(doc), nil
	}
	return nil, nil
}

// States are those that the records give.
func (v heldView) States(_ context.Context, _ string, entities []string) ([]projector.StoredState, error) {
	all := make([]projector.StoredState, len(entities))
	for i, entity := range entities {
		s, w := toy{}.New(entity), heldParts{}
		for n := range v.records {
			if ev := eventlog.Decode(&v.records[n]); ev.SessionID == entity {
				s.Apply(&ev)
			}
		}
		s.Flush(w)
		over := s.(projector.Aging).Over()
		if !over.IsZero() && over < v.cp.Horizon {
			w = heldParts{projector.MarkPart: fmt.Append(nil, over.UnixMicro())}
		}
		for name, value := range w {
			all[i].Parts = append(all[i].Parts, projector.Part{Name: name, Value: value})
		}
		all[i].Sequence = v.cp.Sequence
	}
	return all, nil
}

// heldParts takes the parts that a state flushes.
type heldParts map[string][]byte

func (heldParts) Put(string, []byte)                  {}
func (heldParts) Delete(string)                       {}
func (w heldParts) PutPart(name string, value []byte) { w[name] = value }

func (heldView) Parked(context.Context, string) ([]projector.Parked, error) { return nil, nil }

// While a sweep is under way, what is due may be in the view or not: neither is a
// difference. What was due before must be gone, all else must be there.
func TestVerifyWhileASweepRuns(t *testing.T) {
	records := []eventlog.Record{
		record(0, "gone", "ended"), record(1, "leaving", "ended"), record(2, "leaving2", "ended"), record(3, "stays", "ended"), record(4, "open", "started"),
	}
	view := heldView{records: records, documents: expect(records), cp: projector.Checkpoint{
		Incarnation: "log", Sequence: eventlog.Seq(len(records)), Horizon: records[1].ReceivedAt, Sweeping: records[3].ReceivedAt,
	}}
	log := newMemLog(records...)
	verify := func() projector.Verified {
		head, err := log.Head(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		view.cp.Incarnation, view.cp.StoredAt = head.Incarnation, log.records[head.Last-1].StoredAt
		out, err := projector.Verify(t.Context(), projector.VerifyConfig{Projection: toy{}, Source: log, Viewer: view})
		if err != nil {
			t.Fatalf("Verify() = %v", err)
		}
		return out
	}
	delete(view.documents, "ended.gone")
	delete(view.documents, "ended.leaving")
	if out := verify(); len(out.Differences) != 0 || out.Leaving != 1 || out.Equal != 3 {
		t.Errorf("Verify() = %+v; want one key that is leaving, three equal, and no difference", out)
	}
	delete(view.documents, "ended.stays")
	view.documents["ended.gone"] = "{}"
	if out := verify(); len(out.Differences) != 2 || out.Differences[0].Kind != "extra" || out.Differences[1].Kind != "missing" {
		t.Errorf("Verify() of what stayed and what went too early = %+v; want one extra, one missing", out)
	}
}
