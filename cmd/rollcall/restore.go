package main

import (
	"errors"
	"fmt"
	"io"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/backup"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// restoreCmd is `rollcall restore`.
type restoreCmd struct {
	attach.WhichLog
	File       []string `arg:"" help:"Exports: one that is whole, then those that continue it, in their order."`
	CacheBytes string   `help:"Memory for the entities held, by all views together." default:"768MiB" placeholder:"SIZE"`
}

// Help is the command's example.
func (restoreCmd) Help() string {
	return `Fills an empty log from exports and makes the views, which come out byte for byte as they were. All files are checked
before anything is written; at the end the log is read once more and compared with them. It works on the data directory
of a server that does not run, or on a running one with credentials that may write.

Examples:
  rollcall restore monday.ndjson.zst tuesday.ndjson.zst --data-dir ./restored
  rollcall restore backup.ndjson --nats-url nats://nats:4222 --nats-creds operator.creds`
}

// Run restores.
func (c *restoreCmd) Run(a *app) (err error) {
	if slices.Contains(c.File, "-") {
		return console.Usagef("restore reads its exports more than once, which stdin can't be; name files, or fill the log with `rollcall events import -`")
	}
	cache, err := parseBytes("cache-bytes", c.CacheBytes)
	if err != nil {
		return err
	}
	began, say := time.Now(), &sayings{to: a.Stderr}
	in := backup.Import{Files: c.File, IO: a.IO, Progress: func(n int) { say.now("log", "%d records stored", n) }}
	files, err := in.Check()
	if err != nil {
		return err
	}
	js, dir, closeAll, err := c.Open(a.IO, attach.WhichLog{DataDir: defaultDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	n, err := in.Into(js, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "log: %d records of %d files are stored after %s\n", n, len(files), elapsed(began))
	parked, err := c.views(a, js, dir != "", &in, eventlog.Seq(n), cache, say)
	if err != nil {
		const left = "the log is restored, its views are not all there; `rollcall serve`, or any process with --target=project, makes them from the log; `rollcall rebuild VIEW` goes on with what was begun, `rollcall abort VIEW` removes it"
		return a.Left(fmt.Errorf("%w; %s", err, left), left)
	}
	fmt.Fprintf(a.Stdout, "restored and compared %d records, and made %d views, in %s\n", n, len(allFolds()), elapsed(began))
	if parked > 0 {
		fmt.Fprintf(a.Stdout, "%d records are left out of views; `rollcall parked list` shows them\n", parked)
	}
	return nil
}

// views compares the log with the files, and makes the views.
func (c *restoreCmd) views(a *app, js jetstream.JetStream, offline bool, in *backup.Import, to eventlog.Seq, cache int64, say *sayings) (parked int, err error) {
	log, err := natslog.Attach(a.Ctx, js)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if err := in.Compare(log, to); err != nil {
		return 0, err
	}
	store, err := viewstore.Open(a.Ctx, js, viewstore.Config{Exclusive: offline, Logger: a.Logger})
	if err != nil {
		return 0, err
	}
	return backup.Build{Log: log, Store: store, Folds: allFolds(), CacheBytes: cache, Logger: a.Logger,
		Progress: func(view string, p projector.Progress) {
			say.now(view, "%3.0f %%, %.0f records per second", 100*p.Share, p.PerSecond)
		}}.Run(a.Ctx, to)
}

// sayings prints progress, each subject once in lineInterval at most.
type sayings struct {
	to   io.Writer
	mu   sync.Mutex
	last map[string]time.Time // guarded by mu
}

func (s *sayings) now(subject, format string, args ...any) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if time.Since(s.last[subject]) < lineInterval {
		return
	}
	if s.last == nil {
		s.last = map[string]time.Time{}
	}
	s.last[subject] = time.Now()
	fmt.Fprintf(s.to, subject+": "+format+"\n", args...)
}
