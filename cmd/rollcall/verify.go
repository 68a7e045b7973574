package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// verifyCmd is `rollcall verify`.
type verifyCmd struct {
	attach.OperatorFlags
	console.OutputFlag
	View     []string `arg:"" optional:"" help:"Views to verify; all by default."`
	Closing  []string `help:"Verify closings instead of views: replay the log up to where each was made." placeholder:"ID"`
	Sample   float64  `help:"Share of the entities to look at, above 0 and up to 1." default:"1" placeholder:"SHARE"`
	Seed     uint64   `help:"Seed that chooses the sample." default:"1" placeholder:"N"`
	Repair   bool     `help:"Rebuild what differs, and store it."`
	MaxBytes string   `help:"Memory for the shadow; more takes more passes over the log." default:"256MiB" placeholder:"SIZE"`
}

// Help is the command's example.
func (verifyCmd) Help() string {
	return `Replays the log into a shadow of a view and compares every document with the stored one. Prints each key that differs,
the first record after which log and view differ, and the fields. Exit code 5 where something differs and was not repaired.

Examples:
  rollcall verify sessions
  rollcall verify --sample 0.1 --output json
  rollcall verify attendance --repair
  rollcall verify --closing 2026-10.UTC`
}

// Run verifies view by view.
func (c *verifyCmd) Run(a *app) (err error) {
	if c.Sample <= 0 || c.Sample > 1 {
		return console.Usagef("--sample %v: want a share above 0 and up to 1", c.Sample)
	}
	maxBytes, err := parseBytes("max-bytes", c.MaxBytes)
	if err != nil {
		return err
	}
	views := c.View
	for _, view := range views { // before anything is asked
		if _, err := foldOf(view); err != nil {
			return err
		}
	}
	l, err := c.Attach(a.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	if len(c.Closing) > 0 {
		return c.closings(a, l, maxBytes)
	}
	if len(views) == 0 {
		if views, err = attach.ExistingViews(a.Ctx, viewstore.NewReader(l.JetStream)); err != nil {
			return err
		}
	}
	results := []projector.Verified{}
	var found heartbeat.Audits
	defer heartbeat.PublishAudits(l.Conn, &found, a.Logger)
	left := 0
	for i, view := range views {
		fold, err := foldOf(view)
		if err != nil {
			return err
		}
		config := projector.VerifyConfig{
			Projection: fold, Source: l.Log, Viewer: viewstore.NewReader(l.JetStream), Sample: c.Sample, Seed: c.Seed, MaxBytes: maxBytes,
		}
		v, err := projector.Verify(a.Ctx, config)
		if err != nil {
			return a.Left(fmt.Errorf("verify %s: %w", fold.Name(), viewError(err, fold.Name())), "%s", c.left(views[:i]))
		}
		if c.Repair && len(v.Differences) > 0 {
			if v, err = c.repair(a, l.JetStream, l.Log, config, v); err != nil {
				return a.Left(attach.NeedRights(fmt.Errorf("repair %s: %w", fold.Name(), err), l.Conn), "%s", c.left(views[:i]))
			}
		}
		left += len(v.Differences)
		found.Set(heartbeat.AuditOf(v, time.Now()))
		results = append(results, v)
	}
	if err := c.show(a.Stdout, results); err != nil {
		return err
	}
	if left > 0 {
		return console.Differencef("%d keys differ from what the log says; --repair rebuilds them", left)
	}
	return nil
}

// left says what a verification that was interrupted leaves.
func (c *verifyCmd) left(done []string) string {
	said := "no view was judged"
	if len(done) > 0 {
		said = "only " + strings.Join(done, ", ") + " could be judged"
	}
	if c.Repair {
		return said + ", and what was repaired stays; call it again"
	}
	return said + ", and nothing was changed; call it again"
}

// repair rebuilds what differs and verifies again.
func (c *verifyCmd) repair(a *app, js jetstream.JetStream, log *natslog.Log, config projector.VerifyConfig, v projector.Verified) (projector.Verified, error) {
	store, err := viewstore.Open(a.Ctx, js, viewstore.Config{Logger: a.Logger})
	if err != nil {
		return v, err
	}
	n, err := projector.Repair(a.Ctx, projector.MaintenanceConfig{Projection: config.Projection, Source: log, Store: store, Logger: a.Logger}, v.Differences)
	if err != nil {
		return v, err
	}
	fmt.Fprintf(a.Stderr, "%s: %d keys differed, %d entities rebuilt\n", v.View, len(v.Differences), n)
	return projector.Verify(a.Ctx, config)
}

func (c *verifyCmd) show(w io.Writer, results []projector.Verified) error {
	if c.Output == "json" {
		return console.PrintJSON(w, results)
	}
	g := &console.Grid{Columns: []string{"view", "bucket", "sequence", "records", "entities", "keys", "equal", "sealed", "parked", "differences"}}
	for _, v := range results {
		g.Add(v.View, v.Bucket, v.Sequence, v.Records, v.Entities, v.Keys, v.Equal, v.Sealed, v.Parked, len(v.Differences))
	}
	if err := c.Print(w, g); err != nil || c.Output == "csv" {
		return err
	}
	for _, v := range results {
		for _, d := range v.Differences {
			fmt.Fprintf(w, "\n%s %s: %s, from record %d on (%s)\n", v.View, console.Printable(d.Key), d.Kind, d.First, console.Printable(d.FirstType))
			for _, f := range d.Fields {
				fmt.Fprintf(w, "  %-28s view %s\n  %-28s log  %s\n", f.Name, console.Printable(string(f.View)), "", console.Printable(string(f.Log)))
			}
		}
	}
	return nil
}

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
	return c.WithReader(a.Ctx, func(r *viewstore.Reader) (err error) {
		views := c.View
		if len(views) == 0 {
			if views, err = attach.ExistingViews(a.Ctx, r); err != nil {
				return err
			}
		}
		g := &console.Grid{Columns: []string{"view", "sequence", "type", "entity", "receivedAt", "parkedAt", "error"}}
		for _, view := range views {
			parked, err := r.Parked(a.Ctx, view)
			if err != nil {
				return viewError(err, view)
			}
			for _, p := range parked {
				g.Add(view, p.Sequence, p.Type, p.Entity, p.ReceivedAt, p.ParkedAt, p.Error)
			}
		}
		return c.Print(a.Stdout, g)
	})
}

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
	g := &console.Grid{Columns: []string{"sequence", "type", "entity", "receivedAt", "parkedAt", "error", "eventId", "source", "body"}}
	g.Add(p.Parked.Sequence, p.Parked.Type, p.Entity, p.Parked.ReceivedAt, p.ParkedAt, p.Error, p.Record.EventID, p.Record.Source, string(p.Record.Body))
	return console.OutputFlag{Output: c.Output}.Print(w, g)
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

type parkedDropCmd struct {
	parkedAction
	Yes bool `help:"Do it: the records stay in the log, and out of this view until it is rebuilt."`
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
