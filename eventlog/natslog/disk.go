package natslog

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"sync"

	"rollcall/eventlog"
)

// disk makes the log's files durable. It is used where the server runs in the
// same program, so that one sync can serve all records written since the last
// one: nats-server's own "sync always" syncs each record for itself.
//
// What it relies on, in nats-server 2.15 (server/filestore.go): a stream with
// one replica has written a record to its newest block, msgs/<n>.blk, before it
// acknowledges it; blocks are filled one after the other; after a crash the
// stream is read from its blocks. TestDiskLayout fails if that changes.
type disk struct {
	dir string // …/streams/MEETINGS/msgs

	mu    sync.Mutex
	block *os.File // the newest block
	index int
	err   error // an earlier sync failed: what it covered may be lost for good
}

// openDisk finds the stream's blocks below a server's store directory, and
// syncs all of them: a process that was killed may have left records that were
// written and never synced, and whose repeats would be answered as stored.
func openDisk(storeDir string) (*disk, error) {
	root := filepath.Clean(storeDir)
	if filepath.Base(root) != "jetstream" { // as the server does
		root = filepath.Join(root, "jetstream")
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(root), "*", "streams", eventlog.Stream, "msgs"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%d stream directories in %s, want 1; use the store directory of the embedded server", len(found), storeDir)
	}
	d := &disk{dir: found[0]}
	names, err := os.ReadDir(d.dir)
	if err != nil {
		return nil, fmt.Errorf("list blocks: %w", err)
	}
	for _, entry := range names {
		text, ok := strings.CutSuffix(entry.Name(), ".blk")
		n, err := strconv.Atoi(text)
		if !ok || err != nil {
			continue
		}
		if err := syncPath(filepath.Join(d.dir, entry.Name())); err != nil && !errors.Is(err, os.ErrNotExist) {
			return nil, err
		}
		d.index = max(d.index, n)
	}
	for path := d.dir; ; path = filepath.Dir(path) {
		if err := syncDir(path); err != nil {
			return nil, err
		}
		if path == filepath.Clean(storeDir) || path == filepath.Dir(path) {
			return d, nil
		}
	}
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

func (d *disk) path(index int) string { return filepath.Join(d.dir, strconv.Itoa(index)+".blk") }

// sync makes durable whatever was written before it was called. After an error
// it fails for good: the system may have dropped what it could not write, and
// would report success the next time.
func (d *disk) sync() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err == nil {
		d.err = d.syncNewest()
	}
	return d.err
}

func (d *disk) syncNewest() error {
	created := false
	for {
		if err := d.reopen(); err != nil {
			return err
		}
		if d.block != nil {
			if err := datasync(d.block); err != nil {
				return fmt.Errorf("sync log: %w", err)
			}
		}
		// Filled up meanwhile? Then the rest went into the next one.
		if _, err := os.Stat(d.path(d.index + 1)); err != nil {
			break
		}
		d.index++
		created = true
	}
	if created {
		return syncDir(d.dir)
	}
	return nil
}

// reopen makes d.block the file that has the newest block's name.
func (d *disk) reopen() error {
	now, err := os.Stat(d.path(d.index))
	if errors.Is(err, os.ErrNotExist) {
		d.close() // an empty log has no block yet, an expired one is gone
		return nil
	}
	if err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	if d.block != nil {
		if open, err := d.block.Stat(); err == nil && os.SameFile(open, now) {
			return nil
		}
	}
	d.close()
	f, err := os.Open(d.path(d.index))
	if err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	d.block = f
	return nil
}

func (d *disk) close() {
	if d.block != nil {
		_ = d.block.Close() // it was opened for reading
		d.block = nil
	}
}

func syncPath(path string) error {
	f, err := os.Open(path)
	if err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	defer f.Close()
	if err := f.Sync(); err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	return nil
}

// syncDir makes the names in a directory durable.
func syncDir(path string) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	return syncPath(path)
}
