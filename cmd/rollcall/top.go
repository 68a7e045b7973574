package main

import (
	"fmt"
	"io"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector/viewstore"
)

// topCmd is `rollcall top`.
type topCmd struct {
	clientFlags
	outputFlag
	Interval time.Duration `help:"Time between two pictures." default:"1s" placeholder:"DURATION"`
	Count    int           `help:"End after so many pictures; 0 goes on until Ctrl-C." default:"0" placeholder:"N"`
}

// Help is the command's example.
func (topCmd) Help() string {
	return "Shows again and again what comes in, and how far each view is behind.\n\nExample:\n  rollcall top --interval 2s"
}

// Run draws until it is told to stop.
func (c *topCmd) Run(a *app) error {
	if c.Interval < 50*time.Millisecond {
		return usagef("--interval %s: want at least 50ms", c.Interval)
	}
	nc, js, err := c.connect(a.ctx)
	if err != nil {
		return err
	}
	defer nc.Close()
	log, err := natslog.Attach(a.ctx, js)
	if err != nil {
		return logError(err)
	}
	defer log.Close()
	ask := &statusCmd{}
	var before status
	var at time.Time
	for n := 1; ; n++ {
		now := time.Now()
		s, _, err := ask.ask(a, log, nc, viewstore.NewReader(js))
		if err != nil {
			return err
		}
		if err := c.draw(a.stdout, topGrid(s, before, now.Sub(at), n > 1), s, n == 1); err != nil {
			return err
		}
		if n == c.Count {
			return nil
		}
		before, at = s, now
		if err := pause(a.ctx, c.Interval); err != nil {
			return nil // Ctrl-C is how it ends
		}
	}
}

// draw prints one picture: JSON as a line of what status prints, CSV as rows.
func (c *topCmd) draw(w io.Writer, g *grid, s status, first bool) error {
	switch c.Output {
	case "json":
		return printLine(w, s)
	case "csv":
		if !first {
			return g.csvRows(w)
		}
		return g.csv(w)
	}
	var b strings.Builder
	if isTerminal(w) {
		b.WriteString("\x1b[H\x1b[2J")
	}
	fmt.Fprintf(&b, "%s  %s\n%d records, %.1f MB\n\n", time.Now().UTC().Format("15:04:05Z"), s.Server, s.Log.Records, float64(s.Log.Bytes)/1e6)
	if err := c.print(&b, g); err != nil {
		return err
	}
	_, err := io.WriteString(w, b.String())
	return err
}

// topGrid is one picture; rates need one before it.
func topGrid(s, before status, since time.Duration, rates bool) *grid {
	perSecond := func(now, then eventlog.Seq) any {
		if !rates || since <= 0 {
			return nil
		}
		return float64(now-then) / since.Seconds()
	}
	last := map[string]eventlog.Seq{}
	for _, v := range before.Projections {
		last[v.Name] = v.Sequence
	}
	g := &grid{columns: []string{"name", "state", "sequence", "perSecond", "lag", "lagSeconds", "parked", "bucket"}}
	g.add("log", "", s.Log.LastSequence, perSecond(s.Log.LastSequence, before.Log.LastSequence), nil, nil, nil, "")
	for _, v := range s.Projections {
		g.add(v.Name, v.State, v.Sequence, perSecond(v.Sequence, last[v.Name]), v.Lag, v.LagSeconds, v.Parked, v.Bucket)
	}
	return g
}
