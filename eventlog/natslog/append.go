package natslog

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

// Append stores a record and returns when the server has acknowledged it. It
// may be called from many goroutines, whose records share atomic batches.
//
// A record with a delivery uuid that repeats one within the duplicate window
// is not stored: the answer is the first one's sequence and event id. r is not
// kept, but r.Body must not change before Append returns, and for as long as
// the log is open if it returns an error.
//
// Before a repeat is answered, the log is checked: it still holds the first record,
// or a retention limit removed it. A record that the log has lost is stored again.
//
// Every error wraps eventlog.ErrUnavailable and means that the outcome is
// unknown. A ctx that ends while the record still waits takes it back.
func (l *Log) Append(ctx context.Context, r *eventlog.Record) (eventlog.Appended, error) {
	id := messageID(r)
	m := message(r, id)
	for range appendTries {
		a, err := l.committer.append(ctx, &pending{msg: m, id: id, eventID: r.EventID, done: make(chan struct{})})
		if err != nil {
			return eventlog.Appended{}, fmt.Errorf("append record: %w", err)
		}
		if !a.Duplicate {
			return a, nil
		}
		lost, err := l.checkRepeat(ctx, id, &a)
		if err != nil {
			return eventlog.Appended{}, fmt.Errorf("append record: %w", err)
		}
		if !lost {
			return a, nil
		}
		if m = message(r, id); a.EventID == "" {
			// The server called it a repeat, and would again.
			m = message(r, "")
		}
	}
	return eventlog.Appended{}, fmt.Errorf("append record: %w: it is answered as a repeat of a record that is lost", eventlog.ErrUnavailable)
}

// Record reads one record. eventlog.ErrNotFound: there is none at that
// sequence, or not any more; eventlog.ErrUnavailable: try again.
func (l *Log) Record(ctx context.Context, seq eventlog.Seq) (eventlog.Record, error) {
	if seq == 0 {
		return eventlog.Record{}, fmt.Errorf("read record 0: %w", eventlog.ErrNotFound)
	}
	m, err := ask(ctx, func(ctx context.Context) (*wire.Message, error) { return l.message(ctx, seq) })
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return eventlog.Record{}, fmt.Errorf("read record %d: %w", seq, eventlog.ErrNotFound)
	}
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("read record %d: %w", seq, classify(err))
	}
	return record(m.Sequence, m.Time, m.Header, m.Data), nil
}

// message reads what is stored at a sequence. A replica that lags has less than
// the log, so where it has nothing the leader is asked.
func (l *Log) message(ctx context.Context, seq eventlog.Seq) (*wire.Message, error) {
	m, err := l.stream.GetMsg(ctx, uint64(seq))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return wire.LeaderMessage(ctx, l.js, eventlog.Stream, uint64(seq))
	}
	if err != nil {
		return nil, err
	}
	return &wire.Message{Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Header: m.Header, Data: m.Data}, nil
}

// Head asks the server where the log begins and ends, and which log it is.
func (l *Log) Head(ctx context.Context) (eventlog.Head, error) {
	info, err := ask(ctx, l.info)
	if err != nil {
		return eventlog.Head{}, fmt.Errorf("read head: %w", classify(err))
	}
	return head(info), nil
}

func (l *Log) info(ctx context.Context) (*jetstream.StreamInfo, error) { return l.stream.Info(ctx) }

func head(info *jetstream.StreamInfo) eventlog.Head {
	h := eventlog.Head{
		Incarnation: info.Config.Metadata[incarnationKey],
		First:       eventlog.Seq(info.State.FirstSeq),
		Last:        eventlog.Seq(info.State.LastSeq),
	}
	if info.State.Msgs == 0 {
		h.First = h.Last + 1
	}
	return h
}

// Info is what an operator wants to know of the log.
type Info struct {
	eventlog.Head
	Records, Bytes              uint64
	FirstStoredAt, LastStoredAt time.Time // zero where the log is empty
	Replicas                    int
	MaxAge                      time.Duration // 0: none
	MaxBytes                    int64         // -1: none
	DuplicateWindow             time.Duration
	// Durability says in a sentence what a successful append outlives, and
	// Synced whether that includes a power loss.
	Durability string
	Synced     bool
	Commits    Stats
}

// Info asks the server for the log's state.
func (l *Log) Info(ctx context.Context) (Info, error) {
	si, err := ask(ctx, l.info)
	if err != nil {
		return Info{}, fmt.Errorf("read log info: %w", classify(err))
	}
	return l.summary(si), nil
}

// summary is what an operator wants to know of the stream.
func (l *Log) summary(si *jetstream.StreamInfo) Info {
	in := Info{
		Head:            head(si),
		Records:         si.State.Msgs,
		Bytes:           si.State.Bytes,
		Replicas:        si.Config.Replicas,
		MaxAge:          si.Config.MaxAge,
		MaxBytes:        si.Config.MaxBytes,
		DuplicateWindow: si.Config.Duplicates,
		Commits:         l.Stats(),
	}
	if si.State.Msgs > 0 {
		in.FirstStoredAt, in.LastStoredAt = si.State.FirstTime, si.State.LastTime
	}
	synced := si.Config.Metadata[syncedKey] != ""
	if l.synced != nil {
		synced = *l.synced // other programs may append in another way
	}
	in.Durability, in.Synced = durability(in.Replicas, synced)
	return in
}

func durability(replicas int, synced bool) (string, bool) {
	switch {
	case synced:
		return "200 means fsynced: it survives kill and power loss", true
	case replicas > 1:
		return fmt.Sprintf("200 means stored by most of %d servers: it survives the loss of a minority; "+
			"power loss of all depends on their sync_interval", replicas), false
	}
	return "200 means written by one external server: it survives kill -9; a power loss can take what its " +
		"sync_interval (default 2m) had not synced; set sync_interval: always there", false
}

// Stats returns what the group commit did since the log was opened.
func (l *Log) Stats() Stats {
	l.committer.mu.Lock()
	defer l.committer.mu.Unlock()
	s := l.committer.stats
	s.Queued = len(l.committer.queue)
	return s
}

// Close ends appending: what still waits gets ErrUnavailable. Reads go on. It
// does not close the connection. Callers that want their appends finished wait
// for them first.
func (l *Log) Close() { l.committer.close() }

// ask runs a request that only reads, and again while it gets no answer: one
// that was under way when the connection broke is lost silently.
func ask[T any](ctx context.Context, request func(context.Context) (T, error)) (T, error) {
	ctx, cancel := context.WithTimeout(ctx, setupTimeout)
	defer cancel()
	for {
		try, stop := context.WithTimeout(ctx, askTimeout)
		v, err := request(try)
		stop()
		if ctx.Err() != nil || !errors.Is(err, context.DeadlineExceeded) && !errors.Is(err, nats.ErrTimeout) {
			return v, err
		}
	}
}
