package history

import (
	"bytes"
	"context"
	"errors"
	"fmt"

	"rollcall/eventlog"
)

// Gives reports whether a part of the log gives a session's document: the folded
// records of the session in it come to the same bytes.
func (l *Reader) Gives(ctx context.Context, part eventlog.ReadOptions, sessions eventlog.Fold, id string, document []byte) (bool, error) {
	if part.UpTo <= part.After || sessions == nil {
		return false, nil // the log holds none of them any more
	}
	states := states{}
	err := l.Scan(ctx, part, func(r *eventlog.Record) bool {
		if ev, ok := InSession(r, id); ok {
			states.apply(sessions, ev)
		}
		return true
	})
	if errors.Is(err, eventlog.ErrTrimmed) {
		return false, nil // while it was read
	}
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	for _, got := range states.documents()[sessions.Name()] {
		if bytes.Equal(got, document) {
			return true, nil
		}
	}
	return false, nil
}

// InSession decodes a record of a session; ok is false for one of another.
func InSession(r *eventlog.Record, id string) (ev *eventlog.Event, ok bool) {
	if !mentions(r.Content(), id) {
		return nil, false
	}
	decoded := eventlog.Decode(r)
	session, _ := decoded.Session()
	return &decoded, session == id
}

// mentions is a cheap look before the decoder: an id that is not in the body as
// it is, or escaped, or with bad UTF-8, is not in the event.
func mentions(body []byte, id string) bool {
	return bytes.Contains(body, []byte(id)) || bytes.IndexByte(body, '\\') >= 0 || bytes.Contains([]byte(id), []byte("\ufffd"))
}
