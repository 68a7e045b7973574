package viewstore

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// viewQuiet is how long View waits for the next message of a view that is not
// whole yet: a generation without a checkpoint never will be.
const viewQuiet = 30 * time.Second

// View implements projector.Viewer: what a follower holds at its first Commit.
func (r *Reader) View(ctx context.Context, view string, reset func(), put func(key string, value []byte)) (projector.Generation, projector.Checkpoint, error) {
	var g projector.Generation
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	quiet := time.AfterFunc(r.viewQuiet, func() {
		cancel(fmt.Errorf("%w: view %s has no checkpoint, and nothing came for %v; run `rollcall rebuild %[2]s`", projector.ErrState, view, r.viewQuiet))
	})
	defer quiet.Stop()
	for c, err := range r.Follow(ctx, view, Position{}) {
		quiet.Reset(r.viewQuiet)
		if err != nil {
			return g, projector.Checkpoint{}, err
		}
		switch c.Kind {
		case Reset:
			reset()
		case Put:
			put(c.Key, c.Value)
		case Delete:
			put(c.Key, nil)
		case Commit:
			g = projector.Generation{View: view, Number: c.Generation, Bucket: c.Bucket, Version: c.Version, State: projector.GenerationLive}
			all, err := r.Generations(ctx, view)
			if err != nil {
				return g, c.Checkpoint, err
			}
			if at := slices.IndexFunc(all, func(o projector.Generation) bool { return o.Number == c.Generation }); at >= 0 {
				g.Sealed = all[at].Sealed
			}
			return g, c.Checkpoint, nil
		}
	}
	return g, projector.Checkpoint{}, context.Cause(ctx)
}

// Document implements projector.Viewer.
func (r *Reader) Document(ctx context.Context, bucket, key string) ([]byte, error) {
	e, err := r.GetFrom(ctx, Alias{Bucket: bucket}, key)
	if errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return e.Value, err
}

// States implements projector.Viewer.
func (r *Reader) States(ctx context.Context, bucket string, entities []string) ([]projector.StoredState, error) {
	subjects := []string{checkpointSubject(bucket)}
	at := make(map[string]int, len(entities))
	for i, e := range entities {
		root := entityRoot(bucket, e)
		subjects, at[root] = append(subjects, root+"*"), i
	}
	request, cancel := context.WithTimeout(ctx, requestTimeout)
	all, err := r.lastMessages(request, StreamOf(bucket), subjects)
	cancel()
	if errors.Is(err, errTooMany) && len(entities) > 1 {
		half := len(entities) / 2
		first, err := r.States(ctx, bucket, entities[:half])
		if err != nil {
			return nil, err
		}
		rest, err := r.States(ctx, bucket, entities[half:])
		return append(first, rest...), err
	}
	if errors.Is(err, errTooMany) || errors.Is(err, errOneMessage) {
		all, err = r.scanState(ctx, bucket, subjects)
	}
	if err != nil {
		return nil, fmt.Errorf("read states from %s: %w", bucket, err)
	}
	out := make([]projector.StoredState, len(entities))
	var cp projector.Checkpoint
	for i := range all {
		m := &all[i]
		dot := strings.LastIndexByte(m.Subject, '.') + 1
		if m.Subject == subjects[0] {
			if cp, err = readCheckpoint(bucket, m); err != nil {
				return nil, err
			}
		} else if n, ok := at[m.Subject[:dot]]; ok && !deleted(m.Header) {
			out[n].Parts = append(out[n].Parts, projector.Part{Name: m.Subject[dot:], Value: m.Data})
		}
	}
	for i := range out {
		out[i].Sequence = cp.Sequence
		out[i].Parts, out[i].Err = unbundle(out[i].Parts)
	}
	return out, nil
}

// maxScans bounds how often a state of many parts is read again because of a
// commit in between.
const maxScans = 10

// scanState reads entities whose parts can't be had in one request, between two
// commits.
func (r *Reader) scanState(ctx context.Context, bucket string, subjects []string) (all []wire.Message, err error) {
	for range maxScans {
		before, _, err := r.checkpoint(ctx, bucket)
		if err != nil {
			return nil, err
		}
		if all, err = r.collect(ctx, bucket, subjects); err != nil {
			return nil, err
		}
		if after, _, err := r.checkpoint(ctx, bucket); err != nil || after.Commit == before.Commit {
			return all, err
		}
	}
	return nil, fmt.Errorf("%w: an entity of many parts changes all the time; try again when it is quiet", errTooMany)
}
