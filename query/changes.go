package query

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"rollcall/eventlog"
)

const (
	// heartbeat is how often a quiet feed says that it is alive, so that proxies
	// keep it and clients see a broken one.
	heartbeat = 15 * time.Second
	// feedTimeout is how long a client may take to read what was sent.
	feedTimeout = 10 * time.Second
	// feedRows is how many changes are read from the replica at once.
	feedRows = 500
	// defaultFeedAhead is how long a replica may take to come up to where a client
	// was at another one; after that the client begins again.
	defaultFeedAhead = 10 * time.Second
	// feedIDs is how many changes of those sent together have an id each; of more,
	// the last has one. Who resumes from an earlier one gets some again.
	feedIDs = 16
	// feedShare is how often a second all feeds together are sent something: the
	// more there are, the longer each waits, and gets more at a time.
	feedShare = 4000
)

// place is where a feed is in a view.
type place struct {
	bucket   string
	revision uint64
	// table is the replica's table that the revision was read from, so that a view
	// that was loaded again in the same bucket shows; 0: it came from an id.
	table int
	// takeover proves the past of the revision; "": nothing does.
	takeover string
	// forgotten is what the replica had forgotten when the feed began at nothing:
	// deletes up to there don't concern it.
	forgotten uint64
}

// feed is one client of the change feed: where it is in each view. It reads
// the replica's tables, which hold the latest change of each key by revision,
// so a slow client costs nobody any memory and skips what was overtaken.
type feed struct {
	api   *API
	views []string
	at    map[string]place
	// ahead says since when the client is ahead of this replica, by view.
	ahead map[string]time.Time
	w     http.ResponseWriter
	rc    *http.ResponseController
	buf   []byte
	// written counts the changes in buf, and last is where the last one's id goes.
	written, last int
}

// changes streams what changes in the views.
func (a *API) changes(w http.ResponseWriter, req *http.Request, c *call) error {
	views := c.lists["views"]
	if views == nil {
		for _, t := range a.replica.tables {
			views = append(views, t.view)
		}
	}
	if err := a.replica.wait(req.Context(), views, c.minSequence(), c.wait()); err != nil {
		return err
	}
	f := &feed{api: a, views: views, at: map[string]place{}, ahead: map[string]time.Time{}, w: w, rc: http.NewResponseController(w)}
	states, _ := a.replica.current()
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		if err := f.resume(last); err != nil {
			return err
		}
	} else {
		for _, v := range views {
			f.at[v] = placeOf(states[v])
		}
	}
	h := w.Header()
	h.Set("Content-Type", "text/event-stream")
	h.Set("Cache-Control", "no-store")
	h.Set("X-Accel-Buffering", "no")
	w.WriteHeader(http.StatusOK)
	if req.Method == http.MethodHead {
		return nil
	}
	a.metrics.feeds.Inc()
	defer a.metrics.feeds.Dec()
	f.begin(states)
	f.run(req.Context(), c.closing)
	return nil
}

// run sends changes until the client, or the server, goes away.
func (f *feed) run(ctx context.Context, closing <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	f.api.feeds.open.Add(1)
	defer f.api.feeds.open.Add(-1)
	for {
		states, changed := f.api.replica.current()
		for moved := true; moved && f.behind(states); {
			var err error
			if moved, err = f.advance(ctx); err != nil {
				if ctx.Err() == nil {
					f.api.config.Logger.Warn().Err(err).Msg("change feed broke off")
				}
				return
			}
			if f.send() != nil {
				return
			}
		}
		if f.send() != nil {
			return
		}
		if !f.rest(ctx, closing) {
			return
		}
		select {
		case <-changed:
		case <-beat.C:
			f.buf = append(f.buf, ": alive\n\n"...)
		case <-closing:
			// The end of the stream still has to go out.
			_ = f.rc.SetWriteDeadline(time.Now().Add(feedTimeout))
			return
		case <-ctx.Done():
			return
		}
	}
}

// rest has many feeds take their turns: each sends once in so long that all of them
// are a bounded load. The length varies, so that they don't all wake at once.
func (f *feed) rest(ctx context.Context, closing <-chan struct{}) bool {
	pause := time.Duration(f.api.feeds.open.Load()-1) * time.Second / feedShare
	if pause <= 0 {
		return true
	}
	select {
	case <-time.After(pause/2 + rand.N(pause)):
	case <-closing: // what is left is sent before the end
	case <-ctx.Done():
		return false
	}
	return true
}

// send flushes what was gathered. A client that does not read is dropped.
func (f *feed) send() error {
	if len(f.buf) == 0 {
		return nil
	}
	if err := f.rc.SetWriteDeadline(time.Now().Add(feedTimeout)); err != nil {
		return err
	}
	if _, err := f.w.Write(f.buf); err != nil {
		return err
	}
	f.buf = f.buf[:0]
	return f.rc.Flush()
}

// behind reports whether there is something that the feed has not read.
func (f *feed) behind(states map[string]viewState) bool {
	return slices.ContainsFunc(f.views, func(view string) bool {
		s := states[view]
		return s.loaded() && f.at[view] != placeOf(s)
	})
}

// advance takes the next changes of the feed's views: those that another feed at
// the same place has read, where there is one. moved is false where there are none.
func (f *feed) advance(ctx context.Context) (moved bool, err error) {
	from := f.key()
	p, mine := f.api.feeds.part(from)
	if mine {
		f.make(ctx, from, p)
	}
	select {
	case <-p.done:
	case <-ctx.Done():
		return false, ctx.Err()
	}
	if p.err != nil {
		return false, p.err
	}
	moved = !maps.Equal(p.to, f.at)
	f.at = maps.Clone(p.to)
	f.buf = append(f.buf, p.text...)
	return moved, nil
}

// make fills a part and shows it to those who wait, whatever comes of it.
func (f *feed) make(ctx context.Context, from string, p *feedPart) {
	p.err = errors.New("changes were not read")
	defer func() { f.api.feeds.made(from, p, maps.Equal(p.to, f.at)) }()
	p.err = f.read(ctx, p)
}

// key names the feed's views, and its place in each. Parts of a place are as the
// client sent them, and quoted, so that none can pass for another.
func (f *feed) key() string {
	var b strings.Builder
	for _, v := range f.views {
		fmt.Fprintf(&b, "%s %#v,", v, f.at[v])
	}
	return b.String()
}

// read fills a part. It goes on when this feed's client leaves: others wait too.
func (f *feed) read(ctx context.Context, p *feedPart) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), answerTimeout)
	defer cancel()
	next := &feed{api: f.api, views: f.views, at: maps.Clone(f.at), ahead: f.ahead}
	for _, view := range f.views {
		if states, _ := f.api.replica.current(); !states[view].loaded() {
			continue
		}
		if _, err := next.step(ctx, view); err != nil {
			return err
		}
	}
	if next.written > feedIDs {
		next.buf = slices.Insert(next.buf, next.last, next.id()...)
	}
	p.to, p.text = next.at, next.buf
	return nil
}

// step takes up to feedRows changes of a view; more says that there are others.
func (f *feed) step(ctx context.Context, view string) (more bool, err error) {
	v := &values{}
	err = f.api.replica.read(ctx, []string{view}, v, func(ctx context.Context, s *snapshot) error {
		st := s.states[view]
		if f.waits(view, st) {
			return nil
		}
		at := f.at[view]
		if at.revision == 0 {
			at.forgotten = st.Forgotten
		}
		name, n := s.table(view), 0
		err := s.each(ctx, func(rows *sql.Rows) error {
			var key string
			var rev, seq int64
			if err := rows.Scan(&key, &rev, &seq); err != nil {
				return err
			}
			if seq == 0 {
				seq = int64(st.Loaded)
			}
			n++
			f.at[view] = place{
				bucket: st.Bucket, revision: uint64(rev), table: st.Table,
				takeover: st.Pasts.at(uint64(rev)), forgotten: at.forgotten,
			}
			f.change(view, key, eventlog.Seq(seq))
			return nil
		}, "SELECT key, rev, seq FROM "+name+" WHERE rev > ?1 UNION ALL SELECT key, rev, seq FROM "+name+"_gone WHERE rev > ?1 ORDER BY rev LIMIT ?2",
			int64(at.revision), feedRows)
		more = n == feedRows
		if err == nil && !more {
			f.at[view] = placeOf(st)
		}
		return err
	})
	return more, err
}

func placeOf(s viewState) place {
	return place{bucket: s.Bucket, revision: s.Revision, table: s.Table, takeover: s.Takeover}
}

// waits reports whether the client is ahead of this replica in a view, as one is
// that comes from another process: the replica comes up within moments. Where it
// does not, or can't tell what changed since the client's place, the client
// begins again.
func (f *feed) waits(view string, st viewState) bool {
	at := f.at[view]
	known := at.bucket == st.Bucket && (at.table == st.Table || at.table == 0)
	if known && at.revision > st.Revision {
		since, ok := f.ahead[view]
		if !ok {
			since = time.Now()
			f.ahead[view] = since
		}
		if time.Since(since) < f.api.feedAhead {
			return true
		}
		known = false
	}
	delete(f.ahead, view)
	known = known && (at.takeover == "" || at.revision == 0 || st.Pasts.hold(at.takeover, at.revision))
	if !known || at.revision < st.Forgotten && at.revision > 0 && at.forgotten < st.Forgotten {
		f.at[view] = place{bucket: st.Bucket, table: st.Table}
		f.reset(view, st.Sequence)
	}
	return false
}

// begin is the feed's first event. It carries data: clients that leave out a
// block without any would not keep its id.
func (f *feed) begin(states map[string]viewState) {
	var seq eventlog.Seq
	for i, v := range f.views {
		if s := states[v].Sequence; i == 0 || s < seq {
			seq = s
		}
	}
	f.buf = append(f.buf, "retry: 1000\nevent: start\n"...)
	f.buf = append(f.buf, f.id()...)
	f.buf = fmt.Appendf(f.buf, "data: {\"sequence\":%d}\n\n", seq)
}

func (f *feed) change(view, key string, seq eventlog.Seq) {
	f.buf = append(f.buf, "event: change\n"...)
	f.last = len(f.buf)
	if f.written++; f.written <= feedIDs {
		f.buf = append(f.buf, f.id()...)
	}
	f.buf = append(f.buf, `data: {"view":`...)
	f.buf = append(f.buf, quote(view)...)
	f.buf = append(f.buf, `,"key":`...)
	f.buf = append(f.buf, quote(key)...)
	f.buf = fmt.Appendf(f.buf, ",\"sequence\":%d}\n\n", seq)
}

// reset tells the client that what it holds of a view may hold keys that are
// gone: another generation is in force, or it was away for long.
func (f *feed) reset(view string, seq eventlog.Seq) {
	f.buf = fmt.Appendf(f.buf, "event: reset\ndata: {\"view\":%s,\"sequence\":%d}\n\n", quote(view), seq)
}

// id is the feed's place as an event id, good at every query process: revisions
// and take-overs are those of the views' buckets.
func (f *feed) id() []byte {
	parts := make([]string, 0, len(f.views))
	for _, v := range f.views {
		if at := f.at[v]; at.bucket != "" {
			parts = append(parts, strings.TrimSuffix(at.bucket+":"+strconv.FormatUint(at.revision, 10)+":"+at.takeover, ":"))
		}
	}
	return []byte("id: " + strings.Join(parts, ",") + "\n")
}

// resume reads an id. Views that it does not name start from their beginning.
func (f *feed) resume(id string) error {
	for part := range strings.SplitSeq(id, ",") {
		bucket, rest, ok := strings.Cut(part, ":")
		rev, takeover, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(rev, 10, 63)
		i := strings.LastIndex(bucket, "_g")
		if !ok || err != nil || i < 0 {
			return badRequest("Last-Event-ID is not one that this feed gave")
		}
		if view := bucket[:i]; slices.Contains(f.views, view) {
			f.at[view] = place{bucket: bucket, revision: n, takeover: takeover}
		}
	}
	return nil
}
