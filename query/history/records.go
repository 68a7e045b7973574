package history

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"rollcall/eventlog"
	"rollcall/query/cursor"
)

// Selection is the records that a page is taken from, and their order.
type Selection struct {
	// After and UpTo bound the sequences; Slices names the log's slices, nil: all.
	After, UpTo eventlog.Seq
	Slices      []int
	// Want chooses records, and says who one is about; nil about: it is not said.
	// Without Want it is all records.
	Want func(*eventlog.Record) (about *Subject, ok bool)
	// By is the member of a record to sort by, ties by sequence, ascending.
	// BySequence is cheap; any other reads the whole part for each page.
	By         string
	Descending bool
	// From is the last entry of the page before; nil: the first page.
	From *cursor.Place
	// Limit is how many entries a page has, at least 1.
	Limit int
}

// BySequence sorts by the place in the log.
const BySequence = "sequence"

// Subject is who a record is about: the zero Subject is nobody.
type Subject struct{ PeerID, ParticipantID, DisplayName string }

// Entry is one record of a page: its place, and its JSON as appendJSON writes it,
// with the Subject.
type Entry struct {
	cursor.Place
	JSON []byte
}

// TrimmedError says that retention removed the records that were asked for.
type TrimmedError struct{ After eventlog.Seq }

func (e *TrimmedError) Error() string {
	return fmt.Sprintf("the log no longer holds the records after %d", e.After)
}

// Records returns a page, and the place that the next one goes on from; nil where
// this is the last one. Retention may remove records meanwhile: a *TrimmedError.
func (l *Reader) Records(ctx context.Context, head eventlog.Head, s Selection) (entries []Entry, next *cursor.Place, err error) {
	p := pager{Selection: s, reader: l}
	if s.By == BySequence && s.From != nil {
		if seq := eventlog.Seq(s.From.Number); s.Descending {
			p.UpTo = min(p.UpTo, max(seq, 1)-1)
		} else {
			p.After = max(p.After, seq)
		}
	}
	if head.First > 0 { // what retention removed is not waited for
		p.After = max(p.After, head.First-1)
	}
	if s.By == BySequence {
		entries, err = p.inOrder(ctx)
	} else {
		entries, err = p.sorted(ctx)
	}
	if err != nil || len(entries) <= s.Limit {
		return entries, nil, err
	}
	entries = entries[:s.Limit]
	return entries, &entries[s.Limit-1].Place, nil
}

// pager reads a page, and one record more where there is one.
type pager struct {
	Selection
	reader *Reader
	first  bool // the first Limit+1 records are enough
}

// inOrder reads in the log's order or, descending, the newest first.
func (p *pager) inOrder(ctx context.Context) ([]Entry, error) {
	if p.After >= p.UpTo {
		return []Entry{}, nil
	}
	if p.first = !p.Descending; p.first {
		return p.scan(ctx, p.After, false)
	}
	// The log is read forwards: from a little before its end, and where that was
	// not enough, because records are missing or not wanted, from further back.
	for window := eventlog.Seq(p.Limit + 1); ; window *= 8 {
		from := p.After
		if p.UpTo > p.After+window && p.Slices == nil {
			from = p.UpTo - window
		}
		entries, err := p.scan(ctx, from, true)
		if err != nil {
			return nil, err
		}
		if len(entries) > p.Limit || from == p.After {
			slices.Reverse(entries)
			return entries, nil
		}
	}
}

// each visits the wanted records after a sequence, until visit returns false.
func (p *pager) each(ctx context.Context, after eventlog.Seq, visit func(*eventlog.Record, *Subject) bool) error {
	if after >= p.UpTo {
		return nil
	}
	upTo := p.UpTo
	if p.Want == nil && p.first {
		upTo = min(upTo, after+eventlog.Seq(p.Limit)+1) // the log has no holes
	}
	err := p.reader.Scan(ctx, eventlog.ReadOptions{After: after, UpTo: upTo, Slices: p.Slices}, func(r *eventlog.Record) bool {
		if p.Want == nil {
			return visit(r, nil)
		}
		about, ok := p.Want(r)
		return !ok || visit(r, about)
	})
	if errors.Is(err, eventlog.ErrTrimmed) {
		return &TrimmedError{after}
	}
	if err != nil {
		return fmt.Errorf("read log: %w", err)
	}
	return nil
}

// scan reads the first records after a sequence, or the last ones.
func (p *pager) scan(ctx context.Context, after eventlog.Seq, last bool) ([]Entry, error) {
	entries := []Entry{}
	err := p.each(ctx, after, func(r *eventlog.Record, about *Subject) bool {
		entries = append(entries, Entry{cursor.Place{Number: int64(r.Seq)}, entryJSON(r, about)})
		if last && len(entries) > 2*p.Limit+1 {
			entries = append(entries[:0], entries[len(entries)-p.Limit-1:]...)
		}
		return last || len(entries) <= p.Limit
	})
	if last && len(entries) > p.Limit+1 {
		entries = entries[len(entries)-p.Limit-1:]
	}
	return entries, err
}

// sorted reads in the order of a member other than the sequence. It holds about
// two pages at a time.
func (p *pager) sorted(ctx context.Context) ([]Entry, error) {
	entries := []Entry{}
	full := false // entries[Limit] is the greatest that can be of use
	cut := func() {
		slices.SortFunc(entries, func(a, b Entry) int { return a.Compare(b.Place, p.Descending) })
		if full = len(entries) > p.Limit; full {
			entries = entries[:p.Limit+1]
		}
	}
	err := p.each(ctx, p.After, func(r *eventlog.Record, about *Subject) bool {
		at := placeOf(r, about, p.By)
		// Most records are skipped before they get an id: a record comes after all
		// that were seen before with the same value.
		at.ID = afterAll
		if full && at.Compare(entries[p.Limit].Place, p.Descending) > 0 ||
			p.From != nil && at.Compare(cursor.Place{Text: p.From.Text, Number: p.From.Number, ID: afterAll}, p.Descending) < 0 {
			return true
		}
		if at.ID = fmt.Sprintf("%020d", r.Seq); p.From != nil && at.Compare(*p.From, p.Descending) <= 0 {
			return true
		}
		if entries = append(entries, Entry{at, entryJSON(r, about)}); len(entries) > 2*p.Limit+1 {
			cut()
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	cut()
	return entries, nil
}

// afterAll is greater than every id of a record.
const afterAll = "~"

// placeOf is a record's place in the order of a member, without its id.
func placeOf(r *eventlog.Record, about *Subject, by string) (at cursor.Place) {
	if about == nil {
		about = &Subject{}
	}
	switch by {
	case "peerId":
		at.Text = about.PeerID
	case "participantId":
		at.Text = about.ParticipantID
	case "displayName":
		at.Text = about.DisplayName
	case "eventId":
		at.Text = r.EventID
	case "source":
		at.Text = r.Source
	case "type":
		at.Text = r.Type
	case "receivedAt":
		at.Number = int64(r.ReceivedAt)
	}
	return at
}
