package replica

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync"

	_ "modernc.org/sqlite" // the driver "sqlite"
)

const (
	// rowVersion counts changes of what a row holds that its columns don't show; see
	// schemaOf. A file of another schema is wiped.
	rowVersion = 3
	// readers bounds the connections that read at once. SQLite's readers don't
	// block each other in WAL mode; more than the cores can use only wait.
	readers = 8
	// fileName is the replica's file in Config.Dir.
	fileName = "replica.db"
)

// file is one opening of the database. A damaged one is closed for good, and
// another takes its place.
type file struct {
	path    string
	write   *sql.DB
	reads   *sql.DB
	damaged chan error // the first error that shows it; see report

	mu      sync.Mutex
	readers sync.WaitGroup
	ctx     context.Context // of the readers; it ends when the file is closed
	cancel  context.CancelFunc
}

// fileURI is the form in which SQLite takes a path and parameters: a path may
// hold what means something in a URI.
func fileURI(path, parameters string) string {
	path = filepath.ToSlash(path)
	if !strings.HasPrefix(path, "/") {
		path = "/" + path // a drive letter
	}
	return (&url.URL{Scheme: "file", OmitHost: true, Path: path, RawQuery: parameters}).String()
}

// openFile opens the database as it is; an error means that it must be wiped.
func openFile(ctx context.Context, dir string, tables []*Table) (*file, map[string]Progress, error) {
	path, err := filepath.Abs(filepath.Join(dir, fileName))
	if err != nil {
		return nil, nil, fmt.Errorf("open replica: %w", err)
	}
	if err := ownFile(path); err != nil {
		return nil, nil, err
	}
	f := &file{path: path, damaged: make(chan error, 1)}
	f.ctx, f.cancel = context.WithCancel(context.Background())
	// mode=rw: a file that somebody removed is missed, not made again empty.
	const common = "mode=rw&_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=temp_store(MEMORY)"
	if f.write, err = sql.Open("sqlite", fileURI(path, common+"&_pragma=cache_size(-65536)&_txlock=immediate")); err != nil {
		return nil, nil, fmt.Errorf("open replica: %w", err)
	}
	f.write.SetMaxOpenConns(1)
	states, err := f.prepare(ctx, tables)
	if err != nil {
		return nil, nil, errors.Join(err, f.close())
	}
	if f.reads, err = sql.Open("sqlite", fileURI(path, common+"&_pragma=cache_size(-16384)&_pragma=query_only(1)")); err != nil {
		return nil, nil, errors.Join(fmt.Errorf("open replica: %w", err), f.close())
	}
	f.reads.SetMaxOpenConns(readers)
	f.reads.SetMaxIdleConns(readers)
	return f, states, nil
}

// ownFile makes the file where it is missing, for its owner alone: SQLite makes
// one by the umask, and gives its other files the same mode.
func ownFile(path string) error {
	f, err := os.OpenFile(path, os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	if err := errors.Join(f.Chmod(0o600), f.Close()); err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	return nil
}

// prepare checks the schema version, drops what a half load left, and reads how
// far each view is.
func (f *file) prepare(ctx context.Context, tables []*Table) (map[string]Progress, error) {
	var version int32
	if err := f.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return nil, fmt.Errorf("read replica's schema version: %w", err)
	}
	want := schemaOf(tables)
	if version != 0 && version != want {
		return nil, fmt.Errorf("replica has schema version %d; want %d", version, want)
	}
	tx, err := f.write.BeginTx(ctx, nil)
	if err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, viewsDDL); err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	states, err := readProgress(ctx, tx)
	if err != nil {
		return nil, err
	}
	if err := dropOrphans(ctx, tx, tables, states); err != nil {
		return nil, err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", want)); err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return nil, fmt.Errorf("prepare replica: %w", err)
	}
	return states, nil
}

// enter lets a reader in: its context ends when the file is closed. leave must
// be called. ok is false where the file is being closed.
func (f *file) enter(ctx context.Context) (inner context.Context, leave func(), ok bool) {
	if f == nil {
		return nil, nil, false
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.ctx.Err() != nil {
		return nil, nil, false
	}
	f.readers.Add(1)
	inner, cancel := context.WithCancel(ctx)
	stop := context.AfterFunc(f.ctx, cancel)
	return inner, func() { stop(); cancel(); f.readers.Done() }, true
}

// report passes on that the file is damaged. The first report is enough.
func (f *file) report(err error) {
	select {
	case f.damaged <- err:
	default:
	}
}

// close ends the readers and closes the database; f may be nil.
func (f *file) close() error {
	if f == nil {
		return nil
	}
	f.mu.Lock()
	f.cancel()
	f.mu.Unlock()
	f.readers.Wait()
	var errs []error
	for _, db := range []*sql.DB{f.reads, f.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	return errors.Join(errs...)
}

// wipe removes the files of a database that is closed.
func wipe(dir string) error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm", "-journal"} {
		if err := os.Remove(filepath.Join(dir, fileName) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("wipe replica: %w", err))
		}
	}
	return errors.Join(errs...)
}
