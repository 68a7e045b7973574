package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// writer implements projector.GenerationWriter on one bucket.
type writer struct {
	store         *Store
	stream        jetstream.Stream
	view, version string
	bucket        string
	generation    int
	lease         *lease

	// The fence: the take-over's id with the revision of its marker, and the
	// checkpoint's revision as this process knows it. open and Commit write them,
	// and neither runs beside the other.
	epoch    uint64
	takeover string
	mark     takeover
	marker   uint64
	revision uint64
	storedAt time.Time // when revision was stored, by our clock
	remarks  bool      // the commit under way writes the marker too
	refused  bool      // by a fence
	previous string    // the commit that revision is of
	attempts int
	// loaded is the revision for Load, which runs beside Commit.
	loaded atomic.Uint64
	// unannounced are changes whose commit's outcome is not known yet.
	unannounced *announcement
}

// open raises the epoch, which fences every other writer, then reads what the
// generation holds.
func (w *writer) open(ctx context.Context) (*projector.Lease, error) {
	cp, err := w.takeOver(ctx)
	if err != nil {
		return nil, err
	}
	o := &projector.Lease{
		GenerationWriter: w, Bucket: w.bucket, Generation: w.generation, Checkpoint: cp,
		Lost: w.lease.lost, Release: w.lease.release,
	}
	if o.Empty, err = w.empty(ctx); err != nil {
		return nil, err
	}
	// Not by cp's count alone: a commit that broke off may have parked some.
	if o.Parked, err = w.store.parked(ctx, w.bucket); err != nil {
		return nil, err
	}
	return o, nil
}

// empty reports whether the generation holds its checkpoint and the markers of
// take-overs alone.
func (w *writer) empty(ctx context.Context) (bool, error) {
	ctx, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
	defer cancel()
	info, err := w.stream.Info(ctx)
	if err != nil {
		return false, fmt.Errorf("read state of stream %s: %w", StreamOf(w.bucket), err)
	}
	own, err := w.store.lastMessages(ctx, StreamOf(w.bucket), []string{checkpointSubject(w.bucket), takeoverSubject(w.bucket, "*")})
	if errors.Is(err, errTooMany) {
		return false, nil // which is safe
	}
	if err != nil {
		return false, fmt.Errorf("read take-overs of %s: %w", w.bucket, err)
	}
	return info.State.Msgs == uint64(len(own)), nil
}

// checkpoint reads a bucket's checkpoint and its revision; zero where it has none.
func (r *Reader) checkpoint(ctx context.Context, bucket string) (cp projector.Checkpoint, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	m, err := r.last(ctx, StreamOf(bucket), checkpointSubject(bucket))
	if err != nil {
		return cp, 0, fmt.Errorf("read checkpoint of %s: %w", bucket, err)
	}
	if m == nil {
		return cp, 0, nil
	}
	cp, err = readCheckpoint(bucket, m)
	return cp, m.Sequence, err
}

// errStale: a replica answered that has not seen our last commit yet.
var errStale = errors.New("replica is behind")

// Checkpoint implements projector.GenerationWriter. What it returns is this take-over's, or
// of a later epoch; otherwise it is ErrLostView.
func (w *writer) Checkpoint(ctx context.Context) (projector.Checkpoint, error) {
	cp, revision, err := w.store.checkpoint(ctx, w.bucket)
	if errors.Is(err, nats.ErrNoResponders) || err == nil && !w.ours(cp, revision) {
		cp, revision, err = w.judge(ctx)
	}
	if err != nil {
		return cp, err
	}
	if cp.Takeover == w.takeover && (w.refused || w.remarks) {
		if err := w.readMarker(ctx); err != nil {
			return cp, err
		}
	}
	if cp.Takeover == w.takeover && revision > w.revision {
		w.previous = cp.Commit
		w.advance(revision)
		if a := w.unannounced; a != nil && a.commit == cp.Commit {
			a.stored(revision)
			w.announce(ctx, a)
		}
	}
	return cp, nil
}

// readMarker looks, after a commit that was refused or whose outcome is not known,
// for the marker that the next one is fenced by.
func (w *writer) readMarker(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
	defer cancel()
	m, err := wire.LeaderLast(ctx, w.store.js, StreamOf(w.bucket), takeoverSubject(w.bucket, w.takeover))
	switch {
	case errors.Is(err, jetstream.ErrMsgNotFound), err == nil && m.Sequence != w.marker && !w.remarks:
		return fmt.Errorf("%w: the marker of this take-over is not in %s any more", projector.ErrLostView, w.bucket)
	case err != nil:
		return fmt.Errorf("read take-over of %s: %w", w.bucket, err)
	}
	w.marker, w.remarks, w.refused = m.Sequence, false, false
	return nil
}

// ours reports whether a checkpoint is at least as new as this writer's last.
func (w *writer) ours(cp projector.Checkpoint, revision uint64) bool {
	return cp.Takeover == w.takeover && revision >= w.loaded.Load()
}

// judge asks the stream's leader for the checkpoint, where an answer shows less
// than this writer has stored: a replica that lags is no reason to give up what
// was committed, but the answer of a leader is certain.
func (w *writer) judge(ctx context.Context) (cp projector.Checkpoint, revision uint64, err error) {
	ctx, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
	defer cancel()
	m, err := wire.LeaderLast(ctx, w.store.js, StreamOf(w.bucket), checkpointSubject(w.bucket))
	switch {
	case errors.Is(err, jetstream.ErrStreamNotFound), errors.Is(err, jetstream.ErrMsgNotFound):
		return cp, 0, fmt.Errorf("%w: %s: %w", projector.ErrLostView, w.bucket, err)
	case err != nil:
		return cp, 0, fmt.Errorf("read checkpoint of %s: %w", w.bucket, err)
	}
	cp, err = readCheckpoint(w.bucket, m)
	switch {
	case err != nil:
		return cp, 0, err
	case w.ours(cp, m.Sequence), cp.Takeover != w.takeover && cp.Epoch > w.epoch:
		return cp, m.Sequence, nil
	}
	return cp, 0, fmt.Errorf("%w: %s is at revision %d of epoch %d, this writer stored %d of epoch %d",
		projector.ErrLostView, w.bucket, m.Sequence, cp.Epoch, w.loaded.Load(), w.epoch)
}

const (
	// loadEntities is how many entities one request asks for, loadRequests how
	// many requests are under way.
	loadEntities = 32
	loadRequests = 4
)

// Load implements projector.GenerationWriter.
func (w *writer) Load(ctx context.Context, entities []string) ([][]projector.Part, error) {
	out := make([][]projector.Part, len(entities))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadRequests)
	for at := 0; at < len(entities); at += loadEntities {
		end := min(at+loadEntities, len(entities))
		g.Go(func() error { return w.load(ctx, entities[at:end], out[at:end]) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// load reads the parts of a few entities as their folds know them.
func (w *writer) load(ctx context.Context, entities []string, out [][]projector.Part) (err error) {
	if err := w.stored(ctx, entities, out); err != nil {
		return err
	}
	for i := range out {
		if out[i], err = unbundle(out[i]); err != nil {
			return fmt.Errorf("load state of entity %s from %s: %w", eventlog.EscapeID(entities[i]), w.bucket, err)
		}
	}
	return nil
}

// stored reads the parts of several entities at once, for fewer when those are
// too many, as they are stored.
func (w *writer) stored(ctx context.Context, entities []string, out [][]projector.Part) error {
	// A commit may land meanwhile; what is asked for was stored before it.
	known := w.loaded.Load()
	subjects := make([]string, 0, len(entities)+1)
	places := make(map[string]int, len(entities))
	for i, e := range entities {
		root := entityRoot(w.bucket, e)
		subjects = append(subjects, root+"*")
		places[root] = i
	}
	// The checkpoint comes along to show how fresh the answer is.
	subjects = append(subjects, checkpointSubject(w.bucket))
	request, cancel := context.WithTimeout(ctx, w.store.config.Timeout)
	all, err := w.store.lastMessages(request, StreamOf(w.bucket), subjects)
	cancel()
	switch {
	case errors.Is(err, errTooMany) && len(entities) > 1:
		half := len(entities) / 2
		return errors.Join(w.stored(ctx, entities[:half], out[:half]), w.stored(ctx, entities[half:], out[half:]))
	case errors.Is(err, errTooMany):
		// An entity of more parts than one request may return.
		all, err = w.store.collect(ctx, w.bucket, subjects)
	}
	if errors.Is(err, nats.ErrNoResponders) {
		if _, _, lost := w.judge(ctx); lost != nil {
			err = lost
		}
	}
	if err != nil {
		return fmt.Errorf("load state from %s: %w", w.bucket, err)
	}
	fresh := false
	for _, m := range all {
		if m.Subject == checkpointSubject(w.bucket) {
			fresh = m.Sequence >= known
			continue
		}
		if deleted(m.Header) {
			continue
		}
		dot := strings.LastIndexByte(m.Subject, '.') + 1
		i, ok := places[m.Subject[:dot]]
		if !ok {
			continue
		}
		out[i] = append(out[i], projector.Part{Name: m.Subject[dot:], Value: m.Data})
	}
	if fresh {
		return nil
	}
	if _, _, err := w.judge(ctx); err != nil {
		return fmt.Errorf("load state from %s: %w", w.bucket, err)
	}
	return fmt.Errorf("load state from %s: %w", w.bucket, errStale)
}

// advance sets the new revision of the checkpoint.
func (w *writer) advance(revision uint64) {
	w.revision, w.storedAt = revision, time.Now().Round(0) // wall clock: this machine may be suspended
	w.loaded.Store(revision)
}

// parked reads the parked records of a bucket, in the order of their sequences.
func (r *Reader) parked(ctx context.Context, bucket string) ([]projector.Parked, error) {
	var all []projector.Parked
	for m, err := range r.scan(ctx, bucket, []string{stateRoot(bucket) + "parked.*"}, scanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("read parked records of %s: %w", bucket, err)
		}
		if deleted(m.Header) {
			continue
		}
		var p projector.Parked
		if err := json.Unmarshal(m.Data, &p); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", projector.ErrState, m.Subject, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// revisionHeader and sequenceHeader format numbers for plain messages.
func revisionHeader(n uint64) []string       { return []string{strconv.FormatUint(n, 10)} }
func sequenceHeader(n eventlog.Seq) []string { return []string{strconv.FormatUint(uint64(n), 10)} }
