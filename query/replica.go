package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"os"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"golang.org/x/sync/errgroup"
	"rollcall/eventlog"
	"rollcall/projector/viewstore"
	"rollcall/query/pace"
)

const (
	// reopenFirst and reopenLast bound the pause before a file that was damaged,
	// or can't be opened, is made again.
	reopenFirst = 100 * time.Millisecond
	reopenLast  = 10 * time.Second
)

// ReplicaConfig says where the replica is and what it copies.
type ReplicaConfig struct {
	// Dir is the directory of the file. It belongs to one process at a time. ""
	// means a temporary directory, removed by Close.
	Dir string
	// Views is what to follow; required.
	Views Views
	// AuditEvery is how often the copy is held against the views: an hour where
	// it is 0, never where it is negative.
	AuditEvery time.Duration
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	Log        zerolog.Logger
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
	tables []*table
	counts *replicaCounts
	pace   pace.Pace // of reads
	// reloads asks for a view's table to be filled again, by view.
	reloads map[string]chan struct{}
	// loadRows is how many rows a load writes in one batch, gather how many batches
	// go into one transaction, and fullPause the wait before one that met a full
	// disk is tried again.
	loadRows  int
	gather    int
	fullPause time.Duration
	// before is for tests; see writeConn.
	before func(conn *sql.Conn, statement string) error

	mu      sync.Mutex
	file    *file // nil: there is none that can be used
	states  map[string]viewState
	changed chan struct{} // closed and replaced by each commit
	waiting map[string]string
	// reloading holds the views whose tables are to be filled again.
	reloading map[string]bool
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
	// Takeover proves the past of Revision; see viewstore.Position. Pasts are the
	// latest take-overs since the table was loaded.
	Takeover string
	Pasts    pasts
	Sequence eventlog.Seq
	Parked   int
	// Loaded and LoadedRevision are the commit that the table was filled up to.
	Loaded         eventlog.Seq
	LoadedRevision uint64
	// Forgotten is the revision up to which deletes are no longer remembered.
	Forgotten uint64
	// Loading is the number of the table that is being filled beside; 0: none.
	Loading int
}

func (s viewState) loaded() bool { return s.Table > 0 }

// position is where to follow the view from.
func (s viewState) position() viewstore.Position {
	if !s.loaded() {
		return viewstore.Position{}
	}
	return viewstore.Position{Bucket: s.Bucket, Revision: s.Revision, StoredAt: s.StoredAt, Takeover: s.Takeover}
}

// OpenReplica takes the directory and opens the file, or makes it where it is
// missing, damaged or of another schema version. The caller runs Run, and calls
// Close after it. Where the file can't be made now, Run goes on trying.
func OpenReplica(ctx context.Context, c ReplicaConfig) (*Replica, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	all, err := views()
	if err != nil {
		return nil, err
	}
	r := &Replica{config: c, dir: c.Dir, tables: tablesOf(all), counts: newReplicaCounts(c.Registerer), pace: pace.New(min(readers, pace.SpareCores())), reloads: map[string]chan struct{}{},
		loadRows: defaultLoadRows, gather: defaultGather, fullPause: fullPause, states: map[string]viewState{}, changed: make(chan struct{}), waiting: map[string]string{}, reloading: map[string]bool{}}
	for _, t := range r.tables {
		r.reloads[t.view] = make(chan struct{}, 1)
	}
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
		r.config.Log.Error().Err(err).Str(keyDir, r.dir).Msg("replica can't be made, trying again")
		r.await(waitFile, err.Error())
	}
	return r, nil
}

// Run follows the views until ctx ends. A file that is damaged, or can't be
// written, is wiped and loaded again: it is a cache, and what it is for must not
// end what runs beside it. Waiting says what it waits for.
func (r *Replica) Run(ctx context.Context) error {
	pause := reopenFirst
	for ctx.Err() == nil {
		f := r.opened()
		if f == nil {
			if err := r.remake(ctx); err != nil {
				r.await(waitFile, err.Error())
				r.config.Log.Error().Err(err).Str(keyDir, r.dir).Msg("replica can't be made, trying again")
				if pace.Wait(ctx, pause) != nil {
					return nil
				}
				pause = min(2*pause, reopenLast)
			}
			continue
		}
		begin := time.Now()
		err := r.runFile(ctx, f)
		if ctx.Err() != nil {
			return nil
		}
		r.discard(f, err)
		if time.Since(begin) > reopenLast {
			pause = reopenFirst
		}
		if pace.Wait(ctx, pause) != nil {
			return nil
		}
		pause = min(2*pause, reopenLast)
	}
	return nil
}

// runFile copies the views into f until ctx ends, or f turns out to be damaged.
func (r *Replica) runFile(ctx context.Context, f *file) error {
	g, ctx := errgroup.WithContext(ctx)
	c := &copier{Replica: r, file: f, queue: make(chan queued, 64)}
	g.Go(func() error { return c.writer(ctx) })
	g.Go(func() error { return c.audits(ctx) })
	for _, t := range r.tables {
		g.Go(func() error { return c.follow(ctx, t) })
	}
	g.Go(func() error {
		select {
		case err := <-f.damaged:
			return err
		case <-ctx.Done():
			return ctx.Err()
		}
	})
	return g.Wait()
}

// copier copies the views into one file.
type copier struct {
	*Replica
	file  *file
	queue chan queued
}

// Close closes the database. Run must have returned.
func (r *Replica) Close() error {
	r.mu.Lock()
	f := r.file
	r.file = nil
	r.mu.Unlock()
	err := f.close()
	if r.unlock != nil {
		r.unlock()
	}
	if r.temp {
		err = errors.Join(err, os.RemoveAll(r.dir))
	}
	return err
}

// publish makes states that were committed known to those who wait. It returns
// those before.
func (r *Replica) publish(states []viewState) (before map[string]viewState) {
	r.mu.Lock()
	defer r.mu.Unlock()
	before = maps.Clone(r.states)
	for _, s := range states {
		if s.Table != r.states[s.View].Table {
			delete(r.reloading, s.View)
		}
		r.states[s.View] = s
	}
	close(r.changed)
	r.changed = make(chan struct{})
	return before
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
