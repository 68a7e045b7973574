package natslog

import (
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
			r, err := bulkRecord(f)
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

func bulkRecord(f frame) (eventlog.Record, error) {
	first, lines, _ := strings.Cut(f.header, "\r\n")
	if first != "NATS/1.0" {
		return eventlog.Record{}, fmt.Errorf("%w: %.80q", errStatus, first)
	}
	seq, stored, err := ackSubject(f.reply)
	if err != nil {
		return eventlog.Record{}, err
	}
	r := eventlog.Record{Seq: seq, StoredAt: stored, Body: f.body}
	for lines != "" {
		var line string
		line, lines, _ = strings.Cut(lines, "\r\n")
		name, value, ok := strings.Cut(line, ":")
		if !ok {
			continue
		}
		fill(&r, name, strings.TrimPrefix(value, " "))
	}
	if r.ReceivedAt.IsZero() {
		r.ReceivedAt = eventlog.TimeOf(stored)
	}
	return r, nil
}

// fill is what record does, for one header. Of a name that stands twice the
// first counts, as there.
func fill(r *eventlog.Record, name, value string) {
	set := func(to *string) {
		if *to == "" {
			*to = unescape(value)
		}
	}
	switch name {
	case HeaderID:
		set(&r.EventID)
	case HeaderType:
		set(&r.Type)
	case HeaderSource:
		set(&r.Source)
	case HeaderTime:
		if t, ok := eventlog.ParseTime(unescape(value)); ok && r.ReceivedAt.IsZero() {
			r.ReceivedAt = t
		}
	case HeaderDelivery:
		set(&r.DeliveryID)
	case HeaderWebhook:
		set(&r.WebhookID)
	case HeaderSignature:
		set(&r.Signature)
	case HeaderKey:
		set(&r.KeyFingerprint)
	}
}

// ackSubject reads stream sequence and stored time out of a reply subject,
//
//	$JS.ACK.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>
//	$JS.ACK.<domain>.<account>.<stream>.<consumer>.<delivered>.<sseq>.<cseq>.<time>.<pending>[.<token>]
//
// the second with the server's newer form (ADR-15 of nats-architecture-and-design).
func ackSubject(s string) (eventlog.Seq, time.Time, error) {
	var at [12]string
	rest, n := s, 0
	for ; n < len(at) && rest != ""; n++ {
		at[n], rest, _ = strings.Cut(rest, ".")
	}
	i := 5
	if n >= 11 {
		i = 7
	}
	if n < 9 || at[0] != "$JS" || at[1] != "ACK" {
		return 0, time.Time{}, fmt.Errorf("unexpected reply subject %.80q", s)
	}
	seq, err1 := strconv.ParseUint(at[i], 10, 64)
	stored, err2 := strconv.ParseInt(at[i+2], 10, 64)
	if err := errors.Join(err1, err2); err != nil {
		return 0, time.Time{}, fmt.Errorf("unexpected reply subject %.80q: %w", s, err)
	}
	return eventlog.Seq(seq), time.Unix(0, stored).UTC(), nil
}
