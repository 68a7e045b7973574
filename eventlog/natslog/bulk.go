package natslog

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"iter"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
)

const (
	// bulkBatch is how many records one pull request asks for. Two are kept under
	// way: the server sends one while the answer to the other is read.
	bulkBatch = 4000
	// bulkMin is the backlog from which a connection of its own pays.
	bulkMin = 2000
)

// bulk yields the next want records of an AckNone pull consumer, read over a
// connection of its own. It yields an error, once and last, when it can't go on:
// records before it are good, and the caller continues behind them by other
// means.
func bulk(ctx context.Context, js jetstream.JetStream, consumer string, want uint64) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		w, err := dialWire(ctx, js.Conn())
		if err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		defer func() { _ = w.conn.Close() }()
		defer context.AfterFunc(ctx, func() { _ = w.conn.SetDeadline(time.Unix(1, 0)) })()

		inbox := js.Conn().NewInbox()
		request := pullSubject(js, consumer)
		if _, err := fmt.Fprintf(w.conn, "SUB %s 1\r\n", inbox); err != nil {
			yield(eventlog.Record{}, err)
			return
		}
		var s slab
		var d decoder
		asked, got := uint64(0), uint64(0)
		for got < want {
			for asked < want && asked-got <= bulkBatch {
				n := min(bulkBatch, want-asked)
				body := fmt.Sprintf(`{"batch":%d,"expires":%d}`, n, int64(wireTimeout))
				if _, err := fmt.Fprintf(w.conn, "PUB %s %s %d\r\n%s\r\n", request, inbox, len(body), body); err != nil {
					yield(eventlog.Record{}, err)
					return
				}
				asked += n
			}
			if got%64 == 0 || w.in.Buffered() == 0 {
				if err := w.conn.SetDeadline(time.Now().Add(wireTimeout)); err != nil {
					yield(eventlog.Record{}, err)
					return
				}
			}
			f, err := frame{}, ctx.Err() // the deadline may just have been moved behind ctx's end
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

// pullSubject is where a consumer is asked for messages.
func pullSubject(js jetstream.JetStream, consumer string) string {
	prefix := js.Options().APIPrefix
	if prefix == "" {
		prefix = jetstream.DefaultAPIPrefix
		if domain := js.Options().Domain; domain != "" {
			prefix = "$JS." + domain + ".API."
		}
	}
	if !strings.HasSuffix(prefix, ".") {
		prefix += "."
	}
	return prefix + "CONSUMER.MSG.NEXT." + eventlog.Stream + "." + consumer
}

// errStatus: the server sent a status instead of a record, such as 409
// "Consumer Deleted" or 408 "Request Timeout".
var errStatus = errors.New("server ended the read")

// decoder makes records of frames.
type decoder struct {
	// texts holds what stands in many records, so that it is kept once.
	texts map[string]string
}

// maxTexts bounds decoder.texts: event types are chosen by senders.
const maxTexts = 1024

var (
	lineEnd  = []byte("\r\n")
	firstOne = []byte("NATS/1.0")
)

func (d *decoder) record(f frame) (eventlog.Record, error) {
	first, lines, _ := bytes.Cut(f.header, lineEnd)
	if !bytes.Equal(first, firstOne) {
		return eventlog.Record{}, fmt.Errorf("%w: %.80q", errStatus, first)
	}
	seq, stored, err := ackSubject(f.reply)
	if err != nil {
		return eventlog.Record{}, err
	}
	r := eventlog.Record{Seq: seq, StoredAt: stored, Body: f.body}
	for len(lines) > 0 {
		var line []byte
		line, lines, _ = bytes.Cut(lines, lineEnd)
		colon := bytes.IndexByte(line, ':')
		if colon < 0 {
			continue
		}
		value := line[colon+1:]
		if len(value) > 0 && value[0] == ' ' {
			value = value[1:]
		}
		d.fill(&r, line[:colon], value)
	}
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = eventlog.TimeOf(stored)
	}
	return r, nil
}

// fill is what record does, for one header. Of a name that stands twice the
// first counts, as there.
func (d *decoder) fill(r *eventlog.Record, name, value []byte) {
	own := func(to *string) {
		if *to == "" {
			*to = unescape(string(value))
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
			if t, ok := eventlog.ParseTime(unescape(string(value))); ok {
				r.ReceivedAt = t
			}
		}
	case HeaderDelivery:
		own(&r.DeliveryID)
	case HeaderWebhook:
		common(&r.WebhookID)
	case HeaderSignature:
		own(&r.Signature)
	case HeaderKey:
		common(&r.KeyFingerprint)
	}
}

// text returns a value that was most likely seen before.
func (d *decoder) text(value []byte) string {
	if s, ok := d.texts[string(value)]; ok {
		return s
	}
	s := unescape(string(value))
	if d.texts == nil {
		d.texts = make(map[string]string)
	}
	if len(d.texts) < maxTexts && len(value) <= 256 {
		d.texts[string(value)] = s
	}
	return s
}

// ackSubject reads stream sequence and stored time out of a reply subject,
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<token>]
//
// the second with the server's newer form (ADR-15 of nats-architecture-and-design).
func ackSubject(s []byte) (eventlog.Seq, time.Time, error) {
	var at [12][]byte
	n := 0
	for rest := s; n < len(at) && len(rest) > 0; n++ {
		at[n], rest, _ = bytes.Cut(rest, []byte{'.'})
	}
	i := 5
	if n >= 11 {
		i = 7
	}
	if n < 9 || string(at[0]) != "$JS" || string(at[1]) != "ACK" {
		return 0, time.Time{}, fmt.Errorf("unexpected reply subject %.80q", s)
	}
	seq, err1 := strconv.ParseUint(string(at[i]), 10, 64)
	stored, err2 := strconv.ParseInt(string(at[i+2]), 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, time.Time{}, fmt.Errorf("unexpected reply subject %.80q: %w", s, err)
	}
	return eventlog.Seq(seq), time.Unix(0, stored).UTC(), nil
}
