package wire

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// unanswered is after how long a question is asked again; the next time it is twice
// as long.
const unanswered = time.Second

// API is the subject of a JetStream request, with the prefix or in the domain
// that js was made with.
func API(js jetstream.JetStream, request string) string {
	o := js.Options()
	switch {
	case o.APIPrefix != "":
		return strings.TrimSuffix(o.APIPrefix, ".") + "." + request
	case o.Domain != "":
		return "$JS." + o.Domain + ".API." + request
	}
	return jetstream.DefaultAPIPrefix + request
}

// LeaderLast returns the last message of a subject as the stream's leader has
// it. A direct get may be answered by a replica that lags, so ask here before
// concluding that something is gone. jetstream.ErrMsgNotFound: the subject
// has none. jetstream.ErrStreamNotFound: there is no such stream. The wait for an answer
// ends after 5 s at the latest.
func LeaderLast(ctx context.Context, js jetstream.JetStream, stream, subject string) (*Message, error) {
	return fromLeader(ctx, js, stream, map[string]any{"last_by_subj": subject})
}

// LeaderMessage is LeaderLast for the message at a sequence.
func LeaderMessage(ctx context.Context, js jetstream.JetStream, stream string, sequence uint64) (*Message, error) {
	return fromLeader(ctx, js, stream, map[string]any{"seq": sequence})
}

// insist asks until there is an answer, ctx ends or setup has passed: a server that was the leader, or
// follows one that is gone, drops a request without a word.
func insist(ctx context.Context, nc *nats.Conn, subject string, request []byte) (*nats.Msg, error) {
	ctx, cancel := context.WithTimeout(ctx, setup)
	defer cancel()
	for wait := unanswered; ; wait *= 2 {
		try, cancel := context.WithTimeout(ctx, wait)
		reply, err := nc.RequestWithContext(try, subject, request)
		cancel()
		if !errors.Is(err, context.DeadlineExceeded) || ctx.Err() != nil {
			return reply, err
		}
	}
}

// fromLeader requests one message from the stream's leader, by what the JetStream
// API calls its request: {"seq":N} or {"last_by_subj":S}.
func fromLeader(ctx context.Context, js jetstream.JetStream, stream string, which map[string]any) (*Message, error) {
	request, err := json.Marshal(which)
	if err != nil {
		return nil, err
	}
	reply, err := insist(ctx, js.Conn(), API(js, "STREAM.MSG.GET."+stream), request)
	if err != nil {
		return nil, fmt.Errorf("ask the leader of %s: %w", stream, err)
	}
	var answer struct {
		Error   *jetstream.APIError `json:"error"`
		Message *struct {
			Subject  string    `json:"subject"`
			Sequence uint64    `json:"seq"`
			Header   []byte    `json:"hdrs"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	if err := json.Unmarshal(reply.Data, &answer); err != nil {
		return nil, fmt.Errorf("read answer of %s: %w", stream, err)
	}
	m := answer.Message
	switch {
	case answer.Error != nil && answer.Error.ErrorCode == jetstream.JSErrCodeMessageNotFound:
		return nil, fmt.Errorf("read %s: %w", stream, jetstream.ErrMsgNotFound)
	case answer.Error != nil:
		return nil, fmt.Errorf("read %s: %w", stream, answer.Error)
	case m == nil:
		return nil, fmt.Errorf("read %s: %w", stream, jetstream.ErrInvalidJetStreamResponse)
	}
	var header nats.Header
	if len(m.Header) > 0 {
		if header, err = nats.DecodeHeadersMsg(m.Header); err != nil {
			return nil, fmt.Errorf("read headers of message %d of %s: %w", m.Sequence, stream, err)
		}
	}
	return &Message{Subject: m.Subject, Sequence: m.Sequence, Time: m.Time, Header: header, Data: m.Data}, nil
}
