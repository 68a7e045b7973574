package projector

import (
	"container/list"
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"rollcall/eventlog"
)

// errRefold: a record failed its fold, or an entity needs a careful look. The
// task ends and the next one folds again from the checkpoint, knowing more.
var errRefold = errors.New("fold again from the checkpoint")

// task folds one generation from its checkpoint under one lease, until something
// ends it: a refold begins another task. Its fields belong to the fold's goroutine,
// which is the one that calls run.
type task struct {
	p *engine
	*Lease
	fold   aged
	poison *poison
	target eventlog.Seq // end of the log when the task began
	began  time.Time    // when the lease began
	mail   *mailbox
	cache  *cache

	// bulk: see engine. draining: the end of the log was reached, and what is dirty
	// is committed.
	bulk, draining bool

	// What was folded so far, and since when it waits to be committed.
	at         position
	moved      bool
	movedSince time.Time
	dirty      *list.List // of *entity, the one changed longest ago in front
	dirtySince time.Time
	backlog    int // records left in the mailbox after the last chunk
	chunk      []*input
	keys       []string // of chunk's records, and their entities
	targets    []*entity
	park       []Parked
	parked     *parkedSet
	applied    [maxTypes]uint64
	reported   cacheCounts // what metrics hold of the cache

	// What leaves the view because of its age.
	aging aging

	// What the next commit's span says.
	tracing tracing

	// The commit in flight. results has room for its one outcome, so that the
	// committer never waits for the fold.
	incarnation string
	commits     uint64
	flight      *flight
	probed      time.Time // when the store last said how far it is
	results     chan error
}

// flight is a commit on its way, with the entities that it holds, or without a
// commit the question how far the store is.
type flight struct {
	commit   *Commit
	entities []*entity
	span     *CommitSpan // nil: none is made
}

func newTask(p *engine, lease *Lease, head eventlog.Head, poison *poison, began time.Time) *task {
	t := &task{
		p: p, Lease: lease, poison: poison, began: began, probed: p.config.Now(),
		target: head.Last, mail: newMailbox(),
		cache:       newCache(p.config.CacheBytes, lease.Empty),
		bulk:        p.bulk,
		dirty:       list.New(),
		at:          position{lease.Checkpoint.Sequence, lease.Checkpoint.StoredAt},
		parked:      newParkedSet(lease.Parked),
		incarnation: head.Incarnation,
		results:     make(chan error, 1),
		aging:       newAging(lease.Checkpoint, p.floor, lease.Empty),
	}
	p.board.begin(t.at.seq)
	t.fold = age(p.config.Projection, &t.aging.horizon)
	return t
}

// run reads, folds and commits until ctx ends (nil), or something ends the task.
func (t *task) run(ctx context.Context) error {
	inner, cancel := context.WithCancel(ctx)
	commits, stopCommits := context.WithCancel(context.WithoutCancel(ctx))
	readErr := make(chan error, 1)
	var wg sync.WaitGroup
	from := t.at
	wg.Go(func() { readErr <- t.p.read(inner, from, t.mail) })
	wg.Go(func() { t.p.watchHead(inner, t.mail) })
	defer wg.Wait()
	defer stopCommits()
	defer cancel()
	defer t.p.metrics.forget(t)

	err := t.loop(inner, commits, &wg, readErr)
	cancel()
	late := time.AfterFunc(t.p.config.StopTimeout, stopCommits)
	defer late.Stop()
	if t.flight != nil {
		if cerr := t.landed(<-t.results); cerr != nil && (err == nil || errors.Is(err, errRefold)) {
			return cerr
		}
	}
	if err != nil {
		return err
	}
	return t.last(commits)
}

// last commits what is held when the projector stops.
func (t *task) last(ctx context.Context) error {
	t.draining = true
	for {
		c, entities, err := t.gather()
		if err != nil || c == nil {
			return err
		}
		t.depart(&flight{c, entities, t.span(c)})
		if err := t.landed(t.commit(ctx, c, t.lastCommit())); err != nil {
			return err
		}
	}
}

// loop is the fold's goroutine: it folds what the reader has put ready, starts a
// commit when the window ends and none is in flight, and handles what comes back.
// It blocks nowhere but in its select and in reads of the store.
func (t *task) loop(ctx, commits context.Context, wg *sync.WaitGroup, readErr <-chan error) error {
	timer := time.NewTimer(0)
	defer timer.Stop()
	ages := time.NewTicker(ageStep(t.p.config.MaxAge))
	defer ages.Stop()
	for {
		if t.caughtUp() {
			t.reachedEnd()
		}
		t.advance(t.p.config.Now())
		t.sweep(ctx, wg)
		if t.due(t.p.config.Now()) <= 0 {
			if err := t.launch(commits, wg); err != nil {
				return err
			}
		}
		ready := t.mail.ready
		if t.full() {
			ready = nil
		}
		timer.Reset(t.due(t.p.config.Now()))
		select {
		case <-ctx.Done():
			return nil
		case <-t.Lost:
			return fmt.Errorf("%w: another process holds the lease on %s", ErrFenced, t.Bucket)
		case err := <-readErr:
			if err != nil {
				return err
			}
			return ctx.Err()
		case err := <-t.results:
			if err := t.landed(err); err != nil {
				return err
			}
		case <-timer.C:
		case <-ages.C:
			t.aging.again()
		case keys, more := <-t.dueKeys():
			if err := t.drop(ctx, keys, more); err != nil {
				return err
			}
		case <-ready:
			if err := t.foldChunk(ctx); err != nil {
				return err
			}
		}
	}
}

// never is longer than any window.
const never = time.Hour

// due says how long the open window has to wait for its commit.
func (t *task) due(now time.Time) time.Duration {
	c := &t.p.config
	n := t.dirty.Len()
	switch {
	case t.flight != nil:
		return never
	case n > 0 && t.cache.bytes > c.CacheBytes:
		return 0
	case t.bulk:
		if t.draining || t.cold(2*t.p.coldAfter) {
			return 0
		}
		return probeInterval
	case n >= c.BatchEntities:
		return 0
	case n > 0 || len(t.park) > 0:
		window := c.Window
		if t.backlog > 0 {
			window = max(window, maxWindow)
		}
		return t.dirtySince.Add(window).Sub(now)
	case t.moved:
		return t.movedSince.Add(c.IdleWindow).Sub(now)
	}
	return t.probed.Add(probeInterval).Sub(now)
}

// cold reports whether some entity that waits was last changed more than n
// records ago.
func (t *task) cold(n eventlog.Seq) bool {
	front := t.dirty.Front()
	if front == nil {
		return false
	}
	e, _ := front.Value.(*entity)
	return e.touched+n < t.at.seq
}

// full stops the fold while the commit in flight and what waits for the next one
// hold too much memory. In bulk it also stops a fold that is too far ahead of a
// slow store: the log, not the store, must decide how much is held.
func (t *task) full() bool {
	c := &t.p.config
	if t.flight == nil || t.dirty.Len() == 0 {
		return false
	}
	if t.bulk && t.cold(3*t.p.coldAfter) || !t.bulk && t.dirty.Len() >= 2*c.BatchEntities {
		return true
	}
	return t.cache.bytes > 2*c.CacheBytes
}

// foldChunk folds what the reader has put ready.
func (t *task) foldChunk(ctx context.Context) error {
	t.chunk, t.backlog = t.mail.take(t.chunk[:0], chunkEvents)
	t.keys = t.keys[:0]
	for _, in := range t.chunk {
		t.keys = append(t.keys, t.key(in))
	}
	if err := t.fetch(ctx, t.keys); err != nil {
		return err
	}
	now := t.p.config.Now()
	for i, in := range t.chunk {
		if err := t.foldOne(in, t.keys[i], t.targets[i], now); err != nil {
			return err
		}
		t.at = position{in.event.Seq, in.storedAt}
		t.applied[in.event.Type]++
		in.free()
	}
	folded := len(t.chunk)
	clear(t.chunk)
	clear(t.keys)
	clear(t.targets)
	if folded > 0 && !t.moved {
		t.moved, t.movedSince = true, now
	}
	t.cache.evict()
	t.p.metrics.observe(t)
	t.p.board.progress(t.at.seq)
	return nil
}

// key asks the fold for the event's entity. A record on which it fails is poison.
func (t *task) key(in *input) (key string) {
	if t.poison.has(&in.event) {
		return t.poison.entity(in.event.Seq)
	}
	if err := guard(func() { key = t.fold.Key(&in.event) }); err != nil {
		t.poison.add(&in.event, "", oneLine(err))
		return ""
	}
	return key
}

// fetch brings the entities of a chunk into the cache, missing ones in one read,
// and leaves them in targets.
func (t *task) fetch(ctx context.Context, keys []string) error {
	var missing []*entity
	t.targets = t.targets[:0]
	for _, key := range keys {
		if key == "" {
			t.targets = append(t.targets, nil)
			continue
		}
		if e := t.cache.get(key); e != nil {
			t.targets = append(t.targets, e)
			t.cache.hits++
			continue
		}
		e := &entity{key: key, careful: t.poison.careful[key]}
		if err := guard(func() { e.state = t.fold.New(key) }); err != nil {
			return fmt.Errorf("%w: fold %s can't make a new state: %w", ErrState, t.fold.Name(), err)
		}
		t.cache.add(e)
		t.targets = append(t.targets, e)
		e.fresh = true
		if t.cache.stored(key) {
			t.cache.misses++
			missing = append(missing, e)
		}
	}
	if len(missing) == 0 {
		return nil
	}
	return t.load(ctx, missing)
}

// loadTries is how often entities are asked for before the task ends.
const loadTries = 4

// load reads the states of entities that are not in the cache. An error of the
// store is retried a few times; a state that can't be read ends the task.
func (t *task) load(ctx context.Context, missing []*entity) error {
	keys := make([]string, len(missing))
	for i, e := range missing {
		keys[i] = e.key
	}
	t.p.board.waits(waitLoad, t.p.config.Now())
	defer t.p.board.answered(waitLoad)
	all, err := t.tryLoad(ctx, keys)
	for tries := 1; err != nil && !leaseOver(err) && tries < loadTries; tries++ {
		// Ending the task would mean folding everything again that is not
		// committed yet.
		t.p.logger.Warn().Err(err).Str(keyBucket, t.Bucket).Int64(keyRetryMS, retryFirst.Milliseconds()).Msg("entities can't be read; trying again")
		if pause(ctx, retryFirst) != nil {
			break
		}
		all, err = t.tryLoad(ctx, keys)
	}
	if err != nil {
		return fmt.Errorf("load %d entities of %s: %w", len(keys), t.Bucket, err)
	}
	for i, e := range missing {
		e.fresh = len(all[i]) == 0
		for _, part := range all[i] {
			var loadErr error
			if err := guard(func() { loadErr = e.state.Load(part.Name, part.Value) }); err != nil {
				loadErr = err
			}
			if loadErr != nil {
				return fmt.Errorf("%w: part %s of entity %s in %s: %w; run `rollcall verify %s --repair`",
					ErrState, part.Name, eventlog.EscapeID(e.key), t.Bucket, loadErr, t.fold.Name())
			}
		}
		t.cache.resize(e)
	}
	return nil
}

func (t *task) tryLoad(ctx context.Context, keys []string) ([][]Part, error) {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout+time.Duration(len(keys))*writeTimeout)
	defer cancel()
	return t.Load(ctx, keys)
}

// foldOne applies one event, or keeps its record aside.
func (t *task) foldOne(in *input, key string, e *entity, now time.Time) error {
	seq := in.event.Seq
	if text, broken := t.poison.broken[key]; broken && !t.poison.has(&in.event) {
		t.poison.add(&in.event, key, text)
	}
	if t.poison.has(&in.event) {
		t.keepAside(in, key, now)
		return nil
	}
	if key == "" {
		return nil
	}
	err := guard(func() { e.state.Apply(&in.event) })
	if err == nil && e.careful {
		err = e.flushCareful(t.p.config.MaxValueBytes)
	}
	if err != nil {
		t.poison.add(&in.event, key, oneLine(err))
		t.p.logger.Error().Uint64(keySequence, uint64(seq)).Str(keyEntity, eventlog.EscapeID(key)).
			Msg("record fails its fold; folding again without it")
		return errRefold
	}
	t.touch(e, now)
	t.trace(in)
	return nil
}

// touch marks an entity as changed.
func (t *task) touch(e *entity, now time.Time) {
	t.cache.resize(e)
	e.touched = t.at.seq
	if e.dirty {
		t.dirty.MoveToBack(e.waiting)
		return
	}
	e.dirty, e.before = true, t.at
	if t.dirty.Len() == 0 && len(t.park) == 0 {
		t.dirtySince = now
	}
	e.waiting = t.dirty.PushBack(e)
}

// caughtUp reports whether everything was folded that the log held when the task
// began and still holds.
func (t *task) caughtUp() bool {
	return t.backlog == 0 && (t.at.seq >= t.target || t.at.seq >= t.p.board.end())
}

// reachedEnd is called at the end of the log. In bulk what is still held has
// to be stored first.
func (t *task) reachedEnd() {
	if t.bulk && (t.dirty.Len() > 0 || t.flight != nil) {
		t.draining = true
		return
	}
	t.bulk = false
	t.p.markLive()
}

// markLive says, once a task, that the end of the log was reached.
func (p *engine) markLive() {
	p.board.set(func(s *Status) {
		if s.State == RunCatchingUp {
			s.State = RunLive
			p.logger.Info().Str(keyBucket, s.Bucket).Msg("live")
		}
	})
}
