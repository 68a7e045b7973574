package query

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"

	"rollcall/eventlog"
)

// wholeLog is a log of so few records that it is read as a whole: it takes less
// than 0.2 s, and is right whatever ids the provider sends.
const wholeLog = 20_000

// slicesOf says in which slices of the log a session's records are; nil where
// all must be read. Usually they are its meeting's, and its own for events that
// name no meeting. A session that the provider reports under two meeting ids,
// or together with a livestream, has records elsewhere: then what these slices
// give is not what the view holds.
func (a *API) slicesOf(ctx context.Context, c *call, head eventlog.Head) (list []int, err error) {
	id := c.text["sessionId"]
	var doc []byte
	var upTo eventlog.Seq
	err = a.replica.read(ctx, []string{viewSessions}, c.values, func(ctx context.Context, s *snapshot) error {
		l := a.sessions(s, c)
		l.filter("s.sessionId = ?", id)
		l.extra = []string{"s.meetingId"}
		q := reader{listing: l, by: l.orders["sessionId"], snapshot: s, want: 1}
		if err := q.run(ctx, "", nil); err != nil {
			return err
		}
		if len(q.items) == 0 {
			return notFound("no session %q", id)
		}
		list = append(list, eventlog.Slice(id))
		if meeting := q.items[0].extra[0]; meeting != "" {
			list = append(list, eventlog.Slice(meeting))
		}
		slices.Sort(list)
		list = slices.Compact(list)
		doc, upTo = q.items[0].doc, s.sequence([]string{viewSessions})
		return nil
	})
	if err != nil || head.Last <= a.wholeLog {
		return nil, err
	}
	whole, err := a.givesSession(ctx, eventlog.ReadOptions{After: max(1, head.First) - 1, UpTo: upTo, Slices: list}, id, doc)
	if err != nil || !whole {
		return nil, err
	}
	return list, nil
}

// givesSession reports whether some of the log's records give a session's document.
func (a *API) givesSession(ctx context.Context, some eventlog.ReadOptions, id string, doc []byte) (bool, error) {
	if some.UpTo <= some.After {
		return false, nil // the log holds none of them any more
	}
	states := map[foldKey]eventlog.State{}
	err := a.log.scan(ctx, some, func(r *eventlog.Record) bool {
		if mentions(r.Content(), id) {
			ev := eventlog.Decode(r)
			if session, _ := ev.Session(); session == id {
				a.apply(states, []string{viewSessions}, &ev, id)
			}
		}
		return true
	})
	if errors.Is(err, eventlog.ErrTrimmed) {
		return false, nil // while it was read
	}
	if err != nil {
		return false, fmt.Errorf("read log: %w", err)
	}
	docs := capture{}
	for _, st := range states {
		st.Flush(docs)
	}
	for _, got := range docs {
		if bytes.Equal(got, doc) {
			return true, nil
		}
	}
	return false, nil
}

// mentions is a cheap look before the decoder: an id that is not in the body as
// it is, or escaped, or behind bad UTF-8, is not in the event.
func mentions(body []byte, id string) bool {
	return bytes.Contains(body, []byte(id)) || bytes.IndexByte(body, '\\') >= 0 || bytes.Contains([]byte(id), []byte("\ufffd"))
}
