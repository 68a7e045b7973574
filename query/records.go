package query

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"

	"rollcall/eventlog"
	"rollcall/query/cursor"
	"rollcall/query/history"
	"rollcall/query/replica"
)

// wholeLog is a log of so few records that it is read as a whole: it takes less
// than 0.2 s, and is right whatever ids the provider sends.
const wholeLog = 20_000

// listEvents lists records of the log, oldest first.
func (a *API) listEvents(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	return a.recordPage(ctx, c, head, nil, nil)
}

// waitPart is waitHead, with the slices of the log that hold the session's records.
func (a *API) waitPart(ctx context.Context, c *call) (head eventlog.Head, slices []int, err error) {
	if head, err = a.waitHead(ctx, c); err == nil {
		slices, err = a.slicesOf(ctx, c, head)
	}
	return head, slices, err
}

// waitHead returns how far the log is, once it holds the record minSequence.
func (a *API) waitHead(ctx context.Context, c *call) (eventlog.Head, error) {
	head, err := a.log.Head(ctx)
	if err != nil {
		return head, fmt.Errorf("read log: %w", err)
	}
	least := c.minSequence()
	if head.Last >= least {
		return head, nil
	}
	wait, cancel := context.WithTimeout(ctx, c.wait())
	defer cancel()
	reached, err := a.log.Reach(wait, head, least)
	if err == nil || wait.Err() == nil || ctx.Err() != nil {
		return reached, err
	}
	return head, fmt.Errorf("%w: the log is at %d", replica.ErrBehind, reached.Last)
}

// recordPage answers one page of the records that are wanted.
func (a *API) recordPage(ctx context.Context, c *call, head eventlog.Head, slices []int, want func(*eventlog.Record) (*history.Subject, bool)) (*answer, error) {
	by, descending := sorting(c.text["sort"], history.BySequence)
	if _, err := sortField(c.route.fields, by); err != nil {
		return nil, err
	}
	selection := history.Selection{After: eventlog.Seq(c.numbers["after"]), UpTo: head.Last, Slices: slices, Want: want,
		By: by, Descending: descending, Limit: c.limit()}
	scope := cursor.ScopeOf(c.key, by, strconv.FormatBool(descending))
	var err error
	if selection.From, err = c.from(scope); err != nil {
		return nil, err
	}
	entries, next, err := a.log.Records(ctx, head, selection)
	if err != nil {
		return nil, err
	}
	p := &page{items: make([]replica.Item, len(entries))}
	for i, e := range entries {
		p.items[i].Document = e.JSON
	}
	if next != nil {
		p.next, err = cursor.Encode(*next, scope)
	}
	return &answer{page: p, sequence: head.Last}, err
}

// slicesOf says in which slices of the log a session's records are; nil where
// all must be read. Usually they are its meeting's, and its own for events that
// name no meeting. A session that the provider reports under two meeting ids,
// or together with a livestream, has records elsewhere: then what these slices
// give is not what the view holds.
func (a *API) slicesOf(ctx context.Context, c *call, head eventlog.Head) (list []int, err error) {
	id := c.text["sessionId"]
	var doc []byte
	var upTo eventlog.Seq
	err = a.read(ctx, c, []string{viewSessions}, func(ctx context.Context, s *replica.Snapshot) error {
		l := a.sessions(s, c)
		l.Filter("s.sessionId = ?", id)
		l.Extra = []string{"s.meetingId"}
		session, ok, err := l.One(ctx)
		if err != nil {
			return err
		}
		if !ok {
			return notFound("no session %q", id)
		}
		list = append(list, eventlog.Slice(id))
		if meeting := session.Extra[0]; meeting != "" {
			list = append(list, eventlog.Slice(meeting))
		}
		slices.Sort(list)
		list = slices.Compact(list)
		doc, upTo = session.Document, s.Sequence([]string{viewSessions})
		return nil
	})
	if err != nil || head.Last <= a.wholeLog {
		return nil, err
	}
	part := eventlog.ReadOptions{After: max(1, head.First) - 1, UpTo: upTo, Slices: list}
	whole, err := a.log.Gives(ctx, part, a.folds[viewSessions], id, doc)
	if err != nil || !whole {
		return nil, err
	}
	return list, nil
}

// historyProblem says what an error of the log's reader means to the client; nil
// where it is another.
func historyProblem(err error) *problem {
	var trimmed *history.TrimmedError
	var later *history.StartedLaterError
	var notYet *history.NotYetError
	switch {
	case errors.As(err, &trimmed):
		return newProblem(http.StatusGone, "%v", trimmed)
	case errors.As(err, &later):
		return newProblem(http.StatusGone, "%v", later)
	case errors.As(err, &notYet):
		return notFound("%v", notYet)
	case errors.Is(err, history.ErrBusy):
		return retryLater("%v", history.ErrBusy)
	}
	return nil
}
