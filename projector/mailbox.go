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

// item is a record on its way from the reader to the fold, decoded.
type item struct {
	event    eventlog.Event
	storedAt time.Time
	bytes    int
	// holders are those who may still look at it: one fold, or a Shared and the
	// folds that it went to. One that forgets to give it back leaves it to the
	// collector.
	holders atomic.Int32
}

// spare are items that nobody holds: an event is large.
var spare = sync.Pool{New: func() any { return new(item) }}

// free gives an item back. The caller must not look at it any more.
func (it *item) free() {
	if it.holders.Add(-1) == 0 {
		spare.Put(it)
	}
}

// mailbox hands items from the reader to the fold. A channel of single items
// would cost both sides a switch for each; this costs one for as many as are there.
type mailbox struct {
	mu    sync.Mutex
	items []*item // guarded by mu
	bytes int     // guarded by mu
	// ready and space carry at most one token each.
	ready, space chan struct{}
}

func newMailbox() *mailbox {
	return &mailbox{ready: make(chan struct{}, 1), space: make(chan struct{}, 1)}
}

// put waits for room for all of items, or for an empty mailbox. It is called by
// one goroutine.
func (m *mailbox) put(ctx context.Context, items []*item) error {
	bytes := 0
	for _, it := range items {
		bytes += it.bytes
	}
	for len(items) > 0 {
		m.mu.Lock()
		if len(m.items) == 0 || len(m.items)+len(items) <= mailEvents && m.bytes+bytes <= mailBytes {
			m.items = append(m.items, items...)
			m.bytes += bytes
			m.mu.Unlock()
			signal(m.ready)
			return nil
		}
		m.mu.Unlock()
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-m.space:
		}
	}
	return nil
}

// take moves at most n items to the end of to, and says how many stay.
func (m *mailbox) take(to []*item, n int) ([]*item, int) {
	m.mu.Lock()
	n = min(n, len(m.items))
	to = append(to, m.items[:n]...)
	for _, it := range m.items[:n] {
		m.bytes -= it.bytes
	}
	rest := copy(m.items, m.items[n:])
	clear(m.items[rest:])
	m.items = m.items[:rest]
	m.mu.Unlock()
	signal(m.space)
	if rest > 0 {
		signal(m.ready)
	}
	return to, rest
}

// waiting says when the log stored the oldest item; zero where there is none.
func (m *mailbox) waiting() time.Time {
	m.mu.Lock()
	defer m.mu.Unlock()
	if len(m.items) == 0 {
		return time.Time{}
	}
	return m.items[0].storedAt
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}

// read follows the log behind after into the mailbox until ctx ends or the log
// can't be followed any further. Anything that may pass is tried again.
func (p *engine) read(ctx context.Context, after eventlog.Seq, m *mailbox) error {
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
		p.log.Warn().Err(err).Int64(keyRetryMS, wait.Milliseconds()).Msg("reading the log interrupted; trying again")
		if pause(ctx, wait) != nil {
			return nil
		}
		wait = min(2*wait, retryLast)
	}
}

func (p *engine) readOnce(ctx context.Context, after *eventlog.Seq, m *mailbox, wait *time.Duration) error {
	// Records that are in the log already come at once, so that a few of them can
	// be handed on together; one that is new is handed on alone.
	end := p.board.snapshot(p.config.Now()).HeadSequence
	batch := make([]*item, 0, readBatch)
	put := func() error {
		if len(batch) == 0 {
			return nil
		}
		// Once they are put, the items are the fold's, which uses them again.
		last, storedAt := batch[len(batch)-1].event.Seq, batch[0].storedAt
		if err := m.put(ctx, batch); err != nil {
			return err
		}
		p.board.seen(last, storedAt)
		*after = last
		*wait = retryFirst
		batch = batch[:0]
		return nil
	}
	at := *after
	for it, err := range p.items(ctx, *after) {
		if err != nil {
			return errors.Join(put(), err)
		}
		seq := it.event.Seq
		if seq <= at {
			return errors.Join(put(), fmt.Errorf("%w: record %d came after %d", eventlog.ErrLostTail, seq, at))
		}
		if p.limiter != nil {
			if err := p.limiter.Wait(ctx); err != nil {
				return err
			}
		}
		at = seq
		batch = append(batch, it)
		if p.limiter != nil || seq >= end || len(batch) == readBatch {
			if err := put(); err != nil {
				return err
			}
		}
	}
	return put()
}

// items yields the decoded records behind a sequence, then what comes.
func (p *engine) items(ctx context.Context, after eventlog.Seq) iter.Seq2[*item, error] {
	if shared, ok := p.config.Source.(*Shared); ok {
		return shared.follow(ctx, after)
	}
	return func(yield func(*item, error) bool) {
		for r, err := range p.config.Source.Read(ctx, eventlog.ReadOptions{After: after, Follow: true}) {
			if err != nil {
				yield(nil, err)
				return
			}
			if !yield(newItem(&r), nil) {
				return
			}
		}
	}
}

func newItem(r *eventlog.Record) *item {
	it, _ := spare.Get().(*item)
	it.storedAt, it.bytes = r.StoredAt, len(r.Body)
	it.holders.Store(1)
	eventlog.DecodeTo(&it.event, r)
	return it
}

// watchHead keeps the end of the log fresh, so that a read that hangs shows as lag.
func (p *engine) watchHead(ctx context.Context) {
	for pause(ctx, headInterval) == nil {
		c, cancel := context.WithTimeout(ctx, headInterval)
		if head, err := p.config.Source.Head(c); err == nil {
			p.board.head(head.Last, p.config.Now())
		}
		cancel()
	}
}
