package query

import "context"

// listView answers a view's list, its documents as they are stored.
func (a *API) listView(v *view) answerer {
	return func(ctx context.Context, c *call) (ans *answer, err error) {
		err = a.replica.read(ctx, c.route.views, c.values, func(ctx context.Context, s *snapshot) error {
			l := s.listing(v)
			l.narrow(v.filters, s, c)
			p, err := l.page(ctx, s, c.values, c.key)
			if err != nil {
				return err
			}
			ans = &answer{page: p, sequence: s.sequence(c.route.views)}
			return nil
		})
		return ans, err
	}
}

// itemOf answers a single document of a view as it is stored.
func (a *API) itemOf(v *view) answerer {
	return func(ctx context.Context, c *call) (ans *answer, err error) {
		err = a.replica.read(ctx, c.route.views, c.values, func(ctx context.Context, s *snapshot) error {
			l := s.listing(v)
			l.filter(l.id+" = ?", c.text[v.id])
			q := reader{listing: l, by: order{expr: l.id, text: true}, snapshot: s, want: 1}
			if err := q.run(ctx, "", nil); err != nil {
				return err
			}
			if len(q.items) == 0 {
				return notFound("no %s %q", v.noun, c.text[v.id])
			}
			ans = &answer{doc: q.items[0].doc, sequence: s.sequence(c.route.views)}
			return nil
		})
		return ans, err
	}
}
