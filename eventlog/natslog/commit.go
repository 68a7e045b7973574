package natslog

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// codeDuplicateInBatch refuses a batch in which one message id is a repeat.
	codeDuplicateInBatch jetstream.ErrorCode = 10201
)

// BatchConfig tunes the group commit. The zero value is the default.
type BatchConfig struct {
	// MaxRecords bounds an atomic batch, at most 1000; 0 is 1000.
	MaxRecords int
	// MaxBytes bounds the bodies in an atomic batch; 0 is 8 MiB. A single
	// larger record still goes, alone.
	MaxBytes int
	// Singles is how many waiting records are still published one by one,
	// pipelined, because a batch has a fixed cost of several syncs; 0 is 12,
	// since a batch costs 6 to 8 ms on ext4 and a single about 0.5. Not used with StoreDir.
	Singles int
	// MaxQueue bounds the appends that wait; beyond it Append fails at once. 0
	// is 8192.
	MaxQueue int
	// Timeout bounds the wait for the next ack, 0 is 1.5 s; a batch without one is
	// then looked up in the log for at most Settle, 0 is 750 ms.
	Timeout, Settle time.Duration
	// RecentIDs is how many message ids are remembered, about 200 bytes each, to
	// keep repeats out of batches; 0 is 65536.
	RecentIDs int
	// Now is the clock that ages remembered ids; nil is time.Now.
	Now func() time.Time
}

func (c BatchConfig) validate() error {
	if c.MaxRecords < 0 || c.MaxRecords > wire.MaxBatch {
		return fmt.Errorf("batch records is %d: give 1 to %d", c.MaxRecords, wire.MaxBatch)
	}
	if c.MaxBytes < 0 || c.Singles < 0 || c.MaxQueue < 0 || c.Timeout < 0 || c.Settle < 0 || c.RecentIDs < 0 {
		return errors.New("batch settings must not be negative")
	}
	return nil
}

func (c BatchConfig) withDefaults() BatchConfig {
	def := func(v *int, d int) {
		if *v == 0 {
			*v = d
		}
	}
	def(&c.MaxRecords, wire.MaxBatch)
	def(&c.MaxBytes, 8<<20)
	def(&c.Singles, 12)
	def(&c.MaxQueue, 8192)
	def(&c.RecentIDs, 1<<16)
	if c.Timeout == 0 {
		c.Timeout = 1500 * time.Millisecond
	}
	if c.Settle == 0 {
		c.Settle = 750 * time.Millisecond
	}
	if c.Now == nil {
		c.Now = time.Now
	}
	return c
}

// errDisconnected ends appends whose answers can't arrive.
var errDisconnected = errors.New("not connected to NATS")

// pending is an append that waits for its answer.
type pending struct {
	msg     *nats.Msg
	id      string // message id, "" if it repeats nothing
	eventID string
	sent    time.Time

	done   chan struct{} // closed when the two below are set
	result eventlog.Appended
	err    error

	acked     bool // the server has it; ack says where
	ack       wire.PubAck
	settled   bool // done is closed
	abandoned bool // its caller left before it was published
}

// flight is what was published and waits for acks: one atomic batch, or a few
// single records.
type flight struct {
	records []*pending
	batch   string // the batch id, "" for singles
	after   uint64 // last sequence known before
	left    int    // acks to come
	seen    int    // left, when the timer last looked
	token   uint64 // first ack token; singles take one each
	timer   *time.Timer
}

// committer publishes records for Append. It has no goroutine of its own:
// acks, arriving in the connection's subscription, start the next flight.
type committer struct {
	log    *Log
	config BatchConfig
	disk   *disk         // nil: the server syncs
	looks  chan struct{} // one slot for each repeat that is looked up
	inbox  string
	sub    *nats.Subscription
	// deaf drops every ack, mute every publish: the two halves of a lost
	// connection, for tests.
	deaf, mute atomic.Bool

	mu      sync.Mutex
	flight  *flight
	queue   []*pending
	waiting map[string]*pending // by message id, queued or in flight
	recent  *recentIDs
	token   uint64
	last    uint64 // sequence that the last record got
	// incarnation is that of the log that recent belongs to. doubt: the log may be
	// another one by now, or have lost its tail; it is asked before the next answer.
	incarnation string
	doubt       bool
	failed      error // outcome of the last append; nil: stored
	failedAt    time.Time
	closed      bool
	done        chan struct{} // closed by close
	stats       Stats
}

// Stats counts what the group commit did since the log was opened.
type Stats struct {
	Singles, Batches, BatchRecords uint64 // publishes that were acknowledged
	RefusedBatches                 uint64 // batches refused for a repeat in them
	Settled, Unsettled             uint64 // batches without an ack: found in the log, or not
	Syncs                          uint64 // of the log's files, by ourselves
	QueueFull                      uint64
	Queued                         int // waiting now
}

func newCommitter(l *Log, c BatchConfig, window time.Duration) *committer {
	c = c.withDefaults()
	return &committer{
		log:     l,
		config:  c,
		waiting: make(map[string]*pending),
		recent:  newRecentIDs(c.RecentIDs, window),
		looks:   make(chan struct{}, maxLooks),
		done:    make(chan struct{}),
		last:    l.stream.CachedInfo().State.LastSeq,

		incarnation: l.incarnation,
	}
}

// append stores a record and returns when the outcome is known or ctx ends.
func (c *committer) append(ctx context.Context, p *pending) (eventlog.Appended, error) {
	c.mu.Lock()
	if err := c.admit(); err != nil {
		c.mu.Unlock()
		return eventlog.Appended{}, err
	}
	if p.id != "" {
		if seen, ok := c.recent.get(p.id, c.config.Now()); ok {
			c.mu.Unlock()
			seen.Duplicate = true
			return seen, nil
		}
		if first, ok := c.waiting[p.id]; ok {
			c.mu.Unlock()
			return c.await(ctx, first, true)
		}
		c.waiting[p.id] = p
	}
	if c.flight != nil {
		c.queue = append(c.queue, p)
		c.mu.Unlock()
	} else {
		f := c.prepare([]*pending{p})
		c.mu.Unlock()
		c.launch(f)
	}
	return c.await(ctx, p, false)
}

// admit reports whether a record can be accepted now. c.mu is held.
func (c *committer) admit() error {
	nc := c.log.js.Conn()
	switch {
	case c.closed:
		return fmt.Errorf("%w: it is closed", eventlog.ErrUnavailable)
	case !nc.IsConnected():
		// Publishing now would only fill the client's reconnect buffer, and
		// store records long after their senders were asked to retry.
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, errDisconnected)
	case len(c.queue) >= c.config.MaxQueue:
		c.stats.QueueFull++
		return fmt.Errorf("%w: %d appends are waiting already", eventlog.ErrUnavailable, len(c.queue))
	}
	if c.sub == nil {
		return c.subscribe()
	}
	return nil
}

func (c *committer) subscribe() error {
	nc := c.log.js.Conn()
	c.inbox = nc.NewInbox() + "."
	sub, err := nc.Subscribe(c.inbox+"*", c.onAck)
	if err != nil {
		return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
	}
	c.sub = sub
	go c.watch(nc.StatusChanged(nats.RECONNECTING, nats.CLOSED))
	return nil
}

// watch ends what waits for an answer when the connection breaks: the
// answer is lost with it.
func (c *committer) watch(broken chan nats.Status) {
	defer c.log.js.Conn().RemoveStatusListener(broken)
	for {
		select {
		case <-c.done:
			return
		case status, ok := <-broken:
			c.mu.Lock()
			c.doubt = true
			c.expire(c.flight, errDisconnected)
			if !ok || status == nats.CLOSED {
				return
			}
		}
	}
}

// await waits for p, as its owner or as a repeat of it.
func (c *committer) await(ctx context.Context, p *pending, repeat bool) (eventlog.Appended, error) {
	select {
	case <-p.done:
	case <-ctx.Done():
		c.mu.Lock()
		if !repeat && p.sent.IsZero() && !p.settled {
			// Still in the queue: it is not published any more.
			p.abandoned = true
			c.settle(p, eventlog.Appended{}, ctx.Err())
		}
		c.mu.Unlock()
		return eventlog.Appended{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, ctx.Err())
	}
	if p.err != nil {
		return eventlog.Appended{}, fmt.Errorf("%w: %w", eventlog.ErrUnavailable, p.err)
	}
	result := p.result
	result.Duplicate = result.Duplicate || repeat
	return result, nil
}

// settle gives p its answer: the outcome of storing it. c.mu is held.
func (c *committer) settle(p *pending, result eventlog.Appended, err error) {
	if p.settled {
		return
	}
	p.settled, p.result, p.err = true, result, err
	if p.id != "" {
		delete(c.waiting, p.id)
		if err == nil && result.EventID != "" {
			c.recent.add(p.id, result, p.sent)
		}
	}
	if !p.abandoned && !c.closed {
		c.failed, c.failedAt = err, c.config.Now()
	}
	close(p.done)
}

// prepare makes records the flight. c.mu is held.
func (c *committer) prepare(records []*pending) *flight {
	now := c.config.Now()
	for _, p := range records {
		p.sent = now
	}
	f := &flight{records: records, after: c.last, token: c.token, left: len(records), seen: len(records)}
	c.token += uint64(len(records))
	if len(records) > c.config.Singles && c.disk == nil {
		f.batch, f.left = nuid.Next(), 1
	}
	c.flight = f
	return f
}

// launch publishes f. c.mu is not held: acks may come before it returns.
func (c *committer) launch(f *flight) {
	c.mu.Lock()
	if c.flight != f {
		c.mu.Unlock()
		return // the connection broke, or the log was closed
	}
	f.timer = time.AfterFunc(c.config.Timeout, func() { c.onTimeout(f) })
	c.mu.Unlock()
	nc := c.log.js.Conn()
	for i, m := range c.address(f) {
		if c.mute.Load() {
			continue
		}
		if err := nc.PublishMsg(m); err != nil {
			c.fail(f, i, err)
			return
		}
	}
}

// address returns the messages of f with what makes them a batch, and with the
// subjects for their acks: a batch has one, for its last message.
func (c *committer) address(f *flight) []*nats.Msg {
	messages := make([]*nats.Msg, len(f.records))
	for i, p := range f.records {
		messages[i] = p.msg
		if f.batch == "" {
			p.msg.Reply = c.inbox + strconv.FormatUint(f.token+uint64(i), 36)
		}
	}
	if f.batch != "" {
		wire.MarkBatch(f.batch, messages)
		messages[len(messages)-1].Reply = c.inbox + strconv.FormatUint(f.token, 36)
	}
	return messages
}

// fail answers the records of f that could not be sent: those from i on. A
// batch without its last member, which carries the commit, is not stored at
// all; single records before i may still be acknowledged.
func (c *committer) fail(f *flight, i int, err error) {
	c.mu.Lock()
	if f.batch != "" {
		i, f.left = 0, 0
	}
	for _, p := range f.records[i:] {
		if !p.settled && f.batch == "" {
			f.left--
		}
		c.settle(p, eventlog.Appended{}, err)
	}
	c.advance(f)
}

// advance starts the next flight when f has no ack to come. It releases c.mu,
// which is held when it is called.
func (c *committer) advance(f *flight) {
	if c.flight != f || f.left > 0 {
		c.mu.Unlock()
		return
	}
	if f.timer != nil {
		f.timer.Stop()
	}
	c.finish(f)
	if c.flight != f {
		c.mu.Unlock()
		return // closed meanwhile
	}
	c.flight = nil
	if !c.log.js.Conn().IsConnected() {
		for _, p := range c.queue {
			c.settle(p, eventlog.Appended{}, errDisconnected)
		}
		c.queue = nil
	}
	next := c.take()
	if len(next) == 0 {
		c.mu.Unlock()
		return
	}
	g := c.prepare(next)
	c.mu.Unlock()
	c.launch(g)
}

// finish answers what the server acknowledged of f, once that is confirmed.
// c.mu is held, but not while it confirms.
func (c *committer) finish(f *flight) {
	if !slices.ContainsFunc(f.records, func(p *pending) bool { return p.acked && !p.settled }) {
		return
	}
	doubt := c.doubt
	c.doubt = false
	c.mu.Unlock()
	incarnation, err := c.assure(doubt)
	c.mu.Lock()
	if doubt && err != nil {
		c.doubt = true
	} else if doubt {
		c.incarnation = incarnation
	}
	for _, p := range f.records {
		if p.acked {
			c.settle(p, c.appended(p, p.ack), err)
		}
	}
}

// assure makes what was acknowledged durable, if the disk is ours. If the log
// may be another one by now, it first asks which it is.
func (c *committer) assure(doubt bool) (incarnation string, err error) {
	if doubt {
		if incarnation, err = c.log.confirm(context.Background()); err != nil {
			return "", err
		}
	}
	if c.disk == nil {
		return incarnation, nil
	}
	err = c.disk.sync(c.log.js.Conn().ConnectedServerId())
	c.mu.Lock()
	c.stats.Syncs++
	c.mu.Unlock()
	return incarnation, err
}

// take removes the next flight's records from the queue. c.mu is held.
func (c *committer) take() []*pending {
	var next []*pending
	size, i := 0, 0
	for ; i < len(c.queue) && len(next) < c.config.MaxRecords; i++ {
		p := c.queue[i]
		if p.abandoned {
			continue
		}
		if size += len(p.msg.Data); size > c.config.MaxBytes && len(next) > 0 {
			break
		}
		next = append(next, p)
	}
	rest := copy(c.queue, c.queue[i:])
	clear(c.queue[rest:])
	c.queue = c.queue[:rest]
	return next
}

// close ends the committer. What waits gets ErrUnavailable.
func (c *committer) close() {
	c.mu.Lock()
	defer c.mu.Unlock()
	if !c.closed {
		close(c.done)
	}
	c.closed = true
	for _, p := range c.queue {
		c.settle(p, eventlog.Appended{}, errors.New("log is closed"))
	}
	c.queue = nil
	if c.sub != nil {
		_ = c.sub.Unsubscribe() // it fails only where the connection is closed already
		c.sub = nil
	}
	if f := c.flight; f != nil {
		if f.timer != nil {
			f.timer.Stop()
		}
		for _, p := range f.records {
			c.settle(p, eventlog.Appended{}, errors.New("log is closed"))
		}
		c.flight = nil
	}
}
