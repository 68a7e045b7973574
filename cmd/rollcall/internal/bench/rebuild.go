package bench

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"iter"
	"math"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/projections"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// Rebuild measures how fast the log is read and the views are rebuilt.
type Rebuild struct {
	Events     int      // records in the log
	Naive      int      // records that the naive projector gets: it is slow
	Views      []string // views to rebuild; all by default
	Dir        string   // directory for the log, on the disk to measure, kept for the next run; temporary by default
	CacheBytes int64    // memory for the entities that a rebuild holds
	console.OutputFlag
}

// rebuildResult is one measured way of reading or rebuilding.
type rebuildResult struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"perSecond"`
	PeakBytes uint64  `json:"peakBytes"`
}

type rebuildReport struct {
	Results []rebuildResult    `json:"results"`
	Ratios  map[string]float64 `json:"ratios"`
}

// Run measures, and prints what it found.
func (c *Rebuild) Run(a *console.IO) error {
	if c.Events < 1 || c.Naive < 1 {
		return console.Usagef("--events and --naive must be above 0")
	}
	folds := slices.DeleteFunc(projections.All(), func(f eventlog.Fold) bool {
		return len(c.Views) > 0 && !slices.Contains(c.Views, f.Name())
	})
	if len(folds) == 0 {
		return console.Usagef("--views: no such view; see `rollcall views ls`")
	}
	if c.Dir == "" {
		return inDir(a, "", func(dir string) error { return c.measure(a, dir, folds) })
	}
	return a.Left(c.measure(a, c.Dir, folds), "nothing was measured to its end; the log in %s stays for the next run", c.Dir)
}

// measure measures in a directory.
func (c *Rebuild) measure(a *console.IO, dir string, folds []eventlog.Fold) (err error) {
	nc, server, stop, err := startServer(a.Ctx, dir)
	if err != nil {
		return err
	}
	defer func() { nc.Close(); err = errors.Join(err, stop()) }()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	log, err := natslog.Open(a.Ctx, js, natslog.Config{})
	if err != nil {
		return err
	}
	defer log.Close()
	if err := c.fill(a, js, log); err != nil {
		return err
	}
	b := &rebuildBench{events: c.Events, naive: min(c.Naive, c.Events), folds: folds, js: js, log: log, server: server, cacheBytes: c.CacheBytes, progress: a.Stderr}
	if err := b.run(a); err != nil {
		return err
	}
	return c.report(a, b)
}

// fill makes the log, or takes the one of an earlier run, and removes the views
// of that run.
func (c *Rebuild) fill(a *console.IO, js jetstream.JetStream, log *natslog.Log) error {
	streams := js.StreamNames(a.Ctx)
	for name := range streams.Name() {
		if name == eventlog.Stream {
			continue
		}
		if err := js.DeleteStream(a.Ctx, name); err != nil {
			return fmt.Errorf("remove %s of an earlier run: %w", name, err)
		}
	}
	if err := streams.Err(); err != nil {
		return fmt.Errorf("list streams: %w", err)
	}
	head, err := log.Head(a.Ctx)
	if err != nil {
		return err
	}
	switch head.Last {
	case 0:
		fmt.Fprintf(a.Stderr, "filling a log with %d events\n", c.Events)
		_, err = log.Import(a.Ctx, generated(c.Events))
		return err
	case eventlog.Seq(c.Events):
		return nil
	}
	return console.Usagef("%s holds a log of %d events; give --events %d, or another --dir", c.Dir, head.Last, head.Last)
}

// generated is n records of traffic.
func generated(n int) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		left := n
		for r := range traffic.Records(traffic.Config{Seed: 1, Duplicates: 0.05, SessionsPerMinute: 60}) {
			if left == 0 || !yield(r, nil) {
				return
			}
			left--
		}
	}
}

// rebuildBench is what runs while it measures.
type rebuildBench struct {
	events, naive int
	folds         []eventlog.Fold
	js            jetstream.JetStream
	log           *natslog.Log
	server        int   // process id
	cacheBytes    int64 // of a rebuild
	progress      io.Writer
	results       []rebuildResult
}

// held is the memory that this process has from the system now.
func held() uint64 {
	m := []metrics.Sample{{Name: "/memory/classes/total:bytes"}, {Name: "/memory/classes/heap/released:bytes"}}
	metrics.Read(m)
	return m[0].Value.Uint64() - m[1].Value.Uint64()
}

// time measures how fast fn gets through n records, and the most memory that
// the process held meanwhile. It also prints the server's memory.
func (b *rebuildBench) time(name string, n int, fn func() error) error {
	debug.FreeOSMemory() // what the part before needed
	var peak, server uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for {
			peak, server = max(peak, held()), max(server, residentBytes(b.server))
			select {
			case <-stop:
				return
			case <-tick.C:
			}
		}
	}()
	began := time.Now()
	err := fn()
	elapsed := time.Since(began)
	close(stop)
	<-stopped
	if err != nil {
		return fmt.Errorf("measure %s: %w", name, err)
	}
	perSecond := float64(n) / elapsed.Seconds()
	fmt.Fprintf(b.progress, "%-12s %8.0f/s %6d MiB, server %6d MiB\n", name, perSecond, peak>>20, server>>20)
	b.results = append(b.results, rebuildResult{name, math.Round(perSecond), peak})
	return nil
}

// raw reads the whole log with nats.go's ordered consumer.
func (b *rebuildBench) raw(ctx context.Context, handle func(jetstream.Msg)) error {
	consumer, err := b.js.OrderedConsumer(ctx, eventlog.Stream, jetstream.OrderedConsumerConfig{})
	if err != nil {
		return fmt.Errorf("create ordered consumer: %w", err)
	}
	done, left := make(chan struct{}), b.events
	reading, err := consumer.Consume(func(m jetstream.Msg) {
		handle(m)
		if left--; left == 0 {
			close(done)
		}
	}, jetstream.PullMaxMessages(rawPull))
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer reading.Stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// rawPull is where an ordered consumer stops to get faster: its default, 500,
// is slower.
const rawPull = 5000

// read measures the raw read.
func (b *rebuildBench) read(ctx context.Context) error {
	return b.time("read", b.events, func() error { return b.raw(ctx, func(jetstream.Msg) {}) })
}

func (b *rebuildBench) run(a *console.IO) error {
	if err := b.read(a.Ctx); err != nil {
		return err
	}
	err := b.time("read+decode", b.events, func() error {
		return b.raw(a.Ctx, func(m jetstream.Msg) {
			r := rawRecord(m)
			eventlog.Decode(&r)
		})
	})
	if err != nil {
		return err
	}
	if err := b.time("naive", b.naive, func() error { return b.naiveProjector(a.Ctx) }); err != nil {
		return err
	}
	store, err := viewstore.Open(a.Ctx, b.js, viewstore.Config{Exclusive: true, Logger: a.Logger})
	if err != nil {
		return err
	}
	rebuild := func(ctx context.Context, fold eventlog.Fold, source projector.Source, beside int) error {
		_, err := projector.Rebuild(ctx, projector.RebuildConfig{
			Projection: fold, Source: source, Registry: store, Logger: a.Logger, CacheBytes: b.cacheBytes / int64(beside),
		})
		return err
	}
	for i, fold := range b.folds {
		if i == len(b.folds)/2 { // in the middle, since a shared machine is not the same all the time
			if err := b.read(a.Ctx); err != nil {
				return err
			}
		}
		if err := b.time(fold.Name(), b.events, func() error { return rebuild(a.Ctx, fold, b.log, 1) }); err != nil {
			return err
		}
	}
	for _, fold := range b.folds { // a rebuild beside the retired ones would need room
		if _, err := projector.Drop(a.Ctx, store, fold.Name(), fold.Version()); err != nil {
			return err
		}
	}
	source := projector.Share(b.log)
	err = b.time("all", b.events, func() error {
		group, ctx := errgroup.WithContext(a.Ctx)
		for _, fold := range b.folds {
			group.Go(func() error { return rebuild(ctx, fold, source, len(b.folds)) })
		}
		return group.Wait()
	})
	if err != nil {
		return err
	}
	return b.read(a.Ctx)
}

// rawRecord is what decoding needs of a message.
func rawRecord(m jetstream.Msg) eventlog.Record {
	h := m.Headers()
	return eventlog.Record{
		EventID: h.Get(natslog.HeaderID), Source: h.Get(natslog.HeaderSource), DeliveryID: h.Get(natslog.HeaderDelivery),
		Body: m.Data(),
	}
}

// naiveSession is the value that the naive projector keeps a session.
type naiveSession struct {
	SessionID, Title   string
	Started, Ended     eventlog.Time
	Joined, Left       map[string]eventlog.Time
	Participants, Live int
}

func (s *naiveSession) apply(ev *eventlog.Event) {
	if s.Joined == nil {
		s.Joined, s.Left = map[string]eventlog.Time{}, map[string]eventlog.Time{}
	}
	s.SessionID = ev.SessionID
	if ev.Title != "" {
		s.Title = ev.Title
	}
	switch ev.Type {
	case eventlog.MeetingStarted:
		s.Started = ev.StartedAt
	case eventlog.MeetingEnded:
		s.Ended = ev.EndedAt
	case eventlog.ParticipantJoined:
		s.Joined[ev.Participant.PeerID] = ev.Participant.JoinedAt
	case eventlog.ParticipantLeft:
		s.Left[ev.Participant.PeerID] = ev.Participant.LeftAt
	}
	s.Participants, s.Live = len(s.Joined), len(s.Joined)-len(s.Left)
}

// naiveProjector is what one writes first: for each event of a durable consumer
// get the session's value, fold, put it, ack.
func (b *rebuildBench) naiveProjector(ctx context.Context) error {
	kv, err := b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "naive"})
	if err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	consumer, err := b.js.CreateOrUpdateConsumer(ctx, eventlog.Stream, jetstream.ConsumerConfig{Durable: "naive", AckPolicy: jetstream.AckExplicitPolicy})
	if err != nil {
		return fmt.Errorf("create consumer: %w", err)
	}
	messages, err := consumer.Messages()
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	defer func() { _ = b.js.DeleteConsumer(context.WithoutCancel(ctx), eventlog.Stream, "naive") }()
	defer messages.Stop()
	for range b.naive {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		r := rawRecord(m)
		ev := eventlog.Decode(&r)
		if id := cmp.Or(ev.SessionID, ev.MeetingID); id != "" {
			if err := naiveFold(ctx, kv, eventlog.EscapeID(id), &ev); err != nil {
				return err
			}
		}
		if err := m.Ack(); err != nil {
			return fmt.Errorf("ack: %w", err)
		}
	}
	return nil
}

func naiveFold(ctx context.Context, kv jetstream.KeyValue, key string, ev *eventlog.Event) error {
	var s naiveSession
	entry, err := kv.Get(ctx, key)
	switch {
	case err == nil:
		if err := json.Unmarshal(entry.Value(), &s); err != nil {
			return fmt.Errorf("read value: %w", err)
		}
	case !errors.Is(err, jetstream.ErrKeyNotFound):
		return fmt.Errorf("get value: %w", err)
	}
	s.apply(ev)
	value, err := json.Marshal(&s)
	if err != nil {
		return fmt.Errorf("write value: %w", err)
	}
	if _, err := kv.Put(ctx, key, value); err != nil {
		return fmt.Errorf("put value: %w", err)
	}
	return nil
}

// medianRead makes one result of the raw reads, in the place of the first.
func medianRead(results []rebuildResult) []rebuildResult {
	var reads []rebuildResult
	rest := slices.DeleteFunc(slices.Clone(results), func(r rebuildResult) bool {
		if r.Name == "read" {
			reads = append(reads, r)
		}
		return r.Name == "read"
	})
	slices.SortFunc(reads, func(a, b rebuildResult) int { return cmp.Compare(a.PerSecond, b.PerSecond) })
	return slices.Insert(rest, 0, reads[len(reads)/2])
}

func (c *Rebuild) report(a *console.IO, b *rebuildBench) error {
	b.results = medianRead(b.results)
	r := rebuildReport{Results: b.results, Ratios: map[string]float64{}}
	by := map[string]float64{}
	for _, x := range b.results {
		by[x.Name] = x.PerSecond
	}
	for _, x := range b.results {
		if x.Name == "read" || x.Name == "naive" || x.Name == "read+decode" {
			continue
		}
		r.Ratios[x.Name+"/read"] = console.Round(x.PerSecond / by["read"])
		r.Ratios[x.Name+"/naive"] = console.Round(x.PerSecond / by["naive"])
	}
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, r)
	}
	g := &console.Grid{Columns: []string{"name", "perSecond", "peakBytes", "perRead", "perNaive"}}
	for _, x := range b.results {
		g.Add(x.Name, x.PerSecond, x.PeakBytes, console.Round(x.PerSecond/by["read"]), console.Round(x.PerSecond/by["naive"]))
	}
	return c.Print(a.Stdout, g)
}
