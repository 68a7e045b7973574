package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"github.com/go-json-experiment/json"
	"github.com/nats-io/nats.go"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/cmd/rollcall/internal/heartbeat"
	"rollcall/cmd/rollcall/internal/node"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/query/pipeline"
)

// topMeetings is how many meetings fit on the screen.
const topMeetings = 10

// topCmd is `rollcall top`.
type topCmd struct {
	attach.ClientFlags
	console.OutputFlag
	Interval time.Duration `help:"Time between two refreshes." default:"1s" placeholder:"DURATION"`
	Count    int           `help:"Stop after this many refreshes; 0 goes on until Ctrl-C." default:"0" placeholder:"N"`
}

// Help is the command's example.
func (topCmd) Help() string {
	return "Shows, refreshed every second, what comes in, how far each view is behind, rebuilds under way, and the fullest meetings.\n\nExample:\n  rollcall top --interval 2s"
}

// Run draws until it is stopped.
func (c *topCmd) Run(a *app) (err error) {
	if c.Interval < 50*time.Millisecond {
		return console.Usagef("--interval %s: want at least 50ms", c.Interval)
	}
	l, err := c.Attach(a.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	// A user who may not subscribe to process statuses sees the rest.
	monitor, stop := listen(a.Ctx, l.Conn)
	defer stop()
	ask := &statusCmd{}
	var before top
	for n := 1; ; n++ {
		now := top{at: time.Now()}
		if now.status, _, err = ask.ask(a, l); err != nil {
			return err
		}
		if n == 1 {
			awaitStatuses(a.Ctx, monitor)
		}
		now.status.Processes = processesOf(monitor.Overview())
		now.pipeline, now.meetings = monitor.Overview(), liveMeetings(a.Ctx, l.Conn)
		if err := c.draw(a.Stdout, now, before, n == 1); err != nil {
			return err
		}
		if n == c.Count {
			return nil
		}
		before = now
		if err := wire.Pause(a.Ctx, c.Interval); err != nil {
			return err
		}
	}
}

// awaitStatuses waits once for the statuses that processes publish every second. Without
// one by then there is no process, or the user may not subscribe.
func awaitStatuses(ctx context.Context, p *pipeline.Monitor) {
	for began := time.Now(); !everyRole(p.Overview().Processes) && time.Since(began) < heartbeat.Interval*5/4; {
		if wire.Pause(ctx, 20*time.Millisecond) != nil {
			return
		}
	}
}

// everyRole reports whether an ingester and a projector have reported.
func everyRole(all []pipeline.ProcessSummary) bool {
	seen := map[string]bool{}
	for _, p := range all {
		for _, r := range p.Roles {
			seen[r] = true
		}
	}
	return seen[node.TargetIngest] && seen[node.TargetProject]
}

// draw prints one refresh: JSON as a line of what status prints, with the
// processes' statuses and the fullest meetings; CSV as rows of the projections.
func (c *topCmd) draw(w io.Writer, now, before top, first bool) error {
	switch c.Output {
	case "json":
		return console.PrintLine(w, struct {
			status
			Pipeline pipeline.Overview `json:"pipeline"`
			Meetings []liveMeeting     `json:"meetings"`
		}{now.status, now.pipeline, now.meetings})
	case "csv":
		g := now.projections(before)
		if !first {
			return g.CSVRows(w)
		}
		return g.CSV(w)
	}
	picture := now.picture(before, w, c.TableFlags)
	if console.IsTerminal(w) {
		picture = "\x1b[H\x1b[2J" + picture
	}
	_, err := io.WriteString(w, picture)
	return err
}

// top is what one picture shows.
type top struct {
	at       time.Time
	status   status
	pipeline pipeline.Overview
	meetings []liveMeeting
}

// liveMeeting is a row of the meetings that go on now.
type liveMeeting struct {
	SessionID string         `json:"sessionId"`
	Title     string         `json:"title"`
	StartedAt eventlog.Time  `json:"startedAt"`
	In        int            `json:"liveParticipants"`
	Peak      int            `json:"maxConcurrentParticipants"`
	Unique    int            `json:"uniqueParticipants"`
	Anomalies []string       `json:"anomalies"`
	Recording []liveRecorded `json:"recordings"`
}

type liveRecorded struct {
	Status string `json:"status"`
}

// liveMeetings asks for the fullest meetings; none where nobody answers.
func liveMeetings(ctx context.Context, nc *nats.Conn) []liveMeeting {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	m, err := nc.RequestWithContext(ctx, "rollcall.query.session.list", fmt.Appendf(nil, `{"status":"LIVE","stale":false,"sort":"-liveParticipants","limit":%d}`, topMeetings))
	if err != nil {
		return nil
	}
	var list struct {
		Items []liveMeeting `json:"items"`
	}
	_ = json.Unmarshal(m.Data, &list) // an answer that says no has no items
	return list.Items
}

// picture draws it for a terminal; rates of sequences need a picture before.
func (t top) picture(before top, terminal io.Writer, as console.TableFlags) string {
	var b strings.Builder
	s := t.status
	line := func(format string, args ...any) {
		b.WriteString(as.Line(terminal, "", console.Printable(fmt.Sprintf(format, args...))))
	}
	line("%s  %s", as.Time(t.at), s.Server)
	line("%d records, %.1f MB", s.Log.Records, float64(s.Log.Bytes)/1e6)
	for _, said := range t.incoming() {
		line("%s", said)
	}
	for _, r := range t.pipeline.Rebuilds {
		left := "unknown"
		if r.ETASeconds != nil {
			left = time.Duration(*r.ETASeconds * float64(time.Second)).Round(time.Second).String()
		}
		line("rebuild of %s: generation %d, %s, %.1f %%, %.0f/s, %s left", r.View, r.Generation, r.State, 100*r.Share, r.PerSecond, left)
	}
	b.WriteString("\n")
	_ = as.Draw(&b, t.projections(before), terminal) // a Builder takes everything
	if len(t.meetings) == 0 {
		return b.String()
	}
	g := &console.Grid{Columns: []string{"meeting", "in", "peak", "unique", "lasts", "recording", "flags", "session"}, Least: []string{"flags", "unique"}}
	for _, m := range t.meetings {
		var recording []string
		for _, r := range m.Recording {
			recording = append(recording, r.Status)
		}
		g.Add(m.Title, m.In, m.Peak, m.Unique, eventlog.TimeOf(t.at).Sub(m.StartedAt).Clock(), strings.Join(recording, " "), strings.Join(m.Anomalies, " "), m.SessionID)
	}
	b.WriteString("\n")
	_ = as.Draw(&b, g, terminal)
	return b.String()
}

// incoming is what the ingesters report, in words.
func (t top) incoming() []string {
	in := t.pipeline.Ingest
	if in.Processes == 0 {
		return []string{"no ingester has reported yet"}
	}
	var now pipeline.Rates
	if n := len(t.pipeline.History); n > 0 {
		now = t.pipeline.History[n-1]
	}
	ever := fmt.Sprintf("since the start %d, %d, %d", in.Records, in.Duplicates, in.Refusals)
	if in.Processes > 1 {
		ever += fmt.Sprintf(", at %d ingesters", in.Processes)
	}
	return []string{fmt.Sprintf("per second %.1f stored, %.1f duplicates, %.1f refused", now.Records, now.Duplicates, now.Refusals), ever}
}

// projections are the log and the views, with what the last audit found.
func (t top) projections(before top) *console.Grid {
	perSecond := func(now, then eventlog.Seq) any {
		if before.at.IsZero() {
			return nil
		}
		return float64(now-then) / t.at.Sub(before.at).Seconds()
	}
	last, audits := map[string]eventlog.Seq{}, map[string]string{}
	for _, v := range before.status.Projections {
		last[v.Name] = v.Sequence
	}
	for _, x := range t.pipeline.Audits {
		audits[x.View] = x.Result
	}
	g := &console.Grid{Columns: []string{"name", "state", "sequence", "perSecond", "lag", "lagSeconds", "parked", "verified", "bucket"}, Least: []string{"bucket", "perSecond"}}
	g.Add("log", "", t.status.Log.LastSequence, perSecond(t.status.Log.LastSequence, before.status.Log.LastSequence), nil, nil, nil, "", "")
	for _, v := range t.status.Projections {
		g.Add(v.Name, v.State, v.Sequence, perSecond(v.Sequence, last[v.Name]), v.Lag, v.LagSeconds, v.Parked, audits[v.Name], v.Bucket)
	}
	return g
}
