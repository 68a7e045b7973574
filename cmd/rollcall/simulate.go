package main

import (
	"context"
	"errors"
	"io"
	"sync"
	"sync/atomic"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog/traffic"
)

// simulateCmd is `rollcall simulate`.
type simulateCmd struct {
	postFlags
	console.OutputFlag
	Seed        uint64        `help:"Seed of the traffic: the same seed makes the same deliveries." default:"1" placeholder:"N"`
	Sessions    int           `help:"Number of sessions." default:"100" placeholder:"N"`
	Rate        float64       `help:"Deliveries per second; 0 is as fast as it goes." default:"0" placeholder:"N"`
	Arrivals    float64       `help:"Sessions that start per minute of the meetings' own time." default:"6" placeholder:"N"`
	Length      time.Duration `help:"Median length of a session." default:"25m" placeholder:"DURATION"`
	People      float64       `help:"Median number of people in a session." default:"4" placeholder:"N"`
	Shuffle     bool          `help:"Post in random order."`
	Duplicates  float64       `help:"Share of deliveries that come twice, 0 to 1." default:"0" placeholder:"SHARE"`
	Lost        float64       `help:"Share of deliveries that never come, 0 to 1." default:"0" placeholder:"SHARE"`
	Noise       float64       `help:"Share of sessions with something malformed, 0 to 1." default:"0.03" placeholder:"SHARE"`
	Start       string        `help:"When the first session starts: a time like 2026-01-05T08:00:00Z, or now." default:"2026-01-05T08:00:00Z" placeholder:"TIME"`
	Connections int           `help:"Connections to post over." default:"16" placeholder:"N"`
}

// Help is the command's example.
func (simulateCmd) Help() string {
	return `Posts realistic traffic to an ingester: sessions of lognormal length, rejoins, two devices, recordings, livestreams,
all nine event types and three generations of payloads, with the delays, repeats and losses you ask for.

Example:
  rollcall simulate --key keys/private.pem --url http://127.0.0.1:8080/webhooks/test --seed 7 --sessions 500 --shuffle --duplicates 0.2`
}

// traffic checks the flags and makes them a traffic.Config.
func (c *simulateCmd) traffic() (traffic.Config, error) {
	for name, share := range map[string]float64{"duplicates": c.Duplicates, "lost": c.Lost, "noise": c.Noise} {
		if share < 0 || share > 1 {
			return traffic.Config{}, console.Usagef("--%s %v: want a share from 0 to 1", name, share)
		}
	}
	if c.Sessions < 1 || c.Connections < 1 || c.Rate < 0 || c.Arrivals <= 0 || c.Length <= 0 || c.People <= 0 {
		return traffic.Config{}, console.Usagef("--sessions, --connections, --arrivals, --length and --people must be above 0, --rate at least 0")
	}
	start := time.Now().UTC()
	if c.Start != "now" {
		t, err := time.Parse(time.RFC3339, c.Start)
		if err != nil {
			return traffic.Config{}, console.Usagef("--start %q: want now, or a time like 2026-01-05T08:00:00Z", c.Start)
		}
		start = t
	}
	cfg := traffic.Config{
		Seed: c.Seed, Sessions: c.Sessions, Start: start, SessionsPerMinute: c.Arrivals, MedianLength: c.Length,
		MedianParticipants: c.People, Duplicates: c.Duplicates, Lost: c.Lost, Noise: c.Noise, Shuffle: c.Shuffle,
	}
	if cfg.Noise == 0 {
		cfg.Noise = -1
	}
	return cfg, nil
}

// tally counts the answers.
type tally struct{ stored, duplicates, refused, failed atomic.Int64 }

// Run posts the traffic and prints a summary.
func (c *simulateCmd) Run(a *app) error {
	cfg, err := c.traffic()
	if err != nil {
		return err
	}
	p, err := c.poster(c.Connections)
	if err != nil {
		return err
	}
	defer p.Close()
	var t tally
	began := time.Now()
	err = c.post(a, cfg, p, &t)
	elapsed := time.Since(began)
	total := t.stored.Load() + t.duplicates.Load() + t.refused.Load() + t.failed.Load()
	g := &console.Grid{Columns: []string{"sessions", "deliveries", "stored", "duplicates", "refused", "failed", "elapsedSeconds", "perSecond"}}
	g.Add(c.Sessions, total, t.stored.Load(), t.duplicates.Load(), t.refused.Load(), t.failed.Load(),
		elapsed.Round(time.Millisecond).Seconds(), float64(int64(float64(total)/elapsed.Seconds()*10))/10)
	if perr := c.Print(a.Stdout, g); perr != nil {
		return perr
	}
	return a.Left(err, "%d deliveries were posted, and what was stored stays; the same --seed posts them again", total)
}

// limiter lets perSecond deliveries through; 0: any number.
func limiter(perSecond float64) *rate.Limiter {
	if perSecond > 0 {
		return rate.NewLimiter(rate.Limit(perSecond), max(1, int(perSecond/50)))
	}
	return rate.NewLimiter(rate.Inf, 1)
}

// post sends every delivery over a number of connections. It counts deliveries
// that a provider would give up on, and returns the first such error at the
// end.
func (c *simulateCmd) post(a *app, cfg traffic.Config, p *provider.Poster, t *tally) error {
	bar := newBar(a.Stderr, func() int { return traffic.Count(cfg) })
	defer bar.stop()
	limit := limiter(c.Rate)
	work := make(chan traffic.Delivery)
	group, ctx := errgroup.WithContext(a.Ctx)
	var first error
	var once sync.Once
	for range c.Connections {
		group.Go(func() error {
			for d := range work {
				err := count(ctx, p, d, t)
				bar.step()
				var refused *provider.RefusedError
				if err == nil {
					continue
				}
				once.Do(func() { first = err })
				if !errors.As(err, &refused) && t.stored.Load() == 0 {
					return hint(err, c.URL) // nobody is there at all
				}
			}
			return ctx.Err()
		})
	}
	group.Go(func() error {
		defer close(work)
		for d := range traffic.New(cfg) {
			if err := limit.Wait(ctx); err != nil {
				return err
			}
			select {
			case work <- d:
			case <-ctx.Done():
				return ctx.Err()
			}
		}
		return nil
	})
	if err := group.Wait(); err != nil {
		return err
	}
	if first != nil {
		return hint(first, c.URL)
	}
	return nil
}

func count(ctx context.Context, p *provider.Poster, d traffic.Delivery, t *tally) error {
	r, err := p.Post(ctx, d.Family(), d.Headers(), d.Body)
	var refused *provider.RefusedError
	switch {
	case err == nil && r.Duplicate:
		t.duplicates.Add(1)
	case err == nil:
		t.stored.Add(1)
	case errors.As(err, &refused):
		t.refused.Add(1)
	default:
		t.failed.Add(1)
	}
	return err
}

// bar is a progress bar on a terminal, and nothing elsewhere.
type bar struct {
	writer  progress.Writer
	tracker *progress.Tracker
	done    chan struct{}
}

func newBar(w io.Writer, total func() int) *bar {
	if !console.IsTerminal(w) {
		return &bar{}
	}
	b := &bar{writer: newProgress(w), tracker: &progress.Tracker{Message: "posting", Total: int64(total())}, done: make(chan struct{})}
	b.writer.AppendTracker(b.tracker)
	go func() {
		defer close(b.done)
		b.writer.Render()
	}()
	return b
}

func (b *bar) step() {
	if b.tracker != nil {
		b.tracker.Increment(1)
	}
}

func (b *bar) stop() {
	if b.writer != nil {
		b.writer.Stop()
		<-b.done
	}
}
