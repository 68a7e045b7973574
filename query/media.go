package query

import (
	"context"

	"rollcall/eventlog"
)

func (a *API) recordings(s *snapshot) *listing {
	l := s.listing(viewRecordings)
	l.id, l.orders, l.fallback = "s.recordingId", ordersOf(recordingFields()), "-startedAt"
	return l
}

func (a *API) listRecordings(ctx context.Context, c *call) (*answer, error) {
	return a.listView(ctx, c, a.recordings, func(l *listing) {
		for _, name := range []string{"status", "sessionId", "meetingId"} {
			if v := c.text[name]; v != "" {
				l.filter("s."+name+" = ?", v)
			}
		}
		if d, ok := c.durations["stuckFor"]; ok {
			l.filter("s.status NOT IN ('UPLOADED', 'ERRORED') AND s.lastEventAt <= ?", int64(eventlog.TimeOf(c.now.Add(-d))))
		}
		if d, ok := c.durations["expiresWithin"]; ok {
			l.filter("s.downloadUrl <> '' AND s.downloadUrlExpiresAt > ? AND s.downloadUrlExpiresAt <= ?",
				int64(eventlog.TimeOf(c.now)), int64(eventlog.TimeOf(c.now.Add(d))))
		}
	})
}

func (a *API) recording(ctx context.Context, c *call) (*answer, error) {
	return a.one(ctx, c, a.recordings, "recordingId", "recording")
}

func (a *API) livestreams(s *snapshot) *listing {
	l := s.listing(viewLivestreams)
	l.id, l.orders, l.fallback = "s.streamId", ordersOf(livestreamFields()), "streamId"
	return l
}

func (a *API) listLivestreams(ctx context.Context, c *call) (*answer, error) {
	return a.listView(ctx, c, a.livestreams, func(l *listing) {
		for _, name := range []string{"status", "meetingId"} {
			if v := c.text[name]; v != "" {
				l.filter("s."+name+" = ?", v)
			}
		}
	})
}

func (a *API) livestream(ctx context.Context, c *call) (*answer, error) {
	return a.one(ctx, c, a.livestreams, "streamId", "livestream")
}

// listView answers a list whose documents are as they are stored.
func (a *API) listView(ctx context.Context, c *call, from func(*snapshot) *listing, filter func(*listing)) (ans *answer, err error) {
	err = a.replica.read(ctx, c.route.views, c.values, func(ctx context.Context, s *snapshot) error {
		l := from(s)
		filter(l)
		p, err := l.page(ctx, s, c.values, c.key)
		if err != nil {
			return err
		}
		ans = &answer{page: p, sequence: s.sequence(c.route.views)}
		return nil
	})
	return ans, err
}

// one answers a single document as it is stored.
func (a *API) one(ctx context.Context, c *call, from func(*snapshot) *listing, param, what string) (ans *answer, err error) {
	err = a.replica.read(ctx, c.route.views, c.values, func(ctx context.Context, s *snapshot) error {
		l := from(s)
		l.filter(l.id+" = ?", c.text[param])
		q := reader{listing: l, by: order{expr: l.id, text: true}, snapshot: s, want: 1}
		if err := q.run(ctx, "", nil); err != nil {
			return err
		}
		if len(q.items) == 0 {
			return notFound("no %s %q", what, c.text[param])
		}
		ans = &answer{doc: q.items[0].doc, sequence: s.sequence(c.route.views)}
		return nil
	})
	return ans, err
}
