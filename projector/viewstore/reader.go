package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"iter"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// Reader reads views. It needs only the rights of a user who may read, holds
// nothing, and may be used from several goroutines.
type Reader struct {
	js jetstream.JetStream
	// Tests change these.
	followTTL, goneAfter, viewQuiet time.Duration
}

// NewReader returns a Reader on a connection's JetStream.
func NewReader(js jetstream.JetStream) *Reader {
	return &Reader{js: js, followTTL: followTTL, goneAfter: goneAfter, viewQuiet: viewQuiet}
}

// Alias says which generation of a view is live.
type Alias struct {
	Bucket     string `json:"bucket"`
	Generation int    `json:"generation"`
	// Version is that of the fold that made the generation.
	Version string `json:"version"`
	// Epoch counts the changes of the alias.
	Epoch uint64 `json:"epoch"`

	revision uint64
}

// Entry is one document of a view.
type Entry struct {
	Key   string
	Value []byte
	// Revision is the document's in its bucket.
	Revision   uint64
	Generation int
}

// Alias returns a view's alias, or ErrNoView.
func (r *Reader) Alias(ctx context.Context, view string) (Alias, error) {
	if err := validView(view); err != nil {
		return Alias{}, fmt.Errorf("%w: %w", ErrNoView, err)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := r.last(ctx, StreamOf(Control), documentSubject(Control, aliasPrefix+view))
	if errors.Is(err, nats.ErrNoResponders) {
		// Without the control bucket nobody answers for it, nor without JetStream.
		return Alias{}, fmt.Errorf("%w: no projector has run yet for %s", ErrNoView, view)
	}
	if err != nil {
		return Alias{}, fmt.Errorf("read alias of view %s: %w", view, err)
	}
	if m == nil {
		return Alias{}, fmt.Errorf("%w: no projector has run yet for %s", ErrNoView, view)
	}
	if deleted(m.Header) {
		return Alias{revision: m.Sequence}, fmt.Errorf("%w: the alias of %s was deleted; a projector makes it again", ErrNoView, view)
	}
	alias := Alias{revision: m.Sequence}
	if err := json.Unmarshal(m.Data, &alias); err != nil {
		return Alias{}, fmt.Errorf("%w: alias of view %s: %w", projector.ErrState, view, err)
	}
	return alias, nil
}

// Checkpoint says how far a bucket is; the zero Checkpoint where nothing was
// committed yet.
func (r *Reader) Checkpoint(ctx context.Context, bucket string) (projector.Checkpoint, error) {
	cp, _, err := r.checkpoint(ctx, bucket)
	return cp, err
}

// Parked lists the records that were left out of a view's live generation.
func (r *Reader) Parked(ctx context.Context, view string) ([]projector.Parked, error) {
	alias, err := r.Alias(ctx, view)
	if err != nil {
		return nil, err
	}
	return r.parked(ctx, alias.Bucket)
}

// Get returns a document of the live generation, ErrNotFound or ErrNoView.
// It sees every commit that ended before the call.
func (r *Reader) Get(ctx context.Context, view, key string) (Entry, error) {
	for try := 0; ; try++ {
		alias, err := r.Alias(ctx, view)
		if err != nil {
			return Entry{}, err
		}
		e, err := r.GetFrom(ctx, alias, key)
		// A generation may be dropped between the two reads.
		if err != nil && errors.Is(err, nats.ErrNoResponders) && try < 3 {
			continue
		}
		return e, err
	}
}

// GetFrom is Get on one generation.
func (r *Reader) GetFrom(ctx context.Context, alias Alias, key string) (Entry, error) {
	if !projector.ValidKey(key) {
		return Entry{}, fmt.Errorf("%w: %q in %s", ErrNotFound, key, alias.Bucket)
	}
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := r.last(ctx, StreamOf(alias.Bucket), documentSubject(alias.Bucket, key))
	if err != nil {
		return Entry{}, fmt.Errorf("get %s from %s: %w", key, alias.Bucket, err)
	}
	if m == nil || deleted(m.Header) {
		return Entry{}, fmt.Errorf("%w: %s in %s", ErrNotFound, key, alias.Bucket)
	}
	return Entry{key, m.Data, m.Sequence, alias.Generation}, nil
}

// All yields the documents of the live generation whose keys begin with
// prefix, in the order of their last change. While commits go on, some of what
// it yields is newer than the rest, and a key may come again with a newer value:
// the last one counts. No key that exists all the time is left out. Follow
// gives a consistent view.
func (r *Reader) All(ctx context.Context, view, prefix string) iter.Seq2[Entry, error] {
	return r.all(ctx, view, prefix, false)
}

// Keys is All without the values.
func (r *Reader) Keys(ctx context.Context, view, prefix string) iter.Seq2[string, error] {
	return func(yield func(string, error) bool) {
		for e, err := range r.all(ctx, view, prefix, true) {
			if !yield(e.Key, err) {
				return
			}
		}
	}
}

func (r *Reader) all(ctx context.Context, view, prefix string, keysOnly bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		alias, err := r.Alias(ctx, view)
		if err != nil {
			yield(Entry{}, err)
			return
		}
		for e, err := range r.allFrom(ctx, alias, prefix, keysOnly) {
			if !yield(e, err) {
				return
			}
		}
	}
}

// AllFrom is All on one generation.
func (r *Reader) AllFrom(ctx context.Context, alias Alias, prefix string) iter.Seq2[Entry, error] {
	return r.allFrom(ctx, alias, prefix, false)
}

// allFrom is AllFrom, without the values where keysOnly is set.
func (r *Reader) allFrom(ctx context.Context, alias Alias, prefix string, keysOnly bool) iter.Seq2[Entry, error] {
	return func(yield func(Entry, error) bool) {
		root := documentSubject(alias.Bucket, "")
		// The server filters by whole tokens, the rest is done here.
		filter := root
		if dot := strings.LastIndexByte(prefix, '.'); dot > 0 && projector.ValidKey(prefix[:dot]) {
			filter += prefix[:dot+1]
		}
		for m, err := range r.scan(ctx, alias.Bucket, []string{filter + ">"}, scanOptions{keysOnly: keysOnly}) {
			if err != nil {
				yield(Entry{}, fmt.Errorf("read %s: %w", alias.Bucket, err))
				return
			}
			key := strings.TrimPrefix(m.Subject, root)
			if deleted(m.Header) || !strings.HasPrefix(key, prefix) {
				continue
			}
			if !yield(Entry{key, m.Data, m.Sequence, alias.Generation}, nil) {
				return
			}
		}
	}
}

// scanOptions say what of a stream to scan.
type scanOptions struct {
	keysOnly bool
}

// scan yields the messages that a bucket's stream holds now, in its order, and
// ends at the stream's end. A scan that breaks goes on if the
// stream still holds what was read, and otherwise ends with an error.
func (r *Reader) scan(ctx context.Context, bucket string, filters []string, o scanOptions) iter.Seq2[wire.Message, error] {
	return func(yield func(wire.Message, error) bool) {
		left := false
		past := past{reader: r, bucket: bucket}
		w := &wire.Reader{
			JS: r.js, Stream: StreamOf(bucket), Description: description, Filters: filters, HeadersOnly: o.keysOnly,
			Missing: -1, Away: requestTimeout,
			Take: func(_ context.Context, m *wire.Message) error {
				if left = !yield(*m, nil); left {
					return wire.ErrStop
				}
				return nil
			},
			Failed: func(error) { past.ended() },
		}
		w.Begin = func(ctx context.Context, _ wire.Consumer) error { return end(past.begin(ctx, w.After)) }
		err := w.Read(ctx)
		switch {
		case err == nil || left:
		case errors.Is(err, jetstream.ErrStreamNotFound):
			yield(wire.Message{}, fmt.Errorf("%w: stream %s is gone", ErrNoView, StreamOf(bucket)))
		default:
			yield(wire.Message{}, err)
		}
	}
}

func (r *Reader) stream(ctx context.Context, name string) (jetstream.Stream, error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	s, err := r.js.Stream(ctx, name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, fmt.Errorf("%w: stream %s is gone", ErrNoView, name)
	}
	if err != nil {
		return nil, fmt.Errorf("open stream %s: %w", name, err)
	}
	return s, nil
}
