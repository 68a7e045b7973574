package natslog

import (
	"context"
	"errors"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

// settlePause is the wait between two tries to find a batch.
const settlePause = 20 * time.Millisecond

// onAck takes every answer. It runs in the subscription's goroutine.
func (c *committer) onAck(m *nats.Msg) {
	token, err := strconv.ParseUint(m.Subject[strings.LastIndexByte(m.Subject, '.')+1:], 36, 64)
	if err != nil || c.deaf.Load() {
		return
	}
	a, err := wire.ParsePubAck(m)
	c.mu.Lock()
	f := c.flight
	if f == nil || token < f.token || token >= f.token+uint64(len(f.records)) || f.left == 0 {
		c.mu.Unlock()
		return // an answer that came too late
	}
	if f.batch != "" {
		c.onBatchAck(f, a, err)
		return
	}
	p := f.records[token-f.token]
	if !p.settled && !p.acked {
		f.left--
		if err != nil {
			c.settle(p, eventlog.Appended{}, err)
		} else {
			c.acked(p, a)
			c.stats.Singles++
			if c.disk == nil && !c.doubt {
				c.settle(p, c.appended(p, a), nil)
			}
		}
	}
	c.advance(f)
}

// acked notes the server's answer. A sequence that does not follow the one
// before was given by another log, or by one that lost its tail.
func (c *committer) acked(p *pending, a wire.PubAck) {
	p.acked, p.ack = true, a
	if a.Duplicate {
		return
	}
	if a.Sequence <= c.last {
		c.doubt = true
	}
	c.last = a.Sequence
}

// appended is the answer for a record stored alone.
func (c *committer) appended(p *pending, a wire.PubAck) eventlog.Appended {
	if a.Duplicate {
		return eventlog.Appended{Seq: eventlog.Seq(a.Sequence), Duplicate: true} // Append reads the event id
	}
	return eventlog.Appended{Seq: eventlog.Seq(a.Sequence), EventID: p.eventID}
}

// onBatchAck ends a batch: stored, refused, or to be published one by one. It
// releases c.mu, which is held when it is called.
func (c *committer) onBatchAck(f *flight, a wire.PubAck, err error) {
	var api *jetstream.APIError
	switch {
	case errors.As(err, &api) && api.ErrorCode == codeDuplicateInBatch:
		c.stats.RefusedBatches++
		c.oneByOne(f)
		return
	case err == nil:
		err = a.Confirms(f.batch, len(f.records))
	}
	if err == nil {
		c.stored(f, a.Sequence)
	} else {
		for _, p := range f.records {
			c.settle(p, eventlog.Appended{}, err)
		}
	}
	f.left = 0
	c.advance(f)
}

// stored notes that a batch was, with its last record at seq: its records stand
// side by side. c.mu is held.
func (c *committer) stored(f *flight, seq uint64) {
	first := seq - uint64(len(f.records)) + 1
	for i, p := range f.records {
		c.acked(p, wire.PubAck{Sequence: first + uint64(i)})
	}
	c.stats.Batches++
	c.stats.BatchRecords += uint64(len(f.records))
}

// oneByOne publishes the records of a refused batch again as singles: nothing
// of it was stored, and the repeat among them gets its own answer. It releases
// c.mu, which is held when it is called.
func (c *committer) oneByOne(f *flight) {
	if f.timer != nil {
		f.timer.Stop()
	}
	g := &flight{records: f.records, after: f.after, token: c.token}
	c.token += uint64(len(f.records))
	for _, p := range f.records {
		if !p.settled {
			g.left++
		}
		// Publishing copied the members, so their messages may be used again.
		wire.UnmarkBatch(p.msg)
	}
	g.seen = g.left
	c.flight = g
	c.mu.Unlock()
	c.launch(g)
}

// onTimeout ends a flight whose acks did not come in time. It runs in the
// timer's goroutine.
func (c *committer) onTimeout(f *flight) {
	c.mu.Lock()
	if c.flight != f || f.left == 0 {
		c.mu.Unlock()
		return
	}
	if f.batch == "" && f.left < f.seen {
		// The server is slow, not silent.
		f.seen = f.left
		f.timer.Reset(c.config.Timeout)
		c.mu.Unlock()
		return
	}
	c.expire(f, context.DeadlineExceeded)
}

// expire ends a flight whose answers will not come; why is the error of those
// that are not found otherwise. It releases c.mu, which is held when it is called.
func (c *committer) expire(f *flight, why error) {
	if f == nil || f.left == 0 {
		c.mu.Unlock()
		return
	}
	if f.batch != "" {
		c.mu.Unlock()
		seq, found := c.lookup(f)
		c.mu.Lock()
		if c.flight != f || f.left == 0 {
			c.mu.Unlock()
			return // the ack came meanwhile
		}
		if found {
			c.stats.Settled++
			c.stored(f, seq)
		} else {
			c.stats.Unsettled++
		}
	}
	for _, p := range f.records {
		if !p.acked {
			c.settle(p, eventlog.Appended{}, why)
		}
	}
	f.left = 0
	c.advance(f)
}

// lookup searches the log after f.after for the batch. A batch is stored as a
// whole, so any member proves all. Not finding it proves nothing.
func (c *committer) lookup(f *flight) (last uint64, found bool) {
	ctx, cancel := context.WithTimeout(context.Background(), c.config.Settle)
	defer cancel()
	for seq := f.after + 1; ctx.Err() == nil; {
		m, err := c.log.stream.GetMsg(ctx, seq)
		if err != nil {
			// At the end of the log, or the log can't be read: look again, since
			// the batch may still be on its way.
			_ = wire.Pause(ctx, settlePause) // ends the loop with ctx
			continue
		}
		batch, place := wire.BatchOf(m.Header)
		if batch == f.batch && place > 0 && place <= len(f.records) {
			return seq + uint64(len(f.records)-place), true
		}
		seq++
	}
	return 0, false
}
