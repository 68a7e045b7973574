package viewstore

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

// carrier copies one generation into another.
//
// The copy is the bucket as it was at one moment: all subjects come through one
// consumer, in the order in which they were written, up to the stream's end. A
// view as it stands at any moment can be folded on from any checkpoint before it,
// see the package's comment; documents and states that were read at different
// moments could not: a record that is in the state but not in the document changes
// nothing when it is folded again.
type carrier struct {
	*writer  // of the generation that is written
	from     projector.Generation
	filters  []string
	batch    []*nats.Msg
	bytes    int
	copied   int
	complete bool // the last message read was a checkpoint
}

// Carry implements projector.Registry. It takes the generation over for as long
// as it writes it: a carry that stood still does not write past another one.
func (s *Store) Carry(ctx context.Context, from, to projector.Generation) (copied int, err error) {
	request := projector.LeaseRequest{View: to.View, Version: to.Version, Generation: to.Number, MaxWait: s.config.LeaseTTL + time.Second}
	lease, err := s.Acquire(ctx, request)
	if err != nil {
		return 0, err
	}
	defer func() {
		c, cancel := context.WithTimeout(context.WithoutCancel(ctx), s.config.Timeout)
		defer cancel()
		err = errors.Join(err, lease.Release(c))
	}()
	states := "e.*." + projector.MarkPart
	if from.Version == to.Version {
		states = "e.>"
	}
	w, _ := lease.GenerationWriter.(*writer)
	c := &carrier{writer: w, from: from, filters: []string{
		documentSubject(from.Bucket, ">"), stateRoot(from.Bucket) + states, checkpointSubject(from.Bucket),
	}}
	if !lease.Empty {
		if err := c.clear(ctx); err != nil {
			return 0, fmt.Errorf("carry %s: %w", from.Bucket, err)
		}
	}
	if err := c.run(ctx); err != nil {
		return c.copied, fmt.Errorf("carry %s: %w", from.Bucket, err)
	}
	return c.copied, nil
}

// clear deletes what a carry that broke off has left: some of it may be gone from
// the view since, and its delete marker too.
func (c *carrier) clear(ctx context.Context) error {
	for m, err := range c.store.scan(ctx, c.bucket, []string{documentSubject(c.bucket, ">"), stateRoot(c.bucket) + "e.>"}, scanOptions{keysOnly: true}) {
		if err != nil {
			return err
		}
		if deleted(m.Header) {
			continue
		}
		gone := nats.NewMsg(m.Subject)
		marker(gone)
		if err := c.add(ctx, gone); err != nil {
			return err
		}
	}
	return c.flush(ctx)
}

// run copies up to a moment at which a commit has ended, or what there is where
// none ends.
func (c *carrier) run(ctx context.Context) error {
	past := past{reader: c.store.Reader, bucket: c.from.Bucket}
	w := &wire.Reader{
		JS: c.store.js, Stream: StreamOf(c.from.Bucket), Description: description, Filters: c.filters,
		Missing: -1, Away: requestTimeout, Take: c.take,
	}
	w.Begin = func(ctx context.Context, _ wire.Consumer) error { return end(past.begin(ctx, w.After)) }
	for began := time.Now(); ; {
		if err := w.Read(ctx); err != nil {
			return err
		}
		if c.complete || time.Since(began) > announcePatience {
			return c.flush(ctx)
		}
		if err := wire.Pause(ctx, momentIdle); err != nil {
			return err
		}
	}
}

// take copies a message of the view.
func (c *carrier) take(ctx context.Context, m *wire.Message) error {
	c.complete = m.Subject == checkpointSubject(c.from.Bucket)
	if c.complete {
		return nil
	}
	subject := documentSubject(c.bucket, strings.TrimPrefix(m.Subject, documentSubject(c.from.Bucket, "")))
	if part, ok := strings.CutPrefix(m.Subject, stateRoot(c.from.Bucket)); ok {
		subject = stateRoot(c.bucket) + part
	}
	next := nats.NewMsg(subject)
	if deleted(m.Header) {
		marker(next)
	} else {
		next.Data = m.Data
		c.copied++
	}
	if err := c.add(ctx, next); err != nil {
		return wire.End(err)
	}
	return nil
}

// add puts a message into the batch, which is stored when it is full.
func (c *carrier) add(ctx context.Context, m *nats.Msg) error {
	if len(c.batch) == batchMessages || c.bytes+len(m.Data) > batchBytes {
		if err := c.flush(ctx); err != nil {
			return err
		}
	}
	c.batch = append(c.batch, m)
	c.bytes += len(m.Data) + messageOverhead
	return nil
}

func (c *carrier) flush(ctx context.Context) error {
	if len(c.batch) == 0 {
		return nil
	}
	c.writer.fence(c.batch)
	_, err := c.store.publishAll(ctx, c.batch)
	c.batch, c.bytes = nil, 0
	return asCommitError(err, c.bucket)
}
