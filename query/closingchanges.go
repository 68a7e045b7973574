package query

import (
	"context"
	"fmt"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/closing"
	"rollcall/query/replica"
)

// closingChange is a session whose usage is another now.
type closingChange struct {
	SessionID   *string              `json:"sessionId"`
	Title       *string              `json:"title"`
	RevisedAt   eventlog.Time        `json:"revisedAt"`
	Record      *closingRecord       `json:"record"`
	Differences []closing.Difference `json:"differences"`
	rows        []closing.Pair
}

// closingRecord is the record that a change rests on.
type closingRecord struct {
	Sequence   eventlog.Seq  `json:"sequence"`
	EventID    string        `json:"eventId"`
	Type       string        `json:"type"`
	ReceivedAt eventlog.Time `json:"receivedAt"`
}

// compared is the closing that a call names, compared with the views as they are at a
// sequence.
func (a *API) compared(ctx context.Context, c *call) (doc *closingWhole, seq eventlog.Seq, err error) {
	h, err := a.findClosing(ctx, c)
	if err != nil {
		return nil, 0, err
	}
	doc = &closingWhole{closingDoc: closingDocOf(h)}
	err = a.withRows(ctx, *h, func(kept *closing.Closing) error {
		doc.Rows = kept.ByOrganizer()
		return a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
			if seq = s.Sequence(c.route.views); seq < h.Sequence {
				return fmt.Errorf("%w: the views hold record %d, the closing %d", replica.ErrBehind, seq, h.Sequence)
			}
			return doc.compare(ctx, s, kept)
		})
	})
	if err != nil {
		return nil, 0, err
	}
	a.findRecords(ctx, h.Sequence, doc.Changes)
	return doc, seq, nil
}

// compare says what has changed since a closing.
func (w *closingWhole) compare(ctx context.Context, s *replica.Snapshot, kept *closing.Closing) error {
	changes, dropped, err := changesSince(ctx, s, kept)
	if err != nil {
		return err
	}
	n := len(changes)
	w.Changed, w.Dropped = &n, dropped
	for _, ch := range changes {
		shown, err := changeOf(ctx, s, ch)
		if err != nil {
			return err
		}
		w.Changes = append(w.Changes, shown)
	}
	return nil
}

// changesSince compares a closing with the views. A session that the views have no
// longer is dropped, and not changed: no record takes one away.
func changesSince(ctx context.Context, s *replica.Snapshot, kept *closing.Closing) (changes []closing.Change, dropped int, err error) {
	q, err := queryOf(&kept.Head)
	if err != nil {
		return nil, 0, err
	}
	now, err := usageRows(ctx, s, q)
	if err != nil {
		return nil, 0, err
	}
	opened := map[string]bool{}
	for _, r := range kept.Rows {
		opened[r.SessionID] = opened[r.SessionID] || r.Sessions > 0 || r.ParticipantSeconds > 0
	}
	for _, c := range closing.Compare(kept.Rows, now) {
		if c.SessionID == "" {
			changes = append(changes, c)
			continue
		}
		u, found, err := usageOf(ctx, s, c.SessionID)
		switch {
		case err != nil:
			return nil, 0, err
		case found:
			c.RevisedAt = max(c.RevisedAt, u.RevisedAt)
			changes = append(changes, c)
		case opened[c.SessionID]:
			dropped++
		default: // recordings of a session that never opened
			changes = append(changes, c)
		}
	}
	return changes, dropped, nil
}

// usageOf is a session's document of view usage.
func usageOf(ctx context.Context, s *replica.Snapshot, id string) (u projections.UsageSession, found bool, err error) {
	for d := range documents[projections.UsageSession](ctx, s, &err, viewUsage, "WHERE sessionId = ?1", id) {
		u, found = d, true
	}
	return u, found, err
}

func changeOf(ctx context.Context, s *replica.Snapshot, c closing.Change) (closingChange, error) {
	shown := closingChange{RevisedAt: c.RevisedAt, Differences: c.Differences, rows: c.Rows}
	if c.SessionID == "" {
		return shown, nil
	}
	shown.SessionID = &c.SessionID
	var err error
	for d := range documents[projections.Session](ctx, s, &err, viewSessions, "WHERE sessionId = ?1", c.SessionID) {
		if d.Title != "" {
			shown.Title = &d.Title
		}
	}
	return shown, err
}

// findTimeout bounds the search for the records of changes.
const findTimeout = 5 * time.Second

// findRecords looks for the records that changes rest on, in the log after a
// closing: those of the session that were received when its usage was revised. A
// change whose record is not found in time has none.
func (a *API) findRecords(ctx context.Context, after eventlog.Seq, changes []closingChange) {
	at := map[eventlog.Time][]*closingChange{}
	for i := range changes {
		if c := &changes[i]; c.SessionID != nil && !c.RevisedAt.IsZero() {
			at[c.RevisedAt] = append(at[c.RevisedAt], c)
		}
	}
	head, err := a.log.Head(ctx)
	if len(at) == 0 || err != nil || after >= head.Last {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, findTimeout)
	defer cancel()
	err = a.log.Scan(ctx, eventlog.ReadOptions{After: max(after, head.First-1), UpTo: head.Last}, func(r *eventlog.Record) bool {
		for _, c := range at[r.ReceivedAt] {
			ev := eventlog.Decode(r)
			if id, _ := ev.Session(); id == *c.SessionID {
				c.Record = &closingRecord{r.Seq, r.EventID, ev.Type.String(), r.ReceivedAt}
			}
		}
		return true
	})
	if err != nil {
		a.config.Logger.Warn().Err(err).Msg("the records of what changed since a closing were not found in time")
	}
}

// closingChangeFields are those of a finest row that differs: every number as closed and
// as it is now, so that what was billed can be corrected by them.
func closingChangeFields() []field {
	fields := []field{
		known("day", projections.KindDate, "The day, in the closing's time zone."),
		known("sessionId", projections.KindText, "The session; null for recordings without one.").orNull(),
		known("title", projections.KindText, "The session's title.").orNull(),
		known("organizerId", projections.KindText, "The organizer's id; null where it has none.").orNull(),
		known("organizerName", projections.KindText, "The organizer's name.").orNull(),
		known("meetingId", projections.KindText, "The meeting; null where it has no id.").orNull(),
	}
	for _, m := range closing.Measures {
		kind := projections.KindInteger
		if strings.HasSuffix(m.Name, "Seconds") {
			kind = projections.KindSeconds
		}
		before, after := beforeAndAfter(m.Name)
		fields = append(fields, known(before, kind, "The row's "+m.Name+" as closed."), known(after, kind, "The row's "+m.Name+" now."))
	}
	fields = append(fields,
		known("revisedAt", projections.KindTime, "The latest received time among the records that the session's usage rests on now.").orNull(),
		known("recordSequence", projections.KindInteger, "The record that the change rests on; null where it was not found in time.").orNull(),
		known("recordType", projections.KindText, "The provider's name of that record's event.").orNull(),
		known("comparedSequence", projections.KindInteger, "The record up to which it was compared."))
	return append(fields, ofClosingFields()...)
}

// beforeAndAfter are the names of a measure as closed and now.
func beforeAndAfter(measure string) (before, after string) {
	measure = strings.ToUpper(measure[:1]) + measure[1:]
	return "before" + measure, "after" + measure
}

// closingChanges lists what has changed since a month was closed.
func (a *API) closingChanges(ctx context.Context, c *call) (*answer, error) {
	doc, seq, err := a.compared(ctx, c)
	if err != nil {
		return nil, err
	}
	of := append([]any{"comparedSequence", fmt.Append(nil, seq)}, ofClosing(&doc.closingDoc)...)
	var items []replica.Item
	for i := range doc.Changes {
		for j := range doc.Changes[i].rows {
			items = append(items, doc.Changes[i].item(&doc.Changes[i].rows[j], of))
		}
	}
	p, err := pageOf(items, c.route.fields, "day", c.values, c.key)
	return &answer{page: p, sequence: seq}, err
}

// item is a row of a change as an item of a list.
func (ch *closingChange) item(row *closing.Pair, of []any) replica.Item {
	at := row.Place()
	texts := []string{at.Day.String(), at.SessionID, at.Organizer.ID, at.Organizer.Name, at.MeetingID}
	var title string
	if ch.Title != nil {
		title = *ch.Title
	}
	more := []any{"day", quote(texts[0]), "sessionId", quoteOrNull(at.SessionID), "title", quoteOrNull(title),
		"organizerId", quoteOrNull(at.Organizer.ID), "organizerName", quoteOrNull(at.Organizer.Name), "meetingId", quoteOrNull(at.MeetingID)}
	for _, m := range closing.Measures {
		before, after := beforeAndAfter(m.Name)
		was, _ := m.Of(&row.Before).MarshalJSON() // it never fails
		is, _ := m.Of(&row.After).MarshalJSON()
		more = append(more, before, was, after, is)
	}
	sequence, kind := []byte("null"), []byte("null")
	if ch.Record != nil {
		sequence, kind = fmt.Append(nil, ch.Record.Sequence), quote(ch.Record.Type)
	}
	more = append(more, "revisedAt", ch.RevisedAt.AppendJSON(nil), "recordSequence", sequence, "recordType", kind)
	return computed(strings.Join(texts, "\n"), splice([]byte("{}"), append(more, of...)...))
}
