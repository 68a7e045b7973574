package main

import (
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// parkedCmd is `rollcall parked`.
type parkedCmd struct {
	List  parkedListCmd  `cmd:"" default:"withargs" help:"List the records that views leave out (the default)."`
	Show  parkedShowCmd  `cmd:"" help:"Print a parked record with its error."`
	Retry parkedRetryCmd `cmd:"" help:"Fold parked records again."`
	Drop  parkedDropCmd  `cmd:"" help:"Leave parked records out for good."`
}

// Help is an example of its commands.
func (parkedCmd) Help() string {
	return "Examples:\n  rollcall parked list\n  rollcall parked retry sessions"
}

// parkedListCmd is `rollcall parked list`.
type parkedListCmd struct {
	attach.ClientFlags
	console.OutputFlag
	View []string `arg:"" optional:"" help:"Views; all by default."`
}

// Help is the command's example.
func (parkedListCmd) Help() string {
	return "A record whose fold fails is kept aside, and the view goes on without it.\n\nExample:\n  rollcall parked list sessions"
}

// Run lists.
func (c *parkedListCmd) Run(a *app) error {
	if len(c.View) > 0 && !slices.Contains(viewNames(), c.View[0]) {
		var verbs []string
		for _, verb := range a.parsed.Selected().Parent.Children {
			verbs = append(verbs, verb.Name)
		}
		if near := closest(c.View[0], verbs); len(near) > 0 {
			return console.Usagef("no view %q; did you mean `rollcall parked %s`?", c.View[0], near[0])
		}
	}
	return c.WithReader(a.Ctx, func(r *viewstore.Reader) (err error) {
		views := c.View
		if len(views) == 0 {
			if views, err = attach.ExistingViews(a.Ctx, r); err != nil {
				return err
			}
		}
		g := parkedGrid()
		for _, view := range views {
			parked, err := r.Parked(a.Ctx, view)
			if err != nil {
				return viewError(err, view)
			}
			for _, p := range parked {
				addParked(g, view, p)
			}
		}
		return c.Print(a.Stdout, g)
	})
}

func parkedGrid() *console.Grid {
	return &console.Grid{Columns: []string{"view", "sequence", "type", "entity", "receivedAt", "parkedAt", "error"},
		Whole: []string{"view", "sequence"}, Least: []string{"parkedAt", "receivedAt", "entity", "type"}}
}

func addParked(g *console.Grid, view string, p projector.Parked) {
	g.Add(view, p.Sequence, p.Type, p.Entity, p.ReceivedAt, p.ParkedAt, p.Error)
}

// parkedShowCmd is `rollcall parked show`.
type parkedShowCmd struct {
	attach.ClientFlags
	console.DocumentFlag
	View     string       `arg:"" help:"View."`
	Sequence eventlog.Seq `arg:"" help:"Sequence of the record."`
}

// Help is the command's example.
func (parkedShowCmd) Help() string { return "Example:\n  rollcall parked show sessions 4711" }

// Run prints the record.
func (c *parkedShowCmd) Run(a *app) error {
	nc, js, err := c.Connect(a.Ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	parked, err := viewstore.NewReader(js).Parked(a.Ctx, c.View)
	if err != nil {
		return viewError(err, c.View)
	}
	for _, p := range parked {
		if p.Sequence != c.Sequence {
			continue
		}
		log, err := attach.OpenLog(a.Ctx, js)
		if err != nil {
			return err
		}
		defer log.Close()
		r, err := log.Record(a.Ctx, c.Sequence)
		if err != nil {
			return err
		}
		return c.show(a.Stdout, shownParked{p, listedOf(&r)})
	}
	return console.NotFoundf("view %s has no parked record %d; `rollcall parked list %[1]s` lists them", c.View, c.Sequence)
}

func (c *parkedShowCmd) show(w io.Writer, p shownParked) error {
	if c.Output == "json" {
		return console.PrintJSON(w, p)
	}
	g := &console.Grid{Columns: []string{"sequence", "type", "entity", "receivedAt", "parkedAt", "error", "eventId", "source", "body"},
		Least: []string{"source", "eventId", "parkedAt", "body", "receivedAt"}}
	g.Add(p.Parked.Sequence, p.Parked.Type, p.Entity, p.Parked.ReceivedAt, p.ParkedAt, p.Error, p.Record.EventID, p.Record.Source, string(p.Record.Body))
	return console.OutputFlag(c.DocumentFlag).Print(w, g)
}

// shownParked is a parked record with what the log has of it.
type shownParked struct {
	projector.Parked
	Record listed `json:"record"`
}

// parkedAction is a command on parked records of a view.
type parkedAction struct {
	attach.OperatorFlags
	console.OutputFlag
	View     string         `arg:"" help:"View."`
	Sequence []eventlog.Seq `arg:"" optional:"" help:"Sequences of the records; all by default."`
}

// config opens what is needed and runs fn.
func (c *parkedAction) run(a *app, fn func(projector.MaintenanceConfig) error) error {
	fold, err := foldOf(c.View)
	if err != nil {
		return err
	}
	return c.WithStore(a.IO, func(js jetstream.JetStream, store *viewstore.Store) error {
		log, err := attach.OpenLog(a.Ctx, js)
		if err != nil {
			return err
		}
		defer log.Close()
		return fn(projector.MaintenanceConfig{Projection: fold, Source: log, Store: store, Logger: a.Logger})
	})
}

// summarize prints how many records were changed.
func (c *parkedAction) summarize(w io.Writer, what string, n int, words string) error {
	if c.Output == "table" {
		_, err := fmt.Fprintln(w, words)
		return err
	}
	g := &console.Grid{Columns: []string{"view", what}}
	g.Add(c.View, n)
	return c.Print(w, g)
}

// parkedRetryCmd is `rollcall parked retry`.
type parkedRetryCmd struct{ parkedAction }

// Help is the command's example.
func (parkedRetryCmd) Help() string {
	return "Folds records again that failed, with the folds of this binary. What fails again stays parked: exit code 1.\n\nExample:\n  rollcall parked retry sessions"
}

// Run retries.
func (c *parkedRetryCmd) Run(a *app) error {
	return c.run(a, func(config projector.MaintenanceConfig) error {
		before, err := c.count(a)
		if err != nil {
			return err
		}
		n, err := projector.RetryParked(a.Ctx, config, c.Sequence...)
		if err != nil {
			return err
		}
		if err := c.summarize(a.Stdout, "folded", n, fmt.Sprintf("%d of %d records are in the view now", n, before)); err != nil {
			return err
		}
		if n < before {
			return fmt.Errorf("%d records failed again; `rollcall parked list %s` says why", before-n, c.View)
		}
		return nil
	})
}

// count is how many records were named, or are parked.
func (c *parkedAction) count(a *app) (n int, err error) {
	if len(c.Sequence) > 0 {
		return len(c.Sequence), nil
	}
	err = c.WithReader(a.Ctx, func(r *viewstore.Reader) error {
		parked, err := r.Parked(a.Ctx, c.View)
		n = len(parked)
		return err
	})
	return n, err
}

// parkedDropCmd is `rollcall parked drop`.
type parkedDropCmd struct {
	parkedAction
	Yes bool `help:"Confirm it: the records stay in the log, and out of this view until it is rebuilt."`
}

// Help is the command's example.
func (parkedDropCmd) Help() string { return "Example:\n  rollcall parked drop sessions 4711 --yes" }

// Run drops.
func (c *parkedDropCmd) Run(a *app) error {
	if !c.Yes {
		return console.Usagef("this leaves records out of %s for good; --yes confirms it", strings.TrimSpace(c.View))
	}
	return c.run(a, func(config projector.MaintenanceConfig) error {
		n, err := projector.DropParked(a.Ctx, config, c.Sequence...)
		if err != nil {
			return err
		}
		return c.summarize(a.Stdout, "dropped", n, fmt.Sprintf("%d records dropped from %s", n, c.View))
	})
}
