package main

import (
	"fmt"
	"strings"
	"time"

	"rollcall/eventlog"
	"rollcall/eventlog/natslog"
	"rollcall/projector/viewstore"
)

// topCmd is `rollcall top`.
type topCmd struct {
	clientFlags
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
		picture := topPicture(s, before, now.Sub(at), n > 1)
		if isTerminal(a.stdout) {
			picture = "\x1b[H\x1b[2J" + picture
		}
		if _, err := fmt.Fprint(a.stdout, picture); err != nil {
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

// topPicture is one picture; rates need one before it.
func topPicture(s, before status, since time.Duration, rates bool) string {
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
	var b strings.Builder
	fmt.Fprintf(&b, "%s  %s\n%d records, %.1f MB\n\n", time.Now().UTC().Format("15:04:05Z"), s.Server, s.Log.Records, float64(s.Log.Bytes)/1e6)
	_ = outputFlag{Output: "table"}.print(&b, g) // a Builder takes everything
	return b.String()
}
