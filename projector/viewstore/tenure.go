package viewstore

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/eventlog"
	"rollcall/projector"
)

// tenure implements projector.Tenure on one bucket.
type tenure struct {
	store        *Store
	stream       jetstream.Stream
	view, bucket string
	generation   int
	lease        *lease

	// epoch and revision are the fence: the checkpoint's as this process knows
	// it. open and Commit write them, and neither runs beside the other.
	epoch    uint64
	revision uint64
	previous string // the commit that revision is of
	attempts int
	// loaded is the revision for Load, which runs beside Commit.
	loaded atomic.Uint64
	// untold are changes whose commit's outcome is not known yet.
	untold *announcement
}

// open raises the epoch, which fences everybody else off, then reads what the
// generation holds.
func (t *tenure) open(ctx context.Context) (*projector.Opened, error) {
	cp, err := t.takeOver(ctx)
	if err != nil {
		return nil, err
	}
	o := &projector.Opened{
		Tenure: t, Bucket: t.bucket, Generation: t.generation, Checkpoint: cp,
		Lost: t.lease.lost, Release: t.lease.release,
	}
	info, err := t.stream.Info(ctx)
	if err != nil {
		return nil, fmt.Errorf("read state of stream %s: %w", StreamOf(t.bucket), err)
	}
	o.Empty = info.State.Msgs == 1 // the checkpoint alone
	if cp.Parked > 0 {
		if o.Parked, err = t.store.parked(ctx, t.bucket); err != nil {
			return nil, err
		}
	}
	return o, nil
}

// takeOver writes the checkpoint anew, with the next epoch.
func (t *tenure) takeOver(ctx context.Context) (projector.Checkpoint, error) {
	for {
		cp, revision, err := t.store.checkpoint(ctx, t.bucket)
		if err != nil {
			return cp, err
		}
		cp.Epoch++
		cp.Previous, cp.Documents = cp.Commit, 0
		cp.Commit = fmt.Sprintf("%d-0.0", cp.Epoch)
		next, err := t.store.put(ctx, checkpointSubject(t.bucket), cp, revision)
		if err == nil {
			t.epoch, t.previous = cp.Epoch, cp.Commit
			t.advance(next)
			return cp, nil
		}
		if !isConflict(err) {
			return cp, fmt.Errorf("raise epoch of %s: %w", t.bucket, err)
		}
		if err := wait(ctx, standbyPoll); err != nil {
			return cp, err
		}
	}
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
	if err := json.Unmarshal(m.data, &cp); err != nil {
		return cp, 0, fmt.Errorf("%w: checkpoint of %s: %w", projector.ErrState, bucket, err)
	}
	return cp, m.sequence, nil
}

// errStale: a replica answered that has not seen our last commit yet.
var errStale = errors.New("replica is behind")

// Checkpoint implements projector.Tenure.
func (t *tenure) Checkpoint(ctx context.Context) (projector.Checkpoint, error) {
	cp, revision, err := t.store.checkpoint(ctx, t.bucket)
	if err != nil {
		return cp, err
	}
	if revision < t.revision {
		return cp, fmt.Errorf("read checkpoint of %s: %w", t.bucket, errStale)
	}
	if cp.Epoch == t.epoch && revision > t.revision {
		t.advance(revision)
		t.previous = cp.Commit
		if a := t.untold; a != nil && a.commit == cp.Commit {
			a.stored(revision)
			t.announce(ctx, a)
		}
	}
	return cp, nil
}

const (
	// loadEntities is how many entities one request asks for, loadRequests how
	// many requests are under way.
	loadEntities = 32
	loadRequests = 4
)

// Load implements projector.Tenure.
func (t *tenure) Load(ctx context.Context, entities []string) ([][]projector.Part, error) {
	out := make([][]projector.Part, len(entities))
	g, ctx := errgroup.WithContext(ctx)
	g.SetLimit(loadRequests)
	for at := 0; at < len(entities); at += loadEntities {
		end := min(at+loadEntities, len(entities))
		g.Go(func() error { return t.load(ctx, entities[at:end], out[at:end]) })
	}
	if err := g.Wait(); err != nil {
		return nil, err
	}
	return out, nil
}

// load reads the parts of a few entities as their folds know them.
func (t *tenure) load(ctx context.Context, entities []string, out [][]projector.Part) (err error) {
	if err := t.stored(ctx, entities, out); err != nil {
		return err
	}
	for i := range out {
		if out[i], err = unbundle(out[i]); err != nil {
			return fmt.Errorf("load state of entity %s from %s: %w", eventlog.EscapeID(entities[i]), t.bucket, err)
		}
	}
	return nil
}

// stored reads the parts of several entities at once, for fewer when those are
// too many, as they are stored.
func (t *tenure) stored(ctx context.Context, entities []string, out [][]projector.Part) error {
	// A commit may land meanwhile; what is asked for was stored before it.
	known := t.loaded.Load()
	subjects := make([]string, 0, len(entities)+1)
	places := make(map[string]int, len(entities))
	for i, e := range entities {
		root := entityRoot(t.bucket, e)
		subjects = append(subjects, root+"*")
		places[root] = i
	}
	// The checkpoint comes along to show how fresh the answer is.
	subjects = append(subjects, checkpointSubject(t.bucket))
	request, cancel := context.WithTimeout(ctx, t.store.config.Timeout)
	all, err := t.store.lastMessages(request, StreamOf(t.bucket), subjects)
	cancel()
	switch {
	case errors.Is(err, errTooMany) && len(entities) > 1:
		half := len(entities) / 2
		return errors.Join(t.stored(ctx, entities[:half], out[:half]), t.stored(ctx, entities[half:], out[half:]))
	case errors.Is(err, errTooMany):
		all, err = t.loadBig(ctx, subjects)
	}
	if err != nil {
		return fmt.Errorf("load state from %s: %w", t.bucket, err)
	}
	fresh := false
	for _, m := range all {
		if m.subject == checkpointSubject(t.bucket) {
			fresh = m.sequence >= known
			continue
		}
		if deleted(m.header) {
			continue
		}
		dot := strings.LastIndexByte(m.subject, '.') + 1
		i, ok := places[m.subject[:dot]]
		if !ok {
			continue
		}
		out[i] = append(out[i], projector.Part{Name: m.subject[dot:], Value: m.data})
	}
	if !fresh {
		return fmt.Errorf("load state from %s: %w", t.bucket, errStale)
	}
	return nil
}

// advance takes a new revision of the checkpoint.
func (t *tenure) advance(revision uint64) {
	t.revision = revision
	t.loaded.Store(revision)
}

// loadBig reads an entity of more parts than one request may return.
func (t *tenure) loadBig(ctx context.Context, subjects []string) ([]stored, error) {
	var all []stored
	for m, err := range t.store.scan(ctx, StreamOf(t.bucket), subjects, scanOptions{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// parked reads the parked records of a bucket, in the order of their sequences.
func (r *Reader) parked(ctx context.Context, bucket string) ([]projector.Parked, error) {
	var all []projector.Parked
	for m, err := range r.scan(ctx, StreamOf(bucket), []string{stateRoot(bucket) + "parked.*"}, scanOptions{}) {
		if err != nil {
			return nil, fmt.Errorf("read parked records of %s: %w", bucket, err)
		}
		if deleted(m.header) {
			continue
		}
		var p projector.Parked
		if err := json.Unmarshal(m.data, &p); err != nil {
			return nil, fmt.Errorf("%w: %s: %w", projector.ErrState, m.subject, err)
		}
		all = append(all, p)
	}
	return all, nil
}

// revisionHeader and sequenceHeader format numbers for plain messages.
func revisionHeader(n uint64) []string       { return []string{strconv.FormatUint(n, 10)} }
func sequenceHeader(n eventlog.Seq) []string { return []string{strconv.FormatUint(uint64(n), 10)} }
