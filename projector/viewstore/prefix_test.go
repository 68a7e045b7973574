package viewstore_test

import (
	"context"
	"fmt"
	"maps"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/eventlogtest"
	"rollcall/eventlog/natslog"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// recording is all that was written into one generation, in order, with what is
// overwritten since.
type recording struct {
	bucket string
	sub    *nats.Subscription
	all    []*nats.Msg
}

// record has a bucket's stream repeat what it stores.
func record(t *testing.T, js jetstream.JetStream, bucket string) *recording {
	t.Helper()
	sub, err := js.Conn().SubscribeSync("recorded." + bucket + ".>")
	if err != nil {
		t.Fatal(err)
	}
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		t.Fatal(err)
	}
	stream, err := js.Stream(testContext(t), viewstore.StreamOf(bucket))
	if err != nil {
		t.Fatal(err)
	}
	c := stream.CachedInfo().Config
	c.RePublish = &jetstream.RePublish{Source: ">", Destination: "recorded." + bucket + ".>"}
	if _, err := js.UpdateStream(testContext(t), c); err != nil {
		t.Fatal(err)
	}
	return &recording{bucket: bucket, sub: sub}
}

// end takes what was written up to now.
func (r *recording) end(t *testing.T, js jetstream.JetStream) {
	t.Helper()
	stream, err := js.Stream(testContext(t), viewstore.StreamOf(r.bucket))
	if err != nil {
		t.Fatal(err)
	}
	for n := uint64(len(r.all)); n < stream.CachedInfo().State.LastSeq; n++ {
		m, err := r.sub.NextMsgWithContext(testContext(t))
		if err != nil {
			t.Fatalf("message %d of %d: %v", n, stream.CachedInfo().State.LastSeq, err)
		}
		r.all = append(r.all, m)
	}
}

// replay writes the first n messages into a bucket of another view.
func (r *recording) replay(ctx context.Context, js jetstream.JetStream, bucket string, n int) error {
	var last jetstream.PubAckFuture
	for i, m := range r.all[:n] {
		subject := strings.Replace(strings.TrimPrefix(m.Subject, "recorded."+r.bucket+"."), r.bucket, bucket, 1)
		next := nats.NewMsg(subject)
		next.Data = m.Data
		for _, name := range []string{"KV-Operation", jetstream.MsgTTLHeader} {
			if v := m.Header.Get(name); v != "" {
				next.Header.Set(name, v)
			}
		}
		f, err := js.PublishMsgAsync(next)
		if err != nil {
			return fmt.Errorf("message %d: %w", i, err)
		}
		last = f
	}
	if last == nil {
		return nil
	}
	select {
	case <-last.Ok():
		return nil
	case err := <-last.Err():
		return err
	case <-ctx.Done():
		return ctx.Err()
	}
}

// prefixBed is where recordings are made and played again.
type prefixBed struct {
	js    jetstream.JetStream
	log   *natslog.Log
	store *viewstore.Store
	last  eventlog.Seq // of the log
}

func newPrefixBed(t *testing.T) *prefixBed {
	t.Helper()
	js := eventlogtest.Connect(t)
	return &prefixBed{js: js, log: fill(t, js, nil), store: open(t, js, viewstore.Config{Exclusive: true})}
}

func (b *prefixBed) append(t *testing.T, r eventlog.Record) {
	t.Helper()
	a, err := b.log.Append(testContext(t), &r)
	if err != nil {
		t.Fatal(err)
	}
	b.last = max(b.last, a.Seq) // of a repeat it is that of the first
}

// project folds the log into a view up to its end.
func (b *prefixBed) project(ctx context.Context, c projector.Config) error {
	c.Source, c.Store = b.log, b.store
	p, err := projector.New(c)
	if err != nil {
		return err
	}
	inner, cancel := context.WithCancel(ctx)
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- p.Run(inner) }()
	for {
		if s := p.Status(); s.State == projector.RunLive && s.Sequence >= b.last {
			cancel()
			return <-done
		}
		select {
		case err := <-done:
			return fmt.Errorf("projector ended before the end of the log: %w", err)
		case <-ctx.Done():
			return ctx.Err()
		default:
			if !tick(ctx, 2*time.Millisecond) {
				return ctx.Err()
			}
		}
	}
}

// documents are what a view holds.
func (b *prefixBed) documents(ctx context.Context, view string) (map[string]string, error) {
	got := map[string]string{}
	for e, err := range b.store.All(ctx, view, "") {
		if err != nil {
			return nil, err
		}
		got[e.Key] = string(e.Value)
	}
	return got, nil
}

// prefixesAtOnce are played side by side: most of each is waiting.
const prefixesAtOnce = 8

// prefixes are those of a recording that are played.
type prefixes struct {
	fold             eventlog.Fold
	from, to, stride int // messages; to 0: all
	// plays, where set, plays the whole recording so many times, and leaves it to
	// what goes on to break something else off.
	plays int
}

// every plays prefixes of a recording, each into a view of its own, goes on from
// there, and compares what the view then holds with what it must.
func (b *prefixBed) every(t *testing.T, r *recording, p prefixes, goOn func(ctx context.Context, view eventlog.Fold) error, want map[string]string) {
	t.Helper()
	r.end(t, b.js)
	if p.to == 0 {
		p.to = len(r.all)
	}
	if p.plays > 0 {
		p.from, p.to, p.stride = 0, p.plays, 1
	}
	var wg sync.WaitGroup
	room := make(chan struct{}, prefixesAtOnce)
	ran := 0
	for n := p.from; n <= p.to; n += p.stride {
		ran++
		wg.Go(func() {
			room <- struct{}{}
			defer func() { <-room }()
			length := n
			if p.plays > 0 {
				length = len(r.all)
			}
			got, err := b.play(testContext(t), r, prefixView{p.fold, n}, length, goOn)
			if err != nil {
				t.Errorf("prefix %d of %d: %v", n, p.to, err)
				return
			}
			if !maps.Equal(got, want) {
				t.Errorf("prefix %d of %d, the last message on %s: %s", n, p.to, subjectOf(r, length), difference(got, want))
			}
		})
	}
	wg.Wait()
	t.Logf("%d prefixes of %d messages", ran, len(r.all))
}

// prefixView is a fold under a name that says which prefix it goes on from.
type prefixView struct {
	eventlog.Fold
	n int
}

// Name implements eventlog.Fold.
func (v prefixView) Name() string { return fmt.Sprintf("%s-%d", v.Fold.Name(), v.n) }

func prefixOf(v eventlog.Fold) int {
	p, _ := v.(prefixView)
	return p.n
}

func subjectOf(r *recording, n int) string {
	if n == 0 {
		return "nothing"
	}
	return r.all[n-1].Subject
}

func (b *prefixBed) play(ctx context.Context, r *recording, view eventlog.Fold, n int, goOn func(context.Context, eventlog.Fold) error) (map[string]string, error) {
	if _, err := b.store.Ensure(ctx, view.Name(), view.Version()); err != nil {
		return nil, err
	}
	bucket := viewstore.Bucket(view.Name(), 1)
	defer func() { _ = b.js.DeleteStream(ctx, viewstore.StreamOf(bucket)) }()
	if err := r.replay(ctx, b.js, bucket, n); err != nil {
		return nil, err
	}
	if err := goOn(ctx, view); err != nil {
		return nil, err
	}
	return b.documents(ctx, view.Name())
}

// difference names some keys of which a view holds something else.
func difference(got, want map[string]string) string {
	var out []string
	for k := range want {
		if got[k] != want[k] && len(out) < 3 {
			out = append(out, fmt.Sprintf("%s = %.200s; want %.200s", k, got[k], want[k]))
		}
	}
	for k := range got {
		if _, ok := want[k]; !ok && len(out) < 5 {
			out = append(out, k+" is there; want no such key")
		}
	}
	return strings.Join(out, "; ")
}

// TestFoldsOnFromAnyPrefix: a process that writes a view may die between any two
// messages, whatever it is about. The next one folds on from there, and the view
// is what the records say. TestChaosAnyPrefix takes every prefix.
func TestFoldsOnFromAnyPrefix(t *testing.T) {
	t.Parallel()
	anyPrefix(t, eventlogtest.Rounds(15, 4))
}

// anyPrefix takes about so many prefixes of each sequence of writes; 0: all.
func anyPrefix(t *testing.T, some int) {
	stride := func(b *prefixBed, r *recording) int {
		r.end(t, b.js)
		if some == 0 {
			return 1
		}
		return max(1, len(r.all)/some)
	}
	for name, f := range map[string]func(*testing.T, func(*prefixBed, *recording) int){
		"commits": prefixesOfCommits, "surgery": prefixesOfSurgery, "drops": prefixesOfDrops, "carry": prefixesOfCarry,
	} {
		t.Run(name, func(t *testing.T) { f(t, stride) })
	}
}

// prefixesOfCommits follows the log, and folds it in bulk.
func prefixesOfCommits(t *testing.T, stride func(*prefixBed, *recording) int) {
	all := records(31, 4)
	b := newPrefixBed(t)
	commits, bulk := map[string]*recording{}, map[string]*recording{}
	var stops []func() error
	for _, fold := range projections.All() {
		if _, err := b.store.Ensure(testContext(t), fold.Name(), fold.Version()); err != nil {
			t.Fatal(err)
		}
		commits[fold.Name()] = record(t, b.js, viewstore.Bucket(fold.Name(), 1))
		_, stop := run(t, projector.Config{Projection: fold, Source: b.log, Store: b.store, Window: time.Millisecond, BatchEntities: 2, CacheBytes: 1})
		stops = append(stops, stop)
	}
	// One by one, so that there are many commits.
	for i := range all {
		b.append(t, all[i])
		reached(t, b.store, "attendance", b.last)
	}
	for i, fold := range projections.All() {
		reached(t, b.store, fold.Name(), b.last)
		if err := stops[i](); err != nil {
			t.Fatal(err)
		}
		if _, err := b.store.Stage(testContext(t), fold.Name(), fold.Version()); err != nil {
			t.Fatal(err)
		}
		bulk[fold.Name()] = record(t, b.js, viewstore.Bucket(fold.Name(), 2))
		_, err := projector.Rebuild(testContext(t), projector.RebuildConfig{
			Projection: fold, Source: b.log, Registry: b.store, ColdAfter: 3, CacheBytes: 1, MaxPerSecond: 10 * len(all),
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, fold := range projections.All() {
		want := plain(fold, all)
		goOn := func(ctx context.Context, v eventlog.Fold) error {
			return b.project(ctx, projector.Config{Projection: v})
		}
		for how, r := range map[string]*recording{"commits": commits[fold.Name()], "bulk": bulk[fold.Name()]} {
			t.Run(fold.Name()+"/"+how, func(t *testing.T) {
				b.every(t, r, prefixes{fold: named{fold, fold.Name() + "-" + how}, stride: stride(b, r)}, goOn, want)
			})
		}
	}
}
