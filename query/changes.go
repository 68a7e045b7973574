package query

import (
	"context"
	"database/sql"
	"fmt"
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
)

// place is where a feed is in a view.
type place struct {
	bucket   string
	revision uint64
}

// feed is one client of the change feed: where it is in each view. It reads
// the replica's tables, which hold the latest change of each key by revision,
// so a slow client costs nobody any memory and skips what was overtaken.
type feed struct {
	api   *API
	views []string
	at    map[string]place
	w     http.ResponseWriter
	rc    *http.ResponseController
	buf   []byte
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
	f := &feed{api: a, views: views, at: map[string]place{}, w: w, rc: http.NewResponseController(w)}
	states, _ := a.replica.current()
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		if err := f.resume(last); err != nil {
			return err
		}
	} else {
		for _, v := range views {
			f.at[v] = place{bucket: states[v].Bucket, revision: states[v].Revision}
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
	f.buf = append(f.buf, "retry: 1000\n"...)
	f.buf = append(f.buf, f.id()...)
	f.run(req.Context(), c.closing)
	return nil
}

// run sends changes until the client, or the server, goes away.
func (f *feed) run(ctx context.Context, closing <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	for {
		states, changed := f.api.replica.current()
		if err := f.gather(ctx, states); err != nil {
			if ctx.Err() == nil {
				f.api.config.Logger.Warn().Err(err).Msg("change feed broke off")
			}
			return
		}
		if f.send() != nil {
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

// gather reads and sends the changes behind the feed's positions.
func (f *feed) gather(ctx context.Context, states map[string]viewState) error {
	for _, view := range f.views {
		for s := states[view]; s.loaded() && f.at[view] != (place{bucket: s.Bucket, revision: s.Revision}); {
			more, err := f.step(ctx, view)
			if err != nil {
				return err
			}
			if !more {
				break
			}
			if err := f.send(); err != nil {
				return err
			}
		}
	}
	return nil
}

// step takes up to feedRows changes of a view; more says that there are others.
func (f *feed) step(ctx context.Context, view string) (more bool, err error) {
	v := &values{}
	err = f.api.replica.read(ctx, []string{view}, v, func(ctx context.Context, s *snapshot) error {
		st, at := s.states[view], f.at[view]
		if at.bucket != st.Bucket || at.revision > st.Revision {
			f.at[view] = place{bucket: st.Bucket}
			f.reset(view, st.Sequence)
			at = f.at[view]
		} else if at.revision < st.Forgotten && at.revision > 0 {
			f.reset(view, st.Sequence)
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
			f.at[view] = place{bucket: st.Bucket, revision: uint64(rev)}
			f.change(view, key, eventlog.Seq(seq))
			return nil
		}, "SELECT key, rev, seq FROM "+name+" WHERE rev > ?1 UNION ALL SELECT key, rev, seq FROM "+name+"_gone WHERE rev > ?1 ORDER BY rev LIMIT ?2",
			int64(at.revision), feedRows)
		more = n == feedRows
		if err == nil && !more {
			f.at[view] = place{bucket: st.Bucket, revision: st.Revision}
		}
		return err
	})
	return more, err
}

func (f *feed) change(view, key string, seq eventlog.Seq) {
	f.buf = append(f.buf, "event: change\n"...)
	f.buf = append(f.buf, f.id()...)
	f.buf = f.buf[:len(f.buf)-1] // the blank line comes after the data
	f.buf = append(f.buf, `data: {"view":`...)
	f.buf = append(f.buf, quote(view)...)
	f.buf = append(f.buf, `,"key":`...)
	f.buf = append(f.buf, quote(key)...)
	f.buf = fmt.Appendf(f.buf, ",\"sequence\":%d}\n\n", seq)
}

// reset tells the client that what it holds of a view may hold keys that are
// gone: another generation is in force, or it was away for long.
func (f *feed) reset(view string, seq eventlog.Seq) {
	f.buf = fmt.Appendf(f.buf, "event: reset\ndata: {\"view\":%q,\"sequence\":%d}\n\n", view, seq)
}

// id is the feed's place as an event id, good at every query process: revisions
// are those of the views' buckets.
func (f *feed) id() []byte {
	parts := make([]string, 0, len(f.views))
	for _, v := range f.views {
		if at := f.at[v]; at.bucket != "" {
			parts = append(parts, at.bucket+":"+strconv.FormatUint(at.revision, 10))
		}
	}
	return []byte("id: " + strings.Join(parts, ",") + "\n\n")
}

// resume reads an id. Views that it does not name start from their beginning.
func (f *feed) resume(id string) error {
	for part := range strings.SplitSeq(id, ",") {
		bucket, rev, ok := strings.Cut(part, ":")
		n, err := strconv.ParseUint(rev, 10, 63)
		i := strings.LastIndex(bucket, "_g")
		if !ok || err != nil || i < 0 {
			return badRequest("Last-Event-ID is not one that this feed gave")
		}
		if view := bucket[:i]; slices.Contains(f.views, view) {
			f.at[view] = place{bucket: bucket, revision: n}
		}
	}
	return nil
}
