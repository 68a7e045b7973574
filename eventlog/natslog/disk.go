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
// acknowledges it; blocks are filled one after the other, and removed from the
// oldest on; once a record was written there is always a block; after a crash
// the stream is read from its blocks. TestDiskLayout fails if that changes.
type disk struct {
	root  string // the server's store directory
	dir   string // …/streams/MEETINGS/msgs
	flush flush

	mu      sync.Mutex
	run     string   // id of the server that wrote the block
	folder  *os.File // dir as it was synced last; open, so that a log made again can't look like it
	block   *os.File // the newest block; nil before the first record
	index   int      // its number
	unnamed bool     // the block's name was not synced yet
	err     error    // what an earlier sync covered may be lost for good
}

// flush is how a file becomes durable. Tests put their own in its place.
type flush struct {
	data  func(*os.File) error // what was written to a file
	names func(*os.File) error // what a directory lists
}

// openDisk finds the stream's blocks below a server's store directory, and
// syncs all of them: a process that was killed may have left records that were
// written and never synced, and whose repeats would be answered as stored. run
// is the id of the server that runs now.
func openDisk(storeDir, run string, f flush) (*disk, error) {
	if f.data == nil {
		f = flush{data: datasync, names: syncNames}
	}
	root := filepath.Clean(storeDir)
	base := root
	if filepath.Base(base) != "jetstream" { // as the server does
		base = filepath.Join(base, "jetstream")
	}
	found, err := filepath.Glob(filepath.Join(escapeGlob(base), "*", "streams", eventlog.Stream, "msgs"))
	if err != nil || len(found) != 1 {
		return nil, fmt.Errorf("%d stream directories in %s, want 1; use the store directory of the embedded server", len(found), storeDir)
	}
	d := &disk{root: root, dir: found[0], run: run, flush: f}
	if err := d.syncAll(); err != nil {
		return nil, err
	}
	return d, nil
}

func escapeGlob(path string) string {
	return strings.NewReplacer(`*`, `\*`, `?`, `\?`, `[`, `\[`, `\`, `\\`).Replace(path)
}

func (d *disk) path(index int) string { return filepath.Join(d.dir, strconv.Itoa(index)+".blk") }

// sync makes durable whatever the server acknowledged before it was called.
// After a failed flush it fails for good: the system may have dropped what it
// could not write, and would report success the next time.
//
// run is the id of the server that runs now, "" where that is not known.
func (d *disk) sync(run string) error {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.err != nil {
		return d.err
	}
	if run != "" && run != d.run {
		// It read its files again, and may have dropped the newest.
		closeFile(d.block)
		closeFile(d.folder)
		d.run, d.folder, d.block, d.index, d.unnamed = run, nil, nil, 0, false
	}
	if err := d.syncNewest(); err != nil {
		return err
	}
	if d.block == nil {
		return fmt.Errorf("sync log: a record was acknowledged, and %s has no block", d.dir)
	}
	return nil
}

// failed is why nothing can be made durable any more; nil: it can.
func (d *disk) failed() error {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.err
}

// syncNewest syncs the newest block, and those that were filled since the last
// time.
func (d *disk) syncNewest() error {
	for d.block != nil {
		if err := d.flushed(d.flush.data, d.block); err != nil {
			return err
		}
		next, err := openIfThere(d.path(d.index + 1))
		if err != nil {
			return err
		}
		// Asked last: what is still there now was not passed by, since blocks are
		// removed from the oldest on.
		if ok, err := d.current(); err != nil || !ok {
			closeFile(next)
			if err != nil {
				return err
			}
			break
		}
		if next == nil {
			return d.name()
		}
		closeFile(d.block)
		d.block, d.unnamed = next, true
		d.index++
	}
	return d.syncAll()
}

// current reports whether d.block still is what has its name. A limit may have
// removed it, the server put a copy in its place, or somebody made the log again.
func (d *disk) current() (bool, error) {
	now, err := os.Stat(d.path(d.index))
	if errors.Is(err, os.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, fmt.Errorf("sync log: %w", err)
	}
	held, err := d.block.Stat()
	if err != nil {
		return false, fmt.Errorf("sync log: %w", err)
	}
	return os.SameFile(held, now), nil
}

// name makes the newest block's name durable.
func (d *disk) name() error {
	if !d.unnamed {
		return nil
	}
	if err := d.flushed(d.flush.names, d.folder); err != nil {
		return err
	}
	d.unnamed = false
	return nil
}

// syncAll syncs every block and every directory up to the root, and finds the
// newest block.
func (d *disk) syncAll() error {
	folder, err := os.Open(d.dir)
	if err != nil {
		return fmt.Errorf("sync log: %w", err)
	}
	block, index, err := d.syncBlocks(folder)
	if err == nil {
		err = d.syncFolders(folder)
	}
	if err == nil && index < d.index && d.holds(folder) {
		// The server goes on writing to a file without a name.
		err = fmt.Errorf("sync log: block %s was removed while the server runs; restart to see what is left", d.path(d.index))
		d.err = err
	}
	if err != nil {
		closeFile(block)
		closeFile(folder)
		return err
	}
	closeFile(d.block)
	closeFile(d.folder)
	d.folder, d.block, d.index, d.unnamed = folder, block, index, false
	return nil
}

// holds reports whether folder is the directory that was synced last: that of
// a log made again is another one.
func (d *disk) holds(folder *os.File) bool {
	if d.folder == nil {
		return false
	}
	a, err1 := d.folder.Stat()
	b, err2 := folder.Stat()
	return err1 == nil && err2 == nil && os.SameFile(a, b)
}

// syncBlocks syncs the blocks in folder and returns the newest, nil where there
// is none.
func (d *disk) syncBlocks(folder *os.File) (newest *os.File, index int, err error) {
	names, err := folder.Readdirnames(-1)
	if err != nil {
		return nil, 0, fmt.Errorf("list blocks: %w", err)
	}
	for _, name := range names {
		text, isBlock := strings.CutSuffix(name, ".blk")
		n, err := strconv.Atoi(text)
		if !isBlock || err != nil {
			continue
		}
		f, err := openIfThere(d.path(n))
		if err == nil && f != nil {
			err = d.flushed(d.flush.data, f)
		}
		if err != nil {
			closeFile(f)
			closeFile(newest)
			return nil, 0, err
		}
		if f == nil || n < index {
			closeFile(f)
			continue
		}
		closeFile(newest)
		newest, index = f, n
	}
	return newest, index, nil
}

// syncFolders syncs folder and the directories above it.
func (d *disk) syncFolders(folder *os.File) error {
	if err := d.flushed(d.flush.names, folder); err != nil {
		return err
	}
	for path := d.dir; path != d.root; {
		path = filepath.Dir(path)
		f, err := os.Open(path)
		if err != nil {
			return fmt.Errorf("sync log: %w", err)
		}
		err = d.flushed(d.flush.names, f)
		closeFile(f)
		if err != nil {
			return err
		}
	}
	return nil
}

// flushed flushes f. A failure is final.
func (d *disk) flushed(flush func(*os.File) error, f *os.File) error {
	if err := flush(f); err != nil {
		d.err = fmt.Errorf("sync log: %w", err)
		return d.err
	}
	return nil
}

// openIfThere returns nil where there is no such file.
func openIfThere(path string) (*os.File, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("sync log: %w", err)
	}
	return f, nil
}

// closeFile closes what was opened for reading; nil is nothing to close.
func closeFile(f *os.File) {
	if f != nil {
		_ = f.Close()
	}
}

// syncNames makes the names in a directory durable.
func syncNames(f *os.File) error {
	if runtime.GOOS == "windows" { // which has no such thing
		return nil
	}
	return f.Sync()
}
