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
	"path/filepath"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// whichLog says which log a command works on: a running server's, or that of a
// data directory nobody runs on.
type whichLog struct {
	DataDir string `help:"Data directory of a rollcall that does not run." type:"path" placeholder:"DIR"`
	NATSURL string `name:"nats-url" help:"NATS server of the running rollcall." placeholder:"URL"`
	natsAuth
}

// open connects to the log's server. close ends what was opened.
func (f whichLog) open(a *app, otherwise whichLog) (js jetstream.JetStream, offline bool, closeAll func() error, err error) {
	if f.DataDir != "" && f.NATSURL != "" {
		return nil, false, nil, usagef("--data-dir and --nats-url exclude each other: name the directory of a stopped server, or a running server")
	}
	if f.DataDir == "" && f.NATSURL == "" {
		f.DataDir, f.NATSURL = otherwise.DataDir, otherwise.NATSURL
	}
	var nc *nats.Conn
	if f.NATSURL != "" {
		client := operatorFlags{clientFlags{NATSURL: f.NATSURL, natsAuth: f.natsAuth}}
		if nc, js, err = client.connectOperator(a.ctx); err != nil {
			return nil, false, nil, err
		}
		return js, false, func() error { nc.Close(); return nil }, nil
	}
	// The directory's own is made by an import only: a mistyped one must not become an empty server.
	if _, err := os.Stat(f.DataDir); otherwise.DataDir == "" && errors.Is(err, os.ErrNotExist) {
		return nil, false, nil, notFoundf("no data directory %s; check --data-dir", f.DataDir)
	}
	e, err := startEmbedded(a.ctx, embeddedConfig{dir: f.DataDir, log: a.log})
	if err != nil {
		return nil, false, nil, fmt.Errorf("%w; --nats-url works on the log of a server that runs", err)
	}
	if nc, err = e.connect(nats.Name("rollcall-cli")); err == nil {
		js, err = jetstream.New(nc)
	}
	if err != nil {
		return nil, false, nil, errors.Join(err, e.stop())
	}
	return js, true, func() error { nc.Close(); return e.stop() }, nil
}

type eventsExportCmd struct {
	whichLog
	File  string `arg:"" help:"File to write; - is stdout."`
	Force bool   `help:"Write over a file that exists."`
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
	js, _, closeAll, err := c.open(a, whichLog{NATSURL: nats.DefaultURL})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	log, err := natslog.Attach(a.ctx, js)
	if err != nil {
		return logError(err)
	}
	defer log.Close()
	began := time.Now()
	var n int
	if c.File == "-" {
		n, err = writeExport(a.ctx, log, a.stdout)
	} else {
		n, err = c.toFile(a.ctx, log)
	}
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d records in %s\n", n, elapsed(began))
	return nil
}

// toFile writes beside the file and renames: a file with that name is whole.
func (c *eventsExportCmd) toFile(ctx context.Context, log *natslog.Log) (n int, err error) {
	if _, err := os.Stat(c.File); err == nil && !c.Force {
		return 0, fmt.Errorf("%s exists; --force writes over it", c.File)
	}
	tmp, err := os.CreateTemp(filepath.Dir(c.File), ".export-*")
	if err != nil {
		return 0, fmt.Errorf("write export: %w", err)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, os.Remove(tmp.Name()))
		}
	}()
	n, err = writeExport(ctx, log, tmp)
	if err = errors.Join(err, tmp.Sync(), tmp.Close()); err != nil {
		return n, err
	}
	return n, os.Rename(tmp.Name(), c.File)
}

func writeExport(ctx context.Context, log *natslog.Log, w io.Writer) (n int, err error) {
	out := bufio.NewWriterSize(w, 1<<20)
	var line []byte
	for r, err := range log.Read(ctx, eventlog.ReadOptions{}) {
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
	whichLog
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
	js, offline, closeAll, err := c.open(a, whichLog{DataDir: defaultDir})
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, closeAll()) }()
	var config natslog.Config
	if offline {
		config.StoreDir = storeDir(cmp.Or(c.DataDir, defaultDir))
	}
	// A running server's log is taken as it is: its settings are those of whoever
	// appends to it.
	log, err := natslog.Attach(a.ctx, js)
	if offline || errors.Is(err, eventlog.ErrNoLog) {
		log, err = natslog.Open(a.ctx, js, config)
	}
	if err != nil {
		return err
	}
	defer log.Close()
	in := a.stdin
	if c.File != "-" {
		f, err := os.Open(c.File)
		if err != nil {
			return usagef("read export: %w", err)
		}
		defer f.Close()
		in = f
	}
	began := time.Now()
	n, err := log.Import(a.ctx, natslog.ReadNDJSON(in))
	if err != nil {
		return err
	}
	fmt.Fprintf(a.stderr, "%d records in %s\n", n, elapsed(began))
	return nil
}

func checkExport(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return usagef("read export: %w", err)
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
