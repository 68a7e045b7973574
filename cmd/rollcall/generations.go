package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// moved describes a change of the live generation.
type moved struct {
	View       string                    `json:"view"`
	Generation int                       `json:"generation"`
	Bucket     string                    `json:"bucket"`
	State      projector.GenerationState `json:"state"`
	Before     int                       `json:"before"`
	PauseMs    float64                   `json:"pauseMs"`
	Records    uint64                    `json:"records"`
	Changed    int                       `json:"changed"`
	Carried    int                       `json:"carried"`
	Elapsed    float64                   `json:"elapsedSeconds"`
}

// movedColumns are those of moved.
var movedColumns = []string{"view", "generation", "bucket", "state", "before", "pauseMs", "records", "changed", "carried", "elapsedSeconds"}

func movedLine(a *app, form, view string, b projector.Rebuilt, as console.TableFlags) error {
	if b.AnnounceErr != nil {
		a.Logger.Warn().Err(b.AnnounceErr).Str(console.KeyView, view).Msg("live; not all changes were published on plain subjects")
	}
	m := moved{view, b.After.Number, b.After.Bucket, projector.GenerationLive, b.Before.Number, console.Round(float64(b.Pause) / float64(time.Millisecond)),
		b.Records, b.Changed, b.Carried, console.Round(b.Elapsed.Seconds())}
	switch form {
	case "json":
		return console.PrintLine(a.Stdout, m)
	case "csv":
		g := &console.Grid{}
		g.Add(m.View, m.Generation, m.Bucket, string(m.State), m.Before, m.PauseMs, m.Records, m.Changed, m.Carried, m.Elapsed)
		return g.CSVRows(a.Stdout)
	}
	_, err := io.WriteString(a.Stdout, as.Line(a.Stdout, "", fmt.Sprintf("%s: generation %d is live, %d was before; cut over in %.1f ms, %d records folded, %d keys changed; `rollcall rollback %s` goes back",
		view, m.Generation, m.Before, m.PauseMs, m.Records, m.Changed, view)))
	return err
}

// viewAction is a command that does one thing to a view's generations.
type viewAction struct {
	attach.OperatorFlags
	console.OutputFlag
	View string `arg:"" help:"View."`
}

func (c *viewAction) move(a *app, do func(ctx context.Context, r projector.Switch, view, version string) (projector.Rebuilt, error)) error {
	fold, err := foldOf(c.View)
	if err != nil {
		return err
	}
	return c.WithStore(a.IO, func(_ jetstream.JetStream, store *viewstore.Store) error {
		b, err := do(a.Ctx, store, fold.Name(), fold.Version())
		if err != nil {
			return err
		}
		if c.Output == "csv" {
			if err := (&console.Grid{Columns: movedColumns}).CSV(a.Stdout); err != nil {
				return err
			}
		}
		return movedLine(a, c.Output, c.View, b, c.TableFlags)
	})
}

func (c *viewAction) remove(a *app, do func(ctx context.Context, r projector.Remover, view, version string) ([]projector.Generation, error)) error {
	fold, err := foldOf(c.View)
	if err != nil {
		return err
	}
	return c.WithStore(a.IO, func(_ jetstream.JetStream, store *viewstore.Store) error {
		gone, err := do(a.Ctx, store, fold.Name(), fold.Version())
		if err != nil {
			return err
		}
		return c.Print(a.Stdout, generationGrid(gone))
	})
}

func generationGrid(gone []projector.Generation) *console.Grid {
	slices.SortFunc(gone, func(x, y projector.Generation) int { return x.Number - y.Number })
	g := &console.Grid{Columns: []string{"view", "generation", "bucket", "state", "version"}}
	for _, x := range gone {
		g.Add(x.View, x.Number, x.Bucket, string(x.State), x.Version)
	}
	return g
}

// promoteCmd is `rollcall promote`.
type promoteCmd struct {
	viewAction
	forceFlag
}

// forceFlag lets readers step back.
type forceFlag struct {
	Force bool `help:"Also where that generation is behind the live one: readers step back until a projector of its version has caught up."`
}

// Help is the command's example.
func (promoteCmd) Help() string {
	return "Makes the generation live that a rebuild with --hold has made ready.\n\nExample:\n  rollcall promote sessions"
}

// Run promotes.
func (c *promoteCmd) Run(a *app) error {
	if c.Force {
		return c.move(a, projector.ForcePromote)
	}
	return c.move(a, projector.Promote)
}

// rollbackCmd is `rollcall rollback`.
type rollbackCmd struct {
	viewAction
	forceFlag
}

// Help is the command's example.
func (rollbackCmd) Help() string {
	return "Makes the previous generation live again. It has followed the log all the time.\n\nExample:\n  rollcall rollback sessions"
}

// Run rolls back.
func (c *rollbackCmd) Run(a *app) error {
	if c.Force {
		return c.move(a, projector.ForceRollback)
	}
	return c.move(a, projector.Rollback)
}

// dropCmd is `rollcall drop`.
type dropCmd struct{ viewAction }

// Help is the command's example.
func (dropCmd) Help() string {
	return "Removes generations of a view that were live before, or have failed. There is no way back to them.\n\nExample:\n  rollcall drop sessions"
}

// Run drops.
func (c *dropCmd) Run(a *app) error { return c.remove(a, projector.Drop) }

// abortCmd is `rollcall abort`.
type abortCmd struct{ viewAction }

// Help is the command's example.
func (abortCmd) Help() string {
	return "Removes the generation that a rebuild is making or has made ready; the rebuild, where it runs, ends.\n\nExample:\n  rollcall abort sessions"
}

// Run aborts.
func (c *abortCmd) Run(a *app) error { return c.remove(a, projector.Abort) }
