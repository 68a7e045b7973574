package bench

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/provider"
	"rollcall/eventlog/wire"
)

// Latency measures how long it takes from a webhook to its effect in the views.
type Latency struct {
	Rate   int    // webhooks per second
	Events int    // webhooks until their view is seen
	Reads  int    // webhooks whose effect is read with minSequence
	Dir    string // directory for the data, on the disk to measure; temporary by default
	console.OutputFlag
}

// latencyResult is one of the benchmark's measurements.
type latencyResult struct {
	Name  string  `json:"name"`
	Count int64   `json:"count"`
	P50Ms float64 `json:"p50Ms"`
	P99Ms float64 `json:"p99Ms"`
	MaxMs float64 `json:"maxMs"`
}

// Run measures, and prints what it found.
func (c *Latency) Run(a *console.IO) error {
	if c.Rate < 1 || c.Events < 1 || c.Reads < 1 {
		return console.Usagef("give at least 1 for --rate, --events and --reads")
	}
	return inDir(a, c.Dir, func(dir string) error { return c.measure(a, dir) })
}

// measure measures in a directory.
func (c *Latency) measure(a *console.IO, dir string) (err error) {
	b := &latencyBench{dir: dir, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: workers}}}
	stop, err := b.start(a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	visible, err := b.visible(a.Ctx, c.Rate, c.Events)
	if err != nil {
		return err
	}
	webhook, read, both, err := b.readOwnWrites(a.Ctx, c.Reads)
	if err != nil {
		return err
	}
	var results []latencyResult
	for _, r := range []struct {
		name string
		h    *hdrhistogram.Histogram
	}{{"visible", visible}, {"webhook", webhook}, {"read", read}, {"both", both}} {
		ms := func(us int64) float64 { return float64(us) / 1000 }
		results = append(results, latencyResult{
			r.name, r.h.TotalCount(), ms(r.h.ValueAtQuantile(50)), ms(r.h.ValueAtQuantile(99)), ms(r.h.Max()),
		})
	}
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, map[string]any{"results": results})
	}
	g := &console.Grid{Columns: []string{"name", "count", "p50Ms", "p99Ms", "maxMs"}}
	for _, r := range results {
		g.Add(r.Name, r.Count, r.P50Ms, r.P99Ms, r.MaxMs)
	}
	return c.Print(a.Stdout, g)
}

// served are the addresses in the ready file of the program that is measured.
type served struct {
	Ingest string `json:"ingest"`
	API    string `json:"api"`
	NATS   string `json:"nats"`
}

// latencyBench posts to a `rollcall serve` and looks at its views.
type latencyBench struct {
	dir string
	// program is what is run; "": this one.
	program string
	key     provider.Key
	at      served
	http    http.Client
}

// start starts the program. stop ends it as a supervisor does.
func (b *latencyBench) start(a *console.IO) (stop func() error, err error) {
	var keyFile string
	if b.key, keyFile, err = newKey(b.dir); err != nil {
		return nil, err
	}
	readyFile := filepath.Join(b.dir, "ready.json")
	program, err := b.executable()
	if err != nil {
		return nil, err
	}
	const free = "127.0.0.1:0"
	cmd := exec.CommandContext(a.Ctx, program, "serve", "--data-dir", filepath.Join(b.dir, "data"), "--source", "bench=rsa:"+keyFile, //nolint:gosec // this very program
		"--ingest-addr", free, "--api-addr", free, "--admin-addr", free, "--nats-listen", free, "--ready-file", readyFile, "--log-level", "error")
	cmd.Args[0] = os.Args[0]
	cmd.Stderr = a.Stderr
	if err := cmd.Start(); err != nil {
		return nil, fmt.Errorf("start rollcall serve: %w", err)
	}
	stop = func() error {
		return errors.Join(cmd.Process.Signal(syscall.SIGTERM), cmd.Wait())
	}
	ctx, cancel := context.WithTimeout(a.Ctx, time.Minute)
	defer cancel()
	for {
		if ready, err := os.ReadFile(readyFile); err == nil && json.Unmarshal(ready, &b.at) == nil {
			return stop, nil
		}
		if err := wire.Pause(ctx, 20*time.Millisecond); err != nil {
			return nil, errors.Join(fmt.Errorf("wait for rollcall serve: %w", err), stop())
		}
	}
}

// executable is the program that is measured.
func (b *latencyBench) executable() (string, error) {
	if b.program != "" {
		return b.program, nil
	}
	return thisProgram()
}

// joined is a webhook that makes one key of view attendance: session.peer.
func joined(session, peer string) []byte {
	return fmt.Appendf(nil, `{"event":"meeting.participantJoined","meeting":{"id":"m-%s","sessionId":"%s","title":"Bench"},"participant":{"peerId":"%s","userDisplayName":"Guest","joinedAt":"2026-01-01T10:00:00Z"}}`,
		session, session, peer)
}

// webhook is a signed delivery: signing takes the sender longer than all the rest.
func (b *latencyBench) webhook(ctx context.Context, body []byte, delivery string) (*http.Request, error) {
	signature, err := b.key.Sign(body)
	if err != nil {
		return nil, err
	}
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, "http://"+b.at.Ingest+"/webhooks/bench", bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	r.Header.Set("Content-Type", "application/json")
	r.Header.Set("Dyte-Signature", signature)
	r.Header.Set("Dyte-Uuid", delivery)
	r.Header["Idempotency-Key"] = nil // not sent; the client may try again on another connection
	return r, nil
}

// do returns what a request that must succeed was answered.
func (b *latencyBench) do(r *http.Request) (http.Header, []byte, error) {
	resp, err := b.http.Do(r)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return nil, nil, err
	}
	if resp.StatusCode != http.StatusOK {
		return nil, nil, fmt.Errorf("answer is %s: %.200s", resp.Status, body)
	}
	return resp.Header, body, nil
}

// latencySessions is over how many sessions the webhooks are spread.
const latencySessions = 50

// visible posts at fixed times and waits for each key at a watcher.
func (b *latencyBench) visible(ctx context.Context, rate, events int) (*hdrhistogram.Histogram, error) {
	ctx, cancel := context.WithTimeout(ctx, time.Duration(events/rate)*time.Second+time.Minute)
	defer cancel()
	watcher, closeAll, err := b.watch(ctx)
	if err != nil {
		return nil, err
	}
	defer closeAll()

	answered := make([]atomic.Int64, events) // unix µs of the 200
	seen := make([]atomic.Int64, events)     // and of the change
	errs := make(chan error, 1)
	fail := func(err error) {
		select {
		case errs <- err:
		default:
		}
		cancel()
	}
	var posting sync.WaitGroup
	posting.Go(func() {
		began := time.Now()
		for i := range events {
			if wire.Pause(ctx, time.Until(began.Add(time.Duration(i)*time.Second/time.Duration(rate)))) != nil {
				return
			}
			posting.Go(func() {
				n := strconv.Itoa(i)
				r, err := b.webhook(ctx, joined("s"+strconv.Itoa(i%latencySessions), n), "visible-"+n)
				if err == nil {
					_, _, err = b.do(r)
				}
				if err != nil {
					fail(fmt.Errorf("post webhook: %w", err))
					return
				}
				answered[i].Store(time.Now().UnixMicro())
			})
		}
	})
	for left := events; left > 0; {
		select {
		case e := <-watcher.Updates():
			if e == nil {
				continue
			}
			_, peer, _ := bytes.Cut([]byte(e.Key()), []byte{'.'})
			if i, err := strconv.Atoi(string(peer)); err == nil && i < events && seen[i].CompareAndSwap(0, time.Now().UnixMicro()) {
				left--
			}
		case <-ctx.Done():
			posting.Wait()
			select {
			case err := <-errs:
				return nil, err
			default:
				return nil, fmt.Errorf("%d of %d webhooks not seen in the view: %w", left, events, ctx.Err())
			}
		}
	}
	posting.Wait()
	h := newHistogram()
	for i := range events {
		// Seen before its 200 had come through is seen at once.
		_ = h.RecordValue(max(0, min(seen[i].Load()-answered[i].Load(), requestTimeout.Microseconds())))
	}
	return h, nil
}

// watch follows view attendance as another service would: as a KV bucket, over
// TCP, without credentials.
func (b *latencyBench) watch(ctx context.Context) (jetstream.KeyWatcher, func(), error) {
	nc, err := nats.Connect(b.at.NATS)
	if err != nil {
		return nil, nil, fmt.Errorf("connect to %s: %w", b.at.NATS, err)
	}
	watcher, err := watchAttendance(ctx, nc)
	if err != nil {
		nc.Close()
		return nil, nil, fmt.Errorf("watch view attendance: %w", err)
	}
	return watcher, func() { _ = watcher.Stop(); nc.Close() }, nil
}

func watchAttendance(ctx context.Context, nc *nats.Conn) (jetstream.KeyWatcher, error) {
	js, err := jetstream.New(nc)
	if err != nil {
		return nil, err
	}
	for { // the projector makes the view when it starts
		kv, err := js.KeyValue(ctx, "attendance_g1")
		if err == nil {
			return kv.WatchAll(ctx, jetstream.UpdatesOnly())
		}
		if !errors.Is(err, jetstream.ErrBucketNotFound) {
			return nil, err
		}
		if err := wire.Pause(ctx, 50*time.Millisecond); err != nil {
			return nil, err
		}
	}
}

// readOwnWrites posts a webhook and reads its effect, again and again.
func (b *latencyBench) readOwnWrites(ctx context.Context, reads int) (webhook, read, both *hdrhistogram.Histogram, err error) {
	webhook, read, both = newHistogram(), newHistogram(), newHistogram()
	for i := range reads {
		session := "own" + strconv.Itoa(i%latencySessions)
		r, err := b.webhook(ctx, joined(session, "own-"+strconv.Itoa(i)), "own-"+strconv.Itoa(i))
		if err != nil {
			return nil, nil, nil, err
		}
		began := time.Now()
		answer, _, err := b.do(r)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("post webhook: %w", err)
		}
		posted, sequence := time.Now(), answer.Get("Rollcall-Sequence")
		r, err = http.NewRequestWithContext(ctx, http.MethodGet, "http://"+b.at.API+"/v1/sessions/"+session+"?wait=10s&minSequence="+sequence, nil)
		if err != nil {
			return nil, nil, nil, err
		}
		_, body, err := b.do(r)
		if err != nil {
			return nil, nil, nil, fmt.Errorf("read session: %w", err)
		}
		now := time.Now()
		var doc struct{ Connections int }
		if err := json.Unmarshal(body, &doc); err != nil || doc.Connections != i/latencySessions+1 {
			return nil, nil, nil, fmt.Errorf("session %s after sequence %s: connections = %d, %w; want %d", session, sequence, doc.Connections, err, i/latencySessions+1)
		}
		_ = webhook.RecordValue(posted.Sub(began).Microseconds())
		_ = read.RecordValue(now.Sub(posted).Microseconds())
		_ = both.RecordValue(now.Sub(began).Microseconds())
	}
	return webhook, read, both, nil
}
