package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
	"rollcall/ingest"
)

const (
	benchRounds = 3
	benchTurns  = 10  // of each part in the measurement of single requests
	benchBodies = 64  // signed in advance: signing costs more than all the rest
	benchBody   = 600 // bytes, of a typical event
	// benchSameBody lets the bodies in however often they come: the limit on one
	// body is asked as in a real ingester, and never reached.
	benchSameBody = 1 << 20
	benchWorkers  = 64 // connections of the open loop
	// benchStage bounds the answer to one request.
	benchStage = 10 * time.Second
)

// benchIngestCmd is `rollcall bench ingest`.
type benchIngestCmd struct {
	Duration    time.Duration `help:"Measuring time of each part, over all rounds." default:"10s" placeholder:"DURATION"`
	Connections int           `help:"Connections of the throughput measurement." default:"256" placeholder:"N"`
	Rate        int           `help:"Requests a second of the latency measurement." default:"1000" placeholder:"N"`
	Dir         string        `help:"Directory for the logs, on the disk that is to be measured." default:"." type:"path" placeholder:"DIR"`
	console.OutputFlag
}

// Help is the command's example.
func (benchIngestCmd) Help() string {
	return `Measures the ingester over HTTP on this machine, load generator included, in four parts that take turns:
handler (signature and no log), durable (Rollcall: every 200 is fsynced), naive (one synchronous publish a request,
sync always), nosync (the same with sync off). Throughput is with many connections, latency at a fixed rate, counted from
when a request was due. Medians of three rounds.

Example:
  rollcall bench ingest --duration 30s --dir /var/lib`
}

// benchPart is one way to take a delivery.
type benchPart struct {
	name    string
	address string
	rounds  []benchRound
}

type benchRound struct{ perSecond, p50, p99, alone float64 }

// benchResult is a part's row in the JSON output.
type benchResult struct {
	Name      string  `json:"name"`
	PerSecond float64 `json:"perSecond"`
	P50Ms     float64 `json:"p50Ms"`
	P99Ms     float64 `json:"p99Ms"`
}

type benchReport struct {
	Results []benchResult `json:"results"`
	Ratios  benchRatios   `json:"ratios"`
}

// benchRatios compare the throughput of parts.
type benchRatios struct {
	Naive   float64 `json:"durable/naive"`
	Handler float64 `json:"durable/handler"`
}

// Run measures.
func (c *benchIngestCmd) Run(a *app) (err error) {
	if c.Duration < benchRounds*100*time.Millisecond || c.Connections < 1 || c.Rate < 1 {
		return console.Usagef("give a --duration of at least 300ms, and at least 1 for --connections and --rate")
	}
	dir, err := os.MkdirTemp(c.Dir, "rollcall-bench-")
	if err != nil {
		return fmt.Errorf("make directory: %w; check --dir", err)
	}
	ctx, cancel := context.WithCancel(a.Ctx)
	b := &bench{ctx: ctx, dir: dir}
	defer func() {
		cancel()
		err = a.Left(errors.Join(err, b.close(), os.RemoveAll(dir)), benchLeft)
	}()
	if err := b.start(); err != nil {
		return err
	}
	slice := c.Duration / benchRounds / 3
	for round := range benchRounds {
		if err := b.measureAlone(slice); err != nil {
			return err
		}
		for _, p := range b.parts {
			fmt.Fprintf(a.Stderr, "round %d of %d: %s\n", round+1, benchRounds, p.name)
			if err := b.measure(p, *c, slice); err != nil {
				return fmt.Errorf("%s: %w", p.name, err)
			}
		}
	}
	return c.print(a, b.parts)
}

func (c *benchIngestCmd) print(a *app, parts []*benchPart) error {
	of := map[string]benchRound{}
	report := benchReport{}
	g := &console.Grid{Columns: []string{"name", "perSecond", "p50Ms", "p99Ms", "aloneMs"}}
	for _, p := range parts {
		m := p.median()
		of[p.name] = m
		report.Results = append(report.Results, benchResult{p.name, m.perSecond, m.p50, m.p99})
		g.Add(p.name, m.perSecond, m.p50, m.p99, m.alone)
	}
	ratio := func(y string) float64 { return of["durable"].perSecond / of[y].perSecond }
	report.Ratios = benchRatios{ratio("naive"), ratio("handler")}
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

func (p *benchPart) median() (m benchRound) {
	of := func(f func(benchRound) float64) float64 {
		var values []float64
		for _, r := range p.rounds {
			values = append(values, f(r))
		}
		slices.Sort(values)
		return values[len(values)/2]
	}
	return benchRound{
		of(func(r benchRound) float64 { return r.perSecond }), of(func(r benchRound) float64 { return r.p50 }),
		of(func(r benchRound) float64 { return r.p99 }), of(func(r benchRound) float64 { return r.alone }),
	}
}

// bench is what runs while it measures.
type bench struct {
	ctx     context.Context
	dir     string
	parts   []*benchPart
	bodies  []benchDelivery
	next    atomic.Uint64 // makes delivery uuids
	closers []func() error
	serving sync.WaitGroup
}

type benchDelivery struct{ body, signature string }

func (b *bench) close() (err error) {
	b.serving.Wait()
	for _, f := range slices.Backward(b.closers) {
		err = errors.Join(err, f())
	}
	return err
}

func (b *bench) start() error {
	key, err := provider.NewKey()
	if err != nil {
		return err
	}
	public, err := key.Public()
	if err != nil {
		return err
	}
	keyPath := filepath.Join(b.dir, "public.pem")
	if err := os.WriteFile(keyPath, public, 0o600); err != nil {
		return fmt.Errorf("write key: %w", err)
	}
	for i := range benchBodies {
		body := fmt.Sprintf(`{"event":"meeting.participantJoined","meeting":{"id":"m%d","sessionId":"s%d"},"participant":{"peerId":"p%d"},"padding":"`, i%8, i, i)
		body += strings.Repeat("x", benchBody-len(body)-2) + `"}`
		signature, err := key.Sign([]byte(body))
		if err != nil {
			return err
		}
		b.bodies = append(b.bodies, benchDelivery{body, signature})
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
// to without ado.
func (b *bench) log(name string) (ingest.Appender, error) {
	if name == "handler" {
		return new(noLog), nil
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
	if !s.ReadyForConnections(benchStage) {
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
		if _, err := natslog.Open(b.ctx, js, config); err != nil {
			return nil, err
		}
		config.StoreDir = opts.StoreDir
	}
	log, err := natslog.Open(b.ctx, js, config)
	if err != nil || name == "durable" {
		return log, err
	}
	return plainPublish{js}, nil
}

// noLog stores nothing.
type noLog struct{ last atomic.Uint64 }

func (l *noLog) Append(_ context.Context, r *eventlog.Record) (eventlog.Appended, error) {
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

func (b *bench) serve(name, keyPath string, log ingest.Appender) error {
	h, err := ingest.New(ingest.Config{
		Log: log, SameBody: benchSameBody,
		Sources: []ingest.Source{{Name: "bench", Scheme: ingest.SchemeRSA, Key: keyPath}},
	})
	if err != nil {
		return err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	b.serving.Go(func() { _ = ingest.Serve(b.ctx, l, h, ingest.ServerConfig{Drain: time.Second}) })
	b.parts = append(b.parts, &benchPart{name: name, address: l.Addr().String()})
	return nil
}

// measureAlone begins a round: one request at a time. The parts take turns in
// short pieces, before the load that they then bring leaves much to write back.
func (b *bench) measureAlone(slice time.Duration) error {
	sums := make([]*hdrhistogram.Histogram, len(b.parts))
	for range benchTurns {
		for i, p := range b.parts {
			_, h, err := b.closedLoop(p.address, 1, slice/benchTurns)
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
		p.rounds = append(p.rounds, benchRound{alone: float64(sums[i].ValueAtQuantile(50)) / 1000})
	}
	return nil
}

// measure goes on with the round of a part: many connections, a fixed rate.
func (b *bench) measure(p *benchPart, c benchIngestCmd, slice time.Duration) error {
	r := &p.rounds[len(p.rounds)-1]
	count, _, err := b.closedLoop(p.address, c.Connections, slice)
	if err != nil {
		return err
	}
	r.perSecond = float64(count) / slice.Seconds()
	latency, err := b.openLoop(p.address, c.Rate, slice)
	if err != nil {
		return err
	}
	r.p50, r.p99 = float64(latency.ValueAtQuantile(50))/1000, float64(latency.ValueAtQuantile(99))/1000
	return nil
}

func newHistogram() *hdrhistogram.Histogram {
	return hdrhistogram.New(1, benchStage.Microseconds(), 3) // µs
}

// closedLoop has each connection send as soon as it was answered.
func (b *bench) closedLoop(address string, connections int, d time.Duration) (int64, *hdrhistogram.Histogram, error) {
	end := time.Now().Add(d)
	return b.drive(address, connections, func(c *benchClient, h *hdrhistogram.Histogram) (int64, error) {
		n := int64(0)
		for {
			began := time.Now()
			if began.After(end) || b.ctx.Err() != nil {
				return n, b.ctx.Err()
			}
			if err := c.post(b); err != nil {
				return n, err
			}
			_ = h.RecordValue(time.Since(began).Microseconds())
			n++
		}
	})
}

// openLoop sends at fixed times, whether or not the earlier ones were answered,
// and counts from when a request was due: no coordinated omission.
func (b *bench) openLoop(address string, rate int, d time.Duration) (*hdrhistogram.Histogram, error) {
	began := time.Now()
	total := int64(d.Seconds() * float64(rate))
	var next atomic.Int64
	_, h, err := b.drive(address, min(benchWorkers, rate), func(c *benchClient, h *hdrhistogram.Histogram) (int64, error) {
		for i := next.Add(1) - 1; i < total; i = next.Add(1) - 1 {
			due := began.Add(time.Duration(i) * time.Second / time.Duration(rate))
			if err := wire.Pause(b.ctx, time.Until(due)); err != nil {
				return 0, err
			}
			if err := c.post(b); err != nil {
				return 0, err
			}
			_ = h.RecordValue(min(time.Since(due), benchStage).Microseconds())
		}
		return 0, nil
	})
	return h, err
}

// drive runs work on as many connections, and adds up.
func (b *bench) drive(address string, connections int, work func(*benchClient, *hdrhistogram.Histogram) (int64, error)) (int64, *hdrhistogram.Histogram, error) {
	var mu sync.Mutex
	var wg sync.WaitGroup
	var all error
	var count int64
	sum := newHistogram()
	for range connections {
		client, err := dialBench(b.ctx, address)
		if err != nil {
			all = errors.Join(all, err)
			break
		}
		wg.Go(func() {
			defer client.conn.Close()
			h := newHistogram()
			n, err := work(client, h)
			mu.Lock()
			defer mu.Unlock()
			count += n
			sum.Merge(h)
			if err != nil && all == nil {
				all = err
			}
		})
	}
	wg.Wait()
	return count, sum, all
}

// benchClient is a keep-alive connection that costs as little as it can: the
// load generator shares the machine with what it measures.
type benchClient struct {
	conn net.Conn
	in   *bufio.Reader
	out  []byte
}

func dialBench(ctx context.Context, address string) (*benchClient, error) {
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", address)
	if err != nil {
		return nil, err
	}
	return &benchClient{conn: conn, in: bufio.NewReaderSize(conn, 1024)}, nil
}

// post sends a delivery that nobody sent before.
func (c *benchClient) post(b *bench) error {
	d := b.bodies[rand.IntN(len(b.bodies))]
	c.out = append(c.out[:0], "POST /webhooks/bench HTTP/1.1\r\nHost: bench\r\nContent-Type: application/json\r\nDyte-Uuid: u"...)
	c.out = strconv.AppendUint(c.out, b.next.Add(1), 10)
	c.out = append(c.out, "\r\nDyte-Signature: "...)
	c.out = append(c.out, d.signature...)
	c.out = append(c.out, "\r\nContent-Length: "...)
	c.out = strconv.AppendInt(c.out, int64(len(d.body)), 10)
	c.out = append(c.out, "\r\n\r\n"...)
	c.out = append(c.out, d.body...)
	if err := c.conn.SetDeadline(time.Now().Add(benchStage)); err != nil {
		return err
	}
	if _, err := c.conn.Write(c.out); err != nil {
		return err
	}
	return c.answer()
}

// answer reads a response, which must be a 200.
func (c *benchClient) answer() error {
	length := 0
	for n := 0; ; n++ {
		line, err := c.in.ReadSlice('\n')
		if err != nil {
			return err
		}
		text := strings.TrimRight(string(line), "\r\n")
		switch {
		case n == 0 && !strings.HasPrefix(text, "HTTP/1.1 200"):
			return fmt.Errorf("answer is %q", text)
		case text == "":
			_, err := io.CopyN(io.Discard, c.in, int64(length))
			return err
		}
		if value, ok := strings.CutPrefix(text, "Content-Length: "); ok {
			if length, err = strconv.Atoi(value); err != nil {
				return err
			}
		}
	}
}
