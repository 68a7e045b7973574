package projector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"time"

	"rollcall/eventlog"
)

// writes gathers what a State flushes.
type writes struct {
	documents []Put
	parts     []Part
	// index finds a key that was flushed before; nil while each comes once.
	index map[string]int
	limit int
	err   error
}

// Put, Delete and PutPart implement eventlog.Writer.
func (w *writes) Put(key string, document []byte) {
	if document == nil {
		document = []byte{}
	}
	w.check(key, ValidKey(key), document)
	w.document(Put{key, document})
}

// Delete stores a delete marker: whether the key exists is not known here.
func (w *writes) Delete(key string) {
	w.check(key, ValidKey(key), nil)
	w.document(Put{key, nil})
}

// PutPart stores a part of the state.
func (w *writes) PutPart(part string, value []byte) {
	if value == nil {
		value = []byte{}
	}
	w.check(part, validPart(part), value)
	if at, ok := w.index["p/"+part]; ok {
		w.parts[at].Value = value
		return
	}
	if w.index != nil {
		w.index["p/"+part] = len(w.parts)
	}
	w.parts = append(w.parts, Part{part, value})
}

func (w *writes) document(d Put) {
	if at, ok := w.index["d/"+d.Key]; ok {
		w.documents[at] = d
		return
	}
	if w.index != nil {
		w.index["d/"+d.Key] = len(w.documents)
	}
	w.documents = append(w.documents, d)
}

func (w *writes) check(name string, valid bool, value []byte) {
	if !valid && w.err == nil {
		w.err = fmt.Errorf("fold named a value %.64q, which the store can't hold", name)
	}
	if len(value) > w.limit && w.err == nil {
		w.err = fmt.Errorf("%w: %d bytes in %.64q, at most %d are stored", ErrTooLarge, len(value), name, w.limit)
	}
}

// flush empties a state's changes into w.
func flush(e *entity, w *writes) error {
	if err := guard(func() { e.state.Flush(w) }); err != nil {
		return err
	}
	return w.err
}

// flushCareful flushes after one record, adding to what earlier records changed.
func (e *entity) flushCareful(limit int) error {
	if e.pending == nil {
		e.pending = &writes{limit: limit, index: make(map[string]int)}
	}
	return flush(e, e.pending)
}

// gather closes the window: it empties changed entities into one commit, all of
// them or, in bulk, those that are likely to have seen their last change. The
// checkpoint is the record before the first change that is not in it. gather
// returns nil if there is nothing to commit.
func (t *task) gather() (*Commit, []*entity, error) {
	if !t.moved && t.dirty.Len() == 0 && len(t.park) == 0 {
		return nil, nil, nil
	}
	entities, upTo := t.choose()
	c := &Commit{Entities: make([]EntityWrite, 0, len(entities)), Park: t.park, Bulk: t.bulk}
	for _, e := range entities {
		w := e.pending
		if w == nil {
			w = &writes{limit: t.p.config.MaxValueBytes}
		}
		if err := flush(e, w); err != nil {
			return nil, nil, t.unflushed(e, err)
		}
		e.pending = nil
		if e.fresh && t.cache.unknown(e.key) {
			// The generation was empty when this process took it over, and has
			// seen nothing of the entity since: there is nothing to delete.
			w.documents = slices.DeleteFunc(w.documents, func(d Put) bool { return d.Value == nil })
		}
		if len(w.documents)+len(w.parts) > 0 {
			write := w.write(e.key, e.state, e.fresh)
			if write.leaves() {
				t.cache.resize(e)
			}
			c.Entities = append(c.Entities, write)
		}
	}
	for _, e := range entities {
		t.dirty.Remove(e.waiting)
		e.dirty, e.busy, e.fresh, e.waiting = false, true, false, nil
	}
	t.commits++
	c.Checkpoint = Checkpoint{
		Incarnation: t.incarnation,
		Sequence:    upTo.seq,
		StoredAt:    upTo.storedAt,
		Epoch:       t.Lease.Checkpoint.Epoch,
		Commit:      fmt.Sprintf("%s.%d", t.taskID(), t.commits),
		Parked:      t.parked.count(),
	}
	t.aging.stamp(&c.Checkpoint, t.dirty.Len() == 0)
	t.park, t.moved = nil, false
	return c, entities, nil
}

// unflushed decides what to do with an entity that can't be flushed.
func (t *task) unflushed(e *entity, err error) error {
	if !e.careful {
		// To find out which record did it, the entity is flushed after each
		// one.
		t.poison.careful[e.key] = true
		return errRefold
	}
	// No record did: it leaves the view because of its age, or a record was kept
	// aside. Folding again would fail in the same way.
	t.poison.broken[e.key] = oneLine(err)
	t.p.metrics.broken.Inc()
	t.p.logger.Error().Str(keyEntity, eventlog.EscapeID(e.key)).Str(keyBucket, t.Bucket).Msg("entity can't be written; " +
		"it stays as it is stored and its records are parked until the fold is corrected and the projector started again")
	return errRefold
}

// bulkEntities bounds a commit in bulk, and the memory that it takes.
const bulkEntities = 4000

// choose says which changed entities go into the next commit, and up to which
// record everything is stored after it.
func (t *task) choose() ([]*entity, position) {
	pressed := t.cache.bytes > t.p.config.CacheBytes
	entities := make([]*entity, 0, min(t.dirty.Len(), bulkEntities))
	upTo, cold := t.at, t.p.coldAfter
	for at := t.dirty.Front(); at != nil; at = at.Next() {
		e, _ := at.Value.(*entity)
		take := !t.bulk || t.draining || e.touched+cold < t.at.seq || e.before.seq+8*cold < t.at.seq ||
			pressed && len(entities) < max(1, t.dirty.Len()/2)
		if take && (!t.bulk || len(entities) < bulkEntities) {
			entities = append(entities, e)
			continue
		}
		if e.before.seq < upTo.seq {
			upTo = e.before
		}
	}
	return entities, upTo
}

// taskID keeps commit ids apart when a refold begins a new task in one epoch,
// and when a store that lost its tail gives the same epoch out again.
func (t *task) taskID() string {
	return fmt.Sprintf("%d-%s-%d", t.Lease.Checkpoint.Epoch, strconv.FormatInt(t.began.UnixNano(), 36), t.poison.refolds)
}

// lastCommit is the id of the commit that the store held before the next one.
func (t *task) lastCommit() string { return t.Lease.Checkpoint.Commit }

// launch gathers a commit and starts it. If there is none, the store is asked now
// and then how far it is: otherwise nobody would notice that an idle view was lost
// or taken over.
func (t *task) launch(ctx context.Context, wg *sync.WaitGroup) error {
	c, entities, err := t.gather()
	if err != nil || c == nil && t.p.config.Now().Sub(t.probed) < probeInterval {
		return err
	}
	t.depart(&flight{c, entities, t.span(c)})
	previous := t.lastCommit()
	wg.Go(func() {
		if c == nil {
			t.results <- t.probe(ctx, previous)
			return
		}
		t.results <- t.commit(ctx, c, previous)
	})
	return nil
}

// depart notes what is on its way.
func (t *task) depart(f *flight) {
	t.flight = f
	what := waitCommit
	if f.commit == nil {
		what = waitProbe
	}
	t.p.board.waits(what, t.p.config.Now())
}

// landed handles the outcome of the commit in flight.
func (t *task) landed(err error) error {
	f := t.flight
	t.flight = nil
	t.p.board.answered(waitCommit, waitProbe)
	t.probed = t.p.config.Now()
	t.report(f.span, err)
	if err != nil || f.commit == nil {
		return err
	}
	for _, e := range f.entities {
		e.busy = false
		if t.bulk && !e.dirty && !e.careful && e.touched+t.p.coldAfter < t.at.seq {
			// Most likely all its records have come. Keeping it for later ones
			// would make the cache grow with the log.
			t.cache.drop(e)
		}
	}
	t.Lease.Checkpoint = f.commit.Checkpoint
	t.Lease.Parked = t.parked.list(f.commit.Checkpoint.Sequence)
	for _, r := range f.commit.Park {
		t.p.metrics.parked.Inc()
		t.p.logger.Error().Uint64(keySequence, uint64(r.Sequence)).Str(keyEntity, eventlog.EscapeID(r.Entity)).
			Msg("record parked: it is left out of the view; see `rollcall parked show`")
	}
	for _, e := range f.commit.Entities {
		if e.leaves() {
			t.p.metrics.dropped.Inc()
		}
	}
	t.poison.settle(f.commit.Checkpoint.Sequence)
	t.aging.adopt(f.commit.Checkpoint)
	waiting := t.mail.waiting()
	if waiting.IsZero() && t.moved {
		waiting = t.at.storedAt
	}
	t.p.board.committed(f.commit.Checkpoint, waiting)
	return nil
}

// commit stores c. A try that fails has an unknown outcome: the checkpoint that
// the store then holds says whether it happened, can be tried again, or never
// can, because another process writes.
func (t *task) commit(ctx context.Context, c *Commit, previous string) error {
	started := t.p.config.Now()
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		err := t.try(ctx, c)
		if err == nil {
			t.p.metrics.committed(t.p.config.Now().Sub(started))
			return nil
		}
		if errors.Is(err, ErrTooLarge) {
			return fmt.Errorf("%w: raise the server's max_payload above %d bytes", err, t.p.config.MaxValueBytes)
		}
		if errors.Is(err, ErrLostView) {
			return err
		}
		t.p.metrics.commitErrors.Inc()
		cp, rerr := t.reread(ctx)
		if rerr != nil {
			return fmt.Errorf("commit to %s: %w; re-read checkpoint: %w", t.Bucket, err, rerr)
		}
		switch {
		case cp.Epoch == c.Checkpoint.Epoch && cp.Commit == c.Checkpoint.Commit:
			t.p.metrics.committed(t.p.config.Now().Sub(started))
			return nil
		case cp.Epoch != c.Checkpoint.Epoch || cp.Commit != previous:
			return fmt.Errorf("%w: %s is at epoch %d, this projector at %d", ErrFenced, t.Bucket, cp.Epoch, c.Checkpoint.Epoch)
		}
		t.p.logger.Warn().Err(err).Str(keyBucket, t.Bucket).Int64(keyRetryMS, wait.Milliseconds()).Msg("commit failed; trying again")
		if err := pause(ctx, wait); err != nil {
			return fmt.Errorf("commit to %s given up: %w", t.Bucket, err)
		}
	}
}

func (t *task) try(ctx context.Context, c *Commit) error {
	timeout := commitTimeout
	for _, e := range c.Entities {
		timeout += time.Duration(len(e.Documents)+len(e.Parts)) * writeTimeout
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return t.Commit(ctx, c)
}

// probe asks whether the store still holds what this writer committed last.
func (t *task) probe(ctx context.Context, last string) error {
	cp, err := t.reread(ctx)
	if err != nil {
		return fmt.Errorf("read checkpoint of %s: %w", t.Bucket, err)
	}
	if cp.Epoch != t.Lease.Checkpoint.Epoch || cp.Commit != last {
		return fmt.Errorf("%w: %s is at epoch %d, this projector at %d", ErrFenced, t.Bucket, cp.Epoch, t.Lease.Checkpoint.Epoch)
	}
	return nil
}

// reread asks for the checkpoint until it gets an answer, or has waited for
// answerTimeout: whoever takes the lease then may have a better connection.
func (t *task) reread(ctx context.Context) (Checkpoint, error) {
	ctx, cancel := context.WithTimeout(ctx, answerTimeout)
	defer cancel()
	for wait := retryFirst; ; wait = min(2*wait, retryLast) {
		c, cancel := context.WithTimeout(ctx, commitTimeout)
		cp, err := t.GenerationWriter.Checkpoint(c)
		cancel()
		if err == nil || ctx.Err() != nil || leaseOver(err) {
			return cp, err
		}
		t.p.logger.Warn().Err(err).Str(keyBucket, t.Bucket).Int64(keyRetryMS, wait.Milliseconds()).Msg("checkpoint can't be read; trying again")
		if pause(ctx, wait) != nil {
			return cp, err
		}
	}
}
