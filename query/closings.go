package query

import (
	"context"
	"fmt"
	"slices"
	"sync"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/projections"
	"rollcall/query/closing"
	"rollcall/query/replica"
)

// Closings is where closings are kept; a closing.Store is one.
type Closings interface {
	// List returns all, in the order in which they were made.
	List(ctx context.Context) ([]closing.Head, error)
	// LoadRows returns one of them with its rows.
	LoadRows(ctx context.Context, h closing.Head) (*closing.Closing, error)
}

// noClosings is for an API that is not given any.
type noClosings struct{}

func (noClosings) List(context.Context) ([]closing.Head, error) { return nil, nil }
func (noClosings) LoadRows(_ context.Context, h closing.Head) (*closing.Closing, error) {
	return nil, fmt.Errorf("%w: %q", closing.ErrNotFound, h.ID)
}

// closingDoc is an item of the list of closings.
type closingDoc struct {
	ID                 string           `json:"id"`
	Month              string           `json:"month"`
	Timezone           string           `json:"timezone"`
	Sequence           eventlog.Seq     `json:"sequence"`
	ClosedAt           eventlog.Time    `json:"closedAt"`
	Sessions           int              `json:"sessions"`
	ParticipantSeconds eventlog.Seconds `json:"participantSeconds"`
	AttendedSeconds    eventlog.Seconds `json:"attendedSeconds"`
	RecordingSeconds   eventlog.Seconds `json:"recordingSeconds"`
	Changed            *int             `json:"changed"`
}

// closingWhole is a closing with its rows and what has changed.
type closingWhole struct {
	closingDoc
	Rows    []projections.UsageRow `json:"rows"`
	Changes []closingChange        `json:"changes"`
	Dropped int                    `json:"dropped"`
}

func closingDocOf(h *closing.Head) closingDoc {
	return closingDoc{ID: h.ID, Month: h.Month, Timezone: h.Timezone, Sequence: h.Sequence, ClosedAt: h.ClosedAt, Sessions: h.Sessions,
		ParticipantSeconds: h.ParticipantSeconds, AttendedSeconds: h.AttendedSeconds, RecordingSeconds: h.RecordingSeconds}
}

// closingViews are the views that an answer about closings is from.
func closingViews() []string { return []string{viewUsage, viewRecordings, viewSessions} }

func closingFields() []field {
	return []field{
		known("id", projections.KindText, "The closing: month and time zone, and its number where the month was closed again."),
		known("month", projections.KindText, "The month, like 2026-10."),
		known("timezone", projections.KindText, "The IANA time zone that the month is one of."),
		known("sequence", projections.KindInteger, "The record up to which the closing holds the log."),
		known("closedAt", projections.KindTime, "When the month was closed."),
		known("sessions", projections.KindInteger, "Sessions that started in the month, as closed."),
		known("participantSeconds", projections.KindSeconds, "The sum over the rows, as closed."),
		known("attendedSeconds", projections.KindSeconds, "The sum over the rows, as closed."),
		known("recordingSeconds", projections.KindSeconds, "The sum over the rows, as closed."),
		known("changed", projections.KindInteger, "Sessions whose usage is another now; null while the views hold less than the closing.").orNull(),
	}
}

// closingWholeFields are those of one closing.
func closingWholeFields() []field {
	named := func(name string, kind projections.Kind, doc string) projections.Field {
		return known(name, kind, doc).Field
	}
	null := func(name string, kind projections.Kind, doc string) projections.Field {
		return known(name, kind, doc).orNull().Field
	}
	record := null("record", projections.KindObject, "The record that the change rests on; null where it was not found in time.")
	record.Members = []projections.Field{
		named("sequence", projections.KindInteger, "Its place in the log."),
		named("eventId", projections.KindText, "The id that it got when it was received."),
		named("type", projections.KindText, "The provider's name of the event."),
		named("receivedAt", projections.KindTime, "When it was received."),
	}
	differences := named("differences", projections.KindList, "Each number that differs.")
	differences.Members = []projections.Field{
		named("day", projections.KindText, "The day, in the closing's time zone."),
		named("organizerId", projections.KindText, "The organizer's id; empty where it has none."),
		named("meetingId", projections.KindText, "The meeting; empty where it has no id."),
		named("member", projections.KindText, "The member of a usage row."),
		named("before", projections.KindSeconds, "As closed: a count, or seconds where the member says so."),
		named("after", projections.KindSeconds, "As it is now."),
	}
	rows := named("rows", projections.KindList, "The month's usage by day and organizer, as closed.")
	rows.Members = projections.UsageRowFields()
	changes := named("changes", projections.KindList, "What has changed since, by session.")
	changes.Members = []projections.Field{
		null("sessionId", projections.KindText, "The session; null for recordings without one."),
		null("title", projections.KindText, "The session's title."),
		null("revisedAt", projections.KindTime, "The latest received time among the records that its usage rests on now."),
		record, differences,
	}
	return append(closingFields(), fieldsOf([]projections.Field{rows, changes,
		named("dropped", projections.KindInteger, "Sessions that can't be compared, as the views have dropped them because of their age.")})...)
}

func (a *API) closingRoutes() []*route {
	return []*route{
		{path: "/v1/closings", id: "listClosings", summary: "Months whose usage was kept as it was", params: listWith(),
			item: "Closing", fields: closingFields(), list: true, views: closingViews(), answer: a.listClosings},
		{path: "/v1/closings/{closingId}", id: "getClosing", summary: "A closed month, and what has changed since", params: with(pathParam("closingId")),
			item: "ClosingWithRows", fields: closingWholeFields(), views: closingViews(), answer: a.closing},
		{path: "/v1/closings/{closingId}/rows", id: "listClosingRows", summary: "A closed month's rows as they were, by day and organizer", params: listWith(pathParam("closingId")),
			item: "ClosingRow", fields: closingRowFields(), list: true, views: closingViews(), answer: a.closingRows},
		{path: "/v1/closings/{closingId}/changes", id: "listClosingChanges", summary: "What a closed month's usage was and is now, where it differs, by day, session, organizer and meeting", params: listWith(pathParam("closingId")),
			item: "ClosingChange", fields: closingChangeFields(), list: true, views: closingViews(), answer: a.closingChanges},
	}
}

// listClosings answers the list of closings. Those whose changes are not counted
// yet are counted outside of the read transaction, by one call at a time, and then
// the list is read again.
func (a *API) listClosings(ctx context.Context, c *call) (ans *answer, err error) {
	heads, err := a.closings.List(ctx)
	if err != nil {
		return nil, err
	}
	counted := map[string]*int{}
	page := func() (missing []closing.Head, err error) {
		err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) (err error) {
			ans, missing, err = a.pageOfClosings(ctx, c, s, heads, counted)
			return err
		})
		return missing, err
	}
	if missing, err := page(); err != nil || len(missing) == 0 {
		return ans, err
	}
	leave, err := a.rows.Enter(ctx)
	if err != nil {
		return nil, err
	}
	defer leave()
	for {
		missing, err := page() // others may have counted while this call waited
		if err != nil || len(missing) == 0 {
			return ans, err
		}
		for _, h := range missing {
			if counted[h.ID], err = a.count(ctx, c, h); err != nil {
				return nil, err
			}
		}
	}
}

// count is how many sessions have changed since a closing. Its rows are read from NATS
// outside of the replica: nobody waits for them there.
func (a *API) count(ctx context.Context, c *call, h closing.Head) (changed *int, err error) {
	kept, err := a.load(ctx, h)
	if err != nil {
		return nil, err
	}
	err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) (err error) {
		changed, err = a.changedSince(ctx, s, &h, kept)
		return err
	})
	return changed, err
}

// withRows calls f with a closing and its rows.
func (a *API) withRows(ctx context.Context, h closing.Head, f func(kept *closing.Closing) error) error {
	leave, err := a.rows.Enter(ctx)
	if err != nil {
		return err
	}
	defer leave()
	kept, err := a.load(ctx, h)
	if err != nil {
		return err
	}
	return f(kept)
}

// keptRows is how many rows the closing may have that is kept decoded: about 15 MB.
const keptRows = 50_000

// load returns a closing with its rows. The last one stays, as the pages of its lists
// come one after the other; a closing is never changed. The caller holds a.rows.
func (a *API) load(ctx context.Context, h closing.Head) (*closing.Closing, error) {
	if last := a.lastClosing; last != nil && last.ID == h.ID && last.ClosedAt == h.ClosedAt {
		return last, nil
	}
	kept, err := a.closings.LoadRows(ctx, h)
	if err == nil && len(kept.Rows) <= keptRows {
		a.lastClosing = kept
	}
	return kept, err
}

// pageOfClosings answers a list of closings; missing are those whose changes have to be
// counted before.
func (a *API) pageOfClosings(ctx context.Context, c *call, s *replica.Snapshot, heads []closing.Head, counted map[string]*int) (ans *answer, missing []closing.Head, err error) {
	items := make([]replica.Item, len(heads))
	for i := range heads {
		doc := closingDocOf(&heads[i])
		if s.Sequence(c.route.views) >= heads[i].Sequence {
			if doc.Changed = counted[doc.ID]; doc.Changed == nil {
				doc.Changed, err = a.changedSince(ctx, s, &heads[i], nil)
			}
			if err != nil {
				return nil, nil, err
			}
			if doc.Changed == nil {
				missing = append(missing, heads[i])
			}
		}
		b, err := json.Marshal(doc)
		if err != nil {
			return nil, nil, fmt.Errorf("encode closing: %w", err)
		}
		items[i] = computed(doc.ID, b)
	}
	p, err := pageOf(items, c.route.fields, "-closedAt", c.values, c.key)
	return &answer{page: p, sequence: s.Sequence(c.route.views)}, missing, err
}

// counts are how many sessions have changed since each closing, by id. They are
// counted again when the month's usage has changed, which is rare for months long
// past.
type counts struct {
	mu   sync.Mutex
	byID map[string]stamped
}

// stamped is a count with the state of usage that it was made from; see
// usageStamp.
type stamped struct {
	stamp   string
	changed int
}

// changedSince is how many sessions have changed since a closing, nil where they have
// to be counted and kept, the closing with its rows, is nil.
func (a *API) changedSince(ctx context.Context, s *replica.Snapshot, h *closing.Head, kept *closing.Closing) (*int, error) {
	q, err := queryOf(h)
	if err != nil {
		return nil, err
	}
	stamp, err := usageStamp(ctx, s, q)
	if err != nil {
		return nil, err
	}
	a.changed.mu.Lock()
	known, ok := a.changed.byID[h.ID]
	a.changed.mu.Unlock()
	if stamp += h.ClosedAt.String(); ok && known.stamp == stamp {
		return &known.changed, nil
	}
	if kept == nil {
		return nil, nil
	}
	changes, _, err := changesSince(ctx, s, kept)
	if err != nil {
		return nil, err
	}
	n := len(changes)
	a.changed.mu.Lock()
	a.changed.byID[h.ID] = stamped{stamp, n}
	a.changed.mu.Unlock()
	return &n, nil
}

// queryOf asks for the finest rows of a closing's month.
func queryOf(h *closing.Head) (projections.UsageQuery, error) {
	zone, err := ParseZone(h.Timezone)
	if err != nil {
		return projections.UsageQuery{}, err
	}
	return h.Query(zone)
}

func (a *API) closing(ctx context.Context, c *call) (*answer, error) {
	doc, seq, err := a.compared(ctx, c)
	if err != nil {
		return nil, err
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("encode closing: %w", err)
	}
	return &answer{doc: b, sequence: seq}, nil
}

// findClosing is the closing that a call names. It first waits for the records that the
// call asks for: nobody may wait within withRows.
func (a *API) findClosing(ctx context.Context, c *call) (*closing.Head, error) {
	if err := a.replica.Wait(ctx, c.need(c.route.views)); err != nil {
		return nil, err
	}
	heads, err := a.closings.List(ctx)
	if err != nil {
		return nil, err
	}
	i := slices.IndexFunc(heads, func(h closing.Head) bool { return h.ID == c.text["closingId"] })
	if i < 0 {
		return nil, notFound("no closing %q", c.text["closingId"])
	}
	return &heads[i], nil
}
