package main

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"runtime"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/traffic"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

type benchRebuildCmd struct {
	Events int    `help:"Records in the log." default:"100000" placeholder:"N"`
	Naive  int    `help:"Records that the naive projector gets: it is slow." default:"20000" placeholder:"N"`
	Dir    string `help:"Directory for the log, on the disk to measure; temporary by default." type:"path" placeholder:"DIR"`
	outputFlag
}

// Help is the command's example.
func (benchRebuildCmd) Help() string {
	return `Fills a log with generated traffic and measures, in one run: reading it, reading and decoding it, the naive projector
(a KV get and a put an event), each view's rebuild, and all of them together.

Example:
  rollcall bench rebuild --events 1000000 --output json`
}

// rebuildResult is what the benchmark says of a way.
type rebuildResult struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"perSecond"`
	PeakBytes uint64  `json:"peakBytes"`
}

type rebuildReport struct {
	Results []rebuildResult    `json:"results"`
	Ratios  map[string]float64 `json:"ratios"`
}

// Run measures.
func (c *benchRebuildCmd) Run(a *app) (err error) {
	if c.Events < 1 || c.Naive < 1 {
		return usagef("--events and --naive must be above 0")
	}
	dir := c.Dir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "rollcall-bench-"); err != nil {
			return fmt.Errorf("make directory: %w", err)
		}
		defer func() { err = errors.Join(err, os.RemoveAll(dir)) }()
	}
	e, err := startEmbedded(a.ctx, embeddedConfig{dir: dir, log: a.log})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, e.stop()) }()
	nc, err := e.connect()
	if err != nil {
		return err
	}
	defer nc.Close()
	js, err := jetstream.New(nc)
	if err != nil {
		return fmt.Errorf("use JetStream: %w", err)
	}
	log, err := natslog.Open(a.ctx, js, natslog.Config{SyncAlways: true})
	if err != nil {
		return err
	}
	defer log.Close()
	if _, err := log.Import(a.ctx, generated(c.Events)); err != nil {
		return err
	}
	b := &rebuildBench{events: c.Events, naive: min(c.Naive, c.Events), js: js, log: log}
	if err := b.run(a); err != nil {
		return err
	}
	return c.report(a, b)
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

type rebuildBench struct {
	events, naive int
	js            jetstream.JetStream
	log           *natslog.Log
	results       []rebuildResult
}

// time measures how fast fn gets through n records, and the most memory that
// the process held meanwhile, its embedded server included.
func (b *rebuildBench) time(name string, n int, fn func() error) error {
	runtime.GC()
	var peak atomic.Uint64
	stop, stopped := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(stopped)
		tick := time.NewTicker(100 * time.Millisecond)
		defer tick.Stop()
		for {
			var m runtime.MemStats
			runtime.ReadMemStats(&m)
			peak.Store(max(peak.Load(), m.HeapInuse))
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
	b.results = append(b.results, rebuildResult{name, float64(int64(float64(n) / elapsed.Seconds())), peak.Load()})
	return nil
}

func (b *rebuildBench) run(a *app) error {
	read := func(fn func(*eventlog.Record)) func() error {
		return func() error {
			for r, err := range b.log.Read(a.ctx, eventlog.ReadOptions{}) {
				if err != nil {
					return err
				}
				fn(&r)
			}
			return nil
		}
	}
	if err := b.time("read", b.events, read(func(*eventlog.Record) {})); err != nil {
		return err
	}
	if err := b.time("read+decode", b.events, read(func(r *eventlog.Record) { eventlog.Decode(r) })); err != nil {
		return err
	}
	if err := b.time("naive", b.naive, func() error { return b.naiveProjector(a.ctx) }); err != nil {
		return err
	}
	store, err := viewstore.Open(a.ctx, b.js, viewstore.Config{Exclusive: true, Logger: a.log})
	if err != nil {
		return err
	}
	rebuild := func(ctx context.Context, fold eventlog.Fold, source projector.Source) error {
		_, err := projector.Rebuild(ctx, projector.RebuildConfig{Projection: fold, Source: source, Registry: store, Logger: a.log})
		return err
	}
	for _, fold := range allFolds() {
		if err := b.time(fold.Name(), b.events, func() error { return rebuild(a.ctx, fold, b.log) }); err != nil {
			return err
		}
	}
	for _, fold := range allFolds() { // a rebuild beside the retired ones would need room
		if _, err := projector.Drop(a.ctx, store, fold.Name(), fold.Version()); err != nil {
			return err
		}
	}
	source := projector.Share(b.log)
	return b.time("all", b.events, func() error {
		group, ctx := errgroup.WithContext(a.ctx)
		for _, fold := range allFolds() {
			group.Go(func() error { return rebuild(ctx, fold, source) })
		}
		return group.Wait()
	})
}

// naiveProjector is what one writes first: get the entity's value, fold, put.
func (b *rebuildBench) naiveProjector(ctx context.Context) error {
	kv, err := b.js.CreateKeyValue(ctx, jetstream.KeyValueConfig{Bucket: "naive"})
	if err != nil {
		return fmt.Errorf("create bucket: %w", err)
	}
	fold := allFolds()[0]
	for r, err := range b.log.Read(ctx, eventlog.ReadOptions{UpTo: eventlog.Seq(b.naive)}) {
		if err != nil {
			return err
		}
		ev := eventlog.Decode(&r)
		key := eventlog.EscapeID(fold.Key(&ev))
		if fold.Key(&ev) == "" {
			continue
		}
		entry, err := kv.Get(ctx, key)
		var value []byte
		switch {
		case err == nil:
			value = entry.Value()
		case !errors.Is(err, jetstream.ErrKeyNotFound):
			return err
		}
		if len(value) < 600 {
			value = append(value, r.Body[:min(len(r.Body), 600)]...)
		}
		if _, err := kv.Put(ctx, key, value); err != nil {
			return err
		}
	}
	return nil
}

func (c *benchRebuildCmd) report(a *app, b *rebuildBench) error {
	r := rebuildReport{Results: b.results, Ratios: map[string]float64{}}
	by := map[string]float64{}
	for _, x := range b.results {
		by[x.Name] = x.PerSecond
	}
	for _, x := range b.results {
		if x.Name == "read" || x.Name == "naive" || x.Name == "read+decode" {
			continue
		}
		r.Ratios[x.Name+"/read"] = round(x.PerSecond / by["read"])
		r.Ratios[x.Name+"/naive"] = round(x.PerSecond / by["naive"])
	}
	if c.Output == "json" {
		return printJSON(a.stdout, r)
	}
	g := &grid{columns: []string{"name", "perSecond", "peakBytes", "perRead", "perNaive"}}
	for _, x := range b.results {
		g.add(x.Name, x.PerSecond, x.PeakBytes, round(x.PerSecond/by["read"]), round(x.PerSecond/by["naive"]))
	}
	return c.print(a.stdout, g)
}
