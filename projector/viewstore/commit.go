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
	batchMessages = 1000
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

// entity adds what one entity changed: all in one batch if it fits; else the
// documents first and the parts, together if they fit, behind them.
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

// Commit implements projector.Tenure.
func (t *tenure) Commit(ctx context.Context, c *projector.Commit) error {
	if err := t.replaceParts(ctx, c); err != nil {
		return err
	}
	batches, told, err := t.pack(c)
	if err != nil {
		return err
	}
	t.untold = told
	t.attempts++
	// An answer that is lost with its connection never comes: then the
	// checkpoint says what happened, without waiting for a timeout.
	ctx, stop := wire.UntilDisconnected(ctx, t.store.js.Conn())
	defer stop()
	if c.Bulk {
		var rest []*nats.Msg
		for _, batch := range batches {
			rest = append(rest, batch...)
		}
		checkpoint := len(rest) - 1
		if err := t.bulk(ctx, rest[:checkpoint]); err != nil {
			t.refused = isConflict(err)
			return asCommitError(err, t.bucket)
		}
		batches = [][]*nats.Msg{rest[checkpoint:]}
	}
	if batches, err = t.marked(batches); err != nil {
		return err
	}
	for i, batch := range batches {
		final := i == len(batches)-1
		t.fence(batch)
		sequence, err := publish(ctx, t.store.js.Conn(), batchID(c.Checkpoint.Commit, t.attempts, i), batch)
		if err != nil {
			t.refused = isConflict(err)
			return asCommitError(err, t.bucket)
		}
		if final {
			t.settled(c.Checkpoint.Commit, batch, sequence)
		}
		told.batch(i, sequence)
	}
	t.announce(ctx, told)
	return nil
}

// fence makes a batch depend on this tenure's last checkpoint and on the marker of
// its take-over. The revision of a checkpoint alone may come again: in a stream
// that lost its tail, or was made again, while this process stood still. A message
// has room for one of the two: a lone one takes the marker, since what is lost is
// folded again over it, and what somebody else wrote is not.
func (t *tenure) fence(batch []*nats.Msg) {
	checkpoint, last := checkpointSubject(t.bucket), len(batch)-1
	if last > 0 || batch[0].Subject != checkpoint {
		fence(batch[0], takeoverSubject(t.bucket, t.takeover), t.marker)
	}
	if last > 0 || batch[0].Subject == checkpoint {
		fence(batch[last], checkpoint, t.revision)
	}
}

// settled takes what the last batch of a commit has stored.
func (t *tenure) settled(commit string, batch []*nats.Msg, revision uint64) {
	if batch[0].Subject == takeoverSubject(t.bucket, t.takeover) {
		t.marker = revision - uint64(len(batch)-1)
	}
	t.remarks, t.previous = false, commit
	t.advance(revision)
}

// marked adds the marker to a commit of the checkpoint alone, which has no room
// for the second fence, where this process may have stood still. Else such a
// commit is published without a batch, which costs a fiftieth, by the fence on the
// checkpoint alone: within the life of a lease no other take-over can have made a
// new stream come to the same revision.
func (t *tenure) marked(batches [][]*nats.Msg) ([][]*nats.Msg, error) {
	if len(batches) != 1 || len(batches[0]) != 1 || time.Since(t.storedAt) < t.store.config.LeaseTTL {
		return batches, nil
	}
	own, err := encode(takeoverSubject(t.bucket, t.takeover), t.mark)
	if err != nil {
		return nil, err
	}
	t.remarks = true
	return [][]*nats.Msg{{own, batches[0][0]}}, nil
}

// replaceParts adds deletes for the parts that entities shall not have any more.
func (t *tenure) replaceParts(ctx context.Context, c *projector.Commit) error {
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
		if err := t.stored(ctx, entities, old); err != nil {
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

// withID adds the part that tells the id of an entity where its subject can't:
// who looks for entities wants it, and of a mark nobody does.
func withID(entity string, parts []projector.Part) []projector.Part {
	if eventlog.EscapeID(entity) == entity || len(parts) == 0 || parts[0].Name == projector.MarkPart {
		return parts
	}
	return append(parts, projector.Part{Name: idPart, Value: []byte(entity)})
}

// batchID names a batch by its commit, which is how a follower tells which
// documents belong to one. Each attempt has its own, so that the server never
// mixes one with what is left of another.
func batchID(commit string, attempt, batch int) string {
	return fmt.Sprintf("%s:%d.%d", commit, attempt, batch)
}

// pack makes the messages of a commit, in batches.
func (t *tenure) pack(c *projector.Commit) ([][]*nats.Msg, *announcement, error) {
	var p packer
	told := &announcement{commit: c.Checkpoint.Commit, sequence: c.Checkpoint.Sequence}
	// What is parked goes before the entities that lack it, and what is not any
	// more behind those that have it again: a record that is in no view stays known.
	if err := t.packParked(&p, c); err != nil {
		return nil, nil, err
	}
	for _, e := range c.Entities {
		if err := t.packEntity(&p, &e, c.Bulk); err != nil {
			return nil, nil, err
		}
	}
	if err := t.packUnparked(&p, c); err != nil {
		return nil, nil, err
	}
	data, err := t.encodeCheckpoint(c)
	if err != nil {
		return nil, nil, err
	}
	m, err := t.message(checkpointSubject(t.bucket), data, false)
	if err != nil {
		return nil, nil, err
	}
	p.together([]*nats.Msg{m})
	p.cut()
	if !c.Bulk { // nobody reads the generation, so nobody is told
		told.collect(p.batches, documentSubject(t.bucket, ""))
	}
	return p.batches, told, nil
}

// message makes one of a commit's messages; without data it is a delete marker.
func (t *tenure) message(subject string, data []byte, bulk bool) (*nats.Msg, error) {
	if limit := int(t.store.js.Conn().MaxPayload()); len(data)+2*messageOverhead > limit {
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
func (t *tenure) packEntity(p *packer, e *projector.EntityWrite, bulk bool) error {
	documents := make([]*nats.Msg, 0, len(e.Documents))
	for _, d := range e.Documents {
		if !projector.ValidKey(d.Key) {
			return fmt.Errorf("%w: fold %s made the key %q, which NATS can't hold", projector.ErrState, t.view, d.Key)
		}
		m, err := t.message(documentSubject(t.bucket, d.Key), d.Value, bulk)
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
	root := entityRoot(t.bucket, e.Entity)
	for _, part := range changed {
		m, err := t.message(root+part.Name, part.Value, bulk)
		if err != nil {
			return err
		}
		parts = append(parts, m)
	}
	p.entity(documents, parts)
	return nil
}

// packParked adds the records that are parked now.
func (t *tenure) packParked(p *packer, c *projector.Commit) error {
	for _, r := range c.Park {
		data, err := json.Marshal(r)
		if err != nil {
			return fmt.Errorf("encode parked record %d: %w", r.Sequence, err)
		}
		m, err := t.message(parkedSubject(t.bucket, r.Sequence), data, c.Bulk)
		if err != nil {
			return err
		}
		p.together([]*nats.Msg{m})
	}
	return nil
}

// packUnparked removes the records that are not parked any more.
func (t *tenure) packUnparked(p *packer, c *projector.Commit) error {
	for _, seq := range c.Unpark {
		m, err := t.message(parkedSubject(t.bucket, seq), nil, c.Bulk)
		if err != nil {
			return err
		}
		p.together([]*nats.Msg{m})
	}
	return nil
}

// encodeCheckpoint fills in what a follower needs to see that it missed nothing.
func (t *tenure) encodeCheckpoint(c *projector.Commit) ([]byte, error) {
	cp := c.Checkpoint
	cp.Previous, cp.Takeover = t.previous, t.takeover
	for _, e := range c.Entities {
		cp.Documents += len(e.Documents)
	}
	data, err := json.Marshal(cp)
	if err != nil {
		return nil, fmt.Errorf("encode checkpoint: %w", err)
	}
	return data, nil
}

// announcement is what a commit tells core NATS subscribers once it is stored.
type announcement struct {
	commit   string
	sequence eventlog.Seq
	changes  []change
	lengths  []int // of the batches
}

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

// batch takes the sequence that the last message of a batch got: the others
// stand right before it.
func (a *announcement) batch(n int, last uint64) {
	for i := range a.changes {
		if c := &a.changes[i]; c.batch == n {
			c.revision = last - uint64(a.lengths[n]-1-c.from)
		}
	}
}

// stored takes the revision of the checkpoint of a commit whose answer was lost.
func (a *announcement) stored(checkpoint uint64) { a.batch(len(a.lengths)-1, checkpoint) }

// announce publishes each change once, where the generation is in force.
func (t *tenure) announce(ctx context.Context, a *announcement) {
	t.untold = nil
	if len(a.changes) == 0 {
		return
	}
	alias, err := t.store.Alias(ctx, t.view)
	if err != nil || alias.Bucket != t.bucket {
		return
	}
	nc := t.store.js.Conn()
	for _, c := range a.changes {
		m := &nats.Msg{Subject: PlainSubject(t.view, c.key), Data: c.data, Header: nats.Header{
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
