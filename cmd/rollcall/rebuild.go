package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"
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
	return nil, console.NotFoundf("no view %q; there are %s", view, strings.Join(viewNames(), ", "))
}

// rebuildCache is the default of --cache-bytes.
const rebuildCache = 768 << 20

// rebuildCmd is `rollcall rebuild`.
type rebuildCmd struct {
	attach.OperatorFlags
	View         []string `arg:"" help:"Views to rebuild."`
	Hold         bool     `help:"Do not activate the new generation: follow the log until rollcall promote, called elsewhere, does."`
	Carry        bool     `help:"Where the log no longer begins at its first record: copy what the view holds of earlier ones."`
	WithDropped  bool     `help:"Also bring back what the active view has dropped because of its age; a projector with --view-max-age drops it again."`
	MaxPerSecond int      `help:"Maximum records read per second, so that live traffic keeps its pace; 0 is no limit." default:"0" placeholder:"N"`
	CacheBytes   string   `help:"Memory for the entities held, by all views together." default:"768MiB" placeholder:"SIZE"`
	Output       string   `short:"o" help:"Progress format: table, json (one object per line), csv (the result alone), or auto: a bar on a terminal, else json." default:"auto" enum:"auto,table,json,csv" placeholder:"FORM"`
}

// Help is the command's example.
func (rebuildCmd) Help() string {
	return `Replays the log into a new generation of a view, while the active one goes on serving and following. When
nothing is missing the new one is activated. A rebuild that was stopped continues where it was when it is called again.

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

// reporter shows progress: bars, or lines of JSON.
type reporter struct {
	app    *app
	json   bool
	form   string // of the result
	mu     sync.Mutex
	writer progress.Writer
	bars   []*progress.Tracker
	ended  chan struct{}
	said   map[int]said // by view, guarded by mu
}

// said is what was last printed of a view.
type said struct {
	state projector.GenerationState
	at    time.Time
}

// lineInterval is the least time between two lines of progress in one state. A
// generation that is held says so once.
const lineInterval = time.Second

func (c *rebuildCmd) reporter(a *app, folds []eventlog.Fold) *reporter {
	r := &reporter{app: a, said: map[int]said{}, form: c.Output, json: c.Output == "json" || c.Output == "auto" && !console.IsTerminal(a.Stdout)}
	if r.json {
		r.form = "json"
	}
	if r.json || !console.IsTerminal(a.Stderr) {
		return r
	}
	r.writer, r.ended = newProgress(a.Stderr), make(chan struct{})
	r.writer.SetNumTrackersExpected(len(folds))
	for _, f := range folds {
		t := &progress.Tracker{Message: f.Name(), Total: 1}
		r.bars = append(r.bars, t)
		r.writer.AppendTracker(t)
	}
	go func() {
		defer close(r.ended)
		r.writer.Render()
	}()
	return r
}

// newProgress draws bars that fit a terminal of 80 columns.
func newProgress(w io.Writer) progress.Writer {
	p := progress.NewWriter()
	p.SetOutputWriter(w)
	p.SetUpdateFrequency(100 * time.Millisecond)
	p.SetAutoStop(false)
	p.SetMessageLength(40)
	p.SetTrackerLength(16)
	p.Style().Visibility.Value = false
	return p
}

// rebuildLine is a line of JSON: progress, and at last the result.
type rebuildLine struct {
	View       string                    `json:"view"`
	Generation int                       `json:"generation"`
	Bucket     string                    `json:"bucket"`
	State      projector.GenerationState `json:"state"`
	Sequence   eventlog.Seq              `json:"sequence"`
	Head       eventlog.Seq              `json:"headSequence"`
	Share      float64                   `json:"share"`
	PerSecond  float64                   `json:"perSecond"`
	// ETASeconds is null while it is unknown.
	ETASeconds     *float64 `json:"etaSeconds"`
	ElapsedSeconds float64  `json:"elapsedSeconds"`
}

func (r *reporter) progress(i int, view string, p projector.Progress) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writer != nil {
		r.bars[i].UpdateTotal(int64(p.Head))
		r.bars[i].SetValue(int64(p.Sequence))
		r.bars[i].UpdateMessage(fmt.Sprintf("%s_g%d %s %.0f/s", view, p.Generation.Number, p.State, p.PerSecond))
		return
	}
	if last := r.said[i]; !r.json || last.state == p.State && (p.State == projector.GenerationReady || time.Since(last.at) < lineInterval) {
		return
	}
	r.said[i] = said{p.State, time.Now()}
	line := rebuildLine{View: view, Generation: p.Generation.Number, Bucket: p.Generation.Bucket, State: p.State, Sequence: p.Sequence,
		Head: p.Head, Share: console.Round(p.Share), PerSecond: console.Round(p.PerSecond), ElapsedSeconds: console.Round(p.ElapsedSeconds)}
	if p.ETASeconds >= 0 {
		eta := console.Round(p.ETASeconds)
		line.ETASeconds = &eta
	}
	_ = console.PrintLine(r.app.Stdout, line) // a reader that has gone away does not stop a rebuild
}

func (r *reporter) done(i int, view string, b projector.Rebuilt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writer != nil {
		r.bars[i].MarkAsDone()
	}
	return movedLine(r.app, r.form, view, b)
}

func (r *reporter) stop() {
	if r.writer != nil {
		r.writer.Stop()
		<-r.ended
	}
}

// moved describes a change of the active generation.
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

func movedLine(a *app, form, view string, b projector.Rebuilt) error {
	if b.AnnounceErr != nil {
		a.Logger.Warn().Err(b.AnnounceErr).Str(console.KeyView, view).Msg("active; not all changes were published on plain subjects")
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
	_, err := fmt.Fprintf(a.Stdout, "%s: generation %d is active, after %d; cut over in %.1f ms, %d records folded, %d keys changed; `rollcall rollback %s` returns\n",
		view, m.Generation, m.Before, m.PauseMs, m.Records, m.Changed, view)
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
		return movedLine(a, c.Output, c.View, b)
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
		slices.SortFunc(gone, func(x, y projector.Generation) int { return x.Number - y.Number })
		g := &console.Grid{Columns: []string{"view", "generation", "bucket", "state", "version"}}
		for _, x := range gone {
			g.Add(x.View, x.Number, x.Bucket, string(x.State), x.Version)
		}
		return c.Print(a.Stdout, g)
	})
}

type promoteCmd struct {
	viewAction
	forceFlag
}

// forceFlag lets readers step back.
type forceFlag struct {
	Force bool `help:"Also where that generation is behind the active one: readers step back until a projector of its version has caught up."`
}

// Help is the command's example.
func (promoteCmd) Help() string {
	return "Activates the generation that a rebuild with --hold has made ready.\n\nExample:\n  rollcall promote sessions"
}

// Run promotes.
func (c *promoteCmd) Run(a *app) error {
	if c.Force {
		return c.move(a, projector.ForcePromote)
	}
	return c.move(a, projector.Promote)
}

type rollbackCmd struct {
	viewAction
	forceFlag
}

// Help is the command's example.
func (rollbackCmd) Help() string {
	return "Activates the previous generation again. It has followed the log all the time.\n\nExample:\n  rollcall rollback sessions"
}

// Run rolls back.
func (c *rollbackCmd) Run(a *app) error {
	if c.Force {
		return c.move(a, projector.ForceRollback)
	}
	return c.move(a, projector.Rollback)
}

type dropCmd struct{ viewAction }

// Help is the command's example.
func (dropCmd) Help() string {
	return "Removes generations of a view that were active before, or have failed. There is no way back to them.\n\nExample:\n  rollcall drop sessions"
}

// Run drops.
func (c *dropCmd) Run(a *app) error { return c.remove(a, projector.Drop) }

type abortCmd struct{ viewAction }

// Help is the command's example.
func (abortCmd) Help() string {
	return "Removes the generation that a rebuild is making or has made ready; the rebuild, where it runs, ends.\n\nExample:\n  rollcall abort sessions"
}

// Run aborts.
func (c *abortCmd) Run(a *app) error { return c.remove(a, projector.Abort) }
