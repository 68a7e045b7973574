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
	MaxBytes string   `help:"Memory for the documents of the log; what needs more takes more passes over it." default:"256MiB" placeholder:"SIZE"`
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
	if len(c.Closing) > 0 && (len(c.View) > 0 || c.Repair) {
		return console.Usagef("--closing can't be used together with views or --repair: a closing is never changed")
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

// show prints a row for each view, and for people each difference with its fields.
func (c *verifyCmd) show(w io.Writer, results []projector.Verified) error {
	if c.Output == "json" {
		return console.PrintJSON(w, results)
	}
	g := &console.Grid{Columns: []string{"view", "bucket", "sequence", "records", "entities", "keys", "equal", "sealed", "parked", "differences"},
		Least: []string{"bucket", "sealed", "records", "entities", "equal", "sequence"}}
	for _, v := range results {
		g.Add(v.View, v.Bucket, v.Sequence, v.Records, v.Entities, v.Keys, v.Equal, v.Sealed, v.Parked, len(v.Differences))
	}
	if err := c.Print(w, g); err != nil || c.Output == "csv" {
		return err
	}
	for _, v := range results {
		for _, d := range v.Differences {
			said := "\n" + c.Line(w, "", fmt.Sprintf("%s %s: %s, from record %d on (%s)", v.View, console.Printable(d.Key), d.Kind, d.First, console.Printable(d.FirstType)))
			for _, f := range d.Fields {
				said += c.Line(w, fmt.Sprintf("  %-28s view ", f.Name), console.Printable(string(f.View))) +
					c.Line(w, fmt.Sprintf("  %-28s log  ", ""), console.Printable(string(f.Log)))
			}
			if _, err := io.WriteString(w, said); err != nil {
				return err
			}
		}
	}
	return nil
}
