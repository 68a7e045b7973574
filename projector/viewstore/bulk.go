package viewstore

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog/wire"
	"rollcall/projector"
)

const (
	// bulkMessages and bulkBytes are after how much one message asks for an
	// answer, and bulkPending how many answers may be due: what the server has to
	// queue is bounded by their product.
	bulkMessages = 512
	bulkBytes    = 1 << 20
	bulkPending  = 4
	// bulkSilence is how long the server may take for one answer.
	bulkSilence = 10 * time.Second
)

// errSilent: the server has not answered in time.
var errSilent = errors.New("no answer from the server")

// errGap: a message in bulk was not stored, or another writer's came between.
var errGap = errors.New("messages are missing between two answers")

// bulk stores messages one by one and returns when all are stored. Atomic
// batches are staged on disk by the server, which makes them half as fast;
// nobody reads the generation yet, and the checkpoint comes last, so what is
// needed is that they are stored in order, up to where it breaks off: documents
// stand before the state that knows of them. The first two messages have the two
// fences, and each expects to follow the one before it, so that if one
// is lost with its connection, or refused, all after it are refused. A message of
// another writer does the same.
//
// One answer stands for all messages before it.
func (w *writer) bulk(ctx context.Context, messages []*nats.Msg) error {
	if len(messages) == 0 {
		return nil
	}
	nc := w.store.js.Conn()
	inbox := nc.NewRespInbox()
	answers := make(chan *nats.Msg, bulkPending+1)
	sub, err := nc.ChanSubscribe(inbox+".*", answers)
	if err != nil {
		return fmt.Errorf("subscribe for answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()

	var first uint64 // sequence of messages[0]
	silence := time.NewTimer(bulkSilence)
	defer silence.Stop()
	wait := func() error {
		silence.Reset(bulkSilence)
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case <-silence.C:
			return fmt.Errorf("publish in bulk: %w", errSilent)
		case m := <-answers:
			return checkAnswer(m, len(inbox)+1, &first)
		}
	}
	due, since, bytes := 0, 0, 0
	for i, m := range messages {
		if m.Header == nil {
			m.Header = make(nats.Header, 3)
		}
		switch i {
		case 0:
			w.fence(messages[:1])
		case 1:
			fence(m, checkpointSubject(w.bucket), w.revision)
		}
		if i > 0 {
			m.Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.FormatUint(first+uint64(i)-1, 10)}
		}
		since++
		bytes += len(m.Data) + messageOverhead
		if i == 0 || i == len(messages)-1 || since >= bulkMessages || bytes >= bulkBytes {
			m.Reply = inbox + "." + strconv.Itoa(i)
			due++
			since, bytes = 0, 0
		}
		if err := nc.PublishMsg(m); err != nil {
			return fmt.Errorf("publish in bulk: %w", err)
		}
		for due > 0 && (i == 0 || due >= bulkPending) {
			if err := wait(); err != nil {
				return err
			}
			due--
		}
	}
	for ; due > 0; due-- {
		if err := wait(); err != nil {
			return err
		}
	}
	return nil
}

// checkAnswer reads the server's answer to the message whose place stands in the
// answer's subject. The first one, to place 0, sets first.
func checkAnswer(m *nats.Msg, prefix int, first *uint64) error {
	ack, err := wire.ParsePubAck(m)
	if err != nil {
		return fmt.Errorf("publish in bulk: %w", err)
	}
	place, err := strconv.ParseUint(m.Subject[min(prefix, len(m.Subject)):], 10, 64)
	if err != nil {
		return fmt.Errorf("publish in bulk: unexpected answer on %s", m.Subject)
	}
	if place == 0 {
		*first = ack.Sequence
	}
	if ack.Sequence != *first+place {
		return fmt.Errorf("publish in bulk: message %d has sequence %d, the first has %d: %w", place, ack.Sequence, *first, errGap)
	}
	return nil
}

// bundlePart names the message that holds all parts that an entity was first
// stored with: most entities are never written again, and one message is
// cheaper than four. Parts that are stored later go before what it says.
const bundlePart = "ALL"

// idPart names the part that holds the id of an entity whose subject can't.
const idPart = "ID"

// bundleBytes bounds a bundle.
const bundleBytes = 64 << 10

// bundle joins parts as length, name, length, value.
func bundle(parts []projector.Part) (projector.Part, bool) {
	if len(parts) < 2 {
		return projector.Part{}, false
	}
	n := 0
	for _, p := range parts {
		if p.Value == nil {
			return projector.Part{}, false
		}
		n += len(p.Name) + len(p.Value) + 2*binary.MaxVarintLen32
	}
	if n > bundleBytes {
		return projector.Part{}, false
	}
	b := make([]byte, 0, n)
	for _, p := range parts {
		b = binary.AppendUvarint(b, uint64(len(p.Name)))
		b = append(b, p.Name...)
		b = binary.AppendUvarint(b, uint64(len(p.Value)))
		b = append(b, p.Value...)
	}
	return projector.Part{Name: bundlePart, Value: b}, true
}

// unbundle puts the parts of a bundle before the others, except where those
// have a newer one, and leaves out the id.
func unbundle(parts []projector.Part) ([]projector.Part, error) {
	at := -1
	newer := map[string]bool{idPart: true}
	for i, p := range parts {
		if p.Name == bundlePart {
			at = i
		}
		newer[p.Name] = true
	}
	var out []projector.Part
	if at >= 0 {
		all, err := unpack(parts[at].Value)
		if err != nil {
			return nil, err
		}
		for _, p := range all {
			if !newer[p.Name] {
				out = append(out, p)
			}
		}
	}
	for i, p := range parts {
		if i != at && p.Name != idPart {
			out = append(out, p)
		}
	}
	return out, nil
}

// unpack takes a bundle apart.
func unpack(b []byte) (parts []projector.Part, err error) {
	for len(b) > 0 {
		var name, value []byte
		var ok bool
		if name, b, ok = field(b); ok {
			value, b, ok = field(b)
		}
		if !ok {
			return nil, fmt.Errorf("%w: bundle of parts breaks off", projector.ErrState)
		}
		parts = append(parts, projector.Part{Name: string(name), Value: value})
	}
	return parts, nil
}

func field(b []byte) (value, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, false
	}
	return b[used : used+int(n) : used+int(n)], b[used+int(n):], true
}
