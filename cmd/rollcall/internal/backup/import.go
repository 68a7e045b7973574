package backup

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"iter"
	"os"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/natsd"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
)

// Import puts exports into an empty log.
type Import struct {
	Files    []string // in their order; "-" alone is IO's stdin, which can't be checked before
	IO       *console.IO
	Progress func(records int) // called now and then; nil: nobody asks
}

// Check reads the files before anything is written, and says which could not be
// checked.
func (c *Import) Check() ([]Checked, error) {
	if c.stdin() {
		return nil, nil
	}
	all, err := Check(c.IO.Ctx, c.Files...)
	if err != nil {
		return all, fmt.Errorf("%w; nothing was imported", err)
	}
	for _, f := range all {
		if !f.Sealed {
			fmt.Fprintf(c.IO.Stderr, "note: %s has no seal (%s), so that nothing says whether it is whole; it has %d records\n", f.File, sumFile(f.File), f.Records)
		}
	}
	return all, nil
}

func (c *Import) stdin() bool { return len(c.Files) == 1 && c.Files[0] == "-" }

// name is what to call what is imported.
func (c *Import) name() string {
	if c.stdin() {
		return "stdin"
	}
	return strings.Join(c.Files, " ")
}

// progressEvery is how many records lie between two calls of Progress.
const progressEvery = 1000

// records are those to import.
func (c *Import) records() iter.Seq2[eventlog.Record, error] {
	all := Records(c.Files...)
	if c.stdin() {
		all = natslog.ReadNDJSON(c.IO.Input())
	}
	return func(yield func(eventlog.Record, error) bool) {
		n := 0
		for r, err := range all {
			if !yield(r, err) {
				return
			}
			if n++; c.Progress != nil && n%progressEvery == 0 {
				c.Progress(n)
			}
		}
	}
}

// Into imports into the log of a data directory that nobody runs on, or of a running
// server where dir is "".
func (c *Import) Into(js jetstream.JetStream, dir string) (int, error) {
	if dir == "" {
		return c.intoServer(js)
	}
	return c.intoDir(js, dir)
}

// intoServer imports into a running server's log, as it is: its settings are
// those of whoever appends to it. Others may append as well, so that half an
// import can't be taken back.
func (c *Import) intoServer(js jetstream.JetStream) (int, error) {
	log, err := natslog.Attach(c.IO.Ctx, js)
	if errors.Is(err, eventlog.ErrNoLog) {
		log, err = natslog.Open(c.IO.Ctx, js, natslog.Config{})
	}
	if err != nil {
		return 0, err
	}
	defer log.Close()
	n, err := log.Import(c.IO.Ctx, c.records())
	if err == nil || errors.Is(err, eventlog.ErrNotEmpty) {
		return n, err
	}
	left := fmt.Sprintf("the log holds the first %d records of %s now, and an import can't go on: to do it again, stop what appends, remove the stream (`nats stream rm %s`), and import", n, c.name(), eventlog.Stream)
	return n, c.IO.Left(fmt.Errorf("%w; %s", err, left), "%s", left)
}

// intoDir imports into the log of a data directory nobody runs on. It stores all
// or nothing: what an import that was killed left is removed by the next one,
// and until then the directory is refused to everybody else.
func (c *Import) intoDir(js jetstream.JetStream, dir string) (int, error) {
	log, err := c.openDir(js, dir)
	if err != nil {
		return 0, err
	}
	defer log.Close()
	if head, err := log.Head(c.IO.Ctx); err != nil || head.Last != 0 {
		return 0, cmp.Or(err, fmt.Errorf("import: %w: it has given sequences up to %d; import into another --data-dir", eventlog.ErrNotEmpty, head.Last))
	}
	if err := os.WriteFile(natsd.ImportMark(dir), []byte(c.name()+"\n"), 0o600); err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	n, err := log.Import(c.IO.Ctx, c.records())
	if err != nil {
		log.Close()
		ctx, cancel := context.WithTimeout(context.WithoutCancel(c.IO.Ctx), removeTimeout)
		defer cancel()
		if gone := js.DeleteStream(ctx, eventlog.Stream); gone != nil {
			return 0, errors.Join(err, fmt.Errorf("remove what was imported: %w; call it again", gone))
		}
		err = fmt.Errorf("%w; nothing was kept", err)
	}
	return n, c.IO.Left(errors.Join(err, os.Remove(natsd.ImportMark(dir))), "nothing was kept in %s; call it again", dir)
}

const (
	// removeTimeout bounds the removal of half an import.
	removeTimeout = 30 * time.Second
	// folderTimeout bounds the wait for the server, which removes the folder of an account's
	// streams a moment after it has said that the last one is gone: also while it makes a
	// new one there, which fails then (nats-server 2.15.2, stream.stop).
	folderTimeout, folderPause = 5 * time.Second, 20 * time.Millisecond
)

// openDir opens the log of a data directory, without what an import that was killed left.
func (c *Import) openDir(js jetstream.JetStream, dir string) (*natslog.Log, error) {
	config := natslog.Config{StoreDir: natsd.StoreDir(dir)}
	if _, err := os.Stat(natsd.ImportMark(dir)); err != nil {
		return natslog.Open(c.IO.Ctx, js, config)
	}
	if err := js.DeleteStream(c.IO.Ctx, eventlog.Stream); err != nil && !errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("remove what an import left: %w", err)
	}
	for until := time.Now().Add(folderTimeout); ; {
		log, err := natslog.Open(c.IO.Ctx, js, config)
		if !errors.Is(err, eventlog.ErrUnavailable) || time.Now().After(until) {
			return log, err
		}
		select {
		case <-c.IO.Ctx.Done():
			return nil, c.IO.Ctx.Err()
		case <-time.After(folderPause):
		}
	}
}

// Compare reads the log again, and holds it against the files: event ids, received
// times, bodies, all that an export has of a record but its sequence. It reads up
// to the record to, the last that was imported.
func (c *Import) Compare(log *natslog.Log, to eventlog.Seq) error {
	next, stop := iter.Pull2(Records(c.Files...))
	defer stop()
	var got, want []byte
	for r, err := range log.Read(c.IO.Ctx, eventlog.ReadOptions{UpTo: to}) {
		if err != nil {
			return fmt.Errorf("read what was restored: %w", err)
		}
		w, err, _ := next()
		if err != nil {
			return fmt.Errorf("read what was restored: %w", err)
		}
		at := r.Seq
		r.Seq, w.Seq = 0, 0
		var err1, err2 error
		got, err1 = natslog.AppendNDJSON(got[:0], &r)
		want, err2 = natslog.AppendNDJSON(want[:0], &w)
		if err := errors.Join(err1, err2); err != nil {
			return err
		}
		if string(got) != string(want) {
			return console.Differencef("record %d of the log is not the one of the export: event %s, not %s", at, r.EventID, w.EventID)
		}
	}
	return nil
}
