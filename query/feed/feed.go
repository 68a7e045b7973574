package feed

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/rs/zerolog"

	"rollcall/eventlog"
	"rollcall/query/replica"
)

const (
	// heartbeat is how often a quiet feed says that it is alive, so that proxies
	// keep it and clients see a broken one.
	heartbeat = 15 * time.Second
	// sendTimeout is how long a client may take to read what was sent.
	sendTimeout = 10 * time.Second
	// maxRows is how many changes are read from the replica at once.
	maxRows = 500
	// defaultAhead is Feeds.Ahead.
	defaultAhead = 10 * time.Second
	// readTimeout bounds one read of changes, reloadWait its wait for a view that is
	// loaded again.
	readTimeout = 15 * time.Second
	reloadWait  = 2 * time.Second
	// maxIDs is how many changes of those sent together have an id each; if there
	// are more, only the last has one. A client that resumes from an earlier one
	// gets some again.
	maxIDs = 16
	// sendRate is how often a second all feeds together are sent something: the
	// more there are, the longer each waits, and gets more at a time.
	sendRate = 4000
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

// client is one reader of the change feed: where it is in each view. It reads
// the replica's tables, which hold the latest change of each key by revision,
// so a slow client costs nobody any memory and skips what was overtaken.
type client struct {
	feeds *Feeds
	views []string
	at    map[string]place
	// ahead says since when the place is ahead of this replica, by view.
	ahead map[string]time.Time
	w     http.ResponseWriter
	rc    *http.ResponseController
	buf   []byte
	// written counts the changes in buf, and last is where the last one's id goes.
	written, last int
}

// Feeds are the change feeds of one process. Its methods may be used from several
// goroutines.
type Feeds struct {
	// Ahead is how long a replica may take to reach the place that a client had at
	// another one; after that the client begins again. New sets it to 10 s.
	Ahead time.Duration

	replica *replica.Replica
	log     zerolog.Logger
	open    atomic.Int64
	shared  shared
}

// New makes the feeds of a replica.
func New(r *replica.Replica, log zerolog.Logger) *Feeds {
	return &Feeds{Ahead: defaultAhead, replica: r, log: log}
}

// Open is how many feeds are open.
func (f *Feeds) Open() int { return int(f.open.Load()) }

// ErrPlace says that the client's Last-Event-ID is none of a feed's.
var ErrPlace = errors.New("Last-Event-ID is not one that this feed gave")

// Serve streams what changes in views, which must be loaded, until the client goes
// away or closing is closed. Its error, ErrPlace, comes before anything is sent.
func (f *Feeds) Serve(w http.ResponseWriter, req *http.Request, views []string, closing <-chan struct{}) error {
	c := &client{feeds: f, views: views, at: map[string]place{}, ahead: map[string]time.Time{}, w: w, rc: http.NewResponseController(w)}
	states, _ := f.replica.Progress()
	if last := req.Header.Get("Last-Event-ID"); last != "" {
		if err := c.resume(last); err != nil {
			return err
		}
	} else {
		for _, v := range views {
			c.at[v] = placeOf(states[v])
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
	c.begin(states)
	c.run(req.Context(), closing)
	return nil
}

// run sends changes until the client, or the server, goes away.
func (f *client) run(ctx context.Context, closing <-chan struct{}) {
	beat := time.NewTicker(heartbeat)
	defer beat.Stop()
	f.feeds.open.Add(1)
	defer f.feeds.open.Add(-1)
	for {
		states, changed := f.feeds.replica.Progress()
		for moved := true; moved && f.hasMore(states); {
			var err error
			if moved, err = f.advance(ctx); err != nil {
				if ctx.Err() == nil {
					f.feeds.log.Warn().Err(err).Msg("change feed broke off")
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
			_ = f.rc.SetWriteDeadline(time.Now().Add(sendTimeout))
			return
		case <-ctx.Done():
			return
		}
	}
}

// rest makes a feed wait between two sends, the longer the more feeds there are, so
// that all of them are a bounded load. The length varies, so that they don't all
// wake at once.
func (f *client) rest(ctx context.Context, closing <-chan struct{}) bool {
	pause := time.Duration(f.feeds.open.Load()-1) * time.Second / sendRate
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

// send sends what was gathered. A client that does not read is dropped.
func (f *client) send() error {
	if len(f.buf) == 0 {
		return nil
	}
	if err := f.rc.SetWriteDeadline(time.Now().Add(sendTimeout)); err != nil {
		return err
	}
	if _, err := f.w.Write(f.buf); err != nil {
		return err
	}
	f.buf = f.buf[:0]
	return f.rc.Flush()
}

// hasMore reports whether there is something that the feed has not read.
func (f *client) hasMore(states map[string]replica.Progress) bool {
	return slices.ContainsFunc(f.views, func(view string) bool {
		s := states[view]
		return s.Loaded() && f.at[view] != placeOf(s)
	})
}

// advance takes the next changes of the feed's views: those that another feed at
// the same place has read, where there is one. moved is false where there are none.
func (f *client) advance(ctx context.Context) (moved bool, err error) {
	from := f.key()
	p, mine := f.feeds.shared.part(from)
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
func (f *client) make(ctx context.Context, from string, p *part) {
	p.err = errors.New("changes were not read")
	defer func() { f.feeds.shared.made(from, p, maps.Equal(p.to, f.at)) }()
	p.err = f.read(ctx, p)
}

// key names the feed's views, and its place in each. Parts of a place are as the
// client sent them, and quoted, so that none can pass for another.
func (f *client) key() string {
	var b strings.Builder
	for _, v := range f.views {
		fmt.Fprintf(&b, "%s %#v,", v, f.at[v])
	}
	return b.String()
}

// read fills a part. It goes on when this feed's client leaves: others wait too.
func (f *client) read(ctx context.Context, p *part) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), readTimeout)
	defer cancel()
	next := &client{feeds: f.feeds, views: f.views, at: maps.Clone(f.at), ahead: f.ahead}
	for _, view := range f.views {
		if states, _ := f.feeds.replica.Progress(); !states[view].Loaded() {
			continue
		}
		if err := next.step(ctx, view); err != nil {
			return err
		}
	}
	if next.written > maxIDs {
		next.buf = slices.Insert(next.buf, next.last, next.id()...)
	}
	p.to, p.text = next.at, next.buf
	return nil
}

// step takes up to maxRows changes of a view.
func (f *client) step(ctx context.Context, view string) error {
	need := replica.Need{Views: []string{view}, Wait: reloadWait}
	return f.feeds.replica.Read(ctx, need, func(ctx context.Context, s *replica.Snapshot) error {
		st := s.Progress(view)
		if f.waits(view, st) {
			return nil
		}
		at := f.at[view]
		if at.revision == 0 {
			at.forgotten = st.Forgotten
		}
		more, err := s.Changes(ctx, view, at.revision, maxRows, func(key string, revision uint64, sequence eventlog.Seq) {
			f.at[view] = place{
				bucket: st.Bucket, revision: revision, table: st.Table,
				takeover: st.Takeovers.At(revision), forgotten: at.forgotten,
			}
			f.change(view, key, sequence)
		})
		if err == nil && !more {
			f.at[view] = placeOf(st)
		}
		return err
	})
}

func placeOf(s replica.Progress) place {
	return place{bucket: s.Bucket, revision: s.Revision, table: s.Table, takeover: s.Takeover}
}

// waits reports whether the client is ahead of this replica in a view, as one may be
// that comes from another process: the replica catches up within moments. Where it
// does not, or does not know what changed since the client's place, the client
// begins again.
func (f *client) waits(view string, st replica.Progress) bool {
	at := f.at[view]
	known := at.bucket == st.Bucket && (at.table == st.Table || at.table == 0)
	if known && at.revision > st.Revision {
		since, ok := f.ahead[view]
		if !ok {
			since = time.Now()
			f.ahead[view] = since
		}
		if time.Since(since) < f.feeds.Ahead {
			return true
		}
		known = false
	}
	delete(f.ahead, view)
	known = known && (at.takeover == "" || at.revision == 0 || st.Takeovers.Holds(at.takeover, at.revision))
	if !known || at.revision < st.Forgotten && at.revision > 0 && at.forgotten < st.Forgotten {
		f.at[view] = place{bucket: st.Bucket, table: st.Table}
		f.reset(view, st.Sequence)
	}
	return false
}

// begin is the feed's first event. It carries data: clients that leave out a
// block without any would not keep its id.
func (f *client) begin(states map[string]replica.Progress) {
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

func (f *client) change(view, key string, seq eventlog.Seq) {
	f.buf = append(f.buf, "event: change\n"...)
	f.last = len(f.buf)
	if f.written++; f.written <= maxIDs {
		f.buf = append(f.buf, f.id()...)
	}
	f.buf = append(f.buf, `data: {"view":`...)
	f.buf = eventlog.AppendText(f.buf, view)
	f.buf = append(f.buf, `,"key":`...)
	f.buf = eventlog.AppendText(f.buf, key)
	f.buf = fmt.Appendf(f.buf, ",\"sequence\":%d}\n\n", seq)
}

// reset says that what the client has of a view may hold keys that are deleted:
// another generation is current, or the client was away for long.
func (f *client) reset(view string, seq eventlog.Seq) {
	f.buf = fmt.Appendf(f.buf, "event: reset\ndata: {\"view\":%s,\"sequence\":%d}\n\n", eventlog.AppendText(nil, view), seq)
}

// id is the feed's place as an event id, good at every query process: revisions
// and take-overs are those of the views' buckets.
func (f *client) id() []byte {
	parts := make([]string, 0, len(f.views))
	for _, v := range f.views {
		if at := f.at[v]; at.bucket != "" {
			parts = append(parts, strings.TrimSuffix(at.bucket+":"+strconv.FormatUint(at.revision, 10)+":"+at.takeover, ":"))
		}
	}
	return []byte("id: " + strings.Join(parts, ",") + "\n")
}

// resume reads an id. Views that it does not name start from their beginning.
func (f *client) resume(id string) error {
	for part := range strings.SplitSeq(id, ",") {
		bucket, rest, ok := strings.Cut(part, ":")
		rev, takeover, _ := strings.Cut(rest, ":")
		n, err := strconv.ParseUint(rev, 10, 63)
		i := strings.LastIndex(bucket, "_g")
		if !ok || err != nil || i < 0 {
			return ErrPlace
		}
		if view := bucket[:i]; slices.Contains(f.views, view) {
			f.at[view] = place{bucket: bucket, revision: n, takeover: takeover}
		}
	}
	return nil
}
