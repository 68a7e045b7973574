package closing

import (
	"context"
	"errors"
	"fmt"
	"hash/fnv"
	"iter"

	"rollcall/eventlog"
	"rollcall/projections"
)

// Log is what a closing is verified against.
type Log interface {
	Head(ctx context.Context) (eventlog.Head, error)
	Read(ctx context.Context, opts eventlog.ReadOptions) iter.Seq2[eventlog.Record, error]
}

// Replay is the documents that the log gives up to a record.
type Replay struct {
	Log  Log
	UpTo eventlog.Seq
	// MaxBytes bounds the states that are held; more takes more passes over the log.
	MaxBytes int64
	// Horizon: what was over before it is left out.
	Horizon eventlog.Time
}

// ErrOtherLog says that a closing was made from another log.
var ErrOtherLog = errors.New("the closing was made from another log")

// Check returns an error where the log does not show whether the closing is right.
func (h *Head) Check(head eventlog.Head) error {
	switch {
	case h.Incarnation != head.Incarnation:
		return fmt.Errorf("%w: %s, this one is %s; verify it where that log is", ErrOtherLog, h.Incarnation, head.Incarnation)
	case head.First > 1:
		return fmt.Errorf("%w: it begins at record %d; verify it with a log that holds all records", eventlog.ErrTrimmed, head.First)
	case h.Sequence > head.Last:
		return fmt.Errorf("%w: the closing holds record %d, the log ends at %d", eventlog.ErrLostTail, h.Sequence, head.Last)
	}
	return nil
}

// Documents folds the log and gives the documents to visit, in as many passes as
// MaxBytes needs.
func Documents[D projections.Document](ctx context.Context, p Replay, fold eventlog.Fold, visit func(D)) error {
	if p.UpTo == 0 {
		return nil
	}
	for todo := []share{{}}; len(todo) > 0; {
		next, err := p.pass(ctx, fold, todo[0], func(doc []byte) error {
			d, err := projections.Parse[D](doc)
			if err == nil {
				visit(d)
			}
			return err
		})
		if err != nil {
			return fmt.Errorf("replay %s: %w", fold.Name(), err)
		}
		todo = append(todo[1:], next...)
	}
	return nil
}

// share is the entities whose hash has these low bits.
type share struct {
	bits uint
	mask uint64
}

func (s share) has(key string) bool {
	h := fnv.New64a()
	h.Write([]byte(key))
	sum := h.Sum64()
	return (sum^sum>>32)&(1<<s.bits-1) == s.mask
}

// pass folds a share of the entities. What does not fit is left for others.
func (p Replay) pass(ctx context.Context, fold eventlog.Fold, s share, visit func(doc []byte) error) (rest []share, err error) {
	states, sizes := map[string]eventlog.State{}, map[string]int64{}
	var total int64
	for r, err := range p.Log.Read(ctx, eventlog.ReadOptions{UpTo: p.UpTo}) {
		if err != nil {
			return nil, err
		}
		ev := eventlog.Decode(&r)
		key := fold.Key(&ev)
		if key == "" || !s.has(key) {
			continue
		}
		if states[key] == nil {
			states[key] = fold.New(key)
		}
		apply(states[key], &ev)
		size := int64(states[key].Size())
		total += size - sizes[key]
		sizes[key] = size
		for total > p.MaxBytes && len(states) > 1 && s.bits < 40 {
			rest = append(rest, share{s.bits + 1, s.mask | 1<<s.bits})
			s.bits++
			for key := range states {
				if !s.has(key) {
					total -= sizes[key]
					delete(states, key)
					delete(sizes, key)
				}
			}
		}
	}
	return rest, p.flush(states, visit)
}

// apply folds a record in. One on which the fold panics is left out, as views leave it
// out.
func apply(s eventlog.State, ev *eventlog.Event) {
	defer func() { _ = recover() }()
	s.Apply(ev)
}

func (p Replay) flush(states map[string]eventlog.State, visit func(doc []byte) error) error {
	for _, s := range states {
		if o, ok := s.(interface{ Over() eventlog.Time }); ok && !o.Over().IsZero() && o.Over() < p.Horizon {
			continue
		}
		w := documents{}
		s.Flush(&w)
		for _, doc := range w {
			if err := visit(doc); err != nil {
				return err
			}
		}
	}
	return nil
}

// documents takes what a state flushes.
type documents [][]byte

// Put, Delete and PutPart implement eventlog.Writer.
func (w *documents) Put(_ string, doc []byte) { *w = append(*w, doc) }

// Delete does nothing: what was never stored is not there.
func (*documents) Delete(string) {}

// PutPart does nothing.
func (*documents) PutPart(string, []byte) {}
