package viewstore_test

import (
	"bytes"
	"context"
	"errors"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/projector"
)

func (d *deployment) verify(t *testing.T, change func(*projector.VerifyConfig)) projector.Verified {
	t.Helper()
	c := projector.VerifyConfig{Projection: d.fold, Source: d.log, Viewer: d.store}
	if change != nil {
		change(&c)
	}
	v, err := projector.Verify(testContext(t), c)
	if err != nil {
		t.Fatalf("Verify() = %v", err)
	}
	return v
}

func (d *deployment) surgery() projector.MaintenanceConfig {
	return projector.MaintenanceConfig{Projection: d.fold, Source: d.log, Store: d.store}
}

// plant writes behind the projector's back.
func (d *deployment) plant(t *testing.T, key string, value []byte) {
	t.Helper()
	js, err := jetstream.New(d.node.Connect(t))
	if err != nil {
		t.Fatal(err)
	}
	m := nats.NewMsg("$KV.sessions_g1." + key)
	m.Data = value
	if value == nil {
		m.Header.Set("KV-Operation", "DEL")
	}
	if _, err := js.PublishMsg(testContext(t), m); err != nil {
		t.Fatal(err)
	}
}

func TestVerifyAndRepair(t *testing.T) {
	t.Parallel()
	all := records(11, 40)
	d := deploy(t, all)
	if v := d.verify(t, nil); len(v.Differences) != 0 || v.Keys != v.Equal || v.Records != uint64(len(all)) || v.Keys == 0 {
		t.Errorf("Verify() of a right view = %+v; want no difference", v)
	}
	want := plain(d.fold, all)
	var keys []string
	for key := range want {
		keys = append(keys, key)
	}
	slices.Sort(keys)
	wrong, missing := keys[3], keys[7]
	d.plant(t, wrong, bytes.Replace([]byte(want[wrong]), []byte(`"implicit":`), []byte(`"implicit":1,"x":`), 1))
	d.plant(t, missing, nil)
	d.plant(t, "live.nobody", []byte(`{}`))
	// A commit, so that a follower sees a whole view again.
	last := d.append(t, records(12, 3))
	reached(t, d.store, "sessions", last)

	for _, memory := range []int64{0, 10_000} { // one pass, and many
		v := d.verify(t, func(c *projector.VerifyConfig) { c.MaxBytes = memory })
		kinds := map[string]string{}
		for _, diff := range v.Differences {
			kinds[diff.Key] = diff.Kind
			if diff.Kind != "extra" && (diff.First == 0 || diff.FirstType == "" || len(diff.Fields) == 0) {
				t.Errorf("difference %+v; want its first record and fields", diff)
			}
		}
		if len(kinds) != 3 || kinds[wrong] != "wrong" || kinds[missing] != "missing" || kinds["live.nobody"] != "extra" {
			t.Errorf("Verify(MaxBytes %d) = %v in %d passes; want %s wrong, %s missing, live.nobody extra", memory, kinds, v.Passes, wrong, missing)
		}
		if memory > 0 && v.Passes < 2 {
			t.Errorf("Verify(MaxBytes %d) took %d passes; want several", memory, v.Passes)
		}
	}
	v := d.verify(t, nil)
	n, err := projector.Repair(testContext(t), d.surgery(), v.Differences)
	if err != nil || n != 2 {
		t.Errorf("Repair() = %d, %v; want 2 entities", n, err)
	}
	if v := d.verify(t, nil); len(v.Differences) != 0 {
		t.Errorf("Verify() after Repair = %+v; want no difference", v.Differences)
	}
	// The projector goes on after it.
	more := records(13, 10)
	last = d.append(t, more)
	reached(t, d.store, "sessions", last)
	if v := d.verify(t, func(c *projector.VerifyConfig) { c.Sample = 0.5 }); len(v.Differences) != 0 || v.Keys == 0 {
		t.Errorf("Verify(Sample 0.5) = %+v; want no difference", v)
	}
}

// forgetful is a fold with a bug: one record is lost on it.
type forgetful struct {
	eventlog.Fold
	seq eventlog.Seq
}

func (f forgetful) Key(ev *eventlog.Event) string {
	if ev.Seq == f.seq {
		return ""
	}
	return f.Fold.Key(ev)
}

func TestVerifyNamesTheRecord(t *testing.T) {
	t.Parallel()
	all := records(14, 60)
	var bad eventlog.Seq
	for i := range all {
		ev := eventlog.Decode(&all[i])
		if ev.Type == eventlog.MeetingStarted && i > 100 {
			want, got := plain(sessionsFold(), all), plain(forgetful{sessionsFold(), eventlog.Seq(i + 1)}, withSeq(all))
			if !maps.Equal(got, want) {
				bad = eventlog.Seq(i + 1)
				break
			}
		}
	}
	d := deployWith(t, all, forgetful{sessionsFold(), bad}, 0)
	d.fold = sessionsFold()
	v := d.verify(t, nil)
	if len(v.Differences) != 1 || v.Differences[0].First != bad {
		t.Errorf("Verify() = %+v; want one difference, from record %d on", v.Differences, bad)
	}
}

func withSeq(all []eventlog.Record) []eventlog.Record {
	all = slices.Clone(all)
	for i := range all {
		all[i].Seq = eventlog.Seq(i + 1)
	}
	return all
}

// touchy panics on one record until it is corrected.
type touchy struct {
	eventlog.Fold
	id string
}

type touchyState struct {
	eventlog.State
	id string
}

func (f touchy) New(key string) eventlog.State { return touchyState{f.Fold.New(key), f.id} }

func (s touchyState) Apply(ev *eventlog.Event) {
	if ev.Order.ID == s.id {
		panic("planted")
	}
	s.State.Apply(ev)
}

func (s touchyState) Park(at eventlog.Time) { s.State.(projector.Degradable).Park(at) }
func (s touchyState) Unpark()               { s.State.(projector.Degradable).Unpark() }

func TestParkedRetryAndDrop(t *testing.T) {
	t.Parallel()
	all := records(15, 60)
	at := slices.IndexFunc(all, func(r eventlog.Record) bool { return r.Type == "meeting.participantLeft" })
	bad := eventlog.Seq(at + 1)
	d := deployWith(t, all, touchy{sessionsFold(), all[at].EventID}, 0)
	parked, err := d.store.Parked(testContext(t), "sessions")
	if err != nil || len(parked) != 1 || parked[0].Sequence != bad {
		t.Fatalf("Parked() = %+v, %v; want record %d", parked, err, bad)
	}
	ev := eventlog.Decode(&all[at])
	degraded := func() bool {
		t.Helper()
		for _, key := range []string{"ended.", "live."} {
			if e, err := d.store.Get(testContext(t), "sessions", key+eventlog.EscapeID(d.fold.Key(&ev))); err == nil {
				return !bytes.Contains(e.Value, []byte(`"degradedSince":null`))
			}
		}
		t.Fatal("session is in no view")
		return false
	}
	if !degraded() {
		t.Error("degradedSince is null while a record is parked")
	}
	if v := d.verify(t, nil); len(v.Differences) != 0 || v.Parked != 1 {
		t.Errorf("Verify() = %+v; want no difference but the parked record", v)
	}
	if n, err := projector.RetryParked(testContext(t), d.surgery()); err != nil || n != 0 {
		t.Errorf("RetryParked() with the bug = %d, %v; want 0", n, err)
	}
	corrected := d.surgery()
	corrected.Projection = sessionsFold()
	if n, err := projector.RetryParked(testContext(t), corrected, bad); err != nil || n != 1 {
		t.Errorf("RetryParked() with the bug corrected = %d, %v; want 1", n, err)
	}
	if degraded() {
		t.Error("degradedSince is set after the retry")
	}
	wantView(t, d.store, "sessions", plain(sessionsFold(), all))
	d.fold = sessionsFold()
	if v := d.verify(t, nil); len(v.Differences) != 0 || v.Parked != 0 {
		t.Errorf("Verify() = %+v; want no difference, nothing parked", v)
	}
	last := d.append(t, records(16, 3))
	reached(t, d.store, "sessions", last)
}

// meanwhile is a viewer of a view that somebody works on once it was read.
type meanwhile struct {
	projector.Viewer
	work func()
}

func (m *meanwhile) View(ctx context.Context, view string, reset func(), put func(string, []byte)) (projector.Generation, projector.Checkpoint, error) {
	g, cp, err := m.Viewer.View(ctx, view, reset, put)
	if work := m.work; work != nil {
		m.work = nil
		work()
	}
	return g, cp, err
}

// TestVerifyBesideARetry: a record that is settled, or another generation that becomes
// live, while a view is verified is no difference.
func TestVerifyBesideARetry(t *testing.T) {
	t.Parallel()
	all := records(15, 60)
	at := slices.IndexFunc(all, func(r eventlog.Record) bool { return r.Type == "meeting.participantLeft" })
	for name, work := range map[string]func(t *testing.T, d *deployment){
		"a retry": func(t *testing.T, d *deployment) {
			corrected := d.surgery()
			corrected.Projection = sessionsFold()
			if n, err := projector.RetryParked(testContext(t), corrected); err != nil || n != 1 {
				t.Errorf("RetryParked() = %d, %v; want 1", n, err)
			}
		},
		"a rebuild": func(t *testing.T, d *deployment) {
			if _, err := d.rebuild(t, testContext(t), func(c *projector.RebuildConfig) { c.Projection = sessionsFold() }); err != nil {
				t.Errorf("Rebuild() = %v", err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			d := deployWith(t, all, touchy{sessionsFold(), all[at].EventID}, 0)
			v := d.verify(t, func(c *projector.VerifyConfig) {
				c.Projection = sessionsFold()
				c.Viewer = &meanwhile{c.Viewer, func() { work(t, d) }}
			})
			if len(v.Differences) != 0 || v.Parked != 0 {
				t.Errorf("Verify() beside %s = %+v; want no difference, and nothing parked any more", name, v)
			}
		})
	}
}

// writtenAgain is a log that lost its tail and has given its sequences to others.
type writtenAgain struct{ projector.Source }

func (l writtenAgain) Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	r, err := l.Source.Record(ctx, seq)
	r.StoredAt = r.StoredAt.Add(time.Hour)
	return r, err
}

// TestVerifyOfALogThatLostItsTail: a view is not held against other records than those
// that it was folded from. That would be differences, and the advice to repair them.
func TestVerifyOfALogThatLostItsTail(t *testing.T) {
	t.Parallel()
	d := deploy(t, records(15, 5))
	v, err := projector.Verify(testContext(t), projector.VerifyConfig{Projection: d.fold, Source: writtenAgain{d.log}, Viewer: d.store})
	if !errors.Is(err, eventlog.ErrLostTail) || !strings.Contains(err.Error(), "rollcall rebuild sessions") {
		t.Errorf("Verify() = %+v, %v; want %v, and what to do", v, err, eventlog.ErrLostTail)
	}
	trim(t, d, 3) // is no reason not to verify the rest
	if v, err := projector.Verify(testContext(t), projector.VerifyConfig{Projection: d.fold, Source: d.log, Viewer: d.store}); err != nil || len(v.Differences) != 0 {
		t.Errorf("Verify() of a log that was trimmed = %+v, %v; want no difference", v, err)
	}
}
