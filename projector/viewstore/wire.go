package viewstore

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"rollcall/eventlog/wire"
)

// Headers of KV buckets, of direct gets and of ours.
const (
	headerOperation  = "KV-Operation"
	headerNumPending = "Nats-Num-Pending"
	headerRevision   = "Rollcall-Revision"
	headerSequence   = "Rollcall-Sequence"

	operationDelete = "DEL"
	operationPurge  = "PURGE"
)

// fence makes m depend on subject's last message still being revision.
func fence(m *nats.Msg, subject string, revision uint64) {
	m.Header[jetstream.ExpectedLastSubjSeqHeader] = []string{strconv.FormatUint(revision, 10)}
	if m.Subject != subject {
		m.Header[jetstream.ExpectedLastSubjSeqSubjHeader] = []string{subject}
	}
}

// marker turns m into a delete marker that goes away by itself.
func marker(m *nats.Msg) {
	m.Data = nil
	m.Header[headerOperation] = []string{operationDelete}
	m.Header[jetstream.MsgTTLHeader] = []string{MarkerTTL.String()}
}

// deleted reports whether a stored message says that its key is gone.
func deleted(h nats.Header) bool {
	op := h.Get(headerOperation)
	return op == operationDelete || op == operationPurge || h.Get(jetstream.MarkerReasonHeader) != ""
}

// errTooMany: more subjects match than one request may return.
var errTooMany = errors.New("too many results for one request")

// errOneMessage: the server gives this user one message a request, as the embedded
// one does to readers.
var errOneMessage = errors.New("one message a request")

// maxAnswers is more than the 1,024 messages and the end that a server sends for
// one request.
const maxAnswers = 1100

// lastMessages returns the last message of every subject that matches, as of
// one moment: a commit is in it whole or not at all. Subjects without a message
// are left out.
func (r *Reader) lastMessages(ctx context.Context, stream string, subjects []string) ([]wire.Message, error) {
	request, err := json.Marshal(struct {
		Last []string `json:"multi_last"`
	}{subjects})
	if err != nil {
		return nil, err
	}
	nc := r.js.Conn()
	inbox := nc.NewRespInbox()
	// No larger than an answer can be: nats.go's own channel has room for 512 Ki.
	answers := make(chan *nats.Msg, maxAnswers)
	sub, err := nc.ChanSubscribe(inbox, answers)
	if err != nil {
		return nil, fmt.Errorf("subscribe for answers: %w", err)
	}
	defer func() { _ = sub.Unsubscribe() }()
	if err := nc.PublishRequest(wire.API(r.js, "DIRECT.GET."+stream), inbox, request); err != nil {
		return nil, fmt.Errorf("ask %s: %w", stream, err)
	}
	var all []wire.Message
	for {
		var m *nats.Msg
		select {
		case <-ctx.Done():
			return nil, fmt.Errorf("read %d subjects of %s: %w", len(subjects), stream, ctx.Err())
		case m = <-answers:
		}
		switch status := m.Header.Get("Status"); status {
		case "":
			s, err := parseDirect(m)
			if err != nil {
				return nil, err
			}
			all = append(all, s)
		case "204":
			if m.Header.Get(headerNumPending) != "0" {
				return nil, errTooMany
			}
			return all, nil
		case "404":
			return all, nil
		case "413":
			return nil, errTooMany
		case "408":
			return nil, errOneMessage
		case "503":
			return nil, fmt.Errorf("read %d subjects of %s: %w", len(subjects), stream, r.unanswered(ctx, stream))
		default:
			return nil, fmt.Errorf("read %s: server answered %s %s", stream, status, m.Header.Get("Description"))
		}
	}
}

// unanswered is why nobody answers for a stream. Only if the server says that
// the stream does not exist was it removed; otherwise the server may be away.
func (r *Reader) unanswered(ctx context.Context, stream string) error {
	if _, err := r.js.Stream(ctx, stream); errors.Is(err, jetstream.ErrStreamNotFound) {
		return fmt.Errorf("%w: %s (%w); a projector that runs makes it again from the log, and so does `rollcall rebuild`", ErrGone, stream, nats.ErrNoResponders)
	}
	return nats.ErrNoResponders
}

func parseDirect(m *nats.Msg) (wire.Message, error) {
	sequence, err := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
	if err != nil {
		return wire.Message{}, fmt.Errorf("read sequence of an answer: %w", err)
	}
	at, err := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
	if err != nil {
		return wire.Message{}, fmt.Errorf("read time of an answer: %w", err)
	}
	return wire.Message{Subject: m.Header.Get(jetstream.SubjectHeader), Sequence: sequence, Time: at, Header: m.Header, Data: m.Data}, nil
}

// last returns the last message of one subject; nil where there is none.
func (r *Reader) last(ctx context.Context, stream, subject string) (*wire.Message, error) {
	request, err := json.Marshal(struct {
		Last string `json:"last_by_subj"`
	}{subject})
	if err != nil {
		return nil, err
	}
	m, err := r.js.Conn().RequestWithContext(ctx, wire.API(r.js, "DIRECT.GET."+stream), request)
	if errors.Is(err, nats.ErrNoResponders) {
		err = r.unanswered(ctx, stream)
	}
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", stream, err)
	}
	switch status := m.Header.Get("Status"); status {
	case "":
		s, err := parseDirect(m)
		return &s, err
	case "404":
		return nil, nil
	default:
		return nil, fmt.Errorf("read %s: server answered %s %s", stream, status, m.Header.Get("Description"))
	}
}

// collect reads what a bucket holds on subjects through a consumer, so not as of
// one moment.
func (r *Reader) collect(ctx context.Context, bucket string, subjects []string) ([]wire.Message, error) {
	var all []wire.Message
	for m, err := range r.scan(ctx, bucket, subjects, scanOptions{}) {
		if err != nil {
			return nil, err
		}
		all = append(all, m)
	}
	return all, nil
}

// put stores v as JSON if revision is the subject's last message.
func (s *Store) put(ctx context.Context, subject string, v any, revision uint64) (uint64, error) {
	m, err := encode(subject, v)
	if err != nil {
		return 0, err
	}
	fence(m, subject, revision)
	return s.publishAll(ctx, []*nats.Msg{m})
}

// putControl is put in the control bucket. If the answer is lost it looks
// whether v is there, so v must mean the same whoever wrote it.
func (s *Store) putControl(ctx context.Context, subject string, v any, revision uint64) (uint64, error) {
	next, err := s.put(ctx, subject, v, revision)
	return s.settle(ctx, subject, next, err, func(m *wire.Message) bool {
		data, err := json.Marshal(v)
		return err == nil && m.Sequence > revision && bytes.Equal(m.Data, data)
	})
}

// removeControl leaves a delete marker on a subject of the control bucket.
func (s *Store) removeControl(ctx context.Context, subject string) error {
	m := nats.NewMsg(subject)
	marker(m)
	next, err := s.publishAll(ctx, []*nats.Msg{m})
	_, err = s.settle(ctx, subject, next, err, func(m *wire.Message) bool { return deleted(m.Header) })
	return err
}

// settle checks, if the answer to a write was lost, whether it happened: an
// operator who sees a failure runs the command again, which would undo a
// rollback.
func (s *Store) settle(ctx context.Context, subject string, next uint64, err error, happened func(*wire.Message) bool) (uint64, error) {
	if err == nil || refused(err) {
		return next, err
	}
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	m, rerr := s.last(ctx, StreamOf(Control), subject)
	if rerr != nil {
		return 0, fmt.Errorf("%w; whether it happened is not known: %w", err, rerr)
	}
	if m == nil || !happened(m) {
		return 0, err
	}
	return m.Sequence, nil
}

// publishAll stores messages, in one batch, and waits for the answer for as long
// as there can be one.
func (s *Store) publishAll(ctx context.Context, messages []*nats.Msg) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, s.config.Timeout)
	defer cancel()
	connected, stop := wire.UntilDisconnected(ctx, s.js.Conn())
	defer stop()
	next, err := wire.Publish(connected, s.js.Conn(), nuid.Next(), messages)
	if err != nil && connected.Err() != nil && ctx.Err() == nil {
		return 0, fmt.Errorf("publish to %s: %w", messages[0].Subject, nats.ErrDisconnected)
	}
	return next, err
}
