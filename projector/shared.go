package projector

import (
	"context"
	"fmt"
	"iter"
	"sort"
	"sync"
	"time"

	"rollcall/eventlog"
)

const (
	// sharedInputs and sharedBytes bound the records that a Shared holds for
	// readers that are slower than the first.
	sharedInputs = 16384
	sharedBytes  = 48 << 20
	// sharedPatience is how long the slowest reader may hold the others up. Then
	// it reads alone until it has caught up with them.
	sharedPatience = 2 * time.Second
	// sharedTake is how many records a reader takes at a time.
	sharedTake = 256
)

// Shared lets several projectors read and decode a log once. It is a Source:
// give the same one to all that start together, such as the projectors of a
// process, or the rebuilds of all views. A reader that lags far behind the others,
// or is too slow for them, reads the log by itself until it has caught up.
type Shared struct {
	Source

	mu   sync.Mutex
	pump *pump // the one that new readers join; nil while nobody reads. Guarded by mu
}

// pump is one read of the log, and what it holds for its readers. It owns both:
// a reader belongs to one pump for as long as it reads, and a record never
// leaves the pump that read it. So a pump that nobody reads from any more can't
// add to what others read, however late it ends.
type pump struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended; set before done is closed

	mu      sync.Mutex
	readers map[*cursor]struct{} // guarded by mu, like all below
	inputs  []*input
	bytes   int
	// start is the place of inputs[0], counted from the pump's first record, and
	// base the last record before it.
	start uint64
	base  position
	// wake is there while somebody waits for records, and closed when some come.
	wake chan struct{}
	room chan struct{} // one token: a reader has gone on
}

// cursor is one reader's place in a pump: its next record comes after the record after.
type cursor struct {
	*pump
	after position
	// place is that of the next record; found says that it is known.
	place uint64
	found bool
}

// Share returns a Source that reads source once for all that read it together.
func Share(source Source) *Shared { return &Shared{Source: source} }

// follow yields the records after a position, decoded, until ctx ends or the log
// can't be read. What it yields belongs to all readers: it must not be changed, and
// is given back with free.
func (s *Shared) follow(ctx context.Context, after position) iter.Seq2[*input, error] {
	return func(yield func(*input, error) bool) {
		c := s.join(ctx, after)
		defer s.leave(c)
		if c.ahead() {
			// If the log has lost that record, the pump never reaches it.
			if err := proven(ctx, s.Source, after); err != nil {
				yield(nil, err)
				return
			}
		}
		for {
			batch, base, wake, err := c.take()
			switch {
			case err != nil:
				yield(nil, err)
				return
			case base > 0:
				// The reader is too far behind: it reads alone until it
				// reaches the others.
				if !s.alone(ctx, c, base, yield) {
					return
				}
			case wake != nil:
				select {
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				case <-c.done:
					yield(nil, c.err)
					return
				case <-wake:
				}
			case !c.hand(batch, yield):
				return
			}
		}
	}
}

// join makes a reader of the pump that runs, or of a new one.
func (s *Shared) join(ctx context.Context, after position) *cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.pump == nil || s.pump.ended() {
		ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
		s.pump = &pump{
			cancel: cancel, done: make(chan struct{}), base: after,
			readers: make(map[*cursor]struct{}), room: make(chan struct{}, 1),
		}
		go s.read(ctx, s.pump, after)
	}
	return s.pump.join(after)
}

// leave ends the pump with its last reader.
func (s *Shared) leave(c *cursor) {
	s.mu.Lock()
	last := c.leave()
	if last && s.pump == c.pump {
		s.pump = nil
	}
	s.mu.Unlock()
	if last {
		c.cancel()
		<-c.done
	}
}

// alone reads the log itself up to a sequence.
func (s *Shared) alone(ctx context.Context, c *cursor, upTo eventlog.Seq, yield func(*input, error) bool) bool {
	for r, err := range s.Read(ctx, eventlog.ReadOptions{After: c.after.seq, AfterStoredAt: c.after.storedAt, UpTo: upTo}) {
		if err != nil {
			yield(nil, err)
			return false
		}
		if !yield(newInput(&r), nil) {
			return false
		}
		c.after = position{r.Seq, r.StoredAt}
	}
	if ctx.Err() != nil {
		yield(nil, ctx.Err())
		return false
	}
	if c.after.seq < upTo {
		yield(nil, fmt.Errorf("log was read up to %d, and ended at %d", upTo, c.after.seq))
		return false
	}
	return true
}

// read is the pump's goroutine.
func (s *Shared) read(ctx context.Context, p *pump, after position) {
	defer close(p.done)
	for r, err := range s.Read(ctx, after.follow()) {
		if err != nil {
			p.err = err
			return
		}
		if !p.add(ctx, newInput(&r)) {
			break
		}
	}
	p.err = context.Canceled
}

func (p *pump) ended() bool {
	select {
	case <-p.done:
		return true
	default:
		return false
	}
}

func (p *pump) join(after position) *cursor {
	p.mu.Lock()
	defer p.mu.Unlock()
	c := &cursor{pump: p, after: after}
	p.readers[c] = struct{}{}
	return c
}

// leave reports whether it was the last reader.
func (c *cursor) leave() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.readers, c)
	signal(c.room)
	return len(c.readers) == 0
}

// ahead reports whether the pump has not read the reader's record yet.
func (c *cursor) ahead() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	newest := c.base.seq
	if n := len(c.inputs); n > 0 {
		newest = c.inputs[n-1].event.Seq
	}
	return newest < c.after.seq
}

// take returns the next records, or the sequence up to which the reader has to read
// by itself, or, where all were taken, what is closed when there are more.
func (c *cursor) take() (batch []*input, base eventlog.Seq, wake <-chan struct{}, err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.found = c.found && c.place >= c.start; !c.found {
		if c.after.seq < c.base.seq {
			return nil, c.base.seq, nil, nil
		}
		if err := c.seek(); err != nil {
			return nil, 0, nil, err
		}
	}
	from := int(c.place - c.start)
	batch = append(batch, c.inputs[from:min(from+sharedTake, len(c.inputs))]...)
	if len(batch) == 0 {
		if c.wake == nil {
			c.wake = make(chan struct{})
		}
		return nil, 0, c.wake, nil
	}
	for _, in := range batch {
		in.holders.Add(1)
	}
	c.place += uint64(len(batch))
	signal(c.room)
	return batch, 0, nil, nil
}

// seek finds the reader's place among what the pump holds, which must have read
// the same record there.
func (c *cursor) seek() error {
	at := sort.Search(len(c.inputs), func(i int) bool { return c.inputs[i].event.Seq > c.after.seq })
	before := c.base
	if at > 0 {
		before = position{c.inputs[at-1].event.Seq, c.inputs[at-1].storedAt}
	}
	if before.seq == c.after.seq && !before.storedAt.IsZero() {
		if err := c.after.same(before.storedAt); err != nil {
			return err
		}
	}
	c.place, c.found = c.start+uint64(at), true
	return nil
}

// hand yields what was taken.
func (c *cursor) hand(batch []*input, yield func(*input, error) bool) bool {
	for _, in := range batch {
		at := position{in.event.Seq, in.storedAt} // once it is yielded, it is the fold's
		if at.seq <= c.after.seq {
			in.free()
			if err := c.after.same(at.storedAt); err != nil && at.seq == c.after.seq {
				yield(nil, err)
				return false
			}
			continue
		}
		if !yield(in, nil) {
			return false
		}
		c.after = at
	}
	return true
}

// add waits for room and holds a record for all readers.
func (p *pump) add(ctx context.Context, in *input) bool {
	var patience <-chan time.Time
	for forced := false; ; {
		p.mu.Lock()
		if p.makeRoom(forced) {
			break
		}
		p.mu.Unlock()
		if patience == nil {
			t := time.NewTimer(sharedPatience)
			defer t.Stop()
			patience = t.C
		}
		select {
		case <-ctx.Done():
			return false
		case <-p.room:
		case <-patience:
			forced = true
		}
	}
	defer p.mu.Unlock()
	p.inputs = append(p.inputs, in)
	p.bytes += in.bytes
	if p.wake != nil {
		close(p.wake)
		p.wake = nil
	}
	return true
}

// makeRoom drops the oldest records, a quarter at a time, as far as every reader
// has taken them, or regardless when forced.
func (p *pump) makeRoom(force bool) bool {
	if len(p.inputs) < sharedInputs && p.bytes < sharedBytes {
		return true
	}
	n := max(1, len(p.inputs)/4)
	if !force {
		for c := range p.readers {
			if c.found && c.place >= p.start {
				n = min(n, int(c.place-p.start))
			}
		}
		if n == 0 {
			return false
		}
	}
	p.base = position{p.inputs[n-1].event.Seq, p.inputs[n-1].storedAt}
	for _, in := range p.inputs[:n] {
		p.bytes -= in.bytes
		in.free()
	}
	rest := copy(p.inputs, p.inputs[n:])
	clear(p.inputs[rest:])
	p.inputs = p.inputs[:rest]
	p.start += uint64(n)
	return true
}
