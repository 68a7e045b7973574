package viewstore

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
)

const (
	// batchMessages is the server's limit for an atomic batch, and batchBytes
	// ours, well below what a connection may have pending.
	batchMessages = wire.MaxBatch
	batchBytes    = 8 << 20
	// messageOverhead is about what subject and headers add.
	messageOverhead = 256
)

// packer cuts the messages of a commit into batches.
type packer struct {
	batches [][]*nats.Msg
	current []*nats.Msg
	bytes   int
}

func size(messages []*nats.Msg) (n int) {
	for _, m := range messages {
		n += len(m.Data) + messageOverhead
	}
	return n
}

func (p *packer) room(count, bytes int) bool {
	return len(p.current)+count <= batchMessages && p.bytes+bytes <= batchBytes
}

func (p *packer) cut() {
	if len(p.current) > 0 {
		p.batches = append(p.batches, p.current)
		p.current, p.bytes = nil, 0
	}
}

// together adds messages to one batch where one can hold them, in order always.
func (p *packer) together(messages []*nats.Msg) {
	if n := size(messages); !p.room(len(messages), n) && len(messages) <= batchMessages && n <= batchBytes {
		p.cut()
	}
	for _, m := range messages {
		n := len(m.Data) + messageOverhead
		if !p.room(1, n) {
			p.cut()
		}
		p.current = append(p.current, m)
		p.bytes += n
	}
}

// entity adds what one entity changed: all in one batch if it fits; otherwise the
// documents first, then the parts, together if they fit.
func (p *packer) entity(documents, parts []*nats.Msg) {
	both := size(documents) + size(parts)
	if len(documents)+len(parts) <= batchMessages && both <= batchBytes {
		if !p.room(len(documents)+len(parts), both) {
			p.cut()
		}
		p.together(documents)
		p.together(parts)
		return
	}
	p.together(documents)
	p.together(parts)
}

// Commit implements projector.GenerationWriter.
func (w *writer) Commit(ctx context.Context, c *projector.Commit) error {
	if err := w.replaceParts(ctx, c); err != nil {
		return err
	}
	batches, changed, err := w.pack(c)
	if err != nil {
		return err
	}
	w.unannounced = changed
	w.attempts++
	// An answer that is lost with its connection never comes: then the
	// checkpoint says what happened, without waiting for a timeout.
	ctx, stop := wire.UntilDisconnected(ctx, w.store.js.Conn())
	defer stop()
	if c.Bulk {
		var rest []*nats.Msg
		for _, batch := range batches {
			rest = append(rest, batch...)
		}
		checkpoint := len(rest) - 1
		if err := w.bulk(ctx, rest[:checkpoint]); err != nil {
			w.refused = wire.IsConflict(err)
			return asCommitError(err, w.bucket)
		}
		batches = [][]*nats.Msg{rest[checkpoint:]}
	}
	if batches, err = w.marked(batches); err != nil {
		return err
	}
	for i, batch := range batches {
		final := i == len(batches)-1
		w.fence(batch)
		sequence, err := wire.Publish(ctx, w.store.js.Conn(), batchID(c.Checkpoint.Commit, w.attempts, i), batch)
		if err != nil {
			w.refused = wire.IsConflict(err)
			return asCommitError(err, w.bucket)
		}
		if final {
			w.settled(c.Checkpoint.Commit, batch, sequence)
		}
		changed.batch(i, sequence)
	}
	w.announce(ctx, changed)
	return nil
}

// fence makes a batch depend on this writer's last checkpoint and on the marker of
// its take-over. The revision of a checkpoint alone may be reused: in a stream that
// lost its tail, or was made again, while this process was suspended. A message has
// room for one of the two: a single one takes the marker, unless it is the
// checkpoint itself (see marked). Without the fence on the checkpoint only a lost
// tail goes unseen, and what was lost is folded again.
func (w *writer) fence(batch []*nats.Msg) {
	checkpoint, last := checkpointSubject(w.bucket), len(batch)-1
	if last > 0 || batch[0].Subject != checkpoint {
		fence(batch[0], takeoverSubject(w.bucket, w.takeover), w.marker)
	}
	if last > 0 || batch[0].Subject == checkpoint {
		fence(batch[last], checkpoint, w.revision)
	}
}

// settled notes what the last batch of a commit has stored.
func (w *writer) settled(commit string, batch []*nats.Msg, revision uint64) {
	if batch[0].Subject == takeoverSubject(w.bucket, w.takeover) {
		w.marker = revision - uint64(len(batch)-1)
	}
	w.remarks, w.previous = false, commit
	w.advance(revision)
}

// marked adds the marker to a commit of the checkpoint alone, which has no room
// for the second fence, if this process may have been suspended. Otherwise such a
// commit is published without a batch, which costs a fiftieth, with the fence on
// the checkpoint alone: while the lease lives, no other take-over can have brought
// a new stream to the same revision.
func (w *writer) marked(batches [][]*nats.Msg) ([][]*nats.Msg, error) {
	since := time.Since(w.storedAt) // negative where the clock went back
	if len(batches) != 1 || len(batches[0]) != 1 || 0 <= since && since < w.store.config.LeaseTTL {
		return batches, nil
	}
	own, err := encode(takeoverSubject(w.bucket, w.takeover), w.mark)
	if err != nil {
		return nil, err
	}
	w.remarks = true
	return [][]*nats.Msg{{own, batches[0][0]}}, nil
}

// replaceParts adds deletes for the parts that entities shall not have any more.
func (w *writer) replaceParts(ctx context.Context, c *projector.Commit) error {
	var replaced []*projector.EntityWrite
	for i := range c.Entities {
		if c.Entities[i].Replace {
			replaced = append(replaced, &c.Entities[i])
		}
	}
	for some := range slices.Chunk(replaced, loadEntities) {
		entities := make([]string, len(some))
		for i, e := range some {
			entities[i] = e.Entity
		}
		old := make([][]projector.Part, len(some))
		if err := w.stored(ctx, entities, old); err != nil {
			return fmt.Errorf("read parts to replace: %w", err)
		}
		for i, e := range some {
			e.Parts = withID(e.Entity, slices.Clip(e.Parts))
			for _, p := range old[i] {
				if !slices.ContainsFunc(e.Parts, func(o projector.Part) bool { return o.Name == p.Name }) {
					e.Parts = append(e.Parts, projector.Part{Name: p.Name})
				}
			}
			e.Replace = false
		}
	}
	return nil
}

// withID adds the part that holds an entity's id if its subject can't hold it:
// Entities needs it, except for a mark.
func withID(entity string, parts []projector.Part) []projector.Part {
	if eventlog.EscapeID(entity) == entity || len(parts) == 0 || parts[0].Name == projector.MarkPart {
		return parts
	}
	return append(parts, projector.Part{Name: idPart, Value: []byte(entity)})
}

// batchID names a batch by its commit, so that a follower knows which
// documents belong to one. Each attempt has its own, so that the server never
// mixes one with what is left of another.
func batchID(commit string, attempt, batch int) string {
	return fmt.Sprintf("%s:%d.%d", commit, attempt, batch)
}

// pack makes the messages of a commit, in batches.
func (w *writer) pack(c *projector.Commit) ([][]*nats.Msg, *announcement, error) {
	var p packer
	changed := &announcement{commit: c.Checkpoint.Commit, sequence: c.Checkpoint.Sequence}
	// Parked records go before the entities that lack them, and are removed after
	// those that have them again: a record that is in no view stays known.
	if err := w.packParked(&p, c); err != nil {
		return nil, nil, err
	}
	for _, e := range c.Entities {
		if err := w.packEntity(&p, &e, c.Bulk); err != nil {
			return nil, nil, err
		}
	}
	if err := w.packUnparked(&p, c); err != nil {
		return nil, nil, err
	}
	data, err := w.encodeCheckpoint(c)
	if err != nil {
		return nil, nil, err
	}
	m, err := w.message(checkpointSubject(w.bucket), data, false)
	if err != nil {
		return nil, nil, err
	}
	p.together([]*nats.Msg{m})
	p.cut()
	if !c.Bulk { // nobody reads the generation, so nothing is published
		changed.collect(p.batches, documentSubject(w.bucket, ""))
	}
	return p.batches, changed, nil
}

// message makes one of a commit's messages; without data it is a delete marker.
func (w *writer) message(subject string, data []byte, bulk bool) (*nats.Msg, error) {
	if limit := int(w.store.js.Conn().MaxPayload()); len(data)+2*messageOverhead > limit {
		return nil, fmt.Errorf("%w: %s has %d bytes, the server takes %d", projector.ErrTooLarge, subject, len(data), limit)
	}
	m := &nats.Msg{Subject: subject, Data: data}
	if data == nil || !bulk { // in bulk they get theirs when they are published
		m.Header = make(nats.Header, 4)
	}
	if data == nil {
		marker(m)
	}
	return m, nil
}

// packEntity adds what one entity changed.
func (w *writer) packEntity(p *packer, e *projector.EntityWrite, bulk bool) error {
	documents := make([]*nats.Msg, 0, len(e.Documents))
	for _, d := range e.Documents {
		if !projector.ValidKey(d.Key) {
			return fmt.Errorf("%w: fold %s made the key %q, which NATS can't hold", projector.ErrState, w.view, d.Key)
		}
		m, err := w.message(documentSubject(w.bucket, d.Key), d.Value, bulk)
		if err != nil {
			return err
		}
		documents = append(documents, m)
	}
	changed := e.Parts
	if e.Fresh {
		changed = withID(e.Entity, slices.Clip(changed))
	}
	if all, ok := bundle(changed); ok && e.Fresh {
		changed = []projector.Part{all}
	}
	parts := make([]*nats.Msg, 0, len(changed))
	root := entityRoot(w.bucket, e.Entity)
	for _, part := range changed {
		m, err := w.message(root+part.Name, part.Value, bulk)
		if err != nil {
			return err
		}
		parts = append(parts, m)
	}
	p.entity(documents, parts)
	return nil
}

// packParked adds the records that are parked now.
func (w *writer) packParked(p *packer, c *projector.Commit) error {
	for _, r := range c.Park {
		data, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode parked record %d: %w", r.Sequence, err)
		}
		m, err := w.message(parkedSubject(w.bucket, r.Sequence), data, c.Bulk)
		if err != nil {
			return err
		}
		p.together([]*nats.Msg{m})
	}
	return nil
}

// packUnparked removes the records that are not parked any more.
func (w *writer) packUnparked(p *packer, c *projector.Commit) error {
	for _, seq := range c.Unpark {
		m, err := w.message(parkedSubject(w.bucket, seq), nil, c.Bulk)
		if err != nil {
			return err
		}
		p.together([]*nats.Msg{m})
	}
	return nil
}

// encodeCheckpoint fills in what a follower needs to see that it missed nothing.
func (w *writer) encodeCheckpoint(c *projector.Commit) ([]byte, error) {
	cp := c.Checkpoint
	cp.Previous, cp.Takeover = w.previous, w.takeover
	for _, e := range c.Entities {
		cp.Documents += len(e.Documents)
	}
	data, err := json.Marshal(cp)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return data, nil
}

// announcement is what a commit publishes for core NATS subscribers once it is stored.
type announcement struct {
	commit   string
	sequence eventlog.Seq
	changes  []change
	lengths  []int // of the batches
}

// change is a document that a commit puts or deletes.
type change struct {
	key         string
	data        []byte
	deleted     bool
	batch, from int // place in its batch
	revision    uint64
}

func (a *announcement) collect(batches [][]*nats.Msg, prefix string) {
	for b, batch := range batches {
		a.lengths = append(a.lengths, len(batch))
		for i, m := range batch {
			if len(m.Subject) > len(prefix) && m.Subject[:len(prefix)] == prefix {
				a.changes = append(a.changes, change{
					key: m.Subject[len(prefix):], data: m.Data, deleted: len(m.Header) > 0, batch: b, from: i,
				})
			}
		}
	}
}

// batch sets the revisions of a batch by its last message's sequence: the others
// come right before it.
func (a *announcement) batch(n int, last uint64) {
	for i := range a.changes {
		if c := &a.changes[i]; c.batch == n {
			c.revision = last - uint64(a.lengths[n]-1-c.from)
		}
	}
}

// stored sets the revisions by that of the checkpoint, after an answer was lost.
func (a *announcement) stored(checkpoint uint64) { a.batch(len(a.lengths)-1, checkpoint) }

// announce publishes each change once, if the generation is live.
func (w *writer) announce(ctx context.Context, a *announcement) {
	w.unannounced = nil
	if len(a.changes) == 0 {
		return
	}
	alias, err := w.store.Alias(ctx, w.view)
	if err != nil || alias.Bucket != w.bucket {
		return
	}
	nc := w.store.js.Conn()
	for _, c := range a.changes {
		m := &nats.Msg{Subject: PlainSubject(w.view, c.key), Data: c.data, Header: nats.Header{
			headerRevision: revisionHeader(c.revision),
			headerSequence: sequenceHeader(a.sequence),
		}}
		if c.deleted {
			m.Header[headerOperation] = []string{operationDelete}
		}
		if err := nc.PublishMsg(m); err != nil {
			return
		}
	}
}
