package query

import (
	"context"
	"fmt"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
)

// liveWithin is how old the oldest record not folded yet may be in a projection
// that is called live.
const liveWithin = 5 * time.Second

// projection is the state of one projection, as its stored checkpoint tells it.
type projection struct {
	Name         string       `json:"name"`
	Version      *string      `json:"version"`
	State        string       `json:"state"`
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	Lag          uint64       `json:"lag"`
	LagSeconds   float64      `json:"lagSeconds"`
	Parked       int          `json:"parked"`
	Bucket       *string      `json:"bucket"`
}

// projections says how far each projection is behind the log. It tells what is
// stored, so it holds wherever the projectors run: "live", "catching-up", or
// "absent" where none has stored anything.
func (a *API) projections(ctx context.Context, c *call) (*answer, error) {
	if err := a.replica.wait(ctx, nil, 0, 0); err != nil {
		return nil, err
	}
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.minSequence() > 0 {
		if err := a.replica.wait(ctx, a.viewNames(), c.minSequence(), c.wait()); err != nil {
			return nil, err
		}
	}
	states, _ := a.replica.current()
	items := []item{}
	var least eventlog.Seq
	for i, view := range a.viewNames() {
		p, err := a.projection(ctx, c, view, states[view], head.Last)
		if err != nil {
			return nil, err
		}
		doc, err := json.Marshal(p)
		if err != nil {
			return nil, err
		}
		if i == 0 || p.Sequence < least {
			least = p.Sequence
		}
		items = append(items, item{id: view, doc: doc})
	}
	pg, err := pageOf(items, projectionFields(), "name", c.values, c.key)
	if err != nil {
		return nil, err
	}
	return &answer{page: pg, sequence: least}, nil
}

func (a *API) projection(ctx context.Context, c *call, view string, s viewState, head eventlog.Seq) (projection, error) {
	p := projection{Name: view, State: "absent", Sequence: s.Sequence, HeadSequence: max(head, s.Sequence), Parked: s.Parked}
	p.Lag = uint64(p.HeadSequence - p.Sequence)
	if p.Lag > 0 {
		next, err := a.nextRecord(ctx, s.Sequence, head)
		if err != nil {
			return p, err
		}
		if !next.StoredAt.IsZero() {
			p.LagSeconds = float64(eventlog.TimeOf(c.now).Sub(eventlog.TimeOf(next.StoredAt))) / 1e6
		}
		p.LagSeconds = max(0, p.LagSeconds)
	}
	if !s.loaded() {
		return p, nil
	}
	p.Version, p.Bucket = &s.Version, &s.Bucket
	p.State = "live"
	if p.LagSeconds > liveWithin.Seconds() {
		p.State = "catching-up"
	}
	return p, nil
}

// nextRecord is the first record behind a sequence: the oldest that waits.
func (a *API) nextRecord(ctx context.Context, after, head eventlog.Seq) (eventlog.Record, error) {
	if r, err := a.log.Record(ctx, after+1); err == nil {
		return r, nil
	}
	// It may have been removed by the log's retention.
	h, err := a.log.Head(ctx)
	if err != nil {
		return eventlog.Record{}, fmt.Errorf("read log: %w", err)
	}
	if h.First > after+1 && h.First <= head {
		if r, err := a.log.Record(ctx, h.First); err == nil {
			return r, nil
		}
	}
	return eventlog.Record{}, nil
}

// pipeline tells what the processes tell of themselves. The numbers are of now;
// with minSequence they come once the views hold that record.
func (a *API) pipeline(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil {
		return nil, err
	}
	if c.minSequence() > 0 {
		if err := a.replica.wait(ctx, a.viewNames(), c.minSequence(), c.wait()); err != nil {
			return nil, err
		}
	}
	doc, err := json.Marshal(a.config.Pipeline.State())
	if err != nil {
		return nil, err
	}
	return &answer{doc: doc, sequence: head.Last}, nil
}
