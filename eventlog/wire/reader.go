package wire

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

const (
	// defaultMessages is how many messages a consumer is asked for at a time.
	defaultMessages = 2000
	// pullExpiry is how long one request to the server lives, heartbeat how often
	// the server says that a quiet consumer still exists: two that stay away end it.
	pullExpiry = 30 * time.Second
	heartbeat  = time.Second
	// inactive is how long the server keeps a consumer that nobody reads.
	inactive = 30 * time.Second
	// quiet is how long a reader that is to end waits for a message before it
	// asks whether there are more.
	quiet = 2 * time.Second
	// idle is how often one that follows, and has a hook for it, looks whether something is
	// missing: longer than it takes to see that heartbeats stay away, which begins again
	// with each look.
	idle = 3*heartbeat + heartbeat/2
	// retryMin and retryMax bound the wait between two tries.
	retryMin = 50 * time.Millisecond
	retryMax = time.Second
	// setup bounds one request.
	setup = 5 * time.Second
)

var (
	// ErrStop ends a read without an error.
	ErrStop = errors.New("stop reading")
	// ErrAgain makes the next consumer at once, after [Reader.After].
	ErrAgain = errors.New("read on with another consumer")
	// errBroken: a consumer delivered what it should not have.
	errBroken = errors.New("consumer broke")
)

// End makes an error of a hook the one that Read returns. Other errors of hooks
// break the consumer, and the read goes on with the next one.
func End(err error) error { return endError{err} }

// endError is an error that ends a read; see End.
type endError struct{ error }

// Unwrap returns the error that ends the read.
func (e endError) Unwrap() error { return e.error }

// Reader reads a stream through one ephemeral consumer after the other. Its
// fields are set before Read, which may be called once; hooks are called by
// Read alone, one at a time, and may block.
type Reader struct {
	JS     jetstream.JetStream
	Stream string
	// Filters are the subjects to read; none: all.
	Filters []string
	// HeadersOnly leaves the bodies out.
	HeadersOnly bool
	// Latest has each consumer begin with the last message of each subject,
	// wherever it is, instead of after After.
	Latest bool
	// Follow goes on at the end of the stream, until ctx ends. Without
	// it Read returns nil there. That is not the end as it was when Read began: a
	// subject that was written since comes after it, and maybe nowhere else.
	Follow bool
	// Description is what operators see of the consumers.
	Description string
	// Messages and Bytes bound what is asked for at a time, and so what waits in
	// memory: 2,000 messages; no bound of bytes.
	Messages, Bytes int
	// Missing is how long the stream may be missing before Read returns the error,
	// and Away how long anything else may fail without a message in between. 0 is
	// without limit, negative not at all.
	Missing, Away time.Duration

	// After is the sequence of the last message taken. Hooks may move it.
	After uint64
	// Begin, where set, is called for each consumer, when it was made and before
	// it delivers. It proves that the consumer continues what was read, and may read
	// a backlog by itself, through the consumer, and return ErrAgain.
	Begin func(ctx context.Context, c Consumer) error
	// Take gets each message, in order. After moves when it returns nil. The
	// message is the hook's to keep.
	Take func(ctx context.Context, m *Message) error
	// Idle, where set, is called every few seconds while a reader that follows waits for
	// a message. Its error breaks the consumer: one may be alive and deliver nothing,
	// such as one whose replica of the stream lags.
	Idle func(ctx context.Context) error
	// Failed, if set, is called with the error of each try that is retried.
	Failed func(err error)
}

// Consumer is what Begin learns about a consumer.
type Consumer struct {
	Name string
	// Pending is how many messages it had before it when it was made.
	Pending uint64
}

// Message is one message of a stream.
type Message struct {
	Subject  string
	Sequence uint64
	Time     time.Time // when it was stored
	Header   nats.Header
	Data     []byte
}

// Read reads until ctx ends and returns ctx.Err(), or until a hook ends it, or
// the end of the stream is reached, or Missing or Away has passed. A stream that is
// missing shows as jetstream.ErrStreamNotFound.
func (r *Reader) Read(ctx context.Context) error {
	watch := watchOf(ctx)
	defer watch.moves(r)
	var missing, away time.Time // since when
	for wait := retryMin; ; {
		before := r.After
		err := r.consume(ctx)
		var end endError
		switch {
		case err == nil || errors.Is(err, ErrStop):
			return nil
		case errors.As(err, &end):
			return end.error
		case ctx.Err() != nil:
			return ctx.Err()
		case errors.Is(err, ErrAgain):
			missing, away = time.Time{}, time.Time{}
			continue
		}
		if r.After != before {
			missing, away, wait = time.Time{}, time.Time{}, retryMin
		}
		gone := errors.Is(err, jetstream.ErrStreamNotFound)
		if gone && over(&missing, r.Missing) || !gone && over(&away, r.Away) {
			return err
		}
		if gone {
			away = time.Time{}
		} else {
			missing = time.Time{}
		}
		watch.failed(r, err)
		if r.Failed != nil {
			r.Failed(err)
		}
		if err := Pause(ctx, wait); err != nil {
			return err
		}
		wait = min(2*wait, retryMax)
	}
}

// over reports whether the time since has passed its limit, and begins it.
func over(since *time.Time, limit time.Duration) bool {
	if since.IsZero() {
		*since = time.Now()
	}
	return limit < 0 || limit > 0 && time.Since(*since) > limit
}

// consume reads through one consumer until it ends.
func (r *Reader) consume(ctx context.Context) error {
	nc := r.JS.Conn()
	// Watched from here on: a consumer outlives its reader's connection, and goes
	// on after messages that were lost.
	ctx, stop := UntilDisconnected(ctx, nc)
	defer stop()
	consumer, err := r.create(ctx)
	if err != nil {
		return fmt.Errorf("make consumer on %s: %w", r.Stream, err)
	}
	info := consumer.CachedInfo()
	defer r.remove(ctx, info.Name)
	if r.Begin != nil {
		if err := r.Begin(ctx, Consumer{info.Name, info.NumPending}); err != nil {
			return err
		}
	}
	watchOf(ctx).moves(r)
	if !r.Follow && info.NumPending == 0 {
		return nil
	}
	messages, err := consumer.Messages(r.pull()...)
	if err != nil {
		return fmt.Errorf("read %s: %w", r.Stream, err)
	}
	defer messages.Stop()
	return r.deliver(ctx, consumer, messages)
}

func (r *Reader) create(ctx context.Context) (jetstream.Consumer, error) {
	ctx, cancel := context.WithTimeout(ctx, setup)
	defer cancel()
	c := jetstream.ConsumerConfig{
		Description: r.Description, FilterSubjects: r.Filters, HeadersOnly: r.HeadersOnly,
		DeliverPolicy: jetstream.DeliverByStartSequencePolicy, OptStartSeq: r.After + 1,
		// The reader knows itself how far it is; acks would only cost.
		AckPolicy: jetstream.AckNonePolicy, MaxDeliver: 1,
		MemoryStorage: true, Replicas: 1, InactiveThreshold: inactive,
	}
	if r.Latest {
		c.DeliverPolicy, c.OptStartSeq = jetstream.DeliverLastPerSubjectPolicy, 0
	}
	return r.JS.CreateConsumer(ctx, r.Stream, c)
}

func (r *Reader) pull() []jetstream.PullMessagesOpt {
	count := r.Messages
	if count == 0 {
		count = defaultMessages
	}
	options := []jetstream.PullMessagesOpt{jetstream.PullExpiry(pullExpiry), jetstream.PullHeartbeat(heartbeat)}
	if r.Bytes > 0 {
		return append(options, jetstream.PullMaxMessagesWithBytesLimit(count, r.Bytes))
	}
	return append(options, jetstream.PullMaxMessages(count))
}

// deliver takes what the consumer delivers.
func (r *Reader) deliver(ctx context.Context, consumer jetstream.Consumer, messages jetstream.MessagesContext) error {
	name := consumer.CachedInfo().Name
	from := awaiting{consumer: consumer, messages: messages, follow: r.Follow, idle: r.Idle}
	defer from.stop()
	var reply []byte
	for number := uint64(1); ; number++ {
		m, err := from.next(ctx, number-1)
		if err != nil {
			return fmt.Errorf("read %s: %w", r.Stream, err)
		}
		reply = append(reply[:0], m.Reply()...)
		d, err := ParseDelivery(reply)
		switch {
		case err != nil:
			return fmt.Errorf("read %s: %w", r.Stream, err)
		case string(d.Stream) != r.Stream || string(d.Consumer) != name:
			return fmt.Errorf("read %s: %w: message of consumer %.64q on stream %.64q", r.Stream, errBroken, d.Consumer, d.Stream)
		case d.Number != number:
			// The client dropped messages, or they were lost on the way.
			return fmt.Errorf("read %s: %w: delivery %d came as %d", r.Stream, errBroken, number, d.Number)
		}
		if err := r.Take(ctx, &Message{m.Subject(), d.Sequence, d.Time, m.Headers(), m.Data()}); err != nil {
			return err
		}
		r.After = d.Sequence
		if !r.Follow && d.Pending == 0 {
			return nil
		}
	}
}

// awaiting waits for a consumer's messages.
type awaiting struct {
	consumer jetstream.Consumer
	messages jetstream.MessagesContext
	follow   bool
	idle     func(ctx context.Context) error
	patience context.Context // until the next look
	renew    context.CancelFunc
}

// next waits for the message after the first taken ones, and looks around now and then.
func (a *awaiting) next(ctx context.Context, taken uint64) (jetstream.Msg, error) {
	for {
		wait := ctx
		if !a.follow || a.idle != nil {
			if a.patience == nil || a.patience.Err() != nil {
				a.stop()
				a.patience, a.renew = context.WithTimeout(ctx, a.every())
			}
			wait = a.patience
		}
		m, err := a.messages.Next(jetstream.NextContext(wait))
		if err == nil || ctx.Err() != nil || wait.Err() == nil {
			return m, err
		}
		if err := a.look(ctx, taken); err != nil {
			return nil, err
		}
	}
}

// every is how long to wait between two looks.
func (a *awaiting) every() time.Duration {
	if a.follow {
		return idle
	}
	return quiet
}

// look has a follower's hook say whether something is missing. A reader that is to end
// can't trust the count of pending messages alone: what was pending may be
// overwritten, or have expired. So it asks when nothing comes for a while.
func (a *awaiting) look(ctx context.Context, taken uint64) error {
	if a.follow {
		return a.idle(ctx)
	}
	ctx, cancel := context.WithTimeout(ctx, setup)
	defer cancel()
	info, err := a.consumer.Info(ctx)
	if err == nil && info.NumPending == 0 && info.Delivered.Consumer == taken {
		err = ErrStop
	}
	return err
}

func (a *awaiting) stop() {
	if a.renew != nil {
		a.renew()
	}
}

// remove deletes the consumer. If it can't, the server does so by itself.
func (r *Reader) remove(ctx context.Context, name string) {
	if !r.JS.Conn().IsConnected() {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), heartbeat)
	defer cancel()
	_ = r.JS.DeleteConsumer(ctx, r.Stream, name)
}
