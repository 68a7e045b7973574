package main

import (
	"errors"
	"fmt"
	"io"
	"strings"
	"time"

	"rollcall/cmd/rollcall/internal/attach"
	"rollcall/cmd/rollcall/internal/console"
	"rollcall/eventlog"
	"rollcall/eventlog/wire"
	"rollcall/projector"
	"rollcall/projector/viewstore"
)

// statusCmd is `rollcall status`.
type statusCmd struct {
	attach.ClientFlags
	console.OutputFlag
	Wait time.Duration `help:"Wait up to this long for every view to hold the last record; exit code 1 where one does not." default:"0" placeholder:"DURATION"`
}

// Help is the command's example.
func (statusCmd) Help() string {
	return `Prints where the log ends, how durable it is, and how far each view is behind it.

Example:
  rollcall status --output json`
}

// status is what the command prints as JSON.
type status struct {
	Server      string       `json:"server"`
	Log         logStatus    `json:"log"`
	Projections []viewStatus `json:"projections"`
	// Processes are those that report their status; none where the user may not
	// subscribe to it.
	Processes []processStatus `json:"processes"`
}

// logStatus is the log's part of a status.
type logStatus struct {
	Incarnation     string       `json:"incarnation"`
	FirstSequence   eventlog.Seq `json:"firstSequence"`
	LastSequence    eventlog.Seq `json:"lastSequence"`
	Records         uint64       `json:"records"`
	Bytes           uint64       `json:"bytes"`
	LastStoredAt    *time.Time   `json:"lastStoredAt"`
	Replicas        int          `json:"replicas"`
	DuplicateWindow float64      `json:"duplicateWindowSeconds"`
	Durability      string       `json:"durability"`
	Synced          bool         `json:"synced"`
}

// viewStatus is a view's part of a status.
type viewStatus struct {
	Name         string       `json:"name"`
	Version      string       `json:"version"`
	State        string       `json:"state"`
	Sequence     eventlog.Seq `json:"sequence"`
	HeadSequence eventlog.Seq `json:"headSequence"`
	Lag          uint64       `json:"lag"`
	LagSeconds   float64      `json:"lagSeconds"`
	Parked       int          `json:"parked"`
	Bucket       string       `json:"bucket"`
	// Problem is what keeps the view from following the log, and what to run; "":
	// nothing is known to.
	Problem     string             `json:"problem"`
	Generations []generationStatus `json:"generations"`
}

// generationStatus is one generation of a view.
type generationStatus struct {
	Generation int          `json:"generation"`
	Bucket     string       `json:"bucket"`
	State      string       `json:"state"`
	Version    string       `json:"version"`
	Sequence   eventlog.Seq `json:"sequence"`
	ChangedAt  *time.Time   `json:"changedAt"`
}

// processStatus is a process that has reported its status.
type processStatus struct {
	Process  string   `json:"process"`
	Host     string   `json:"host"`
	Roles    []string `json:"roles"`
	Problems []string `json:"problems"`
}

// Run prints the status.
func (c *statusCmd) Run(a *app) (err error) {
	l, err := c.Attach(a.Ctx)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, l.Close()) }()
	monitor, stop := listen(a.Ctx, l.Conn)
	defer stop()
	began := time.Now()
	for {
		s, behind, err := c.ask(a, l)
		if err != nil {
			return err
		}
		if behind == "" || time.Since(began) >= c.Wait {
			awaitStatuses(a.Ctx, monitor)
			s.Processes = processesOf(monitor.Overview())
			if err := c.show(a, s); err != nil {
				return err
			}
			if behind != "" && c.Wait > 0 {
				return fmt.Errorf("view %s did not reach the end of the log within %s", behind, c.Wait)
			}
			return nil
		}
		if err := wire.Pause(a.Ctx, 50*time.Millisecond); err != nil {
			return err
		}
	}
}

// ask collects the status, and names a view that does not hold the last record.
func (c *statusCmd) ask(a *app, l *attach.Attached) (s status, behind string, err error) {
	info, err := l.Log.Info(a.Ctx)
	if err != nil {
		return s, "", err
	}
	s = status{Server: console.RedactURL(l.Conn.ConnectedUrl()) + " (nats-server " + l.Conn.ConnectedServerVersion() + ")", Log: logStatus{
		Incarnation: info.Incarnation, FirstSequence: info.First, LastSequence: info.Last, Records: info.Records, Bytes: info.Bytes,
		Replicas: info.Replicas, DuplicateWindow: info.DuplicateWindow.Seconds(), Durability: info.Durability, Synced: info.Synced,
	}}
	if !info.LastStoredAt.IsZero() {
		s.Log.LastStoredAt = &info.LastStoredAt
	}
	look := viewLook{js: l.JetStream, reader: viewstore.NewReader(l.JetStream), log: l.Log, head: info.Head}
	for _, fold := range allFolds() {
		v, err := look.at(a.Ctx, fold)
		if err != nil {
			return s, "", err
		}
		if v.Lag > 0 {
			behind = v.Name
		}
		s.Projections = append(s.Projections, v)
	}
	return s, behind, nil
}

func (c *statusCmd) show(a *app, s status) error {
	if c.Output == "json" {
		return console.PrintJSON(a.Stdout, s)
	}
	g := &console.Grid{Columns: []string{"view", "state", "sequence", "headSequence", "lag", "lagSeconds", "parked", "bucket", "version"},
		Least: []string{"version", "headSequence", "bucket", "sequence"}}
	for _, v := range s.Projections {
		g.Add(v.Name, v.State, v.Sequence, v.HeadSequence, v.Lag, v.LagSeconds, v.Parked, v.Bucket, v.Version)
	}
	if c.Output == "table" {
		last := "never"
		if s.Log.LastStoredAt != nil {
			last = c.Time(*s.Log.LastStoredAt)
		}
		log := fmt.Sprintf("%d records, %d bytes, sequences %d to %d, last stored %s", s.Log.Records, s.Log.Bytes, s.Log.FirstSequence, s.Log.LastSequence, last)
		fmt.Fprint(a.Stdout, c.Line(a.Stdout, "server      ", s.Server), c.Line(a.Stdout, "log         ", log), c.Line(a.Stdout, "durability  ", s.Log.Durability), "\n")
	}
	if err := c.Print(a.Stdout, g); err != nil || c.Output != "table" {
		return err
	}
	return c.details(a.Stdout, s)
}

// details prints what is unusual: other generations, and problems.
func (c *statusCmd) details(w io.Writer, s status) error {
	g := &console.Grid{Columns: []string{"view", "generation", "state", "sequence", "version", "bucket", "changedAt"}, Least: []string{"bucket", "version"}}
	var wrong []string
	for _, v := range s.Projections {
		for _, x := range v.Generations {
			if x.State != string(projector.RunLive) {
				var changed any
				if x.ChangedAt != nil {
					changed = *x.ChangedAt
				}
				g.Add(v.Name, x.Generation, x.State, x.Sequence, x.Version, x.Bucket, changed)
			}
		}
		if v.Problem != "" {
			wrong = append(wrong, v.Name+": "+v.Problem)
		}
	}
	for _, p := range s.Processes {
		for _, problem := range p.Problems {
			wrong = append(wrong, fmt.Sprintf("%s on %s: %s", strings.Join(p.Roles, ","), p.Host, problem))
		}
	}
	if len(g.Rows) > 0 {
		fmt.Fprintln(w, "\nother generations")
		if err := c.Print(w, g); err != nil {
			return err
		}
	}
	if len(wrong) > 0 {
		fmt.Fprintln(w, "\nproblems")
	}
	for _, line := range wrong {
		if _, err := io.WriteString(w, c.Line(w, " ", console.Printable(line))); err != nil {
			return err
		}
	}
	return nil
}
