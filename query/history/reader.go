package history

import (
	"context"
	"fmt"
	"iter"
	"slices"
	"sync"
	"time"

	"rollcall/eventlog"
	"rollcall/query/pace"
)

// smallRead is how many records a read has that takes about a millisecond.
const smallRead = 2000

// Log is what records are read from; a natslog.Log is one.
type Log interface {
	// Head says how far the log is.
	Head(ctx context.Context) (eventlog.Head, error)
	// Record returns one record; eventlog.ErrNotFound where there is none.
	Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error)
	// Read yields records in log order.
	Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error]
}

// Reader is a log that many requests read at little cost: those that want the
// same part of it share one pass, passes take turns, and each pauses as long as
// it works. Its methods may be used from several goroutines.
type Reader struct {
	Log
	// passTimeout bounds a pass: no request waits longer for one.
	passTimeout time.Duration
	// slots and small are the passes that run: small ones, such as a page of the
	// newest records, don't wait for those that read much.
	slots, small chan struct{}

	mu      sync.Mutex
	waiting map[string]*pass // passes that wait for their turn, by what they read
	tail    tail
}

// NewReader makes a Reader of a log. longest is how long a request may take.
func NewReader(l Log, longest time.Duration) *Reader {
	return &Reader{Log: l, passTimeout: longest, waiting: map[string]*pass{},
		slots: make(chan struct{}, pace.SpareCores()), small: make(chan struct{}, pace.SpareCores())}
}

// pass is one read of a part of the log, for all requests that came for that part
// before it began.
type pass struct {
	key    string
	ctx    context.Context
	cancel context.CancelFunc
	scans  []*scan // guarded by Reader.mu until the pass begins
	active int     // scans that have not left; guarded by Reader.mu
}

// scan is one request's part in a pass.
type scan struct {
	upTo eventlog.Seq
	done chan error // has room for the one result

	mu    sync.Mutex
	left  bool                        // the request is over: visit must not be called
	visit func(*eventlog.Record) bool // guarded by mu
}

// Scan calls visit for the records after opts.After up to opts.UpTo, in log
// order, until it returns false. It returns when that is done, or at the latest
// when ctx ends; then visit is not called any more. A record is only good
// within visit.
func (l *Reader) Scan(ctx context.Context, opts eventlog.ReadOptions, visit func(*eventlog.Record) bool) error {
	s := &scan{upTo: opts.UpTo, done: make(chan error, 1), visit: visit}
	p := l.join(ctx, opts, s)
	defer l.leave(p, s)
	select {
	case err := <-s.done:
		return err
	case <-ctx.Done():
		s.mu.Lock()
		s.left = true
		s.mu.Unlock()
		return fmt.Errorf("wait for a turn to read the log: %w", ctx.Err())
	}
}

// isSmall reports whether a read takes about a moment.
func isSmall(opts eventlog.ReadOptions) bool {
	return opts.Slices == nil && opts.UpTo-opts.After <= smallRead
}

// join finds the pass that reads what opts say, or makes one.
func (l *Reader) join(ctx context.Context, opts eventlog.ReadOptions, s *scan) *pass {
	// What reads a little has no use for a pass that reads on for others.
	key := fmt.Sprint(opts.After, opts.Slices == nil, opts.Slices, isSmall(opts))
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.waiting[key]
	if p == nil {
		p = &pass{key: key}
		p.ctx, p.cancel = context.WithTimeout(context.WithoutCancel(ctx), l.passTimeout)
		l.waiting[key] = p
		go l.run(p, opts)
	}
	p.scans = append(p.scans, s)
	p.active++
	return p
}

// leave ends a pass with its last scan, also one that has not begun.
func (l *Reader) leave(p *pass, s *scan) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.active--; p.active == 0 {
		p.cancel()
	}
	if l.waiting[p.key] != p {
		return // it has begun: its scans are its own
	}
	p.scans = slices.DeleteFunc(p.scans, func(o *scan) bool { return o == s })
	if p.active == 0 {
		delete(l.waiting, p.key)
	}
}

// begin closes a pass to further scans.
func (l *Reader) begin(p *pass) []*scan {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[p.key] == p {
		delete(l.waiting, p.key)
	}
	return p.scans
}

// run waits for the pass's turn, and reads.
func (l *Reader) run(p *pass, opts eventlog.ReadOptions) {
	defer p.cancel()
	slots := l.slots
	if isSmall(opts) {
		slots = l.small
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-p.ctx.Done():
	}
	scans := l.begin(p)
	if len(scans) == 0 {
		return
	}
	for _, s := range scans {
		opts.UpTo = max(opts.UpTo, s.upTo)
	}
	err := l.read(p.ctx, opts, &scans)
	for _, s := range scans {
		s.done <- err
	}
}

// read offers each record to the scans that are left, and drops a scan once it
// has what it wants.
func (l *Reader) read(ctx context.Context, opts eventlog.ReadOptions, scans *[]*scan) error {
	began := time.Now()
	for r, err := range l.Log.Read(ctx, opts) {
		if err != nil {
			return err
		}
		*scans = slices.DeleteFunc(*scans, func(s *scan) bool { return !s.offer(&r) })
		if len(*scans) == 0 {
			return nil
		}
		pace.Yield()
		if worked := time.Since(began); worked >= pace.WorkSlice {
			if err := pace.Wait(ctx, min(worked, 2*pace.WorkSlice)); err != nil {
				return err
			}
			began = time.Now()
		}
	}
	return ctx.Err()
}

// offer shows a record to a scan, and reports whether it wants more.
//
// A panic fails this scan alone: the pass is nobody's request, and would end the
// process.
func (s *scan) offer(r *eventlog.Record) (more bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			s.done <- fmt.Errorf("read record %d: panic: %v", r.Seq, p)
			more = false
		}
	}()
	switch {
	case s.left:
		return false
	case r.Seq > s.upTo, !s.visit(r), r.Seq == s.upTo:
		s.done <- nil
		return false
	}
	return true
}

// ReceivedAt is the received time of the record at seq, or now where there is
// none: what "now" meant when the log ended there.
func (l *Reader) ReceivedAt(ctx context.Context, seq eventlog.Seq, now time.Time) time.Time {
	if seq == 0 {
		return now
	}
	if r, err := l.Record(ctx, seq); err == nil && !r.ReceivedAt.IsZero() {
		return r.ReceivedAt.Std()
	}
	return now
}

// Next is the first record after a sequence, up to head; the zero Record where
// there is none. Records that retention removed are passed over.
func (l *Reader) Next(ctx context.Context, after, head eventlog.Seq) (eventlog.Record, error) {
	if r, err := l.Record(ctx, after+1); err == nil {
		return r, nil
	}
	h, err := l.Head(ctx)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("read log: %w", err)
	}
	if h.First > after+1 && h.First <= head {
		if r, err := l.Record(ctx, h.First); err == nil {
			return r, nil
		}
	}
	return eventlog.Record{}, nil
}
