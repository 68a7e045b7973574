package query_test

import (
	"context"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"rollcall/query"
	"rollcall/query/closing"
)

// TestClosingRows: a closing's rows are a list, as they were, and a file of them says
// the sequence, the time zone and when it was made.
func TestClosingRows(t *testing.T) {
	t.Parallel()
	w := newWorld(t)
	w.post(started("s1", "m1", "Algebra", 0))
	w.post(left("s1", "m1", "p1", "ann", 0, 600))
	w.post(started("s2", "m1", "Biology", 60*60*24))
	w.post(left("s2", "m1", "p1", "ann", 60*60*24, 60*60*24+300))
	kept := w.close("2026-03")
	w.post(left("s2", "m1", "p1", "ann", 60*60*24, 60*60*24+900))
	const path = "/v1/closings/2026-03.UTC/rows"
	l := w.items(path)
	if got := l.column("participantSeconds"); got != "600,300" || l.column("day") != "2026-03-02,2026-03-03" || l.Items[0]["sequence"] != float64(kept.Sequence) || l.Items[0]["timezone"] != "UTC" {
		t.Errorf("GET %s = %v; want 600 and 300 seconds of two days as closed, at record %d in UTC", path, l.Items, kept.Sequence)
	}
	a := w.get(path + "?format=csv")
	head, row, _ := strings.Cut(string(a.body), "\r\n")
	if want := fmt.Sprintf(",%d,UTC,2026-03-02T09:00:00Z\r\n", kept.Sequence); !strings.HasSuffix(head, ",revisedAt,sequence,timezone,closedAt") || strings.Count(row, want) != 2 {
		t.Errorf("GET %s?format=csv = %s; want two lines that end in %q", path, a.body, want)
	}
	if a := w.get("/v1/closings/2026-04.UTC/rows"); a.status != http.StatusNotFound {
		t.Errorf("rows of a month that is not closed = %d; want 404", a.status)
	}
	if first := w.items(path + "?limit=1"); first.NextCursor == nil || w.items(path+"?limit=1&cursor="+*first.NextCursor).column("participantSeconds") != "300" {
		t.Errorf("page of one row = %v; want another after it, of 300 seconds", first)
	}
}

// countedClosings count how often a closing's rows are read.
type countedClosings struct {
	query.Closings
	reads *atomic.Int32
}

// LoadRows counts.
func (c countedClosings) LoadRows(ctx context.Context, h closing.Head) (*closing.Closing, error) {
	c.reads.Add(1)
	return c.Closings.LoadRows(ctx, h)
}

// TestClosingRowsReadOnce: the rows of a closing are read once for all pages of its lists,
// and those of another closing when that is asked for.
func TestClosingRowsReadOnce(t *testing.T) {
	t.Parallel()
	var reads atomic.Int32
	w := newWorld(t, func(c *query.Config) { c.Closings = countedClosings{c.Closings, &reads} })
	for i := range 3 {
		w.post(started(fmt.Sprint("s", i), "m1", "Algebra", i*60*60*24))
	}
	id := w.close("2026-03").ID
	again := w.close("2026-03").ID
	path := "/v1/closings/" + id + "/rows?limit=1"
	if got := len(w.walk(path)); got != 3 || reads.Load() != 1 {
		t.Errorf("%d rows on pages of one were read %d times; want 3, read once", got, reads.Load())
	}
	w.get("/v1/closings/" + id + "/changes")
	w.get("/v1/closings/" + again + "/rows")
	if got := reads.Load(); got != 2 {
		t.Errorf("rows of two closings were read %d times; want 2", got)
	}
}

// heldClosings are closings whose rows are read only after a word.
type heldClosings struct {
	query.Closings
	reading chan string
	word    chan struct{}
}

// LoadRows says that it reads, and waits.
func (c heldClosings) LoadRows(ctx context.Context, h closing.Head) (*closing.Closing, error) {
	c.reading <- h.ID
	select {
	case <-c.word:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	return c.Closings.LoadRows(ctx, h)
}

// TestClosingRowsOneAtATime: however many ask, the rows of one closing are read at a
// time. Who waits for a record does not keep others from theirs.
func TestClosingRowsOneAtATime(t *testing.T) {
	t.Parallel()
	held := heldClosings{reading: make(chan string, 100), word: make(chan struct{})}
	w := newWorld(t, func(c *query.Config) { held.Closings = c.Closings; c.Closings = held })
	w.post(started("s1", "m1", "Algebra", 0))
	w.post(left("s1", "m1", "p1", "ann", 0, 600))
	w.close("2026-02")
	id := w.close("2026-03").ID
	first := make(chan int)
	go func() { first <- w.get("/v1/closings/" + id).status }()
	<-held.reading
	for _, path := range []string{"/v1/closings", "/v1/closings/" + id, "/v1/closings/" + id + "/rows", "/v1/closings/" + id + "/rows?minSequence=1000&wait=30s"} {
		ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
		req, err := http.NewRequestWithContext(ctx, http.MethodGet, w.server.URL+path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
			t.Errorf("GET %s while rows are read = %d; want none yet", path, res.StatusCode)
		}
		cancel()
	}
	if n := len(held.reading); n > 0 {
		t.Errorf("rows were read %d times more while one closing's were; want none", n)
	}
	close(held.word)
	if status := <-first; status != http.StatusOK {
		t.Errorf("the first = %d; want 200", status)
	}
	if l := w.items("/v1/closings"); len(l.Items) != 2 || l.Items[0]["changed"] != 0.0 || l.Items[1]["changed"] != 0.0 {
		t.Errorf("closings = %v; want two that nothing has changed", l.Items)
	}
}
