package main

import (
	"fmt"
	"io"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/progress"

	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/eventlog"
	"rollcall/projector"
)

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
	_ = console.PrintLine(r.app.Stdout, heartbeat.RebuildOf(view, p)) // a reader that has gone away does not stop a rebuild
}

func (r *reporter) done(i int, view string, b projector.Rebuilt) error {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.writer != nil {
		r.bars[i].MarkAsDone()
	}
	return movedLine(r.app, r.form, view, b, console.TableFlags{})
}

func (r *reporter) stop() {
	if r.writer != nil {
		r.writer.Stop()
		<-r.ended
	}
}
