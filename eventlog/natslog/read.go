package natslog

import (
	"context"
	"errors"
	"fmt"
	"iter"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// pullMessages and pullBytes bound what a reader has in memory ahead of its
	// caller. 5000 is where a replay stops to get faster.
	pullMessages = 5000
	pullBytes    = 8 << 20
	// firstPause and lastPause bound the wait between tries to reach the log.
	firstPause = 50 * time.Millisecond
	lastPause  = 2 * time.Second
)

// Read returns records in log order: those after opts.After and, with
// opts.Follow, those that are appended later. It may be called many times; each
// iteration has its own consumer on the server and stops with the loop.
//
// It waits for a server that is away, and goes on after the last record that
// it yielded, without a gap and without a repeat. The last thing it yields may
// be an error with a zero record: ctx.Err(); eventlog.ErrTrimmed where the
// record after After is gone, unless opts.Oldest is set;
// eventlog.ErrIncarnation where the stream was created again since the log was
// opened; eventlog.ErrLostTail where the log ends before After, or where the
// last record read, or the one at After, is not there any more.
//
// With opts.Slices only their records come. A retention limit that removes
// records between two of them while they are read is then not noticed.
func (l *Log) Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		r := &reader{log: l, opts: opts, yield: yield, end: opts.UpTo, stored: opts.AfterStoredAt}
		if err := r.run(ctx); err != nil {
			yield(eventlog.Record{}, fmt.Errorf("read log: %w", err))
		}
	}
}

// reader is one Read: where it is, and how it goes on.
type reader struct {
	log   *Log
	opts  eventlog.ReadOptions
	yield func(eventlog.Record, error) bool
	wire  *wire.Reader // wire.After is the last sequence yielded, or opts.After

	stored time.Time    // when the record at wire.After was stored; zero if that is not known
	hole   eventlog.Seq // the record that was missing last time; 0: none
	plain  bool         // a separate connection did not work for the backlog
	end    eventlog.Seq // last sequence to read; 0: none
	begun  bool         // a record was yielded
	left   bool         // the caller stopped
}

// run reads until the end that was asked for.
func (r *reader) run(ctx context.Context) error {
	r.wire = &wire.Reader{After: uint64(r.opts.After)}
	for {
		h, err := r.begin(ctx)
		if err != nil {
			return err
		}
		if r.end == 0 && !r.opts.Follow {
			r.end = h.Last
		}
		if r.done() || r.filtered() && len(r.opts.Slices) == 0 {
			return nil
		}
		if err := r.read(ctx, h); err != nil || r.left || r.filtered() || r.done() {
			return err
		}
		// The read ended before the last record wanted: a limit removed it
		// meanwhile, which the next check of the log shows, or it can't be read.
		if skipped, err := r.missing(ctx, r.end); err != nil && !errors.Is(err, errHole) {
			return err
		} else if skipped {
			return nil
		}
	}
}

// begin checks the log for the first time. It waits for a server that is away.
func (r *reader) begin(ctx context.Context) (h eventlog.Head, err error) {
	for wait := firstPause; ; wait = min(2*wait, lastPause) {
		if h, err = r.check(ctx); err == nil || final(err) {
			return h, err
		}
		if err := wire.Pause(ctx, wait); err != nil {
			return h, err
		}
	}
}

// read reads through one consumer after the other.
func (r *reader) read(ctx context.Context, h eventlog.Head) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var hopeless error
	*r.wire = wire.Reader{
		JS: r.log.js, Stream: eventlog.Stream, Description: "Rollcall: a reader of the log",
		Messages: pullMessages, Bytes: pullBytes,
		After:  r.wire.After,
		Follow: r.end == 0 || r.end > h.Last,
		Begin:  r.prove, Take: r.message,
		Failed: func(err error) {
			if err = classify(err); final(err) {
				hopeless = err
				cancel()
			}
		},
	}
	for _, slice := range slices.Compact(slices.Sorted(slices.Values(r.opts.Slices))) {
		r.wire.Filters = append(r.wire.Filters, eventlog.SliceSubject(slice))
	}
	err := r.wire.Read(ctx)
	if hopeless != nil {
		return hopeless
	}
	return err
}

// prove is called for each consumer before it delivers: it must continue what
// was read. A backlog is read here.
func (r *reader) prove(ctx context.Context, c wire.Consumer) error {
	h, err := r.check(ctx)
	if final(err) {
		return wire.End(err)
	}
	if err != nil {
		return err
	}
	backlog := min(r.backlog(h), c.Pending) // some of it may be damaged
	if backlog < bulkMin {
		return nil
	}
	return r.drain(ctx, c.Name, backlog)
}

// message takes what a consumer delivered.
func (r *reader) message(ctx context.Context, m *wire.Message) error {
	return r.take(ctx, record(m.Sequence, m.Time, m.Header, m.Data))
}

func (r *reader) at() eventlog.Seq { return eventlog.Seq(r.wire.After) }

// final reports whether a retry can't help.
func final(err error) bool {
	return errors.Is(err, eventlog.ErrTrimmed) || errors.Is(err, eventlog.ErrIncarnation) ||
		errors.Is(err, eventlog.ErrLostTail) || errors.Is(err, eventlog.ErrDamaged) || errors.Is(err, ErrServer)
}

// check compares the log with what was read from it, and returns its state.
func (r *reader) check(ctx context.Context) (eventlog.Head, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	h, err := r.held(ctx)
	if err != nil || r.stored.IsZero() || r.at() < h.First {
		return h, err
	}
	m, err := r.log.message(ctx, r.at())
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound):
		if h, err = r.held(ctx); err != nil || r.at() < h.First {
			return h, err // a limit has just removed it
		}
		return h, fmt.Errorf("%w: record %d is gone", eventlog.ErrLostTail, r.at())
	case err != nil:
		return h, classify(err)
	case !m.Time.Equal(r.stored):
		return h, fmt.Errorf("%w: record %d was stored %v, is stored %v", eventlog.ErrLostTail, r.at(), r.stored, m.Time)
	}
	return h, nil
}

// held returns what the log holds, where that goes on from what was read.
func (r *reader) held(ctx context.Context) (eventlog.Head, error) {
	info, err := r.log.stream.Info(ctx)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		// Gone for now or for good: a stream that was created again is detected below.
		return eventlog.Head{}, fmt.Errorf("%w: stream %s was removed", eventlog.ErrUnavailable, eventlog.Stream)
	}
	if err != nil {
		return eventlog.Head{}, classify(err)
	}
	h := head(info)
	switch {
	case h.Incarnation != r.log.incarnation:
		return h, fmt.Errorf("%w: opened %s, now %s", eventlog.ErrIncarnation, r.log.incarnation, h.Incarnation)
	case h.Last < r.at():
		return h, fmt.Errorf("%w: it ends at %d, read up to %d", eventlog.ErrLostTail, h.Last, r.at())
	case h.First > r.at()+1 && r.opts.Oldest && !r.begun:
		r.wire.After = uint64(h.First - 1)
	case h.First > r.at()+1:
		return h, fmt.Errorf("%w: it begins at %d, next is %d", eventlog.ErrTrimmed, h.First, r.at()+1)
	}
	return h, nil
}

// backlog is how many records can be read in one go; 0 where they can't.
func (r *reader) backlog(h eventlog.Head) uint64 {
	last := h.Last
	if r.end != 0 {
		last = min(last, r.end)
	}
	if r.plain || r.filtered() || last <= r.at() {
		return 0
	}
	return uint64(last - r.at())
}

// drain reads a backlog over a connection of its own. When it was read, or
// could not be, the next consumer goes on after the last record.
func (r *reader) drain(ctx context.Context, consumer string, backlog uint64) error {
	before := r.at()
	for rec, err := range bulk(ctx, r.log.js, consumer, backlog) {
		if err != nil {
			// Once it has worked it is tried again, from where it broke off.
			r.plain = r.at() == before
			break
		}
		if err := r.take(ctx, rec); err != nil {
			return err
		}
		r.wire.After = uint64(rec.Seq)
	}
	if r.done() {
		return wire.ErrStop
	}
	return wire.ErrAgain
}

// take yields one record.
func (r *reader) take(ctx context.Context, rec eventlog.Record) error {
	if r.end != 0 && rec.Seq > r.end {
		return wire.ErrStop
	}
	if err := r.adjoins(ctx, rec.Seq); err != nil {
		return err
	}
	r.begun = true
	if !r.yield(rec, nil) {
		r.left = true
		return wire.ErrStop
	}
	r.stored = rec.StoredAt
	if r.end != 0 && rec.Seq >= r.end {
		r.wire.After = uint64(rec.Seq)
		return wire.ErrStop
	}
	return nil
}

// adjoins returns an error if records are missing before seq, which comes next.
func (r *reader) adjoins(ctx context.Context, seq eventlog.Seq) error {
	if r.opts.Oldest && !r.begun && seq != r.at()+1 {
		// A limit may have removed records since the log was checked, this one too.
		if _, err := r.check(ctx); err != nil {
			return err
		}
		r.wire.After = min(r.wire.After, uint64(seq-1))
	}
	if r.filtered() || seq == r.at()+1 {
		return nil
	}
	_, err := r.missing(ctx, seq-1)
	return err
}

// errHole: records are missing, and the next check shows why.
var errHole = errors.New("records are missing")

// missing handles that the records after the last one, up to last, do not arrive.
// The first time it only has the log checked again: a limit may have removed
// them since, and the server may be able to read them the next time.
func (r *reader) missing(ctx context.Context, last eventlog.Seq) (skipped bool, err error) {
	first := r.at() + 1
	if r.hole != first {
		r.hole = first
		return false, fmt.Errorf("%w: %d to %d", errHole, first, last)
	}
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	if _, err := r.log.message(ctx, first); !errors.Is(err, jetstream.ErrMsgNotFound) {
		return false, fmt.Errorf("%w: %d to %d: %w", errHole, first, last, err)
	}
	if r.opts.Damaged != nil {
		r.opts.Damaged(first, last)
		return true, nil
	}
	return false, wire.End(fmt.Errorf("%w: record %d can't be read, the next that can be is after %d; `rollcall events scan` names what is damaged and what to do",
		eventlog.ErrDamaged, first, last))
}

func (r *reader) filtered() bool { return r.opts.Slices != nil }

// done reports whether everything up to the end was read.
func (r *reader) done() bool {
	return (r.end != 0 || !r.opts.Follow) && r.at() >= r.end
}
