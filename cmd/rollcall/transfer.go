package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strconv"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/backup"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// eventsExportCmd is `rollcall events export`.
type eventsExportCmd struct {
	attach.WhichLog
	File        string `arg:"" help:"File to write, compressed where its name ends with .zst; - is stdout."`
	After       string `help:"Continue an export: its file, or the sequence after which to begin." placeholder:"N|FILE"`
	Force       bool   `help:"Write over a file that exists."`
	SkipDamaged bool   `help:"Leave out records that can't be read, and name them; exit code 5 where there are any."`

	skipped []scanned
}

// Help is the command's example.
func (eventsExportCmd) Help() string {
	return `Writes the log as it is: NDJSON, one record a line, with event id, received time, source, delivery uuid, signature
and body byte for byte (docs/FORMAT.md). Its seal, by which a cut or changed file is seen, stands beside it in FILE.sum,
or at the end of a .zst file. It holds names of people and stream keys: keep it accordingly.

Examples:
  rollcall events export monday.ndjson.zst
  rollcall events export tuesday.ndjson.zst --after monday.ndjson.zst`
}

// Run exports up to the last record there is at the start.
func (c *eventsExportCmd) Run(a *app) (err error) {
	var from backup.Seal
	if c.After != "" {
		if from, err = c.position(); err != nil {
			return err
		}
	}
	l, err := c.Attach(a.IO)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	began := time.Now()
	done, err := c.export(a, l.Log, &from)
	if err != nil {
		return a.Left(err, "%s", c.left(done.Records))
	}
	fmt.Fprintf(a.Stderr, "%d records in %s, up to record %d, sha256 %s\n", done.Records, elapsed(began), done.Last, done.SHA256)
	return c.leftOut(a)
}

// position is where --after says to begin, as a seal. A number sets only its last sequence.
func (c *eventsExportCmd) position() (backup.Seal, error) {
	if n, err := strconv.ParseUint(c.After, 10, 64); err == nil {
		return backup.Seal{Last: eventlog.Seq(n)}, nil
	}
	return backup.Position(c.After)
}

// export writes the records after from.
func (c *eventsExportCmd) export(a *app, log *natslog.Log, from *backup.Seal) (done backup.Seal, err error) {
	begin, err := backup.Continue(a.Ctx, log, from)
	if err != nil {
		return done, err
	}
	if c.File == "-" {
		s := backup.NewStream(a.Stdout)
		s.Seal = begin
		err = cmp.Or(c.write(a.Ctx, log, s), s.Close())
		return s.Seal, err
	}
	f, err := backup.Create(c.File, c.Force)
	if err != nil {
		return done, err
	}
	f.Seal = begin
	if err := c.write(a.Ctx, log, f.Stream); err != nil {
		return f.Seal, errors.Join(err, f.Abort())
	}
	err = f.Commit()
	return f.Seal, err
}

// leftOut names the records that the export lacks.
func (c *eventsExportCmd) leftOut(a *app) error {
	lost := uint64(0)
	for _, d := range c.skipped {
		fmt.Fprintf(a.Stderr, "left out, damaged: records %d to %d\n", d.From, d.To)
		lost += uint64(d.To - d.From + 1)
	}
	if lost > 0 {
		return console.Differencef("the export is written without %d damaged records; `rollcall events scan` says more", lost)
	}
	return nil
}

// left says what an export that was interrupted leaves.
func (c *eventsExportCmd) left(n int) string {
	if c.File == "-" {
		return fmt.Sprintf("the output ends after %d records, within the log: it is no backup", n)
	}
	return "no " + c.File + " was written; call it again"
}

// write writes the records after those that s continues.
func (c *eventsExportCmd) write(ctx context.Context, log *natslog.Log, s *backup.Stream) error {
	opts := eventlog.ReadOptions{After: s.Seal.After, Oldest: s.Seal.After == 0}
	if c.SkipDamaged {
		opts.Damaged = func(from, to eventlog.Seq) {
			c.skipped = append(c.skipped, scanned{From: from, To: to})
			s.Seal.Damaged += uint64(to - from + 1)
		}
	}
	for r, err := range log.Read(ctx, opts) {
		if err != nil {
			return fmt.Errorf("read log: %w", err)
		}
		if err := s.Add(&r); err != nil {
			return err
		}
	}
	return nil
}

// eventsImportCmd is `rollcall events import`.
type eventsImportCmd struct {
	attach.WhichLog
	File []string `arg:"" help:"Exports to read: one that is whole, then those that continue it, in their order; - is stdin."`
}

// Help is the command's example.
func (eventsImportCmd) Help() string {
	return `Puts an export into an empty log. Records keep their event ids and received times, so that the views of this log
come out byte for byte as those of the other. It works on the data directory of a server that does not run, or on a
running one with credentials that may write. A file that its seal shows to be cut or changed is refused whole.
` + "`rollcall restore`" + ` makes the views too.

Examples:
  rollcall events import backup.ndjson --data-dir ./restored
  rollcall events import monday.ndjson.zst tuesday.ndjson.zst --nats-url nats://nats:4222 --nats-creds operator.creds`
}

// defaultDir is the data directory where none is named.
const defaultDir = "./rollcall-data"

// Run reads the files twice: a line that can't be read must be found before the
// first record is stored. Stdin is read once, and can't be checked before.
func (c *eventsImportCmd) Run(a *app) (err error) {
	in := backup.Import{Files: c.File, IO: a.IO}
	if _, err := in.Check(); err != nil {
		return err
	}
	js, dir, closeAll, err := c.Open(a.IO, attach.WhichLog{DataDir: defaultDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	began := time.Now()
	n, err := in.Into(js, dir)
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%d records in %s\n", n, elapsed(began))
	return nil
}
