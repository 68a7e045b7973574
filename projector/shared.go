package projector

import (
	"context"
	"iter"
	"sort"
	"sync"
	"time"

	"rollcall/eventlog"
)

const (
	// sharedItems and sharedBytes bound the records that a Shared holds for
	// those that read behind the first.
	sharedItems = 16384
	sharedBytes = 48 << 20
	// sharedPatience is how long the slowest reader may hold the others up. Then
	// it reads alone until it is with them again.
	sharedPatience = 2 * time.Second
	// sharedTake is how many records a reader takes at a time.
	sharedTake = 256
)

// Shared lets several projectors read and decode a log once. It is a Source:
// give the same one to all that start together, such as the projectors of a
// process, or the rebuilds of all views. A reader that is far behind the others,
// or too slow for them, reads the log by itself until it meets them.
type Shared struct {
	Source

	mu      sync.Mutex
	readers map[*cursor]struct{} // guarded by mu, like all below
	items   []*item
	bytes   int
	// start is the place of items[0], counted from the first item ever held,
	// and base the last sequence before it.
	start uint64
	base  eventlog.Seq
	// wake is closed, and made anew, when items come and somebody waits.
	wake    chan struct{}
	waiting int
	room    chan struct{} // one token: a reader has gone on
	pump    *pump         // the reader of the log; nil while nobody needs one
}

// pump is the goroutine that reads the log for all.
type pump struct {
	cancel context.CancelFunc
	done   chan struct{}
	err    error // why it ended; set before done is closed
}

// cursor is one reader's place.
type cursor struct{ place uint64 }

// Share returns a Source that reads source once for all that read it together.
func Share(source Source) *Shared {
	return &Shared{
		Source: source, readers: make(map[*cursor]struct{}),
		wake: make(chan struct{}), room: make(chan struct{}, 1),
	}
}

// follow yields the records behind after, decoded, until ctx ends or the log
// can't be read. What it yields belongs to all readers: it must not be changed, and
// is given back with free.
func (s *Shared) follow(ctx context.Context, after eventlog.Seq) iter.Seq2[*item, error] {
	return func(yield func(*item, error) bool) {
		c := s.join(after)
		defer s.leave(c)
		for {
			batch, state := s.take(c, after)
			switch {
			case state.behind:
				// Alone up to where the others are.
				next, ok := s.alone(ctx, after, state.base, yield)
				if !ok {
					return
				}
				after = next
				s.place(c, after)
				continue
			case len(batch) == 0:
				select {
				case <-ctx.Done():
					yield(nil, ctx.Err())
					return
				case <-state.pump.done:
					yield(nil, state.pump.err)
					return
				case <-state.wake:
				}
				s.mu.Lock()
				s.waiting--
				s.mu.Unlock()
				continue
			}
			for _, it := range batch {
				seq := it.event.Seq // once it is yielded, it is the fold's
				if seq <= after {
					it.free()
					continue
				}
				if !yield(it, nil) {
					return
				}
				after = seq
			}
		}
	}
}

// join registers a reader, and starts the pump where none runs.
func (s *Shared) join(after eventlog.Seq) *cursor {
	s.mu.Lock()
	defer s.mu.Unlock()
	c := &cursor{}
	s.readers[c] = struct{}{}
	if s.pump != nil {
		select {
		case <-s.pump.done:
			s.pump = nil
		default:
		}
	}
	if s.pump == nil {
		// Places among the items of the pump before are void.
		s.start += uint64(len(s.items)) + 1
		s.items, s.bytes, s.base = nil, 0, after
		for other := range s.readers {
			other.place = 0
		}
		ctx, cancel := context.WithCancel(context.Background())
		s.pump = &pump{cancel: cancel, done: make(chan struct{})}
		go s.read(ctx, s.pump, after)
	}
	s.seek(c, after)
	return c
}

// leave ends the pump with the last reader.
func (s *Shared) leave(c *cursor) {
	s.mu.Lock()
	delete(s.readers, c)
	var p *pump
	if len(s.readers) == 0 {
		p, s.pump = s.pump, nil
		s.items, s.bytes = nil, 0
	}
	s.mu.Unlock()
	signal(s.room)
	if p != nil {
		p.cancel()
		<-p.done
	}
}

func (s *Shared) place(c *cursor, after eventlog.Seq) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.seek(c, after)
}

// seek sets a reader's place behind a sequence; before start where that is not held.
func (s *Shared) seek(c *cursor, after eventlog.Seq) {
	if after < s.base {
		c.place = 0
		return
	}
	c.place = s.start + uint64(sort.Search(len(s.items), func(i int) bool { return s.items[i].event.Seq > after }))
}

// taken says what take found.
type taken struct {
	behind bool
	base   eventlog.Seq
	wake   chan struct{}
	pump   *pump
}

func (s *Shared) take(c *cursor, after eventlog.Seq) ([]*item, taken) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c.place < s.start {
		if after < s.base {
			return nil, taken{behind: true, base: s.base}
		}
		s.seek(c, after)
	}
	from := int(c.place - s.start)
	batch := append([]*item(nil), s.items[from:min(from+sharedTake, len(s.items))]...)
	for _, it := range batch {
		it.holders.Add(1)
	}
	if len(batch) == 0 {
		s.waiting++
		return nil, taken{wake: s.wake, pump: s.pump}
	}
	c.place += uint64(len(batch))
	signal(s.room)
	return batch, taken{}
}

// alone reads the log itself up to a sequence.
func (s *Shared) alone(ctx context.Context, after, upTo eventlog.Seq, yield func(*item, error) bool) (eventlog.Seq, bool) {
	for r, err := range s.Read(ctx, eventlog.ReadOptions{After: after, UpTo: upTo}) {
		if err != nil {
			yield(nil, err)
			return after, false
		}
		if !yield(newItem(&r), nil) {
			return after, false
		}
		after = r.Seq
	}
	if ctx.Err() != nil {
		yield(nil, ctx.Err())
		return after, false
	}
	return max(after, upTo), true
}

// read is the pump.
func (s *Shared) read(ctx context.Context, p *pump, after eventlog.Seq) {
	defer close(p.done)
	for r, err := range s.Read(ctx, eventlog.ReadOptions{After: after, Follow: true}) {
		if err != nil {
			p.err = err
			return
		}
		if !s.add(ctx, newItem(&r)) {
			break
		}
	}
	p.err = context.Canceled
}

// add waits for room and holds an item for all readers.
func (s *Shared) add(ctx context.Context, it *item) bool {
	var patience <-chan time.Time
	for {
		s.mu.Lock()
		if s.makeRoom(false) {
			break
		}
		s.mu.Unlock()
		if patience == nil {
			t := time.NewTimer(sharedPatience)
			defer t.Stop()
			patience = t.C
		}
		select {
		case <-ctx.Done():
			return false
		case <-s.room:
			continue
		case <-patience:
		}
		s.mu.Lock()
		s.makeRoom(true)
		break
	}
	s.items = append(s.items, it)
	s.bytes += it.bytes
	if s.waiting > 0 {
		close(s.wake)
		s.wake = make(chan struct{})
	}
	s.mu.Unlock()
	return true
}

// makeRoom drops the oldest items, a quarter at a time, as far as every reader
// that is here has had them, or all the same when forced.
func (s *Shared) makeRoom(force bool) bool {
	if len(s.items) < sharedItems && s.bytes < sharedBytes {
		return true
	}
	n := max(1, len(s.items)/4)
	if !force {
		for c := range s.readers {
			if c.place >= s.start {
				n = min(n, int(c.place-s.start))
			}
		}
		if n == 0 {
			return false
		}
	}
	s.base = s.items[n-1].event.Seq
	for _, it := range s.items[:n] {
		s.bytes -= it.bytes
		it.free()
	}
	rest := copy(s.items, s.items[n:])
	clear(s.items[rest:])
	s.items = s.items[:rest]
	s.start += uint64(n)
	return true
}
