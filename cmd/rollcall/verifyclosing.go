package main

import (
	"errors"
	"fmt"
	"io"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/query"
	"rollcall/query/closing"
)

// verifiedClosing is what a closing's verification found.
type verifiedClosing struct {
	ID          string            `json:"id"`
	Sequence    eventlog.Seq      `json:"sequence"`
	Sessions    int               `json:"sessions"`
	Differences int               `json:"differences"`
	Changes     []verifiedSession `json:"changes"`
}

// verifiedSession is what differs of a session: before is what the closing says, after
// what the log says.
type verifiedSession struct {
	SessionID   string               `json:"sessionId"`
	Differences []closing.Difference `json:"differences"`
}

// closings verifies closings against the log.
func (c *verifyCmd) closings(a *app, l *attach.Attached, maxBytes int64) error {
	folds := map[string]eventlog.Fold{}
	for _, f := range allFolds() {
		folds[f.Name()] = f
	}
	store := closing.NewStore(l.JetStream)
	var results []verifiedClosing
	wrong := 0
	for _, id := range c.Closing {
		kept, err := store.Load(a.Ctx, id)
		if errors.Is(err, closing.ErrNotFound) {
			return console.NotFoundf("%v; GET /v1/closings lists them", err)
		}
		if err != nil {
			return err
		}
		zone, err := query.ParseZone(kept.Timezone)
		if err != nil {
			return fmt.Errorf("verify closing %s: %w", id, err)
		}
		changes, err := closing.Verify(a.Ctx, l.Log, folds, kept, zone, maxBytes)
		if err != nil {
			return a.Left(fmt.Errorf("verify closing %s: %w", id, err), "closing %s was not judged, and nothing was changed; call it again", id)
		}
		for view, version := range kept.Versions {
			if now := folds[view].Version(); now != version && len(changes) > 0 {
				fmt.Fprintf(a.Stderr, "%s was made with version %s of %s, this program has version %s: that may be why it differs\n", id, version, view, now)
			}
		}
		v := verifiedClosing{ID: id, Sequence: kept.Sequence, Sessions: kept.Sessions, Changes: []verifiedSession{}}
		for _, ch := range changes {
			v.Differences += len(ch.Differences)
			v.Changes = append(v.Changes, verifiedSession{ch.SessionID, ch.Differences})
		}
		wrong += v.Differences
		results = append(results, v)
	}
	if err := c.showClosings(a, results); err != nil {
		return err
	}
	if wrong > 0 {
		return console.Differencef("%d numbers of closings differ from what the log says; a closing is never changed: `rollcall close --again` makes another", wrong)
	}
	return nil
}

func (c *verifyCmd) showClosings(a *app, results []verifiedClosing) error {
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, results)
	}
	g := &console.Grid{Columns: []string{"closing", "sequence", "sessions", "differences"}, Whole: []string{"closing", "differences"}}
	for _, v := range results {
		g.Add(v.ID, v.Sequence, v.Sessions, v.Differences)
	}
	if err := c.Print(a.Stdout, g); err != nil || c.Output == "csv" {
		return err
	}
	said := ""
	for _, v := range results {
		for _, s := range v.Changes {
			for _, d := range s.Differences {
				before, _ := d.Before.MarshalJSON()
				after, _ := d.After.MarshalJSON()
				said += "\n" + c.Line(a.Stdout, "", fmt.Sprintf("%s session %s on %s: %s closing %s, log %s", v.ID, console.Printable(s.SessionID), d.Day, d.Member, before, after))
			}
		}
	}
	_, err := io.WriteString(a.Stdout, said)
	return err
}
