package bench

import (
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/ingest"
)

const (
	ingestRounds = 3
	ingestTurns  = 10 // of each part in the measurement of single requests
	// sameBody lets the bodies in however often they come: the limit on one
	// body is asked as in a real ingester, and never reached.
	sameBody = 1 << 20
	workers  = 64 // connections of the open loop
	// requestTimeout bounds the answer to one request.
	requestTimeout = 10 * time.Second
)

// Bodies is how many bodies are signed in advance: signing costs more than all the rest.
// BodyBytes is the size of a typical event.
const (
	Bodies    = 64
	BodyBytes = 600
)

// Ingest measures the ingester over HTTP: throughput with many connections, latency at a
// fixed rate, in parts that take turns.
type Ingest struct {
	Duration    time.Duration // measuring time of each part, over all rounds
	Connections int           // connections of the throughput measurement
	Rate        int           // requests per second of the latency measurement
	Dir         string        // directory for the logs, on the disk that is to be measured
	console.OutputFlag
}

// ingestPart is one way to take a delivery.
type ingestPart struct {
	name    string
	address string
	rounds  []ingestRound
}

type ingestRound struct{ perSecond, p50, p99, alone float64 }

// ingestResult is a part's row in the JSON output.
type ingestResult struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
}

// ingestReport is the JSON output.
type ingestReport struct {
	Results []ingestResult `json:"results"`
	Ratios  ingestRatios   `json:"ratios"`
}

// ingestRatios compare the throughput of parts.
type ingestRatios struct {
	Naive   float64 `json:"durable/naive"`
	Handler float64 `json:"durable/handler"`
}

// Run measures, and prints what it found.
func (c *Ingest) Run(a *console.IO) error {
	if c.Duration < ingestRounds*100*time.Millisecond || c.Connections < 1 || c.Rate < 1 {
		return console.Usagef("give a --duration of at least 300ms, and at least 1 for --connections and --rate")
	}
	return inDir(a, c.Dir, func(dir string) error { return c.measure(a, dir) })
}

// measure measures in a directory.
func (c *Ingest) measure(a *console.IO, dir string) (err error) {
	ctx, cancel := context.WithCancel(a.Ctx)
	b := &ingestBench{Load: Load{Ctx: ctx}, dir: dir}
	defer func() {
		cancel()
		err = errors.Join(err, b.close())
	}()
	if err := b.start(); err != nil {
		return err
	}
	slice := c.Duration / ingestRounds / 3
	for round := range ingestRounds {
		if err := b.measureAlone(slice); err != nil {
			return err
		}
		for _, p := range b.parts {
			fmt.Fprintf(a.Stderr, "round %d of %d: %s\n", round+1, ingestRounds, p.name)
			if err := b.measure(p, *c, slice); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return c.print(a, b.parts)
}

func (c *Ingest) print(a *console.IO, parts []*ingestPart) error {
	of := map[string]ingestRound{}
	report := ingestReport{}
	g := &console.Grid{Columns: []string{"name", "perSecond", "p50Ms", "p99Ms", "aloneMs"}}
	for _, p := range parts {
		m := p.median()
		of[p.name] = m
		report.Results = append(report.Results, ingestResult{p.name, m.perSecond, m.p50, m.p99})
		g.Add(p.name, m.perSecond, m.p50, m.p99, m.alone)
	}
	ratio := func(y string) float64 { return of["durable"].perSecond / of[y].perSecond }
	report.Ratios = ingestRatios{ratio("naive"), ratio("handler")}
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, report)
	}
	if err := c.OutputFlag.Print(a.Stdout, g); err != nil || c.Output == "csv" {
		return err
	}
	fmt.Fprintf(a.Stdout, "\ndurable/naive %.2f   durable/handler %.2f   durable/nosync %.2f   alone: durable/naive %.2f\n",
		ratio("naive"), ratio("handler"), ratio("nosync"), of["durable"].alone/of["naive"].alone)
	return nil
}

func (p *ingestPart) median() (m ingestRound) {
	of := func(f func(ingestRound) float64) float64 {
		var values []float64
		for _, r := range p.rounds {
			values = append(values, f(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return ingestRound{
		of(func(r ingestRound) float64 { return r.perSecond }), of(func(r ingestRound) float64 { return r.p50 }),
		of(func(r ingestRound) float64 { return r.p99 }), of(func(r ingestRound) float64 { return r.alone }),
	}
}

// ingestBench is what runs while it measures.
type ingestBench struct {
	Load
	dir     string
	parts   []*ingestPart
	closers []func() error
	serving sync.WaitGroup
}

func (b *ingestBench) close() (err error) {
	b.serving.Wait()
	for _, f := range slices.Backward(b.closers) {
		err = errors.Join(err, f())
	}
	return err
}

func (b *ingestBench) start() error {
	key, keyPath, err := newKey(b.dir)
	if err != nil {
		return err
	}
	for i := range Bodies {
		body := fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":"m%d","sessionId":"s%d"},"participant":{"peerId":"p%d"},"padding":"`, i%8, i, i)
		body += strings.Repeat("x", BodyBytes-len(body)-2) + `"}`
		signature, err := key.Sign([]byte(body))
		if err != nil {
			return err
		}
		b.Bodies = append(b.Bodies, Delivery{body, signature})
	}
	for _, name := range []string{"handler", "durable", "naive", "nosync"} {
		log, err := b.log(name)
		if err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
		if err := b.serve(name, keyPath, log); err != nil {
			return fmt.Errorf("start %s: %w", name, err)
		}
	}
	return nil
}

// log opens the log of a part: none, Rollcall's, or a stream that is published
// to directly.
func (b *ingestBench) log(name string) (ingest.Appender, error) {
	if name == "handler" {
		return new(discard), nil
	}
	opts := &server.Options{
		ServerName: name, DontListen: true, JetStream: true, StoreDir: filepath.Join(b.dir, name), NoSigs: true, NoLog: true,
		SyncAlways: name == "naive", SyncInterval: time.Second,
	}
	s, err := server.NewServer(opts)
	if err != nil {
		return nil, err
	}
	s.Start()
	b.closers = append(b.closers, func() error { s.Shutdown(); s.WaitForShutdown(); return nil })
	if !s.ReadyForConnections(requestTimeout) {
		return nil, errors.New("the server is not ready")
	}
	nc, err := nats.Connect("", nats.InProcessServer(s))
	if err != nil {
		return nil, err
	}
	b.closers = append(b.closers, func() error { nc.Close(); return nil })
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	config := natslog.Config{}
	if name == "durable" {
		// The stream's directory must be there before its files can be synced.
		if _, err := natslog.Open(b.Ctx, js, config); err != nil {
			return nil, err
		}
		config.StoreDir = opts.StoreDir
	}
	log, err := natslog.Open(b.Ctx, js, config)
	if err != nil || name == "durable" {
		return log, err
	}
	return plainPublish{js}, nil
}

// discard stores nothing.
type discard struct{ last atomic.Uint64 }

func (l *discard) Append(_ context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	return eventlog.Appended{Seq: eventlog.Seq(l.last.Add(1)), EventID: r.EventID}, nil
}

// plainPublish is the naive way: one synchronous publish a request.
type plainPublish struct{ js jetstream.JetStream }

func (p plainPublish) Append(ctx context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	m := natslog.Message(r)
	ack, err := p.js.PublishMsg(ctx, m)
	if err != nil {
		return eventlog.Appended{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	return eventlog.Appended{Seq: eventlog.Seq(ack.Sequence), EventID: r.EventID, Duplicate: ack.Duplicate}, nil
}

func (b *ingestBench) serve(name, keyPath string, log ingest.Appender) error {
	h, err := ingest.New(ingest.Config{
		Log: log, SameBody: sameBody,
		Sources: []ingest.Source{{Name: "bench", Scheme: ingest.SchemeRSA, Key: keyPath}},
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.serving.Go(func() { _ = ingest.Serve(b.Ctx, l, h, ingest.ServerConfig{Drain: time.Second}) })
	b.parts = append(b.parts, &ingestPart{name: name, address: l.Addr().String()})
	return nil
}

// measureAlone begins a round: one request at a time. The parts take turns in
// short pieces, before the load that they then bring leaves much to write back.
func (b *ingestBench) measureAlone(slice time.Duration) error {
	sums := make([]*hdrhistogram.Histogram, len(b.parts))
	for range ingestTurns {
		for i, p := range b.parts {
			_, h, err := b.closedLoop(p.address, 1, slice/ingestTurns)
			if err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
			if sums[i] == nil {
				sums[i] = newHistogram()
			}
			sums[i].Merge(h)
		}
	}
	for i, p := range b.parts {
		p.rounds = append(p.rounds, ingestRound{alone: float64(sums[i].ValueAtQuantile(50)) / 1000})
	}
	return nil
}

// measure goes on with the round of a part: many connections, a fixed rate.
func (b *ingestBench) measure(p *ingestPart, c Ingest, slice time.Duration) error {
	r := &p.rounds[len(p.rounds)-1]
	count, _, err := b.closedLoop(p.address, c.Connections, slice)
	if err != nil {
		return err
	}
	r.perSecond = float64(count) / slice.Seconds()
	latency, err := b.OpenLoop(p.address, c.Rate, slice)
	if err != nil {
		return err
	}
	r.p50, r.p99 = float64(latency.ValueAtQuantile(50))/1000, float64(latency.ValueAtQuantile(99))/1000
	return nil
}
