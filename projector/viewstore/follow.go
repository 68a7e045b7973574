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

// Kind says what a Change is.
type Kind uint8

// Kinds of changes.
const (
	// Put: Key has the document Value now.
	Put Kind = iota + 1
	// Delete: Key is gone, or was never there.
	Delete
	// Commit: everything since the last Commit or Reset belongs together, and
	// the view holds every record up to Checkpoint.Sequence.
	Commit
	// Reset: what the reader holds is void; the generation is sent from its start. It
	// comes first unless the position could be resumed, and when the alias
	// moves. The view is complete again at the next Commit.
	Reset
)

// String is the kind in lower case.
func (k Kind) String() string {
	switch k {
	case Put:
		return "put"
	case Delete:
		return "delete"
	case Commit:
		return "commit"
	case Reset:
		return "reset"
	}
	return "none"
}

// Change is one step of a followed view.
type Change struct {
	Kind       Kind
	View       string
	Bucket     string
	Generation int
	Version    string // of the fold that made the generation
	Key        string
	Value      []byte
	// Revision is where the change stands in its bucket, StoredAt when it was
	// stored. Of a Reset both are zero.
	Revision uint64
	StoredAt time.Time
	// Checkpoint is set of a Commit.
	Checkpoint projector.Checkpoint

	commit string // that a document is of
}

// Position is where a reader stands. A reader that keeps what it was given
// stores the position of the last Commit with it, all four fields.
type Position struct {
	Bucket   string    `json:"bucket"`
	Revision uint64    `json:"revision"`
	StoredAt time.Time `json:"storedAt"`
	// Takeover is the checkpoint's. It proves that the bucket still holds what was
	// read; a position without it can't be resumed.
	Takeover string `json:"takeover"`
}

// Position is where a reader that has taken a Commit stands.
func (c Change) Position() Position {
	return Position{c.Bucket, c.Revision, c.StoredAt, c.Checkpoint.Takeover}
}

// Follow yields a view as it is, then its changes, in the order in which they
// were committed, until ctx ends: it survives lost connections and restarts of
// the server without a gap. From the zero Position, or one that can't be
// resumed (another generation is live, the reader was away for longer than
// delete markers live, the bucket lost what was read or was made again), it begins
// with a Reset; one comes later too when the past turns out to be another one. An
// error ends it; the reader may call again with the position of its last Commit.
func (r *Reader) Follow(ctx context.Context, view string, from Position) iter.Seq2[Change, error] {
	return func(yield func(Change, error) bool) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		aliases, err := r.watchAlias(ctx, view)
		if err != nil {
			if ctx.Err() == nil {
				yield(Change{}, err)
			}
			return
		}
		defer aliases.stop()
		for ctx.Err() == nil {
			alias := aliases.current
			f := follower{reader: r, view: view, alias: alias, aliases: aliases, yield: yield}
			moved, err := f.run(ctx, from)
			switch {
			case ctx.Err() != nil || f.ended:
				return
			case err != nil && aliases.current != alias:
				// The generation was dropped while another became live.
			case err != nil:
				yield(Change{}, err)
				return
			case !moved:
				return
			}
			from = Position{}
		}
	}
}

// follower follows one generation.
type follower struct {
	reader  *Reader
	view    string
	alias   Alias
	aliases *aliasWatch
	yield   func(Change, error) bool
	ended   bool // yield said so
}

// run follows until the alias moves (true), the consumer of changes ends it, or
// an error.
func (f *follower) run(ctx context.Context, from Position) (moved bool, err error) {
	bucket := f.alias.Bucket
	if _, err := f.reader.stream(ctx, StreamOf(bucket)); err != nil {
		return false, err
	}
	if from.Bucket != bucket || from.Takeover == "" {
		from = Position{}
	}
	for {
		if from.Revision == 0 && !f.send(Change{Kind: Reset}) {
			return false, nil
		}
		moved, err := f.read(ctx, from)
		if !errors.Is(err, errOtherPast) {
			return moved, err
		}
		from = Position{}
	}
}

// read follows one past.
func (f *follower) read(ctx context.Context, from Position) (moved bool, err error) {
	feed := f.reader.feed(ctx, f.alias.Bucket, from)
	defer feed.stop()
	whole := assembly{gaps: gaps{follower: f}}
	for {
		select {
		case <-ctx.Done():
			return false, nil
		case alias := <-f.aliases.moves:
			if f.moved(alias) {
				return true, nil
			}
		case err := <-feed.failed:
			return false, fmt.Errorf("follow %s: %w", f.alias.Bucket, err)
		case c := <-feed.changes:
			changes, err := whole.take(ctx, c)
			if errors.Is(err, errMoved) {
				return true, nil
			}
			if err != nil {
				return false, err
			}
			for _, c := range changes {
				if !f.send(c) {
					return false, nil
				}
			}
		}
	}
}

// errMoved: another generation became live.
var errMoved = errors.New("the alias moved")

// moved takes an alias, and reports whether it names another generation.
func (f *follower) moved(alias Alias) bool {
	f.aliases.current = alias
	return alias.Bucket != f.alias.Bucket
}

// assembly holds a commit back until the view is whole with it.
type assembly struct {
	gaps    gaps
	partial *Change   // the last commit, where it was not whole yet
	out     [2]Change // what take returns
}

// take returns what a change makes known: itself, and the commit that it
// completes.
func (a *assembly) take(ctx context.Context, c Change) ([]Change, error) {
	if c.Kind == Commit {
		whole, err := a.gaps.commit(ctx, c)
		if a.partial = nil; err != nil || !whole {
			a.partial = &c
			return nil, err
		}
		return append(a.out[:0], c), nil
	}
	a.gaps.document(c)
	// What somebody wrote without the projector ends no commit, and our next
	// commit may be far away: the last commit is complete here.
	if a.partial != nil && c.commit == "" && c.Revision >= a.gaps.until {
		whole := *a.partial
		whole.Revision, whole.StoredAt, a.partial = c.Revision, c.StoredAt, nil
		return append(a.out[:0], c, whole), nil
	}
	return append(a.out[:0], c), nil
}

// gaps finds out which commits a follower has seen in part only. A bucket keeps
// one message a key, so a commit that the follower is slow to read loses the
// documents that a later one writes again. The view is whole once that later
// one is read: nothing that is missing comes after the last message that there was when the
// gap showed.
type gaps struct {
	follower *follower
	last     string // the last commit seen; "" at first, which is a gap
	until    uint64 // commits below are not whole
	// The documents of the commit that is being read.
	batch string
	keys  map[string]struct{}
}

// document notes a document's commit.
func (g *gaps) document(c Change) {
	if c.commit != g.batch || g.keys == nil {
		g.batch, g.keys = c.commit, make(map[string]struct{})
	}
	g.keys[c.Key] = struct{}{}
}

// commit reports whether the view is whole at c.
func (g *gaps) commit(ctx context.Context, c Change) (bool, error) {
	seen := 0
	if g.batch == c.Checkpoint.Commit {
		seen = len(g.keys)
	}
	missed := g.last == "" || g.last != c.Checkpoint.Previous || seen != c.Checkpoint.Documents
	g.last, g.batch, g.keys = c.Checkpoint.Commit, "", nil
	if missed {
		end, err := g.end(ctx)
		if err != nil {
			return false, err
		}
		g.until = end
	}
	return c.Revision >= g.until, nil
}

// end asks for the sequence of the last message that a follower gets, until the
// server answers or another generation is live. The stream may end with others, which nothing has to follow.
func (g *gaps) end(ctx context.Context) (end uint64, err error) {
	bucket := g.follower.alias.Bucket
	for _, subject := range []string{documentSubject(bucket, ">"), checkpointSubject(bucket)} {
		m, err := g.final(ctx, subject)
		if err != nil {
			return 0, err
		}
		if m != nil {
			end = max(end, m.Sequence)
		}
	}
	return end, nil
}

// final is the last message of the subjects; nil: none.
func (g *gaps) final(ctx context.Context, subject string) (*wire.Message, error) {
	for {
		m, err := wire.LeaderLast(ctx, g.follower.reader.js, StreamOf(g.follower.alias.Bucket), subject)
		switch {
		case err == nil:
			return m, nil
		case ctx.Err() != nil:
			return nil, ctx.Err()
		case errors.Is(err, jetstream.ErrMsgNotFound):
			return nil, nil
		case errors.Is(err, jetstream.ErrStreamNotFound):
			return nil, fmt.Errorf("follow view: %w", err)
		}
		if err := g.pause(ctx); err != nil {
			return nil, err
		}
	}
}

// pause waits before the next try; errMoved: what is asked about is no longer live.
func (g *gaps) pause(ctx context.Context) error {
	next := time.NewTimer(standbyPoll)
	defer next.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case <-next.C:
			return nil
		case alias := <-g.follower.aliases.moves:
			if g.follower.moved(alias) {
				return errMoved
			}
		}
	}
}

// commitOf reads a document's commit off its batch id; see batchID.
func commitOf(h nats.Header) string {
	batch, _ := wire.BatchOf(h)
	commit, _, _ := strings.Cut(batch, ":")
	return commit
}

func (f *follower) send(c Change) bool {
	c.View, c.Bucket, c.Generation, c.Version = f.view, f.alias.Bucket, f.alias.Generation, f.alias.Version
	f.ended = !f.yield(c, nil)
	return !f.ended
}

// aliasWatch watches a view's alias.
type aliasWatch struct {
	current Alias
	moves   chan Alias
	stop    func()
}

// watchAlias waits until the view exists. From then on the control bucket may go
// away and come back: each consumer begins with the alias as it is, and the
// generation that is followed stays until another one is named.
func (r *Reader) watchAlias(ctx context.Context, view string) (*aliasWatch, error) {
	if err := validView(view); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNoView, err)
	}
	current, err := r.Alias(ctx, view)
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithCancel(ctx)
	w := &aliasWatch{current: current, moves: make(chan Alias)}
	reader := &wire.Reader{
		JS: r.js, Stream: StreamOf(Control), Description: description, Latest: true, Follow: true,
		Filters: []string{documentSubject(Control, aliasPrefix+view)},
		Take: func(ctx context.Context, m *wire.Message) error {
			alias := Alias{revision: m.Sequence}
			if json.Unmarshal(m.Data, &alias) != nil || alias.Bucket == "" {
				return nil // deleted, or not ours: the generation stays
			}
			select {
			case w.moves <- alias:
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		},
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		_ = reader.Read(ctx) // until stop: it retries all errors
	}()
	w.stop = func() { cancel(); <-done }
	return w, nil
}
