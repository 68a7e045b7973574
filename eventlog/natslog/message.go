package natslog

import (
	"encoding/base64"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"rollcall/eventlog"
)

// Headers of a record, CloudEvents 1.0 in NATS' binary mode
// (github.com/cloudevents/spec, nats-protocol-binding) and what else is known
// of the delivery. They are few because clients parse them eagerly: each costs
// a reader about 0.2 µs. Values are percent-encoded where they hold anything
// but printable ASCII without space, quote and percent sign.
const (
	HeaderID          = "ce-id"          // ULID, the event id
	HeaderType        = "ce-type"        // event type as sent
	HeaderSource      = "ce-source"      // name of the configured source
	HeaderTime        = "ce-time"        // received time, RFC 3339
	HeaderSpecVersion = "ce-specversion" // 1.0
	HeaderDelivery    = "Rollcall-Delivery"
	HeaderWebhook     = "Rollcall-Webhook"
	HeaderSignature   = "Rollcall-Signature"
	HeaderKey         = "Rollcall-Key"      // fingerprint of the verifying key
	HeaderEncoding    = "Rollcall-Encoding" // the body's Content-Encoding
	HeaderTrace       = "traceparent"       // W3C Trace Context: the delivery's span, where it was sampled

	specVersion = "1.0"
)

// message returns the record as it is published. msgID is "" where the record
// repeats nothing.
func message(r *eventlog.Record, msgID string) *nats.Msg {
	h := make(nats.Header, 12)
	set := func(name, value string) {
		if value != "" {
			h[name] = []string{escape(value)}
		}
	}
	h[HeaderSpecVersion] = []string{specVersion}
	set(HeaderID, r.EventID)
	set(HeaderType, r.Type)
	set(HeaderSource, r.Source)
	set(HeaderTime, r.ReceivedAt.String())
	set(HeaderDelivery, r.DeliveryID)
	set(HeaderWebhook, r.WebhookID)
	set(HeaderSignature, r.Signature)
	set(HeaderKey, r.KeyFingerprint)
	set(HeaderEncoding, r.Encoding)
	set(HeaderTrace, r.Trace)
	if msgID != "" {
		h[jetstream.MsgIDHeader] = []string{msgID}
	}
	subject := r.Subject
	if subject == "" {
		subject = eventlog.Identify(r.Content()).Subject()
	}
	return &nats.Msg{Subject: subject, Header: h, Data: r.Body}
}

// Message returns a record as Append publishes it, for those who publish it in
// another way: to measure that, or to forward it.
func Message(r *eventlog.Record) *nats.Msg { return message(r, messageID(r)) }

// messageID is the identity of a delivery, "" where it had no uuid.
func messageID(r *eventlog.Record) string {
	if r.DeliveryID == "" {
		return ""
	}
	sum := eventlog.RepeatSum(r.Source, r.DeliveryID, r.Body)
	return base64.StdEncoding.EncodeToString(sum[:])
}

// record reads a stored message. It is total: what is missing stays empty, what
// is no UTF-8 is replaced, and a record without a readable received time takes
// the time of storing.
func record(seq uint64, stored time.Time, h nats.Header, body []byte) eventlog.Record {
	get := func(name string) string {
		if v := h[name]; len(v) > 0 {
			return text(v[0])
		}
		return ""
	}
	r := eventlog.Record{
		Seq:            eventlog.Seq(seq),
		StoredAt:       stored,
		EventID:        get(HeaderID),
		Source:         get(HeaderSource),
		DeliveryID:     get(HeaderDelivery),
		WebhookID:      get(HeaderWebhook),
		Signature:      get(HeaderSignature),
		KeyFingerprint: get(HeaderKey),
		Type:           get(HeaderType),
		Encoding:       get(HeaderEncoding),
		Trace:          get(HeaderTrace),
		Body:           body,
	}
	at, ok := eventlog.ParseTime(get(HeaderTime))
	if !ok || at.IsZero() {
		at = eventlog.TimeOf(stored)
	}
	r.ReceivedAt = at
	return r
}

const hexDigits = "0123456789ABCDEF"

func plain(c byte) bool { return c > ' ' && c < 0x7f && c != '"' && c != '%' }

// escape percent-encodes a header value as the CloudEvents bindings do.
func escape(s string) string {
	i := 0
	for i < len(s) && plain(s[i]) {
		i++
	}
	if i == len(s) {
		return s
	}
	var b strings.Builder
	b.WriteString(s[:i])
	for ; i < len(s); i++ {
		if c := s[i]; plain(c) {
			b.WriteByte(c)
		} else {
			b.WriteByte('%')
			b.WriteByte(hexDigits[c>>4])
			b.WriteByte(hexDigits[c&15])
		}
	}
	return b.String()
}

// text is what a header value says. It is UTF-8, whatever somebody else
// published: what is no UTF-8 can't be written as JSON, and a log with one such
// record could not be exported.
func text(value string) string { return strings.ToValidUTF8(unescape(value), "\uFFFD") }

// unescape is escape's inverse; what is no percent code stays as it is.
func unescape(s string) string {
	i := strings.IndexByte(s, '%')
	if i < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	b = append(b, s[:i]...)
	for ; i < len(s); i++ {
		if s[i] == '%' && i+2 < len(s) {
			hi, lo := unhex(s[i+1]), unhex(s[i+2])
			if hi >= 0 && lo >= 0 {
				b = append(b, byte(hi<<4|lo))
				i += 2
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	}
	return -1
}
