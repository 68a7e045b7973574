package query

import (
	"context"

	"rollcall/query/replica"
)

// listView answers a view's list, its documents as they are stored.
func (a *API) listView(v *view) answerer {
	return func(ctx context.Context, c *call) (ans *answer, err error) {
		err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
			l := listOf(s, v)
			narrow(l, v.filters, s, c)
			p, err := readPage(ctx, l, c.values, c.key)
			if err != nil {
				return err
			}
			ans = &answer{page: p, sequence: s.Sequence(c.route.views)}
			return nil
		})
		return ans, err
	}
}

// itemOf answers a single document of a view as it is stored.
func (a *API) itemOf(v *view) answerer {
	return func(ctx context.Context, c *call) (ans *answer, err error) {
		err = a.read(ctx, c, c.route.views, func(ctx context.Context, s *replica.Snapshot) error {
			l := listOf(s, v)
			l.Filter(l.ID+" = ?", c.text[v.id])
			it, ok, err := l.One(ctx)
			if err != nil {
				return err
			}
			if !ok {
				return notFound("no %s %q", v.noun, c.text[v.id])
			}
			ans = &answer{doc: it.Document, sequence: s.Sequence(c.route.views)}
			return nil
		})
		return ans, err
	}
}
