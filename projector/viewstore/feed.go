package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

const (
	// feedBuffer is how many changes wait for a slow reader.
	feedBuffer = 256
	// goneAfter is how long a stream may be missing, as while a server starts.
	goneAfter = 5 * time.Second
	// description is what operators see of a reader's consumers.
	description = "Rollcall: a reader of a view"
)

// feed is what a bucket holds after a position, then what is added: documents and
// checkpoints, of one history. It runs in its own goroutine.
type feed struct {
	reader  *Reader
	bucket  string
	past    past
	changes chan Change
	failed  chan error // gets why it ended, unless it was stopped
	stop    func()
}

// feed starts after a position, which it proves, or with the first message.
func (r *Reader) feed(ctx context.Context, bucket string, from Position) *feed {
	ctx, cancel := context.WithCancel(ctx)
	f := &feed{
		reader: r, bucket: bucket, changes: make(chan Change, feedBuffer), failed: make(chan error, 1),
		past: past{reader: r, bucket: bucket, takeover: from.Takeover, seen: from.StoredAt},
	}
	done := make(chan struct{})
	f.stop = func() { cancel(); <-done }
	w := f.wire(from.Revision)
	go func() {
		defer close(done)
		err := w.Read(ctx)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			err = fmt.Errorf("%w: stream %s is gone", ErrNoView, StreamOf(bucket))
		}
		if ctx.Err() == nil {
			f.failed <- err
		}
	}()
	return f
}

// wire makes the reader of the stream.
func (f *feed) wire(after uint64) *wire.Reader {
	w := &wire.Reader{
		JS: f.reader.js, Stream: StreamOf(f.bucket), Description: description,
		Filters: []string{documentSubject(f.bucket, ">"), checkpointSubject(f.bucket)},
		Follow:  true, Missing: f.reader.goneAfter, After: after, Take: f.take,
	}
	w.Begin = func(ctx context.Context, _ wire.Consumer) error { return end(f.past.begin(ctx, w.After)) }
	w.Failed = func(error) { f.past.ended() }
	var s standing
	w.Idle = func(ctx context.Context) error {
		m, err := wire.LeaderLast(ctx, f.reader.js, w.Stream, checkpointSubject(f.bucket))
		if err != nil {
			return nil // nobody knows; a consumer that is gone shows by itself
		}
		return s.look(w.After, m.Sequence)
	}
	return w
}

// errStands: a consumer is alive and does not deliver what the bucket has.
var errStands = errors.New("the consumer stands still, and the bucket has gone on")

// standing finds a consumer that stands still, by looks at the bucket's last checkpoint.
type standing struct {
	after uint64 // what was taken last
	// behind counts the looks since that showed more, allowed is how many may, two at
	// first. Each consumer that is given up doubles it until one delivers: where the server
	// is slow, others are no faster.
	behind, allowed int
}

// look takes how far the reader and the bucket are.
func (s *standing) look(after, end uint64) error {
	if after != s.after || s.allowed == 0 {
		*s = standing{after: after, allowed: 2}
	}
	if end <= after {
		s.behind = 0
		return nil
	}
	if s.behind++; s.behind < s.allowed {
		return nil
	}
	s.behind, s.allowed = 0, 2*s.allowed
	return fmt.Errorf("%w: read up to %d, it is at %d", errStands, after, end)
}

// end ends a read if a retry can't help.
func end(err error) error {
	if errors.Is(err, errOtherPast) || errors.Is(err, projector.ErrState) {
		return wire.End(err)
	}
	return err
}

// take passes on a message that continues the past.
func (f *feed) take(ctx context.Context, m *wire.Message) error {
	c, err := f.change(m)
	if err == nil && c.Kind == Commit {
		err = f.past.commit(ctx, c.Checkpoint.Takeover, c.Revision)
	}
	if err != nil {
		return end(err)
	}
	select {
	case f.changes <- c:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

func (f *feed) change(m *wire.Message) (Change, error) {
	c := Change{Revision: m.Sequence, StoredAt: m.Time, commit: commitOf(m.Header)}
	key, ok := strings.CutPrefix(m.Subject, documentSubject(f.bucket, ""))
	switch {
	case !ok:
		c.Kind = Commit
		cp, err := readCheckpoint(f.bucket, m)
		c.Checkpoint = cp
		return c, err
	case deleted(m.Header):
		c.Kind, c.Key = Delete, key
	default:
		c.Kind, c.Key, c.Value = Put, key, m.Data
	}
	return c, nil
}

// readCheckpoint reads a bucket's checkpoint.
func readCheckpoint(bucket string, m *wire.Message) (cp projector.Checkpoint, err error) {
	if err := json.Unmarshal(m.Data, &cp); err != nil {
		return cp, fmt.Errorf("%w: checkpoint of %s: %w", projector.ErrState, bucket, err)
	}
	return cp, nil
}
