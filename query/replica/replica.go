package replica

import (
	"cmp"
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

// Config says where the replica is and what it copies.
type Config struct {
	// Dir is the directory of the file. It belongs to one process at a time. ""
	// means a temporary directory, removed by Close.
	Dir string
	// Views is where the views come from, Tables how each is kept; both are required.
	Views  Views
	Tables []Table
	// LoadRows is how many rows a load writes in one batch, Gather how many batches go
	// into one transaction where they queue up, and FullPause the wait before a write
	// to a full disk is tried again: 4096, 64 and 1 s where they are 0.
	LoadRows, Gather int
	FullPause        time.Duration
	// Before is for tests of writes that fail: it is called before each statement of
	// the writer, which does not run where Before returns an error. nil: none is.
	Before func(conn *sql.Conn, statement string) error
	// AuditEvery is how often the copy is compared with the views: an hour where
	// it is 0, never where it is negative.
	AuditEvery time.Duration
	// Registerer takes the metrics; nil: none.
	Registerer prometheus.Registerer
	Log        zerolog.Logger
}

func (c Config) validate() error {
	switch {
	case c.Views == nil:
		return errors.New("query replica: no views to follow: set Views")
	case len(c.Tables) == 0:
		return errors.New("query replica: no tables to keep views in: set Tables")
	}
	return nil
}

// Replica is a copy of the views in an embedded SQLite database: a cache that
// may be deleted at any time. One goroutine writes, any number read.
type Replica struct {
	config Config
	dir    string
	temp   bool
	unlock func()
	tables []*Table
	counts *counts
	pace   pace.Pace // of reads
	// reloads asks for a view's table to be filled again, by view.
	reloads map[string]chan struct{}

	mu      sync.Mutex
	file    *file // nil: there is none that can be used
	states  map[string]Progress
	changed chan struct{} // closed and replaced by each commit
	waiting map[string]string
	// reloading holds the views whose tables are to be filled again.
	reloading map[string]bool
}

// Progress is how far the copy of one view is. It is stored in the table
// `views` by the transaction that stores the changes.
type Progress struct {
	View       string
	Table      int // number of the current table; 0: nothing loaded yet
	Bucket     string
	Generation int
	Version    string
	Revision   uint64
	StoredAt   time.Time
	// Takeover proves the past of Revision; see viewstore.Position. Takeovers are the
	// latest ones since the table was loaded.
	Takeover  string
	Takeovers Takeovers
	Sequence  eventlog.Seq
	Parked    int
	// LoadSequence is of the commit that the table was filled up to.
	LoadSequence eventlog.Seq
	// Forgotten is the revision up to which deletes are no longer remembered.
	Forgotten uint64
	// Loading is the number of the table that is being filled next to it; 0: none.
	Loading int
}

// Loaded reports whether there is a copy of the view.
func (s Progress) Loaded() bool { return s.Table > 0 }

// position is where to follow the view from.
func (s Progress) position() viewstore.Position {
	if !s.Loaded() {
		return viewstore.Position{}
	}
	return viewstore.Position{Bucket: s.Bucket, Revision: s.Revision, StoredAt: s.StoredAt, Takeover: s.Takeover}
}

// Open takes the directory and opens the file, or makes it where it is
// missing, damaged or of another schema version. The caller runs Run, and calls
// Close after it. Where the file can't be made now, Run goes on trying.
func Open(ctx context.Context, c Config) (*Replica, error) {
	if err := c.validate(); err != nil {
		return nil, err
	}
	r := &Replica{config: c, dir: c.Dir, pace: pace.New(min(readers, pace.SpareCores())), reloads: map[string]chan struct{}{},
		states: map[string]Progress{}, changed: make(chan struct{}), waiting: map[string]string{}, reloading: map[string]bool{}}
	r.config.LoadRows, r.config.Gather, r.config.FullPause = cmp.Or(c.LoadRows, defaultLoadRows), cmp.Or(c.Gather, defaultGather), cmp.Or(c.FullPause, fullPause)
	r.counts = newCounts(r, c.Registerer)
	for i := range c.Tables {
		t := &c.Tables[i]
		r.tables = append(r.tables, t)
		r.reloads[t.View] = make(chan struct{}, 1)
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
// written, is wiped and loaded again: it is a cache, and must not end the process.
// Waiting says what it waits for.
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
func (r *Replica) publish(states []Progress) (before map[string]Progress) {
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

// Progress returns how far the copy of each view is, and a channel that is closed
// when that changes.
func (r *Replica) Progress() (map[string]Progress, <-chan struct{}) {
	r.mu.Lock()
	defer r.mu.Unlock()
	return maps.Clone(r.states), r.changed
}

// Sequences returns the last log sequence that the copy of each loaded view holds.
func (r *Replica) Sequences() map[string]eventlog.Seq {
	states, _ := r.Progress()
	seqs := make(map[string]eventlog.Seq, len(states))
	for view, s := range states {
		if s.Loaded() {
			seqs[view] = s.Sequence
		}
	}
	return seqs
}

// Loaded reports whether every view has been copied once, so that readers get
// answers.
func (r *Replica) Loaded() bool { return len(r.Sequences()) == len(r.tables) }

// Why Wait gave up.
var (
	ErrNotLoaded = errors.New("view is not loaded yet")
	ErrBehind    = errors.New("view does not hold the record yet")
)

// Need is what a reader needs of the copy.
type Need struct {
	// Views must be loaded, and hold the record Sequence.
	Views    []string
	Sequence eventlog.Seq
	// Wait is how long to wait for that.
	Wait time.Duration
}

// Wait returns once the copy is as a reader needs it: ErrNotLoaded or ErrBehind
// where the time for that ends first. It is woken by commits.
func (r *Replica) Wait(ctx context.Context, n Need) error {
	var timeout <-chan time.Time
	for {
		states, changed := r.Progress()
		err := n.missing(states)
		if err == nil {
			return nil
		}
		if timeout == nil {
			timer := time.NewTimer(n.Wait)
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

// Holds reports whether the copy is as a reader needs it now.
func (r *Replica) Holds(n Need) bool {
	states, _ := r.Progress()
	return n.missing(states) == nil
}

// Enter waits for a place to work in that readers share; see pace.Pace.
func (r *Replica) Enter(ctx context.Context) (leave func(), err error) { return r.pace.Enter(ctx) }

// missing says what a reader lacks where the views are so far.
func (n Need) missing(states map[string]Progress) error {
	for _, v := range n.Views {
		switch s := states[v]; {
		case !s.Loaded() && n.Sequence > 0:
			return fmt.Errorf("%w: %s is not loaded yet", ErrBehind, v)
		case !s.Loaded():
			return fmt.Errorf("%w: %s", ErrNotLoaded, v)
		case s.Sequence < n.Sequence:
			return fmt.Errorf("%w: %s is at %d", ErrBehind, v, s.Sequence)
		}
	}
	return nil
}
