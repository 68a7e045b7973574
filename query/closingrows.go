package query

import (
	"context"
	"fmt"

	"rollcall/projections"
	"rollcall/query/closing"
	"rollcall/query/replica"
)

// closingRowFields are those of a closing's row in a list: each says which closing it
// is of, so that a file of them does.
func closingRowFields() []field {
	return append(usageFields(), ofClosingFields()...)
}

// ofClosingFields say which closing a line of a file is of.
func ofClosingFields() []field {
	return []field{
		known("sequence", projections.KindInteger, "The record up to which the closing holds the log."),
		known("timezone", projections.KindText, "The IANA time zone of the days."),
		known("closedAt", projections.KindTime, "When the month was closed."),
	}
}

// ofClosing are their values.
func ofClosing(d *closingDoc) []any {
	return []any{"sequence", fmt.Append(nil, d.Sequence), "timezone", quote(d.Timezone), "closedAt", d.ClosedAt.AppendJSON(nil)}
}

// closingRows lists the rows of a closing as they were.
func (a *API) closingRows(ctx context.Context, c *call) (ans *answer, err error) {
	h, err := a.findClosing(ctx, c)
	if err != nil {
		return nil, err
	}
	doc := closingDocOf(h)
	of := ofClosing(&doc)
	var items []replica.Item
	err = a.withRows(ctx, *h, func(kept *closing.Closing) error {
		for _, r := range kept.ByOrganizer() {
			it := usageItemOf(&r)
			it.Document = splice(it.Document, of...)
			items = append(items, it)
		}
		return nil
	})
	if err != nil {
		return nil, err
	}
	err = a.read(ctx, c, c.route.views, func(_ context.Context, s *replica.Snapshot) error {
		p, err := pageOf(items, c.route.fields, "day", c.values, c.key)
		ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
		return err
	})
	return ans, err
}
