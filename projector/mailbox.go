package projector

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"sync"
	"sync/atomic"
	"time"

	"rollcall/eventlog"
)

// input is a record on its way from the reader to the fold, decoded.
type input struct {
	event    eventlog.Event
	storedAt time.Time
	trace    string // eventlog.Record.Trace
	bytes    int
	// holders counts who may still read it: one fold, or a Shared and the folds
	// that it was handed to. If one of them does not call free, the garbage
	// collector takes it.
	holders atomic.Int32
}

// spare are inputs that nobody holds: an event is large.
var spare = sync.Pool{New: func() any { return new(input) }}

// free gives an input back. The caller must not use it any more.
func (in *input) free() {
	if in.holders.Add(-1) == 0 {
		spare.Put(in)
	}
}

// mailbox hands records from the reader to the fold. With a channel of single
// records both sides would pay a switch for each; here they pay one for all that
// are there.
type mailbox struct {
	mu     sync.Mutex
	inputs []*input // guarded by mu
	bytes  int      // guarded by mu
	// held are records that the reader is about to hand on together.
	held      []*input // guarded by mu
	heldBytes int      // guarded by mu
	// ready and space carry at most one token each.
	ready, space chan struct{}
}

func newMailbox() *mailbox {
	return &mailbox{ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// hold keeps a record until put or release, and says how many are kept. It is
// called by one goroutine, as put is.
func (m *mailbox) hold(in *input) int {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.held = append(m.held, in)
	m.heldBytes += in.bytes
	return len(m.held)
}

// put waits for room for all that is held, or for an empty mailbox. It returns
// the newest sequence, and when the oldest record was stored; zero where nothing
// was held.
func (m *mailbox) put(ctx context.Context) (newest eventlog.Seq, oldest time.Time, err error) {
	for {
		m.mu.Lock()
		if len(m.inputs) == 0 || len(m.inputs)+len(m.held) <= mailEvents && m.bytes+m.heldBytes <= mailBytes {
			newest, oldest = m.hand()
			m.mu.Unlock()
			return newest, oldest, nil
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return 0, time.Time{}, ctx.Err()
		case <-m.space:
		}
	}
}

// release puts what is held if the mailbox is empty: the records it waited for
// have not come. empty says that the mailbox had none.
func (m *mailbox) release() (newest eventlog.Seq, oldest time.Time, empty bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.inputs) > 0 {
		return 0, time.Time{}, false
	}
	newest, oldest = m.hand()
	return newest, oldest, newest == 0
}

// hand moves what is held to the records. The caller holds mu.
func (m *mailbox) hand() (newest eventlog.Seq, oldest time.Time) {
	if len(m.held) == 0 {
		return 0, time.Time{}
	}
	newest, oldest = m.held[len(m.held)-1].event.Seq, m.held[0].storedAt
	m.inputs = append(m.inputs, m.held...)
	m.bytes += m.heldBytes
	clear(m.held)
	m.held, m.heldBytes = m.held[:0], 0
	signal(m.ready)
	return newest, oldest
}

// take moves at most n records to the end of to, and says how many stay.
func (m *mailbox) take(to []*input, n int) ([]*input, int) {
	m.mu.Lock()
	n = min(n, len(m.inputs))
	to = append(to, m.inputs[:n]...)
	for _, in := range m.inputs[:n] {
		m.bytes -= in.bytes
	}
	rest := copy(m.inputs, m.inputs[n:])
	clear(m.inputs[rest:])
	m.inputs = m.inputs[:rest]
	m.mu.Unlock()
	signal(m.space)
	if rest > 0 {
		signal(m.ready)
	}
	return to, rest
}

// waiting says when the log stored the oldest record; zero where there is none.
func (m *mailbox) waiting() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.inputs) == 0 {
		return time.Time{}
	}
	return m.inputs[0].storedAt
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read follows the log after a record into the mailbox until ctx ends or the log
// can't be followed any further. Temporary errors are retried.
func (p *engine) read(ctx context.Context, after position, m *mailbox) error {
	wait := retryFirst
	for {
		err := p.readOnce(ctx, &after, m, &wait)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && fatal(err) {
			return fmt.Errorf("%w; run `rollcall rebuild %s`", err, p.config.Projection.Name())
		}
		p.metrics.readErrors.Inc()
		p.logger.Warn().Err(err).Int64(keyRetryMS, wait.Milliseconds()).Msg("reading the log interrupted; trying again")
		if pause(ctx, wait) != nil {
			return nil
		}
		wait = min(2*wait, retryLast)
	}
}

// readOnce reads until the read breaks off. Records must come one after the other:
// a repeat means that the log lost its tail, a gap that the read has to begin
// again. after moves with each record that is held.
func (p *engine) readOnce(ctx context.Context, after *position, m *mailbox, wait *time.Duration) error {
	// Records that are in the log already come at once, so that a few of them can
	// be handed on together; one that is new is handed on alone.
	end := p.board.snapshot(p.config.Now()).HeadSequence
	put := func() error {
		newest, oldest, err := m.put(ctx)
		if err == nil && newest > 0 {
			p.board.seen(newest, oldest)
			*wait = retryFirst
		}
		return err
	}
	for in, err := range p.inputs(ctx, *after) {
		if err != nil {
			return errors.Join(put(), err)
		}
		seq := in.event.Seq
		if seq <= after.seq {
			return errors.Join(put(), fmt.Errorf("%w: record %d came after %d", eventlog.ErrLostTail, seq, after.seq))
		}
		if seq > after.seq+1 {
			return errors.Join(put(), fmt.Errorf("record %d came after %d, without those between", seq, after.seq))
		}
		if p.limiter != nil {
			if err := p.limiter.Wait(ctx); err != nil {
				return err
			}
		}
		// What is held is handed on whatever happens now, unless the task ends.
		*after = position{seq, in.storedAt}
		if held := m.hold(in); p.limiter != nil || seq >= end || held == readBatch {
			if err := put(); err != nil {
				return err
			}
		}
	}
	return put()
}

// inputs yields the decoded records after one, then new ones.
func (p *engine) inputs(ctx context.Context, after position) iter.Seq2[*input, error] {
	if shared, ok := p.config.Source.(*Shared); ok {
		return shared.follow(ctx, after)
	}
	return func(yield func(*input, error) bool) {
		for r, err := range p.config.Source.Read(ctx, after.follow()) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(newInput(&r), nil) {
				return
			}
		}
	}
}

// follow reads what comes after a record, and checks that the log still holds it.
func (p position) follow() eventlog.ReadOptions {
	return eventlog.ReadOptions{After: p.seq, AfterStoredAt: p.storedAt, Follow: true}
}

// proven checks whether the log still holds a record that was read, unless its
// retention has removed it.
func proven(ctx context.Context, source Source, at position) error {
	ctx, cancel := context.WithTimeout(ctx, commitTimeout)
	defer cancel()
	r, err := source.Record(ctx, at.seq)
	if err == nil {
		return at.same(r.StoredAt)
	}
	head, herr := source.Head(ctx)
	switch {
	case herr == nil && head.First > at.seq:
		return nil
	case herr == nil && head.Last < at.seq:
		return fmt.Errorf("%w: record %d was read, the log ends at %d", eventlog.ErrLostTail, at.seq, head.Last)
	}
	return fmt.Errorf("read record %d again: %w", at.seq, err)
}

// same returns ErrLostTail if another record has that sequence now.
func (p position) same(storedAt time.Time) error {
	if p.seq == 0 || p.storedAt.IsZero() || p.storedAt.Equal(storedAt) {
		return nil
	}
	return fmt.Errorf("%w: record %d was stored at %s, and is stored at %s", eventlog.ErrLostTail, p.seq,
		p.storedAt.UTC().Format(time.RFC3339Nano), storedAt.UTC().Format(time.RFC3339Nano))
}

func newInput(r *eventlog.Record) *input {
	in, _ := spare.Get().(*input)
	in.storedAt, in.trace, in.bytes = r.StoredAt, r.Trace, len(r.Body)
	in.holders.Store(1)
	eventlog.DecodeTo(&in.event, r)
	return in
}

// watchHead keeps the end of the log fresh, so that a read that hangs shows as lag.
func (p *engine) watchHead(ctx context.Context, m *mailbox) {
	for pause(ctx, headInterval) == nil {
		c, cancel := context.WithTimeout(ctx, headInterval)
		head, err := p.config.Source.Head(c)
		cancel()
		if err != nil {
			p.board.waits(waitHead, p.config.Now())
			continue
		}
		p.board.answered(waitHead)
		p.board.head(head.Last, p.config.Now())
		switch newest, oldest, empty := m.release(); {
		case newest > 0:
			p.board.seen(newest, oldest)
		case empty:
			p.board.idle(p.config.Now())
		}
	}
}
