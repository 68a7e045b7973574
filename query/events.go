package query

import (
	"context"
	"encoding/base64"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"time"

	"rollcall/eventlog"
)

// listEvents lists records of the log, oldest first.
func (a *API) listEvents(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	return a.eventPage(ctx, c, head, nil, nil)
}

// sessionEvents lists the records of a session: those that name it, and those
// of its recordings.
func (a *API) sessionEvents(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	slices, err := a.slicesOf(ctx, c, head)
	if err != nil {
		return nil, err
	}
	id := c.text["sessionId"]
	return a.eventPage(ctx, c, head, slices, func(r *eventlog.Record) bool {
		if !mentions(r.Content(), id) {
			return false
		}
		ev := eventlog.Decode(r)
		session, _ := ev.Session()
		return session == id
	})
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
	reached, err := a.log.reach(wait, head, least)
	if err == nil || wait.Err() == nil || ctx.Err() != nil {
		return reached, err
	}
	return head, fmt.Errorf("%w: the log is at %d", errBehind, reached.Last)
}

// eventPage reads one page of the records that are wanted: in the log's order or
// the newest first, where a cursor is the sequence of the last one, or sorted by
// another field, which reads all of them for each page.
func (a *API) eventPage(ctx context.Context, c *call, head eventlog.Head, slices []int, want func(*eventlog.Record) bool) (*answer, error) {
	name, descending := sorting(c.text["sort"], "sequence")
	if _, err := sortField(eventFields(), name); err != nil {
		return nil, err
	}
	e := eventReader{api: a, slices: slices, want: want, limit: c.limit(),
		after: eventlog.Seq(c.numbers["after"]), upTo: head.Last, newest: descending}
	sc := scope(c.key, name, strconv.FormatBool(descending))
	if name != "sequence" {
		return e.sortedPage(ctx, name, c.text["cursor"], sc, head)
	}
	if text := c.text["cursor"]; text != "" {
		cur, err := decodeCursor(text, sc)
		if err != nil {
			return nil, err
		}
		if seq := eventlog.Seq(cur.Number); e.newest {
			e.upTo = min(e.upTo, max(seq, 1)-1)
		} else {
			e.after = max(e.after, seq)
		}
	}
	e.skipTrimmed(head)
	items, err := e.read(ctx)
	if err != nil {
		return nil, err
	}
	p := &page{items: items}
	if len(items) > e.limit {
		p.items = items[:e.limit]
		p.next, err = cursor{Number: p.items[e.limit-1].num}.encode(sc)
	}
	return &answer{page: p, sequence: head.Last}, err
}

// eventReader reads records of a part of the log.
type eventReader struct {
	api         *API
	slices      []int
	want        func(*eventlog.Record) bool // nil: all
	after, upTo eventlog.Seq
	newest      bool
	first       bool // the first limit+1 records are enough
	limit       int
}

// skipTrimmed leaves out what retention removed: it is not waited for.
func (e *eventReader) skipTrimmed(head eventlog.Head) {
	if head.First > 0 {
		e.after = max(e.after, head.First-1)
	}
}

// read returns up to limit+1 records.
func (e *eventReader) read(ctx context.Context) ([]item, error) {
	if e.after >= e.upTo {
		return []item{}, nil
	}
	if e.first = !e.newest; e.first {
		return e.scan(ctx, e.after, false)
	}
	// The log is read forwards: from a little before its end, and where that was
	// not enough, because records are missing or not wanted, from further back.
	for window := eventlog.Seq(e.limit + 1); ; window *= 8 {
		from := e.after
		if e.upTo > e.after+window && e.slices == nil {
			from = e.upTo - window
		}
		items, err := e.scan(ctx, from, true)
		if err != nil {
			return nil, err
		}
		if len(items) > e.limit || from == e.after {
			slices.Reverse(items)
			return items, nil
		}
	}
}

// each visits the wanted records behind after, until visit returns false.
func (e *eventReader) each(ctx context.Context, after eventlog.Seq, visit func(*eventlog.Record) bool) error {
	if after >= e.upTo {
		return nil
	}
	upTo := e.upTo
	if e.want == nil && e.first {
		upTo = min(upTo, after+eventlog.Seq(e.limit)+1) // the log has no holes
	}
	err := e.api.log.scan(ctx, eventlog.ReadOptions{After: after, UpTo: upTo, Slices: e.slices}, func(r *eventlog.Record) bool {
		return e.want != nil && !e.want(r) || visit(r)
	})
	if errors.Is(err, eventlog.ErrTrimmed) {
		return newProblem(http.StatusGone, "the log no longer holds the records after %d", after)
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// scan reads the first records behind after, or the last ones.
func (e *eventReader) scan(ctx context.Context, after eventlog.Seq, last bool) ([]item, error) {
	items := []item{}
	err := e.each(ctx, after, func(r *eventlog.Record) bool {
		items = append(items, item{num: int64(r.Seq), doc: eventJSON(r)})
		if last && len(items) > 2*e.limit+1 {
			items = append(items[:0], items[len(items)-e.limit-1:]...)
		}
		return last || len(items) <= e.limit
	})
	if last && len(items) > e.limit+1 {
		items = items[len(items)-e.limit-1:]
	}
	return items, err
}

// sortedPage reads a page in the order of a field other than the sequence, which
// breaks ties. It holds about two pages at a time.
func (e *eventReader) sortedPage(ctx context.Context, by, text string, sc [8]byte, head eventlog.Head) (*answer, error) {
	var from item // "": the first page
	if text != "" {
		c, err := decodeCursor(text, sc)
		if err != nil {
			return nil, err
		}
		from = item{id: c.ID, text: c.Text, num: c.Number}
	}
	e.skipTrimmed(head)
	compare := itemOrder(e.newest)
	items := []item{}
	full := false // items[limit] is the greatest that can be of use
	cut := func() {
		slices.SortFunc(items, compare)
		if full = len(items) > e.limit; full {
			items = items[:e.limit+1]
		}
	}
	err := e.each(ctx, e.after, func(r *eventlog.Record) bool {
		it := eventItem(r, by)
		// Most records are passed by, without an id of their own: one comes behind
		// all that were seen before with its value.
		it.id = behindAll
		if full && compare(it, items[e.limit]) > 0 || from.id != "" && compare(it, item{text: from.text, num: from.num, id: behindAll}) < 0 {
			return true
		}
		if it.id = fmt.Sprintf("%020d", r.Seq); from.id != "" && compare(it, from) <= 0 {
			return true
		}
		it.doc = eventJSON(r)
		if items = append(items, it); len(items) > 2*e.limit+1 {
			cut()
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	cut()
	p := &page{items: items}
	if full {
		p.items = items[:e.limit]
		last := p.items[e.limit-1]
		p.next, err = cursor{Text: last.text, Number: last.num, ID: last.id}.encode(sc)
	}
	return &answer{page: p, sequence: head.Last}, err
}

// behindAll is greater than every id of a record.
const behindAll = "~"

// eventItem is a record's place in the order of a field, without its id.
func eventItem(r *eventlog.Record, by string) (it item) {
	switch by {
	case "eventId":
		it.text = r.EventID
	case "source":
		it.text = r.Source
	case "type":
		it.text = r.Type
	case "receivedAt":
		it.num = int64(r.ReceivedAt)
	}
	return it
}

// eventJSON is a record as the API shows it.
func eventJSON(r *eventlog.Record) []byte {
	b := append([]byte(nil), `{"sequence":`...)
	b = strconv.AppendUint(b, uint64(r.Seq), 10)
	b = append(b, `,"eventId":`...)
	b = append(b, quote(r.EventID)...)
	b = append(b, `,"source":`...)
	b = append(b, quote(r.Source)...)
	b = append(b, `,"type":`...)
	b = append(b, quote(r.Type)...)
	b = append(b, `,"receivedAt":`...)
	b = r.ReceivedAt.AppendJSON(b)
	b = append(b, `,"body":`...)
	if body, ok := MaskedBody(r); ok {
		b = append(b, body...)
	} else {
		b = append(b, `null,"bodyBase64":"`...)
		b = base64.StdEncoding.AppendEncode(b, body)
		b = append(b, '"')
	}
	return append(b, '}')
}

// receivedAt is the received time of the record at seq, or now where there is
// none: what "now" meant when the log ended there.
func (a *API) receivedAt(ctx context.Context, seq eventlog.Seq, now time.Time) time.Time {
	if seq == 0 {
		return now
	}
	if r, err := a.log.Record(ctx, seq); err == nil && !r.ReceivedAt.IsZero() {
		return r.ReceivedAt.Std()
	}
	return now
}
