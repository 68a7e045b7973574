package query

import (
	"context"
	"time"

	"github.com/go-json-experiment/json"

	"rollcall/eventlog"
	"rollcall/query/replica"
)

// liveWithin is how old the oldest record not folded yet may be in a projection
// that is called live.
const liveWithin = 5 * time.Second

// projection is the state of one projection, from its stored checkpoint.
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

// projections says how far each projection is. It reports what is stored, so it
// holds wherever the projectors run: "live", "catching-up", or "absent" where none
// has stored anything.
func (a *API) projections(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitAll(ctx, c)
	if err != nil {
		return nil, err
	}
	states, _ := a.replica.Progress()
	items := []replica.Item{}
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
		items = append(items, computed(view, doc))
	}
	pg, err := pageOf(items, projectionFields(), "name", c.values, c.key)
	if err != nil {
		return nil, err
	}
	return &answer{page: pg, sequence: least}, nil
}

// projection describes a view by its stored checkpoint. The lag in seconds is the
// age of the first record that the view lacks, which is read from the log.
func (a *API) projection(ctx context.Context, c *call, view string, s replica.Progress, head eventlog.Seq) (projection, error) {
	p := projection{Name: view, State: "absent", Sequence: s.Sequence, HeadSequence: max(head, s.Sequence), Parked: s.Parked}
	p.Lag = uint64(p.HeadSequence - p.Sequence)
	if p.Lag > 0 {
		next, err := a.log.Next(ctx, s.Sequence, head)
		if err != nil {
			return p, err
		}
		if !next.StoredAt.IsZero() {
			p.LagSeconds = float64(eventlog.TimeOf(c.now).Sub(eventlog.TimeOf(next.StoredAt))) / 1e6
		}
		p.LagSeconds = max(0, p.LagSeconds)
	}
	if !s.Loaded() {
		return p, nil
	}
	p.Version, p.Bucket = &s.Version, &s.Bucket
	p.State = "live"
	if p.LagSeconds > liveWithin.Seconds() {
		p.State = "catching-up"
	}
	return p, nil
}

// waitAll returns how far the log is, once it and all views hold the record
// minSequence.
func (a *API) waitAll(ctx context.Context, c *call) (eventlog.Head, error) {
	head, err := a.waitHead(ctx, c)
	if err != nil || c.minSequence() == 0 {
		return head, err
	}
	return head, a.replica.Wait(ctx, c.need(a.viewNames()))
}

// pipeline answers what the processes report. The numbers are of now; with
// minSequence they come once the views hold that record.
func (a *API) pipeline(ctx context.Context, c *call) (*answer, error) {
	head, err := a.waitAll(ctx, c)
	if err != nil {
		return nil, err
	}
	doc, err := json.Marshal(a.config.Pipeline.Overview())
	if err != nil {
		return nil, err
	}
	return &answer{doc: doc, sequence: head.Last}, nil
}
