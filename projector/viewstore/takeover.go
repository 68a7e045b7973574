package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// takeover is a take-over's marker, by which readers and writers prove that they
// continue the history that the stream holds. It stands on a subject with the
// take-over's random id, which each checkpoint of its time names.
//
// Revisions and epochs prove nothing: a stream that lost its tail, or was made
// again, reuses them. A marker is in the stream or it is not, and the
// next take-over writes into it how far its time went.
type takeover struct {
	Epoch uint64 `json:"epoch"`
	// After is the revision of the checkpoint that the take-over went on from.
	After uint64 `json:"after"`
	// Version is that of the fold that writes.
	Version string `json:"version"`
	// Until is the revision of the checkpoint that the next take-over went on
	// from; 0 while there is none. Then the marker expires, with the positions
	// that it could prove.
	Until uint64 `json:"until,omitempty"`
}

// takeOver writes the checkpoint with the next epoch and a marker of its own, and
// closes the marker of the take-over before, in one batch.
func (w *writer) takeOver(ctx context.Context) (projector.Checkpoint, error) {
	for {
		cp, revision, err := w.store.checkpoint(ctx, w.bucket)
		if err != nil {
			return cp, err
		}
		messages, err := w.closing(ctx, cp, revision)
		if err != nil {
			return cp, err
		}
		cp.Epoch++
		cp.Previous, cp.Documents = cp.Commit, 0
		cp.Commit, cp.Takeover = fmt.Sprintf("%d-0.0", cp.Epoch), nuid.Next()
		mark := takeover{Epoch: cp.Epoch, After: revision, Version: w.version}
		own, err1 := encode(takeoverSubject(w.bucket, cp.Takeover), mark)
		last, err2 := encode(checkpointSubject(w.bucket), cp)
		if err := errors.Join(err1, err2); err != nil {
			return cp, err
		}
		fence(last, last.Subject, revision)
		next, err := w.store.publishAll(ctx, append(messages, own, last))
		if err == nil {
			w.epoch, w.previous, w.takeover = cp.Epoch, cp.Commit, cp.Takeover
			w.mark, w.marker = mark, next-1
			w.advance(next)
			return cp, nil
		}
		if !wire.IsConflict(err) {
			return cp, fmt.Errorf("raise epoch of %s: %w", w.bucket, err)
		}
		if err := wire.Pause(ctx, standbyPoll); err != nil {
			return cp, err
		}
	}
}

// closing is the marker of the take-over that a checkpoint is of, with its end.
// There is none where an older version of this program wrote the checkpoint.
func (w *writer) closing(ctx context.Context, cp projector.Checkpoint, revision uint64) ([]*nats.Msg, error) {
	if cp.Takeover == "" {
		return nil, nil
	}
	subject := takeoverSubject(w.bucket, cp.Takeover)
	c, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
	defer cancel()
	m, err := w.store.last(c, StreamOf(w.bucket), subject)
	if err != nil {
		return nil, fmt.Errorf("read take-over of %s: %w", w.bucket, err)
	}
	if m == nil {
		return nil, nil
	}
	var before takeover
	if err := json.Unmarshal(m.Data, &before); err != nil {
		return nil, fmt.Errorf("%w: take-over of %s: %w", projector.ErrState, w.bucket, err)
	}
	before.Until = revision
	closed, err := encode(subject, before)
	if err != nil {
		return nil, err
	}
	closed.Header[jetstream.MsgTTLHeader] = []string{MarkerTTL.String()}
	return []*nats.Msg{closed}, nil
}

// encode makes a message of v as JSON.
func encode(subject string, v any) (*nats.Msg, error) {
	data, err := json.Marshal(v)
	if err != nil {
		return nil, fmt.Errorf("encode %s: %w", subject, err)
	}
	m := nats.NewMsg(subject)
	m.Data = data
	return m, nil
}

// errOtherPast: what was read from a stream is not what it holds, or that can't be
// proven.
var errOtherPast = errors.New("the stream holds another past than the one that was read")

// past is what a reader knows of the stream that it reads, to prove that what it
// reads next continues it. It is used by one goroutine.
type past struct {
	reader *Reader
	bucket string
	// takeover is the one that at was stored under; "" where nothing is known.
	takeover string
	// at is up to where nothing can have been lost since it was proven: the last
	// checkpoint, or where the consumer began.
	at uint64
	// seen is when the reader was there last, by the server's clock.
	seen time.Time
	// since is when seen was taken, by ours.
	since time.Time
}

// begin proves that a consumer continues what was read up to after. A reader
// that has nothing yet learns under which take-over it begins. The consumer is
// made before: a take-over that comes later shows in what it delivers.
func (p *past) begin(ctx context.Context, after uint64) error {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	stream, err := p.reader.js.Stream(ctx, StreamOf(p.bucket))
	if err != nil {
		return fmt.Errorf("open stream %s: %w", StreamOf(p.bucket), err)
	}
	info := stream.CachedInfo()
	if after == 0 {
		err = p.learn(ctx)
	} else {
		err = p.prove(ctx, after, info)
	}
	if err != nil {
		return err
	}
	p.at, p.seen, p.since = after, info.TimeStamp, time.Now()
	return nil
}

// learn takes the take-over that the stream is under now.
func (p *past) learn(ctx context.Context) error {
	p.takeover = ""
	m, err := wire.LeaderLast(ctx, p.reader.js, StreamOf(p.bucket), checkpointSubject(p.bucket))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return nil
	}
	if err != nil {
		return err
	}
	cp, err := readCheckpoint(p.bucket, m)
	p.takeover = cp.Takeover
	return err
}

// prove says whether what was read up to after is what the stream holds.
func (p *past) prove(ctx context.Context, after uint64, info *jetstream.StreamInfo) error {
	last := info.State.LastSeq
	if after > last {
		return fmt.Errorf("%w: read up to %d, %s ends at %d", errOtherPast, after, StreamOf(p.bucket), last)
	}
	// The server's clock, twice: what it stored last, and what the reader saw last.
	if ttl := p.reader.followTTL; after < last && (info.State.LastTime.Sub(p.seen) >= ttl || info.TimeStamp.Sub(p.seen) >= ttl) {
		return fmt.Errorf("%w: delete markers may have expired since %s", errOtherPast, p.seen)
	}
	return p.continues(ctx, after)
}

// continues says whether the stream holds what it held at a revision under the
// take-over that the reader knows.
func (p *past) continues(ctx context.Context, at uint64) error {
	if p.takeover == "" {
		return fmt.Errorf("%w: its checkpoint names no take-over", errOtherPast)
	}
	m, err := wire.LeaderLast(ctx, p.reader.js, StreamOf(p.bucket), takeoverSubject(p.bucket, p.takeover))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return fmt.Errorf("%w: take-over %s is gone", errOtherPast, p.takeover)
	}
	if err != nil {
		return err
	}
	var marker takeover
	if err := json.Unmarshal(m.Data, &marker); err != nil {
		return fmt.Errorf("%w: take-over of %s: %w", projector.ErrState, p.bucket, err)
	}
	if marker.Until != 0 && marker.Until < at {
		return fmt.Errorf("%w: read up to %d, it went on from %d", errOtherPast, at, marker.Until)
	}
	return nil
}

// commit takes a checkpoint that was delivered. One of another take-over must go
// on from what the reader knows. What the same consumer delivered since at needs
// no proof: none survives that its stream loses what it delivered.
func (p *past) commit(ctx context.Context, takeover string, revision uint64) error {
	if takeover != p.takeover {
		if p.takeover != "" || p.at > 0 { // otherwise it has read nothing yet
			if err := p.continues(ctx, p.at); err != nil {
				return err
			}
		}
		p.takeover = takeover
	}
	p.at = revision
	return nil
}

// ended notes when the reader was there last.
func (p *past) ended() {
	if !p.since.IsZero() {
		p.seen, p.since = p.seen.Add(time.Since(p.since)), time.Time{}
	}
}
