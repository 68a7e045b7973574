package main

import (
	"bufio"
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"os"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

type eventsExportCmd struct {
	attach.WhichLog
	File        string `arg:"" help:"File to write; - is stdout."`
	Force       bool   `help:"Write over a file that exists."`
	SkipDamaged bool   `help:"Leave out records that can't be read, and name them; exit code 5 where there are any."`

	skipped []scanned
}

// Help is the command's example.
func (eventsExportCmd) Help() string {
	return `Writes the log as it is: NDJSON, one record a line, with event id, received time, source, delivery uuid, signature
and body byte for byte (docs/FORMAT.md). It holds names of people and stream keys: keep it accordingly.

Example:
  rollcall events export backup.ndjson`
}

// Run exports up to the last record there is at the start.
func (c *eventsExportCmd) Run(a *app) (err error) {
	l, err := c.Attach(a.IO)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	began := time.Now()
	var n int
	if c.File == "-" {
		n, err = c.write(a.Ctx, l.Log, a.Stdout)
	} else {
		n, err = c.toFile(a.Ctx, l.Log)
	}
	if err != nil {
		return a.Left(err, "%s", c.left(n))
	}
	fmt.Fprintf(a.Stderr, "%d records in %s\n", n, elapsed(began))
	return c.leftOut(a)
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

// partial is added to the name of an export that is not whole.
const partial = ".partial"

// toFile writes beside the file and renames: a file with that name is whole.
// What a killed export leaves has a name that says so, and the next one writes
// over it.
func (c *eventsExportCmd) toFile(ctx context.Context, log *natslog.Log) (n int, err error) {
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return 0, fmt.Errorf("%s exists; --force writes over it", c.File)
	}
	f, err := os.OpenFile(c.File+partial, os.O_WRONLY|os.O_CREATE, 0o600)
	if err != nil {
		return 0, fmt.Errorf("write export: %w", err)
	}
	defer func() { err = errors.Join(err, f.Close()) }() // with the lock
	if err := errors.Join(natsd.LockFile(f), stillNamed(f)); err != nil {
		return 0, fmt.Errorf("write export: another export writes %s now, or did: %w; call it again when that has ended", f.Name(), err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(f.Name()))
		}
	}()
	if err := errors.Join(f.Chmod(0o600), f.Truncate(0)); err != nil {
		return 0, fmt.Errorf("write export: %w", err)
	}
	n, err = c.write(ctx, log, f)
	if err = errors.Join(err, f.Sync()); err != nil {
		return n, err
	}
	return n, os.Rename(f.Name(), c.File)
}

// stillNamed refuses a file that another export has finished and renamed since it
// was opened.
func stillNamed(f *os.File) error {
	opened, err1 := f.Stat()
	named, err2 := os.Stat(f.Name())
	if err := errors.Join(err1, err2); err != nil {
		return err
	}
	if !os.SameFile(opened, named) {
		return errors.New("it was renamed")
	}
	return nil
}

func (c *eventsExportCmd) write(ctx context.Context, log *natslog.Log, w io.Writer) (n int, err error) {
	out := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	opts := eventlog.ReadOptions{}
	if c.SkipDamaged {
		opts.Damaged = func(from, to eventlog.Seq) { c.skipped = append(c.skipped, scanned{From: from, To: to}) }
	}
	for r, err := range log.Read(ctx, opts) {
		if err != nil {
			return n, fmt.Errorf("read log: %w", err)
		}
		if line, err = natslog.AppendNDJSON(line[:0], &r); err != nil {
			return n, fmt.Errorf("encode record %d: %w", r.Seq, err)
		}
		if _, err := out.Write(line); err != nil {
			return n, fmt.Errorf("write export: %w", err)
		}
		n++
	}
	if err := out.Flush(); err != nil {
		return n, fmt.Errorf("write export: %w", err)
	}
	return n, nil
}

type eventsImportCmd struct {
	attach.WhichLog
	File string `arg:"" help:"File to read; - is stdin."`
}

// Help is the command's example.
func (eventsImportCmd) Help() string {
	return `Puts an export into an empty log. Records keep their event ids and received times, so that the views of this log
come out byte for byte as those of the other. It works on the data directory of a server that does not run, or on a
running one with credentials that may write.

Examples:
  rollcall events import backup.ndjson --data-dir ./restored
  rollcall events import backup.ndjson --nats-url nats://nats:4222 --nats-creds operator.creds`
}

// defaultDir is the data directory where none is named.
const defaultDir = "./rollcall-data"

// Run reads the file twice: a line that can't be read must be found before the
// first record is stored. Stdin is read once, and can't be checked before.
func (c *eventsImportCmd) Run(a *app) (err error) {
	if c.File != "-" {
		if err := checkExport(c.File); err != nil {
			return err
		}
	}
	js, offline, closeAll, err := c.Open(a.IO, attach.WhichLog{DataDir: defaultDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	began := time.Now()
	var n int
	if offline {
		n, err = c.intoDir(a, js, cmp.Or(c.DataDir, defaultDir))
	} else {
		n, err = c.intoServer(a, js)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.Stderr, "%d records in %s\n", n, elapsed(began))
	return nil
}

// intoServer imports into a running server's log, as it is: its settings are
// those of whoever appends to it. Others may append as well, so that half an
// import can't be taken back.
func (c *eventsImportCmd) intoServer(a *app, js jetstream.JetStream) (int, error) {
	log, err := natslog.Attach(a.Ctx, js)
	if errors.Is(err, eventlog.ErrNoLog) {
		log, err = natslog.Open(a.Ctx, js, natslog.Config{})
	}
	if err != nil {
		return 0, err
	}
	defer log.Close()
	n, err := c.fill(a, log)
	if err == nil || errors.Is(err, eventlog.ErrNotEmpty) {
		return n, err
	}
	err = fmt.Errorf("%w; the log holds the first %d records of %s now, and an import can't go on: to do it again, stop what appends, remove the stream (`nats stream rm %s`), and import", err, n, c.name(), eventlog.Stream)
	return n, a.Left(err, "the log holds the first %d records of %s now, and an import can't go on: to do it again, stop what appends, remove the stream (`nats stream rm %s`), and import", n, c.name(), eventlog.Stream)
}

// intoDir imports into the log of a data directory nobody runs on. It stores all
// or nothing: what an import that was killed left is removed by the next one,
// and until then the directory is refused to everybody else.
func (c *eventsImportCmd) intoDir(a *app, js jetstream.JetStream, dir string) (int, error) {
	if _, err := os.Stat(natsd.ImportMark(dir)); err == nil {
		if err := js.DeleteStream(a.Ctx, eventlog.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
			return 0, fmt.Errorf("remove what an import left: %w", err)
		}
	}
	log, err := natslog.Open(a.Ctx, js, natslog.Config{StoreDir: natsd.StoreDir(dir)})
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if head, err := log.Head(a.Ctx); err != nil || head.Last != 0 {
		return 0, cmp.Or(err, fmt.Errorf("import: %w: it has given sequences up to %d; import into another --data-dir", eventlog.ErrNotEmpty, head.Last))
	}
	if err := os.WriteFile(natsd.ImportMark(dir), []byte(c.name()+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	n, err := c.fill(a, log)
	if err != nil {
		log.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(a.Ctx), removeTimeout)
		defer cancel()
		if gone := js.DeleteStream(ctx, eventlog.Stream); gone != nil {
			return 0, errors.Join(err, fmt.Errorf("remove what was imported: %w; call it again", gone))
		}
		err = fmt.Errorf("%w; nothing was kept", err)
	}
	return n, a.Left(errors.Join(err, os.Remove(natsd.ImportMark(dir))), "nothing was kept in %s; call it again", dir)
}

// name is what to call what is imported.
func (c *eventsImportCmd) name() string {
	if c.File == "-" {
		return "stdin"
	}
	return c.File
}

// removeTimeout bounds the removal of half an import.
const removeTimeout = 30 * time.Second

// fill imports the file.
func (c *eventsImportCmd) fill(a *app, log *natslog.Log) (int, error) {
	if c.File == "-" {
		return log.Import(a.Ctx, natslog.ReadNDJSON(a.Input()))
	}
	f, err := os.Open(c.File)
	if err != nil {
		return 0, console.Usagef("read export: %w", err)
	}
	defer f.Close()
	return log.Import(a.Ctx, natslog.ReadNDJSON(f))
}

func checkExport(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return console.Usagef("read export: %w", err)
	}
	defer f.Close()
	n, err := countRecords(natslog.ReadNDJSON(f))
	if err != nil {
		return fmt.Errorf("read export: record %d of %s: %w; nothing was imported", n+1, path, err)
	}
	return nil
}

func countRecords(records iter.Seq2[eventlog.Record, error]) (n int, err error) {
	for _, err := range records {
		if err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}
