package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/blocks"
	"rollcall/eventlog/natslog"
)

// eventsScanCmd is `rollcall events scan`.
type eventsScanCmd struct {
	attach.WhichLog
	console.OutputFlag
	Repair bool `help:"Put a mark in the place of each record that is lost, and keep a copy of the files. Needs --data-dir of a rollcall that does not run."`
}

// Help is the command's example.
func (eventsScanCmd) Help() string {
	return `Reads every record and names those that can't be read. With --data-dir it reads the files, while a server runs
too, and names the blocks; without, it asks the server. Exit code 5 where records are damaged and were not repaired.

A damaged record stops projections, exports and rebuilds, and a server that was killed cuts off what comes after it. To
repair the log, stop rollcall and run it with --repair: nothing is lost but what can't be read.

Examples:
  rollcall events scan
  rollcall events scan --data-dir /var/lib/rollcall --repair`
}

// Run scans.
func (c *eventsScanCmd) Run(a *app) error {
	if c.DataDir == "" && c.Repair {
		return console.Usagef("--repair needs --data-dir: it works on the files of a rollcall that does not run")
	}
	if c.DataDir == "" {
		return c.online(a)
	}
	if c.NATSURL != "" {
		return console.Usagef("--data-dir and --nats-url can't be used together: name a directory, or a running server")
	}
	if _, err := os.Stat(c.DataDir); err != nil {
		return console.NotFoundf("no data directory %s; check --data-dir", c.DataDir)
	}
	return c.files(a)
}

// scanned is one damage as it is printed.
type scanned struct {
	Block  string       `json:"block"`
	From   eventlog.Seq `json:"from"`
	To     eventlog.Seq `json:"to"`
	Offset int64        `json:"offset"`
	Bytes  int64        `json:"bytes"`
	Behind int          `json:"behind"`
}

// files scans the log's files.
func (c *eventsScanCmd) files(a *app) error {
	began := time.Now()
	stream, err := logFiles(c.DataDir)
	if err != nil {
		return err
	}
	unlock, running := natsd.LockDir(c.DataDir)
	if running == nil {
		defer func() { _ = unlock() }()
	} else if c.Repair {
		return running
	}
	report, err := blocks.Scan(a.Ctx, stream, true)
	if err != nil {
		return err
	}
	if running != nil {
		report.ForgetEnd()
	}
	found := make([]scanned, len(report.Damage))
	for i, d := range report.Damage {
		found[i] = scanned{d.Block, eventlog.Seq(d.From), eventlog.Seq(d.To), d.Offset, d.Bytes, d.Behind}
	}
	if err := c.show(a, found); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%d records, %d to %d, %d blocks, %d bytes in %s\n", report.Messages, report.First, report.Last, report.Blocks, report.Bytes, elapsed(began))
	if len(found) == 0 {
		return nil
	}
	if !c.Repair {
		return console.Differencef("%s; stop rollcall and run `rollcall events scan --repair --data-dir %s`", lostWords(report.Lost()), c.DataDir)
	}
	kept, err := natsd.Mend(c.DataDir, stream, report, a.Logger)
	if err != nil {
		return err
	}
	again, err := blocks.Scan(a.Ctx, stream, true)
	if err != nil || len(again.Damage) > 0 {
		return errors.Join(err, console.Differencef("%s, more than can be marked; restore a backup (docs/OPERATIONS.md)", lostWords(again.Lost())))
	}
	fmt.Fprintf(a.Stderr, "repaired: %s, marked in the log; a copy of the damaged files is in %s; views may hold more than the log now: start rollcall and run `rollcall verify --repair`\n",
		lostWords(report.Lost()), kept)
	return nil
}

func lostWords(n uint64) string {
	switch n {
	case 0:
		return "the end was not written completely; no known record is lost"
	case 1:
		return "1 record can't be read"
	}
	return fmt.Sprintf("%d records can't be read", n)
}

// logFiles finds the log's files in a data directory.
func logFiles(dataDir string) (blocks.Stream, error) {
	streams, err := blocks.Streams(natsd.StoreDir(dataDir))
	if err != nil {
		return blocks.Stream{}, err
	}
	for _, s := range streams {
		if s.Name == eventlog.Stream {
			return s, nil
		}
	}
	return blocks.Stream{}, console.NotFoundf("no log in %s; check --data-dir", dataDir)
}

// online asks the server for every record.
func (c *eventsScanCmd) online(a *app) (err error) {
	l, err := c.Attach(a.IO)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	began := time.Now()
	found, n, err := unreadable(a.Ctx, l.Log)
	if err != nil {
		return err
	}
	if err := c.show(a, found); err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%d records in %s\n", n, elapsed(began))
	return lostError(found)
}

// lostError says what can't be read of a log that runs; nil: nothing.
func lostError(found []scanned) error {
	lost := uint64(0)
	for _, d := range found {
		lost += uint64(d.To - d.From + 1)
	}
	if lost == 0 {
		return nil
	}
	return console.Differencef("%s, the first is record %d; stop rollcall and run `rollcall events scan --repair --data-dir DIR` with its data directory", lostWords(lost), found[0].From)
}

// unreadable reads the log and returns what can't be.
func unreadable(ctx context.Context, log *natslog.Log) (found []scanned, n int, err error) {
	found = []scanned{}
	opts := eventlog.ReadOptions{Oldest: true, Damaged: func(from, to eventlog.Seq) { found = append(found, scanned{From: from, To: to}) }}
	for _, err := range log.Read(ctx, opts) {
		if err != nil {
			return found, n, err
		}
		n++
	}
	return found, n, nil
}

func (c *eventsScanCmd) show(a *app, found []scanned) error {
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, found)
	}
	g := &console.Grid{Columns: []string{"block", "from", "to", "offset", "bytes", "behind"}}
	for _, d := range found {
		g.Add(d.Block, d.From, d.To, d.Offset, d.Bytes, d.Behind)
	}
	return c.Print(a.Stdout, g)
}
