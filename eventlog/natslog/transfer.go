package natslog

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"io"
	"iter"
	"strconv"
	"unicode/utf8"

	"github.com/go-json-experiment/json"
	"github.com/go-json-experiment/json/jsontext"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rollcall/eventlog"
	"rollcall/eventlog/wire"
)

const (
	// importRecords and importBytes bound one batch of an import.
	importRecords = wire.MaxBatch
	importBytes   = 8 << 20
)

// Import puts records into an empty log as they are: event ids, received times
// and repeats included, in the order given, which gives them the sequences from
// 1. It returns how many are in the log. eventlog.ErrNotEmpty: nothing was done.
//
// Records go in atomic batches, each fenced by the sequence before it, so that
// no other record gets between them. After any other error the log holds the
// first n records and must be removed before another try.
//
// Imported records carry no message id: a delivery that is repeated after the
// import is stored again, which does not change views.
func (l *Log) Import(ctx context.Context, records iter.Seq2[eventlog.Record, error]) (n int, err error) {
	h, err := l.Head(ctx)
	if err != nil {
		return 0, fmt.Errorf("import: %w", err)
	}
	if h.Last != 0 {
		return 0, fmt.Errorf("import: %w: it has given sequences up to %d; import into a new data directory", eventlog.ErrNotEmpty, h.Last)
	}
	var batch []*nats.Msg
	size := 0
	flush := func() error {
		if len(batch) == 0 {
			return nil
		}
		if err := l.importBatch(ctx, batch, n); err != nil {
			return err
		}
		n += len(batch)
		batch, size = batch[:0], 0
		return nil
	}
	for r, err := range records {
		if err != nil {
			return n, fmt.Errorf("import record %d: %w", n+len(batch)+1, err)
		}
		if len(batch) == importRecords || size+len(r.Body) > importBytes {
			if err := flush(); err != nil {
				return n, fmt.Errorf("import: %w", err)
			}
		}
		batch = append(batch, message(&r, ""))
		size += len(r.Body)
	}
	if err := flush(); err != nil {
		return n, fmt.Errorf("import: %w", err)
	}
	if l.committer.disk != nil && n > 0 {
		if err := l.committer.disk.sync(l.js.Conn().ConnectedServerId()); err != nil {
			return n, fmt.Errorf("import: %w", err)
		}
	}
	return n, nil
}

// importBatch commits messages after the sequence last.
func (l *Log) importBatch(ctx context.Context, batch []*nats.Msg, last int) error {
	ctx, cancel := context.WithTimeout(ctx, 2*setupTimeout)
	defer cancel()
	batch[0].Header[jetstream.ExpectedLastSeqHeader] = []string{strconv.Itoa(last)}
	_, err := wire.Publish(ctx, l.js.Conn(), nuid.Next(), batch)
	if wire.IsConflict(err) {
		return fmt.Errorf("%w: somebody else appended meanwhile", eventlog.ErrNotEmpty)
	}
	return classify(err)
}

// line is a record in an export, one JSON object a line. The sequence is for
// the reader: an import gives its own.
type line struct {
	Sequence       eventlog.Seq  `json:"sequence,omitzero"`
	EventID        *string       `json:"eventId"` // "": published without one; nil: no line of an export
	ReceivedAt     eventlog.Time `json:"receivedAt"`
	Source         string        `json:"source"`
	DeliveryID     string        `json:"uuid,omitzero"`
	WebhookID      string        `json:"webhookId,omitzero"`
	Signature      string        `json:"signature,omitzero"`
	KeyFingerprint string        `json:"keyFingerprint,omitzero"`
	Type           string        `json:"type,omitzero"`
	Encoding       string        `json:"encoding,omitzero"`
	// Body is the raw body as text where it is UTF-8, otherwise BodyBase64 has it.
	Body       *string `json:"body,omitzero"`
	BodyBase64 string  `json:"bodyBase64,omitzero"`
}

// AppendNDJSON appends a record as one line of an export, newline included.
func AppendNDJSON(b []byte, r *eventlog.Record) ([]byte, error) {
	l := line{
		Sequence: r.Seq, EventID: &r.EventID, ReceivedAt: r.ReceivedAt, Source: r.Source,
		DeliveryID: r.DeliveryID, WebhookID: r.WebhookID, Signature: r.Signature,
		KeyFingerprint: r.KeyFingerprint, Type: r.Type, Encoding: r.Encoding,
	}
	if utf8.Valid(r.Body) {
		body := string(r.Body)
		l.Body = &body
	} else {
		l.BodyBase64 = base64.StdEncoding.EncodeToString(r.Body)
	}
	out, err := json.Marshal(&l)
	if err != nil {
		return b, fmt.Errorf("encode record %d: %w", r.Seq, err)
	}
	return append(append(b, out...), '\n'), nil
}

// ReadNDJSON reads an export. It ends with the first line that it can't read.
// Sequences are those of the log that was exported.
func ReadNDJSON(src io.Reader) iter.Seq2[eventlog.Record, error] {
	return func(yield func(eventlog.Record, error) bool) {
		dec := jsontext.NewDecoder(src)
		for n := 1; ; n++ {
			var l line
			err := json.UnmarshalDecode(dec, &l)
			if errors.Is(err, io.EOF) {
				return
			}
			r, err := l.record(err)
			if err != nil {
				yield(eventlog.Record{}, fmt.Errorf("read line %d of the export: %w", n, err))
				return
			}
			if !yield(r, nil) {
				return
			}
		}
	}
}

func (l *line) record(err error) (eventlog.Record, error) {
	if err != nil {
		return eventlog.Record{}, err
	}
	if l.EventID == nil || l.ReceivedAt.IsZero() {
		return eventlog.Record{}, errors.New("eventId or receivedAt is missing: is it an export?")
	}
	r := eventlog.Record{
		Seq: l.Sequence, EventID: *l.EventID, ReceivedAt: l.ReceivedAt, Source: l.Source,
		DeliveryID: l.DeliveryID, WebhookID: l.WebhookID, Signature: l.Signature,
		KeyFingerprint: l.KeyFingerprint, Type: l.Type, Encoding: l.Encoding,
	}
	switch {
	case l.Body != nil:
		r.Body = []byte(*l.Body)
	case l.BodyBase64 != "":
		r.Body, err = base64.StdEncoding.DecodeString(l.BodyBase64)
		if err != nil {
			return r, fmt.Errorf("bodyBase64: %w", err)
		}
	}
	return r, nil
}
