package viewstore

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"

	"rollcall/projector"
)

// bulkPending is how many messages may be under way without an answer.
const bulkPending = 2000

// bulk stores messages in no particular order and returns when all are stored.
// Atomic batches are staged on disk by the server, which makes them half as
// fast; nobody reads the generation yet, and the checkpoint comes last, so the
// fence on each message is all that is needed.
func (t *tenure) bulk(ctx context.Context, messages []*nats.Msg) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	nc := t.store.js.Conn()
	inbox := nc.NewRespInbox()
	slots := make(chan struct{}, bulkPending)
	sub, err := nc.Subscribe(inbox+".*", func(m *nats.Msg) {
		if bytes.Contains(m.Data, []byte(`"error"`)) || len(m.Data) == 0 {
			var ack pubAck
			err := json.Unmarshal(m.Data, &ack)
			if err == nil && ack.Error != nil {
				err = ack.Error
			}
			cancel(fmt.Errorf("publish in bulk: %w", err))
		}
		select {
		case <-slots:
		default: // an answer that nobody waits for
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe for answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := sub.SetPendingLimits(-1, -1); err != nil {
		return fmt.Errorf("subscribe for answers: %w", err)
	}
	checkpoint := checkpointSubject(t.bucket)
	for i, m := range messages {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case slots <- struct{}{}:
		}
		fence(m, checkpoint, t.revision)
		m.Reply = inbox + "." + strconv.Itoa(i)
		if err := nc.PublishMsg(m); err != nil {
			return fmt.Errorf("publish in bulk: %w", err)
		}
	}
	// Every slot is free again when every answer has come.
	for range bulkPending {
		select {
		case <-ctx.Done():
			return context.Cause(ctx)
		case slots <- struct{}{}:
		}
	}
	return context.Cause(ctx)
}

// bundlePart names the message that holds all parts that an entity was first
// stored with: most entities are never written again, and one message is
// cheaper than four. Parts that are stored later go before what it says.
const bundlePart = "ALL"

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
// have a newer one.
func unbundle(parts []projector.Part) ([]projector.Part, error) {
	at := -1
	newer := make(map[string]bool, len(parts))
	for i, p := range parts {
		if p.Name == bundlePart {
			at = i
		}
		newer[p.Name] = true
	}
	if at < 0 {
		return parts, nil
	}
	var out []projector.Part
	for rest := parts[at].Value; len(rest) > 0; {
		var name, value []byte
		var ok bool
		if name, rest, ok = field(rest); ok {
			value, rest, ok = field(rest)
		}
		if !ok {
			return nil, fmt.Errorf("%w: bundle of parts breaks off", projector.ErrState)
		}
		if !newer[string(name)] {
			out = append(out, projector.Part{Name: string(name), Value: value})
		}
	}
	for i, p := range parts {
		if i != at {
			out = append(out, p)
		}
	}
	return out, nil
}

func field(b []byte) (value, rest []byte, ok bool) {
	n, used := binary.Uvarint(b)
	if used <= 0 || n > uint64(len(b)-used) {
		return nil, nil, false
	}
	return b[used : used+int(n) : used+int(n)], b[used+int(n):], true
}
