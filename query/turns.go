package query

import (
	"context"
	"fmt"
	"slices"
	"sync"
	"time"

	"rollcall/eventlog"
)

const (
	// passTimeout bounds a pass: no request waits longer for one.
	passTimeout = maxWait + answerTimeout
	// smallRead is how many records a read has that takes about a millisecond.
	smallRead = 2000
	// logWaits bounds the requests that wait for a record of the log at once.
	logWaits = 1024
)

// turns is a log that many requests read at little cost: those that want the
// same part of it share one pass, passes take turns, and each pauses as long as
// it works. Requests that wait for a record share one follower.
type turns struct {
	Log
	// slots and small are the passes under way: small ones, such as a page of the
	// newest events, don't wait behind those that read much.
	slots, small chan struct{}

	mu      sync.Mutex
	waiting map[string]*pass // passes that wait for their turn, by what they read
	tail    tail
}

func newTurns(l Log) *turns {
	return &turns{Log: l, slots: make(chan struct{}, spareCores()), small: make(chan struct{}, spareCores()), waiting: map[string]*pass{}}
}

// pass is one read of a part of the log for all who asked for that part before
// it began.
type pass struct {
	key    string
	ctx    context.Context
	cancel context.CancelFunc
	riders []*rider // guarded by turns.mu until the pass begins
	active int      // riders that have not left; guarded by turns.mu
}

// rider is one request's place in a pass.
type rider struct {
	upTo eventlog.Seq
	done chan error // has room for the one result

	mu    sync.Mutex
	left  bool                        // the request is over: visit must not be called
	visit func(*eventlog.Record) bool // guarded by mu
}

// scan calls visit for the records behind opts.After up to opts.UpTo, in log
// order, until it returns false. It returns when that is done, or at the latest
// when ctx ends; after that visit is not called any more. A record is only good
// within visit.
func (l *turns) scan(ctx context.Context, opts eventlog.ReadOptions, visit func(*eventlog.Record) bool) error {
	m := &rider{upTo: opts.UpTo, done: make(chan error, 1), visit: visit}
	p := l.join(ctx, opts, m)
	defer l.leave(p, m)
	select {
	case err := <-m.done:
		return err
	case <-ctx.Done():
		m.mu.Lock()
		m.left = true
		m.mu.Unlock()
		return fmt.Errorf("wait for a turn to read the log: %w", ctx.Err())
	}
}

// join finds the pass that reads what opts say, or makes one.
func (l *turns) join(ctx context.Context, opts eventlog.ReadOptions, m *rider) *pass {
	// What reads a little has no use for a pass that reads on for others.
	key := fmt.Sprint(opts.After, opts.Slices == nil, opts.Slices, opts.Slices == nil && opts.UpTo-opts.After <= smallRead)
	l.mu.Lock()
	defer l.mu.Unlock()
	p := l.waiting[key]
	if p == nil {
		p = &pass{key: key}
		p.ctx, p.cancel = context.WithTimeout(context.WithoutCancel(ctx), passTimeout)
		l.waiting[key] = p
		go l.run(p, opts)
	}
	p.riders = append(p.riders, m)
	p.active++
	return p
}

// leave ends a pass with its last rider, also one that has not begun.
func (l *turns) leave(p *pass, m *rider) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.active--; p.active == 0 {
		p.cancel()
	}
	if l.waiting[p.key] != p {
		return // it has begun: its riders are its own
	}
	p.riders = slices.DeleteFunc(p.riders, func(o *rider) bool { return o == m })
	if p.active == 0 {
		delete(l.waiting, p.key)
	}
}

// begin closes a pass to further riders.
func (l *turns) begin(p *pass) []*rider {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.waiting[p.key] == p {
		delete(l.waiting, p.key)
	}
	return p.riders
}

// run waits for the pass's turn, and reads.
func (l *turns) run(p *pass, opts eventlog.ReadOptions) {
	defer p.cancel()
	slots := l.slots
	if opts.Slices == nil && opts.UpTo-opts.After <= smallRead {
		slots = l.small
	}
	select {
	case slots <- struct{}{}:
		defer func() { <-slots }()
	case <-p.ctx.Done():
	}
	riders := l.begin(p)
	if len(riders) == 0 {
		return
	}
	for _, m := range riders {
		opts.UpTo = max(opts.UpTo, m.upTo)
	}
	err := l.read(p.ctx, opts, &riders)
	for _, m := range riders {
		m.done <- err
	}
}

// read offers each record to the riders that are left, and lets them go as
// they have what they want.
func (l *turns) read(ctx context.Context, opts eventlog.ReadOptions, riders *[]*rider) error {
	began := time.Now()
	for r, err := range l.Log.Read(ctx, opts) {
		if err != nil {
			return err
		}
		*riders = slices.DeleteFunc(*riders, func(m *rider) bool { return !m.offer(&r) })
		if len(*riders) == 0 {
			return nil
		}
		yield()
		if worked := time.Since(began); worked >= workSlice {
			if err := wait(ctx, min(worked, 2*workSlice)); err != nil {
				return err
			}
			began = time.Now()
		}
	}
	return ctx.Err()
}

// offer shows a record to a rider, and reports whether it wants more.
//
// A panic is the rider's alone: the pass is nobody's request, and would end the
// process.
func (m *rider) offer(r *eventlog.Record) (more bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	defer func() {
		if p := recover(); p != nil {
			m.done <- fmt.Errorf("read record %d: panic: %v", r.Seq, p)
			more = false
		}
	}()
	switch {
	case m.left:
		return false
	case r.Seq > m.upTo, !m.visit(r), r.Seq == m.upTo:
		m.done <- nil
		return false
	}
	return true
}

// tail is the log's end, as those who wait for it see it.
type tail struct {
	waiting int
	last    eventlog.Seq
	err     error
	changed chan struct{} // closed and replaced when last or err changes
	stop    context.CancelFunc
}

// reach returns how far the log is once it holds the record least; head is how
// far it was.
func (l *turns) reach(ctx context.Context, head eventlog.Head, least eventlog.Seq) (eventlog.Head, error) {
	if err := l.follow(ctx, head.Last); err != nil {
		return head, err
	}
	defer l.unfollow()
	for {
		l.mu.Lock()
		last, err, changed := l.tail.last, l.tail.err, l.tail.changed
		l.mu.Unlock()
		if last >= least {
			head.Last = last
			return head, nil
		}
		if err != nil {
			return head, fmt.Errorf("read log: %w", err)
		}
		select {
		case <-changed:
		case <-ctx.Done():
			return head, ctx.Err()
		}
	}
}

// follow starts the one reader that all who wait share.
func (l *turns) follow(ctx context.Context, after eventlog.Seq) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := &l.tail
	if t.waiting >= logWaits {
		return retryLater("too many requests wait for a record; try again")
	}
	if t.waiting++; t.waiting > 1 {
		return nil
	}
	ctx, stop := context.WithCancel(context.WithoutCancel(ctx))
	*t = tail{waiting: 1, last: after, changed: make(chan struct{}), stop: stop}
	go func() {
		for r, err := range l.Log.Read(ctx, eventlog.ReadOptions{After: after, Follow: true}) {
			if ctx.Err() != nil {
				return
			}
			l.mu.Lock()
			t.last, t.err = max(t.last, r.Seq), err
			close(t.changed)
			t.changed = make(chan struct{})
			l.mu.Unlock()
		}
	}()
	return nil
}

// unfollow ends the reader with the last who waits.
func (l *turns) unfollow() {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.tail.waiting--; l.tail.waiting == 0 {
		l.tail.stop()
	}
}
