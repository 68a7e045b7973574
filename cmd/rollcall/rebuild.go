package main

import (
	"fmt"
	"strings"

	"github.com/nats-io/nats.go/jetstream"
	"golang.org/x/sync/errgroup"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/eventlog"
	"rollcall/projector"
	"rollcall/projector/viewstore"
	"rollcall/query/pipeline"
)

// foldOf finds a view's fold.
func foldOf(view string) (eventlog.Fold, error) {
	for _, f := range allFolds() {
		if f.Name() == view {
			return f, nil
		}
	}
	return nil, console.NotFoundf("no view %q; %s", view, viewsThereAre(view))
}

// rebuildCache is the default of --cache-bytes.
const rebuildCache = 768 << 20

// rebuildCmd is `rollcall rebuild`.
type rebuildCmd struct {
	attach.OperatorFlags
	View         []string `arg:"" help:"Views to rebuild."`
	Hold         bool     `help:"Do not make the new generation live: follow the log until rollcall promote is called elsewhere."`
	Carry        bool     `help:"Where the log no longer begins at its first record: copy what the view holds of earlier ones."`
	WithDropped  bool     `help:"Also bring back what the live view has dropped because of its age; a projector with --view-max-age drops it again."`
	MaxPerSecond int      `help:"Maximum records read per second, so that live traffic keeps its pace; 0 is no limit." default:"0" placeholder:"N"`
	CacheBytes   string   `help:"Memory for the entities held, by all views together." default:"768MiB" placeholder:"SIZE"`
	Output       string   `short:"o" help:"Progress format: table, json (one object per line), csv (the result alone), or auto: a bar on a terminal, else json." default:"auto" enum:"auto,table,json,csv" placeholder:"FORM"`
}

// Help is the command's example.
func (rebuildCmd) Help() string {
	return `Replays the log into a new generation of a view, while the live one goes on serving and following. When
nothing is missing the new one becomes live. A rebuild that was stopped continues where it was when it is called again.

Examples:
  rollcall rebuild sessions
  rollcall rebuild attendance --hold`
}

// Run rebuilds the views, several side by side.
func (c *rebuildCmd) Run(a *app) error {
	cache, err := parseBytes("cache-bytes", c.CacheBytes)
	if err != nil {
		return err
	}
	var folds []eventlog.Fold
	for _, view := range c.View {
		f, err := foldOf(view)
		if err != nil {
			return err
		}
		folds = append(folds, f)
	}
	return c.WithStore(a.IO, func(js jetstream.JetStream, store *viewstore.Store) error {
		log, err := attach.OpenLog(a.Ctx, js)
		if err != nil {
			return err
		}
		defer log.Close()
		show := c.reporter(a, folds)
		defer show.stop()
		if c.Output == "csv" {
			if err := (&console.Grid{Columns: movedColumns}).CSV(a.Stdout); err != nil {
				return err
			}
		}
		var rebuilds heartbeat.Rebuilds
		status, err := heartbeat.New(js.Conn(), []string{"rebuild"}, a.Logger, func(s *pipeline.Status) { s.Rebuilds = rebuilds.List() })
		if err != nil {
			return err
		}
		defer status.Background(a.Ctx)()
		source := projector.Share(log)
		group, ctx := errgroup.WithContext(a.Ctx)
		for i, fold := range folds {
			group.Go(func() error {
				done, err := projector.Rebuild(ctx, projector.RebuildConfig{
					Projection: fold, Source: source, Registry: store, Logger: a.Logger, CacheBytes: cache / int64(len(folds)),
					MaxPerSecond: c.MaxPerSecond, Hold: c.Hold, Carry: c.Carry, WithDropped: c.WithDropped,
					Progress: func(p projector.Progress) {
						rebuilds.Set(heartbeat.RebuildOf(fold.Name(), p))
						show.progress(i, fold.Name(), p)
					},
				})
				if err != nil {
					return fmt.Errorf("rebuild %s: %w", fold.Name(), err)
				}
				return show.done(i, fold.Name(), done)
			})
		}
		return a.Left(group.Wait(), "%s", leftRebuilds(c.View, rebuilds.List()))
	})
}

// leftRebuilds says what rebuilds that were interrupted leave.
func leftRebuilds(views []string, under []pipeline.Rebuild) string {
	all := strings.Join(views, " ")
	if len(under) == 0 {
		return "nothing was started; `rollcall rebuild " + all + "` starts"
	}
	var buckets []string
	for _, r := range under {
		buckets = append(buckets, r.Bucket)
	}
	return fmt.Sprintf("%s stay as they are, beside what readers see; `rollcall rebuild %s` goes on, `rollcall abort VIEW` removes one", strings.Join(buckets, ", "), all)
}
