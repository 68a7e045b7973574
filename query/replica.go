package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"sync"
	"time"

	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	_ "modernc.org/sqlite" // the driver "sqlite"

	"rollcall/eventlog"
	"rollcall/projector/viewstore"
)

const (
	// schemaVersion is written into the file; a file with another one is wiped.
	schemaVersion = 2
	// readers bounds the connections that read at once. SQLite's readers don't
	// block each other in WAL mode; more than the cores can use only wait.
	readers = 8
	// fileName is the replica's file in Config.Dir.
	fileName = "replica.db"
)

// ReplicaConfig says where the replica is and what it copies.
type ReplicaConfig struct {
	// Dir is the directory of the file. It belongs to one process at a time. ""
	// means a temporary directory, removed by Close.
	Dir string
	// Views is what to follow; required.
	Views Views
	Log   zerolog.Logger
}

func (c ReplicaConfig) validate() error {
	if c.Views == nil {
		return errors.New("query replica: no views to follow: set Views")
	}
	return nil
}

// Replica is a copy of the views in an embedded SQLite database: a cache that
// may be deleted at any time. One goroutine writes, any number read.
type Replica struct {
	config ReplicaConfig
	dir    string
	temp   bool
	unlock func()
	write  *sql.DB
	reads  *sql.DB
	tables []*table
	queue  chan queued

	mu      sync.Mutex
	states  map[string]viewState
	changed chan struct{} // closed and replaced by each commit
}

// viewState is how far the copy of one view is. It is stored in the table
// `views` by the transaction that stores the changes.
type viewState struct {
	View       string
	Table      int // number of the table in force; 0: nothing loaded yet
	Bucket     string
	Generation int
	Version    string
	Revision   uint64
	StoredAt   time.Time
	Sequence   eventlog.Seq
	Parked     int
	// Loaded and LoadedRevision are the commit that the table was filled up to.
	Loaded         eventlog.Seq
	LoadedRevision uint64
	// Forgotten is the revision up to which deletes are no longer remembered.
	Forgotten uint64
}

func (s viewState) loaded() bool { return s.Table > 0 }

// position is where to follow the view from.
func (s viewState) position() viewstore.Position {
	if !s.loaded() {
		return viewstore.Position{}
	}
	return viewstore.Position{Bucket: s.Bucket, Revision: s.Revision, StoredAt: s.StoredAt}
}

// OpenReplica opens the file, or makes it where it is missing, unreadable or of
// another schema version. The caller runs Run, and calls Close after it.
func OpenReplica(ctx context.Context, c ReplicaConfig) (*Replica, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	r := &Replica{config: c, dir: c.Dir, tables: viewTables(), queue: make(chan queued, 64), changed: make(chan struct{})}
	if r.dir == "" {
		dir, err := os.MkdirTemp("", "rollcall-query-")
		if err != nil {
			return nil, fmt.Errorf("make replica directory: %w", err)
		}
		r.dir, r.temp = dir, true
	}
	if err := os.MkdirAll(r.dir, 0o700); err != nil {
		return nil, fmt.Errorf("make replica directory: %w", err)
	}
	unlock, err := lockDir(r.dir)
	if err != nil {
		return nil, err
	}
	r.unlock = unlock
	if err := r.open(ctx); err != nil {
		r.config.Log.Warn().Err(err).Str(keyDir, r.dir).Msg("replica can't be used, starting with an empty one")
		if err := errors.Join(r.closeDB(), r.wipe()); err != nil {
			return nil, errors.Join(err, r.Close())
		}
		if err := r.open(ctx); err != nil {
			return nil, errors.Join(err, r.Close())
		}
	}
	return r, nil
}

// open opens the file as it is; an error means that it must be wiped.
func (r *Replica) open(ctx context.Context) error {
	file := filepath.Join(r.dir, fileName)
	const common = "?_pragma=busy_timeout(5000)&_pragma=journal_mode(WAL)&_pragma=synchronous(NORMAL)&_pragma=temp_store(MEMORY)"
	var err error
	if r.write, err = sql.Open("sqlite", "file:"+file+common+"&_pragma=cache_size(-65536)&_txlock=immediate"); err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	r.write.SetMaxOpenConns(1)
	if err := r.prepare(ctx); err != nil {
		return err
	}
	if r.reads, err = sql.Open("sqlite", "file:"+file+common+"&_pragma=cache_size(-16384)&_pragma=query_only(1)"); err != nil {
		return fmt.Errorf("open replica: %w", err)
	}
	r.reads.SetMaxOpenConns(readers)
	r.reads.SetMaxIdleConns(readers)
	return nil
}

// prepare checks the schema version, drops what a half load left, and reads how
// far each view is.
func (r *Replica) prepare(ctx context.Context) error {
	var version int
	if err := r.write.QueryRowContext(ctx, "PRAGMA user_version").Scan(&version); err != nil {
		return fmt.Errorf("read replica's schema version: %w", err)
	}
	if version != 0 && version != schemaVersion {
		return fmt.Errorf("replica has schema version %d; want %d", version, schemaVersion)
	}
	tx, err := r.write.BeginTx(ctx, nil)
	if err != nil {
		return fmt.Errorf("prepare replica: %w", err)
	}
	defer tx.Rollback()
	if _, err := tx.ExecContext(ctx, viewsDDL); err != nil {
		return fmt.Errorf("prepare replica: %w", err)
	}
	states, err := readStates(ctx, tx)
	if err != nil {
		return err
	}
	if err := dropOrphans(ctx, tx, states); err != nil {
		return err
	}
	if _, err := tx.ExecContext(ctx, fmt.Sprintf("PRAGMA user_version = %d", schemaVersion)); err != nil {
		return fmt.Errorf("prepare replica: %w", err)
	}
	if err := tx.Commit(); err != nil {
		return fmt.Errorf("prepare replica: %w", err)
	}
	r.states = states
	return nil
}

// wipe removes the files of the database.
func (r *Replica) wipe() error {
	var errs []error
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(filepath.Join(r.dir, fileName) + suffix); err != nil && !errors.Is(err, os.ErrNotExist) {
			errs = append(errs, fmt.Errorf("wipe replica: %w", err))
		}
	}
	return errors.Join(errs...)
}

// Run follows the views until ctx ends. It returns nil then, and an error where
// the replica can't be written.
func (r *Replica) Run(ctx context.Context) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.writer(ctx) })
	for _, t := range r.tables {
		g.Go(func() error { return r.follow(ctx, t) })
	}
	err := g.Wait()
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// Close closes the database. Run must have returned.
func (r *Replica) Close() error {
	err := r.closeDB()
	if r.unlock != nil {
		r.unlock()
	}
	if r.temp {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}

func (r *Replica) closeDB() error {
	var errs []error
	for _, db := range []*sql.DB{r.reads, r.write} {
		if db != nil {
			errs = append(errs, db.Close())
		}
	}
	r.reads, r.write = nil, nil
	return errors.Join(errs...)
}

// publish makes states that were committed known to those who wait.
func (r *Replica) publish(states []viewState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, s := range states {
		r.states[s.View] = s
	}
	close(r.changed)
	r.changed = make(chan struct{})
}

// current returns how far each view is, and a channel that is closed when that
// changes.
func (r *Replica) current() (map[string]viewState, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.states), r.changed
}

// Sequences returns the last log sequence that the copy of each loaded view holds.
func (r *Replica) Sequences() map[string]eventlog.Seq {
	states, _ := r.current()
	seqs := make(map[string]eventlog.Seq, len(states))
	for view, s := range states {
		if s.loaded() {
			seqs[view] = s.Sequence
		}
	}
	return seqs
}

// Loaded reports whether every view has been copied once, so that readers get
// answers.
func (r *Replica) Loaded() bool { return len(r.Sequences()) == len(r.tables) }

// errNotLoaded and errBehind say why wait gave up.
var (
	errNotLoaded = errors.New("view is not loaded yet")
	errBehind    = errors.New("view does not hold the record yet")
)

// wait returns once all of views are loaded and hold the record least, at the
// latest after d. It is woken by commits.
func (r *Replica) wait(ctx context.Context, views []string, least eventlog.Seq, d time.Duration) error {
	var timeout <-chan time.Time
	for {
		states, changed := r.current()
		err := reached(states, views, least)
		if err == nil {
			return nil
		}
		if timeout == nil {
			timer := time.NewTimer(d)
			defer timer.Stop()
			timeout = timer.C
		}
		select {
		case <-changed:
		case <-timeout:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

func reached(states map[string]viewState, views []string, least eventlog.Seq) error {
	for _, v := range views {
		switch s := states[v]; {
		case !s.loaded() && least > 0:
			return fmt.Errorf("%w: %s is not loaded yet", errBehind, v)
		case !s.loaded():
			return fmt.Errorf("%w: %s", errNotLoaded, v)
		case s.Sequence < least:
			return fmt.Errorf("%w: %s is at %d", errBehind, v, s.Sequence)
		}
	}
	return nil
}
