package bench

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"
	"github.com/oklog/ulid/v2"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/eventlog/wire"
)

// Readers measures how long webhooks wait while others read, flood, rebuild and verify.
type Readers struct {
	Rate     int           // webhooks per second
	Duration time.Duration // how long each row is measured
	Records  int           // records in the log before it begins; a fifth of them are of one session
	Feeds    int           // clients of the change feed
	Slow     int           // connections that send one byte of a body
	Rows     string        // regular expression of the rows to measure
	Serve    string        // program whose serve is measured; this one by default
	Dir      string        // directory for the data, on the disk to measure; temporary by default
	console.OutputFlag
}

// readersRow is what was measured beside one load.
type readersRow struct {
	name string
	h    *hdrhistogram.Histogram
	// refused counts webhooks without a 200; ok and others the load's own answers.
	refused, ok, others int64
}

// Run measures, and prints what it found.
func (c *Readers) Run(a *console.IO) error {
	if c.Rate < 1 || c.Duration < time.Second || c.Records < 1 || c.Feeds < 1 || c.Slow < 1 {
		return console.Usagef("give at least 1 for --rate, --records, --feeds and --slow, and 1s for --duration")
	}
	rows, err := regexp.Compile(c.Rows)
	if err != nil {
		return console.Usagef("--rows: %w", err)
	}
	return inDir(a, c.Dir, func(dir string) error { return c.measure(a, dir, rows) })
}

// measure measures the rows in a directory.
func (c *Readers) measure(a *console.IO, dir string, rows *regexp.Regexp) (err error) {
	b := &readersBench{latencyBench: &latencyBench{dir: dir, program: c.Serve, http: http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 256}}}, cmd: c, stderr: a.Stderr}
	stop, err := b.start(a)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, stop()) }()
	if err := b.fill(a.Ctx); err != nil {
		return err
	}
	g := &console.Grid{Columns: []string{"while", "webhooks", "p50Ms", "p99Ms", "maxMs", "refused", "loadAnswers", "loadRefusals"}}
	for _, load := range b.loads() {
		if !rows.MatchString(load.name) {
			continue
		}
		r, err := b.beside(a.Ctx, load)
		if err != nil {
			return err
		}
		ms := func(us int64) float64 { return float64(us) / 1000 }
		g.Add(r.name, r.h.TotalCount(), ms(r.h.ValueAtQuantile(50)), ms(r.h.ValueAtQuantile(99)), ms(r.h.Max()), r.refused, r.ok, r.others)
		fmt.Fprintf(a.Stderr, "%s: p50 %.1f ms, p99 %.1f ms, max %.1f ms\n", r.name, ms(r.h.ValueAtQuantile(50)), ms(r.h.ValueAtQuantile(99)), ms(r.h.Max()))
	}
	return c.Print(a.Stdout, g)
}

// readersBench is a serve with a full log, and what is done to it.
type readersBench struct {
	*latencyBench
	cmd    *Readers
	stderr io.Writer
	posted atomic.Int64
}

// bigSession has a fifth of the records.
const bigSession = "big"

// fill imports the records and waits until the views hold them.
func (b *readersBench) fill(ctx context.Context) error {
	path := filepath.Join(b.dir, "records.ndjson")
	if err := b.writeRecords(path); err != nil {
		return err
	}
	if err := b.command(ctx, "events", "import", path); err != nil {
		return err
	}
	for {
		url := "http://" + b.at.API + "/v1/sessions?wait=30s&limit=1&minSequence=" + strconv.Itoa(b.cmd.Records)
		code, err := b.get(ctx, url)
		if err != nil {
			return err
		}
		if code == http.StatusOK {
			return nil
		}
	}
}

func (b *readersBench) writeRecords(path string) (err error) {
	f, err := os.Create(path)
	if err != nil {
		return fmt.Errorf("write records: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }()
	w := bufio.NewWriter(f)
	begin := time.Date(2026, 1, 1, 10, 0, 0, 0, time.UTC)
	types := []string{"meeting.participantJoined", "meeting.started", "meeting.participantLeft"}
	var line []byte
	for i := range b.cmd.Records {
		session := "s" + strconv.Itoa(i%2000)
		if i%5 == 0 {
			session = bigSession
		}
		at := begin.Add(time.Duration(i) * time.Second)
		r := eventlog.Record{Source: "bench", Type: types[i%len(types)], ReceivedAt: eventlog.TimeOf(at)}
		var id ulid.ULID
		_ = id.SetTime(ulid.Timestamp(at)) // fails for years beyond 10889
		copy(id[6:], fmt.Sprintf("%010d", i))
		r.EventID = id.String()
		r.Body = fmt.Appendf(nil, `{"event":"%s","meeting":{"id":"m-%s","sessionId":"%[2]s","title":"Bench %[2]s","roomName":"abcdef-ghijkl","status":"LIVE","organizedBy":{"id":"c3f2df87-b861-4229-9690-4d1727c1ebde","name":"Organization"}},"participant":{"peerId":"p%d","userDisplayName":"Guest %[3]d","customParticipantId":"c%[3]d","joinedAt":"%[4]s"}}`,
			r.Type, session, i, at.Format(time.RFC3339))
		if line, err = natslog.AppendNDJSON(line[:0], &r); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
		if _, err := w.Write(line); err != nil {
			return fmt.Errorf("write records: %w", err)
		}
	}
	return w.Flush()
}

// command runs a command of the program that is measured.
func (b *readersBench) command(ctx context.Context, args ...string) error {
	program, err := b.executable()
	if err != nil {
		return err
	}
	cmd := exec.CommandContext(ctx, program, append(args, "--nats-url", b.at.NATS)...) //nolint:gosec // the program that is measured
	out, err := cmd.CombinedOutput()
	if err != nil && ctx.Err() == nil {
		return fmt.Errorf("run %s: %w: %.500s", args[0], err, out)
	}
	return ctx.Err()
}

// get reads an answer to its end.
func (b *readersBench) get(ctx context.Context, url string) (int, error) {
	r, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return 0, err
	}
	res, err := b.http.Do(r)
	if err != nil {
		return 0, fmt.Errorf("read: %w", err)
	}
	defer res.Body.Close()
	_, err = io.Copy(io.Discard, res.Body)
	return res.StatusCode, err
}

// beside measures webhooks while a load is on.
func (b *readersBench) beside(ctx context.Context, l readersLoad) (readersRow, error) {
	n := int(b.cmd.Duration.Seconds() * float64(b.cmd.Rate))
	requests := make([]*http.Request, n)
	var signing sync.WaitGroup
	errs := make([]error, 2)
	for half := range errs { // signing takes the sender longer than all the rest
		signing.Go(func() {
			for i := half; i < n && errs[half] == nil; i += len(errs) {
				id := strconv.FormatInt(b.posted.Add(1), 10)
				requests[i], errs[half] = b.webhook(ctx, joined("live"+strconv.Itoa(i%latencySessions), id), "readers-"+id)
			}
		})
	}
	signing.Wait()
	if err := errors.Join(errs...); err != nil {
		return readersRow{}, err
	}
	row := readersRow{name: l.name, h: newHistogram()}
	loading, stop := context.WithCancel(ctx)
	var working sync.WaitGroup
	count := &loadCount{}
	failed := make(chan error, 1)
	working.Go(func() {
		if err := l.run(loading, count); err != nil && loading.Err() == nil {
			failed <- fmt.Errorf("load %s: %w", l.name, err)
		}
	})
	err := wire.Pause(ctx, 2*time.Second) // it is under way
	if err == nil {
		err = b.post(ctx, requests, &row)
	}
	stop()
	working.Wait()
	select {
	case loadErr := <-failed:
		err = errors.Join(err, loadErr)
	default:
	}
	row.ok, row.others = count.ok.Load(), count.others.Load()
	return row, err
}

// post sends the requests, each at its time, whatever became of those before.
func (b *readersBench) post(ctx context.Context, requests []*http.Request, row *readersRow) error {
	var mu sync.Mutex
	var posting sync.WaitGroup
	defer posting.Wait()
	began := time.Now()
	for i, r := range requests {
		due := began.Add(time.Duration(i) * time.Second / time.Duration(b.cmd.Rate))
		if err := wire.Pause(ctx, time.Until(due)); err != nil {
			return err
		}
		posting.Go(func() {
			_, _, err := b.do(r)
			took := time.Since(due)
			mu.Lock()
			defer mu.Unlock()
			if err != nil {
				row.refused++
				return
			}
			_ = row.h.RecordValue(min(took, requestTimeout).Microseconds())
		})
	}
	return nil
}
