package replica

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"os"
	"slices"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"
)

// What Waiting reports, by key.
const (
	waitFile = "file"
	waitDisk = "disk"
)

// ErrRemade answers a reader while the copy can't be read, or is made again.
var ErrRemade = errors.New("the copy of the views can't be read now and is loaded again")

// DamagedRowError is the error of a row that is not what was written.
type DamagedRowError struct{ View, Key string }

func (e *DamagedRowError) Error() string {
	return fmt.Sprintf("a row of the copy of view %s is damaged: it is loaded again", e.View)
}

// code is SQLite's primary result code; 0 where err has none.
func code(err error) int {
	var e *sqlite.Error
	if !errors.As(err, &e) {
		return 0
	}
	return e.Code() & 0xff
}

// full reports whether err says that the disk is full, or that another process
// holds the file: the same statement can be retried.
func full(err error) bool {
	var e *sqlite.Error
	return slices.Contains([]int{sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY}, code(err)) ||
		errors.As(err, &e) && e.Code() == sqlite3.SQLITE_IOERR_SHMSIZE
}

// damaged reports whether err says that the file is damaged or missing. An error
// that a question can cause, such as an expression that is too deep, is neither.
func damaged(f *file, err error) bool {
	switch code(err) {
	case sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_FORMAT:
		return true
	case sqlite3.SQLITE_IOERR:
		return !full(err)
	case sqlite3.SQLITE_CANTOPEN:
		// Where file descriptors have run out, the file itself may be fine.
		_, missing := os.Stat(f.path)
		return errors.Is(missing, os.ErrNotExist)
	}
	return errors.Is(err, errSum)
}

// open opens the file, wiping one that can't be used first.
func (r *Replica) open(ctx context.Context) error {
	f, states, err := openFile(ctx, r.dir, r.tables)
	if err != nil {
		r.counts.remade.WithLabelValues("open").Inc()
		r.config.Log.Warn().Err(err).Str(keyDir, r.dir).Msg("replica can't be used, starting with an empty one")
		return r.remake(ctx)
	}
	r.use(f, states)
	return nil
}

// remake makes the file again, empty.
func (r *Replica) remake(ctx context.Context) error {
	if err := wipe(r.dir); err != nil {
		return err
	}
	f, states, err := openFile(ctx, r.dir, r.tables)
	if err != nil {
		return err
	}
	r.use(f, states)
	r.await(waitFile, "")
	return nil
}

// use makes a file the one that is read and written.
func (r *Replica) use(f *file, states map[string]Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.file, r.states = f, states
	close(r.changed)
	r.changed = make(chan struct{})
}

// opened is the file that is read and written; nil: there is none.
func (r *Replica) opened() *file {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.file
}

// discard closes a file that can't be used any more. Readers get a 503 until
// another one is loaded.
func (r *Replica) discard(f *file, cause error) {
	r.counts.remade.WithLabelValues("damage").Inc()
	r.config.Log.Error().Err(cause).Str(keyDir, r.dir).Msg("replica is damaged: it is wiped and loaded again")
	r.mu.Lock()
	r.file = nil
	clear(r.states)
	clear(r.reloading)
	close(r.changed)
	r.changed = make(chan struct{})
	r.mu.Unlock()
	if err := f.close(); err != nil {
		r.config.Log.Warn().Err(err).Msg("damaged replica not closed in order")
	}
}

// found looks at the error of a read: damage to the copy is repaired, and the
// request is answered with a 503.
func (r *Replica) found(f *file, err error) error {
	var row *DamagedRowError
	switch {
	case err == nil:
		return nil
	case errors.As(err, &row):
		r.counts.rows.WithLabelValues(row.View).Inc()
		r.config.Log.Error().Str(keyView, row.View).Msg("a row is damaged: its view is loaded again")
		r.reload(row.View)
		return err
	case damaged(f, err):
		f.report(err)
	case f.ctx.Err() == nil && code(err) != sqlite3.SQLITE_CANTOPEN && !full(err):
		return err
	}
	return fmt.Errorf("%w: %w", ErrRemade, err)
}

// reload has a view's table filled again, next to the current one. Until that is
// done it does nothing more: a damaged row may be asked for often.
func (r *Replica) reload(view string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if !r.reloading[view] {
		r.reloading[view] = true
		select {
		case r.reloads[view] <- struct{}{}:
		default: // an earlier one is still due
		}
	}
}

// await notes what the replica waits for; "": no longer.
func (r *Replica) await(key, what string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if what == "" {
		delete(r.waiting, key)
		return
	}
	r.waiting[key] = what
}

// Waiting says what the replica waits for, such as space on the disk, a line
// each; empty where it is at work.
func (r *Replica) Waiting() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Sorted(maps.Values(r.waiting))
}
