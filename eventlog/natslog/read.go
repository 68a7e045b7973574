package natslog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
)

const (
	// pullMessages and pullBytes bound what a reader has in memory ahead of its
	// caller. 5000 is where a replay stops to get faster.
	pullMessages = 5000
	pullBytes    = 8 << 20
	// pullExpiry is how long one request to the server lives, heartbeat how
	// often an idle server says that it still has the consumer: a reader notices
	// a lost one after two.
	pullExpiry = 30 * time.Second
	heartbeat  = time.Second
	// inactive is when the server removes the consumer of a reader that went
	// away without saying so.
	inactive = 30 * time.Second
	// retryMin and retryMax bound the wait between tries while NATS is away.
	retryMin = 50 * time.Millisecond
	retryMax = 2 * time.Second
)

// Read returns records in log order: those behind opts.After and, with
// opts.Follow, those that are appended later. It may be called many times; each
// iteration has its own consumer on the server and stops with the loop.
//
// It waits for a server that is away, and goes on behind the last record that
// it yielded, without a gap and without a repeat. The last thing it yields may
// be an error with a zero record: ctx.Err(); eventlog.ErrTrimmed where the
// record behind After is gone (ask Head for the first one held);
// eventlog.ErrIncarnation where the stream was created anew since the log was
// opened; eventlog.ErrLostTail where the log ends before After, or where the
// last record read is not there any more.
//
// With opts.Slices only their records come. A retention limit that removes
// records between two of them while they are read is then not noticed.
func (l *Log) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		r := &reader{log: l, opts: opts, at: opts.After, yield: yield}
		if err := r.run(ctx); err != nil {
			yield(eventlog.Record{}, fmt.Errorf("read log: %w", err))
		}
	}
}

// errStop ends a read without an error: the caller left, or all was read.
var errStop = errors.New("stop")

type reader struct {
	log   *Log
	opts  eventlog.ReadOptions
	yield func(eventlog.Record, error) bool

	at     eventlog.Seq // last sequence yielded, or opts.After
	stored time.Time    // when the record at `at` was stored; zero if none was yielded
	hole   eventlog.Seq // where a record was missing last time; 0: nowhere
	plain  bool         // a connection of its own did not work for the backlog
	end    eventlog.Seq // last sequence to read; 0: none known yet
}

// run reads through one consumer after the other.
func (r *reader) run(ctx context.Context) error {
	r.end = r.opts.UpTo
	for wait := retryMin; ; {
		before := r.at
		err := r.consume(ctx)
		switch {
		case errors.Is(err, errStop):
			return nil
		case err == nil: // a backlog was read; see what came meanwhile
			continue
		case ctx.Err() != nil:
			return ctx.Err()
		case final(err):
			return err
		}
		if r.at != before {
			wait = retryMin
		}
		timer := time.NewTimer(wait)
		select {
		case <-ctx.Done():
			timer.Stop()
			return ctx.Err()
		case <-timer.C:
		}
		wait = min(2*wait, retryMax)
	}
}

// final reports whether waiting can't help.
func final(err error) bool {
	return errors.Is(err, eventlog.ErrTrimmed) || errors.Is(err, eventlog.ErrIncarnation) ||
		errors.Is(err, eventlog.ErrLostTail) || errors.Is(err, ErrServer)
}

// check compares the log with what was read from it, and returns its state.
func (r *reader) check(ctx context.Context) (eventlog.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	info, err := r.log.stream.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Gone for now or for good: a stream created anew is told apart below.
		return eventlog.Head{}, fmt.Errorf("%w: stream %s was removed", eventlog.ErrUnavailable, eventlog.Stream)
	}
	if err != nil {
		return eventlog.Head{}, classify(err)
	}
	h := head(info)
	switch {
	case h.Incarnation != r.log.incarnation:
		return h, fmt.Errorf("%w: opened %s, now %s", eventlog.ErrIncarnation, r.log.incarnation, h.Incarnation)
	case h.Last < r.at:
		return h, fmt.Errorf("%w: it ends at %d, read up to %d", eventlog.ErrLostTail, h.Last, r.at)
	case h.First > r.at+1:
		return h, fmt.Errorf("%w: it begins at %d, next is %d", eventlog.ErrTrimmed, h.First, r.at+1)
	}
	if r.stored.IsZero() || r.at < h.First {
		return h, nil
	}
	m, err := r.log.stream.GetMsg(ctx, uint64(r.at))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		return h, fmt.Errorf("%w: record %d is gone", eventlog.ErrLostTail, r.at)
	case err != nil:
		return h, classify(err)
	case !m.Time.Equal(r.stored):
		return h, fmt.Errorf("%w: record %d was stored %v, is stored %v", eventlog.ErrLostTail, r.at, r.stored, m.Time)
	}
	return h, nil
}

// consume makes a consumer and reads until it ends. Errors that are not final
// are tried again.
func (r *reader) consume(ctx context.Context) error {
	h, err := r.check(ctx)
	if err != nil {
		return err
	}
	if r.end == 0 && !r.opts.Follow {
		r.end = h.Last
	}
	if r.done() || r.filtered() && len(r.opts.Slices) == 0 {
		return errStop
	}
	consumer, err := r.create(ctx)
	if err != nil {
		return err
	}
	defer r.remove(consumer)
	// The consumer starts behind r.at only if that record was still there when
	// it was made, and a filtered read could not see that it was not.
	if h, err = r.check(ctx); err != nil {
		return err
	}
	// pending counts what a filtered read will get up to the last record of
	// now, so that it knows its end.
	pending := consumer.CachedInfo().NumPending
	if r.filtered() && pending == 0 && r.end != 0 && r.end <= h.Last {
		return errStop
	}
	if backlog := r.backlog(h); backlog >= bulkMin {
		return r.drain(ctx, consumer.CachedInfo().Name, backlog)
	}
	messages, err := consumer.Messages(
		jetstream.PullMaxMessagesWithBytesLimit(pullMessages, pullBytes),
		jetstream.PullExpiry(pullExpiry),
		jetstream.PullHeartbeat(heartbeat),
	)
	if err != nil {
		return classify(err)
	}
	defer messages.Stop()
	ctx, cancel := r.untilDisconnected(ctx)
	defer cancel()
	for delivery := uint64(1); ; delivery++ {
		m, err := messages.Next(jetstream.NextContext(ctx))
		if err != nil {
			return classify(err)
		}
		meta, err := m.Metadata()
		if err != nil {
			return fmt.Errorf("%w: %w", eventlog.ErrUnavailable, err)
		}
		if meta.Sequence.Consumer != delivery {
			// The client dropped messages, or they were lost with a connection.
			return fmt.Errorf("%w: delivery %d came as %d", eventlog.ErrUnavailable, delivery, meta.Sequence.Consumer)
		}
		if err := r.take(record(meta.Sequence.Stream, meta.Timestamp, m.Headers(), m.Data())); err != nil {
			return err
		}
		if r.filtered() && r.end != 0 && r.end <= h.Last && delivery >= pending {
			return errStop
		}
	}
}

// untilDisconnected ends the context it returns when the connection breaks. The
// server's consumer outlives that, and would go on behind messages that were
// lost on the way; a new one starts behind the last record yielded.
func (r *reader) untilDisconnected(ctx context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(ctx)
	nc := r.log.js.Conn()
	changed := nc.StatusChanged(nats.RECONNECTING, nats.CLOSED)
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		select {
		case <-changed:
			cancel()
		case <-ctx.Done():
		}
		nc.RemoveStatusListener(changed)
	}()
	return ctx, func() { cancel(); <-ended }
}

// backlog is how many records can be read in one go; 0 where they can't.
func (r *reader) backlog(h eventlog.Head) uint64 {
	last := h.Last
	if r.end != 0 {
		last = min(last, r.end)
	}
	if r.plain || r.filtered() || last <= r.at {
		return 0
	}
	return uint64(last - r.at)
}

// drain reads a backlog over a connection of its own. It returns nil when it
// was read or could not be: the next consumer goes on behind the last record.
func (r *reader) drain(ctx context.Context, consumer string, backlog uint64) error {
	before := r.at
	for rec, err := range bulk(ctx, r.log.js, consumer, backlog) {
		if err != nil {
			// Once it has worked it is tried again, from where it broke off.
			r.plain = r.at == before
			return ctx.Err()
		}
		if err := r.take(rec); err != nil {
			return err
		}
	}
	return nil
}

// take yields one record.
func (r *reader) take(rec eventlog.Record) error {
	seq := rec.Seq
	if r.end != 0 && seq > r.end {
		return errStop
	}
	if !r.filtered() && seq != r.at+1 {
		if r.hole != r.at+1 {
			// Removed by a limit since the last check? The next one tells.
			r.hole = r.at + 1
			return fmt.Errorf("%w: after record %d comes %d", eventlog.ErrUnavailable, r.at, seq)
		}
		return fmt.Errorf("%w: after record %d comes %d", eventlog.ErrTrimmed, r.at, seq)
	}
	if !r.yield(rec, nil) {
		return errStop
	}
	r.at, r.stored = seq, rec.StoredAt
	if r.done() {
		return errStop
	}
	return nil
}

func (r *reader) filtered() bool { return r.opts.Slices != nil }

// done reports whether everything up to the end was read.
func (r *reader) done() bool {
	return (r.end != 0 || !r.opts.Follow) && r.at >= r.end
}

func (r *reader) create(ctx context.Context) (jetstream.Consumer, error) {
	cfg := jetstream.ConsumerConfig{
		Description:   "Rollcall: a reader of the log",
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy,
		OptStartSeq:   uint64(r.at) + 1,
		// The reader knows itself how far it is; acks would only cost.
		AckPolicy:         jetstream.AckNonePolicy,
		MaxDeliver:        1,
		MemoryStorage:     true,
		Replicas:          1,
		InactiveThreshold: inactive,
	}
	if r.filtered() {
		for _, slice := range slices.Compact(slices.Sorted(slices.Values(r.opts.Slices))) {
			cfg.FilterSubjects = append(cfg.FilterSubjects, eventlog.SliceSubject(slice))
		}
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	consumer, err := r.log.stream.CreateConsumer(ctx, cfg)
	if err != nil {
		return nil, classify(err)
	}
	return consumer, nil
}

// remove tells the server that the consumer is done. Where it can't be told,
// the server finds out by itself after `inactive`.
func (r *reader) remove(c jetstream.Consumer) {
	if !r.log.js.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	_ = r.log.stream.DeleteConsumer(ctx, c.CachedInfo().Name)
}
