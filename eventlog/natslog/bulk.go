package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// bulkBatch is how many records one pull request asks for. Two are kept under
	// way: the server sends one while the answer to the other is read.
	bulkBatch = 4000
	// bulkMin is the backlog from which a separate connection pays off.
	bulkMin = 2000
)

// bulk yields the next want records of an AckNone pull consumer, read over a
// connection of its own. It yields an error, once and last, when it can't go on:
// records before it are valid, and the caller continues after them by other
// means.
func bulk(ctx context.Context, js jetstream.JetStream, consumer string, want uint64) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		w, err := dialRaw(ctx, js.Conn())
		if err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		defer func() { _ = w.conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })()

		inbox := js.Conn().NewInbox()
		request := wire.API(js, "CONSUMER.MSG.NEXT."+eventlog.Stream+"."+consumer)
		if _, err := fmt.Fprintf(w.conn, "SUB %s 1\r\n", inbox); err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		var s slab
		d := decoder{consumer: consumer}
		asked, got := uint64(0), uint64(0)
		for got < want {
			for asked < want && asked-got <= bulkBatch {
				n := min(bulkBatch, want-asked)
				body := fmt.Sprintf(`{"batch":%d,"expires":%d}`, n, int64(rawTimeout))
				if _, err := fmt.Fprintf(w.conn, "PUB %s %s %d\r\n%s\r\n", request, inbox, len(body), body); err != nil {
					yield(eventlog.Record{}, err)
					return
				}
				asked += n
			}
			if got%64 == 0 || w.in.Buffered() == 0 {
				if err := w.conn.SetDeadline(time.Now().Add(rawTimeout)); err != nil {
					yield(eventlog.Record{}, err)
					return
				}
			}
			f, err := frame{}, ctx.Err() // the deadline may just have been moved past ctx's end
			if err == nil {
				f, err = w.next(&s)
			}
			if err != nil {
				yield(eventlog.Record{}, fmt.Errorf("read log: %w", err))
				return
			}
			r, err := d.record(f)
			if err != nil {
				yield(eventlog.Record{}, err)
				return
			}
			got++
			if !yield(r, nil) {
				return
			}
		}
	}
}

// errStatus: the server sent a status instead of a record, such as 409
// "Consumer Deleted" or 408 "Request Timeout".
var errStatus = errors.New("server ended the read")

// errForeign: somebody has another consumer deliver to the inbox of this read.
var errForeign = errors.New("message of somebody else")

// decoder makes records of frames.
type decoder struct {
	consumer string // the one that is read
	// texts holds what stands in many records, so that it is kept once.
	texts map[string]string
}

// maxTexts bounds decoder.texts: event types are chosen by senders.
const maxTexts = 1024

var (
	lineEnd  = []byte("\r\n")
	firstOne = []byte("NATS/1.0")
)

// record makes a record of a frame. It must agree with record in message.go, which
// reads what nats.go has parsed: TestBulkReadsWhatRecordReads holds that.
func (d *decoder) record(f frame) (eventlog.Record, error) {
	first, lines, _ := bytes.Cut(f.header, lineEnd)
	if !bytes.Equal(first, firstOne) {
		return eventlog.Record{}, fmt.Errorf("%w: %.80q", errStatus, first)
	}
	from, err := wire.ParseDelivery(f.reply)
	if err != nil {
		return eventlog.Record{}, err
	}
	if string(from.Stream) != eventlog.Stream || string(from.Consumer) != d.consumer {
		return eventlog.Record{}, fmt.Errorf("%w: message of consumer %.64q on stream %.64q", errForeign, from.Consumer, from.Stream)
	}
	r := eventlog.Record{Seq: eventlog.Seq(from.Sequence), StoredAt: from.Time, Body: f.body}
	if !d.headers(&r, lines) {
		h, _ := nats.DecodeHeadersMsg(f.header) // nats.go, too, delivers what it can't decode, without headers
		return record(from.Sequence, from.Time, h, f.body), nil
	}
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = eventlog.TimeOf(from.Time)
	}
	return r, nil
}

// headers reads the lines of a header block. It reports false for a block that is
// not written as clients write it: only nats.go says what such a one means.
func (d *decoder) headers(r *eventlog.Record, lines []byte) bool {
	for {
		line, rest, ended := bytes.Cut(lines, lineEnd)
		if len(line) == 0 {
			return ended && len(rest) == 0
		}
		name, value, found := bytes.Cut(line, []byte{':'})
		value = bytes.TrimPrefix(value, []byte{' '})
		if !found || len(name) == 0 || len(value) == 0 || value[0] == ' ' || value[0] == '\t' || bytes.IndexByte(line, '\n') >= 0 {
			return false
		}
		if !d.fill(r, name, value) {
			return false
		}
		lines = rest
	}
}

// fill does what record does, for one header. If a name comes twice the
// first counts, as there. It reports false for a time that can't be read.
func (d *decoder) fill(r *eventlog.Record, name, value []byte) bool {
	own := func(to *string) {
		if *to == "" {
			*to = text(string(value))
		}
	}
	common := func(to *string) {
		if *to == "" {
			*to = d.text(value)
		}
	}
	switch string(name) {
	case HeaderID:
		own(&r.EventID)
	case HeaderType:
		common(&r.Type)
	case HeaderSource:
		common(&r.Source)
	case HeaderTime:
		if r.ReceivedAt.IsZero() {
			r.ReceivedAt, _ = eventlog.ParseTime(unescape(string(value)))
			return !r.ReceivedAt.IsZero()
		}
	case HeaderDelivery:
		own(&r.DeliveryID)
	case HeaderWebhook:
		common(&r.WebhookID)
	case HeaderSignature:
		own(&r.Signature)
	case HeaderKey:
		common(&r.KeyFingerprint)
	case HeaderEncoding:
		common(&r.Encoding)
	case HeaderTrace:
		own(&r.Trace)
	}
	return true
}

// text returns a value that was most likely seen before.
func (d *decoder) text(value []byte) string {
	if s, ok := d.texts[string(value)]; ok {
		return s
	}
	s := text(string(value))
	if d.texts == nil {
		d.texts = make(map[string]string)
	}
	if len(d.texts) < maxTexts && len(value) <= 256 {
		d.texts[string(value)] = s
	}
	return s
}
